//! Dashboards, alerts and docs name only what a live scrape shows, and show something under load.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;

use ratatosk_tests::bayeux::{Bayeux, NODE};
use ratatosk_tests::gateway::binary;
use ratatosk_tests::metrics::Scrape;
use ratatosk_tests::mosquitto::{Subscriber, publish};
use ratatosk_tests::prometheus::Prometheus;
use ratatosk_tests::pusher::{self, Pusher, Sdk};
use ratatosk_tests::tls::Certificates;
use ratatosk_tests::wait::{PATIENCE, eventually};
use ratatosk_tests::{Gateway, Mosquitto, tests_dir};
use serde_json::{Value, json};

/// Expressions that show nothing in a gateway that is well and young, and why. `deploy/prometheus/tests.yml` shows that
/// each of them can.
const QUIET: &[(&str, &str)] = &[
    ("RatatoskGone", "the gateway is there"),
    ("RatatoskReconnectStorm", "what is usual is taken from ten minutes ago"),
];

fn deploy(path: &str) -> PathBuf {
    tests_dir().join("../deploy").join(path)
}

/// A gateway under load of all four protocols, with an upstream and a certificate.
struct Load {
    gateway: Gateway,
    broker: Mosquitto,
    bayeux: Bayeux,
    pusher: Pusher,
    sdk: Sdk,
    old: Subscriber,
    new: Subscriber,
    _certificates: Certificates,
}

impl Load {
    async fn start() -> Self {
        let broker = Mosquitto::start().await;
        let certificates = Certificates::new();
        let config = format!(
            "[http]\ntls_listen = \"127.0.0.1:0\"\n[tls]\ncert = \"{}\"\nkey = \"{}\"\n[[upstreams]]\nname = \"factory\"\nkind = \"mqtt\"\nurl = \"{}\"\nkeep_alive = \"5s\"\nin = [{{ from = \"sensors/#\", to = \"load/#\" }}]\nout = [{{ from = \"commands/#\" }}]\n",
            certificates.text("server.crt"),
            certificates.text("server.key"),
            broker.url()
        );
        let gateway = Gateway::with(&config).await;
        gateway.metric("ratatosk_upstream_up", &[], |up| up > 0.5).await;
        let port = gateway.mqtt().await.port();
        let kind = NODE[1];
        let mut bayeux = Bayeux::connect(kind, &gateway.url("/bayeux")).await;
        bayeux.subscribe("/load/**").await;
        let mut pusher = Pusher::connect(pusher::Kind::Node, &gateway, "someone").await;
        pusher.subscribe("load.x").await;
        let sdk = Sdk::npm(&gateway).await;
        let old = Subscriber::start(port, "load/#", &["-V", "mqttv311"]).await;
        let new = Subscriber::start(port, "load/#", &["-V", "mqttv5"]).await;
        Self { gateway, broker, bayeux, pusher, sdk, old, new, _certificates: certificates }
    }

    /// One message by each door, seen by each kind of subscriber; clients that come, resume and go.
    async fn round(&mut self) {
        let port = self.gateway.mqtt().await.port();
        let mut stream = self.gateway.sse(&[("channel", "load/#")]).await;
        let id = self.gateway.publish("load/x", "http").await;
        stream.message().await;
        let properties = ["-V", "mqttv5", "-D", "publish", "user-property", "colour", "red"];
        publish(port, "load/x", "mqtt", &properties).await;
        self.bayeux.publish("/load/x", json!("bayeux")).await;
        self.sdk.trigger("load.x", "greeting", json!({ "by": "pusher" })).await;
        self.broker.publish("sensors/x", "upstream", &[]).await;
        self.gateway.publish("commands/x", "upstream").await;
        for _ in 0..4 {
            stream.message().await;
        }
        for _ in 0..5 {
            self.new.next().await;
            self.old.next().await;
            self.bayeux.message().await;
            self.pusher.event().await;
        }
        drop(self.gateway.sse(&[("channel", "load/#"), ("last_event_id", &id)]).await);
    }
}

/// The panels of a dashboard: title and expression, its variables filled in as "All".
fn panels(file: &str) -> Vec<(String, String)> {
    let text = std::fs::read_to_string(deploy(&format!("grafana/{file}"))).expect("a dashboard");
    let board: Value = serde_json::from_str(&text).expect("JSON");
    let mut found = Vec::new();
    for panel in board["panels"].as_array().expect("panels") {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let mut expression = target["expr"].as_str().expect("an expression").replace("$__rate_interval", "1m");
            for variable in ["instance", "connector", "upstream"] {
                expression = expression.replace(&format!("${variable}"), ".*");
            }
            assert!(!expression.contains('$'), "{expression}");
            found.push((format!("{file}: {}", panel["title"].as_str().expect("a title")), expression));
        }
    }
    assert!(found.len() > 10, "{file} has {} expressions", found.len());
    found
}

/// An alert without its comparison: what it looks at, which must be there also while all is well.
fn looked_at(expression: &str) -> &str {
    let at = [" > ", " < "].iter().filter_map(|sign| expression.rfind(sign)).max();
    at.and_then(|at| expression.get(..at)).unwrap_or_else(|| panic!("{expression} compares nothing"))
}

#[tokio::test]
async fn every_panel_and_every_alert_shows_something_under_load() {
    let mut load = Load::start().await;
    load.round().await;
    let prometheus = Prometheus::start(load.gateway.admin).await;
    let mut expressions: Vec<(String, String)> =
        ["overview.json", "connector.json", "upstreams.json"].iter().flat_map(|file| panels(file)).collect();
    let rules = prometheus.rules().await;
    assert!(rules.iter().filter(|rule| rule.alert).count() >= 12, "{rules:?}");
    for rule in rules {
        let expression = if rule.alert { looked_at(&rule.expression).to_owned() } else { rule.name.clone() };
        expressions.push((rule.name, expression));
    }
    let mut shown: BTreeMap<usize, usize> = BTreeMap::new();
    let quiet = |title: &str| QUIET.iter().any(|(name, _)| *name == title);
    let wanted: BTreeSet<usize> =
        expressions.iter().enumerate().filter(|(_, (title, _))| !quiet(title)).map(|(index, _)| index).collect();
    // A rate needs two scrapes with load between them.
    let mut missing: Vec<&(String, String)> = Vec::new();
    let deadline = tokio::time::Instant::now() + 2 * PATIENCE;
    while !wanted.iter().all(|index| shown.contains_key(index)) {
        assert!(tokio::time::Instant::now() < deadline, "these show nothing under load: {missing:#?}");
        load.round().await;
        for (index, (_, expression)) in expressions.iter().enumerate() {
            let series = prometheus.query(expression).await.len();
            if series > 0 {
                shown.insert(index, series);
            }
        }
        missing = wanted.iter().filter(|index| !shown.contains_key(index)).map(|index| &expressions[*index]).collect();
    }
    println!("| panel or rule | expression | series |\n| --- | --- | --- |");
    for (index, (title, expression)) in expressions.iter().enumerate() {
        let series = shown.get(&index).map_or_else(|| "quiet".to_owned(), ToString::to_string);
        println!("| {title} | `{expression}` | {series} |");
    }
    let firing = prometheus.query("ALERTS{alertstate=\"firing\", alertname!=\"RatatoskCertificateEnds\"}").await;
    assert!(firing.is_empty(), "nothing is wrong, and yet: {firing:?}");
    // The test's certificate lasts two days.
    eventually("the alert about a certificate that ends soon", async || {
        (!prometheus.query("ALERTS{alertname=\"RatatoskCertificateEnds\"}").await.is_empty()).then_some(())
    })
    .await;
    every_name_exists(&load.gateway.metrics().await);
}

/// Every metric that is named anywhere is one that the scrape declares, and every one in the scrape is in the reference.
fn every_name_exists(scrape: &Scrape) {
    let mut files: Vec<PathBuf> = vec![tests_dir().join("../README.md")];
    for directory in ["../deploy/grafana", "../deploy/prometheus", "../docs", "../docs/protocols"] {
        let entries = std::fs::read_dir(tests_dir().join(directory)).expect("a directory");
        files.extend(entries.map(|entry| entry.expect("an entry").path()).filter(|path| path.is_file()));
    }
    let mut checked = 0;
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        for name in names(&text) {
            let base = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix));
            let known = scrape.declares(&name) || base.is_some_and(|base| scrape.declares(base));
            assert!(known, "{} names {name}, which no scrape has", file.display());
            checked += 1;
        }
    }
    assert!(checked > 100, "{checked}");
    let reference = std::fs::read_to_string(tests_dir().join("../docs/metrics.md")).expect("the reference");
    for line in scrape.text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let name = line.split(' ').next().unwrap_or_default();
        assert!(reference.contains(&format!("`{name}`")), "docs/metrics.md lacks {name}");
    }
}

/// Words that look like metrics. `ratatosk_mqtt` and the like are crates, `ratatosk_token` is a cookie.
fn names(text: &str) -> BTreeSet<String> {
    const OTHERS: &[&str] =
        &["token", "admin", "bayeux", "bench", "connector", "core", "metrics", "mqtt", "pusher", "sse", "tests"];
    let words = text.split(|char: char| !(char.is_ascii_alphanumeric() || char == '_'));
    words
        .filter(|word| {
            let ours = word.strip_prefix("ratatosk_").is_some_and(|rest| !rest.is_empty() && !OTHERS.contains(&rest));
            ours || word.starts_with("process_") && word.len() > "process_".len()
        })
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_rules_pass_their_unit_tests() {
    let run = |arguments: &[&str]| {
        let output = Command::new("promtool").args(arguments).current_dir(deploy("prometheus")).output();
        let output = output.expect("promtool is installed (tests/setup.sh)");
        println!("{}", String::from_utf8_lossy(&output.stdout));
        assert!(output.status.success(), "promtool {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    };
    run(&["check", "rules", "rules.yml", "alerts.yml"]);
    run(&["test", "rules", "tests.yml"]);
    let tests = std::fs::read_to_string(deploy("prometheus/tests.yml")).expect("the tests");
    let alerts = std::fs::read_to_string(deploy("prometheus/alerts.yml")).expect("the alerts");
    for name in alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")) {
        assert!(tests.contains(name), "no unit test names {name}");
    }
}

#[test]
fn the_binary_prints_what_is_deployed() {
    let run = |arguments: &[&str]| {
        let output = Command::new(binary()).arg("dashboards").args(arguments).output().expect("the binary");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    };
    let list = run(&[]);
    assert_eq!(list.lines().count(), 5, "{list}");
    let directory = tempfile::TempDir::new().expect("a temporary directory");
    run(&["--write", directory.path().to_str().expect("a path")]);
    for name in list.lines() {
        let folder = if name.ends_with(".json") { "grafana" } else { "prometheus" };
        let deployed = std::fs::read_to_string(deploy(&format!("{folder}/{name}"))).expect("a file");
        assert_eq!(run(&[name]), deployed);
        assert_eq!(std::fs::read_to_string(directory.path().join(name)).expect("a file"), deployed);
    }
}
