//! `mosquitto_pub` and `mosquitto_sub` against the gateway, as against a broker.

use ratatosk_tests::mosquitto::{Subscriber, publish, try_publish};
use ratatosk_tests::tls::Certificates;
use ratatosk_tests::wait::within;
use ratatosk_tests::{Gateway, Mosquitto};
use rustix::process::Signal;

const VERSIONS: [&str; 3] = ["mqttv31", "mqttv311", "mqttv5"];

async fn serve() -> (Gateway, u16) {
    let gateway = Gateway::start().await;
    let port = gateway.mqtt().await.port();
    (gateway, port)
}

#[tokio::test]
async fn every_version_publishes_and_subscribes_with_every_qos() {
    let (_gateway, port) = serve().await;
    for version in VERSIONS {
        for qos in ["0", "1", "2"] {
            let topic = format!("m/{version}/{qos}");
            let mut subscriber = Subscriber::start(port, &topic, &["-V", version, "-q", qos]).await;
            for payload in ["", "21.5", "two\nlines\0"] {
                publish(port, &topic, payload, &["-V", version, "-q", qos]).await;
                let seen = subscriber.next().await;
                assert_eq!(
                    (seen.topic.as_str(), seen.qos.to_string().as_str(), seen.retain),
                    (topic.as_str(), qos, false)
                );
                assert_eq!(seen.payload, payload.as_bytes(), "{version}");
            }
        }
    }
}

#[tokio::test]
async fn one_port_serves_every_version_at_once() {
    let (_gateway, port) = serve().await;
    for from in VERSIONS {
        let topic = format!("mixed/{from}");
        let mut subscribers = Vec::new();
        for to in VERSIONS {
            subscribers.push(Subscriber::start(port, &topic, &["-V", to, "-q", "2"]).await);
        }
        publish(port, &topic, "hello", &["-V", from, "-q", "2"]).await;
        for subscriber in &mut subscribers {
            assert_eq!(subscriber.next().await.payload, b"hello");
        }
    }
}

#[tokio::test]
async fn wildcards_and_retained_messages() {
    let (gateway, port) = serve().await;
    for (topic, payload) in
        [("home/kitchen/temp", "21"), ("home/cellar/temp", "12"), ("home", "here"), ("$hidden/temp", "no")]
    {
        publish(port, topic, payload, &["-r", "-q", "1"]).await;
    }
    for (filter, expected) in [
        ("home/+/temp", vec!["home/cellar/temp", "home/kitchen/temp"]),
        ("home/#", vec!["home", "home/cellar/temp", "home/kitchen/temp"]),
        ("+", vec!["home"]),
    ] {
        let mut subscriber = Subscriber::start(port, filter, &[]).await;
        let mut topics = Vec::new();
        for _ in &expected {
            let seen = subscriber.next().await;
            assert!(seen.retain);
            topics.push(seen.topic);
        }
        topics.sort();
        assert_eq!(topics, expected, "{filter}");
    }
    publish(port, "home/kitchen/temp", "", &["-r", "-q", "1"]).await;
    let mut stream = gateway.sse(&[("channel", "home/kitchen/#")]).await;
    publish(port, "home/kitchen/light", "on", &[]).await;
    assert_eq!(stream.message().await.channel(), "home/kitchen/light", "the cleared value is not shown");
}

#[tokio::test]
async fn a_killed_client_leaves_its_will() {
    let (gateway, port) = serve().await;
    for version in VERSIONS {
        let topic = format!("will/{version}");
        let mut stream = gateway.sse(&[("channel", &topic)]).await;
        let mut watching = Subscriber::start(port, &topic, &["-q", "1"]).await;
        let will =
            ["-V", version, "--will-topic", &topic, "--will-payload", "gone", "--will-qos", "1", "--will-retain"];
        let dying = Subscriber::start(port, "x", &will).await;
        // `stdbuf` became mosquitto_sub by exec: it is the same process.
        dying.process.signal(Signal::KILL);
        assert_eq!(watching.next().await.payload, b"gone", "{version}");
        assert_eq!(stream.message().await.payload(), b"gone");
        let mut later = Subscriber::start(port, &topic, &[]).await;
        assert!(later.next().await.retain, "a retained will is kept");
    }
}

#[tokio::test]
async fn a_persistent_session_waits_for_its_client() {
    let (_gateway, port) = serve().await;
    for version in ["mqttv311", "mqttv5"] {
        let topic = format!("kept/{version}");
        let mut session = vec!["-V", version, "-c", "-i", version, "-q", "2"];
        if version == "mqttv5" {
            session.extend(["-x", "600"]);
        }
        let mut first = Subscriber::start(port, &topic, &session).await;
        first.process.signal(Signal::TERM);
        first.process.exit().await;
        publish(port, &topic, "1", &["-q", "1"]).await;
        publish(port, &topic, "2", &["-q", "2"]).await;
        let mut again = Subscriber::launch(port, &topic, &session);
        for expected in ["1", "2"] {
            assert_eq!(again.next().await.payload, expected.as_bytes(), "{version}");
        }
    }
}

#[tokio::test]
async fn a_session_also_waits_for_what_comes_without_a_quality_of_service() {
    let (gateway, port) = serve().await;
    let session = ["-V", "mqttv311", "-c", "-i", "away", "-q", "2"];
    let mut first = Subscriber::start(port, "kept/#", &session).await;
    first.process.signal(Signal::TERM);
    first.process.exit().await;
    publish(port, "kept/0", "said to be of QoS 0", &["-q", "0"]).await;
    gateway.publish("kept/http", b"by HTTP").await;
    let mut again = Subscriber::launch(port, "kept/#", &session);
    let seen = again.next().await;
    assert_eq!((seen.topic.as_str(), seen.qos, seen.payload.as_slice()), ("kept/http", 1, &b"by HTTP"[..]));
    let mut of_qos_0 = Subscriber::start(port, "kept/#", &["-q", "0"]).await;
    gateway.publish("kept/http", b"more").await;
    assert_eq!((of_qos_0.next().await.qos, again.next().await.qos), (0, 1));
}

#[tokio::test]
async fn what_a_killed_member_of_a_share_has_left_goes_to_another() {
    let (_gateway, port) = serve().await;
    let narrow = ["-V", "mqttv5", "-q", "1", "-D", "connect", "receive-maximum", "3"];
    let stuck = Subscriber::start(port, "$share/g/work", &narrow).await;
    let mut other = Subscriber::start(port, "$share/g/work", &["-q", "1"]).await;
    // It is there and takes its turn, but acknowledges nothing any more.
    stuck.process.signal(Signal::STOP);
    for number in 0..10 {
        publish(port, "work", number.to_string(), &["-q", "1"]).await;
    }
    stuck.process.signal(Signal::KILL);
    let mut got = std::collections::BTreeSet::new();
    while got.len() < 10 {
        assert!(got.insert(other.next().await.payload), "nothing comes twice to one member");
    }
}

#[tokio::test]
async fn properties_of_mqtt_5_pass() {
    let (_gateway, port) = serve().await;
    let identifier = ["-V", "mqttv5", "-q", "1", "-D", "subscribe", "subscription-identifier", "42"];
    let mut subscriber = Subscriber::start(port, "props", &identifier).await;
    let properties = [
        "-V",
        "mqttv5",
        "-q",
        "1",
        "-D",
        "publish",
        "content-type",
        "text/x",
        "-D",
        "publish",
        "response-topic",
        "back/here",
        "-D",
        "publish",
        "correlation-data",
        "c0ffee",
        "-D",
        "publish",
        "message-expiry-interval",
        "600",
        "-D",
        "publish",
        "user-property",
        "k",
        "v1",
        "-D",
        "publish",
        "user-property",
        "k",
        "v2",
    ];
    publish(port, "props", "x", &properties).await;
    let [content, response, correlation, expiry, user, subscription] = subscriber.next().await.properties;
    assert_eq!((content.as_str(), response.as_str(), correlation.as_str()), ("text/x", "back/here", "c0ffee"));
    assert!(expiry.parse::<u32>().is_ok_and(|left| (500..=600).contains(&left)), "{expiry}");
    assert_eq!((user.as_str(), subscription.as_str()), ("k:v1 k:v2", "42"));
}

#[tokio::test]
async fn forbidden_and_impossible_requests_are_refused() {
    let (_gateway, port) = serve().await;
    let monitor = try_publish(port, "$monitor/created_client/mqtt", "forged", &["-V", "mqttv5", "-q", "1"]).await;
    assert!(String::from_utf8_lossy(&monitor.stderr).contains("Not authorized"), "{monitor:?}");
    let mut refused = Subscriber::launch(port, "ok", &["-V", "mqttv5", "-t", "$share//bad"]);
    refused.process.find_line("a refusal", 0, |line| line.text.contains("143").then_some(())).await;
    refused.process.kill().await;
}

#[tokio::test]
async fn tls_works_and_needs_a_known_authority() {
    let certificates = Certificates::new();
    let config = format!(
        "[mqtt]\ntls_listen = \"127.0.0.1:0\"\n[tls]\ncert = \"{}\"\nkey = \"{}\"",
        certificates.text("server.crt"),
        certificates.text("server.key")
    );
    let gateway = Gateway::with(&config).await;
    let port = gateway.listener("mqtts").await.port();
    let authority = certificates.text("ca.crt");
    let mut subscriber = Subscriber::start(port, "sealed", &["--cafile", &authority]).await;
    publish(port, "sealed", "letter", &["--cafile", &authority, "-q", "2"]).await;
    assert_eq!(subscriber.next().await.payload, b"letter");
    let stranger = Certificates::new();
    assert!(!try_publish(port, "sealed", "x", &["--cafile", &stranger.text("ca.crt")]).await.status.success());
}

#[tokio::test]
async fn passwords_of_the_configuration_are_asked_for() {
    let gateway = Gateway::with("[[auth.users]]\nname = \"device\"\npassword = \"plain:squirrel\"").await;
    let port = gateway.mqtt().await.port();
    for version in ["mqttv311", "mqttv5"] {
        publish(port, "a", "x", &["-V", version, "-u", "device", "-P", "squirrel"]).await;
        for wrong in [&["-u", "device", "-P", "wrong"][..], &["-u", "nobody", "-P", "squirrel"], &[]] {
            let arguments = [&["-V", version], wrong].concat();
            assert!(!try_publish(port, "a", "x", &arguments).await.status.success(), "{arguments:?}");
        }
    }
    let log = gateway.process.lines();
    assert!(log.iter().all(|line| !line.text.contains("squirrel")), "no password in the log");
}

#[tokio::test]
async fn mosquittos_own_bridge_joins_us() {
    let (gateway, port) = serve().await;
    let config = format!(
        "allow_anonymous true\nconnection to-ratatosk\naddress 127.0.0.1:{port}\ntopic # out 2 \"\" factory/\ntopic orders/# in 2 \"\" \"\"\n"
    );
    let mut stream = gateway.sse(&[("channel", "factory/#")]).await;
    let broker = Mosquitto::with(&config, &[]).await;
    broker.process().wait_for("Received CONNACK").await;
    broker.publish("line/1", "running", &["-q", "1"]).await;
    let message = within("the bridged message", async {
        loop {
            let message = stream.message().await;
            if message.channel() == "factory/line/1" {
                break message;
            }
        }
    })
    .await;
    assert_eq!(message.payload(), b"running");
    let mut over_there = broker.subscribe("orders/#", &["-q", "2"]).await;
    gateway.metric("ratatosk_subscriptions", &[], |count| count > 1.5).await;
    gateway.publish("orders/7", "go").await;
    assert_eq!(over_there.next().await.payload, b"go");
}
