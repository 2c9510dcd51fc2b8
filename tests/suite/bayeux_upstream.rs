//! Our Bayeux client as a guest of Faye's server, which is killed in the middle.

use ratatosk_tests::ports::free_port;
use ratatosk_tests::{Gateway, Script};
use serde_json::json;

async fn faye(port: u16) -> Script {
    let mut server = Script::node("faye-server.mjs", &json!({"port": port, "timeout": 2}));
    server.expect("ready").await;
    server
}

/// Waits until our client has subscribed.
async fn subscribed(server: &mut Script) {
    while server.expect("subscribe").await["channel"] != "/news/**" {}
}

async fn published(server: &mut Script, channel: &str) -> serde_json::Value {
    loop {
        let event = server.expect("publish").await;
        if event["channel"] == channel {
            return event["data"].clone();
        }
    }
}

async fn a_guest_of_faye(transport: &str) {
    let port = free_port();
    let mut server = faye(port).await;
    let gateway = Gateway::with(&format!(
        r##"
[[upstreams]]
name = "faye"
kind = "bayeux"
url = "bayeux+http://127.0.0.1:{port}/bayeux"
transport = "{transport}"
in = [{{ from = "news/#", to = "news/#" }}]
out = [{{ from = "commands/#", to = "commands/#" }}]
"##
    ))
    .await;
    subscribed(&mut server).await;
    let mut stream = gateway.sse(&[("channel", "news/#")]).await;
    for round in 0..2 {
        let data = json!({"n": round, "text": "z\u{fc}rich"});
        server.send(&json!({"do": "publish", "channel": "/news/today", "data": data})).await;
        let came = stream.message().await;
        assert_eq!((came.channel(), came.data()), ("news/today", &data), "{transport}");
        gateway.publish("commands/light", format!(r#"{{"on":{round}}}"#)).await;
        assert_eq!(published(&mut server, "/commands/light").await, json!({"on": round}), "{transport}");
        if round == 0 {
            drop(server);
            gateway.metric("ratatosk_upstream_up", &[("upstream", "faye")], |up| up < 0.5).await;
            gateway.publish("commands/late", r#""waits for you""#).await;
            server = faye(port).await;
            subscribed(&mut server).await;
            assert_eq!(published(&mut server, "/commands/late").await, json!("waits for you"), "{transport}");
        }
    }
}

#[tokio::test]
async fn long_polling_with_faye_killed_in_the_middle() {
    a_guest_of_faye("long-polling").await;
}

#[tokio::test]
async fn websocket_with_faye_killed_in_the_middle() {
    a_guest_of_faye("auto").await;
}
