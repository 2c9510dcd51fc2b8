//! pusher-js (Node, headless Chromium, WebSocket and both HTTP fallbacks) and Laravel Echo against the gateway.

use ratatosk_tests::http::fetch;
use ratatosk_tests::pusher::{Kind, Pusher, Sdk};
use ratatosk_tests::{Gateway, Script};
use serde_json::{Value, json};

const EVERYWHERE: [Kind; 6] =
    [Kind::Node, Kind::Browser, Kind::Streaming, Kind::Polling, Kind::BrowserStreaming, Kind::BrowserPolling];

#[tokio::test]
async fn events_arrive_on_every_kind_of_channel_over_every_transport() {
    let gateway = Gateway::start().await;
    let mut sdk = Sdk::npm(&gateway).await;
    for kind in EVERYWHERE {
        let mut client = Pusher::connect(kind, &gateway, "7").await;
        for prefix in ["", "private-", "presence-", "private-encrypted-", "cache-", "private-cache-"] {
            let channel = format!("{prefix}chat-{kind:?}");
            client.subscribe(&channel).await;
            let data = json!({"text": "z\u{fc}rich \u{1f40d} \u{2028}", "n": [1, 2.5, null]});
            sdk.trigger(&channel, "greeting", data.clone()).await;
            let event = client.event_named("greeting").await;
            assert_eq!((&event["channel"], &event["data"]), (&json!(channel), &data), "{kind:?}");
        }
        let channel = format!("chat-{kind:?}");
        for n in 0..100 {
            sdk.trigger(&channel, "count", json!({"n": n})).await;
        }
        for n in 0..100 {
            assert_eq!(client.event_named("count").await["data"], json!({"n": n}), "{kind:?}");
        }
        client.unsubscribe(&channel).await;
    }
}

#[tokio::test]
async fn a_signature_covers_channel_data_on_private_channels_too() {
    let gateway = Gateway::start().await;
    let options = json!({"userId": "7", "channelData": {"user_id": "7", "extra": "z\u{fc}rich"}});
    let mut client = Pusher::connect_with(Kind::Node, gateway.http, options).await;
    client.subscribe("private-with-data").await;
}

#[tokio::test]
async fn a_wrong_signature_is_told_and_the_socket_stays() {
    let gateway = Gateway::start().await;
    let options = json!({"userId": "7", "forgeFor": "private-secret"});
    let mut client = Pusher::connect_with(Kind::Node, gateway.http, options).await;
    client.script.send(&json!({"do": "subscribe", "channel": "private-secret"})).await;
    let refused = client.script.expect("event").await;
    assert_eq!(
        (&refused["name"], &refused["channel"]),
        (&json!("pusher:subscription_error"), &json!("private-secret"))
    );
    let fault = client.script.expect("fault").await;
    assert!(fault["message"].as_str().is_some_and(|text| text.contains("nvalid signature")), "{fault}");
    assert_eq!(fault["code"], Value::Null);
    client.subscribe("chat").await;
}

#[tokio::test]
async fn an_unknown_application_is_refused_for_good() {
    let gateway = Gateway::start().await;
    let mut client = Pusher::launch(Kind::Node, gateway.http, &json!({"key": "nobody", "userId": "7"}));
    let fault = client.expect("fault").await;
    assert_eq!(fault["code"], 4001);
    loop {
        let state = client.expect("state").await;
        if state["current"] == "disconnected" {
            break;
        }
    }
}

#[tokio::test]
async fn presence_tells_who_is_there() {
    let gateway = Gateway::start().await;
    let mut anna =
        Pusher::connect_with(Kind::Node, gateway.http, json!({"userId": "anna", "userInfo": {"name": "Anna"}})).await;
    let alone = anna.subscribe("presence-room").await;
    assert_eq!((&alone["count"], &alone["me"]["id"]), (&json!(1), &json!("anna")));
    // A number is as good as a string: SDKs pass what the application gives.
    let mut seven =
        Pusher::connect_with(Kind::Browser, gateway.http, json!({"userId": 7, "userInfo": {"name": "Seven"}})).await;
    let both = seven.subscribe("presence-room").await;
    assert_eq!(both["members"], json!({"anna": {"name": "Anna"}, "7": {"name": "Seven"}}));
    let joined = anna.event_named("pusher:member_added").await;
    assert_eq!(joined["data"], json!({"id": "7", "info": {"name": "Seven"}}));
    // A second connection of the same user is no second member.
    let mut again =
        Pusher::connect_with(Kind::Node, gateway.http, json!({"userId": "7", "userInfo": {"name": "Seven"}})).await;
    assert_eq!(again.subscribe("presence-room").await["count"], 2);
    drop(again);
    let mut carol = Pusher::connect(Kind::Node, &gateway, "carol").await;
    assert_eq!(carol.subscribe("presence-room").await["count"], 3);
    assert_eq!(anna.event_named("pusher:member_added").await["data"]["id"], "carol");
    drop(seven);
    assert_eq!(anna.event_named("pusher:member_removed").await["data"]["id"], "7");
    drop(carol);
    assert_eq!(anna.event_named("pusher:member_removed").await["data"]["id"], "carol");
}

#[tokio::test]
async fn client_events_reach_the_others_with_the_senders_user() {
    let gateway = Gateway::start().await;
    let mut sender = Pusher::connect(Kind::Node, &gateway, "anna").await;
    let mut receiver = Pusher::connect(Kind::Browser, &gateway, "bob").await;
    for channel in ["private-talk", "presence-talk"] {
        sender.subscribe(channel).await;
        receiver.subscribe_with(channel, &["client-typing"]).await;
        for data in [json!({"on": true}), json!("text"), json!("{\"looks\":\"like json\"}")] {
            sender.trigger(channel, "client-typing", data.clone()).await;
            let metadata = receiver.script.expect("metadata").await;
            let expected =
                if data == json!("{\"looks\":\"like json\"}") { json!({"looks": "like json"}) } else { data };
            assert_eq!(metadata["data"], expected, "{channel}");
            let user = if channel.starts_with("presence-") { json!("anna") } else { Value::Null };
            assert_eq!(metadata["metadata"]["user_id"], user, "{channel}");
        }
    }
    let own: Vec<_> = sender.script.all("event").into_iter().filter(|event| event["name"] == "client-typing").collect();
    assert!(own.is_empty(), "no echo: {own:?}");
}

#[tokio::test]
async fn client_events_are_held_to_their_rules() {
    let gateway = Gateway::start().await;
    let mut sender = Pusher::connect(Kind::Node, &gateway, "anna").await;
    let mut watching = Pusher::connect(Kind::Node, &gateway, "bob").await;
    for client in [&mut sender, &mut watching] {
        client.subscribe("chat").await;
        client.subscribe("private-talk").await;
    }
    let raw = |channel: &str, name: &str| json!({"do": "raw", "text": json!({"event": name, "channel": channel, "data": {}}).to_string()});
    for (channel, name) in [
        ("chat", "client-x"),
        ("private-talk", "my-client-x"),
        ("private-elsewhere", "client-x"),
        ("private-talk", "pusher:subscribe_forged"),
    ] {
        sender.script.send(&raw(channel, name)).await;
    }
    sender.trigger("private-talk", "client-good", json!({})).await;
    assert_eq!(watching.event().await["name"], "client-good", "none of the others went through");
    // The eleventh in a second is too much.
    for n in 0..30 {
        sender.script.send(&raw("private-talk", &format!("client-{n}"))).await;
    }
    loop {
        if sender.script.expect("fault").await["code"] == 4301 {
            break;
        }
    }
    sender.subscribe("still-connected").await;
}

#[tokio::test]
async fn cache_channels_show_the_last_event_or_say_that_there_is_none() {
    let gateway = Gateway::start().await;
    let mut sdk = Sdk::npm(&gateway).await;
    let mut first = Pusher::connect(Kind::Node, &gateway, "7").await;
    first.subscribe("cache-price").await;
    first.event_named("pusher:cache_miss").await;
    sdk.trigger("cache-price", "price", json!({"eur": 1})).await;
    sdk.trigger("cache-price", "price", json!({"eur": 2})).await;
    let mut second = Pusher::connect(Kind::Browser, &gateway, "8").await;
    second.subscribe("cache-price").await;
    assert_eq!(second.event_named("price").await["data"], json!({"eur": 2}));
    let mut third = Pusher::connect(Kind::Node, &gateway, "9").await;
    third.subscribe("xcache-price").await;
    sdk.trigger("xcache-price", "live", json!(1)).await;
    let seen = third.script.expect("event").await;
    assert_eq!(seen["name"], "live", "a channel is a cache channel by its prefix only");
}

#[tokio::test]
async fn a_signed_in_user_is_reached_watched_and_terminated() {
    let gateway = Gateway::start().await;
    let mut sdk = Sdk::npm(&gateway).await;
    let options = json!({"userId": "anna", "watchlist": ["bob", "nobody"]});
    let mut anna = Pusher::connect_with(Kind::Node, gateway.http, options).await;
    anna.script.send(&json!({"do": "signin"})).await;
    loop {
        let state = anna.script.expect("watchlist").await;
        if state["name"] == "offline" {
            assert!(state["userIds"].as_array().is_some_and(|ids| ids.contains(&json!("bob"))), "{state}");
            break;
        }
    }
    // The user's own channel is open once pusher-js has subscribed to it, which it does not tell: send until it arrives.
    let mut bob = Pusher::connect_with(Kind::Browser, gateway.http, json!({"userId": "bob"})).await;
    bob.script.send(&json!({"do": "signin"})).await;
    let online = anna.script.expect("watchlist").await;
    assert_eq!((&online["name"], &online["userIds"]), (&json!("online"), &json!(["bob"])));
    gateway.metric("ratatosk_subscriptions", &[], |count| count > 1.5).await;
    sdk.ok(json!({"do": "sendToUser", "user": "bob", "name": "notice", "data": {"n": 1}})).await;
    let notice = bob.script.expect("user").await;
    assert_eq!((&notice["name"], &notice["data"]), (&json!("notice"), &json!({"n": 1})));
    // Nobody else may listen there.
    anna.script
        .send(
            &json!({"do": "raw", "text": r##"{"event":"pusher:subscribe","data":{"channel":"#server-to-user-bob"}}"##}),
        )
        .await;
    anna.script.expect("fault").await;
    sdk.ok(json!({"do": "terminate", "user": "bob"})).await;
    loop {
        if bob.script.expect("state").await["current"] == "disconnected" {
            break;
        }
    }
    assert_eq!(anna.script.expect("watchlist").await["name"], "offline");
}

#[tokio::test]
async fn subscribers_are_counted_where_the_application_wants_it() {
    let config = "[[pusher.apps]]\nid = \"demo\"\nkey = \"demo-key\"\nsecret = \"demo-secret\"\nclient_events = true\nsubscription_count = true";
    let gateway = Gateway::with(config).await;
    let mut first = Pusher::connect(Kind::Node, &gateway, "7").await;
    first.subscribe("chat").await;
    assert_eq!(first.event_named("pusher:subscription_count").await["data"]["subscription_count"], 1);
    let mut second = Pusher::connect(Kind::Node, &gateway, "8").await;
    second.subscribe("chat").await;
    assert_eq!(first.event_named("pusher:subscription_count").await["data"]["subscription_count"], 2);
    drop(second);
    assert_eq!(first.event_named("pusher:subscription_count").await["data"]["subscription_count"], 1);
}

#[tokio::test]
async fn malformed_frames_close_nothing_that_should_stay_open() {
    let gateway = Gateway::start().await;
    let mut hostile = Pusher::connect(Kind::Node, &gateway, "7").await;
    for text in [
        "",
        "{",
        "null",
        "[]",
        "42",
        "\"text\"",
        "{}",
        r#"{"event":null}"#,
        r#"{"event":7}"#,
        r#"{"event":"pusher:subscribe"}"#,
        r#"{"event":"pusher:subscribe","data":{}}"#,
        r#"{"event":"pusher:subscribe","data":"{}"}"#,
        r#"{"event":"pusher:subscribe","data":{"channel":7}}"#,
        r#"{"event":"pusher:subscribe","data":{"channel":""}}"#,
        r#"{"event":"pusher:subscribe","data":{"channel":"with space"}}"#,
        r#"{"event":"pusher:subscribe","data":{"channel":"private-x"}}"#,
        r#"{"event":"pusher:subscribe","data":{"channel":"presence-x","auth":"demo-key:00","channel_data":"{"}}"#,
        r#"{"event":"pusher:unsubscribe","data":{}}"#,
        r#"{"event":"pusher:signin","data":{}}"#,
        r#"{"event":"pusher:unknown","data":{}}"#,
        r#"{"event":"client-x"}"#,
        r#"{"event":"pusher_internal:member_added","channel":"presence-x","data":"{}"}"#,
        r#"{"event":"pusher:ping"}"#,
        r#"{"event":"pusher:subscribe","data":"{\"channel\":\"as-string\"}"}"#,
    ] {
        hostile.script.send(&json!({"do": "raw", "text": text})).await;
    }
    let long = json!({"event": "pusher:subscribe", "data": {"channel": "x".repeat(165)}}).to_string();
    hostile.script.send(&json!({"do": "raw", "text": long})).await;
    hostile.subscribe("still-connected").await;
    let states = hostile.script.all("state");
    assert_eq!(states.last().map(|state| state["current"].clone()), Some(json!("connected")), "{states:?}");
    let mut other = Pusher::connect(Kind::Node, &gateway, "8").await;
    other.subscribe("chat").await;
}

#[tokio::test]
async fn a_client_reconnects_after_a_restart_and_is_subscribed_again() {
    let mut gateway = Gateway::setup().fixed_ports().config("[shutdown]\ngrace = \"300ms\"").start().await;
    let mut clients =
        [Pusher::connect(Kind::Node, &gateway, "7").await, Pusher::connect(Kind::Browser, &gateway, "8").await];
    for client in &mut clients {
        client.subscribe("presence-room").await;
    }
    assert!(gateway.terminate().await.success());
    gateway.start_again().await;
    for client in &mut clients {
        client.script.expect("connected").await;
        client.script.expect("subscribed").await;
    }
    let mut sdk = Sdk::npm(&gateway).await;
    sdk.trigger("presence-room", "back", json!(1)).await;
    for client in &mut clients {
        client.event_named("back").await;
    }
}

#[tokio::test]
async fn an_idle_client_is_pinged_and_answered() {
    let gateway = Gateway::start().await;
    // pusher-js pings after this much silence, and takes the connection for dead when no pong comes in time.
    let options = json!({"userId": "7", "activityTimeout": 200, "pongTimeout": 20000});
    let mut client = Pusher::connect_with(Kind::Node, gateway.http, options).await;
    client.subscribe("chat").await;
    for _ in 0..3 {
        client.script.expect("pong").await;
    }
    let states = client.script.all("state");
    assert_eq!(states.last().map(|state| state["current"].clone()), Some(json!("connected")), "{states:?}");
}

#[tokio::test]
async fn laravel_echo_listens_whispers_and_joins() {
    let gateway = Gateway::start().await;
    let mut sdk = Sdk::npm(&gateway).await;
    let argument = |user: &str| json!({"host": "127.0.0.1", "port": gateway.http.port(), "key": "demo-key", "secret": "demo-secret", "userId": user});
    let mut anna = Script::node("laravel-echo.mjs", &argument("anna"));
    let mut bob = Script::node("laravel-echo.mjs", &argument("bob"));
    for echo in [&mut anna, &mut bob] {
        echo.ask(&json!({"do": "listen", "channel": "orders", "name": "OrderShipped"}), "subscribed").await;
        echo.ask(&json!({"do": "private", "channel": "chat.7", "name": "MessageSent"}), "subscribed").await;
    }
    sdk.trigger("orders", "App\\Events\\OrderShipped", json!({"id": 7})).await;
    assert_eq!(anna.expect("event").await["data"], json!({"id": 7}));
    sdk.trigger("private-chat.7", "App\\Events\\MessageSent", json!({"text": "hi"})).await;
    assert_eq!(anna.expect("event").await["data"], json!({"text": "hi"}));
    anna.send(&json!({"do": "whisper", "channel": "private-chat.7", "data": {"typing": true}})).await;
    assert_eq!(bob.expect("whisper").await["data"], json!({"typing": true}));
    anna.send(&json!({"do": "join", "channel": "room"})).await;
    assert_eq!(anna.expect("here").await["users"].as_array().map(Vec::len), Some(1));
    bob.send(&json!({"do": "join", "channel": "room"})).await;
    assert_eq!(bob.expect("here").await["users"].as_array().map(Vec::len), Some(2));
    anna.expect("joining").await;
    bob.send(&json!({"do": "leave", "channel": "room"})).await;
    anna.expect("leaving").await;
}

#[tokio::test]
async fn every_websocket_is_upgraded_even_if_only_to_be_told_why_not() {
    let gateway = Gateway::start().await;
    let headers = [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    for (target, code) in [
        ("/app/nobody?protocol=7", 4001_u16),
        ("/app/demo-key?protocol=99", 4007),
        ("/app/demo-key?protocol=abc", 4006),
    ] {
        let mut connection = ratatosk_tests::http::HttpConn::open(gateway.http).await;
        connection.send("GET", target, &headers, b"").await;
        assert_eq!(connection.head().await.status, 101, "{target}");
        let mut bytes = Vec::new();
        loop {
            let more = connection.some().await;
            bytes.extend_from_slice(&more);
            // The close frame's code: 0x88, its length, two bytes.
            if bytes.windows(4).any(|frame| frame[0] == 0x88 && frame[2..4] == code.to_be_bytes()) {
                break;
            }
            assert!(!more.is_empty(), "{target}: no close code {code} in {}", String::from_utf8_lossy(&bytes));
        }
        assert!(String::from_utf8_lossy(&bytes).contains("pusher:error"), "{target}: and an event that says why");
    }
    assert_eq!(fetch(gateway.http, "GET", "/app/demo-key", &[], b"").await.head.status / 100, 4);
}
