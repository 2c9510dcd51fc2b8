//! The API as its description says, on a bus in memory.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

use std::sync::Arc;

use axum::{Router, body::Body};
use fake::Fake;
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use ratatosk_connector::{config_types::Secret, lifecycle::Lifecycle};
use ratatosk_core::{
    Bus, Channel, Connector, Filter, Origin, OutboxLimits, Publication, QueuePeer, Session, SessionConfig,
    SubscribeOptions,
};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::{AdminConfig, OPENAPI, TokenInForce, api, router};

mod fake;
mod schema;

fn in_force(token: Option<&str>) -> TokenInForce {
    let token = token.map(Secret::new);
    Arc::new(move || token.clone())
}

fn admin(bus: &Bus, token: Option<&str>) -> Router {
    router(AdminConfig {
        bus: bus.clone(),
        life: Lifecycle::default(),
        upstreams: Arc::new(Fake),
        metrics: Arc::new(|| Ok("ratatosk_build_info 1\n".to_owned())),
        config: Arc::new(|| json!({ "http": {} })),
        token: in_force(token),
        version: "test",
        listeners: vec![("http", ([127, 0, 0, 1], 8080).into())],
    })
}

struct Answer {
    status: StatusCode,
    headers: http::HeaderMap,
    body: Value,
}

async fn call(router: &Router, method: &str, path: &str, headers: &[(&str, &str)], body: Option<Value>) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    if headers.iter().all(|(name, _)| *name != "host") {
        request = request.header("host", "localhost:8081");
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    if body.is_some() {
        request = request.header("content-type", "application/json");
    }
    let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
    let response = router.clone().oneshot(request.body(body).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    let is_json = parts.headers.get("content-type").is_some_and(|kind| kind.to_str().unwrap().contains("json"));
    let body =
        if is_json { serde_json::from_slice(&body.collect().await.unwrap().to_bytes()).unwrap() } else { Value::Null };
    Answer { status: parts.status, headers: parts.headers, body }
}

async fn get(router: &Router, path: &str) -> Value {
    let answer = call(router, "GET", path, &[], None).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    answer.body
}

fn client(bus: &Bus, id: &str, filter: &str) -> (Session, Arc<QueuePeer>) {
    let peer = QueuePeer::new(OutboxLimits::default());
    let session = bus.open_session(SessionConfig::client(id, Connector::register("test")), peer.clone());
    session.subscribe(Filter::new(filter).unwrap(), SubscribeOptions::default());
    (session, peer)
}

fn publish(bus: &Bus, channel: &str, payload: &'static str) {
    let origin = Origin::connector(Connector::register("test"));
    bus.publish(Publication::new(Channel::new(channel).unwrap(), payload, origin).retained(true)).unwrap();
}

#[tokio::test]
async fn every_route_is_described_and_every_description_is_a_route() {
    let document: Value = serde_json::from_str(OPENAPI).unwrap();
    let described = document["paths"].as_object().unwrap();
    let routes = api::routes();
    assert_eq!(routes.len(), described.len());
    let bus = Bus::in_memory();
    let router = admin(&bus, None);
    for (path, _) in routes {
        let methods = described.get(path).unwrap_or_else(|| panic!("{path} is not described")).as_object().unwrap();
        let mut methods: Vec<String> = methods.keys().map(|method| method.to_uppercase()).collect();
        let target = path.replace("{id}", "1").replace("{name}", "factory");
        let json = [("content-type", "application/json")];
        let answer = call(&router, "PATCH", &target, &json, None).await;
        assert_eq!(answer.status, 405, "{path}");
        let allowed = answer.headers["allow"].to_str().unwrap();
        let mut allowed: Vec<String> =
            allowed.split(',').map(|method| method.trim().to_owned()).filter(|method| method != "HEAD").collect();
        methods.sort();
        allowed.sort();
        assert_eq!(methods, allowed, "{path}");
    }
}

#[tokio::test]
async fn every_answer_is_as_described() {
    let document: Value = serde_json::from_str(OPENAPI).unwrap();
    let bus = Bus::in_memory();
    let (session, _peer) = client(&bus, "someone", "a/b");
    publish(&bus, "a/b", r#"{"c":1}"#);
    publish(&bus, "a/text", "words");
    let router = admin(&bus, None);
    let id = session.id().to_string();
    let mut checked = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            if path == "/api/monitor" || method == "delete" {
                continue; // a stream, and ends, have tests of their own
            }
            let mut target = path.replace("{id}", &id).replace("{name}", "factory");
            if path == "/api/channel" {
                target.push_str("?name=a/b");
            }
            let body = (method == "post").then(|| json!({ "channel": "x", "data": 1 }));
            let body = if path == "/api/upstreams" { body.map(|_| json!({ "name": "new" })) } else { body };
            let answer = call(&router, &method.to_uppercase(), &target, &[], body).await;
            let status = answer.status.as_u16().to_string();
            assert!(answer.status.is_success(), "{method} {target}: {status} {}", answer.body);
            let described = &operation["responses"][&status]["content"]["application/json"]["schema"];
            assert!(described.is_object(), "{method} {path} answers {status}, which is not described");
            schema::check(&document, described, &answer.body, path);
            checked += 1;
        }
    }
    assert!(checked >= 17, "{checked}");
}

#[tokio::test]
async fn sessions_are_found_page_by_page_and_disconnected() {
    let bus = Bus::in_memory();
    let router = admin(&bus, None);
    let clients: Vec<_> = (0..7).map(|n| client(&bus, &format!("Client-{n}"), "a/b")).collect();
    let mut seen = Vec::new();
    let mut after = String::new();
    loop {
        let page = get(&router, &format!("/api/sessions?limit=3{after}")).await;
        assert_eq!(page["total"], 7);
        seen.extend(
            page["sessions"]
                .as_array()
                .unwrap()
                .iter()
                .map(|session| session["client_id"].as_str().unwrap().to_owned()),
        );
        let Some(next) = page["next"].as_str() else { break };
        after = format!("&after={next}");
    }
    assert_eq!(seen, (0..7).map(|n| format!("Client-{n}")).collect::<Vec<_>>());
    let found = get(&router, "/api/sessions?q=client-5&connector=test&filter=a/b").await;
    assert_eq!(found["sessions"].as_array().unwrap().len(), 1);
    let id = found["sessions"][0]["id"].as_str().unwrap();
    assert_eq!(get(&router, &format!("/api/sessions/{id}")).await["subscriptions"], json!(["a/b"]));
    let answer = call(&router, "DELETE", &format!("/api/sessions/{id}"), &[], None).await;
    assert_eq!(answer.status, 204);
    assert_eq!(clients[5].1.recv_many(1).await.unwrap_err(), ratatosk_core::EndReason::Kicked);
    for path in ["/api/sessions/999999", "/api/sessions/0"] {
        assert_eq!(call(&router, "DELETE", path, &[], None).await.status, 404, "{path}");
    }
    assert_eq!(call(&router, "GET", "/api/sessions?connector=nonsense", &[], None).await.status, 400);
}

#[tokio::test]
async fn a_channel_shows_who_subscribes_and_what_is_kept() {
    let bus = Bus::in_memory();
    let router = admin(&bus, None);
    let _clients = [client(&bus, "one", "a/b"), client(&bus, "two", "a/#")];
    publish(&bus, "a/b", r#"{"c":1}"#);
    publish(&bus, "a/b", "\u{fc}ber");
    let channels = get(&router, "/api/channels?q=a/").await;
    assert_eq!(
        channels["channels"],
        json!([{ "filter": "a/#", "subscribers": 1 }, { "filter": "a/b", "subscribers": 1 }])
    );
    let channel = get(&router, "/api/channel?name=a/b&history=1").await;
    assert_eq!((&channel["subscribers"], &channel["history"]["kept"]), (&json!(1), &json!(2)));
    assert_eq!(channel["history"]["messages"][0]["data"], "\u{fc}ber");
    assert_eq!(channel["last_values"][0]["data"], "\u{fc}ber");
    assert_eq!(channel["sessions"][0]["client_id"], "one");
    assert_eq!(get(&router, "/api/retained").await["messages"][0]["channel"], "a/b");
    assert_eq!(call(&router, "GET", "/api/channel?name=a/%23/b", &[], None).await.status, 400);
}

#[tokio::test]
async fn what_is_published_by_hand_arrives() {
    let bus = Bus::in_memory();
    let router = admin(&bus, None);
    let (_session, peer) = client(&bus, "one", "#");
    for (body, payload) in [
        (json!({ "channel": "x", "data": { "a": [1, "b"] } }), &b"{\"a\":[1,\"b\"]}"[..]),
        (json!({ "channel": "x", "text": "words" }), b"words"),
        (json!({ "channel": "x", "base64": "/wA=" }), b"\xff\x00"),
        (json!({ "channel": "x" }), b""),
    ] {
        let answer = call(&router, "POST", "/api/publish", &[], Some(body)).await;
        assert_eq!((answer.status, &answer.body["matched"]), (StatusCode::OK, &json!(true)), "{}", answer.body);
        assert_eq!(&*peer.recv_many(1).await.unwrap()[0].message.payload, payload);
    }
    for (body, status) in [
        (json!({ "channel": "", "data": 1 }), 400),
        (json!({ "channel": "x", "data": 1, "text": "2" }), 400),
        (json!({ "channel": "x", "qos": 3 }), 400),
        (json!({ "channel": "x", "surprise": 3 }), 400),
        (json!({ "channel": "$monitor/x" }), 403),
    ] {
        assert_eq!(call(&router, "POST", "/api/publish", &[], Some(body.clone())).await.status, status, "{body}");
    }
}

#[tokio::test]
async fn a_token_is_asked_for_where_there_is_one() {
    let bus = Bus::in_memory();
    let router = admin(&bus, Some("s3cret"));
    let other = [("host", "gateway.example")];
    for headers in [&other[..], &[("authorization", "Bearer wrong")], &[("authorization", "Basic s3cret")]] {
        let answer = call(&router, "GET", "/api/overview", headers, None).await;
        assert_eq!(answer.status, 401);
        assert_eq!(answer.headers["www-authenticate"], "Bearer realm=\"ratatosk admin\"");
    }
    let shown = [("authorization", "Bearer s3cret"), ("host", "gateway.example")];
    assert_eq!(call(&router, "GET", "/api/overview", &shown, None).await.status, 200);
    for open in ["/healthz", "/readyz", "/metrics", "/"] {
        assert_eq!(call(&router, "GET", open, &other, None).await.status, 200, "{open}");
    }
    let open = admin(&bus, None);
    assert_eq!(call(&open, "GET", "/api/overview", &other, None).await.status, 403);
}

#[tokio::test]
async fn another_sites_page_changes_nothing() {
    let bus = Bus::in_memory();
    let router = admin(&bus, None);
    let pause = "/api/upstreams/factory/pause";
    for headers in [
        &[][..],
        &[("content-type", "text/plain")],
        &[("content-type", "application/json"), ("origin", "https://evil.example")],
        &[("x-ratatosk-admin", "1"), ("sec-fetch-site", "cross-site")],
    ] {
        let answer = call(&router, "POST", pause, headers, None).await;
        assert_eq!(answer.status, 403, "{headers:?}");
        assert_eq!(answer.body["type"], "urn:ratatosk:problem:cross-site");
    }
    let same = [("x-ratatosk-admin", "1"), ("origin", "http://localhost:8081")];
    assert_eq!(call(&router, "POST", pause, &same, None).await.status, 202);
}

#[tokio::test]
async fn monitor_events_are_streamed() {
    let bus = Bus::in_memory();
    let router = admin(&bus, None);
    let request = Request::builder().uri("/api/monitor").header("host", "localhost").body(Body::empty()).unwrap();
    let response = router.oneshot(request).await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut body = response.into_body();
    let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert!(first.starts_with(b":"));
    let own = Publication::new(Channel::new("$monitor/test/x").unwrap(), r#"{"event":"test"}"#, Origin::gateway());
    bus.publish(own).unwrap();
    let event = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(&*event, b"data: {\"event\":\"test\"}\n\n");
}
