//! Behind proxies: the true address decides rules and limits, by PROXY headers and by forwarded ones, and nobody else's word counts.

use std::net::SocketAddr;
use std::process::Output;

use ratatosk_tests::Gateway;
use ratatosk_tests::command::Ran;
use ratatosk_tests::ports::free_port;
use ratatosk_tests::process::Process;
use ratatosk_tests::wait::{eventually, within};
use tempfile::TempDir;
use tokio::process::Command;

/// Who comes from 127.0.0.2 may publish; others may not.
const RULES: &str = r##"
[auth]
anonymous = "allow"

[[auth.rules]]
who = { addresses = ["127.0.0.2", "2001:db8::/32"] }
may = ["publish", "subscribe"]
on = ["#"]

[[auth.rules]]
may = ["subscribe"]
on = ["public"]
"##;

async fn run(program: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(program);
    command.args(arguments).kill_on_drop(true).stdin(std::process::Stdio::null());
    within(program, command.output()).await.expect("it is installed")
}

/// Publishes by HTTP from an address of this machine: the status; 0 where the connection is closed without an answer.
async fn publishes(to: SocketAddr, from: &str, more: &[&str]) -> u16 {
    let url = format!("http://{to}/publish?channel=a");
    let fixed = ["-s", "--max-time", "20", "-o", "/dev/null", "-w", "%{http_code}", "--interface", from, "-d", "1"];
    let output = run("curl", &[&fixed[..], more, &[&url]].concat()).await;
    String::from_utf8_lossy(&output.stdout).parse().unwrap_or_default()
}

/// Publishes by MQTT 5 from an address of this machine: whether that is allowed.
async fn may_publish(port: u16, from: &str) -> bool {
    let port = port.to_string();
    let fixed = ["-h", "127.0.0.1", "-p", &port, "-A", from, "-V", "mqttv5", "-q", "1", "-t", "a", "-m", "1"];
    let output = run("mosquitto_pub", &fixed).await;
    output.status.success() && output.stderr.is_empty()
}

/// HAProxy in front of both listeners.
struct HaProxy {
    _directory: TempDir,
    _process: Process,
    http: SocketAddr,
    mqtt: u16,
}

impl HaProxy {
    async fn start(gateway: &Gateway, send: &str) -> Self {
        let (http, mqtt) = (free_port(), free_port());
        let config = format!(
            "global\n  maxconn 100\ndefaults\n  mode tcp\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n\
             listen http\n  bind 127.0.0.1:{http}\n  server gateway {} {send}\n\
             listen mqtt\n  bind 127.0.0.1:{mqtt}\n  server gateway {} {send}\n",
            gateway.http,
            gateway.mqtt().await,
        );
        let directory = TempDir::new().expect("a temporary directory");
        let file = directory.path().join("haproxy.cfg");
        std::fs::write(&file, config).expect("a file to write");
        let mut command = Command::new("/usr/sbin/haproxy");
        command.arg("-db").arg("-f").arg(file);
        let process = Process::spawn("haproxy", command);
        let http = SocketAddr::from(([127, 0, 0, 1], http));
        for address in [http, SocketAddr::from(([127, 0, 0, 1], mqtt))] {
            eventually("haproxy", async || tokio::net::TcpStream::connect(address).await.ok()).await;
        }
        Self { _directory: directory, _process: process, http, mqtt }
    }
}

#[tokio::test]
async fn proxy_headers_of_both_versions_tell_the_true_address() {
    let config = "[http]\nproxy_protocol = true\n[mqtt]\nproxy_protocol = true\n";
    let gateway = Gateway::setup().config(RULES).config(config).start().await;
    for send in ["send-proxy", "send-proxy-v2"] {
        let proxy = HaProxy::start(&gateway, send).await;
        assert_eq!(publishes(proxy.http, "127.0.0.2", &[]).await, 200, "{send}");
        assert_eq!(publishes(proxy.http, "127.0.0.3", &[]).await, 403, "{send}");
        assert!(may_publish(proxy.mqtt, "127.0.0.2").await, "{send}");
        assert!(!may_publish(proxy.mqtt, "127.0.0.3").await, "{send}");
    }
    // Whoever leaves it out is not served, and counted.
    let refused = async |connector: &str| {
        let labels = [("connector", connector), ("limit", "proxy_header")];
        gateway.metrics().await.sum("ratatosk_limited_total", &labels).unwrap_or_default()
    };
    let (http, mqtt) = (refused("http").await, refused("mqtt").await);
    assert_eq!(publishes(gateway.http, "127.0.0.2", &[]).await, 0);
    assert!(!may_publish(gateway.mqtt().await.port(), "127.0.0.2").await);
    assert!(refused("http").await > http && refused("mqtt").await > mqtt);
    // curl writes one itself.
    assert_eq!(publishes(gateway.http, "127.0.0.2", &["--haproxy-protocol"]).await, 200);
    // The operators' listener has none.
    assert_eq!(gateway.admin("/healthz").await.head.status, 200);
}

#[tokio::test]
async fn proxy_headers_come_before_tls_and_only_from_trusted_proxies() {
    let certificates = ratatosk_tests::tls::Certificates::new();
    let config = format!(
        "[http]\nproxy_protocol = true\ntls_listen = \"127.0.0.1:0\"\ntrusted_proxies = [\"127.0.0.1\"]\n\
         [tls]\ncert = \"{}\"\nkey = \"{}\"\n",
        certificates.text("server.crt"),
        certificates.text("server.key")
    );
    let gateway = Gateway::setup().config(RULES).config(&config).start().await;
    let (https, ca) = (gateway.listener("https").await, certificates.text("ca.crt"));
    let url = format!("https://localhost:{}/publish?channel=a", https.port());
    let from = async |address: &str| {
        let fixed = ["-s", "-o", "/dev/null", "-w", "%{http_code}", "--haproxy-protocol", "--cacert", &ca, "-d", "1"];
        let output = run("curl", &[&fixed[..], &["--interface", address, &url]].concat()).await;
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert_eq!(from("127.0.0.1").await, "403", "let in, and not allowed by the rules");
    assert_eq!(from("127.0.0.2").await, "000", "a header that comes from nobody we trust");
    let haproxy = HaProxy::start(&gateway, "send-proxy-v2").await;
    assert_eq!(publishes(haproxy.http, "127.0.0.2", &[]).await, 200);
}

/// nginx in front of the HTTP listener, adding to `X-Forwarded-For`.
struct Nginx {
    _directory: TempDir,
    _process: Process,
    address: SocketAddr,
}

impl Nginx {
    async fn start(gateway: &Gateway) -> Self {
        let (directory, port) = (TempDir::new().expect("a temporary directory"), free_port());
        let at = directory.path().display().to_string();
        let config = format!(
            "daemon off;\npid {at}/pid;\nerror_log stderr;\nworker_processes 1;\nevents {{}}\nhttp {{\naccess_log off;\n\
             client_body_temp_path {at}/body;\nproxy_temp_path {at}/proxy;\nfastcgi_temp_path {at}/fastcgi;\n\
             uwsgi_temp_path {at}/uwsgi;\nscgi_temp_path {at}/scgi;\n\
             upstream gateway {{ server {}; keepalive 4; }}\n\
             server {{\nlisten 127.0.0.1:{port};\nlocation / {{\nproxy_pass http://gateway;\nproxy_http_version 1.1;\n\
             proxy_set_header Connection \"\";\nproxy_buffering off;\nproxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;\n}}\n}}\n}}\n",
            gateway.http
        );
        let file = directory.path().join("nginx.conf");
        std::fs::write(&file, config).expect("a file to write");
        let mut command = Command::new("/usr/sbin/nginx");
        command.args(["-e", "stderr", "-p", &at, "-c"]).arg(file);
        let process = Process::spawn("nginx", command);
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        eventually("nginx", async || tokio::net::TcpStream::connect(address).await.ok()).await;
        Self { _directory: directory, _process: process, address }
    }
}

#[tokio::test]
async fn forwarded_headers_of_trusted_proxies_tell_the_true_address() {
    let config = "[http]\ntrusted_proxies = [\"127.0.0.1/32\"]\n";
    let gateway = Gateway::setup().config(RULES).config(config).start().await;
    let proxy = Nginx::start(&gateway).await;
    // nginx keeps its connections: clients of both kinds share them.
    for _ in 0..3 {
        assert_eq!(publishes(proxy.address, "127.0.0.2", &[]).await, 200);
        assert_eq!(publishes(proxy.address, "127.0.0.3", &[]).await, 403);
    }
    // What a client says of itself stands before what the proxy adds.
    assert_eq!(publishes(proxy.address, "127.0.0.3", &["-H", "X-Forwarded-For: 127.0.0.2"]).await, 403);
    assert_eq!(publishes(proxy.address, "127.0.0.3", &["-H", "Forwarded: for=127.0.0.2"]).await, 403);
    // Who is no proxy of ours is not believed.
    assert_eq!(publishes(gateway.http, "127.0.0.3", &["-H", "X-Forwarded-For: 127.0.0.2"]).await, 403);
    assert_eq!(publishes(gateway.http, "127.0.0.2", &["-H", "X-Forwarded-For: 127.0.0.3"]).await, 200);
    // IPv6, as a proxy writes it.
    assert_eq!(publishes(gateway.http, "127.0.0.1", &["-H", "X-Forwarded-For: 2001:db8::7"]).await, 200);
    assert_eq!(publishes(gateway.http, "127.0.0.1", &["-H", "X-Forwarded-For: nonsense"]).await, 403);
}

#[tokio::test]
async fn the_standard_header_counts_where_it_is_chosen() {
    let config = "[http]\ntrusted_proxies = [\"127.0.0.1\"]\nforwarded_header = \"forwarded\"\n";
    let gateway = Gateway::setup().config(RULES).config(config).start().await;
    assert_eq!(publishes(gateway.http, "127.0.0.1", &["-H", "Forwarded: for=127.0.0.2;proto=https"]).await, 200);
    assert_eq!(publishes(gateway.http, "127.0.0.1", &["-H", "X-Forwarded-For: 127.0.0.2"]).await, 403);
}

#[tokio::test]
async fn limits_count_the_clients_behind_a_proxy_and_not_the_proxy() {
    let config = "[http]\ntrusted_proxies = [\"127.0.0.1/32\"]\n[limits]\nconnections_per_address = 1\n";
    let gateway = Gateway::with(config).await;
    let proxy = Nginx::start(&gateway).await;
    let url = format!("http://{}/sse?channel=a", proxy.address);
    let open = |from: &str| {
        let mut command = Command::new("curl");
        command.args(["-sSN", "--interface", from, &url]);
        Process::spawn("curl", command)
    };
    let first = open("127.0.0.2");
    first.wait_for("id:").await;
    assert_eq!(publishes(proxy.address, "127.0.0.2", &[]).await, 429);
    assert_eq!(publishes(proxy.address, "127.0.0.3", &[]).await, 200);
    let limited = [("connector", "http"), ("limit", "address_connections")];
    assert_eq!(gateway.metrics().await.sum("ratatosk_limited_total", &limited), Some(1.0));
    let second = open("127.0.0.3");
    second.wait_for("id:").await;
    drop(first);
    eventually("room again", async || (publishes(proxy.address, "127.0.0.2", &[]).await == 200).then_some(())).await;
}

#[tokio::test]
async fn an_exposed_listener_believes_no_unnamed_proxy() {
    let arguments = ["check", "--set", "http.listen=0.0.0.0:8080", "--set", "http.proxy_protocol=true"];
    let said = Ran::start(&arguments).ends_with(2).await.stderr();
    assert!(said.contains("http.proxy_protocol") && said.contains("trusted_proxies"), "{said}");
    let said = Ran::start(&["check", "--set", "http.trusted_proxies=[\"10.0.0.0/99\"]"]).ends_with(2).await.stderr();
    assert!(said.contains("http.trusted_proxies"), "{said}");
}
