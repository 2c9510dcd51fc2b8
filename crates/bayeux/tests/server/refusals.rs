//! What is refused over HTTP, in which words, and what nobody may do without end.

use crate::support::{Pending, Seen, Server, handshake, until};
use ratatosk_core::EndReason;
use serde_json::{Value, json};

#[tokio::test]
async fn refused_handshakes_leave_no_session() {
    let server = Server::start(json!({})).await;
    for (message, error) in [
        (
            json!({"channel": "/meta/handshake", "version": "2.0", "supportedConnectionTypes": ["long-polling"]}),
            "300:2.0:Version mismatch",
        ),
        (
            json!({"channel": "/meta/handshake", "version": "1.0", "supportedConnectionTypes": ["flash"]}),
            "301:flash:Connection types not supported",
        ),
    ] {
        let reply = server.post(message).await.remove(0);
        assert_eq!(
            (&reply["successful"], &reply["error"], &reply["advice"]["reconnect"]),
            (&json!(false), &json!(error), &json!("none"))
        );
    }
    assert_eq!(server.bayeux.sessions(), 0);
}

#[tokio::test]
async fn bad_bodies() {
    let server = Server::start(json!({"limits": {"body": "1 KiB", "batch": 3}})).await;
    let large = format!("[\"{}\"]", "x".repeat(2000));
    let many = "[{},{},{},{}]";
    for (body, status) in
        [("[]", 400), ("{", 400), ("[1]", 400), ("", 400), ("x=1", 400), (large.as_str(), 413), (many, 413)]
    {
        let response = server.send(server.raw("/bayeux", "application/json", body, "")).await;
        assert_eq!(response.status, status, "{body}");
    }
    let response = server.send(format!("DELETE /bayeux HTTP/1.1\r\nHost: {}\r\n\r\n", server.address)).await;
    assert_eq!(response.status, 405);
}

#[tokio::test]
async fn unknown_and_forged_sessions_and_foreign_browsers() {
    let server = Server::start(json!({"cookie": {"mode": "required"}})).await;
    let response = server.send(server.request(&handshake(json!({})), "")).await;
    let id = response.messages()[0]["clientId"].clone();
    let cookie = response.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    let subscribe = json!({"channel": "/meta/subscribe", "clientId": id, "subscription": "/a"});
    for (headers, successful) in [
        (format!("Cookie: {cookie}\r\n"), true),
        ("Cookie: BAYEUX_BROWSER=someoneelse\r\n".to_owned(), false),
        (String::new(), false),
    ] {
        let reply = server.send(server.request(&subscribe, &headers)).await.messages().remove(0);
        assert_eq!(reply["successful"], successful, "{headers}");
        assert_eq!(reply.get("error").is_some_and(|error| error == "402::session_unknown"), !successful);
    }
    let forged = json!({"channel": "/a", "clientId": "forged", "data": 1});
    assert_eq!(server.post(forged).await[0]["error"], "402::session_unknown");
}

#[tokio::test]
async fn publishing_without_a_session_needs_the_key() {
    let server = Server::start(json!({"publish_key": "s3cret"})).await;
    let client = server.client(json!({})).await;
    client.subscribe(json!("/a")).await;
    for (message, headers, successful) in [
        (json!({"channel": "/a", "data": 1, "ext": {"key": "s3cret"}}), "", true),
        (json!({"channel": "/a", "data": 2}), "Authorization: Bearer s3cret\r\n", true),
        (json!({"channel": "/a", "data": 3, "ext": {"key": "wrong"}}), "", false),
        (json!({"channel": "/a", "data": 4}), "", false),
        (json!({"channel": "/meta/subscribe", "subscription": "/a"}), "Authorization: Bearer s3cret\r\n", false),
    ] {
        let reply = server.send(server.request(&message, headers)).await.messages().remove(0);
        assert_eq!(reply["successful"], successful, "{message}");
    }
    assert_eq!(client.collect(2).await, [json!(1), json!(2)]);
}

#[tokio::test]
async fn the_publish_key_is_off_by_default() {
    let server = Server::start(json!({})).await;
    let message = json!({"channel": "/a", "data": 1, "ext": {"key": ""}});
    assert_eq!(server.post(message).await[0]["error"], "402::session_unknown");
}

#[tokio::test]
async fn pages_of_other_origins_are_kept_out() {
    let server = Server::with_origins(json!({}), &["https://good.example"]).await;
    for (origin, status) in [("https://good.example", 200), ("https://evil.example", 403)] {
        let response = server.send(server.request(&handshake(json!({})), &format!("Origin: {origin}\r\n"))).await;
        assert_eq!(response.status, status);
        let allowed = response.header("access-control-allow-origin");
        assert_eq!(allowed, (status == 200).then_some(origin));
    }
    let query = form_urlencoded::byte_serialize(handshake(json!({})).to_string().as_bytes()).collect::<String>();
    let jsonp = |referer: &str| {
        format!("GET /bayeux?message={query} HTTP/1.1\r\nHost: {}\r\nReferer: {referer}\r\n\r\n", server.address)
    };
    assert_eq!(server.send(jsonp("https://good.example/page")).await.status, 200);
    assert_eq!(server.send(jsonp("https://evil.example/page")).await.status, 403);
}

#[tokio::test]
async fn limits_are_told() {
    let server = Server::start(json!({"limits": {"sessions": 2, "subscriptions": 1}})).await;
    let client = server.client(json!({})).await;
    let message = client.message("/meta/subscribe", json!({"subscription": ["/a", "/b"]}));
    assert_eq!(client.post(message).await[0]["error"], "403:too_many_subscriptions:subscribe_denied");
    let _second = server.client(json!({})).await;
    let reply = server.post(handshake(json!({}))).await.remove(0);
    assert_eq!(reply["error"], "403:too_many_sessions:handshake_denied");
    assert_eq!(reply["advice"]["reconnect"], "handshake");
}

#[tokio::test]
async fn a_full_queue_ends_the_session_and_is_counted() {
    let server = Server::start(json!({"limits": {"queue": 3}})).await;
    let seen = Seen::on(&server.bus);
    let client = server.client(json!({})).await;
    client.subscribe(json!("/a")).await;
    for n in 0..4 {
        server.publish("a", &n.to_string());
    }
    until("the session ends", || server.bayeux.sessions() == 0).await;
    assert_eq!(seen.all().last().unwrap(), &format!("destroyed_client {}", EndReason::Slow));
    let drops = server.bus.stats().drops(ratatosk_bayeux::connector(), ratatosk_core::stats::DropReason::Slow);
    assert!(drops >= 4, "{drops}");
}

#[tokio::test]
async fn too_many_polls_of_one_browser() {
    let server = Server::start(json!({"limits": {"sessions_per_browser": 1}})).await;
    let mut clients: Vec<(Value, String)> = Vec::new();
    for _ in 0..2 {
        let cookie = "Cookie: BAYEUX_BROWSER=tab\r\n".to_owned();
        let reply = server.send(server.request(&handshake(json!({})), &cookie)).await.messages().remove(0);
        clients.push((reply["clientId"].clone(), cookie));
    }
    let connect = |(id, cookie): &(Value, String)| {
        server.request(&json!({"channel": "/meta/connect", "clientId": id, "connectionType": "long-polling"}), cookie)
    };
    for client in &clients {
        server.send(connect(client)).await;
    }
    let _held = Pending::open(&server, connect(&clients[0])).await;
    // The other session's connects are held too until the first one has arrived.
    let mut advice = Value::Null;
    while advice["multiple-clients"] != true {
        let second = Pending::open(&server, connect(&clients[1])).await;
        let answered = tokio::time::timeout(std::time::Duration::from_millis(200), second.response()).await;
        advice = answered.map_or(Value::Null, |response| response.messages()[0]["advice"].clone());
    }
    assert_eq!(advice["interval"], 2000);
}

#[tokio::test]
async fn a_flood_of_handshakes_is_told_to_come_back_later() {
    let server = Server::start(json!({"limits": {"handshakes_per_second": 1}})).await;
    let mut refused = 0;
    for _ in 0..20 {
        let reply = server.post(handshake(json!({}))).await.remove(0);
        if reply["successful"] == false {
            assert_eq!(reply["error"], "403:rate_limit:handshake_denied");
            assert_eq!(
                (&reply["advice"]["reconnect"], &reply["advice"]["interval"]),
                (&json!("handshake"), &json!(5000))
            );
            refused += 1;
        }
    }
    assert!(refused > 0);
    assert_eq!(server.bayeux.sessions(), 20 - refused);
}
