//! The log: lines that machines can read, by which a session can be followed, and in which nothing secret ever stands.

use ratatosk_tests::bayeux::{Bayeux, NODE};
use ratatosk_tests::http::fetch;
use ratatosk_tests::mosquitto::{Subscriber, try_publish};
use ratatosk_tests::process::{Line, Process};
use ratatosk_tests::pusher::{self, Pusher};
use ratatosk_tests::sse::SseStream;
use ratatosk_tests::{Gateway, Mosquitto};
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// Everything that may not be seen: what is configured, what clients show, and what they say.
const SECRETS: [&str; 7] = [
    "pw-of-ann",
    "pw-that-is-wrong",
    "the-admin-token",
    "demo-secret",
    "pw-of-bridge",
    "very-private-payload",
    "forty-characters-or-so",
];

const CONFIG: &str = r#"
[admin]
token = "the-admin-token"
[auth]
anonymous = "allow"
[auth.jwt]
secret = "a-shared-secret-of-forty-characters-or-so"
[[auth.users]]
name = "ann"
password = "plain:pw-of-ann"
[[upstreams]]
name = "factory"
kind = "mqtt"
url = "mqtt://bridge:pw-of-bridge@127.0.0.1:PORT"
max_backoff = "300ms"
in = [{ from = "line/#", to = "factory/#" }]
"#;

/// All four protocols: clients that are let in, turned away, break the rules and go.
async fn act(gateway: &Gateway, broker: &Mosquitto) {
    let port = gateway.mqtt().await.port();
    let ann = ["-u", "ann", "-P", "pw-of-ann", "-V", "mqttv5", "-i", "device-7"];
    let mut device = Subscriber::start(port, "room/#", &ann).await;
    let wrong = try_publish(port, "room/x", "very-private-payload", &["-u", "ann", "-P", "pw-that-is-wrong"]).await;
    assert!(!wrong.status.success());
    let mut stream = gateway.sse(&[("channel", "room/#")]).await;
    let mut bayeux = Bayeux::connect(NODE[1], &gateway.url("/bayeux")).await;
    bayeux.subscribe("/room/x").await;
    let mut pusher = Pusher::connect(pusher::Kind::Node, gateway, "someone").await;
    pusher.subscribe("room.x").await;
    gateway.publish("room/x", "very-private-payload").await;
    device.next().await;
    stream.message().await;
    bayeux.message().await;
    pusher.event().await;
    broker.publish("line/x", "very-private-payload", &[]).await;
    // Credentials in every place they can be in, wrong ones too.
    for header in ["Bearer pw-that-is-wrong", "Basic YW5uOnB3LXRoYXQtaXMtd3Jvbmc=", "Basic YW5uOnB3LW9mLWFubg=="] {
        fetch(gateway.http, "POST", "/publish?channel=room/y", &[("Authorization", header)], b"very-private-payload")
            .await;
        fetch(gateway.admin, "GET", "/api/overview", &[("Authorization", header), ("Connection", "close")], b"").await;
    }
    let _ = fetch(gateway.http, "GET", "/sse?channel=room/x&ticket=pw-that-is-wrong", &[], b"").await;
    let basic = [("Authorization", "Basic YW5uOnB3LW9mLWFubg==")];
    let ticket = fetch(gateway.http, "POST", "/sse/ticket", &basic, b"").await;
    let ticket = ticket.json()["ticket"].as_str().map(str::to_owned).expect("a ticket");
    drop(SseStream::open(gateway.http, &format!("/sse?channel=room/x&ticket={ticket}"), &[]).await);
    assert!(!text(gateway).contains(&ticket), "a ticket is in the log");
    // Who knows it speaks for the session.
    let session = bayeux.script.all("handshake")[0]["clientId"].as_str().map(str::to_owned).expect("a client id");
    assert!(!text(gateway).contains(&session), "a Bayeux client id is in the log");
    // Not MQTT, not Bayeux, not a Pusher application.
    fetch(gateway.http, "POST", "/bayeux", &[("Content-Type", "application/json")], b"{\"very-private-payload\":")
        .await;
    let _ = tokio::net::TcpStream::connect(("127.0.0.1", port))
        .await
        .map(|socket| socket.try_write(b"\xffvery-private-payload"));
    let target =
        "/apps/demo/events?auth_key=demo-key&auth_timestamp=1&auth_version=1.0&auth_signature=pw-that-is-wrong";
    fetch(gateway.http, "POST", target, &[("Content-Type", "application/json")], b"{}").await;
}

fn text(gateway: &Gateway) -> String {
    gateway.process.lines().iter().map(|line| format!("{}\n", line.text)).collect()
}

async fn run(level: &str) -> (Gateway, Vec<Value>) {
    let broker = Mosquitto::start().await;
    let config =
        CONFIG.replace("PORT", &broker.port.to_string()) + &format!("[log]\nlevel = \"{level}\"\nformat = \"json\"\n");
    let gateway = Gateway::with(&config).await;
    gateway.metric("ratatosk_upstream_up", &[], |up| up > 0.5).await;
    act(&gateway, &broker).await;
    drop(broker);
    gateway.metric("ratatosk_upstream_up", &[], |up| up < 0.5).await;
    gateway.metric("ratatosk_sessions", &[("connector", "sse")], |count| count < 0.5).await;
    let mut gateway = gateway;
    gateway.process.signal(rustix::process::Signal::INT);
    gateway.process.exit().await;
    let lines = gateway.process.lines();
    let read = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line:?}"));
    let lines: Vec<Value> = lines.iter().map(|line| read(&line.text)).collect();
    (gateway, lines)
}

/// What stands in a line beside when, how bad and where.
fn story(lines: &[Value]) -> String {
    lines.iter().map(|line| format!("{} {} {line}\n", line["level"], line["message"])).collect()
}

#[tokio::test]
async fn at_info_there_is_one_line_for_each_event_that_matters() {
    let (gateway, lines) = run("info").await;
    let text = text(&gateway);
    for secret in SECRETS {
        assert!(!text.contains(secret), "{secret} is in the log:\n{text}");
    }
    println!("{}", story(&lines));
    for line in &lines {
        for field in ["timestamp", "level", "target", "message"] {
            assert!(line[field].as_str().is_some_and(|text| !text.is_empty()), "no {field} in {line}");
        }
    }
    let count = |message: &str| lines.iter().filter(|line| line["message"] == message).count();
    assert_eq!((count("listening"), count("ready"), count("upstream is up"), count("stopped")), (3, 1, 1, 1));
    assert!(count("upstream is down") >= 1);
    assert!(lines.iter().all(|line| line["level"] != "ERROR"), "nothing here is an error of the gateway");
    // Not a line per client, request or message.
    assert!(lines.len() <= 12, "{}", story(&lines));
}

#[tokio::test]
async fn at_debug_a_session_can_be_followed_from_its_beginning_to_its_end() {
    let (gateway, lines) = run("debug,hyper=info,h2=info").await;
    let text = text(&gateway);
    for secret in SECRETS {
        assert!(!text.contains(secret), "{secret} is in the log");
    }
    println!("{}", story(&lines));
    let of = |client: &str| -> Vec<&str> {
        lines.iter().filter(|line| line["client"] == client).filter_map(|line| line["message"].as_str()).collect()
    };
    let device = of("device-7");
    assert_eq!(device.first(), Some(&"session begins"), "{device:?}");
    assert!(device.contains(&"session subscribes"));
    for connector in ["mqtt", "sse", "bayeux", "pusher"] {
        let begun = lines.iter().find(|line| line["connector"] == connector && line["message"] == "session begins");
        let client =
            begun.and_then(|line| line["client"].as_str()).unwrap_or_else(|| panic!("no session of {connector}"));
        assert!(of(client).contains(&"session ends"), "{connector}: {:?}", of(client));
    }
    let ends = lines.iter().filter(|line| line["message"] == "session ends");
    assert!(ends.clone().count() >= 4 && ends.clone().all(|line| line["reason"].is_string()));
    assert!(lines.iter().any(|line| line["message"] == "credentials are refused" && line["connector"] == "mqtt"));
}

/// A name with a line break in it is one field of one line, in both forms.
#[tokio::test]
async fn no_client_writes_lines_of_its_own() {
    for format in ["json", "text"] {
        let mut command = tokio::process::Command::new(ratatosk_tests::gateway::binary());
        let settings = ["http.listen=127.0.0.1:0", "admin.listen=off", "mqtt.listen=127.0.0.1:0", "log.level=debug"];
        command.arg("serve").args(settings.iter().flat_map(|setting| ["--set", setting]));
        command.args(["--set", &format!("log.format={format}")]);
        let gateway = Process::spawn("ratatosk", command);
        let address = |line: &Line| {
            let rest = line.text.contains("mqtt").then(|| line.text.split("127.0.0.1:").nth(1))??;
            rest.split(|char: char| !char.is_ascii_digit()).next()?.parse::<u16>().ok()
        };
        let (port, _) = gateway.find_line("the MQTT listener", 0, address).await;
        // MQTT 3.1.1: CONNECT with a clean session under this name, then DISCONNECT.
        let forged = "device\nforged: \u{1b}[2J";
        let length = u8::try_from(forged.len()).expect("a short name");
        let connect =
            [&[0x10, 12 + length, 0, 4][..], b"MQTT", &[4, 2, 0, 60, 0, length], forged.as_bytes(), &[0xe0, 0]];
        let mut device = TcpStream::connect(("127.0.0.1", port)).await.expect("a connection");
        device.write_all(&connect.concat()).await.expect("it reads");
        gateway.wait_for("session ends").await;
        let lines = gateway.lines();
        assert!(lines.iter().any(|line| line.text.contains("forged")), "{format}");
        let alone = |line: &&Line| line.text.starts_with("forged") || line.text.contains('\u{1b}');
        assert_eq!(lines.iter().filter(alone).count(), 0, "{format}: {lines:#?}");
    }
}
