//! soketi: a Pusher server that is not ours.

use std::net::SocketAddr;

use serde_json::{Value, json};
use tokio::process::Command;

use crate::ports::free_port;
use crate::process::Process;

/// A server on a port of its own; killed when dropped.
pub struct Soketi {
    /// Its port on 127.0.0.1.
    pub port: u16,
    process: Option<Process>,
}

impl Soketi {
    /// A server with its default application, which may send client events.
    pub async fn start() -> Self {
        let mut server = Self { port: free_port(), process: None };
        server.start_again().await;
        server
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// The default application, as the options of a client.
    #[must_use]
    pub fn application(user: &str) -> Value {
        json!({"appId": "app-id", "key": "app-key", "secret": "app-secret", "userId": user})
    }

    /// Starts it on the port it had.
    pub async fn start_again(&mut self) {
        let mut command = Command::new("node");
        command
            .arg(crate::tests_dir().join("soketi/node_modules/@soketi/soketi/bin/server.js"))
            .arg("start")
            .env("SOKETI_HOST", "127.0.0.1")
            .env("SOKETI_PORT", self.port.to_string())
            .env("SOKETI_METRICS_SERVER_PORT", free_port().to_string())
            .env("SOKETI_DEFAULT_APP_ENABLE_CLIENT_MESSAGES", "true");
        let process = Process::spawn("soketi", command);
        process.wait_for("Server is up and running").await;
        self.process = Some(process);
    }

    /// Kills it as a power cut would.
    pub async fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().await;
        }
    }
}
