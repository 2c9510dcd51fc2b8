//! The binary under test.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

use crate::http::{self, Response, query};
use crate::metrics::Scrape;
use crate::ports::free_port;
use crate::process::{Line, Process};
use crate::sse::SseStream;
use crate::wait::eventually;

/// Where the binary is: `RATATOSK_BIN`, or beside the directory of the test executable (`target/{profile}/deps/..`).
///
/// # Panics
/// When it has not been built.
#[must_use]
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("RATATOSK_BIN") {
        return path.into();
    }
    let test = std::env::current_exe().expect("a test knows its own path");
    let profile = test.parent().and_then(|deps| deps.parent()).expect("target/{profile}/deps/test");
    let binary = profile.join("ratatosk");
    assert!(binary.exists(), "{} is missing: `cargo build --bin ratatosk` or `make test`", binary.display());
    binary
}

/// How to start a gateway: configuration on top of loopback listeners with free ports and JSON logs.
#[derive(Clone, Debug)]
pub struct Setup {
    config: toml::Table,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    one_core: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            config: listeners("127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"),
            arguments: Vec::new(),
            environment: Vec::new(),
            one_core: false,
        }
    }
}

fn listeners(http: &str, mqtt: &str, admin: &str) -> toml::Table {
    let text = format!(
        "[http]\nlisten = \"{http}\"\n[mqtt]\nlisten = \"{mqtt}\"\n[admin]\nlisten = \"{admin}\"\n[log]\nformat = \"json\"\n"
    );
    text.parse().expect("TOML")
}

impl Setup {
    /// Adds configuration in TOML.
    ///
    /// # Panics
    /// When it is not TOML.
    #[must_use]
    pub fn config(mut self, toml: &str) -> Self {
        let extra: toml::Table = toml.parse().unwrap_or_else(|error| panic!("{error} in {toml}"));
        merge(&mut self.config, extra);
        self
    }

    /// Listens on ports that stay the same over a restart.
    #[must_use]
    pub fn fixed_ports(mut self) -> Self {
        let address = || format!("127.0.0.1:{}", free_port());
        merge(&mut self.config, listeners(&address(), &address(), &address()));
        self
    }

    /// Runs another command than `serve --config FILE`; the listeners are then given by the environment.
    #[must_use]
    pub fn arguments(mut self, arguments: &[&str]) -> Self {
        self.arguments = arguments.iter().map(ToString::to_string).collect();
        for section in ["HTTP", "MQTT", "ADMIN"] {
            self = self.environment(&format!("RATATOSK__{section}__LISTEN"), "127.0.0.1:0");
        }
        self.environment("RATATOSK__LOG__FORMAT", "json")
    }

    /// Runs it where there is only one core.
    #[must_use]
    pub fn one_core(mut self) -> Self {
        self.one_core = true;
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn environment(mut self, key: &str, value: &str) -> Self {
        self.environment.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Starts it and waits until it is ready.
    pub async fn start(self) -> Gateway {
        let directory = TempDir::new().expect("a temporary directory");
        let (process, http, admin) = self.launch(&directory).await;
        let gateway = Gateway { setup: self, directory, process, http, admin };
        gateway.ready().await;
        gateway
    }

    async fn launch(&self, directory: &TempDir) -> (Process, SocketAddr, SocketAddr) {
        let mut command = if self.one_core { on_one_core(&binary()) } else { Command::new(binary()) };
        if self.arguments.is_empty() {
            let file = directory.path().join("ratatosk.toml");
            std::fs::write(&file, self.config.to_string()).expect("a file to write");
            command.arg("serve").arg("--config").arg(file);
        } else {
            command.args(&self.arguments);
        }
        command.current_dir(directory.path()).envs(self.environment.iter().map(|(key, value)| (key, value)));
        let process = Process::spawn("ratatosk", command);
        let http = listener(&process, "http").await;
        let admin = listener(&process, "admin").await;
        (process, http, admin)
    }
}

/// A command that becomes the program, on the first core that this process may use.
fn on_one_core(program: &Path) -> Command {
    let allowed = rustix::thread::sched_getaffinity(None).expect("a process knows its cores");
    let core = (0..rustix::thread::CpuSet::MAX_CPU).find(|&core| allowed.is_set(core)).expect("it runs on one");
    let mut command = Command::new("taskset");
    command.args(["-c", &core.to_string()]).arg(program);
    command
}

fn merge(into: &mut toml::Table, from: toml::Table) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(toml::Value::Table(into)), toml::Value::Table(from)) => merge(into, from),
            (_, value) => {
                into.insert(key, value);
            }
        }
    }
}

/// A field of a JSON log line, whether or not the line keeps its fields in an object of their own.
fn field<'a>(line: &'a Value, name: &str) -> Option<&'a str> {
    line[name].as_str().or_else(|| line["fields"][name].as_str())
}

/// The address a listener was bound to, from the log line that says so.
async fn listener(process: &Process, name: &str) -> SocketAddr {
    let bound = |line: &Line| {
        let line: Value = serde_json::from_str(&line.text).ok()?;
        (field(&line, "listener") == Some(name)).then(|| field(&line, "address")?.parse().ok()).flatten()
    };
    process.find_line(&format!("the {name} listener's address"), 0, bound).await.0
}

/// A running gateway; killed when dropped.
pub struct Gateway {
    setup: Setup,
    directory: TempDir,
    /// The process, for signals and its log.
    pub process: Process,
    /// The address of the http listener.
    pub http: SocketAddr,
    /// The address of the admin listener.
    pub admin: SocketAddr,
}

impl Gateway {
    /// How to start one.
    #[must_use]
    pub fn setup() -> Setup {
        Setup::default()
    }

    /// One with the defaults.
    pub async fn start() -> Self {
        Self::setup().start().await
    }

    /// One with this configuration on top of the defaults.
    pub async fn with(toml: &str) -> Self {
        Self::setup().config(toml).start().await
    }

    /// Waits until `/readyz` says 200.
    pub async fn ready(&self) {
        eventually("/readyz", async || (self.admin("/readyz").await.head.status == 200).then_some(())).await;
    }

    /// The address of the MQTT listener.
    pub async fn mqtt(&self) -> SocketAddr {
        listener(&self.process, "mqtt").await
    }

    /// The address of the listener of that name in the log.
    pub async fn listener(&self, name: &str) -> SocketAddr {
        listener(&self.process, name).await
    }

    /// A URL on the http listener.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.http)
    }

    /// GET on the http listener.
    pub async fn get(&self, target: &str) -> Response {
        http::fetch(self.http, "GET", target, &[], b"").await
    }

    /// GET on the admin listener.
    pub async fn admin(&self, target: &str) -> Response {
        http::fetch(self.admin, "GET", target, &[("Connection", "close")], b"").await
    }

    /// Publishes over HTTP and returns the message's id.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn publish(&self, channel: &str, payload: impl AsRef<[u8]>) -> String {
        self.publish_with(&[("channel", channel)], payload).await
    }

    /// Publishes over HTTP with these query parameters and returns the message's id.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn publish_with(&self, parameters: &[(&str, &str)], payload: impl AsRef<[u8]>) -> String {
        let target = format!("/publish{}", query(parameters));
        let response = http::fetch(self.http, "POST", &target, &[], payload.as_ref()).await;
        assert_eq!(response.head.status, 200, "{}", String::from_utf8_lossy(&response.body));
        response.json()["id"].as_str().expect("an id").to_owned()
    }

    /// Publishes many payloads in order, as fast as the gateway takes them.
    ///
    /// # Panics
    /// When one is refused.
    pub async fn publish_all(&self, channel: &str, payloads: impl IntoIterator<Item = String>) {
        let target = format!("/publish{}", query(&[("channel", channel)]));
        let requests = payloads.into_iter().map(|payload| (target.clone(), payload.into_bytes()));
        for response in http::pipeline(self.http, requests).await {
            assert_eq!(response.head.status, 200, "{}", String::from_utf8_lossy(&response.body));
        }
    }

    /// Opens an event stream with these query parameters.
    pub async fn sse(&self, parameters: &[(&str, &str)]) -> SseStream {
        self.sse_with(parameters, &[]).await
    }

    /// Opens an event stream with these query parameters and header fields.
    pub async fn sse_with(&self, parameters: &[(&str, &str)], headers: &[(&str, &str)]) -> SseStream {
        SseStream::open(self.http, &format!("/sse{}", query(parameters)), headers).await
    }

    /// Scrapes `/metrics`.
    ///
    /// # Panics
    /// When it is not served.
    pub async fn metrics(&self) -> Scrape {
        let response = self.admin("/metrics").await;
        assert_eq!(response.head.status, 200);
        Scrape::parse(String::from_utf8(response.body).expect("metrics are text"))
    }

    /// Waits until a metric (the sum of its samples with these labels) is what `wanted` asks for, and returns it.
    pub async fn metric(&self, name: &str, labels: &[(&str, &str)], wanted: impl Fn(f64) -> bool) -> f64 {
        eventually(format!("{name}{labels:?}"), async || {
            self.metrics().await.sum(name, labels).filter(|value| wanted(*value))
        })
        .await
    }

    /// Calls the admin API with a JSON body, as `curl` would.
    pub async fn call(&self, method: &str, target: &str, body: Option<&Value>) -> Response {
        let text = body.map(ToString::to_string).unwrap_or_default();
        let headers = [("Content-Type", "application/json"), ("Connection", "close")];
        http::fetch(self.admin, method, target, &headers, text.as_bytes()).await
    }

    /// Writes its configuration file anew (listeners as they were) and has it read (SIGHUP); returns when that is done,
    /// and whether the new configuration was taken.
    ///
    /// # Panics
    /// When it is not TOML, or the file cannot be written.
    pub async fn reload(&self, toml: &str) -> bool {
        let reloads = async |result: &str| {
            self.metrics().await.sum("ratatosk_config_reloads_total", &[("result", result)]).unwrap_or_default()
        };
        let before = [reloads("ok").await, reloads("failed").await];
        let file = self.directory.path().join("ratatosk.toml");
        let mut config = listeners("127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0");
        merge(&mut config, toml.parse().unwrap_or_else(|error| panic!("{error} in {toml}")));
        std::fs::write(&file, config.to_string()).expect("a file to write");
        self.process.signal(Signal::HUP);
        eventually("the configuration to be read again", async || {
            let now = [reloads("ok").await, reloads("failed").await];
            (now != before).then_some(now[0] > before[0])
        })
        .await
    }

    /// Asks it to end (SIGTERM) and waits for that.
    pub async fn terminate(&mut self) -> ExitStatus {
        self.process.signal(Signal::TERM);
        self.process.exit().await
    }

    /// Kills it (SIGKILL).
    pub async fn kill(&mut self) {
        self.process.kill().await;
    }

    /// Starts it again, in the same directory and, if it was set up with fixed ports, on the same ports.
    pub async fn start_again(&mut self) {
        let (process, http, admin) = self.setup.launch(&self.directory).await;
        (self.process, self.http, self.admin) = (process, http, admin);
        self.ready().await;
    }
}
