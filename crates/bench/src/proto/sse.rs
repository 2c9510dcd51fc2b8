//! Server-sent events: `GET` a stream, `POST` to publish. Also fits Nchan and anything else with one URL for each.

use std::net::SocketAddr;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::http::{Dechunker, Framing, Responses, head, post};
use super::tail::Tail;
use super::{Client, Fault, Happening, Io, Protocol, channel_name};
use crate::access::Tokens;
use crate::stamp::Scanner;

/// An SSE server; `{channel}` in a path stands for the percent-encoded channel name.
#[derive(Debug)]
pub(crate) struct Sse {
    pub(crate) address: SocketAddr,
    pub(crate) subscribe_path: String,
    pub(crate) publish_path: String,
    pub(crate) tokens: Option<Tokens>,
}

impl Sse {
    /// Path to subscribe to `channels`: a query parameter that repeats, or a template for one channel.
    fn path(&self, channels: &[u16]) -> String {
        let mut names = channels.iter().map(|&channel| encoded(channel));
        let mut path = self.subscribe_path.replace("{channel}", &names.next().unwrap_or_default());
        for name in names {
            path.push_str("&channel=");
            path.push_str(&name);
        }
        path
    }

    /// The header line of a connection's token.
    fn shown(&self) -> String {
        self.tokens.as_ref().map(|tokens| format!("Authorization: Bearer {}\r\n", tokens.next())).unwrap_or_default()
    }

    fn stream(&self, channels: &[u16], cursor: Option<&str>) -> Stream {
        let cursor = cursor.map(|id| format!("Last-Event-ID: {id}\r\n")).unwrap_or_default();
        let shown = self.shown();
        let request = format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nAccept: text/event-stream\r\nCache-Control: no-cache\r\n\
             User-Agent: ratatosk-bench\r\n{shown}{cursor}\r\n",
            self.path(channels),
            self.address
        );
        Stream { request, state: State::Head(Tail::default()), scanner: Scanner::default() }
    }
}

fn encoded(channel: u16) -> String {
    utf8_percent_encode(&channel_name(channel), NON_ALPHANUMERIC).to_string()
}

impl Protocol for Sse {
    fn label(&self) -> String {
        "sse".to_owned()
    }

    fn address(&self) -> SocketAddr {
        self.address
    }

    fn subscriber(&self, channels: &[u16]) -> Box<dyn Client> {
        Box::new(self.stream(channels, None))
    }

    fn publisher(&self, _channel: u16) -> Box<dyn Client> {
        Box::new(Publisher {
            host: self.address.to_string(),
            path: self.publish_path.clone(),
            headers: format!("Content-Type: text/plain\r\n{}", self.shown()),
            responses: Responses::default(),
        })
    }

    fn resumer(&self, channel: u16, cursor: &str) -> Option<Box<dyn Client>> {
        Some(Box::new(self.stream(&[channel], Some(cursor))))
    }
}

/// One event stream.
#[derive(Debug)]
struct Stream {
    request: String,
    state: State,
    scanner: Scanner,
}

#[derive(Debug)]
enum State {
    Head(Tail),
    Identity,
    Chunked(Dechunker),
}

impl Stream {
    fn body(&mut self, input: &[u8], io: &mut Io<'_>) -> Result<(), Fault> {
        let Self { state, scanner, .. } = self;
        let mut scan = |data: &[u8]| scanner.scan(data, |stamp| io.news.push(Happening::Delivery(stamp)));
        match state {
            State::Identity => scan(input),
            State::Chunked(chunks) => {
                chunks.feed(input, scan)?;
                if chunks.ended() {
                    return Err(Fault::Unexpected("end of the stream".to_owned()));
                }
            }
            State::Head(_) => {}
        }
        Ok(())
    }
}

impl Client for Stream {
    fn open(&mut self, io: &mut Io<'_>) -> Result<(), Fault> {
        io.out.extend_from_slice(self.request.as_bytes());
        self.request = String::new();
        Ok(())
    }

    fn receive(&mut self, input: &[u8], io: &mut Io<'_>) -> Result<(), Fault> {
        let State::Head(tail) = &mut self.state else { return self.body(input, io) };
        let mut begun = None;
        tail.feed(input, |bytes| {
            let Some(head) = head(bytes)? else { return Ok(0) };
            if head.status != 200 {
                return Err(Fault::answer(bytes));
            }
            let state = match head.body {
                Framing::Chunked => State::Chunked(Dechunker::default()),
                Framing::Length(_) | Framing::Close => State::Identity,
            };
            begun = Some((state, bytes.get(head.len..).unwrap_or_default().to_vec()));
            Ok(bytes.len())
        })?;
        if let Some((state, rest)) = begun {
            self.state = state;
            io.news.push(Happening::Ready);
            self.body(&rest, io)?;
        }
        Ok(())
    }
}

/// A keep-alive connection with pipelined `POST`s.
#[derive(Debug)]
struct Publisher {
    host: String,
    path: String,
    headers: String,
    responses: Responses,
}

impl Client for Publisher {
    fn open(&mut self, io: &mut Io<'_>) -> Result<(), Fault> {
        io.news.push(Happening::Ready);
        Ok(())
    }

    fn receive(&mut self, input: &[u8], io: &mut Io<'_>) -> Result<(), Fault> {
        self.responses.feed(input, |head, body| {
            if !(200..300).contains(&head.status) {
                return Err(Fault::Unexpected(format!(
                    "status {} for a publication: {}",
                    head.status,
                    String::from_utf8_lossy(body)
                )));
            }
            io.news.push(Happening::Published);
            Ok(())
        })
    }

    fn publish(&mut self, channel: u16, payload: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
        let path = self.path.replace("{channel}", &encoded(channel));
        post(&self.host, &path, &self.headers, payload, out);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use super::*;
    use crate::stamp::Stamp;

    fn server() -> Sse {
        Sse {
            address: "127.0.0.1:8080".parse().unwrap(),
            subscribe_path: "/sse?channel={channel}".to_owned(),
            publish_path: "/publish?channel={channel}".to_owned(),
            tokens: None,
        }
    }

    fn news(pieces: &[&[u8]]) -> Vec<Happening> {
        let mut client = server().subscriber(&[0]);
        let (mut out, mut news) = (Vec::new(), Vec::new());
        let mut io = Io { out: &mut out, news: &mut news };
        client.open(&mut io).unwrap();
        for piece in pieces {
            client.receive(piece, &mut io).unwrap();
        }
        news
    }

    #[test]
    fn request_names_every_channel() {
        let mut client = server().stream(&[0, 7], Some("e.1"));
        let (mut out, mut news) = (Vec::new(), Vec::new());
        client.open(&mut Io { out: &mut out, news: &mut news }).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.starts_with("GET /sse?channel=bench%2F0&channel=bench%2F7 HTTP/1.1\r\n"), "{text}");
        assert!(text.contains("\r\nLast-Event-ID: e.1\r\n"), "{text}");
        assert!(text.ends_with("\r\n\r\n"));
    }

    #[test]
    fn identity_and_chunked_at_every_split() {
        let stamps: Vec<_> = (0..3).map(|seq| Stamp { channel: 0, seq, sent: 9 }).collect();
        let mut body = Vec::new();
        for stamp in &stamps {
            body.extend_from_slice(b"id: 1\ndata: ");
            stamp.payload(60, &mut body);
            body.extend_from_slice(b"\n\n");
        }
        let mut identity = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n".to_vec();
        identity.extend_from_slice(&body);
        let mut chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        for chunk in body.chunks(17) {
            chunked.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            chunked.extend_from_slice(chunk);
            chunked.extend_from_slice(b"\r\n");
        }
        let mut expected = vec![Happening::Ready];
        expected.extend(stamps.iter().map(|&s| Happening::Delivery(s)));
        for stream in [identity, chunked] {
            for split in 0..stream.len() {
                assert_eq!(news(&[&stream[..split], &stream[split..]]), expected, "split at {split}");
            }
        }
    }

    #[test]
    fn a_refusal_is_a_fault() {
        let mut client = server().subscriber(&[0]);
        let (mut out, mut news) = (Vec::new(), Vec::new());
        let mut io = Io { out: &mut out, news: &mut news };
        let answer = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
        assert!(client.receive(answer, &mut io).is_err());
    }

    #[test]
    fn publications_are_counted() {
        let mut client = server().publisher(0);
        let (mut out, mut news) = (Vec::new(), Vec::new());
        client.publish(3, b"abc", &mut out).unwrap();
        assert!(out.starts_with(b"POST /publish?channel=bench%2F3 HTTP/1.1\r\n"));
        assert!(out.ends_with(b"Content-Length: 3\r\n\r\nabc"));
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}".repeat(2);
        let mut io = Io { out: &mut out, news: &mut news };
        client.receive(&answer, &mut io).unwrap();
        assert_eq!(news, [Happening::Published; 2]);
    }
}
