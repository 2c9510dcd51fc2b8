//! A real Prometheus that scrapes a gateway.

use std::net::SocketAddr;

use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

use crate::http::{self, query};
use crate::ports::free_port;
use crate::process::Process;
use crate::tests_dir;
use crate::wait::eventually;

/// A running Prometheus; killed when dropped.
pub struct Prometheus {
    _directory: TempDir,
    _process: Process,
    address: SocketAddr,
}

/// A rule of Prometheus: its name, and its expression as Prometheus writes it.
#[derive(Clone, Debug)]
pub struct Rule {
    /// The alert's or the recorded series' name.
    pub name: String,
    /// The expression.
    pub expression: String,
    /// Whether it is an alert.
    pub alert: bool,
}

impl Prometheus {
    /// Starts one with the rules of `deploy/prometheus`, evaluated every second, and waits until it has scraped.
    ///
    /// # Panics
    /// When a rule file is missing, or Prometheus does not start.
    pub async fn start(gateway: SocketAddr) -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        let deploy = tests_dir().join("../deploy/prometheus");
        for name in ["rules.yml", "alerts.yml"] {
            let rules = std::fs::read_to_string(deploy.join(name)).expect("a rule file");
            let eager = rules.replace("interval: 30s", "interval: 1s");
            std::fs::write(directory.path().join(name), eager).expect("a file to write");
        }
        let config = format!(
            "global: {{ scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s }}\nrule_files: [rules.yml, alerts.yml]\nscrape_configs:\n  - job_name: ratatosk\n    static_configs: [{{ targets: [\"{gateway}\"] }}]\n"
        );
        std::fs::write(directory.path().join("prometheus.yml"), config).expect("a file to write");
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let mut command = Command::new("prometheus");
        command.current_dir(directory.path()).args([
            "--config.file=prometheus.yml",
            "--storage.tsdb.path=data",
            &format!("--web.listen-address={address}"),
        ]);
        let process = Process::spawn("prometheus", command);
        process.wait_for("Server is ready to receive web requests").await;
        let prometheus = Self { _directory: directory, _process: process, address };
        eventually("a scrape", async || (!prometheus.query("ratatosk_build_info").await.is_empty()).then_some(()))
            .await;
        prometheus
    }

    /// The series that an expression has now.
    ///
    /// # Panics
    /// When Prometheus does not understand it.
    pub async fn query(&self, expression: &str) -> Vec<Value> {
        let answer = self.get(&format!("/api/v1/query{}", query(&[("query", expression)]))).await;
        assert_eq!(answer["status"], "success", "{expression}: {answer}");
        match &answer["data"]["result"] {
            Value::Array(series) if answer["data"]["resultType"] == "vector" => series.clone(),
            scalar => vec![scalar.clone()],
        }
    }

    /// All rules that it has loaded.
    ///
    /// # Panics
    /// When it answers something else.
    pub async fn rules(&self) -> Vec<Rule> {
        let answer = self.get("/api/v1/rules").await;
        let groups = answer["data"]["groups"].as_array().expect("groups").clone();
        let rules = groups.iter().flat_map(|group| group["rules"].as_array().cloned().unwrap_or_default());
        let text = |rule: &Value, key: &str| rule[key].as_str().unwrap_or_default().to_owned();
        rules
            .map(|rule| Rule {
                name: text(&rule, "name"),
                expression: text(&rule, "query"),
                alert: rule["type"] == "alerting",
            })
            .collect()
    }

    async fn get(&self, target: &str) -> Value {
        http::fetch(self.address, "GET", target, &[("Connection", "close")], b"").await.json()
    }
}
