#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]
use axum::{Router, routing::post};
use ratatosk_connector::access::{AccessConfig, Action, PublisherConfig, Rule, RuleSpec, Rules};
use ratatosk_core::{Bus, Connector, Monitor};

use super::*;
use crate::{
    config::PusherConfig,
    proto::query::Query,
    server::{NAME, clock::Clock},
};

const APPS: &str = r#"{"apps": [{"id": "demo", "key": "demo-key", "secret": "demo-secret"}]}"#;

fn call(access: &AccessConfig, body: Value) -> Call {
    let config: PusherConfig = serde_json::from_str(APPS).unwrap();
    let settings = config.resolve().unwrap().remove(0);
    let access = ratatosk_connector::access::Access::inert(access, Monitor::default()).unwrap();
    let app = App::new(&settings, Bus::in_memory(), access, Connector::register(NAME), Clock::start());
    Call {
        app: Arc::new(app),
        query: Query::parse(""),
        body: body.to_string().into(),
        context: Vec::default(),
        hops: Arc::default(),
    }
}

fn published(call: &Call) -> u64 {
    call.app.bus.stats().totals(call.app.connector).received
}

/// A server that says no to what is published to the channel `no`.
async fn moderator() -> PublisherConfig {
    let judge =
        |question: axum::Json<Value>| async move { json!({ "allow": question["channel"] != "no" }).to_string() };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/", post(judge))).await });
    PublisherConfig { url, timeout: Duration::from_secs(10), cache: Duration::ZERO, on: Vec::new(), payload: true }
}

#[tokio::test]
async fn what_is_denied_for_one_channel_reaches_none() {
    let publisher = Some(moderator().await);
    let access = AccessConfig { configured: true, anonymous: true, publisher, ..AccessConfig::default() };
    let event = |channels: Value| json!({"name": "e", "data": "x", "channels": channels});
    let denied = call(&access, event(json!(["a", "no"])));
    assert_eq!(one(&denied).await.unwrap_err().status, 403);
    assert_eq!(published(&denied), 0);
    let each = |channel: &str| json!({"name": "e", "data": "x", "channel": channel});
    let denied = call(&access, json!({"batch": [each("a"), each("no")]}));
    assert_eq!(batch(&denied).await.unwrap_err().status, 403);
    assert_eq!(published(&denied), 0);
    let allowed = call(&access, event(json!(["a", "b"])));
    assert!(one(&allowed).await.is_ok());
    assert_eq!(published(&allowed), 2);
}

#[tokio::test]
async fn the_rules_that_are_in_force_decide() {
    let rules = |on: &str| {
        let rule = RuleSpec { may: vec![Action::Publish], on: vec![on.into()], allows: true, ..RuleSpec::default() };
        let rules = Rules::new(vec![Rule::new(rule).unwrap()]);
        AccessConfig { configured: true, rules, ..AccessConfig::default() }
    };
    let call = call(&rules("room"), json!({"name": "e", "data": "x", "channel": "room"}));
    assert!(one(&call).await.is_ok());
    call.app.access.replace(&rules("other")).unwrap();
    assert_eq!(one(&call).await.unwrap_err().status, 403);
}
