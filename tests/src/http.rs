//! A bare HTTP/1.1 client over one TCP connection: it shows exactly what the server wrote, and can misbehave on purpose.

use std::fmt::Write as _;
use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::wait::within;

/// The status line and the header fields.
#[derive(Clone, Debug)]
pub struct Head {
    /// The status code.
    pub status: u16,
    /// The header fields in order, names in lower case.
    pub headers: Vec<(String, String)>,
}

impl Head {
    /// The first value of a header field.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Whether a comma-separated header field names `token`.
    #[must_use]
    pub fn has_token(&self, name: &str, token: &str) -> bool {
        let fields = self.headers.iter().filter(|(key, _)| key == name);
        fields.flat_map(|(_, value)| value.split(',')).any(|part| part.trim().eq_ignore_ascii_case(token))
    }
}

/// A whole response.
#[derive(Clone, Debug)]
pub struct Response {
    /// Status and header fields.
    pub head: Head,
    /// The body, its transfer coding undone.
    pub body: Vec<u8>,
}

impl Response {
    /// The body as JSON.
    ///
    /// # Panics
    /// When it is not.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("not JSON ({error}): {}", String::from_utf8_lossy(&self.body)))
    }

    /// Holds the response to RFC 9457: the status, `application/problem+json`, a title and a stable type.
    ///
    /// # Panics
    /// When it is something else.
    pub fn assert_problem(&self, status: u16) -> Value {
        assert_eq!(self.head.status, status, "{}", String::from_utf8_lossy(&self.body));
        let kind = self.head.header("content-type").unwrap_or_default();
        assert!(kind.starts_with("application/problem+json"), "content-type {kind:?}");
        let problem = self.json();
        for key in ["type", "title", "detail"] {
            assert!(problem[key].as_str().is_some_and(|text| !text.is_empty()), "no {key} in {problem}");
        }
        problem
    }
}

/// One connection.
pub struct HttpConn {
    stream: BufReader<TcpStream>,
    host: SocketAddr,
}

impl HttpConn {
    /// Connects.
    ///
    /// # Panics
    /// When the server refuses.
    pub async fn open(address: SocketAddr) -> Self {
        let stream = within("a TCP connection", TcpStream::connect(address)).await;
        let stream = stream.unwrap_or_else(|error| panic!("cannot connect to {address}: {error}"));
        stream.set_nodelay(true).expect("a TCP option");
        Self { stream: BufReader::new(stream), host: address }
    }

    /// Writes bytes as they are.
    ///
    /// # Panics
    /// When the server has closed.
    pub async fn write(&mut self, bytes: &[u8]) {
        self.stream.get_mut().write_all(bytes).await.expect("the server reads");
    }

    /// Writes bytes as far as the server takes them.
    pub async fn try_write(&mut self, bytes: &[u8]) {
        // The server may hang up in the middle: that is what the caller is about to see.
        let _ = self.stream.get_mut().write_all(bytes).await;
    }

    /// Writes a request with `Host` and, where there is a body, `Content-Length`.
    pub async fn send(&mut self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) {
        let request = request(self.host, method, target, headers, body);
        self.write(&request).await;
    }

    /// Reads a status line and header fields.
    ///
    /// # Panics
    /// When the server closes first, or writes something that is no response.
    pub async fn head(&mut self) -> Head {
        let (status, mut headers) = (self.line().await, Vec::new());
        let status = status.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = status.unwrap_or_else(|| panic!("not a status line"));
        loop {
            let line = self.line().await;
            if line.is_empty() {
                return Head { status, headers };
            }
            let (name, value) = line.split_once(':').unwrap_or_else(|| panic!("not a header field: {line:?}"));
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }

    /// Reads a whole response.
    pub async fn response(&mut self) -> Response {
        let head = self.head().await;
        let mut body = Vec::new();
        if head.has_token("transfer-encoding", "chunked") {
            while let Some(chunk) = self.chunk().await {
                body.extend(chunk);
            }
        } else if let Some(length) = head.header("content-length") {
            body.resize(length.parse().expect("a length"), 0);
            within("a body", self.stream.read_exact(&mut body)).await.expect("the whole body");
        } else if head.status >= 200 && head.status != 204 && head.status != 304 {
            within("a body", self.stream.read_to_end(&mut body)).await.expect("the body");
        }
        Response { head, body }
    }

    /// One chunk of a chunked body; `None` after the last.
    ///
    /// # Panics
    /// When the chunk is malformed or the connection breaks inside it.
    pub async fn chunk(&mut self) -> Option<Vec<u8>> {
        let line = self.line().await;
        let size = usize::from_str_radix(line.split(';').next().unwrap_or_default().trim(), 16);
        let mut bytes = vec![0; size.unwrap_or_else(|_| panic!("not a chunk size: {line:?}")) + 2];
        within("a chunk", self.stream.read_exact(&mut bytes)).await.expect("the whole chunk");
        bytes.truncate(bytes.len() - 2);
        (!bytes.is_empty()).then_some(bytes)
    }

    /// Whatever has arrived, at least one byte; empty at the end of the connection (or when it was reset).
    pub async fn some(&mut self) -> Vec<u8> {
        let bytes = within("bytes from the server", self.stream.fill_buf()).await.unwrap_or_default().to_vec();
        self.stream.consume(bytes.len());
        bytes
    }

    /// Tells the server that nothing more will be sent, and goes on reading.
    ///
    /// # Panics
    /// When the connection is gone.
    pub async fn shut_write(&mut self) {
        self.stream.get_mut().shutdown().await.expect("a connection to half-close");
    }

    /// The same, for a connection that the server may have closed already.
    pub async fn shut_write_if_open(&mut self) {
        let _ = self.stream.get_mut().shutdown().await;
    }

    async fn line(&mut self) -> String {
        let mut line = String::new();
        let read = within("a line from the server", self.stream.read_line(&mut line)).await.expect("a line of text");
        assert!(read > 0, "the server closed the connection");
        line.truncate(line.trim_end_matches(['\r', '\n']).len());
        line
    }
}

fn request(host: SocketAddr, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut head = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n");
    for (name, value) in headers {
        let _ = write!(head, "{name}: {value}\r\n");
    }
    if !body.is_empty() || method == "POST" {
        let _ = write!(head, "Content-Length: {}\r\n", body.len());
    }
    head.push_str("\r\n");
    let mut bytes = head.into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// A request on a connection of its own.
pub async fn fetch(address: SocketAddr, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Response {
    let mut connection = HttpConn::open(address).await;
    connection.send(method, target, headers, body).await;
    connection.response().await
}

/// Sends many requests down one connection without waiting in between (HTTP/1.1 pipelining keeps their order) and
/// returns the responses.
///
/// # Panics
/// When the server refuses or ends early.
pub async fn pipeline(address: SocketAddr, requests: impl IntoIterator<Item = (String, Vec<u8>)>) -> Vec<Response> {
    let requests: Vec<Vec<u8>> =
        requests.into_iter().map(|(target, body)| request(address, "POST", &target, &[], &body)).collect();
    let count = requests.len();
    let stream = TcpStream::connect(address).await.expect("the server accepts");
    let (reader, mut writer) = stream.into_split();
    let writing = tokio::spawn(async move {
        for batch in requests.chunks(64) {
            writer.write_all(&batch.concat()).await.expect("the server reads");
        }
        writer
    });
    let mut reader = BufReader::new(reader);
    let mut responses = Vec::with_capacity(count);
    for _ in 0..count {
        responses.push(within("a pipelined response", read_sized(&mut reader)).await);
    }
    drop(writing.await.expect("the writer ends"));
    responses
}

async fn read_sized(reader: &mut (impl AsyncBufReadExt + Unpin)) -> Response {
    let (mut status, mut length, mut line) = (0, 0, String::new());
    loop {
        line.clear();
        assert!(reader.read_line(&mut line).await.expect("a line") > 0, "the server closed the connection");
        let text = line.trim_end().to_ascii_lowercase();
        if text.starts_with("http/1.1 ") {
            status = text[9..12].parse().expect("a status");
        } else if let Some(value) = text.strip_prefix("content-length:") {
            length = value.trim().parse().expect("a length");
        } else if text.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).await.expect("the whole body");
    Response { head: Head { status, headers: Vec::new() }, body }
}

/// `?key=value&...` with everything percent-encoded that has to be.
#[must_use]
pub fn query(pairs: &[(&str, &str)]) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::from("?"));
    query.extend_pairs(pairs);
    query.finish()
}
