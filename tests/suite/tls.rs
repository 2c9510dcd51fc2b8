//! TLS of the listeners: certificates by name, changed while connections go on, and what is wrong with them.

use std::net::SocketAddr;
use std::process::Output;

use ratatosk_tests::Gateway;
use ratatosk_tests::command::Ran;
use ratatosk_tests::gateway::Setup;
use ratatosk_tests::mosquitto::{Subscriber, publish};
use ratatosk_tests::process::Process;
use ratatosk_tests::tls::Certificates;
use ratatosk_tests::wait::{eventually, within};
use tokio::process::Command;

const SERVER: &str = "extendedKeyUsage=serverAuth\n";

/// TLS on every listener with `server.crt`, and more of `[tls]`.
fn setup(certificates: &Certificates, more: &str) -> Setup {
    let config = format!(
        "[http]\ntls_listen = \"127.0.0.1:0\"\n[mqtt]\ntls_listen = \"127.0.0.1:0\"\n[admin]\ntls_listen = \"127.0.0.1:0\"\n\
         [tls]\ncert = \"{}\"\nkey = \"{}\"\n{more}",
        certificates.text("server.crt"),
        certificates.text("server.key"),
    );
    Gateway::setup().config(&config)
}

async fn curl(arguments: &[&str]) -> Output {
    let mut command = Command::new("curl");
    command.args(["-sS", "--max-time", "20"]).args(arguments).kill_on_drop(true);
    within("curl", command.output()).await.expect("curl is installed")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Waits until a server shows the certificate of this subject.
async fn shows(certificates: &Certificates, server: SocketAddr, name: &str, subject: &str) {
    eventually(format!("{subject} at {server}"), async || {
        (certificates.shown_by(server, Some(name)) == subject).then_some(())
    })
    .await;
}

#[tokio::test]
async fn certificates_are_chosen_by_the_name_that_is_asked_for() {
    let certificates = Certificates::new();
    certificates.issue("a", "/CN=first", &format!("subjectAltName=DNS:a.example,DNS:www.a.example\n{SERVER}"), 2);
    certificates.issue("b", "/CN=second", &format!("subjectAltName=DNS:*.b.example\n{SERVER}"), 2);
    certificates.issue("c", "/CN=third", &format!("subjectAltName=DNS:c.example\n{SERVER}"), 2);
    let file = |name: &str| certificates.text(name);
    let more = format!(
        "[[tls.certificates]]\ncert = \"{}\"\nkey = \"{}\"\n[[tls.certificates]]\ncert = \"{}\"\nkey = \"{}\"\n\
         [[tls.certificates]]\ncert = \"{}\"\nkey = \"{}\"\nnames = [\"other.example\"]\n",
        file("a.crt"),
        file("a.key"),
        file("b.crt"),
        file("b.key"),
        file("c.crt"),
        file("c.key"),
    );
    let gateway = setup(&certificates, &more).start().await;
    let (https, mqtts, admins) =
        (gateway.listener("https").await, gateway.listener("mqtts").await, gateway.listener("admins").await);
    for server in [https, mqtts, admins] {
        for (name, subject) in [
            (Some("a.example"), "first"),
            (Some("www.A.example"), "first"),
            (Some("x.b.example"), "second"),
            (Some("x.y.b.example"), "localhost"),
            (Some("b.example"), "localhost"),
            (Some("other.example"), "third"),
            (Some("c.example"), "localhost"),
            (Some("unknown.example"), "localhost"),
            (None, "localhost"),
        ] {
            assert_eq!(certificates.shown_by(server, name), subject, "{name:?} at {server}");
        }
    }
    // A client that checks the name is content.
    let (ca, target) = (file("ca.crt"), format!("https://x.b.example:{}/publish?channel=a", https.port()));
    let resolve = format!("x.b.example:{}:127.0.0.1", https.port());
    let output = curl(&["--cacert", &ca, "--resolve", &resolve, "-d", "1", &target]).await;
    assert!(text(&output.stdout).contains("\"id\""), "{}", text(&output.stderr));
    let health = format!("https://localhost:{}/healthz", admins.port());
    assert!(curl(&["--cacert", &ca, "-f", &health]).await.status.success());
    // Each of them, and when it ends.
    let metrics = gateway.metrics().await;
    for label in ["tls", "tls.certificates[0]", "tls.certificates[1]", "tls.certificates[2]"] {
        let ends = metrics.sum("ratatosk_certificate_expiry_timestamp_seconds", &[("certificate", label)]);
        assert!(ends.is_some_and(|ends| ends > 1_700_000_000.0), "{label}");
    }
}

/// An event stream over TLS, read by curl, and a subscriber over TLS, read by mosquitto_sub.
async fn readers(certificates: &Certificates, gateway: &Gateway) -> (Process, Subscriber) {
    let (ca, https) = (certificates.text("ca.crt"), gateway.listener("https").await);
    let mut command = Command::new("curl");
    command.args(["-sSN", "--http1.1", "--cacert", &ca, &format!("https://localhost:{}/sse?channel=on", https.port())]);
    let stream = Process::spawn("curl", command);
    stream.wait_for("id:").await;
    let mqtts = gateway.listener("mqtts").await.port();
    (stream, Subscriber::start(mqtts, "on", &["--cafile", &ca]).await)
}

#[tokio::test]
async fn renewed_certificates_are_shown_and_connections_stay() {
    let certificates = Certificates::new();
    let gateway = setup(&certificates, "watch = \"100ms\"\n").start().await;
    let (https, mqtts) = (gateway.listener("https").await, gateway.listener("mqtts").await);
    let (stream, mut subscriber) = readers(&certificates, &gateway).await;
    let expiry = async || {
        gateway.metrics().await.sum("ratatosk_certificate_expiry_timestamp_seconds", &[("certificate", "tls")])
    };
    let before = expiry().await;
    let names = format!("subjectAltName=DNS:localhost,IP:127.0.0.1\n{SERVER}");
    certificates.issue("server", "/CN=renewed", &names, 30);
    shows(&certificates, https, "localhost", "renewed").await;
    shows(&certificates, mqtts, "localhost", "renewed").await;
    assert!(expiry().await > before);
    // Between the two files the pair did not fit: that may have been seen, and was no trouble.
    gateway.metric("ratatosk_certificate_reloads_total", &[("result", "ok")], |count| count > 0.5).await;
    let failed = [("result", "failed")];
    let faults = gateway.metrics().await.sum("ratatosk_certificate_reloads_total", &failed).unwrap_or_default();
    // A bad one is reported, and the good one stays.
    std::fs::write(certificates.path("server.crt"), "no certificate at all").expect("a file to write");
    gateway.metric("ratatosk_certificate_reloads_total", &failed, |count| count > faults).await;
    gateway.process.wait_for("changed certificates are not taken").await;
    assert_eq!(certificates.shown_by(https, Some("localhost")), "renewed");
    // Those who were there have noticed nothing of all this.
    publish(mqtts.port(), "on", "still", &["--cafile", &certificates.text("ca.crt")]).await;
    assert_eq!(subscriber.next().await.payload, b"still");
    stream.wait_for("still").await;
}

#[tokio::test]
async fn a_reload_brings_other_certificates() {
    let certificates = Certificates::new();
    let names = format!("subjectAltName=DNS:localhost,IP:127.0.0.1\n{SERVER}");
    let gateway = setup(&certificates, "watch = \"0s\"\n").start().await;
    let https = gateway.listener("https").await;
    let (stream, _subscriber) = readers(&certificates, &gateway).await;
    certificates.issue("next", "/CN=next", &names, 30);
    let section = |name: &str| {
        format!(
            "[http]\ntls_listen = \"127.0.0.1:0\"\n[mqtt]\ntls_listen = \"127.0.0.1:0\"\n[tls]\ncert = \"{}\"\nkey = \"{}\"\n\
             watch = \"0s\"\n",
            certificates.text(&format!("{name}.crt")),
            certificates.text("next.key"),
        )
    };
    assert!(gateway.reload(&section("next")).await);
    assert_eq!(certificates.shown_by(https, Some("localhost")), "next");
    assert!(!gateway.reload(&section("server")).await, "a key that does not fit is not taken");
    gateway.process.wait_for("is not the key of").await;
    assert_eq!(certificates.shown_by(https, Some("localhost")), "next");
    gateway.publish("on", "still").await;
    stream.wait_for("still").await;
}

#[tokio::test]
async fn a_certificate_that_does_not_fit_its_key_keeps_the_gateway_from_starting() {
    let certificates = Certificates::new();
    let directory = certificates.path("gateway.toml");
    let start = async |tls: String| {
        let config = format!("[http]\nlisten = \"off\"\ntls_listen = \"127.0.0.1:0\"\n[tls]\n{tls}");
        std::fs::write(&directory, config).expect("a file to write");
        let file = directory.to_str().expect("a path in UTF-8");
        Ran::start(&["serve", "--config", file]).ends_with(2).await.stderr()
    };
    let pair = |cert: &str, key: &str| {
        format!("cert = \"{}\"\nkey = \"{}\"\n", certificates.text(cert), certificates.text(key))
    };
    let good = pair("server.crt", "server.key");
    for (tls, key, problem) in [
        (pair("server.crt", "client.key"), "tls.key", "is not the key of"),
        (format!("{good}[[tls.certificates]]\n{}", pair("client.crt", "server.key")), "key", "is not the key of"),
        (pair("server.key", "server.key"), "tls.cert", "no certificate"),
        (pair("missing.crt", "server.key"), "tls.cert", "missing.crt"),
        (pair("server.crt", "server.crt"), "tls.key", "server.crt"),
        (format!("{good}client_auth = \"required\"\n"), "tls.client_auth", "client_ca"),
        (format!("{good}client_ca = \"{}\"\n", certificates.text("ca.crt")), "tls.client_ca", "client_auth"),
        (
            format!("{good}client_auth = \"optional\"\nclient_ca = \"{}\"\n", certificates.text("ca.key")),
            "tls.client_ca",
            "no certificate",
        ),
        // A client's certificate has no name that anybody could ask for.
        (format!("{good}[[tls.certificates]]\n{}", pair("client.crt", "client.key")), "names", "no DNS name"),
    ] {
        let said = start(tls.clone()).await;
        assert!(said.contains(key) && said.contains(problem), "{tls}\n{said}");
    }
}
