//! The official server SDKs (npm and PyPI) on the HTTP API, and webhooks received by a real HTTP server.

use ratatosk_tests::Gateway;
use ratatosk_tests::http::{HttpConn, fetch};
use ratatosk_tests::pusher::{Kind, NUMBERED_APP, Pusher, Sdk};
use serde_json::{Value, json};

#[tokio::test]
async fn both_sdks_trigger_single_and_batched_events() {
    let gateway = Gateway::with(NUMBERED_APP).await;
    let mut client = Pusher::connect(Kind::Node, &gateway, "7").await;
    client.subscribe("one").await;
    client.subscribe("two").await;
    let mut sdks = Sdk::both(&gateway).await;
    for sdk in &mut sdks {
        sdk.ok(json!({"do": "trigger", "channel": ["one", "two"], "name": "both", "data": {"n": 1}})).await;
        let mut channels = [client.event().await["channel"].clone(), client.event().await["channel"].clone()];
        channels.sort_by_key(ToString::to_string);
        assert_eq!(channels, [json!("one"), json!("two")]);
        let batch =
            json!([{"channel": "one", "name": "a", "data": {"n": 1}}, {"channel": "two", "name": "b", "data": "text"}]);
        sdk.ok(json!({"do": "triggerBatch", "batch": batch})).await;
        let (first, second) = (client.event().await, client.event().await);
        assert_eq!(
            (&first["name"], &first["data"], &second["name"], &second["data"]),
            (&json!("a"), &json!({"n": 1}), &json!("b"), &json!("text"))
        );
    }
    // The connection named by its socket id is left out.
    let [mut npm, mut pypi] = sdks;
    npm.ok(json!({"do": "trigger", "channel": "one", "name": "not-you", "data": 1, "params": {"socket_id": client.socket_id}})).await;
    pypi.ok(json!({"do": "trigger", "channel": "one", "name": "nor-so", "data": 1, "socketId": client.socket_id}))
        .await;
    npm.trigger("one", "now", json!(1)).await;
    assert_eq!(client.event().await["name"], "now");
}

#[tokio::test]
async fn both_sdks_ask_about_channels_and_users() {
    let gateway = Gateway::with(NUMBERED_APP).await;
    let [mut npm, mut pypi] = Sdk::both(&gateway).await;
    let mut anna = Pusher::connect(Kind::Node, &gateway, "anna").await;
    let mut bob = Pusher::connect(Kind::Node, &gateway, "bob").await;
    for client in [&mut anna, &mut bob] {
        client.subscribe("presence-room").await;
        client.subscribe("chat").await;
    }
    let users = |body: &Value| {
        let mut ids: Vec<String> = body["users"]
            .as_array()
            .expect("users")
            .iter()
            .map(|user| user["id"].as_str().expect("an id").to_owned())
            .collect();
        ids.sort();
        ids
    };
    assert_eq!(users(&npm.ok(json!({"do": "get", "path": "/channels/presence-room/users"})).await), ["anna", "bob"]);
    assert_eq!(users(&pypi.ok(json!({"do": "users", "channel": "presence-room"})).await), ["anna", "bob"]);

    let expected = json!({"channels": {"presence-room": {"user_count": 2}}});
    let filter = json!({"filter_by_prefix": "presence-", "info": "user_count"});
    assert_eq!(npm.ok(json!({"do": "get", "path": "/channels", "params": filter})).await, expected);
    assert_eq!(pypi.ok(json!({"do": "channels", "prefix": "presence-", "attributes": ["user_count"]})).await, expected);
    let all = npm.ok(json!({"do": "get", "path": "/channels"})).await;
    assert_eq!(all["channels"].as_object().map(|all| all.keys().cloned().collect::<Vec<_>>().len()), Some(2), "{all}");

    let one = json!({"occupied": true, "user_count": 2, "subscription_count": 2});
    let attributes = json!({"info": "user_count,subscription_count"});
    assert_eq!(npm.ok(json!({"do": "get", "path": "/channels/presence-room", "params": attributes})).await, one);
    assert_eq!(
        pypi.ok(
            json!({"do": "channel", "channel": "presence-room", "attributes": ["user_count", "subscription_count"]})
        )
        .await,
        one
    );
    assert_eq!(npm.ok(json!({"do": "get", "path": "/channels/empty"})).await["occupied"], false);

    // Events tell as well, when asked.
    let body = json!({"do": "trigger", "channel": "presence-room", "name": "x", "data": 1, "params": {"info": "user_count,subscription_count"}});
    assert_eq!(npm.ok(body).await["channels"]["presence-room"], json!({"user_count": 2, "subscription_count": 2}));
    // The PyPI SDK asks at a path of its own.
    anna.script.send(&json!({"do": "signin"})).await;
    gateway.metric("ratatosk_subscriptions", &[], |count| count > 4.5).await;
    pypi.ok(json!({"do": "terminate", "user": "anna"})).await;
    loop {
        if anna.script.expect("state").await["current"] == "disconnected" {
            break;
        }
    }
}

#[tokio::test]
async fn the_cache_can_be_asked_for() {
    let gateway = Gateway::start().await;
    let mut sdk = Sdk::npm(&gateway).await;
    let ask = json!({"do": "get", "path": "/channels/cache-price", "params": {"info": "cache"}});
    assert_eq!(sdk.ok(ask.clone()).await["cache"], Value::Null);
    sdk.trigger("cache-price", "price", json!({"eur": 2})).await;
    let cache = sdk.ok(ask).await["cache"].clone();
    assert_eq!(cache["data"], r#"{"eur":2}"#);
    assert!(cache["ttl"].as_u64().is_some_and(|ttl| ttl > 0), "{cache}");
}

#[tokio::test]
async fn refusals_have_their_status() {
    let gateway = Gateway::start().await;
    let mut sdk = Sdk::npm(&gateway).await;
    let post = |path: &str, body: Value| json!({"do": "post", "path": path, "body": body});
    let many: Vec<String> = (0..101).map(|n| format!("c{n}")).collect();
    let batch: Vec<Value> = (0..11).map(|_| json!({"channel": "a", "name": "x", "data": "1"})).collect();
    for (status, command) in [
        (413, post("/events", json!({"name": "x", "channels": ["a"], "data": "x".repeat(10 * 1024 + 1)}))),
        (400, post("/events", json!({"name": "x", "channels": many, "data": "1"}))),
        (400, post("/events", json!({"name": "x", "channels": ["with space"], "data": "1"}))),
        (400, post("/events", json!({"name": "x", "channels": ["y".repeat(165)], "data": "1"}))),
        (400, post("/events", json!({"name": "n".repeat(201), "channels": ["a"], "data": "1"}))),
        (400, post("/events", json!({"name": "pusher:forged", "channels": ["a"], "data": "1"}))),
        (400, post("/events", json!({"name": "pusher_internal:forged", "channels": ["a"], "data": "1"}))),
        (400, post("/events", json!({"name": "x", "channels": ["a"], "data": "1", "socket_id": "nonsense"}))),
        (400, post("/events", json!({"name": "x", "data": "1"}))),
        (400, post("/batch_events", json!({"batch": batch}))),
        (400, json!({"do": "get", "path": "/channels/public/users"})),
        (400, json!({"do": "get", "path": "/channels", "params": {"info": "user_count"}})),
    ] {
        let done = sdk.call(command.clone()).await;
        assert_eq!(done["status"], status, "{}: {done}", &command.to_string()[..command.to_string().len().min(120)]);
    }
    let mut stranger = Pusher::connect(Kind::Node, &gateway, "7").await;
    stranger.subscribe("a").await;
    sdk.trigger("a", "good", json!(1)).await;
    assert_eq!(stranger.event().await["name"], "good", "none of the refused came through");
}

#[tokio::test]
async fn a_request_needs_a_fresh_and_right_signature() {
    let gateway = Gateway::start().await;
    let body = br#"{"name":"x","channels":["a"],"data":"1"}"#;
    for target in [
        "/apps/demo/events",
        "/apps/demo/events?auth_key=demo-key&auth_timestamp=1&auth_version=1.0&body_md5=0&auth_signature=0",
        "/apps/nobody/events?auth_key=demo-key&auth_timestamp=1&auth_version=1.0&auth_signature=0",
    ] {
        let status =
            fetch(gateway.http, "POST", target, &[("Content-Type", "application/json")], body).await.head.status;
        assert!((400..=404).contains(&status), "{target}: {status}");
    }
    let mut connection = HttpConn::open(gateway.http).await;
    connection.write(b"POST /apps/demo/events HTTP/1.1\r\nHost: x\r\nContent-Length: 1099511627776\r\n\r\n").await;
    assert!(connection.response().await.head.status >= 400);
}

fn with_webhooks(url: &str, more: &str) -> String {
    let kinds = "[\"channel_occupied\", \"channel_vacated\", \"member_added\", \"member_removed\", \"client_event\", \"cache_miss\", \"subscription_count\"]";
    format!(
        "[[pusher.apps]]\nid = \"demo\"\nkey = \"demo-key\"\nsecret = \"demo-secret\"\nclient_events = true\n{more}webhooks = [{{ url = \"{url}\", events = {kinds} }}]"
    )
}

#[tokio::test]
async fn webhooks_tell_what_happens_signed_and_in_order() {
    let mut sdk = Sdk::receiver().await;
    let gateway = Gateway::with(&with_webhooks(&sdk.webhook_url, "")).await;
    sdk.point(&gateway).await;
    let mut anna = Pusher::connect(Kind::Node, &gateway, "anna").await;
    anna.subscribe("presence-room").await;
    let expected = |kind: &str, channel: &str| (json!(kind), json!(channel));
    let told = |event: &Value| (event["kind"].clone(), event["channel"].clone());
    let first = sdk.webhook().await;
    assert_eq!(told(&first), expected("channel_occupied", "presence-room"));
    let second = sdk.webhook().await;
    assert_eq!((told(&second), &second["user_id"]), (expected("member_added", "presence-room"), &json!("anna")));
    anna.trigger("presence-room", "client-wave", json!({"n": 1})).await;
    let event = sdk.webhook().await;
    assert_eq!(told(&event), expected("client_event", "presence-room"));
    assert_eq!(
        (&event["clientEvent"], &event["socket_id"], &event["user_id"]),
        (&json!("client-wave"), &json!(anna.socket_id), &json!("anna"))
    );
    anna.subscribe("cache-empty").await;
    assert_eq!(told(&sdk.webhook().await), expected("channel_occupied", "cache-empty"));
    assert_eq!(told(&sdk.webhook().await), expected("cache_miss", "cache-empty"));
    drop(anna);
    let mut rest = [told(&sdk.webhook().await), told(&sdk.webhook().await), told(&sdk.webhook().await)];
    rest.sort_by_key(|(kind, channel)| format!("{kind}{channel}"));
    assert_eq!(
        rest,
        [
            expected("channel_vacated", "cache-empty"),
            expected("channel_vacated", "presence-room"),
            expected("member_removed", "presence-room")
        ]
    );
}

#[tokio::test]
async fn a_blip_shorter_than_the_debounce_is_no_news() {
    let mut sdk = Sdk::receiver().await;
    let gateway = Gateway::with(&with_webhooks(&sdk.webhook_url, "")).await;
    let mut anna = Pusher::connect(Kind::Node, &gateway, "anna").await;
    anna.subscribe("presence-room").await;
    sdk.webhook().await;
    sdk.webhook().await;
    drop(anna);
    let mut again = Pusher::connect(Kind::Node, &gateway, "anna").await;
    again.subscribe("presence-room").await;
    again.subscribe("marker").await;
    let next = sdk.webhook().await;
    assert_eq!(
        (&next["kind"], &next["channel"]),
        (&json!("channel_occupied"), &json!("marker")),
        "neither side of the blip is told"
    );
}

#[tokio::test]
async fn a_webhook_that_fails_is_sent_again() {
    let mut sdk = Sdk::receiver().await;
    let gateway = Gateway::with(&with_webhooks(&sdk.webhook_url, "")).await;
    sdk.fail_webhooks(2).await;
    let mut anna = Pusher::connect(Kind::Node, &gateway, "anna").await;
    anna.subscribe("chat").await;
    for _ in 0..2 {
        assert_eq!(sdk.failed_webhook().await["events"][0]["name"], "channel_occupied");
    }
    assert_eq!(sdk.webhook().await["kind"], "channel_occupied");
}

#[tokio::test]
async fn subscription_counts_have_a_webhook() {
    let mut sdk = Sdk::receiver().await;
    let gateway = Gateway::with(&with_webhooks(&sdk.webhook_url, "subscription_count = true\n")).await;
    let mut anna = Pusher::connect(Kind::Node, &gateway, "anna").await;
    anna.subscribe("chat").await;
    loop {
        let event = sdk.webhook().await;
        if event["kind"] == "subscription_count" {
            assert_eq!((&event["channel"], &event["subscription_count"]), (&json!("chat"), &json!(1)));
            break;
        }
    }
}
