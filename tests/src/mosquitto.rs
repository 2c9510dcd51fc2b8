//! Eclipse Mosquitto: the broker, and its two command-line clients.

use std::process::Output;

use rustix::process::Signal;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::ports::free_port;
use crate::process::Process;
use crate::wait::within;

/// A broker on a port of its own; killed when dropped.
pub struct Mosquitto {
    /// Its port on 127.0.0.1.
    pub port: u16,
    directory: TempDir,
    process: Option<Process>,
}

impl Mosquitto {
    /// A broker that lets everyone in.
    pub async fn start() -> Self {
        Self::with("allow_anonymous true\n", &[]).await
    }

    /// A broker with these configuration lines, and files (name, content) beside them; `{dir}` in a line is their directory.
    ///
    /// # Panics
    /// When it cannot be set up.
    pub async fn with(lines: &str, files: &[(&str, &str)]) -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        let path = directory.path().to_str().expect("a path in UTF-8").to_owned();
        for (name, content) in files {
            std::fs::write(directory.path().join(name), content).expect("a file to write");
        }
        let port = free_port();
        let config = format!(
            "listener {port} 127.0.0.1\nlog_dest stderr\nlog_type all\nuser root\npersistence false\n{}",
            lines.replace("{dir}", &path)
        );
        std::fs::write(directory.path().join("mosquitto.conf"), config).expect("a file to write");
        let mut broker = Self { port, directory, process: None };
        broker.start_again().await;
        broker
    }

    /// `mqtt://127.0.0.1:PORT`
    #[must_use]
    pub fn url(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port)
    }

    /// Starts it on the port it had.
    pub async fn start_again(&mut self) {
        let mut command = Command::new("mosquitto");
        let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
        command.arg("-c").arg(self.directory.path().join("mosquitto.conf")).env("PATH", path);
        let process = Process::spawn("mosquitto", command);
        process.wait_for(" running").await;
        self.process = Some(process);
    }

    /// Kills it as a power cut would.
    pub async fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().await;
        }
    }

    /// Kills it in the same way, and keeps its log until it starts again.
    ///
    /// # Panics
    /// When it was killed before.
    pub async fn halt(&mut self) {
        self.process.as_mut().expect("the broker runs").kill().await;
    }

    /// Stops it from doing anything, with its connections open (SIGSTOP); `resume` lets it go on.
    pub fn pause(&self) {
        self.process().signal(Signal::STOP);
    }

    /// Lets a paused broker go on.
    pub fn resume(&self) {
        self.process().signal(Signal::CONT);
    }

    /// The running broker, for its log.
    ///
    /// # Panics
    /// When it was killed.
    #[must_use]
    pub fn process(&self) -> &Process {
        self.process.as_ref().expect("the broker runs")
    }

    /// Publishes with `mosquitto_pub`.
    pub async fn publish(&self, topic: &str, payload: impl AsRef<[u8]>, arguments: &[&str]) {
        publish(self.port, topic, payload, arguments).await;
    }

    /// Subscribes with `mosquitto_sub`.
    pub async fn subscribe(&self, filter: &str, arguments: &[&str]) -> Subscriber {
        Subscriber::start(self.port, filter, arguments).await
    }
}

/// Runs `mosquitto_pub` with the payload on its standard input (so that any bytes can be sent).
///
/// # Panics
/// When it fails.
pub async fn publish(port: u16, topic: &str, payload: impl AsRef<[u8]>, arguments: &[&str]) {
    let output = try_publish(port, topic, payload, arguments).await;
    assert!(output.status.success(), "mosquitto_pub: {}", String::from_utf8_lossy(&output.stderr));
}

/// As [`publish`], for tests that expect a refusal.
///
/// # Panics
/// When the program cannot be run.
pub async fn try_publish(port: u16, topic: &str, payload: impl AsRef<[u8]>, arguments: &[&str]) -> Output {
    let payload = payload.as_ref();
    let mut command = Command::new("mosquitto_pub");
    command.args(["-h", "127.0.0.1", "-p", &port.to_string(), "-t", topic]).args(arguments);
    // `-s` refuses an empty input; `-n` is its way of saying "no payload".
    command.arg(if payload.is_empty() { "-n" } else { "-s" });
    command
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    let mut child = command.kill_on_drop(true).spawn().expect("mosquitto_pub is installed");
    let mut stdin = child.stdin.take().expect("piped");
    // It may be refused before it reads all; its exit status tells.
    let _ = stdin.write_all(payload).await;
    drop(stdin);
    within("mosquitto_pub", child.wait_with_output()).await.expect("mosquitto_pub ends")
}

/// A message as `mosquitto_sub` printed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// The topic.
    pub topic: String,
    /// The QoS it was delivered with.
    pub qos: u8,
    /// The retain flag.
    pub retain: bool,
    /// The payload.
    pub payload: Vec<u8>,
    /// MQTT 5: content type, response topic, correlation data, remaining expiry, user properties, subscription identifiers, as
    /// `mosquitto_sub` writes them.
    pub properties: [String; 6],
}

/// A running `mosquitto_sub`.
pub struct Subscriber {
    /// The process, for signals.
    pub process: Process,
    seen: usize,
}

impl Subscriber {
    /// Starts it and waits until the broker has acknowledged the subscription.
    pub async fn start(port: u16, filter: &str, arguments: &[&str]) -> Self {
        let subscriber = Self::launch(port, filter, arguments);
        subscriber.process.find_line("a SUBACK", 0, |line| line.text.contains("Subscribed (mid").then_some(())).await;
        subscriber
    }

    /// Starts it without waiting for anything.
    #[must_use]
    pub fn launch(port: u16, filter: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new("stdbuf");
        command.args(["-oL", "mosquitto_sub", "-d", "-h", "127.0.0.1", "-p", &port.to_string(), "-t", filter]);
        command.args(["-F", "MESSAGE\t%t\t%q\t%r\t%x\t%C\t%R\t%D\t%E\t%P\t%S"]).args(arguments);
        Self { process: Process::spawn("mosquitto_sub", command), seen: 0 }
    }

    /// Waits for the next message.
    pub async fn next(&mut self) -> Received {
        let (received, seen) = self.process.find_line("a message", self.seen, |line| received(&line.text)).await;
        self.seen = seen;
        received
    }

    /// All messages so far, the ones taken by `next` included.
    #[must_use]
    pub fn all(&self) -> Vec<Received> {
        self.process.lines().iter().filter_map(|line| received(&line.text)).collect()
    }
}

fn received(line: &str) -> Option<Received> {
    let mut parts = line.strip_prefix("MESSAGE\t")?.split('\t');
    Some(Received {
        topic: parts.next()?.to_owned(),
        qos: parts.next()?.parse().ok()?,
        retain: parts.next()? == "1",
        payload: hex::decode(parts.next()?).ok()?,
        properties: std::array::from_fn(|_| parts.next().unwrap_or_default().to_owned()),
    })
}
