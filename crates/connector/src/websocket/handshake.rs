use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, Method, header};
use sha1::{Digest, Sha1};

/// What the standard appends to a client's key (1.3).
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The request is no proper WebSocket upgrade: answer 400 (or 426 for another version).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// Not a GET with `Upgrade: websocket` and `Connection: upgrade`.
    #[error("this path takes WebSocket connections")]
    NotAnUpgrade,
    /// `Sec-WebSocket-Version` is not 13.
    #[error("only version 13 of WebSocket is spoken here")]
    Version,
    /// `Sec-WebSocket-Key` is missing or is not 16 bytes in base64.
    #[error("Sec-WebSocket-Key is missing or malformed")]
    Key,
}

/// An accepted upgrade request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handshake {
    accept: String,
    /// The subprotocol in the answer: the first of ours that the client offers.
    pub protocol: Option<String>,
    /// Whether the client offered subprotocols at all.
    pub offered: bool,
}

impl Handshake {
    /// Judges a request (4.2.1). `protocols` are ours, the best first.
    ///
    /// # Errors
    /// [`HandshakeError`].
    pub fn new(method: &Method, headers: &HeaderMap, protocols: &[&str]) -> Result<Self, HandshakeError> {
        let has = |name, token: &str| tokens(headers, name).any(|found| found.eq_ignore_ascii_case(token));
        if method != Method::GET || !has(header::UPGRADE, "websocket") || !has(header::CONNECTION, "upgrade") {
            return Err(HandshakeError::NotAnUpgrade);
        }
        if headers.get(header::SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
            return Err(HandshakeError::Version);
        }
        let key =
            headers.get(header::SEC_WEBSOCKET_KEY).and_then(|key| key.to_str().ok()).ok_or(HandshakeError::Key)?;
        if STANDARD.decode(key.trim()).map_or(0, |key| key.len()) != 16 {
            return Err(HandshakeError::Key);
        }
        let offered: Vec<&str> = tokens(headers, header::SEC_WEBSOCKET_PROTOCOL).collect();
        let protocol = protocols.iter().find(|ours| offered.contains(ours)).map(|ours| (*ours).to_owned());
        Ok(Self { accept: accept(key.trim()), protocol, offered: !offered.is_empty() })
    }

    /// The answer, as it goes on the wire.
    #[must_use]
    pub fn answer(&self) -> Vec<u8> {
        let mut answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {}\r\n",
            self.accept
        );
        if let Some(protocol) = &self.protocol {
            answer.push_str("Sec-WebSocket-Protocol: ");
            answer.push_str(protocol);
            answer.push_str("\r\n");
        }
        answer.push_str("\r\n");
        answer.into_bytes()
    }
}

fn tokens(headers: &HeaderMap, name: header::HeaderName) -> impl Iterator<Item = &str> {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim).filter(|token| !token.is_empty())
}

fn accept(key: &str) -> String {
    let mut hash = Sha1::new();
    hash.update(key.as_bytes());
    hash.update(GUID.as_bytes());
    STANDARD.encode(hash.finalize())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use http::HeaderValue;

    use super::*;

    fn request() -> HeaderMap {
        let pairs = [
            (header::UPGRADE, "websocket"),
            (header::CONNECTION, "keep-alive, Upgrade"),
            (header::SEC_WEBSOCKET_VERSION, "13"),
            (header::SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ=="),
            (header::SEC_WEBSOCKET_PROTOCOL, "mqttv3.1, mqtt"),
        ];
        pairs.into_iter().map(|(name, value)| (name, HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn the_example_of_the_standard() {
        let handshake = Handshake::new(&Method::GET, &request(), &["mqtt", "mqttv3.1"]).unwrap();
        assert_eq!(handshake.protocol.as_deref(), Some("mqtt"));
        let answer = String::from_utf8(handshake.answer()).unwrap();
        assert!(answer.contains("\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
        assert!(answer.contains("\r\nSec-WebSocket-Protocol: mqtt\r\n") && answer.ends_with("\r\n\r\n"));
    }

    #[test]
    fn what_is_no_upgrade() {
        let judge = |name, value: Option<&'static str>| {
            let mut headers = request();
            headers.remove(&name);
            if let Some(value) = value {
                headers.insert(&name, HeaderValue::from_static(value));
            }
            Handshake::new(&Method::GET, &headers, &[])
        };
        assert_eq!(judge(header::UPGRADE, None), Err(HandshakeError::NotAnUpgrade));
        assert_eq!(judge(header::CONNECTION, Some("close")), Err(HandshakeError::NotAnUpgrade));
        assert_eq!(judge(header::SEC_WEBSOCKET_VERSION, Some("8")), Err(HandshakeError::Version));
        assert_eq!(judge(header::SEC_WEBSOCKET_KEY, Some("c2hvcnQ=")), Err(HandshakeError::Key));
        assert_eq!(Handshake::new(&Method::POST, &request(), &[]), Err(HandshakeError::NotAnUpgrade));
        let without = judge(header::SEC_WEBSOCKET_PROTOCOL, None).unwrap();
        assert_eq!((without.protocol, without.offered), (None, false));
        assert!(judge(header::SEC_WEBSOCKET_PROTOCOL, Some("chat")).unwrap().offered);
    }
}
