//! Bad requests: each is answered in a way its sender can act on, and nobody else notices.

use ratatosk_tests::Gateway;
use ratatosk_tests::http::{HttpConn, fetch, query};
use serde_json::json;

#[tokio::test]
async fn a_bad_request_is_explained() {
    let gateway = Gateway::start().await;
    let cases = [
        "/sse",
        "/sse?channel=",
        "/sse?channel=a/%23/b",
        "/sse?channel=nul%00",
        "/sse?channel=bad%FFutf8",
        "/sse?channel=ok&channel=a/%23/b",
        "/sse?channel=a&format=xml",
    ];
    let mut kinds = std::collections::BTreeSet::new();
    for target in cases {
        let problem = gateway.get(target).await.assert_problem(400);
        kinds.insert(problem["type"].as_str().expect("checked").to_owned());
    }
    assert!(kinds.len() > 1, "a type tells one fault from another: {kinds:?}");
}

#[tokio::test]
async fn a_bad_publication_is_explained() {
    let gateway = Gateway::start().await;
    let post = async |target: &str| fetch(gateway.http, "POST", target, &[], b"x").await;
    for target in ["/publish", "/publish?channel=", "/publish?channel=nul%00", "/publish?channel=a&retain=perhaps"] {
        post(target).await.assert_problem(400);
    }
    post("/publish?channel=$monitor/created_client/sse").await.assert_problem(403);
    let long = format!("/publish{}", query(&[("channel", &"x".repeat(65_536))]));
    let status = post(&long).await.head.status;
    assert!([400, 414, 431].contains(&status), "{status}");
    assert_eq!(fetch(gateway.http, "GET", "/publish?channel=a", &[], b"").await.head.status, 405);
    for path in ["/sse", "/bayeux", "/publish"] {
        let refused = fetch(gateway.http, "PUT", path, &[], b"").await;
        assert_eq!(refused.head.status, 405, "{path}");
        assert!(refused.head.header("allow").is_some_and(|methods| methods.contains("POST")), "{path}");
    }
}

#[tokio::test]
async fn an_over_long_query_is_414() {
    let gateway = Gateway::start().await;
    let target = format!("/sse{}", query(&[("channel", &"x/".repeat(40_000))]));
    assert_eq!(gateway.get(&target).await.head.status, 414);
}

#[tokio::test]
async fn headers_over_the_limit_are_431() {
    let gateway = Gateway::with("[http]\nmax_header = \"4 KiB\"").await;
    let get = async |bytes| fetch(gateway.http, "GET", "/", &[("x-padding", &"x".repeat(bytes))], b"").await;
    assert_eq!(get(3 << 10).await.head.status, 200);
    get(5 << 10).await.assert_problem(431);
    // A long name is in the request line, which has a bound of its own.
    let target = format!("/publish{}", query(&[("channel", &"x".repeat(60_000))]));
    assert_eq!(fetch(gateway.http, "POST", &target, &[], b"x").await.head.status, 200);
}

/// `fetch` says `text/plain` of every string, whatever its author meant.
#[tokio::test]
async fn json_that_fetch_sends_without_a_type_is_json() {
    let gateway = Gateway::start().await;
    let mut watching = gateway.sse(&[("channel", "a")]).await;
    for (content_type, data) in [("text/plain;charset=UTF-8", json!({"c": 1})), ("text/plain", json!("{\"c\":1}"))] {
        let headers = [("content-type", content_type)];
        fetch(gateway.http, "POST", "/publish?channel=a", &headers, b"{\"c\":1}").await;
        assert_eq!(*watching.message().await.data(), data, "{content_type}");
    }
}

#[tokio::test]
async fn a_body_over_the_limit_is_413() {
    let gateway = Gateway::start().await;
    let mut watching = gateway.sse(&[("channel", "a")]).await;
    // Announced, but never sent: the answer must not wait for it.
    let mut connection = HttpConn::open(gateway.http).await;
    let head = format!("POST /publish?channel=a HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", 1_u64 << 40);
    connection.write(head.as_bytes()).await;
    connection.response().await.assert_problem(413);
    gateway.publish("a", "next").await;
    assert_eq!(watching.message().await.payload(), b"next");
}

#[tokio::test]
async fn unknown_paths_and_methods_have_their_status() {
    let gateway = Gateway::start().await;
    gateway.get("/no/such/path").await.assert_problem(404);
    let refused = gateway.get("/publish?channel=a").await;
    refused.assert_problem(405);
    assert_eq!(refused.head.header("allow"), Some("POST"));
    fetch(gateway.http, "DELETE", "/sse?channel=a", &[], b"").await.assert_problem(405);
}

#[tokio::test]
async fn a_preflight_is_answered() {
    let gateway = Gateway::start().await;
    let headers = [
        ("Origin", "http://page.example"),
        ("Access-Control-Request-Method", "POST"),
        ("Access-Control-Request-Headers", "content-type"),
    ];
    let response = fetch(gateway.http, "OPTIONS", "/publish?channel=a", &headers, b"").await;
    assert!(response.head.status < 300, "{:?}", response.head);
    assert_eq!(response.head.header("access-control-allow-origin"), Some("*"));
    let allowed = response.head.header("access-control-allow-headers").unwrap_or_default().to_ascii_lowercase();
    assert!(allowed == "*" || allowed.contains("content-type"), "{allowed}");
}

#[tokio::test]
async fn garbage_does_not_disturb_others() {
    let gateway = Gateway::start().await;
    let mut watching = gateway.sse(&[("channel", "a")]).await;
    let many = format!("GET /sse?channel=a HTTP/1.1\r\n{}", "X: y\r\n".repeat(20_000));
    let inputs: [&[u8]; 5] = [
        b"\0\0\0\0\r\n\r\n",
        b"GET\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\ngarbage!!",
        many.as_bytes(),
    ];
    for input in inputs {
        let mut connection = HttpConn::open(gateway.http).await;
        // It may be hung up on while it is still talking; only the end of the connection matters.
        connection.try_write(input).await;
        connection.shut_write_if_open().await;
        while !connection.some().await.is_empty() {}
    }
    gateway.publish("a", "alive").await;
    assert_eq!(watching.message().await.payload(), b"alive");
}
