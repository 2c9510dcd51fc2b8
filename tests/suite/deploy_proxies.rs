//! The proxies of `deploy/proxies/`, really in front of the gateway: streams and WebSockets pass them.

use std::net::SocketAddr;
use std::path::Path;

use ratatosk_tests::bayeux::{Bayeux, NODE};
use ratatosk_tests::ports::free_port;
use ratatosk_tests::process::Process;
use ratatosk_tests::pusher::{self, Pusher};
use ratatosk_tests::sse::SseStream;
use ratatosk_tests::wait::eventually;
use ratatosk_tests::{Gateway, tests_dir};
use serde_json::json;
use tempfile::TempDir;

fn read(path: &str) -> String {
    let path = tests_dir().join("../deploy").join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Streams and WebSockets through a proxy, as they are without it.
async fn passes(gateway: &Gateway, proxy: SocketAddr) {
    eventually("the proxy", async || tokio::net::TcpStream::connect(proxy).await.ok()).await;
    let mut stream = SseStream::open(proxy, "/sse?channel=through/%23", &[]).await;
    gateway.publish("through/x", "1").await;
    assert_eq!(stream.message().await.channel(), "through/x");
    let mut client = Pusher::connect_with(pusher::Kind::Node, proxy, json!({})).await;
    client.subscribe("through.x").await;
    let mut bayeux = Bayeux::connect(NODE[1], &format!("http://{proxy}/bayeux")).await;
    bayeux.subscribe("/through/x").await;
    let mut polling = Bayeux::connect(NODE[0], &format!("http://{proxy}/bayeux")).await;
    polling.subscribe("/through/x").await;
    gateway.publish("through/x", "2").await;
    assert_eq!(stream.message().await.data(), &json!(2));
    client.event().await;
    assert_eq!(bayeux.message().await.0, "/through/x");
    assert_eq!(polling.message().await.0, "/through/x");
}

/// Text with each `from` in it, which must be there, replaced.
fn with(text: &str, pairs: &[(&str, String)]) -> String {
    pairs.iter().fold(text.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "no {from:?}");
        text.replace(from, to)
    })
}

fn write(directory: &Path, name: &str, text: &str) -> String {
    let path = directory.join(name);
    std::fs::write(&path, text).expect("a file to write");
    path.to_str().expect("a path").to_owned()
}

#[tokio::test]
async fn nginx_in_front_passes_streams_and_websockets() {
    let gateway = Gateway::start().await;
    let (directory, port) = (TempDir::new().expect("a temporary directory"), free_port());
    let site = with(
        &read("proxies/nginx.conf"),
        &[("127.0.0.1:8080", gateway.http.to_string()), ("listen 8000", format!("listen 127.0.0.1:{port}"))],
    );
    let at = directory.path().display();
    let main = format!(
        "daemon off;\npid {at}/pid;\nerror_log stderr;\nworker_processes 1;\nevents {{}}\nhttp {{\naccess_log off;\nclient_body_temp_path {at}/body;\nproxy_temp_path {at}/proxy;\nfastcgi_temp_path {at}/fastcgi;\nuwsgi_temp_path {at}/uwsgi;\nscgi_temp_path {at}/scgi;\n{site}\n}}\n"
    );
    let file = write(directory.path(), "nginx.conf", &main);
    let mut command = tokio::process::Command::new("/usr/sbin/nginx");
    command.args(["-e", "stderr", "-p", &at.to_string(), "-c", &file]);
    let _nginx = Process::spawn("nginx", command);
    passes(&gateway, SocketAddr::from(([127, 0, 0, 1], port))).await;
}

#[tokio::test]
async fn haproxy_in_front_passes_streams_and_websockets() {
    let gateway = Gateway::start().await;
    let (directory, port, mqtt) = (TempDir::new().expect("a temporary directory"), free_port(), free_port());
    let config = with(
        &read("proxies/haproxy.cfg"),
        &[
            ("127.0.0.1:8080", gateway.http.to_string()),
            ("check port 8081", format!("check port {}", gateway.admin.port())),
            ("127.0.0.1:8000", format!("127.0.0.1:{port}")),
            ("127.0.0.1:18830", format!("127.0.0.1:{mqtt}")),
            ("127.0.0.1:1883 ", format!("{} ", gateway.mqtt().await)),
            ("maxconn 100000", "maxconn 100".to_owned()),
        ],
    );
    let file = write(directory.path(), "haproxy.cfg", &config);
    let mut command = tokio::process::Command::new("/usr/sbin/haproxy");
    command.args(["-db", "-f", &file]);
    let _haproxy = Process::spawn("haproxy", command);
    passes(&gateway, SocketAddr::from(([127, 0, 0, 1], port))).await;
    let mut subscriber = ratatosk_tests::mosquitto::Subscriber::start(mqtt, "through/x", &[]).await;
    gateway.publish("through/x", "mqtt").await;
    assert_eq!(subscriber.next().await.payload, b"mqtt");
}

/// The configuration is for Caddy 2.7 and newer; Debian's may be older and not know one of its options.
#[tokio::test]
async fn caddy_in_front_passes_streams_and_websockets() {
    let gateway = Gateway::start().await;
    let (directory, port) = (TempDir::new().expect("a temporary directory"), free_port());
    let site = with(
        &read("proxies/Caddyfile"),
        &[
            ("127.0.0.1:8080", gateway.http.to_string()),
            ("health_port 8081", format!("health_port {}", gateway.admin.port())),
            ("gateway.example.com", format!("http://127.0.0.1:{port}")),
            ("stream_close_delay 10s", String::new()),
        ],
    );
    let file = write(directory.path(), "Caddyfile", &format!("{{\n\tadmin off\n}}\n{site}"));
    let mut command = tokio::process::Command::new("caddy");
    command.args(["run", "--adapter", "caddyfile", "--config", &file]).env("HOME", directory.path());
    command.env("XDG_DATA_HOME", directory.path()).env("XDG_CONFIG_HOME", directory.path());
    let _caddy = Process::spawn("caddy", command);
    passes(&gateway, SocketAddr::from(([127, 0, 0, 1], port))).await;
}
