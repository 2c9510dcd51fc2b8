//! Who may come in: judged around the router, though a polling connection is served on its bare socket.

use serde_json::json;

use crate::support::{Pending, Server, handshake};

/// A polling connection is served on its bare socket, but who may come in is judged by the layers around the router.
#[tokio::test]
async fn other_credentials_on_the_same_connection_are_judged_anew() {
    use axum::{
        extract::Request,
        middleware::{Next, from_fn},
        response::IntoResponse,
    };
    async fn guard(request: Request, next: Next) -> axum::response::Response {
        let known = request.headers().get("authorization").is_some_and(|value| value == "Basic known");
        if known { next.run(request).await } else { http::StatusCode::UNAUTHORIZED.into_response() }
    }
    let server = Server::layered(json!({}), |router| router.layer(from_fn(guard))).await;
    let request = |headers: &str| server.request(&handshake(json!({})), headers);
    let mut connection = Pending::open(&server, request("Authorization: Basic known\r\n")).await;
    for (headers, status) in [
        ("Authorization: Basic known\r\n", 200),
        ("", 401),
        ("Authorization: Basic other\r\n", 401),
        ("Authorization: Basic known\r\n", 200),
    ] {
        assert_eq!(connection.next().await.status, if status == 401 { 200 } else { status }, "the one before");
        connection.send(request(headers)).await;
        assert_eq!(connection.next().await.status, status, "{headers}");
        connection.send(request("Authorization: Basic known\r\n")).await;
    }
}

/// A browser sends the requests of every page with the same cookie, over the same connection.
#[tokio::test]
async fn another_page_on_the_same_connection_is_judged_anew() {
    use axum::{
        extract::Request,
        middleware::{Next, from_fn},
        response::IntoResponse,
    };
    use ratatosk_connector::access::{Access, AccessConfig};
    async fn guard(request: Request, next: Next) -> axum::response::Response {
        let own = request.headers().get("sec-fetch-site").is_some_and(|site| site == "same-origin");
        if own { next.run(request).await } else { http::StatusCode::UNAUTHORIZED.into_response() }
    }
    let config = AccessConfig { cookie: "token".into(), ..AccessConfig::default() };
    let access = Access::inert(&config, ratatosk_core::Monitor::default()).unwrap();
    let server = Server::guarded(json!({}), access, |router| router.layer(from_fn(guard))).await;
    let request = |site: &str| {
        let headers = format!("Cookie: token=t.o.k\r\nSec-Fetch-Site: {site}\r\n");
        server.request(&handshake(json!({})), &headers)
    };
    let mut connection = Pending::open(&server, request("same-origin")).await;
    for (site, status) in [("same-origin", 200), ("cross-site", 401)] {
        assert_eq!(connection.next().await.status, 200);
        connection.send(request(site)).await;
        assert_eq!(connection.next().await.status, status, "{site}");
        connection.send(request("same-origin")).await;
    }
}

/// A handshake needs no connection of its own, so that a limit on connections alone would not hold it.
#[tokio::test]
async fn handshakes_come_no_faster_than_connections_may() {
    use axum::{
        extract::Request,
        middleware::{Next, from_fn},
    };
    use ratatosk_connector::{
        access::{Access, Rights, Visitor},
        limits::{Limits, LimitsConfig},
    };
    async fn guard(mut request: Request, next: Next) -> axum::response::Response {
        let address = "192.0.2.1".parse().ok();
        request.extensions_mut().insert(Visitor { judged: Ok(Rights::unrestricted()), address, limited: None });
        next.run(request).await
    }
    let config = LimitsConfig { connection_rate_per_address: std::num::NonZeroU32::new(1), ..LimitsConfig::default() };
    let access = Access::open().limited(Limits::new(config, ratatosk_core::Monitor::default()));
    let server = Server::guarded(json!({}), access, |router| router.layer(from_fn(guard))).await;
    let request = || server.request(&handshake(json!({})), "");
    let mut connection = Pending::open(&server, request()).await;
    assert_eq!(connection.next().await.messages()[0]["successful"], true);
    loop {
        connection.send(request()).await;
        let reply = connection.next().await.messages().remove(0);
        if reply["successful"] == false {
            break assert_eq!(reply["error"], "429:address_rate:handshake_denied");
        }
    }
}
