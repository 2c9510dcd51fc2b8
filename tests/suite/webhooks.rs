//! Webhooks for monitor events, received by a real HTTP server: signed, filtered, in order, counted, and drained at the end.

use ratatosk_tests::{Gateway, Mosquitto, command::Ran, hook::Receiver, mosquitto::Subscriber};
use serde_json::{Value, json};

/// The events of the next requests, until one of that name is among them.
async fn until(receiver: &mut Receiver, name: &str) -> Vec<Value> {
    let mut events = Vec::new();
    loop {
        let body = receiver.next().await.json();
        events.extend(body["events"].as_array().expect("events").iter().cloned());
        if events.iter().any(|event| event["event"] == name) {
            return events;
        }
    }
}

fn names(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["event"].as_str().expect("a name")).collect()
}

/// What Python makes of the same secret, time and body.
async fn signature(secret: &str, time: &str, body: &[u8]) -> String {
    let code = "import hmac,sys;b=sys.stdin.buffer.read();print(hmac.new(sys.argv[1].encode(),sys.argv[2].encode()+b'.'+b,'sha256').hexdigest())";
    let mut child = tokio::process::Command::new("python3")
        .args(["-c", code, secret, time])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("python3 is installed");
    let mut stdin = child.stdin.take().expect("its input");
    tokio::io::AsyncWriteExt::write_all(&mut stdin, body).await.expect("it reads");
    drop(stdin);
    let output = child.wait_with_output().await.expect("it ends");
    String::from_utf8(output.stdout).expect("text").trim().to_owned()
}

#[tokio::test]
async fn events_are_filtered_signed_and_say_what_happened() {
    let mut receiver = Receiver::start().await;
    let gateway = Gateway::with(&format!(
        "[[webhooks]]\nname = \"ops\"\nurl = \"{}\"\nsecret = \"s3cret\"\nlinger = \"0s\"\n\
         events = [\"created_client\", \"destroyed_client\", \"client_subscribed\"]\nconnectors = [\"mqtt\"]\n\
         channels = [\"sensors/#\"]\nheaders = {{ authorization = \"Bearer t0ken\" }}\n",
        receiver.url()
    ))
    .await;
    // Another connector, and another channel: nothing of these is told.
    let _stream = gateway.sse(&[("channel", "sensors/#")]).await;
    let elsewhere = Subscriber::start(gateway.mqtt().await.port(), "other/#", &["-i", "elsewhere"]).await;
    let subscriber = Subscriber::start(gateway.mqtt().await.port(), "sensors/kitchen", &["-i", "device-7"]).await;
    drop((elsewhere, subscriber));
    let mut events = Vec::new();
    let (mut first, mut gone) = (None, 0);
    while gone < 2 {
        let request = receiver.next().await;
        let body = request.json();
        assert_eq!((request.line.as_str(), &body["webhook"]), ("POST /hook HTTP/1.1", &json!("ops")));
        let these = body["events"].as_array().expect("events").clone();
        gone += these.iter().filter(|event| event["event"] == "destroyed_client").count();
        events.extend(these);
        first.get_or_insert(request);
    }
    let of = |client: &str| -> Vec<&str> {
        let its = events.iter().filter(|event| event["client_id"] == client);
        its.map(|event| event["event"].as_str().expect("a name")).collect()
    };
    assert_eq!(of("device-7"), ["created_client", "client_subscribed", "destroyed_client"]);
    assert_eq!(of("elsewhere"), ["created_client", "destroyed_client"]);
    assert_eq!(events.len(), 5, "{events:?}");
    assert!(events.iter().all(|event| event["time"].as_u64().is_some_and(|time| time > 1_700_000_000_000)));
    let first = first.expect("a request");
    assert_eq!(first.header("authorization"), Some("Bearer t0ken"));
    assert_eq!(first.header("content-type"), Some("application/json"));
    assert!(first.header("ratatosk-request").is_some());
    let (time, hex) =
        first.header("ratatosk-signature").and_then(|value| value.split_once(",v1=")).expect("a signature");
    let time = time.strip_prefix("t=").expect("a time");
    assert_eq!(hex, signature("s3cret", time, &first.body).await);
}

#[tokio::test]
async fn what_is_refused_comes_again_in_order_and_a_full_queue_is_counted() {
    let mut receiver = Receiver::start().await;
    receiver.will_answer(&[500, 503]).await;
    let gateway = Gateway::with(&format!(
        "[[webhooks]]\nname = \"ops\"\nurl = \"{}\"\nevents = [\"created_channel\"]\nchannels = [\"n/#\"]\nlinger = \"0s\"\nbatch = 3\nqueue = 10\n",
        receiver.url()
    ))
    .await;
    let mut streams = Vec::new();
    for n in 0..25 {
        streams.push(gateway.sse(&[("channel", &format!("n/{n}"))]).await);
    }
    let first = receiver.next().await.json();
    for _ in 0..2 {
        assert_eq!(receiver.next().await.json()["events"], first["events"], "the same again, before any other");
    }
    let channel =
        |event: &Value| -> u32 { event["channel"].as_str().expect("a channel")[2..].parse().expect("a number") };
    let mut told: Vec<u32> = first["events"].as_array().expect("events").iter().map(channel).collect();
    while told.last() != Some(&24) {
        let body = receiver.next().await.json();
        let events = body["events"].as_array().expect("events").clone();
        assert!(events.len() <= 3, "{events:?}");
        told.extend(events.iter().map(channel));
    }
    assert!(told.is_sorted(), "{told:?}");
    let dropped = f64::from(u32::try_from(25 - told.len()).expect("few"));
    assert!(dropped > 0.0, "the queue holds ten");
    for (result, count) in [("delivered", told.len() as f64), ("dropped", dropped), ("given_up", 0.0)] {
        let labels = [("webhook", "ops"), ("result", result)];
        gateway.metric("ratatosk_webhook_events_total", &labels, |there| (there - count).abs() < 0.1).await;
    }
    gateway.metric("ratatosk_webhook_request_failures_total", &[("webhook", "ops")], |count| count > 1.5).await;
    gateway.metric("ratatosk_webhook_queue_events", &[("webhook", "ops")], |count| count < 0.5).await;
}

#[tokio::test]
async fn the_end_is_told_too_and_a_dead_receiver_does_not_hold_it_up() {
    let mut receiver = Receiver::start().await;
    let deaf = Receiver::start().await;
    for _ in 0..10 {
        deaf.will_be_silent().await;
    }
    let mut gateway = Gateway::with(&format!(
        "[[webhooks]]\nname = \"ops\"\nurl = \"{}\"\nevents = [\"created_client\", \"destroyed_client\"]\nlinger = \"1h\"\n\
         [[webhooks]]\nname = \"deaf\"\nurl = \"{}\"\n[[webhooks]]\nname = \"dead\"\nurl = \"http://127.0.0.1:1/\"\n",
        receiver.url(),
        deaf.url()
    ))
    .await;
    let _stream = gateway.sse(&[("channel", "a")]).await;
    assert!(gateway.terminate().await.success(), "within the grace period");
    let events = until(&mut receiver, "destroyed_client").await;
    let gone = events.iter().find(|event| event["event"] == "destroyed_client").expect("it is there");
    assert_eq!((&gone["connector"], &gone["reason"]), (&json!("sse"), &json!("drain")));
}

#[tokio::test]
async fn upstreams_are_watched() {
    let mut receiver = Receiver::start().await;
    let mut broker = Mosquitto::start().await;
    let upstream = |name: &str| {
        format!(
            "[[upstreams]]\nname = \"{name}\"\nkind = \"mqtt\"\nurl = \"{}\"\nin = [{{ from = \"{name}/#\" }}]\n",
            broker.url()
        )
    };
    let config = format!(
        "{}{}[[webhooks]]\nname = \"ops\"\nurl = \"{}\"\nlinger = \"0s\"\nupstreams = [\"one\"]\nchannels = [\"none\"]\nconnectors = [\"pusher\"]\n",
        upstream("one"),
        upstream("two"),
        receiver.url()
    );
    let _gateway = Gateway::with(&config).await;
    let mut events = until(&mut receiver, "subscription_connected").await;
    broker.kill().await;
    while !events.iter().any(|event| event["status"] == "down") {
        events.extend(until(&mut receiver, "upstream_status").await);
    }
    assert!(events.iter().all(|event| event["upstream"] == "one"), "{events:?}");
    let order = names(&events);
    assert_eq!(order[..2], ["upstream_status", "subscription_connected"], "{order:?}");
    assert!(order.contains(&"subscription_disconnected"), "{order:?}");
}

#[tokio::test]
async fn messages_are_told_where_they_are_asked_for() {
    let mut receiver = Receiver::start().await;
    let gateway = Gateway::with(&format!(
        "[monitor]\nsample = 2\n[[webhooks]]\nname = \"ops\"\nurl = \"{}\"\nlinger = \"0s\"\nevents = [\"received_message\"]\nchannels = [\"a/#\"]\n",
        receiver.url()
    ))
    .await;
    let _stream = gateway.sse(&[("channel", "#")]).await;
    for n in 0..4 {
        gateway.publish("b/x", n.to_string()).await;
        gateway.publish("a/x", n.to_string()).await;
    }
    let mut events = Vec::new();
    while events.len() < 2 {
        events.extend(until(&mut receiver, "received_message").await);
    }
    assert_eq!(events.len(), 2, "one in two of those on a/#");
    assert!(events.iter().all(|event| event["channel"] == "a/x"), "{events:?}");
}

#[tokio::test]
async fn check_names_what_is_wrong_with_a_webhook() {
    let directory = tempfile::TempDir::new().expect("a directory");
    let path = directory.path().join("gateway.toml");
    let config = r#"[[webhooks]]
name = "ops"
url = "ftp://ops.example.org/"

[[webhooks]]
name = "ops"
url = "https://ops.example.org/"
connectors = ["mqtt", "carrier-pigeon"]
upstreams = ["factory"]
secret = ""

[[webhooks]]
name = "not a label"
url = "https://ops.example.org/"
headers = { "no header" = "x" }
"#;
    std::fs::write(&path, config).expect("a file");
    let path = path.to_str().expect("UTF-8");
    let said = Ran::start(&["check", "--config", path]).ends_with(2).await.stderr();
    for (line, key, problem) in [
        (3, "#1 .url", "not posted by ftp://"),
        (6, "#2 .name", "taken by a webhook above"),
        (8, "#2 .connectors #2", "is no connector"),
        (9, "#2 .upstreams #1", "is no upstream"),
        (10, "#2 .secret", "signs nothing"),
        (13, "#3 .name", "is not a name for a webhook"),
        (15, "#3 .headers.no header", "is no header"),
    ] {
        let start = format!("error: {path}:{line}: [[webhooks]] {key}: ");
        assert!(
            said.lines().any(|there| there.starts_with(&start) && there.contains(problem)),
            "{start}{problem}\n{said}"
        );
    }
    assert_eq!(said.lines().count(), 7, "{said}");
}
