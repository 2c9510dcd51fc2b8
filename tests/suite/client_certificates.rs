//! A client's certificate is who it is, in every protocol: the rules decide what that may do.

use std::net::SocketAddr;

use ratatosk_tests::gateway::Setup;
use ratatosk_tests::mosquitto::{Subscriber, try_publish};
use ratatosk_tests::process::Process;
use ratatosk_tests::tls::Certificates;
use ratatosk_tests::wait::within;
use ratatosk_tests::{Gateway, Script};
use serde_json::{Value, json};
use tokio::process::Command;

/// Devices publish below their own name and hear what is for them; who comes without a certificate may read what is public.
const RULES: &str = r##"
[auth]
anonymous = "allow"

[[auth.users]]
name = "ann"
password = "plain:squirrel"

[[auth.rules]]
who = { users = ["ann"] }
may = ["publish", "subscribe"]
on = ["#"]

[[auth.rules]]
who = { groups = ["devices"] }
may = ["publish", "subscribe"]
on = ["devices/{user}/#"]

[[auth.rules]]
who = { claims = { "certificate.ou" = "auditors" } }
may = ["subscribe"]
on = ["#"]

[[auth.rules]]
may = ["subscribe"]
on = ["public/#"]
"##;

const CLIENT: &str = "extendedKeyUsage=clientAuth\n";

struct World {
    certificates: Certificates,
    gateway: Gateway,
    https: SocketAddr,
    mqtts: u16,
}

fn setup(certificates: &Certificates, auth: &str, more: &str) -> Setup {
    let file = |name: &str| certificates.text(name);
    let config = format!(
        "[http]\ntls_listen = \"127.0.0.1:0\"\n[mqtt]\ntls_listen = \"127.0.0.1:0\"\n[tls]\ncert = \"{}\"\nkey = \"{}\"\n\
         client_auth = \"{auth}\"\nclient_ca = \"{}\"\n{more}",
        file("server.crt"),
        file("server.key"),
        file("ca.crt"),
    );
    Gateway::setup().config(RULES).config(&config)
}

impl World {
    async fn new(auth: &str, more: impl FnOnce(&Certificates) -> String) -> Self {
        let certificates = Certificates::new();
        certificates.issue("device", "/OU=devices/CN=pump-7", CLIENT, 2);
        certificates.issue("auditor", "/OU=auditors/CN=eve", CLIENT, 2);
        certificates.issue("old", "/OU=devices/CN=old", CLIENT, -1);
        certificates.issue(
            "named",
            "/OU=devices/CN=ignored",
            &format!("subjectAltName=DNS:pump-9.example,email:pump@example\n{CLIENT}"),
            2,
        );
        let more = more(&certificates);
        let gateway = setup(&certificates, auth, &more).start().await;
        let (https, mqtts) = (gateway.listener("https").await, gateway.listener("mqtts").await.port());
        Self { certificates, gateway, https, mqtts }
    }

    /// The options of mosquitto's clients for a certificate, or for none.
    fn mosquitto(&self, name: Option<&str>) -> Vec<String> {
        let mut options = vec!["--cafile".to_owned(), self.certificates.text("ca.crt")];
        if let Some(name) = name {
            let file = |end: &str| self.certificates.text(&format!("{name}.{end}"));
            options.extend(["--cert".to_owned(), file("crt"), "--key".to_owned(), file("key")]);
        }
        options
    }

    /// What `mosquitto_pub -q 1` with MQTT 5 says when it is refused; `None` if it is not.
    async fn publishes(&self, name: Option<&str>, topic: &str, more: &[&str]) -> Option<String> {
        let options = self.mosquitto(name);
        let options: Vec<&str> =
            options.iter().map(String::as_str).chain(["-V", "mqttv5", "-q", "1"]).chain(more.iter().copied()).collect();
        let output = try_publish(self.mqtts, topic, "1", &options).await;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        // It tells a refused publication as a warning, and a refused connection as an error.
        (!output.status.success() || !said.is_empty()).then_some(said)
    }

    /// curl on the HTTPS listener.
    fn command(&self, name: Option<&str>, path: &str, more: &[&str]) -> Command {
        let mut command = Command::new("curl");
        command.args(["-sS", "--max-time", "30", "--cacert", &self.certificates.text("ca.crt")]);
        if let Some(name) = name {
            let file = |end: &str| self.certificates.text(&format!("{name}.{end}"));
            command.args(["--cert", &file("crt"), "--key", &file("key")]);
        }
        command.args(more).arg(format!("https://localhost:{}{path}", self.https.port())).kill_on_drop(true);
        command
    }

    /// Runs it: the status, 0 without a connection, and the body.
    async fn curl(&self, name: Option<&str>, path: &str, more: &[&str]) -> (u16, String) {
        let more = [&["-w", "\n%{http_code}"], more].concat();
        let output = within("curl", self.command(name, path, &more).output()).await.expect("curl is installed");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let (body, status) = text.rsplit_once('\n').unwrap_or_default();
        (status.parse().unwrap_or_default(), body.to_owned())
    }
}

#[tokio::test]
async fn a_device_publishes_by_its_certificate_and_another_may_not() {
    let world = World::new("optional", |_| String::new()).await;
    let mut stream =
        world.gateway.sse_with(&[("channel", "devices/#")], &[("Authorization", "Basic YW5uOnNxdWlycmVs")]).await;
    assert_eq!(world.publishes(Some("device"), "devices/pump-7/state", &[]).await, None);
    let seen = stream.message().await;
    assert_eq!((seen.channel(), seen.json["user"].as_str()), ("devices/pump-7/state", Some("pump-7")));
    // Many devices send a name beside it, which proves nothing.
    assert_eq!(world.publishes(Some("device"), "devices/pump-7/state", &["-u", "somebody"]).await, None);
    assert_eq!(stream.message().await.json["user"], "pump-7");
    for (name, topic) in [
        (Some("device"), "devices/pump-8/state"),
        (Some("auditor"), "devices/pump-7/state"),
        (None, "devices/pump-7/state"),
        (None, "public/x"),
    ] {
        let said = world.publishes(name, topic, &[]).await.unwrap_or_else(|| panic!("{name:?} published to {topic}"));
        assert!(said.contains("Not authorized"), "{said}");
    }
    // A password says more than a certificate that is shown besides.
    assert_eq!(world.publishes(Some("auditor"), "devices/x", &["-u", "ann", "-P", "squirrel"]).await, None);
    assert_eq!(stream.message().await.json["user"], "ann");
    let wrong = world.publishes(Some("device"), "devices/pump-7/x", &["-u", "ann", "-P", "wrong"]).await;
    assert!(wrong.is_some_and(|said| said.contains("Connection error") || said.contains("Bad user name")));
    // Its own are delivered to it.
    let options = world.mosquitto(Some("device"));
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let mut subscriber = Subscriber::start(world.mqtts, "devices/pump-7/orders", &options).await;
    let ann = [("Authorization", "Basic YW5uOnNxdWlycmVs")];
    let answer =
        ratatosk_tests::http::fetch(world.gateway.http, "POST", "/publish?channel=devices/pump-7/orders", &ann, b"go")
            .await;
    assert_eq!(answer.head.status, 200);
    assert_eq!(subscriber.next().await.payload, b"go");
}

#[tokio::test]
async fn a_certificate_opens_http_connectors() {
    let world = World::new("optional", |_| String::new()).await;
    let publish = "/publish?channel=devices/pump-7/x";
    assert_eq!(world.curl(Some("device"), publish, &["-d", "1"]).await.0, 200);
    assert_eq!(world.curl(Some("device"), "/publish?channel=devices/pump-8/x", &["-d", "1"]).await.0, 403);
    assert_eq!(world.curl(None, publish, &["-d", "1"]).await.0, 403);
    // HTTP/1.1 and HTTP/2 alike.
    for version in ["--http1.1", "--http2"] {
        for (name, channel) in [(Some("device"), "devices/pump-7/%23"), (Some("auditor"), "%23"), (None, "public/%23")]
        {
            let path = format!("/sse?channel={channel}");
            let stream = Process::spawn("curl", world.command(name, &path, &[version, "-N"]));
            stream.wait_for("id:").await;
        }
        for (name, channel) in [(Some("device"), "%23"), (None, "devices/pump-7/%23"), (None, "%23")] {
            let path = format!("/sse?channel={channel}");
            assert_eq!(world.curl(name, &path, &[version]).await.0, 403, "{name:?} {channel}");
        }
    }
    for (name, may) in [(Some("device"), true), (None, false)] {
        let shake = r#"{"channel":"/meta/handshake","version":"1.0","supportedConnectionTypes":["long-polling"]}"#;
        let json = ["-H", "Content-Type: application/json", "-d"];
        let (_, body) = world.curl(name, "/bayeux", &[&json[..], &[shake]].concat()).await;
        let reply: Value = serde_json::from_str(&body).expect("JSON");
        let id = reply[0]["clientId"].as_str().expect("a session");
        let message = json!({"channel": "/devices/pump-7/x", "clientId": id, "data": 1}).to_string();
        let (_, body) = world.curl(name, "/bayeux", &[&json[..], &[&message]].concat()).await;
        let reply: Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!(reply[0]["successful"], may, "{name:?}: {reply}");
    }
}

#[tokio::test]
async fn a_certificate_counts_over_websocket_too() {
    let world = World::new("optional", |_| String::new()).await;
    let file = |name: &str| world.certificates.text(name);
    let url = format!("wss://localhost:{}/app/demo-key?protocol=7", world.https.port());
    let mut device = Script::node(
        "wss.mjs",
        &json!({"url": url, "ca": file("ca.crt"), "cert": file("device.crt"), "key": file("device.key")}),
    );
    let mut nobody = Script::node("wss.mjs", &json!({"url": url, "ca": file("ca.crt")}));
    let subscribe = json!({"event": "pusher:subscribe", "data": {"channel": "devices.pump-7.x"}}).to_string();
    for (script, outcome) in
        [(&mut device, "pusher_internal:subscription_succeeded"), (&mut nobody, "pusher:subscription_error")]
    {
        script.expect("open").await;
        script.send(&json!({"do": "send", "text": subscribe})).await;
        // Its frames have an `event` of their own, which is their name here.
        script.expect(outcome).await;
    }
}

#[tokio::test]
async fn who_has_no_good_certificate_gets_no_connection_where_one_is_required() {
    let world = World::new("required", |certificates| {
        certificates.issue("lost", "/OU=devices/CN=lost", CLIENT, 2);
        certificates.revoke("lost");
        format!("client_crl = \"{}\"\n", certificates.text("crl.pem"))
    })
    .await;
    assert_eq!(world.publishes(Some("device"), "devices/pump-7/x", &[]).await, None);
    assert_eq!(world.curl(Some("device"), "/publish?channel=devices/pump-7/x", &["-d", "1"]).await.0, 200);
    let strangers = Certificates::new();
    strangers.issue("device", "/OU=devices/CN=pump-7", CLIENT, 2);
    for end in ["crt", "key"] {
        let to = world.certificates.path(&format!("stranger.{end}"));
        std::fs::copy(strangers.path(&format!("device.{end}")), to).expect("a file to copy");
    }
    for name in [None, Some("old"), Some("lost"), Some("stranger")] {
        let said = world.publishes(name, "devices/pump-7/x", &[]).await;
        assert!(said.is_some_and(|said| !said.contains("Not authorized")), "{name:?}");
        assert_eq!(world.curl(name, "/publish?channel=devices/pump-7/x", &["-d", "1"]).await.0, 0, "{name:?}");
    }
    let faults = [("connector", "mqtt"), ("fault", "tls_handshake")];
    world.gateway.metric("ratatosk_protocol_faults_total", &faults, |count| count > 3.5).await;
    // Without TLS nothing has changed.
    assert_eq!(world.gateway.get("/sse?channel=devices/x").await.head.status, 403);
}

#[tokio::test]
async fn the_name_is_taken_from_where_the_configuration_says() {
    let world = World::new("optional", |_| "client_name = \"dns\"\n".to_owned()).await;
    assert_eq!(world.publishes(Some("named"), "devices/pump-9.example/x", &[]).await, None);
    assert!(world.publishes(Some("named"), "devices/ignored/x", &[]).await.is_some());
    // Without such a name the certificate says nothing.
    assert!(world.publishes(Some("device"), "devices/pump-7/x", &[]).await.is_some());
}
