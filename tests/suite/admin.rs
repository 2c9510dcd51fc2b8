//! The admin API of the real binary: upstreams changed while it runs, sessions and channels looked at, the token.

use ratatosk_tests::http::fetch;
use ratatosk_tests::wait::eventually;
use ratatosk_tests::{Gateway, Mosquitto};
use serde_json::{Value, json};

fn section(name: &str, url: &str) -> Value {
    json!({
        "name": name, "kind": "mqtt", "url": url, "max_backoff": "300ms",
        "in": [{ "from": "sensors/#", "to": format!("{name}/#") }],
        "out": [{ "from": "commands/#", "qos": 1 }],
    })
}

fn in_file(name: &str, url: &str, to: &str) -> String {
    format!(
        "[[upstreams]]\nname = \"{name}\"\nkind = \"mqtt\"\nurl = \"{url}\"\nmax_backoff = \"300ms\"\nin = [{{ from = \"sensors/#\", to = \"{to}/#\" }}]\n"
    )
}

async fn state(gateway: &Gateway, name: &str, wanted: &str) -> Value {
    eventually(format!("{name} to be {wanted}"), async || {
        let upstream = gateway.admin(&format!("/api/upstreams/{name}")).await;
        (upstream.head.status == 200).then(|| upstream.json()).filter(|upstream| upstream["state"] == wanted)
    })
    .await
}

#[tokio::test]
async fn upstreams_are_added_paused_resumed_drained_and_removed() {
    let broker = Mosquitto::start().await;
    let gateway = Gateway::start().await;
    let mut stream = gateway.sse(&[("channel", "line/#")]).await;
    let added = gateway.call("POST", "/api/upstreams", Some(&section("line", &broker.url()))).await;
    assert_eq!(added.head.status, 201, "{}", String::from_utf8_lossy(&added.body));
    let up = state(&gateway, "line", "up").await;
    assert_eq!((&up["source"], &up["kind"], &up["queue"]["messages"]), (&json!("api"), &json!("mqtt"), &json!(0)));
    broker.publish("sensors/x", "1", &["-q", "1"]).await;
    assert_eq!(stream.message().await.channel(), "line/x");
    let mut over_there = broker.subscribe("commands/#", &["-q", "1"]).await;

    // While it is paused nothing comes, and what goes out waits.
    assert_eq!(gateway.call("POST", "/api/upstreams/line/pause", None).await.head.status, 202);
    state(&gateway, "line", "paused").await;
    gateway.metric("ratatosk_upstream_up", &[("upstream", "line")], |up| up < 0.5).await;
    for n in 0..3 {
        gateway.publish("commands/valve", n.to_string()).await;
    }
    let line = [("upstream", "line")];
    gateway.metric("ratatosk_upstream_queue_messages", &line, |waiting| (waiting - 3.0).abs() < 0.1).await;
    assert!(gateway.metrics().await.sum("ratatosk_upstream_queue_bytes", &line).is_some_and(|bytes| bytes > 3.0));
    gateway.metric("ratatosk_upstream_queue_oldest_seconds", &line, |age| age > 0.0).await;
    assert_eq!(gateway.call("POST", "/api/upstreams/line/resume", None).await.head.status, 202);
    for n in 0..3 {
        assert_eq!(over_there.next().await.payload, n.to_string().as_bytes());
    }
    gateway.metric("ratatosk_upstream_queue_messages", &line, |waiting| waiting < 0.5).await;

    // Drained it is over, and can begin anew; removed it is gone, with its series.
    assert_eq!(gateway.call("POST", "/api/upstreams/line/drain", None).await.head.status, 202);
    state(&gateway, "line", "stopped").await;
    assert_eq!(gateway.call("POST", "/api/upstreams/line/resume", None).await.head.status, 202);
    state(&gateway, "line", "up").await;
    assert_eq!(gateway.call("DELETE", "/api/upstreams/line", None).await.head.status, 204);
    gateway.admin("/api/upstreams/line").await.assert_problem(404);
    eventually("the series to end", async || {
        (!gateway.metrics().await.text.contains("upstream=\"line\"")).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_upstream_that_is_wrong_is_refused_with_what_is_wrong() {
    let gateway = Gateway::start().await;
    let wrong = |change: fn(&mut Value)| {
        let mut section = section("line", "mqtt://127.0.0.1:1");
        change(&mut section);
        section
    };
    for (section, told) in [
        (wrong(|section| section["url"] = json!("http://127.0.0.1:1")), "cannot be reached by http://"),
        (wrong(|section| section["kind"] = json!("carrier-pigeon")), "carrier-pigeon"),
        (wrong(|section| section["keep_alife"] = json!("5s")), "keep_alive"),
        (wrong(|section| section["in"][0]["from"] = json!("a/#/b")), "#"),
        (wrong(|section| section["name"] = json!("two words")), "two words"),
        (wrong(|section| section["tls"] = json!({ "ca": "/nonexistent.pem" })), "/nonexistent.pem"),
        (json!("nonsense"), "upstreams"),
    ] {
        let problem = gateway.call("POST", "/api/upstreams", Some(&section)).await.assert_problem(422);
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains(told)), "{problem} has no {told:?}");
    }
    let good = section("line", "mqtt://127.0.0.1:1");
    assert_eq!(gateway.call("POST", "/api/upstreams", Some(&good)).await.head.status, 201);
    gateway.call("POST", "/api/upstreams", Some(&good)).await.assert_problem(409);
    gateway.call("POST", "/api/upstreams/none/pause", None).await.assert_problem(404);
}

#[tokio::test]
async fn sighup_starts_changes_and_removes_what_the_file_says() {
    let (one, other) = (Mosquitto::start().await, Mosquitto::start().await);
    let gateway = Gateway::with(&(in_file("stays", &one.url(), "a") + &in_file("goes", &other.url(), "b"))).await;
    state(&gateway, "stays", "up").await;
    state(&gateway, "goes", "up").await;
    let by_hand = gateway.call("POST", "/api/upstreams", Some(&section("byhand", &other.url()))).await;
    assert_eq!(by_hand.head.status, 201);
    let mut stream = gateway.sse(&[("channel", "#")]).await;

    assert!(gateway.reload(&(in_file("stays", &one.url(), "a") + &in_file("new", &other.url(), "c"))).await);
    state(&gateway, "new", "up").await;
    gateway.admin("/api/upstreams/goes").await.assert_problem(404);
    let stays = state(&gateway, "stays", "up").await;
    assert_eq!(stays["connections"], 1, "what has not changed is not touched");
    state(&gateway, "byhand", "up").await;
    one.publish("sensors/x", "1", &[]).await;
    assert_eq!(stream.message().await.channel(), "a/x");

    // A change replaces the bridge.
    assert!(gateway.reload(&(in_file("stays", &one.url(), "changed") + &in_file("new", &other.url(), "c"))).await);
    eventually("the changed rule", async || {
        one.publish("sensors/x", "2", &[]).await;
        let seen = stream.message().await;
        (seen.channel() == "changed/x").then_some(())
    })
    .await;

    // A bad file changes nothing.
    assert!(!gateway.reload("[[upstreams]]\nname = \"broken\"\n").await);
    state(&gateway, "new", "up").await;
    let names: Vec<Value> = gateway.admin("/api/upstreams").await.json()["upstreams"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|upstream| upstream["name"].clone())
        .collect();
    assert_eq!(names.len(), 3, "{names:?}");
}

#[tokio::test]
async fn a_refusal_for_good_is_told_and_shown() {
    let broker = Mosquitto::with("allow_anonymous false", &[]).await;
    let gateway = Gateway::with(&in_file("locked", &broker.url(), "a")).await;
    let refused = state(&gateway, "locked", "refused").await;
    assert_eq!(refused["permanent"], true);
    gateway.process.wait_for("permanent, will not retry").await;
    gateway.metric("ratatosk_upstream_refused", &[("upstream", "locked")], |refused| refused > 0.5).await;
}

#[tokio::test]
async fn the_end_waits_for_what_is_queued_upstream() {
    let broker = Mosquitto::start().await;
    let out = format!(
        "[shutdown]\ngrace = \"20s\"\n[[upstreams]]\nname = \"out\"\nkind = \"mqtt\"\nurl = \"{}\"\nout = [{{ from = \"commands/#\", qos = 1 }}]\n",
        broker.url()
    );
    let mut gateway = Gateway::with(&out).await;
    state(&gateway, "out", "up").await;
    let mut over_there = broker.subscribe("commands/#", &["-q", "1"]).await;
    broker.pause();
    let queued = 200;
    gateway.publish_all("commands/x", (0..queued).map(|n| n.to_string())).await;
    gateway.process.signal(rustix::process::Signal::INT);
    gateway.process.wait_for("stopping").await;
    broker.resume();
    for n in 0..queued {
        assert_eq!(over_there.next().await.payload, n.to_string().as_bytes());
    }
    assert!(gateway.process.exit().await.success());
}

#[tokio::test]
async fn sessions_are_looked_at_and_ended() {
    let gateway = Gateway::start().await;
    let mut stream = gateway.sse(&[("channel", "zebra/#"), ("channel", "lion")]).await;
    gateway.publish_with(&[("channel", "zebra/x"), ("retain", "true")], r#"{"n":1}"#).await;
    stream.message().await;
    let found = gateway.admin("/api/sessions?connector=sse&filter=lion").await.json();
    assert_eq!(found["sessions"].as_array().map(Vec::len), Some(1), "{found}");
    let channel = gateway.admin("/api/channel?name=zebra/x").await.json();
    assert_eq!(channel["history"]["messages"][0]["data"], json!({ "n": 1 }), "{channel}");
    let id = found["sessions"][0]["id"].as_str().expect("a number").to_owned();
    assert_eq!(gateway.call("DELETE", &format!("/api/sessions/{id}"), None).await.head.status, 204);
    gateway.metric("ratatosk_sessions", &[("connector", "sse")], |sessions| sessions < 0.5).await;
    let ended = [("connector", "sse"), ("reason", "kicked")];
    gateway.metric("ratatosk_sessions_destroyed_total", &ended, |count| count > 0.5).await;
}

#[tokio::test]
async fn the_token_is_asked_for_and_never_shown() {
    let gateway = Gateway::with("[admin]\ntoken = \"open sesame\"").await;
    gateway.admin("/api/config").await.assert_problem(401);
    gateway.call("DELETE", "/api/sessions/1", None).await.assert_problem(401);
    for open in ["/metrics", "/healthz", "/readyz", "/"] {
        assert_eq!(gateway.admin(open).await.head.status, 200, "{open}");
    }
    let shown = [("Authorization", "Bearer open sesame"), ("Connection", "close")];
    let config = fetch(gateway.admin, "GET", "/api/config", &shown, b"").await;
    assert_eq!(config.head.status, 200);
    let text = String::from_utf8_lossy(&config.body).into_owned();
    assert!(text.contains("\"token\":\"***\"") && !text.contains("sesame") && !text.contains("demo-secret"), "{text}");
    let log: String = gateway.process.lines().into_iter().map(|line| line.text).collect();
    assert!(!log.contains("sesame"));
    let denied = [("connector", "admin"), ("result", "denied")];
    gateway.metric("ratatosk_auth_total", &denied, |count| count > 1.5).await;
}

#[tokio::test]
async fn another_token_is_in_force_after_a_reload() {
    let gateway = Gateway::with("[admin]\ntoken = \"the old one\"").await;
    let status = async |token: &str| {
        let shown = [("Authorization", token), ("Connection", "close")];
        fetch(gateway.admin, "GET", "/api/overview", &shown, b"").await.head.status
    };
    assert_eq!((status("Bearer the old one").await, status("Bearer the new one").await), (200, 401));
    assert!(gateway.reload("[admin]\ntoken = \"the new one\"").await);
    assert_eq!((status("Bearer the old one").await, status("Bearer the new one").await), (401, 200));
    assert!(!gateway.reload("[admin]\ntoken = \"\"").await, "an empty token protects nothing");
    assert_eq!(status("Bearer the new one").await, 200);
    assert!(gateway.reload("").await);
    assert_eq!(gateway.admin("/api/overview").await.head.status, 200, "a listener on loopback needs none");
}

/// Its listener stays where it is until a restart, and so does what protects it.
#[tokio::test]
async fn a_listener_that_others_can_reach_keeps_its_token() {
    let config =
        "[pusher]\napps = []\n[auth]\nanonymous = \"allow\"\n[admin]\nlisten = \"0.0.0.0:0\"\ntoken = \"kept\"";
    let gateway = Gateway::with(config).await;
    assert!(gateway.reload("").await);
    let loopback = std::net::SocketAddr::from(([127, 0, 0, 1], gateway.admin.port()));
    let answer = fetch(loopback, "GET", "/api/overview", &[("Connection", "close")], b"").await;
    assert_eq!(answer.head.status, 401);
}

/// The crate's own tests hold every answer but this one, which a gateway makes, to the description.
#[tokio::test]
async fn upstreams_look_as_the_api_describes_them() {
    let broker = Mosquitto::start().await;
    let gateway = Gateway::with(
        &(in_file("line", &broker.url(), "a")
            + "[[upstreams]]\nname = \"stream\"\nkind = \"sse\"\nurl = \"sse+http://127.0.0.1:1/events\"\nin = [{ from = \"#\", to = \"b/#\" }]\n"
            + "[[upstreams]]\nname = \"app\"\nkind = \"pusher\"\nurl = \"pusher+ws://127.0.0.1:1/app/k\"\nin = [{ from = \"presence-x\", to = \"c\" }]\n"
            + "[[upstreams]]\nname = \"comet\"\nkind = \"bayeux\"\nurl = \"bayeux+http://127.0.0.1:1/bayeux\"\nin = [{ from = \"x\", to = \"d\" }]\n"),
    )
    .await;
    state(&gateway, "line", "up").await;
    let document = gateway.admin("/api/openapi.json").await.json();
    let schema = &document["components"]["schemas"]["Upstream"];
    let upstreams = gateway.admin("/api/upstreams").await.json()["upstreams"].clone();
    let upstreams = upstreams.as_array().expect("a list");
    assert_eq!(upstreams.len(), 4);
    for upstream in upstreams {
        let keys: Vec<&String> = upstream.as_object().expect("an object").keys().collect();
        let described: Vec<&String> = schema["properties"].as_object().expect("properties").keys().collect();
        assert_eq!(keys, described, "in the order of the description");
        for key in ["kind", "source", "mode", "loop_guard", "state"] {
            let words = schema["properties"][key]["enum"].as_array().expect("words");
            assert!(words.contains(&upstream[key]), "{key}: {}", upstream[key]);
        }
    }
    let facts = |name: &str| {
        let found = upstreams.iter().find(|upstream| upstream["name"] == name);
        found.map(|upstream| upstream["facts"].clone()).unwrap_or_default()
    };
    assert_eq!(facts("stream")["last_event_id"], "", "what a stream resumes from");
    assert!(facts("app")["channels"].is_object(), "who is present where: {}", facts("app"));
    gateway.metric("ratatosk_upstream_downs_total", &[("upstream", "comet")], |downs| downs > 0.5).await;
}

#[tokio::test]
async fn monitor_events_are_followed_over_the_api() {
    let gateway = Gateway::start().await;
    let mut events = ratatosk_tests::http::HttpConn::open(gateway.admin).await;
    events.send("GET", "/api/monitor", &[], b"").await;
    assert_eq!(events.head().await.header("content-type"), Some("text/event-stream"));
    let _stream = gateway.sse(&[("channel", "zebra")]).await;
    let mut seen = String::new();
    while !(seen.contains("created_client") && seen.contains("client_subscribed") && seen.contains("zebra")) {
        let chunk = ratatosk_tests::wait::within("events", events.chunk()).await.expect("more events");
        seen.push_str(&String::from_utf8_lossy(&chunk));
    }
}
