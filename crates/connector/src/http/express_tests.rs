//! Requests that take a shortcut, beside those that don't, over real sockets.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{convert::Infallible, net::SocketAddr, time::Duration};

use axum::{Router, body::Body, extract::ConnectInfo, response::Response};
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body::SizeHint;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::SHORT;
use crate::{
    http::{Front, HttpListener, Problem, Requester, Shortcut, read_body},
    lifecycle::Lifecycle,
};

/// Shortcuts to `POST /short`, which answers with what it got, and `GET /stream`, which takes the connection over.
struct Ways(Vec<(Method, &'static str, Box<Shortcut>)>);

impl std::fmt::Debug for Ways {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ways")
    }
}

impl Front for Ways {
    fn answer(&self, _: &Method, headers: &HeaderMap, _: SizeHint) -> Option<Response> {
        let refused = headers.contains_key("x-refused");
        refused.then(|| axum::response::IntoResponse::into_response(Problem::bad_request("refused", "Refused", "here")))
    }

    fn shortcut(&self, method: &Method, path: &str) -> Option<&Shortcut> {
        self.0.iter().find(|(of, at, _)| of == method && *at == path).map(|(_, _, way)| &**way)
    }
}

async fn short(request: Request<Body>) -> Result<Response, Infallible> {
    let query = request.uri().query().unwrap_or_default().to_owned();
    let body = read_body(request.into_body(), usize::MAX).await.unwrap();
    let answer = match query.as_str() {
        "long" => Body::from(vec![b'l'; SHORT + 1]),
        "stream" => Body::from_stream(futures_util::stream::iter(["a", "b"].map(Ok::<_, Infallible>))),
        _ => Body::from([b"short:", &body[..]].concat()),
    };
    let mut answer = Response::new(answer);
    match query.as_str() {
        "last" => drop(answer.headers_mut().insert(header::CONNECTION, header::HeaderValue::from_static("close"))),
        "nothing" => *answer.status_mut() = StatusCode::NO_CONTENT,
        _ => {}
    }
    Ok(answer)
}

async fn stream(request: Request<Body>) -> Result<Response, Infallible> {
    let takeover = Requester::of(request.extensions()).and_then(Requester::takeover).unwrap();
    let answer = takeover.take(async |taken| {
        taken.socket.write_all(&[b"taken:", &taken.read[..]].concat()).await.unwrap();
    });
    Ok(answer.await)
}

async fn routed(ConnectInfo(address): ConnectInfo<SocketAddr>, request: Request<Body>) -> String {
    assert!(address.ip().is_loopback());
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let body = read_body(request.into_body(), usize::MAX).await.unwrap();
    format!("routed:{method} {path} {}", String::from_utf8_lossy(&body))
}

struct Gateway {
    address: SocketAddr,
    life: Lifecycle,
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.life.close();
    }
}

impl Gateway {
    async fn start(head_timeout: Duration) -> Self {
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, life) = (tcp.local_addr().unwrap(), Lifecycle::default());
        let ways: Vec<(Method, _, Box<Shortcut>)> = vec![
            (Method::POST, "/short", Box::new(|request| Box::pin(short(request)))),
            (Method::GET, "/stream", Box::new(|request| Box::pin(stream(request)))),
        ];
        let mut listener = HttpListener::plain(tcp);
        listener.front = Some(std::sync::Arc::new(Ways(ways)));
        listener.limits.head_timeout = head_timeout;
        life.spawn("listener", listener.serve(Router::new().fallback(routed), life.clone()));
        Self { address, life }
    }

    async fn connect(&self) -> Client {
        Client(TcpStream::connect(self.address).await.unwrap())
    }
}

struct Client(TcpStream);

impl Client {
    async fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.unwrap();
    }

    /// The head and the body of the next answer.
    async fn answer(&mut self) -> (String, String) {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.0.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
        let mut body = Vec::new();
        if let Some((_, rest)) = head.split_once("content-length: ") {
            body.resize(rest.split_once('\r').unwrap().0.parse().unwrap(), 0);
            self.0.read_exact(&mut body).await.unwrap();
        } else if head.contains("transfer-encoding: chunked") {
            while !body.ends_with(b"0\r\n\r\n") {
                body.push(self.0.read_u8().await.unwrap());
            }
        }
        (head, String::from_utf8(body).unwrap())
    }

    async fn ask(&mut self, text: &str) -> String {
        self.send(text).await;
        self.answer().await.1
    }

    /// What comes until the connection ends.
    async fn rest(mut self) -> String {
        let mut rest = String::new();
        let _ = self.0.read_to_string(&mut rest).await; // a reset is an end, too
        rest
    }
}

const LONG_AGO: Duration = Duration::from_secs(600);

fn post(path: &str, body: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

#[tokio::test]
async fn requests_of_both_kinds_are_answered_in_order() {
    let gateway = Gateway::start(LONG_AGO).await;
    let mut client = gateway.connect().await;
    assert_eq!(client.ask(&post("/short", "a")).await, "short:a");
    // Several at once, and one that needs the router between them: from there on the library serves the connection.
    client.send(&[post("/short?x", "b"), post("/short", ""), post("/other", "c"), post("/short", "d")].concat()).await;
    for expected in ["short:b", "short:", "routed:POST /other c", "short:d"] {
        assert_eq!(client.answer().await.1, expected);
    }
    let (head, body) = {
        client.send("GET /short HTTP/1.1\r\nHost: h\r\n\r\n").await;
        client.answer().await
    };
    assert!(head.starts_with("http/1.1 200 ok\r\n") && head.contains("\r\ndate: "), "{head}");
    assert_eq!(body, "routed:GET /short ");
}

#[tokio::test]
async fn a_request_may_come_in_any_pieces() {
    let gateway = Gateway::start(LONG_AGO).await;
    let text = post("/short", "body");
    for at in 1..text.len() {
        let mut client = gateway.connect().await;
        client.0.set_nodelay(true).unwrap();
        let (first, second) = text.split_at(at);
        client.send(first).await;
        tokio::task::yield_now().await;
        assert_eq!(client.ask(second).await, "short:body", "split at {at}");
        assert_eq!(client.ask(&text).await, "short:body", "after a split at {at}");
    }
    let mut client = gateway.connect().await;
    client.0.set_nodelay(true).unwrap();
    for byte in text.chars() {
        client.send(byte.encode_utf8(&mut [0; 4])).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(client.answer().await.1, "short:body");
}

#[tokio::test]
async fn what_is_odd_or_long_is_the_librarys() {
    let gateway = Gateway::start(LONG_AGO).await;
    let mut client = gateway.connect().await;
    let chunked = "POST /short HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    assert_eq!(client.ask(chunked).await, "short:abc");
    let mut client = gateway.connect().await;
    client.send("POST /short HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n").await;
    assert!(client.answer().await.0.starts_with("http/1.1 100 "));
    assert_eq!(client.ask("ab").await, "short:ab");
    for long in [SHORT - 1, SHORT + 1, 4 * SHORT] {
        let body = "x".repeat(long);
        let mut client = gateway.connect().await;
        assert_eq!(client.ask(&post("/short", &body)).await.len(), "short:".len() + long);
        assert_eq!(client.ask(&post("/short", "a")).await, "short:a");
    }
    let mut client = gateway.connect().await;
    client.send("POST /short HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab").await;
    assert!(client.rest().await.starts_with("HTTP/1.1 400 "));
}

#[tokio::test]
async fn an_answer_may_be_long_or_of_no_known_length_or_none() {
    let gateway = Gateway::start(LONG_AGO).await;
    let mut client = gateway.connect().await;
    assert_eq!(client.ask(&post("/short?long", "a")).await, "l".repeat(SHORT + 1));
    let mut client = gateway.connect().await;
    assert_eq!(client.ask(&post("/short?stream", "a")).await, "1\r\na\r\n1\r\nb\r\n0\r\n\r\n");
    let mut client = gateway.connect().await;
    client.send(&post("/short?nothing", "a")).await;
    assert!(client.answer().await.0.starts_with("http/1.1 204 "));
    assert_eq!(client.ask(&post("/short", "b")).await, "short:b");
}

#[tokio::test]
async fn a_refusal_comes_before_the_handler() {
    let gateway = Gateway::start(LONG_AGO).await;
    let mut client = gateway.connect().await;
    client.send("POST /short HTTP/1.1\r\nX-Refused: y\r\nContent-Length: 1\r\n\r\na").await;
    let (head, body) = client.answer().await;
    assert!(head.starts_with("http/1.1 400 ") && body.contains("Refused"), "{head}{body}");
    assert_eq!(client.ask(&post("/short", "b")).await, "short:b");
}

#[tokio::test]
async fn a_connection_that_is_taken_over_brings_what_came_after_the_request() {
    let gateway = Gateway::start(LONG_AGO).await;
    for before in [String::new(), post("/short", "a"), post("/other", "a")] {
        let mut client = gateway.connect().await;
        client.send(&(before.clone() + "GET /stream?x HTTP/1.1\r\nHost: h\r\n\r\nmore")).await;
        if !before.is_empty() {
            client.answer().await;
        }
        assert_eq!(client.rest().await, "taken:more", "after {before:?}");
    }
}

#[tokio::test]
async fn a_connection_ends_when_either_side_says_so() {
    let gateway = Gateway::start(LONG_AGO).await;
    let closing = post("/short", "a").replace("Host: h", "Connection: close");
    for last in [closing, post("/short?last", "a")] {
        let mut client = gateway.connect().await;
        client.send(&(last + &post("/short", "b"))).await;
        let (head, body) = client.answer().await;
        assert!(head.matches("connection: close").count() == 1 && body == "short:a", "{head}{body}");
        assert_eq!(client.rest().await, "");
    }
    let mut idle = gateway.connect().await;
    assert_eq!(idle.ask(&post("/short", "a")).await, "short:a");
    gateway.life.close();
    assert_eq!(idle.rest().await, "");
    assert_eq!(gateway.life.wait(Duration::from_secs(30)).await, 0);
}

#[tokio::test]
async fn silence_ends_a_connection() {
    let gateway = Gateway::start(Duration::from_millis(50)).await;
    assert_eq!(gateway.connect().await.rest().await, "");
    let mut client = gateway.connect().await;
    client.send("POST /short HTTP/1.1\r\nContent-").await;
    assert_eq!(client.rest().await, "");
    let mut client = gateway.connect().await;
    client.send(&post("/short", "a")).await;
    assert!(client.rest().await.ends_with("\r\n\r\nshort:a"));
}
