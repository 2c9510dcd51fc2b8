//! WebSocket and Faye's event stream.

use crate::support::{PATIENCE, Server, handshake, until};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream,
    tungstenite::{Message, client::IntoClientRequest as _, http::header::COOKIE},
};

struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    async fn open(server: &Server) -> Self {
        let (socket, _) = tokio_tungstenite::connect_async(format!("ws://{}/bayeux", server.address)).await.unwrap();
        Self(socket)
    }

    async fn send(&mut self, messages: Value) {
        self.0.send(Message::text(messages.to_string())).await.unwrap();
    }

    async fn next(&mut self) -> Message {
        tokio::time::timeout(PATIENCE, self.0.next()).await.expect("a frame in time").unwrap().unwrap()
    }

    async fn frame(&mut self) -> Vec<Value> {
        serde_json::from_str(self.next().await.to_text().unwrap()).unwrap()
    }

    /// Shakes hands, connects for the first time and subscribes.
    async fn begin(&mut self, ext: Value, subscription: Value) -> Value {
        self.send(json!([handshake(ext)])).await;
        let id = self.frame().await.remove(0)["clientId"].clone();
        self.send(json!([{"channel": "/meta/connect", "clientId": id, "connectionType": "websocket"}])).await;
        assert_eq!(self.frame().await[0]["advice"]["reconnect"], "retry");
        self.send(json!([{"channel": "/meta/subscribe", "clientId": id, "subscription": subscription}])).await;
        assert_eq!(self.frame().await[0]["successful"], true);
        id
    }
}

#[tokio::test]
async fn messages_are_pushed_without_waking_the_held_connect() {
    let server = Server::start(json!({})).await;
    let mut socket = Socket::open(&server).await;
    let id = socket.begin(json!({}), json!(["/a", "/b c/**"])).await;
    socket
        .send(json!([{"channel": "/meta/connect", "clientId": id, "connectionType": "websocket", "id": "held"}]))
        .await;
    server.publish("a", "1");
    assert_eq!(socket.frame().await, [json!({"channel": "/a", "data": 1})]);
    server.publish("b c/d", "2");
    assert_eq!(socket.frame().await, [json!({"channel": "/b c/d", "data": 2})]);
    socket.send(json!([{"channel": "/a", "clientId": id, "data": "mine", "id": "p"}])).await;
    let frames = [socket.frame().await, socket.frame().await].concat();
    assert!(frames.contains(&json!({"channel": "/a", "id": "p", "successful": true})), "{frames:?}");
    assert!(frames.contains(&json!({"channel": "/a", "data": "mine"})), "{frames:?}");
    socket.send(json!([{"channel": "/meta/disconnect", "clientId": id}])).await;
    let last = [socket.frame().await, socket.frame().await].concat();
    assert!(last.iter().any(|reply| reply["id"] == "held" && reply["advice"]["reconnect"] == "none"), "{last:?}");
}

#[tokio::test]
async fn acknowledged_messages_come_with_the_connect() {
    let server = Server::start(json!({})).await;
    let mut socket = Socket::open(&server).await;
    let id = socket.begin(json!({"ack": true}), json!("/a")).await;
    let connect = |ack: u64| json!([{"channel": "/meta/connect", "clientId": id, "connectionType": "websocket", "ext": {"ack": ack}}]);
    socket.send(connect(1)).await;
    server.publish("a", "1");
    let frame = socket.frame().await;
    assert_eq!(
        (&frame[0]["data"], &frame[1]["channel"], &frame[1]["ext"]["ack"]),
        (&json!(1), &json!("/meta/connect"), &json!(2))
    );
    drop(socket);
    let mut other = Socket::open(&server).await;
    other.send(connect(1)).await;
    assert_eq!(other.frame().await[0]["data"], 1, "the batch was not acknowledged");
}

#[tokio::test]
async fn a_session_moves_from_polling_to_a_socket_with_its_messages() {
    let server = Server::start(json!({})).await;
    let client = server.client(json!({})).await;
    client.subscribe(json!("/a")).await;
    server.publish("a", "1");
    let mut socket = Socket::open(&server).await;
    socket.send(json!([{"channel": "/meta/connect", "clientId": client.id, "connectionType": "websocket"}])).await;
    let mut data = Vec::new();
    while data.is_empty() {
        data.extend(socket.frame().await.into_iter().filter_map(|message| message.get("data").cloned()));
    }
    assert_eq!(data, [json!(1)]);
    drop(socket);
    let seen = client.server;
    seen.publish("a", "2");
    // Back to polling: whether the message waits or the socket still takes it depends on when its end is noticed.
    client.post(client.connect(json!({"advice": {"timeout": 0}}))).await;
    seen.publish("a", "3");
    let data = client.collect(1).await;
    assert!(data.contains(&json!(3)) || data.contains(&json!(2)), "{data:?}");
}

#[tokio::test]
async fn keep_alives_and_nonsense() {
    let server = Server::start(json!({"limits": {"body": "1 KiB"}})).await;
    let mut socket = Socket::open(&server).await;
    socket.0.send(Message::text("[]")).await.unwrap();
    assert_eq!(socket.next().await, Message::text("[]"));
    socket.0.send(Message::Ping("x".into())).await.unwrap();
    assert_eq!(socket.next().await, Message::Pong("x".into()));
    for nonsense in [Message::text("{"), Message::text("x".repeat(5000)), Message::binary(vec![1])] {
        let mut socket = Socket::open(&server).await;
        socket.0.send(nonsense).await.unwrap();
        assert!(matches!(socket.next().await, Message::Close(Some(_))));
    }
    assert_eq!(server.bayeux.sessions(), 0);
}

#[tokio::test]
async fn a_socket_that_closes_leaves_its_session_for_the_grace_period() {
    let server = Server::start(json!({"max_interval": "60ms"})).await;
    let mut socket = Socket::open(&server).await;
    let id = socket.begin(json!({}), json!("/a")).await;
    socket.send(json!([{"channel": "/meta/connect", "clientId": id, "connectionType": "websocket"}])).await;
    drop(socket);
    until("the session ends", || server.bayeux.sessions() == 0).await;
}

#[tokio::test]
async fn other_origins_cannot_open_a_socket() {
    use tokio_tungstenite::tungstenite::client::IntoClientRequest;
    let server = Server::with_origins(json!({}), &["https://good.example"]).await;
    for (origin, works) in [("https://good.example", true), ("https://evil.example", false)] {
        let mut request = format!("ws://{}/bayeux", server.address).into_client_request().unwrap();
        request.headers_mut().insert("Origin", origin.parse().unwrap());
        assert_eq!(tokio_tungstenite::connect_async(request).await.is_ok(), works, "{origin}");
    }
}

#[tokio::test]
async fn fayes_event_stream() {
    let server = Server::start(json!({"timeout": "5s"})).await;
    let client = server.client(json!({})).await;
    client.subscribe(json!("/a")).await;
    server.publish("a", "1");
    let mut stream = TcpStream::connect(&server.address).await.unwrap();
    let request =
        format!("GET /bayeux/{} HTTP/1.1\r\nHost: {}\r\nAccept: text/event-stream\r\n\r\n", client.id, server.address);
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    read_until(&mut stream, &mut text, r#"data: [{"channel":"/a","data":1}]"#).await;
    assert!(text.contains("text/event-stream") && text.contains("retry: "));
    let connect = client.post(client.connect(json!({"connectionType": "eventsource"}))).await.remove(0);
    assert_eq!(connect["advice"], json!({"reconnect": "retry", "interval": 5000, "timeout": 0}));
    server.publish("a", "2");
    read_until(&mut stream, &mut text, r#"data: [{"channel":"/a","data":2}]"#).await;
    let unknown =
        format!("GET /bayeux/nobody HTTP/1.1\r\nHost: {}\r\nAccept: text/event-stream\r\n\r\n", server.address);
    assert_eq!(server.send(unknown).await.status, 404);
}

async fn read_until(stream: &mut TcpStream, text: &mut String, wanted: &str) {
    let mut chunk = [0; 4096];
    while !text.contains(wanted) {
        let read = tokio::time::timeout(PATIENCE, stream.read(&mut chunk)).await.expect("in time").unwrap();
        assert!(read > 0, "the stream ended: {text}");
        text.push_str(std::str::from_utf8(&chunk[..read]).unwrap());
    }
}

/// Faye's client opens its socket while it shakes hands by HTTP: a second cookie would take the place of the session's.
#[tokio::test]
async fn a_socket_gives_no_cookie_and_is_held_to_the_sessions() {
    let server = Server::start(json!({"cookie": {"mode": "required"}})).await;
    let shaken = server.send(server.request(&handshake(json!({})), "")).await;
    let cookie = shaken.head.lines().find_map(|line| line.strip_prefix("Set-Cookie: ")).unwrap();
    let cookie = cookie.split(';').next().unwrap().to_owned();
    let id = shaken.messages().remove(0)["clientId"].clone();
    for (cookie, successful) in [(Some(cookie), true), (None, false)] {
        let mut request = format!("ws://{}/bayeux", server.address).into_client_request().unwrap();
        request.headers_mut().extend(cookie.map(|cookie| (COOKIE, cookie.parse().unwrap())));
        let (socket, response) = tokio_tungstenite::connect_async(request).await.unwrap();
        assert!(!response.headers().contains_key("set-cookie"));
        let mut socket = Socket(socket);
        socket.send(json!([{"channel": "/a", "clientId": id, "data": 1}])).await;
        assert_eq!(socket.frame().await[0]["successful"], successful);
    }
}
