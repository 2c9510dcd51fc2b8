//! An SSE upstream on a stranger: Nchan, nginx's publish and subscribe module.

use std::net::SocketAddr;

use ratatosk_tests::Gateway;
use ratatosk_tests::http::fetch;
use ratatosk_tests::ports::free_port;
use ratatosk_tests::process::Process;
use ratatosk_tests::sse::SseStream;
use ratatosk_tests::wait::eventually;
use serde_json::json;
use tempfile::TempDir;
use tokio::process::Command;

const MODULE: &str = "/usr/lib/nginx/modules/ngx_nchan_module.so";

struct Nchan {
    address: SocketAddr,
    directory: TempDir,
    process: Process,
}

impl Nchan {
    async fn start() -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let path = directory.path().display();
        // One process: a worker would outlive a master that is killed, and keep the port.
        let config = format!(
            "load_module {MODULE};\ndaemon off;\nmaster_process off;\nerror_log stderr notice;\npid {path}/pid;\n\
             events {{ worker_connections 256; }}\nhttp {{\n access_log off;\n client_body_temp_path {path}/a;\n proxy_temp_path {path}/b;\n \
             fastcgi_temp_path {path}/c;\n uwsgi_temp_path {path}/d;\n scgi_temp_path {path}/e;\n server {{\n  listen {address};\n  \
             location = /pub {{ nchan_publisher; nchan_channel_id $arg_id; nchan_message_buffer_length 100; }}\n  \
             location = /sub {{ nchan_subscriber eventsource; nchan_channel_id $arg_id; nchan_subscriber_first_message newest; }}\n }}\n}}\n"
        );
        std::fs::write(directory.path().join("nginx.conf"), config).expect("a file to write");
        let process = Self::spawn(&directory).await;
        Self { address, directory, process }
    }

    async fn spawn(directory: &TempDir) -> Process {
        assert!(std::path::Path::new(MODULE).exists(), "Debian: apt-get install nginx libnginx-mod-nchan");
        let mut command = Command::new("nginx");
        let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
        let (prefix, config) = (directory.path(), directory.path().join("nginx.conf"));
        command.arg("-p").arg(prefix).arg("-e").arg("stderr").arg("-c").arg(config).env("PATH", path);
        let process = Process::spawn("nginx", command);
        process.wait_for("getrlimit(RLIMIT_NOFILE)").await;
        process
    }

    /// Publishes, and says whether a subscriber was there to take it at once (201) or not (202).
    async fn publish(&self, id: &str, payload: &str) -> bool {
        let answer = fetch(self.address, "POST", &format!("/pub?id={id}"), &[], payload.as_bytes()).await;
        let status = answer.head.status;
        assert!(status == 201 || status == 202, "{status}");
        status == 201
    }
}

fn following(nchan: &Nchan) -> String {
    let at = nchan.address;
    format!(
        "[[upstreams]]\nname = \"nchan\"\nkind = \"sse\"\nurl = \"http://{at}/sub?id=in\"\nproxy = \"off\"\nmax_backoff = \"300ms\"\n\
         in = [{{ from = \"#\", to = \"nchan/{{event}}\" }}]\n"
    )
}

fn publishing(nchan: &Nchan) -> String {
    let at = nchan.address;
    format!(
        "out = [{{ from = \"commands/#\" }}]\n[upstreams.publish]\nurl = \"http://{at}/pub?id=out\"\n\
         body = '{{\"to\": {{channel_json}}, \"what\": {{payload_json}}}}'\n"
    )
}

#[tokio::test]
async fn its_messages_arrive_and_ours_reach_its_subscribers() {
    let nchan = Nchan::start().await;
    let gateway = Gateway::with(&(following(&nchan) + &publishing(&nchan))).await;
    let mut stream = gateway.sse(&[("channel", "nchan/#")]).await;
    gateway.metric("ratatosk_upstream_up", &[], |up| up > 0.5).await;
    for (payload, data) in [
        ("plain", json!("plain")),
        ("two\nlines", json!("two\nlines")),
        ("{\"c\":21.5}", json!({"c": 21.5})),
        ("zürich", json!("zürich")),
    ] {
        assert!(nchan.publish("in", payload).await, "the gateway is subscribed");
        let message = stream.message().await;
        assert_eq!((message.channel(), message.data()), ("nchan/message", &data));
    }
    let mut theirs = SseStream::open(nchan.address, "/sub?id=out", &[]).await;
    gateway.publish("commands/valve", r#"{"open":true}"#).await;
    assert_eq!(theirs.event().await.json(), json!({"to": "commands/valve", "what": {"open": true}}));
}

#[tokio::test]
async fn what_it_got_while_we_were_away_arrives_once_and_a_restart_is_survived() {
    let mut nchan = Nchan::start().await;
    let config = following(&nchan) + "idle_timeout = \"500ms\"\n";
    let gateway = Gateway::with(&config).await;
    let mut stream = gateway.sse(&[("channel", "nchan/#")]).await;
    gateway.metric("ratatosk_upstream_up", &[], |up| up > 0.5).await;
    // The stream is silent for longer than `idle_timeout` now and again, so it is left and opened again all the time; Nchan
    // resumes it by the id that we send.
    for n in 0..40 {
        nchan.publish("in", &format!("m{n}")).await;
        if n % 10 == 9 {
            gateway.metric("ratatosk_upstream_reconnects_total", &[], |count| count >= f64::from(n / 10)).await;
        }
    }
    for n in 0..40 {
        assert_eq!(stream.message().await.payload(), format!("m{n}").into_bytes());
    }
    nchan.process.kill().await;
    gateway.metric("ratatosk_upstream_up", &[], |up| up < 0.5).await;
    nchan.process = Nchan::spawn(&nchan.directory).await;
    gateway.metric("ratatosk_upstream_up", &[], |up| up > 0.5).await;
    eventually("a message after the restart", async || nchan.publish("in", "back").await.then_some(())).await;
    assert_eq!(stream.message().await.payload(), b"back");
}
