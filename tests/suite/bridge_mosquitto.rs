//! An MQTT upstream on a stock Mosquitto: the main job, and what happens when the broker goes, lies or refuses.

use std::collections::BTreeSet;

use ratatosk_tests::mqtt::{Client, Endpoint, Mqtt};
use ratatosk_tests::process::Line;
use ratatosk_tests::proxy::Proxy;
use ratatosk_tests::tls::Certificates;
use ratatosk_tests::wait::{eventually, within};
use ratatosk_tests::{Gateway, Mosquitto};
use serde_json::json;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

const UP: &str = "ratatosk_upstream_up";

fn factory(url: &str, more: &str) -> String {
    format!(
        "[[upstreams]]\nname = \"factory\"\nkind = \"mqtt\"\nurl = \"{url}\"\nmax_backoff = \"300ms\"\nin = [{{ from = \"sensors/#\", to = \"factory/#\" }}]\nout = [{{ from = \"commands/#\", to = \"commands/#\" }}]\n{more}\n"
    )
}

async fn is_up(gateway: &Gateway, up: bool) {
    let wanted = f64::from(u8::from(up));
    gateway.metric(UP, &[("upstream", "factory")], |value| (value - wanted).abs() < 0.1).await;
}

#[tokio::test]
async fn the_bridge_command_joins_a_broker_to_the_stream() {
    let broker = Mosquitto::start().await;
    let gateway = Gateway::setup().arguments(&["bridge", &broker.url(), "sensors/#", "alarms/+"]).start().await;
    gateway.metric(UP, &[], |up| up > 0.5).await;
    let mut stream = gateway.sse(&[("channel", "#")]).await;
    broker.publish("sensors/kitchen/temp", "21.5", &[]).await;
    broker.publish("elsewhere", "not bridged", &[]).await;
    broker.publish("alarms/fire", "!", &["-q", "1"]).await;
    let first = stream.message().await;
    assert_eq!((first.channel(), first.data()), ("sensors/kitchen/temp", &serde_json::json!(21.5)));
    let second = stream.message().await;
    assert_eq!((second.channel(), second.payload()), ("alarms/fire", b"!".to_vec()));
}

#[tokio::test]
async fn rules_rename_in_both_directions() {
    for version in ["5", "3.1.1"] {
        let broker = Mosquitto::start().await;
        let gateway = Gateway::with(&factory(&broker.url(), &format!("version = \"{version}\""))).await;
        is_up(&gateway, true).await;
        let mut stream = gateway.sse(&[("channel", "factory/#")]).await;
        let mut over_there = broker.subscribe("commands/#", &["-q", "1"]).await;
        for qos in ["0", "1", "2"] {
            broker.publish("sensors/a/b", format!("qos {qos}"), &["-q", qos]).await;
            let message = stream.message().await;
            assert_eq!(
                (message.channel(), message.payload()),
                ("factory/a/b", format!("qos {qos}").into_bytes()),
                "version {version}"
            );
        }
        for payload in [b"open".to_vec(), Vec::new(), (0..=255).collect()] {
            gateway.publish("commands/valve", &payload).await;
            let received = over_there.next().await;
            assert_eq!((received.topic.as_str(), received.payload), ("commands/valve", payload), "version {version}");
        }
    }
}

#[tokio::test]
async fn retained_messages_of_the_broker_are_last_values_here() {
    let broker = Mosquitto::start().await;
    broker.publish("sensors/lamp", "on", &["-r"]).await;
    let gateway = Gateway::with(&factory(&broker.url(), "")).await;
    gateway.metric("ratatosk_upstream_last_message_timestamp_seconds", &[("upstream", "factory")], |at| at > 0.0).await;
    let mut stream = gateway.sse(&[("channel", "factory/+")]).await;
    let message = stream.message().await;
    assert_eq!((message.payload(), message.retained()), (b"on".to_vec(), true));
}

#[tokio::test]
async fn a_broker_that_is_killed_and_comes_back_is_joined_again() {
    let mut broker = Mosquitto::start().await;
    let gateway = Gateway::with(&factory(&broker.url(), "keep_alive = \"5s\"")).await;
    is_up(&gateway, true).await;
    let mut stream = gateway.sse(&[("channel", "factory/#")]).await;
    broker.publish("sensors/x", "before", &[]).await;
    assert_eq!(stream.message().await.payload(), b"before");
    gateway.metric("ratatosk_upstream_rtt_seconds_count", &[("upstream", "factory")], |count| count > 0.5).await;
    for round in 0..2 {
        broker.kill().await;
        is_up(&gateway, false).await;
        broker.start_again().await;
        is_up(&gateway, true).await;
        gateway
            .metric("ratatosk_upstream_reconnects_total", &[("upstream", "factory")], |count| {
                count > f64::from(round) + 0.5
            })
            .await;
        let payload = format!("after {round}");
        broker.publish("sensors/x", &payload, &[]).await;
        assert_eq!(stream.message().await.payload(), payload.as_bytes());
    }
    let seen = gateway.metrics().await.sum("ratatosk_upstream_last_message_timestamp_seconds", &[]);
    assert!(seen.is_some_and(|at| at > 1.7e9), "{seen:?}");
}

#[tokio::test]
async fn what_is_published_while_the_broker_is_away_waits_for_it() {
    let mut broker = Mosquitto::start().await;
    let gateway = Gateway::with(&factory(&broker.url(), "")).await;
    is_up(&gateway, true).await;
    broker.kill().await;
    is_up(&gateway, false).await;
    gateway.publish_all("commands/valve", (0..100).map(|n| n.to_string())).await;
    broker.start_again().await;
    // The gateway sends as soon as it is back, perhaps before a subscriber is there: the last message is retained so as to be seen.
    gateway.publish_with(&[("channel", "commands/last"), ("retain", "true")], "end").await;
    let mut over_there = broker.subscribe("commands/last", &["-q", "1"]).await;
    assert_eq!(over_there.next().await.payload, b"end");
    let sent = |text: &str| text.contains("Received PUBLISH") && text.contains("commands/valve");
    let arrived = broker.process().lines().iter().filter(|line| sent(&line.text)).count();
    assert_eq!(arrived, 100);
}

#[tokio::test]
async fn a_gateway_started_before_its_broker_joins_it_later() {
    let mut broker = Mosquitto::start().await;
    broker.kill().await;
    let gateway = Gateway::with(&factory(&broker.url(), "")).await;
    let mut stream = gateway.sse(&[("channel", "factory/#")]).await;
    is_up(&gateway, false).await;
    broker.start_again().await;
    is_up(&gateway, true).await;
    broker.publish("sensors/x", "hello", &[]).await;
    assert_eq!(stream.message().await.payload(), b"hello");
}

#[tokio::test]
async fn bad_credentials_are_final_and_good_ones_work() {
    // The password is "squirrel", hashed as mosquitto_passwd does.
    let directory = tempfile::TempDir::new().expect("a temporary directory");
    let file = directory.path().join("passwords");
    let made = tokio::process::Command::new("mosquitto_passwd")
        .args(["-b", "-c"])
        .arg(&file)
        .args(["device", "squirrel"])
        .output()
        .await;
    assert!(made.expect("mosquitto_passwd runs").status.success());
    let passwords = std::fs::read_to_string(&file).expect("it wrote the file");
    let config = "allow_anonymous false\npassword_file {dir}/passwords\n";
    let mut broker = Mosquitto::with(config, &[("passwords", &passwords)]).await;

    let good = Gateway::with(&factory(&broker.url(), "username = \"device\"\npassword = \"squirrel\"")).await;
    is_up(&good, true).await;

    let bad = Gateway::with(&factory(&broker.url(), "username = \"device\"\npassword = \"wrong-one\"")).await;
    let refused = |line: &Line| (line.text.contains("factory") && line.text.contains("refused us")).then_some(());
    bad.process.find_line("a log line that says so", 0, refused).await;
    is_up(&bad, false).await;
    assert_eq!(bad.admin("/healthz").await.head.status, 200, "the gateway itself is well");
    assert!(bad.process.lines().iter().all(|line| !line.text.contains("wrong-one")), "no password in the log");
    // The good one comes back to a new broker; the bad one, had it not stopped, would come as well.
    broker.kill().await;
    is_up(&good, false).await;
    broker.start_again().await;
    is_up(&good, true).await;
    let attempts = |line: &&Line| line.text.contains("New connection");
    assert_eq!(broker.process().lines().iter().filter(attempts).count(), 1, "a wrong password is not tried again");
}

#[tokio::test]
async fn a_broker_that_accepts_and_says_nothing_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a loopback port");
    let address = listener.local_addr().expect("an address");
    let gateway = Gateway::with(&factory(&format!("mqtt://{address}"), "connect_timeout = \"200ms\"")).await;
    for _ in 0..2 {
        let (mut socket, _) = within("a connection from the gateway", listener.accept()).await.expect("it connects");
        let mut bytes = Vec::new();
        within("the gateway to hang up", socket.read_to_end(&mut bytes)).await.expect("a clean end");
        assert_eq!(bytes.first(), Some(&0x10), "it said CONNECT");
    }
    is_up(&gateway, false).await;
}

#[tokio::test]
async fn a_broker_that_falls_silent_is_noticed() {
    let broker = Mosquitto::start().await;
    let gateway = Gateway::with(&factory(&broker.url(), "keep_alive = \"5s\"")).await;
    is_up(&gateway, true).await;
    broker.pause();
    is_up(&gateway, false).await;
    broker.resume();
    is_up(&gateway, true).await;
}

#[tokio::test]
async fn a_broker_that_sends_garbage_is_left_and_tried_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a loopback port");
    let address = listener.local_addr().expect("an address");
    let gateway = Gateway::with(&factory(&format!("mqtt://{address}"), "")).await;
    // Not MQTT at all; a packet that ends inside itself; a PUBLISH with an impossible topic length after a good CONNACK.
    for answer in
        [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], b"\x20\x05\x00", b"\x20\x03\x00\x00\x00\x30\x04\xff\xff\x00\x00"]
    {
        let (mut socket, _) = within("a connection from the gateway", listener.accept()).await.expect("it connects");
        let mut first = [0];
        socket.read_exact(&mut first).await.expect("CONNECT");
        tokio::io::AsyncWriteExt::write_all(&mut socket, answer).await.expect("it reads");
        drop(socket);
    }
    assert_eq!(gateway.admin("/healthz").await.head.status, 200);
    is_up(&gateway, false).await;
}

#[tokio::test]
async fn tls_with_a_client_certificate_works_and_a_stranger_is_refused() {
    let certificates = Certificates::new();
    let config = format!(
        "allow_anonymous true\ncafile {}\ncertfile {}\nkeyfile {}\nrequire_certificate true\n",
        certificates.text("ca.crt"),
        certificates.text("server.crt"),
        certificates.text("server.key"),
    );
    let broker = Mosquitto::with(&config, &[]).await;
    let url = format!("mqtts://localhost:{}", broker.port);
    let trust = format!("ca = \"{}\"", certificates.text("ca.crt"));
    let client =
        format!("cert = \"{}\", key = \"{}\"", certificates.text("client.crt"), certificates.text("client.key"));

    let good = Gateway::with(&factory(&url, &format!("tls = {{ {trust}, {client} }}"))).await;
    is_up(&good, true).await;
    let mut stream = good.sse(&[("channel", "factory/#")]).await;
    let (ca, cert, key) =
        (certificates.text("ca.crt"), certificates.text("client.crt"), certificates.text("client.key"));
    broker.publish("sensors/x", "sealed", &["--cafile", &ca, "--cert", &cert, "--key", &key]).await;
    assert_eq!(stream.message().await.payload(), b"sealed");

    // The public authorities do not know this broker.
    let stranger = Gateway::with(&factory(&url, "")).await;
    let refused =
        |line: &Line| (line.text.contains("factory") && line.text.to_lowercase().contains("certificate")).then_some(());
    stranger.process.find_line("a log line about the certificate", 0, refused).await;
    is_up(&stranger, false).await;
}

#[tokio::test]
async fn qos_2_goes_exactly_once_over_a_wire_that_is_cut_again_and_again() {
    const COUNT: u64 = 3000;
    const CUTS: u64 = 10;
    let broker = Mosquitto::with("allow_anonymous true\nmax_queued_messages 0\nset_tcp_nodelay true\n", &[]).await;
    let proxy = Proxy::to(([127, 0, 0, 1], broker.port).into()).await;
    let session = "clean_session = false\nclient_id = \"bridge\"";
    let gateway = Gateway::with(&factory(&format!("mqtt://{}", proxy.address), session)).await;
    is_up(&gateway, true).await;
    let here = Endpoint::of(&gateway).await;
    let there = Endpoint::broker(&broker);
    let mut ours = Mqtt::connect(Client::Paho, here, json!({})).await;
    ours.subscribe("factory/x", 2).await;
    let mut theirs = Mqtt::connect(Client::Paho, there, json!({})).await;
    theirs.subscribe("commands/x", 2).await;
    let mut publishers = [
        (Mqtt::connect(Client::Paho, there, json!({})).await, "sensors/x"),
        (Mqtt::connect(Client::Paho, here, json!({})).await, "commands/x"),
    ];
    let part = COUNT / CUTS;
    for cut in 0..CUTS {
        for (publisher, topic) in &mut publishers {
            let burst = json!({"do": "burst", "topic": topic, "qos": 2, "from": cut * part, "to": (cut + 1) * part});
            publisher.script.send(&burst).await;
        }
        // In the middle of what flows: some of this part has arrived, the rest is on its way.
        for n in cut * part..cut * part + part / 3 {
            assert_eq!(ours.message().await.number(), n, "inbound, once and in order");
        }
        proxy.cut();
        is_up(&gateway, false).await;
        proxy.mend();
        for n in cut * part + part / 3..(cut + 1) * part {
            assert_eq!(ours.message().await.number(), n, "inbound, once and in order");
        }
        for n in cut * part..(cut + 1) * part {
            assert_eq!(theirs.message().await.number(), n, "outbound, once and in order");
        }
    }
}

#[tokio::test]
async fn qos_1_survives_a_broker_that_is_killed_again_and_again() {
    const COUNT: u64 = 2000;
    const KILLS: u64 = 10;
    let mut broker = Mosquitto::start().await;
    let gateway = Gateway::with(&factory(&broker.url(), "")).await;
    is_up(&gateway, true).await;
    let mut publisher = Mqtt::connect(Client::Paho, Endpoint::of(&gateway).await, json!({})).await;
    // What a broker took is in its log, whatever became of it afterwards.
    let took = |broker: &Mosquitto, into: &mut BTreeSet<u64>| {
        for line in broker.process().lines() {
            let topic = line.text.split('\'').nth(1).filter(|_| line.text.contains("Received PUBLISH"));
            into.extend(topic.and_then(|topic| topic.strip_prefix("commands/")?.parse::<u64>().ok()));
        }
    };
    let mut taken = BTreeSet::new();
    let part = COUNT / KILLS;
    for kill in 0..KILLS {
        for n in kill * part..(kill + 1) * part {
            let command = json!({"do": "publish", "topic": format!("commands/{n}"), "payload": "", "qos": 1});
            publisher.script.send(&command).await;
        }
        let middle = format!("commands/{}'", kill * part + part / 2);
        broker.process().wait_for(&middle).await;
        broker.halt().await;
        took(&broker, &mut taken);
        broker.start_again().await;
        is_up(&gateway, true).await;
    }
    eventually("every message to be taken by some broker", async || {
        took(&broker, &mut taken);
        (u64::try_from(taken.len()) == Ok(COUNT)).then_some(())
    })
    .await;
}
