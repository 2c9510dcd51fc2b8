//! Bayeux 1.0 over WebSocket or long-polling.

use std::net::SocketAddr;

use memchr::memmem;

use super::http::{Responses, json_text, post};
use super::ws::{self, Part};
use super::{Client, Fault, Happening, Io, Protocol};
use crate::access::Tokens;

/// A long-polling publisher holds no connect; it asks for an empty one so often, which keeps its session alive.
const KEEP_ALIVE: u32 = 32;
const PATH: &str = "/bayeux";

/// A Bayeux server at `/bayeux`.
#[derive(Debug)]
pub(crate) struct Bayeux {
    pub(crate) address: SocketAddr,
    pub(crate) websocket: bool,
    pub(crate) tokens: Option<Tokens>,
}

impl Bayeux {
    fn client(&self, channels: &[u16]) -> Box<dyn Client> {
        let host = self.address.to_string();
        let transport = if self.websocket { "websocket" } else { "long-polling" };
        let ext = self.tokens.as_ref().map(|tokens| format!(r#","ext":{{"token":"{}"}}"#, tokens.next()));
        let session = Session {
            transport,
            ext: ext.unwrap_or_default(),
            channels: channels.to_vec(),
            id: String::new(),
            ready: false,
            published: 0,
        };
        if self.websocket {
            Box::new(OverWs { host, reader: ws::Reader::default(), session })
        } else {
            let responses = Responses::default();
            Box::new(Polling { host, responses, session, cookie: String::new() })
        }
    }
}

impl Protocol for Bayeux {
    fn label(&self) -> String {
        if self.websocket { "bayeux-ws" } else { "bayeux" }.to_owned()
    }

    fn address(&self) -> SocketAddr {
        self.address
    }

    fn subscriber(&self, channels: &[u16]) -> Box<dyn Client> {
        self.client(channels)
    }

    fn publisher(&self, _channel: u16) -> Box<dyn Client> {
        self.client(&[])
    }
}

/// The part both transports share: JSON in, the next JSON out.
#[derive(Debug)]
struct Session {
    transport: &'static str,
    /// The handshake's `ext`, after a comma.
    ext: String,
    /// None for a publisher.
    channels: Vec<u16>,
    /// The `clientId`.
    id: String,
    ready: bool,
    published: u32,
}

impl Session {
    fn handshake(&self) -> String {
        format!(
            r#"[{{"id":"1","channel":"/meta/handshake","version":"1.0","minimumVersion":"1.0","supportedConnectionTypes":["{}"]{}}}]"#,
            self.transport, self.ext
        )
    }

    fn connect(&self) -> String {
        // Servers take a hole in the numbering for a request that is still under way.
        let id = if self.channels.is_empty() { 2 } else { 3 };
        format!(
            r#"{{"id":"{id}","channel":"/meta/connect","clientId":"{}","connectionType":"{}"}}"#,
            self.id, self.transport
        )
    }

    fn subscribe(&self) -> String {
        let names: Vec<String> = self.channels.iter().map(|channel| format!("\"/bench/{channel}\"")).collect();
        let names = if let [name] = names.as_slice() { name.clone() } else { format!("[{}]", names.join(",")) };
        format!(r#"{{"id":"2","channel":"/meta/subscribe","clientId":"{}","subscription":{names}}}"#, self.id)
    }

    /// Takes an array of messages; answers what is to be sent next.
    fn messages(&mut self, json: &[u8], io: &mut Io<'_>) -> Result<Option<String>, Fault> {
        io.deliveries(json);
        let about = |name: &str| memmem::find(json, name.as_bytes()).is_some();
        if self.id.is_empty() {
            let id = json_text(json, "clientId").ok_or_else(|| Fault::answer(json))?;
            id.clone_into(&mut self.id);
            if self.channels.is_empty() {
                return Ok(self.publisher_ready(io));
            }
            return Ok(Some(format!("[{}]", self.subscribe())));
        }
        if about("\"successful\":false") {
            return Err(Fault::answer(json));
        }
        if !self.ready && about("\"/meta/subscribe\"") {
            self.ready = true;
            io.news.push(Happening::Ready);
            return Ok(Some(format!("[{}]", self.connect())));
        }
        if self.channels.is_empty() {
            self.confirmations(json, io);
        }
        let polls = !self.channels.is_empty() || self.transport == "websocket";
        Ok((polls && about("\"/meta/connect\"")).then(|| format!("[{}]", self.connect())))
    }

    fn publisher_ready(&mut self, io: &mut Io<'_>) -> Option<String> {
        self.ready = true;
        io.news.push(Happening::Ready);
        Some(format!("[{}]", if self.transport == "websocket" { self.connect() } else { self.empty_connect() }))
    }

    /// A connect that is answered at once.
    fn empty_connect(&self) -> String {
        let connect = self.connect();
        let open = connect.strip_suffix('}').unwrap_or_default();
        format!(r#"{open},"advice":{{"timeout":0}}}}"#)
    }

    fn confirmations(&self, json: &[u8], io: &mut Io<'_>) {
        for _ in memmem::find_iter(json, b"\"channel\":\"/bench/") {
            io.news.push(Happening::Published);
        }
    }

    fn publication(&mut self, channel: u16, payload: &[u8]) -> String {
        self.published += 1;
        let payload = String::from_utf8_lossy(payload);
        let message =
            format!(r#"{{"id":"p-","channel":"/bench/{channel}","clientId":"{}","data":"{payload}"}}"#, self.id);
        if self.transport != "websocket" && self.published.is_multiple_of(KEEP_ALIVE) {
            return format!("[{message},{}]", self.empty_connect());
        }
        format!("[{message}]")
    }
}

#[derive(Debug)]
struct OverWs {
    host: String,
    reader: ws::Reader,
    session: Session,
}

impl Client for OverWs {
    fn open(&mut self, io: &mut Io<'_>) -> Result<(), Fault> {
        io.out.extend_from_slice(ws::request(&self.host, PATH, None).as_bytes());
        Ok(())
    }

    fn receive(&mut self, input: &[u8], io: &mut Io<'_>) -> Result<(), Fault> {
        let Self { reader, session, .. } = self;
        reader.feed(input, io, |part, io| {
            let next = match part {
                Part::Open => Some(session.handshake()),
                Part::Data(data) => session.messages(data, io)?,
            };
            if let Some(json) = next {
                ws::frame(ws::TEXT, json.as_bytes(), io.out);
            }
            Ok(())
        })
    }

    fn publish(&mut self, channel: u16, payload: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
        ws::frame(ws::TEXT, self.session.publication(channel, payload).as_bytes(), out);
        Ok(())
    }
}

/// Long-polling on one keep-alive connection: one request at a time for a subscriber, pipelined publications.
#[derive(Debug)]
struct Polling {
    host: String,
    responses: Responses,
    session: Session,
    /// The header line that returns the server's cookie.
    cookie: String,
}

impl Polling {
    fn send(host: &str, cookie: &str, json: &str, out: &mut Vec<u8>) {
        let headers = format!("Content-Type: application/json;charset=UTF-8\r\n{cookie}");
        post(host, PATH, &headers, json.as_bytes(), out);
    }
}

impl Client for Polling {
    fn open(&mut self, io: &mut Io<'_>) -> Result<(), Fault> {
        Self::send(&self.host, "", &self.session.handshake(), io.out);
        Ok(())
    }

    fn receive(&mut self, input: &[u8], io: &mut Io<'_>) -> Result<(), Fault> {
        let Self { host, responses, session, cookie } = self;
        responses.feed(input, |head, body| {
            if head.status != 200 {
                return Err(Fault::Unexpected(format!("status {}: {}", head.status, String::from_utf8_lossy(body))));
            }
            if let Some(set) = head.cookie {
                let set = String::from_utf8_lossy(set);
                *cookie = format!("Cookie: {}\r\n", set.split(';').next().unwrap_or_default().trim());
            }
            if let Some(json) = session.messages(body, io)? {
                Self::send(host, cookie, &json, io.out);
            }
            Ok(())
        })
    }

    fn publish(&mut self, channel: u16, payload: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
        let json = self.session.publication(channel, payload);
        Self::send(&self.host, &self.cookie, &json, out);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::stamp::Stamp;

    fn response(body: &str, headers: &str) -> Vec<u8> {
        format!("HTTP/1.1 200 OK\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
    }

    fn drive(client: &mut dyn Client, input: &[u8]) -> (String, Vec<Happening>) {
        let (mut out, mut news) = (Vec::new(), Vec::new());
        client.receive(input, &mut Io { out: &mut out, news: &mut news }).unwrap();
        (String::from_utf8(out).unwrap(), news)
    }

    fn polling() -> Bayeux {
        Bayeux { address: "127.0.0.1:8080".parse().unwrap(), websocket: false, tokens: None }
    }

    #[test]
    fn a_poller_subscribes_and_polls_on() {
        let mut client = polling().subscriber(&[1, 2]);
        let shaken = r#"[{"id":"1","channel":"/meta/handshake","successful":true,"clientId":"c1"}]"#;
        let (out, _) = drive(client.as_mut(), &response(shaken, "Set-Cookie: BAYEUX_BROWSER=q; Path=/\r\n"));
        assert!(out.contains("\r\nCookie: BAYEUX_BROWSER=q\r\n"), "{out}");
        assert!(out.contains(r#""subscription":["/bench/1","/bench/2"]"#), "{out}");
        let subscribed = r#"[{"id":"2","channel":"/meta/subscribe","successful":true}]"#;
        let (out, news) = drive(client.as_mut(), &response(subscribed, ""));
        assert!(out.contains("/meta/connect"), "{out}");
        assert_eq!(news, [Happening::Ready]);
        let stamp = Stamp { channel: 1, seq: 0, sent: 3 };
        let mut payload = Vec::new();
        stamp.payload(50, &mut payload);
        let payload = String::from_utf8(payload).unwrap();
        let events = format!(
            r#"[{{"channel":"/bench/1","data":"{payload}"}},{{"channel":"/meta/connect","successful":true,"id":"3"}}]"#
        );
        let (out, news) = drive(client.as_mut(), &response(&events, ""));
        assert!(out.contains("/meta/connect"), "{out}");
        assert_eq!(news, [Happening::Delivery(stamp)]);
    }

    #[test]
    fn a_polling_publisher_keeps_its_session_alive() {
        let mut client = polling().publisher(0);
        let shaken = r#"[{"channel":"/meta/handshake","successful":true,"clientId":"c1"}]"#;
        let (out, news) = drive(client.as_mut(), &response(shaken, ""));
        assert!(out.contains(r#""advice":{"timeout":0}}]"#), "{out}");
        assert_eq!(news, [Happening::Ready]);
        let mut out = Vec::new();
        for _ in 0..KEEP_ALIVE {
            client.publish(0, b"x", &mut out).unwrap();
        }
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text.matches("/meta/connect").count(), 1);
        let answer = r#"[{"channel":"/bench/0","successful":true,"id":"p"}]"#;
        assert_eq!(drive(client.as_mut(), &response(answer, "")).1, [Happening::Published]);
    }

    #[test]
    fn refusals_are_faults() {
        let mut client = polling().subscriber(&[1]);
        let refused = r#"[{"channel":"/meta/handshake","successful":false}]"#;
        let (mut out, mut news) = (Vec::new(), Vec::new());
        let mut io = Io { out: &mut out, news: &mut news };
        assert!(client.receive(&response(refused, ""), &mut io).is_err());
    }
}
