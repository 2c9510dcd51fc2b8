//! `ratatosk sub` and `ratatosk pub`: in every protocol, against the gateway and against Mosquitto.

use ratatosk_tests::command::Ran;
use ratatosk_tests::ports::free_port;
use ratatosk_tests::proxy::Proxy;
use ratatosk_tests::tls::Certificates;
use ratatosk_tests::wait::eventually;
use ratatosk_tests::{Gateway, Mosquitto, Script};
use serde_json::{Value, json};

/// The URL of every plain scheme.
async fn urls(gateway: &Gateway) -> Vec<String> {
    let (http, mqtt) = (gateway.http, gateway.mqtt().await);
    vec![
        format!("mqtt://{mqtt}"),
        format!("mqtt+ws://{http}"),
        format!("sse+http://{http}"),
        format!("bayeux+http://{http}"),
        format!("bayeux+ws://{http}"),
        format!("pusher+ws://demo:demo-secret@{http}/app/demo-key"),
    ]
}

async fn exchange(url: &str, more: &[&str]) {
    let sub = Ran::start(&[&["sub", url, "tool/a b", "--count", "4", "--json"], more].concat());
    sub.process.wait_for("subscribed to tool/a b").await;
    for (payload, event) in [(r#"{"c":21.5}"#, None), ("text", Some("greeting")), ("", None), ("2\u{e9}", None)] {
        let mut arguments = [&["pub", url, "tool/a b", payload], more].concat();
        arguments.extend(event.iter().flat_map(|event| ["--event", event]));
        Ran::start(&arguments).ends_with(0).await;
    }
    let sub = sub.ends_with(0).await;
    let messages: Vec<Value> = sub.stdout().lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let data: Vec<&Value> = messages.iter().map(|message| &message["data"]).collect();
    assert_eq!(data, [&json!({"c": 21.5}), &json!("text"), &json!(""), &json!("2\u{e9}")], "{url}");
    assert!(messages.iter().all(|message| message["channel"] == "tool/a b"), "{url}");
    if !url.starts_with("bayeux") {
        assert_eq!(messages[1]["event"], "greeting", "{url}");
    }
}

#[tokio::test]
async fn every_protocol_carries_payloads_and_events() {
    let gateway = Gateway::start().await;
    for url in urls(&gateway).await {
        exchange(&url, &[]).await;
    }
}

#[tokio::test]
async fn every_protocol_over_tls() {
    let certificates = Certificates::new();
    let (https, mqtts) = (free_port(), free_port());
    let gateway = Gateway::with(&format!(
        "[http]\ntls_listen = \"127.0.0.1:{https}\"\n[mqtt]\ntls_listen = \"127.0.0.1:{mqtts}\"\n[tls]\ncert = {:?}\nkey = {:?}",
        certificates.text("server.crt"),
        certificates.text("server.key"),
    ))
    .await;
    let ca = certificates.text("ca.crt");
    let trust = ["--ca", ca.as_str()];
    for url in [
        format!("mqtts://localhost:{mqtts}"),
        format!("mqtt+wss://localhost:{https}"),
        format!("sse+https://localhost:{https}"),
        format!("bayeux+https://localhost:{https}"),
        format!("bayeux+wss://localhost:{https}"),
        format!("pusher+wss://demo:demo-secret@localhost:{https}/app/demo-key"),
    ] {
        exchange(&url, &trust).await;
        let stranger = Ran::start(&["sub", &url, "tool/x"]).ends_with(1).await;
        assert!(stranger.stderr().contains("error:"), "{url}: {}", stranger.stderr());
    }
    drop(gateway);
}

#[tokio::test]
async fn ten_thousand_lines_lose_nothing() {
    let gateway = Gateway::start().await;
    let lines: String = (0..10_000).map(|n| format!("line {n}\n")).collect();
    for url in urls(&gateway).await {
        // Pusher's HTTP API takes ten events at a time, and an event stream's server one: fewer lines show the same.
        let count = if url.starts_with("mqtt") || url.starts_with("bayeux") { 10_000 } else { 2_000 };
        let lines: String = lines.lines().take(count).map(|line| format!("{line}\n")).collect();
        let sub = format!("mqtt://{}", gateway.mqtt().await);
        let sub = Ran::start(&["sub", &sub, "lines", "--raw", "--count", &count.to_string()]);
        sub.process.wait_for("subscribed to lines").await;
        Ran::start(&["pub", &url, "lines", "-"]).input(lines.as_bytes()).await.ends_with(0).await;
        let sub = sub.ends_with(0).await;
        assert!(sub.stdout() == lines, "{url} loses or mixes up lines");
    }
}

#[tokio::test]
async fn a_reader_that_pauses_loses_nothing() {
    let gateway = Gateway::start().await;
    let url = format!("mqtt://{}", gateway.mqtt().await);
    let mut shell = tokio::process::Command::new("sh");
    let binary = ratatosk_tests::gateway::binary();
    // The reader takes nothing before the file `go` is there.
    shell.arg("-c").arg("\"$0\" sub \"$1\" much --raw --count 20000 2>\"$2/told\" | { while [ ! -e \"$2/go\" ]; do sleep 0.05; done; cat; }");
    let directory = tempfile::TempDir::new().expect("a directory");
    shell.arg(binary).arg(&url).arg(directory.path());
    let mut process = ratatosk_tests::process::Process::spawn("sub | slow", shell);
    eventually("the subscription", async || {
        std::fs::read_to_string(directory.path().join("told")).ok().filter(|text| text.contains("subscribed to much"))
    })
    .await;
    let lines: String = (0..20_000).map(|n| format!("{n} {:060}\n", 0)).collect();
    Ran::start(&["pub", &url, "much", "--qos", "1"]).input(lines.as_bytes()).await.ends_with(0).await;
    std::fs::write(directory.path().join("go"), "").expect("a file");
    assert!(process.exit().await.success());
    let got: String = process.lines().iter().map(|line| format!("{}\n", line.text)).collect();
    assert!(got == lines, "{} of 20000 lines", process.lines().len());
}

#[tokio::test]
async fn mosquitto_is_a_server_too() {
    let broker = Mosquitto::start().await;
    let url = broker.url();
    Ran::start(&["pub", &url, "kept/x", "first", "--retain", "--qos", "2"]).ends_with(0).await;
    let sub = Ran::start(&["sub", &url, "kept/#", "--count", "2"]);
    sub.process.wait_for("kept/x (retained) first").await;
    broker.publish("kept/y", "\u{1b}[2J", &[]).await;
    let sub = sub.ends_with(0).await;
    assert!(sub.stdout().ends_with("kept/y \\u{1b}[2J\n"), "{:?}", sub.stdout());
    let old = Ran::start(&["pub", &url, "kept/x", "again", "--mqtt-version", "3.1.1"]);
    old.ends_with(0).await;
}

#[tokio::test]
async fn a_subscriber_comes_back_by_itself() {
    let gateway = Gateway::start().await;
    let proxy = Proxy::to(gateway.mqtt().await).await;
    let sub = Ran::start(&["sub", &format!("mqtt://{}", proxy.address), "a", "--count", "2", "--raw"]);
    sub.process.wait_for("subscribed to a").await;
    gateway.publish("a", "one").await;
    sub.process.wait_for("one").await;
    proxy.cut();
    sub.process.wait_for("connection lost").await;
    proxy.mend();
    sub.process.wait_for("reconnected").await;
    let twice = |line: &ratatosk_tests::process::Line| (line.text == "subscribed to a").then_some(());
    let (_, after) = sub.process.find_line("a subscription", 0, twice).await;
    sub.process.find_line("another subscription", after, twice).await;
    gateway.publish("a", "two").await;
    assert_eq!(sub.ends_with(0).await.stdout(), "one\ntwo\n");
}

#[tokio::test]
async fn credentials_are_taken_from_the_url_and_refusals_are_told() {
    let gateway = Gateway::with("[auth]\nusers = [{ name = \"ann\", password = \"plain:s3cret/x\" }]").await;
    let (http, mqtt) = (gateway.http, gateway.mqtt().await);
    for (scheme, address) in [("mqtt", mqtt), ("sse+http", http), ("bayeux+http", http)] {
        let url = |user: &str| format!("{scheme}://{user}{address}");
        Ran::start(&["pub", &url("ann:s3cret%2Fx@"), "a/b", "x"]).ends_with(0).await;
        for wrong in ["", "ann:wrong@"] {
            let refused = Ran::start(&["pub", &url(wrong), "a/b", "x", "--timeout", "5s"]).ends_with(1).await;
            assert!(refused.stderr().contains("error: "), "{}", refused.stderr());
            assert!(!refused.stderr().contains("wrong"), "{}", refused.stderr());
            let refused = Ran::start(&["sub", &url(wrong), "a/b"]).ends_with(1).await;
            assert!(refused.stderr().contains("error: "), "{}", refused.stderr());
        }
    }
}

#[tokio::test]
async fn pusher_client_events_go_without_the_http_api() {
    let gateway = Gateway::start().await;
    let url = format!("pusher+ws://{}/app/demo-key", gateway.http);
    let secret = ["--secret", "demo-secret"];
    let sub = Ran::start(&["sub", &url, "private-room", "--count", "1", "--secret", "demo-secret"]);
    sub.process.wait_for("subscribed to private-room").await;
    Ran::start(&[&["pub", url.as_str(), "private-room", r#"{"n":1}"#][..], &secret].concat()).ends_with(0).await;
    assert_eq!(sub.ends_with(0).await.stdout(), "private-room [client-message] {\"n\":1}\n");
    let open = Ran::start(&["pub", &url, "room", "x"]).ends_with(2).await;
    assert!(open.stderr().contains("--app-id"), "{}", open.stderr());
    let forged = Ran::start(&["sub", &url, "private-room", "--secret", "wrong"]).ends_with(1).await;
    assert!(forged.stderr().contains("not subscribed to private-room"), "{}", forged.stderr());
}

#[tokio::test]
async fn failures_have_a_status_and_a_cause() {
    let nobody = format!("127.0.0.1:{}", free_port());
    for scheme in ["mqtt", "mqtt+ws", "sse+http", "bayeux+http", "bayeux+ws"] {
        let url = format!("{scheme}://{nobody}");
        for command in [&["pub", &url, "a", "x"][..], &["sub", &url, "a"][..]] {
            let failed = Ran::start(command).ends_with(1).await;
            assert!(failed.stderr().to_lowercase().contains("refused"), "{scheme}: {}", failed.stderr());
        }
    }
    for (arguments, cause) in [
        (&["sub", "http://h", "a"][..], "names no protocol"),
        (&["sub", "mqtt://h"], "CHANNEL"),
        (&["sub", "mqtt://h", "a/#/b"], "#"),
        (&["sub", "pusher+ws://h/app/k", "a/#"], "wildcard"),
        (&["pub", "mqtt://h", "a/+", "x"], "wildcards"),
        (&["pub", "pusher+ws://h", "private-a", "x"], "key"),
        (&["pub", "mqtt://h", "a", "x", "--qos", "3"], "qos"),
        (&["sub", "mqtt://h", "a", "--set", "upstreams[0].keep_alive=70000s"], "keep_alive"),
    ] {
        let misused = Ran::start(arguments).ends_with(2).await;
        assert!(misused.stderr().contains(cause), "{arguments:?}: {}", misused.stderr());
    }
    let gateway = Gateway::start().await;
    let url = format!("mqtt://{}", gateway.mqtt().await);
    let late = Ran::start(&["sub", &url, "a", "--count", "1", "--timeout", "300ms"]).ends_with(1).await;
    assert!(late.stderr().contains("time is up"), "{}", late.stderr());
    Ran::start(&["sub", &url, "a", "--timeout", "300ms"]).ends_with(0).await;
    let reserved = Ran::start(&["pub", &url, "$SYS/broker/x", "x"]).ends_with(1).await;
    assert!(reserved.stderr().contains("not taken"), "{}", reserved.stderr());
}

/// What a person sees who runs a command on a terminal.
async fn on_a_terminal(command: &[&str], more: Value) -> Value {
    let binary = ratatosk_tests::gateway::binary();
    let mut argument = more;
    argument["command"] = [&[binary.to_str().expect("a path")], command].concat().into();
    let mut script = Script::python("on_a_terminal.py", &argument);
    script.expect("ended").await
}

#[tokio::test]
async fn on_a_terminal_there_is_colour_and_a_bar_for_long_work() {
    let gateway = Gateway::start().await;
    let url = format!("mqtt://{}", gateway.mqtt().await);
    let sub = ["sub", &url, "tool/#", "--count", "1"];
    gateway.publish_with(&[("channel", "tool/x"), ("retain", "true")], r#"{"c":21.5,"ok":true}"#).await;
    let shown = on_a_terminal(&sub, json!({})).await;
    let output = shown["output"].as_str().expect("text");
    assert_eq!(shown["status"], 0, "{output}");
    assert!(output.contains("\x1b[1;36mtool/x\x1b[0m") && output.contains("\x1b[33m21.5\x1b[0m"), "{output:?}");
    let plain = on_a_terminal(&[&sub[..], &["--color", "never"]].concat(), json!({})).await;
    assert!(!plain["output"].as_str().expect("text").contains('\x1b'), "{plain}");

    // Lines are fed until the bar is there, however long that takes.
    let more = json!({ "feed": "{\"n\":1}", "until": "taken" });
    let shown = on_a_terminal(&["pub", &url, "tool/numbers", "-"], more).await;
    let output = shown["output"].as_str().expect("text");
    assert_eq!(shown["status"], 0, "{output}");
    assert!(output.contains(" taken (") && output.contains("messages published in "), "{output:?}");
    assert!(output.ends_with(" s\r\n"), "the bar is taken away: {output:?}");
}
