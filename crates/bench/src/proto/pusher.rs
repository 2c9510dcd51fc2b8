//! Pusher protocol 7: WebSocket subscribers; publications by the signed HTTP API or as client events.

use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use hmac::{Hmac, Mac};
use md5::{Digest, Md5};
use memchr::memmem;
use sha2::Sha256;

use super::http::{Responses, json_text, post};
use super::ws::{self, Part};
use super::{Client, Fault, Happening, Io, Protocol};

/// A Pusher server and an app on it.
#[derive(Debug)]
pub(crate) struct Pusher {
    pub(crate) address: SocketAddr,
    /// Publish as client events instead of by the HTTP API.
    pub(crate) client_events: bool,
    pub(crate) app: App,
}

/// Credentials.
#[derive(Clone, Debug)]
pub(crate) struct App {
    pub(crate) id: String,
    pub(crate) key: String,
    pub(crate) secret: String,
}

impl App {
    /// From `ID:KEY:SECRET`.
    pub(crate) fn parse(text: &str) -> anyhow::Result<Self> {
        let parts: Vec<&str> = text.splitn(3, ':').collect();
        let &[id, key, secret] = parts.as_slice() else {
            anyhow::bail!("a Pusher app is given as ID:KEY:SECRET");
        };
        Ok(Self { id: id.to_owned(), key: key.to_owned(), secret: secret.to_owned() })
    }

    /// Hex of HMAC-SHA256 with the secret.
    fn sign(&self, text: &str) -> Result<String, Fault> {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(self.secret.as_bytes()).map_err(|_| Fault::Unsupported("this secret"))?;
        mac.update(text.as_bytes());
        Ok(hex::encode(mac.finalize().into_bytes()))
    }
}

impl Pusher {
    fn member(&self, channels: &[u16]) -> Member {
        Member {
            host: self.address.to_string(),
            app: self.app.clone(),
            private: self.client_events,
            channels: channels.to_vec(),
            waiting: channels.len(),
            reader: ws::Reader::default(),
        }
    }
}

fn name(channel: u16, private: bool) -> String {
    format!("{}bench.{channel}", if private { "private-" } else { "" })
}

impl Protocol for Pusher {
    fn label(&self) -> String {
        if self.client_events { "pusher-client" } else { "pusher" }.to_owned()
    }

    fn address(&self) -> SocketAddr {
        self.address
    }

    fn subscriber(&self, channels: &[u16]) -> Box<dyn Client> {
        Box::new(self.member(channels))
    }

    fn publisher(&self, channel: u16) -> Box<dyn Client> {
        if self.client_events {
            // Only members may send client events; they do not get their own.
            return Box::new(self.member(&[channel]));
        }
        Box::new(Api { host: self.address.to_string(), app: self.app.clone(), responses: Responses::default() })
    }
}

/// A member of channels over WebSocket.
#[derive(Debug)]
struct Member {
    host: String,
    app: App,
    private: bool,
    channels: Vec<u16>,
    /// Subscriptions not yet confirmed.
    waiting: usize,
    reader: ws::Reader,
}

impl Client for Member {
    fn open(&mut self, io: &mut Io<'_>) -> Result<(), Fault> {
        let path = format!("/app/{}?protocol=7&client=bench&version=1.0&flash=false", self.app.key);
        io.out.extend_from_slice(ws::request(&self.host, &path, None).as_bytes());
        Ok(())
    }

    fn receive(&mut self, input: &[u8], io: &mut Io<'_>) -> Result<(), Fault> {
        let mut reader = std::mem::take(&mut self.reader);
        let result = reader.feed(input, io, |part, io| match part {
            Part::Data(data) if self.waiting > 0 => self.handshake(data, io),
            Part::Data(data) => event(data, io),
            Part::Open => Ok(()),
        });
        self.reader = reader;
        result
    }

    fn publish(&mut self, channel: u16, payload: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
        let channel = name(channel, true);
        let payload = String::from_utf8_lossy(payload);
        let event = format!(r#"{{"event":"client-m","channel":"{channel}","data":"{payload}"}}"#);
        ws::frame(ws::TEXT, event.as_bytes(), out);
        Ok(())
    }
}

impl Member {
    fn handshake(&mut self, data: &[u8], io: &mut Io<'_>) -> Result<(), Fault> {
        let kind = json_text(data, "event").unwrap_or_default();
        match kind {
            "pusher:connection_established" => self.subscribe(data, io),
            "pusher_internal:subscription_succeeded" => {
                self.waiting -= 1;
                if self.waiting == 0 {
                    io.news.push(Happening::Ready);
                }
                Ok(())
            }
            "pusher:error" | "pusher:subscription_error" => Err(Fault::answer(data)),
            _ => event(data, io),
        }
    }

    fn subscribe(&self, data: &[u8], io: &mut Io<'_>) -> Result<(), Fault> {
        // `data` is JSON in a string: its quotes are escaped.
        let plain: Vec<u8> = data.iter().copied().filter(|&byte| byte != b'\\').collect();
        let socket = json_text(&plain, "socket_id").ok_or_else(|| Fault::answer(data))?;
        for &channel in &self.channels {
            let channel = name(channel, self.private);
            let auth = if self.private {
                let signature = self.app.sign(&format!("{socket}:{channel}"))?;
                format!(r#","auth":"{}:{signature}""#, self.app.key)
            } else {
                String::new()
            };
            let event = format!(r#"{{"event":"pusher:subscribe","data":{{"channel":"{channel}"{auth}}}}}"#);
            ws::frame(ws::TEXT, event.as_bytes(), io.out);
        }
        Ok(())
    }
}

/// A frame after the handshake: messages, pings, or an error such as 4301 (too many client events).
fn event(data: &[u8], io: &mut Io<'_>) -> Result<(), Fault> {
    let head = data.get(..data.len().min(40)).unwrap_or_default();
    if memmem::find(head, b"\"pusher:").is_some() {
        if memmem::find(head, b"\"pusher:error\"").is_some() {
            return Err(Fault::answer(data));
        }
        if memmem::find(head, b"\"pusher:ping\"").is_some() {
            ws::frame(ws::TEXT, br#"{"event":"pusher:pong","data":{}}"#, io.out);
        }
    }
    io.deliveries(data);
    Ok(())
}

/// The HTTP API on one keep-alive connection.
#[derive(Debug)]
struct Api {
    host: String,
    app: App,
    responses: Responses,
}

impl Client for Api {
    fn open(&mut self, io: &mut Io<'_>) -> Result<(), Fault> {
        io.news.push(Happening::Ready);
        Ok(())
    }

    fn receive(&mut self, input: &[u8], io: &mut Io<'_>) -> Result<(), Fault> {
        self.responses.feed(input, |head, body| {
            if head.status != 200 {
                return Err(Fault::Unexpected(format!("status {}: {}", head.status, String::from_utf8_lossy(body))));
            }
            io.news.push(Happening::Published);
            Ok(())
        })
    }

    fn publish(&mut self, channel: u16, payload: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
        let channel = name(channel, false);
        let payload = String::from_utf8_lossy(payload);
        let body = format!(r#"{{"name":"m","channels":["{channel}"],"data":"{payload}"}}"#);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let path = self.app.signed(&body, now)?;
        post(&self.host, &path, "Content-Type: application/json\r\n", body.as_bytes(), out);
        Ok(())
    }
}

impl App {
    /// Path and query of a signed `POST events`.
    fn signed(&self, body: &str, now: u64) -> Result<String, Fault> {
        let path = format!("/apps/{}/events", self.id);
        let digest = hex::encode(Md5::digest(body.as_bytes()));
        let query = format!("auth_key={}&auth_timestamp={now}&auth_version=1.0&body_md5={digest}", self.key);
        let signature = self.sign(&format!("POST\n{path}\n{query}"))?;
        Ok(format!("{path}?{query}&auth_signature={signature}"))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::stamp::Stamp;

    /// The example of the HTTP API's reference.
    #[test]
    fn signature_of_the_reference() {
        let app = App::parse("3:278d425bdf160c739803:7ad3773142a6692b25b8").unwrap();
        let body = r#"{"name":"foo","channels":["project-3"],"data":"{\"some\":\"data\"}"}"#;
        let path = app.signed(body, 1_353_088_179).unwrap();
        assert!(path.contains("body_md5=ec365a775a4cd0599faeb73354201b6f"), "{path}");
        let signature = "auth_signature=da454824c97ba181a32ccc17a72625ba02771f50b50e1e7430e47a1f3f457e6c";
        assert!(path.ends_with(signature), "{path}");
    }

    /// The example of the channel authorization reference.
    #[test]
    fn private_channels_are_signed() {
        let app = App::parse("3:278d425bdf160c739803:7ad3773142a6692b25b8").unwrap();
        let signature = app.sign("1234.1234:private-foobar").unwrap();
        assert_eq!(signature, "58df8b0c36d6982b82c3ecf6b4662e34fe8c25bba48f5369f135bf843651c3a4");
    }

    fn text_frame(text: &str) -> Vec<u8> {
        let len = u16::try_from(text.len()).unwrap().to_be_bytes();
        [&[0x81, 126, len[0], len[1]], text.as_bytes()].concat()
    }

    #[test]
    fn subscribes_and_receives() {
        let address = "127.0.0.1:8080".parse().unwrap();
        let pusher = Pusher { address, client_events: true, app: App::parse("demo:demo-key:demo-secret").unwrap() };
        let mut client = pusher.subscriber(&[4]);
        let (mut out, mut news) = (Vec::new(), Vec::new());
        let mut io = Io { out: &mut out, news: &mut news };
        client.receive(b"HTTP/1.1 101 Switching Protocols\r\n\r\n", &mut io).unwrap();
        let established =
            r#"{"event":"pusher:connection_established","data":"{\"socket_id\":\"1.2\",\"activity_timeout\":120}"}"#;
        client.receive(&text_frame(established), &mut io).unwrap();
        assert!(!io.out.is_empty());
        let stamp = Stamp { channel: 4, seq: 0, sent: 1 };
        let mut payload = Vec::new();
        stamp.payload(50, &mut payload);
        let payload = String::from_utf8(payload).unwrap();
        let succeeded = r#"{"event":"pusher_internal:subscription_succeeded","channel":"private-bench.4","data":"{}"}"#;
        let message = format!(r#"{{"event":"client-m","channel":"private-bench.4","data":"{payload}"}}"#);
        let both = [text_frame(succeeded), text_frame(&message)].concat();
        client.receive(&both, &mut io).unwrap();
        assert_eq!(news, [Happening::Ready, Happening::Delivery(stamp)]);
    }
}
