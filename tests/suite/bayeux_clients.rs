//! CometD's and Faye's clients, over every transport they have, in Node and cross-origin in headless Chromium.

use ratatosk_tests::Gateway;
use ratatosk_tests::bayeux::{BROWSER, Bayeux, Kind, NODE};
use ratatosk_tests::http::{HttpConn, fetch};
use ratatosk_tests::mqtt::{Client, Endpoint, Mqtt};
use ratatosk_tests::ports::free_port;
use ratatosk_tests::proxy::Proxy;
use serde_json::{Value, json};

const SHORT_TIMEOUT: &str = "[bayeux]\ntimeout = \"400ms\"\nmax_interval = \"60s\"";

/// The port of the pages of other origins, which the gateway must know: credentials are for named origins only.
fn page(port: u16) -> String {
    // Faye gives a connect up after 1.2 times the timeout: the rest has to be enough for a machine that is busy.
    let timeout = "[bayeux]\ntimeout = \"2s\"\nmax_interval = \"60s\"";
    format!("[http]\ncors_origins = [\"http://127.0.0.1:{port}\"]\n{timeout}")
}

async fn serve() -> (Gateway, String) {
    let gateway = Gateway::with(SHORT_TIMEOUT).await;
    let url = gateway.url("/bayeux");
    (gateway, url)
}

/// Everything a chat page does: subscribe with wildcards, publish UTF-8, 100 messages in order, sit idle, leave.
async fn an_ordinary_life(kinds: &[Kind]) {
    let port = free_port();
    let gateway = Gateway::with(&page(port)).await;
    let url = gateway.url("/bayeux");
    for (index, kind) in kinds.iter().enumerate() {
        let mut client = Bayeux::connect_with(*kind, &url, json!({"pagePort": port})).await;
        let base = format!("/life/{index}");
        client.subscribe(&format!("{base}/*")).await;
        let text = json!({"text": "z\u{fc}rich \u{1f40d} \u{2028} \"quoted\" </script>"});
        assert_eq!(client.publish(&format!("{base}/chat"), text.clone()).await["successful"], true);
        assert_eq!(client.message().await, (format!("{base}/chat"), text), "{kind:?}");
        // `*` is one level.
        client.publish(&format!("{base}/too/deep"), json!("not for us")).await;
        gateway.publish_all(&format!("life/{index}/burst"), (0..100).map(|n| format!(r#"{{"n":{n}}}"#))).await;
        for n in 0..100 {
            assert_eq!(client.message().await, (format!("{base}/burst"), json!({"n": n})), "{kind:?}");
        }
        // Idle for more than one poll: the client comes again each time, and is still served.
        for _ in 0..2 {
            let connect = client.script.expect("connect").await;
            assert_eq!(connect["successful"], true, "{kind:?}: {connect}");
        }
        gateway.publish(&format!("life/{index}/late"), r#""still here""#).await;
        assert_eq!(client.message().await.1, json!("still here"), "{kind:?}");
        client.unsubscribe(&format!("{base}/*")).await;
        client.subscribe(&format!("{base}/**")).await;
        gateway.publish(&format!("life/{index}/very/deep/indeed"), "1").await;
        assert_eq!(client.message().await, (format!("{base}/very/deep/indeed"), json!(1)), "{kind:?}");
        client.disconnect().await;
    }
    gateway.metric("ratatosk_sessions", &[("connector", "bayeux")], |count| count < 0.5).await;
}

#[tokio::test]
async fn cometd_and_faye_live_an_ordinary_life_in_node() {
    an_ordinary_life(&NODE).await;
}

#[tokio::test]
async fn cometd_lives_an_ordinary_life_in_a_page_of_another_origin() {
    an_ordinary_life(&BROWSER[..3]).await;
}

#[tokio::test]
async fn faye_lives_an_ordinary_life_in_a_page_of_another_origin() {
    an_ordinary_life(&BROWSER[3..]).await;
}

#[tokio::test]
async fn a_session_is_renewed_after_the_gateway_restarts() {
    let mut gateway = Gateway::setup().fixed_ports().config(SHORT_TIMEOUT).start().await;
    let url = gateway.url("/bayeux");
    let mut clients = Vec::new();
    for kind in NODE {
        let mut client = Bayeux::connect(kind, &url).await;
        client.subscribe("/news/**").await;
        clients.push((kind, client));
    }
    gateway.kill().await;
    gateway.start_again().await;
    for (kind, client) in &mut clients {
        // CometD's client tells of its second handshake and subscription; Faye's renews both behind the scenes.
        assert_eq!(client.script.expect("handshake").await["successful"], true, "{kind:?}");
        if kind.client == "cometd" {
            assert_eq!(client.script.expect("subscribed").await["successful"], true, "{kind:?}");
        }
    }
    gateway.metric("ratatosk_subscriptions", &[], |count| count > 3.5).await;
    gateway.publish("news/today", r#""back""#).await;
    for (kind, client) in &mut clients {
        assert_eq!(client.message().await, ("/news/today".to_owned(), json!("back")), "{kind:?}");
    }
}

#[tokio::test]
async fn a_poll_whose_socket_breaks_loses_no_message() {
    // Lost by CometD and by Faye: the server writes the message into a dead socket.
    let gateway = Gateway::with("[bayeux]\ntimeout = \"30s\"").await;
    let proxy = Proxy::to(gateway.http).await;
    let url = format!("http://{}/bayeux", proxy.address);
    for kind in [NODE[0], NODE[2]] {
        let mut client = Bayeux::connect(kind, &url).await;
        client.subscribe("/precious").await;
        gateway.metric("ratatosk_subscriptions", &[], |count| count > 0.5).await;
        proxy.cut();
        gateway.publish("precious", r#"{"n":1}"#).await;
        gateway.publish("precious", r#"{"n":2}"#).await;
        proxy.mend();
        for n in 1..=2 {
            assert_eq!(client.message().await.1, json!({"n": n}), "{kind:?}");
        }
        client.disconnect().await;
    }
}

#[tokio::test]
async fn cometds_extensions_are_spoken() {
    let (gateway, url) = serve().await;
    let options = json!({"extensions": ["AckExtension", "TimeSyncExtension", "TimeStampExtension"]});
    for kind in [NODE[0], NODE[1]] {
        let mut client = Bayeux::connect_with(kind, &url, options.clone()).await;
        client.subscribe("/acked").await;
        gateway.publish_all("acked", (0..20).map(|n| n.to_string())).await;
        for n in 0..20 {
            assert_eq!(client.message().await.1, json!(n), "{kind:?}");
        }
        client.disconnect().await;
    }
}

#[tokio::test]
async fn binary_data_of_cometds_extension_is_bytes_for_others() {
    let (gateway, url) = serve().await;
    let options = json!({"extensions": ["BinaryExtension"]});
    let mut client = Bayeux::connect_with(NODE[1], &url, options).await;
    let mut stream = gateway.sse(&[("channel", "blob")]).await;
    client
        .script
        .ask(&json!({"do": "publishBinary", "channel": "/blob", "data": [0, 255, 1, 254, 2]}), "published")
        .await;
    assert_eq!(stream.message().await.payload(), [0, 255, 1, 254, 2]);
}

#[tokio::test]
async fn mqtt_and_a_cometd_page_exchange_json_text_and_bytes() {
    let port = free_port();
    let gateway = Gateway::with(&page(port)).await;
    let mut device = Mqtt::connect(Client::Js, Endpoint::of(&gateway).await, json!({})).await;
    device.subscribe("from/page", 1).await;
    for kind in &BROWSER[..2] {
        let options = json!({"pagePort": port});
        let mut cometd = Bayeux::connect_with(*kind, &gateway.url("/bayeux"), options).await;
        cometd.subscribe("/from/mqtt").await;
        for (bytes, value) in [
            (&br#"{"n":1,"list":[true,null]}"#[..], json!({"n": 1, "list": [true, null]})),
            ("z\u{fc}rich, {not json}".as_bytes(), json!("z\u{fc}rich, {not json}")),
            (&[0, 255, 1], json!({"$b64": "AP8B"})),
        ] {
            device.publish("from/mqtt", bytes, 1).await;
            assert_eq!(cometd.message().await, ("/from/mqtt".to_owned(), value.clone()), "{kind:?}");
            assert_eq!(cometd.publish("/from/page", value).await["successful"], true, "{kind:?}");
            assert_eq!(device.message().await.payload(), bytes, "{kind:?}");
        }
        cometd.disconnect().await;
    }
}

#[tokio::test]
async fn what_a_client_may_not_do_is_refused_in_its_protocols_words() {
    let (_gateway, url) = serve().await;
    let mut client = Bayeux::connect(NODE[0], &url).await;
    for channel in ["/monitored/*", "/$monitor/created_client/bayeux"] {
        let reply = client.publish(channel, json!("forged")).await;
        assert_eq!(reply["successful"], false, "{channel}: {reply}");
        let error = reply["error"].as_str().unwrap_or_default();
        assert!(
            error.len() > 4 && error[..3].bytes().all(|byte| byte.is_ascii_digit()) && &error[3..4] == ":",
            "{channel}: {reply}"
        );
    }
    // A service channel: subscribing and publishing succeed, and nobody hears it.
    client.subscribe("/service/echo").await;
    assert_eq!(client.publish("/service/echo", json!("hello")).await["successful"], true);
    client.disconnect().await;
}

async fn post(gateway: &Gateway, body: &Value) -> ratatosk_tests::http::Response {
    fetch(gateway.http, "POST", "/bayeux", &[("Content-Type", "application/json")], body.to_string().as_bytes()).await
}

/// A session by hand; returns its clientId.
async fn handshake(gateway: &Gateway) -> String {
    let body = json!([{"channel": "/meta/handshake", "version": "1.0", "supportedConnectionTypes": ["long-polling"], "id": "1"}]);
    let reply = post(gateway, &body).await.json();
    assert_eq!(reply[0]["successful"], true, "{reply}");
    assert_eq!(reply[0]["id"], "1");
    reply[0]["clientId"].as_str().expect("a clientId").to_owned()
}

#[tokio::test]
async fn bad_bodies_are_answered_and_leave_no_session() {
    let gateway = Gateway::start().await;
    let json = [("Content-Type", "application/json")];
    for body in [&b"{"[..], b"", b"[]", b"42", b"[1]", b"\xff\xfe"] {
        let response = fetch(gateway.http, "POST", "/bayeux", &json, body).await;
        assert_eq!(response.head.status, 400, "{:?}", String::from_utf8_lossy(body));
    }
    let mut connection = HttpConn::open(gateway.http).await;
    let head =
        "POST /bayeux HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1099511627776\r\n\r\n";
    connection.write(head.as_bytes()).await;
    assert_eq!(connection.response().await.head.status, 413);
    for message in [
        json!({"channel": "/meta/handshake"}),
        json!({"channel": "/meta/handshake", "version": "1.0", "supportedConnectionTypes": ["flash"]}),
        json!({"channel": "/meta/connect", "clientId": "forged", "connectionType": "long-polling"}),
        json!({"channel": "/meta/subscribe", "clientId": "forged", "subscription": "/a"}),
        json!({"channel": "/a", "data": "no session"}),
        json!({"channel": 7}),
        json!({}),
    ] {
        let response = post(&gateway, &json!([message])).await;
        assert!(response.head.status == 200 || response.head.status == 400, "{message}: {}", response.head.status);
        if response.head.status == 200 {
            assert_eq!(response.json()[0]["successful"], false, "{message}");
        }
    }
    assert_eq!(gateway.metrics().await.sum("ratatosk_sessions", &[("connector", "bayeux")]).unwrap_or(0.0), 0.0);
}

#[tokio::test]
async fn a_superseded_poll_is_answered_at_once_and_a_goodbye_ends_the_held_one() {
    let gateway = Gateway::with("[bayeux]\ntimeout = \"1h\"").await;
    let client = handshake(&gateway).await;
    let connect =
        json!([{"channel": "/meta/connect", "clientId": client, "connectionType": "long-polling", "id": "2"}]);
    let first = post(&gateway, &connect).await;
    assert_eq!(first.json()[0]["successful"], true, "the first is answered at once");
    let poll = async |connection: &mut HttpConn| {
        connection
            .send("POST", "/bayeux", &[("Content-Type", "application/json")], connect.to_string().as_bytes())
            .await;
    };
    let (mut held, mut newer) = (HttpConn::open(gateway.http).await, HttpConn::open(gateway.http).await);
    poll(&mut held).await;
    // Two polls at once: whichever the server saw first is told to go, the other is held.
    poll(&mut newer).await;
    let (superseded, mut still) = tokio::select! {
        head = held.head() => (head.status, newer),
        head = newer.head() => (head.status, held),
    };
    assert!(superseded >= 400, "{superseded}");
    let goodbye = json!([{"channel": "/meta/disconnect", "clientId": client, "id": "3"}]);
    assert_eq!(post(&gateway, &goodbye).await.json()[0]["successful"], true);
    let reply = still.response().await.json();
    assert_eq!(reply[0]["advice"]["reconnect"], "none", "{reply}");
}

#[tokio::test]
async fn callbacks_are_held_to_identifiers() {
    let gateway = Gateway::start().await;
    let message = "%5B%7B%22channel%22%3A%22%2Fmeta%2Fhandshake%22%2C%22version%22%3A%221.0%22%2C%22supportedConnectionTypes%22%3A%5B%22callback-polling%22%5D%7D%5D";
    let good = gateway.get(&format!("/bayeux?jsonp=cb.ok_1&message={message}")).await;
    assert_eq!(good.head.status, 200);
    assert!(good.head.header("content-type").is_some_and(|kind| kind.starts_with("text/javascript")));
    assert_eq!(good.head.header("x-content-type-options"), Some("nosniff"));
    for bad in ["alert(1)//", "a%20b", "%3Cscript%3E", ""] {
        let response = gateway.get(&format!("/bayeux?jsonp={bad}&message={message}")).await;
        assert_eq!(response.head.status, 400, "{bad}");
    }
}
