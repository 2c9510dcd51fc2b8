//! Every command, every client and every configuration in the documentation does what it is shown for.

use std::path::Path;

use ratatosk_tests::docs::{Block, blocks, blocks_of, client_lines, pages};
use ratatosk_tests::gateway::binary;
use ratatosk_tests::process::Process;
use ratatosk_tests::tls::Certificates;
use ratatosk_tests::wait::eventually;
use ratatosk_tests::{Gateway, Mosquitto, Script, tests_dir};
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

/// The files that pages call by these names, and what they presuppose: an upstream, keys, users.
const CONFIG: &str = r#"
[auth]
anonymous = "allow"
[auth.jwt]
secret = "a secret for tests, of forty characters!"
[bayeux]
publish_key = "s3cret"
[[pusher.apps]]
id = "demo"
key = "demo-key"
secret = "demo-secret"
client_events = true
[http]
tls_listen = "127.0.0.1:0"
[mqtt]
tls_listen = "127.0.0.1:0"
[tls]
cert = "DIR/server.pem"
key = "DIR/server.key"
client_auth = "optional"
client_ca = "DIR/ca.pem"
[[upstreams]]
name = "factory"
kind = "mqtt"
url = "BROKER"
in = [{ from = "line/#", to = "factory/#" }]
"#;

/// Files that readers are told to have: configurations, and certificates by the names that [`Certificates`] gives them.
const FILES: [&str; 2] = ["ratatosk.toml", "gateway.toml"];
const CERTIFICATES: [(&str, &str); 5] = [
    ("ca.pem", "ca.crt"),
    ("server.pem", "server.crt"),
    ("server.key", "server.key"),
    ("pump-7.pem", "client.crt"),
    ("pump-7.key", "client.key"),
];

/// What a reader has around: a gateway on the default ports (here: others), a broker on 1884, the binary on the path, and
/// the repository as the working directory.
struct Desk {
    gateway: Gateway,
    broker: Mosquitto,
    directory: TempDir,
    ports: Vec<(String, String)>,
}

impl Desk {
    async fn new() -> Self {
        let broker = Mosquitto::start().await;
        let directory = TempDir::new().expect("a directory");
        let certificates = Certificates::new();
        for (name, made) in CERTIFICATES {
            std::fs::copy(certificates.path(made), directory.path().join(name)).expect("a file to copy");
        }
        let config = CONFIG.replace("BROKER", &broker.url()).replace("DIR", &directory.path().display().to_string());
        for name in FILES {
            std::fs::write(directory.path().join(name), &config).expect("a file to write");
        }
        for entry in std::fs::read_dir(tests_dir().join("..")).expect("the repository") {
            let path = entry.expect("an entry").path().canonicalize().expect("a path");
            let name = path.file_name().expect("a name");
            if name != "target" && !directory.path().join(name).exists() {
                std::os::unix::fs::symlink(&path, directory.path().join(name)).expect("a link");
            }
        }
        std::fs::create_dir(directory.path().join(".bin")).expect("a directory");
        std::os::unix::fs::symlink(binary(), directory.path().join(".bin/ratatosk")).expect("a link");
        let file = directory.path().join(FILES[0]).display().to_string();
        let gateway = Gateway::setup().arguments(&["demo", "--config", &file]).start().await;
        let mqtt = gateway.mqtt().await;
        let mut ports = vec![
            ("mosquitto_pub ".to_owned(), format!("mosquitto_pub -p {} ", mqtt.port())),
            ("mosquitto_sub ".to_owned(), format!("mosquitto_sub -p {} ", mqtt.port())),
            ("curl ".to_owned(), "curl --fail-with-body ".to_owned()),
            ("target/release/ratatosk ".to_owned(), "ratatosk ".to_owned()),
            (
                "-h mqtt.example.org -p 8883".to_owned(),
                format!("-h localhost -p {}", gateway.listener("mqtts").await.port()),
            ),
            ("mqtt.example.org:8443".to_owned(), format!("localhost:{}", gateway.listener("https").await.port())),
        ];
        for key in ["wsPort: ", "port: '"] {
            ports.push((format!("{key}8080"), format!("{key}{}", gateway.http.port())));
        }
        for host in ["127.0.0.1", "localhost"] {
            ports.extend([
                (format!("{host}:8080"), gateway.http.to_string()),
                (format!("{host}:8081"), gateway.admin.to_string()),
                (format!("{host}:1883"), mqtt.to_string()),
                (format!("{host}:1884"), format!("127.0.0.1:{}", broker.port)),
            ]);
        }
        Self { gateway, broker, directory, ports }
    }

    /// A text with the ports of this desk in the place of the defaults.
    fn here(&self, text: &str) -> String {
        self.ports.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
    }

    fn start(&self, line: &str) -> Process {
        let mut command = Command::new("bash");
        let path = std::env::var("PATH").unwrap_or_default();
        let bin = self.directory.path().join(".bin");
        command.args(["-c", &self.here(line)]).current_dir(self.directory.path());
        command.env("PATH", format!("{}:{path}", bin.display()));
        for listener in ["HTTP", "MQTT", "ADMIN"] {
            command.env(format!("RATATOSK__{listener}__LISTEN"), "127.0.0.1:0");
        }
        Process::spawn(line, command)
    }

    /// Publishes what everybody who follows anything is waiting for.
    async fn stir(&self) {
        self.gateway.publish("sensors/kitchen/temp", r#"{"c":21.5}"#).await;
        self.gateway.publish("sensors/kitchen", "on").await;
        drop(self.gateway.sse(&[("channel", "a/newcomer")]).await);
    }
}

/// What a command is, by which a test knows how to tell that it works.
#[derive(Debug, PartialEq, Eq)]
enum Sort {
    /// A target of the Makefile: it must exist.
    Make,
    /// A gateway that goes on until it is told to stop.
    Serve,
    /// Prints what comes until it is told to stop.
    Follow,
    /// Ends by itself, with status 0.
    Once,
}

impl Sort {
    fn of(line: &str) -> Self {
        let begins = |words: &[&str]| words.iter().any(|word| line.starts_with(word));
        if begins(&["make "]) {
            Self::Make
        } else if begins(&["ratatosk serve", "ratatosk bridge", "ratatosk demo"]) {
            Self::Serve
        } else if begins(&["ratatosk sub", "curl -N", "curl -sN", "mosquitto_sub"]) && !line.contains("--count") {
            Self::Follow
        } else {
            Self::Once
        }
    }
}

/// A shell in front of a program: `exec` lets signals reach the program itself.
fn alone(line: &str) -> String {
    format!("exec {line}")
}

async fn run(desk: &Desk, following: &mut Vec<Process>, line: &str) {
    match Sort::of(line) {
        Sort::Make => {
            let mut process = desk.start(&line.replacen("make", "make --dry-run", 1));
            assert!(process.exit().await.success(), "{line}");
        }
        Sort::Serve => {
            let mut process = desk.start(&alone(line));
            process.find_line("readiness", 0, |line| line.text.contains("ready").then_some(())).await;
            process.signal(Signal::INT);
            assert!(process.exit().await.success(), "{line}");
        }
        Sort::Follow => following.push(desk.start(&alone(line))),
        Sort::Once => {
            let mut process = desk.start(line);
            assert!(process.exit().await.success(), "{line}");
        }
    }
}

#[tokio::test]
async fn every_command_works() {
    let mut run_in_all = 0;
    for page in pages() {
        let sh: Vec<Block> = blocks_of(&page).into_iter().filter(|block| block.language == "sh").collect();
        if sh.is_empty() {
            continue;
        }
        let (desk, mut following) = (Desk::new().await, Vec::new());
        for block in sh {
            for line in block.commands() {
                match &block.not_run {
                    Some(reason) => println!("{}:{}: not run ({reason}): {line}", block.page, block.line),
                    None => {
                        println!("{}:{}: {line}", block.page, block.line);
                        run(&desk, &mut following, &line).await;
                        run_in_all += 1;
                    }
                }
            }
        }
        for process in &following {
            eventually("something to be shown", async || {
                desk.stir().await;
                process.lines().iter().any(|line| line.stdout && !line.text.starts_with(':')).then_some(())
            })
            .await;
        }
        drop(desk.broker);
    }
    assert!(run_in_all >= 25, "{run_in_all}");
}

#[tokio::test]
async fn every_client_line_works() {
    let desk = Desk::new().await;
    let mut snippets = Vec::new();
    for (client, code) in client_lines() {
        snippets.push(json!({ "name": format!("README: {client}"), "code": desk.here(&code) }));
    }
    assert_eq!(snippets.len(), 4, "the README has a line for each client");
    for block in blocks("js").into_iter().filter(|block| block.not_run.is_none()) {
        let name = format!("{}:{}", block.page, block.line);
        snippets.push(json!({ "name": name, "code": desk.here(&block.text) }));
    }
    assert!(snippets.len() >= 9, "{snippets:?}");
    // Two clients of one protocol: each has the process to itself.
    let (faye, others): (Vec<Value>, Vec<Value>) =
        snippets.into_iter().partition(|snippet| snippet["code"].to_string().contains("Faye"));
    for snippets in [faye, others] {
        all_show_something(&desk, &snippets).await;
    }
}

async fn all_show_something(desk: &Desk, snippets: &[Value]) {
    let mut script = Script::node("doc-snippets.mjs", &json!({ "snippets": snippets }));
    for snippet in snippets {
        assert_eq!(script.expect("evaluated").await["name"], snippet["name"]);
    }
    for snippet in snippets {
        eventually(&snippet["name"], async || {
            desk.stir().await;
            script.all("logged").iter().any(|logged| logged["name"] == snippet["name"]).then_some(())
        })
        .await;
        println!("{} shows something", snippet["name"]);
    }
    script.finish().await;
}

/// What may be wrong with a part of a configuration that is shown alone.
const ELSEWHERE: [&str; 2] = ["cannot read /etc/ratatosk/", "there is no [auth]"];

/// Every configuration is one that `check` takes, but for files and users that are the reader's.
#[test]
fn every_configuration_is_taken() {
    let directory = TempDir::new().expect("a directory");
    let taken = |block: &Block| {
        let file = directory.path().join("docs.toml");
        std::fs::write(&file, &block.text).expect("a file to write");
        check(&file).err()
    };
    let toml = blocks("toml");
    assert!(toml.len() >= 10, "{}", toml.len());
    let faults: Vec<String> = toml
        .iter()
        .filter(|block| block.not_run.is_none())
        .filter_map(|block| Some(format!("{}:{}:\n{}", block.page, block.line, taken(block)?)))
        .collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

fn check(file: &Path) -> Result<(), String> {
    let mut command = std::process::Command::new(binary());
    command.args(["check", "--config"]).arg(file).env("RATATOSK_ADMIN_TOKEN", "a-token");
    for secret in ["CRM_SECRET", "PUSHER_SECRET", "FEED_TOKEN", "OTLP_AUTHORIZATION", "OPS_WEBHOOK_SECRET", "OPS_TOKEN"]
    {
        command.env(secret, "a secret of some length for tests");
    }
    let output = command.output().expect("the binary");
    let faults = String::from_utf8_lossy(&output.stderr).into_owned();
    let ours = faults.lines().filter(|fault| !ELSEWHERE.iter().any(|known| fault.contains(known))).count();
    assert!(output.status.success() || !faults.is_empty());
    if ours == 0 { Ok(()) } else { Err(faults) }
}

/// The names by which the headings of a page can be linked to, as GitHub makes them.
fn anchors(page: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(page).unwrap_or_else(|error| panic!("{}: {error}", page.display()));
    let headings = text.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    let anchor = |heading: &str| -> String {
        let kept = heading.chars().filter(|char| char.is_alphanumeric() || matches!(char, ' ' | '-' | '_'));
        kept.flat_map(char::to_lowercase).map(|char| if char == ' ' { '-' } else { char }).collect()
    };
    headings.map(anchor).collect()
}

/// A link to a page, a heading or a file of the repository leads somewhere.
#[test]
fn every_link_leads_somewhere() {
    let (mut followed, mut broken) = (0, Vec::new());
    for page in pages() {
        let text = std::fs::read_to_string(&page).expect("a page");
        let sources = text.split("src=\"").skip(1).chain(text.split("srcset=\"").skip(1));
        let images = sources.filter_map(|rest| rest.split('"').next());
        let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for target in
            links.chain(images).filter(|target| !target.contains("://") && !target.contains(char::is_whitespace))
        {
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let path = if file.is_empty() { page.clone() } else { page.parent().expect("a directory").join(file) };
            let leads = path.exists() && (anchor.is_empty() || anchors(&path).iter().any(|known| known == anchor));
            if !leads {
                broken.push(format!("{} links to {target}", page.display()));
            }
            followed += 1;
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
    assert!(followed > 40, "{followed}");
}
