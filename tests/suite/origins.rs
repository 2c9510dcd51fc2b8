//! One list of origins, `http.cors_origins`, for everything that a page can reach: HTTP and WebSocket of every protocol.

use ratatosk_tests::Gateway;
use ratatosk_tests::http::{Head, HttpConn, fetch};

const GOOD: &str = "https://good.example";
const BAD: &str = "https://bad.example";
const SHAKE: &[u8] = br#"[{"channel":"/meta/handshake","version":"1.0","supportedConnectionTypes":["long-polling"]}]"#;

/// Opens a WebSocket as a page of this origin would, and hands on what comes first.
async fn upgrade(gateway: &Gateway, target: &str, protocol: Option<&str>, origin: Option<&str>) -> (Head, HttpConn) {
    let mut connection = HttpConn::open(gateway.http).await;
    let mut headers = vec![
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    headers.extend(protocol.map(|protocol| ("Sec-WebSocket-Protocol", protocol)));
    headers.extend(origin.map(|origin| ("Origin", origin)));
    connection.send("GET", target, &headers, b"").await;
    (connection.head().await, connection)
}

async fn status(gateway: &Gateway, method: &str, target: &str, origin: &str, body: &[u8]) -> u16 {
    let headers = [("Origin", origin), ("Content-Type", "application/json")];
    let mut connection = HttpConn::open(gateway.http).await;
    connection.send(method, target, &headers, body).await;
    let head = connection.head().await;
    let allowed = head.header("access-control-allow-origin");
    assert_eq!(allowed.is_some(), origin == GOOD, "{method} {target} for {origin}: {allowed:?}");
    head.status
}

#[tokio::test]
async fn http_and_websocket_of_every_protocol_go_by_one_list() {
    let config = format!(
        "[http]\ncors_origins = [\"{GOOD}\"]\n[sse.mercure]\nanonymous = true\npublisher_jwt_key = \"0123456789abcdef0123456789abcdef\"\nsubscriber_jwt_key = \"0123456789abcdef0123456789abcdef\"\n"
    );
    let gateway = Gateway::with(&config).await;
    for (method, target, body) in [
        ("GET", "/sse?channel=a", &b""[..]),
        ("POST", "/publish?channel=a", b"1"),
        ("POST", "/bayeux", SHAKE),
        ("POST", "/app/demo-key/1/abcdefgh/xhr_streaming", b""),
        ("GET", "/.well-known/mercure?topic=a", b""),
    ] {
        assert_eq!(status(&gateway, method, target, GOOD, body).await, 200, "{target}");
        assert_eq!(status(&gateway, method, target, BAD, body).await, 403, "{target}");
    }
    for (target, protocol) in [("/bayeux", None), ("/mqtt", Some("mqtt"))] {
        for (origin, expected) in [(Some(GOOD), 101), (None, 101), (Some(BAD), 403), (Some("null"), 403)] {
            let (head, _) = upgrade(&gateway, target, protocol, origin).await;
            assert_eq!(head.status, expected, "{target} for {origin:?}");
        }
    }
    // A page cannot read the status of a refused upgrade: Pusher tells it after that.
    for (origin, expected) in [(GOOD, "pusher:connection_established"), (BAD, "4009")] {
        let (head, mut connection) = upgrade(&gateway, "/app/demo-key?protocol=7", None, Some(origin)).await;
        assert_eq!(head.status, 101);
        let first = String::from_utf8_lossy(&connection.some().await).into_owned();
        assert!(first.contains(expected), "{origin}: {first}");
    }
}

#[tokio::test]
async fn preflights_are_answered_by_the_same_list() {
    let gateway = Gateway::with(&format!("[http]\ncors_origins = [\"{GOOD}\"]")).await;
    for target in
        ["/sse?channel=a", "/publish?channel=a", "/bayeux", "/apps/demo/events", "/app/demo-key/1/abcdefgh/xhr_send"]
    {
        for origin in [GOOD, BAD] {
            let headers = [("Origin", origin), ("Access-Control-Request-Method", "POST"), ("Connection", "close")];
            let answer = fetch(gateway.http, "OPTIONS", target, &headers, b"").await;
            let allowed = answer.head.header("access-control-allow-origin");
            assert_eq!(allowed, (origin == GOOD).then_some(GOOD), "{target} for {origin}");
        }
    }
}
