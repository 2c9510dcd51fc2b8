//! The README's commands, as a reader pastes them: with the ports of a gateway of the test's own in the place of the defaults.

use ratatosk_tests::docs::blocks_of;
use ratatosk_tests::process::Process;
use ratatosk_tests::{Gateway, Mosquitto, tests_dir};
use tempfile::TempDir;
use tokio::process::Command;

/// The lines of every `sh` block.
fn commands() -> Vec<String> {
    let sh = blocks_of(&tests_dir().join("../README.md")).into_iter().filter(|block| block.language == "sh");
    sh.flat_map(|block| block.commands()).collect()
}

/// A shell that finds the binary under test by the name that the README has for it.
struct Shell {
    bin: TempDir,
    ports: Vec<(String, String)>,
}

impl Shell {
    async fn new(gateway: &Gateway) -> Self {
        let bin = TempDir::new().expect("a directory");
        std::os::unix::fs::symlink(ratatosk_tests::gateway::binary(), bin.path().join("ratatosk")).expect("a link");
        let mqtt = gateway.mqtt().await;
        let ports = [
            ("127.0.0.1:8080".to_owned(), gateway.http.to_string()),
            ("127.0.0.1:1883".to_owned(), mqtt.to_string()),
            ("mosquitto_pub ".to_owned(), format!("mosquitto_pub -p {} ", mqtt.port())),
        ];
        Self { bin, ports: ports.to_vec() }
    }

    fn run(&self, line: &str) -> Process {
        let line = self.ports.iter().fold(line.to_owned(), |line, (from, to)| line.replace(from, to));
        let mut command = Command::new("sh");
        let path = std::env::var("PATH").unwrap_or_default();
        command.arg("-c").arg(format!("exec {line}").replace("exec seq", "seq"));
        command.env("PATH", format!("{}:{path}", self.bin.path().display()));
        Process::spawn(line, command)
    }
}

#[tokio::test]
async fn what_it_says_to_paste_works() {
    let gateway = Gateway::setup().arguments(&["demo"]).start().await;
    let shell = Shell::new(&gateway).await;
    let besides = ["make ", "PATH=", "ratatosk bridge"];
    let commands = commands().into_iter().filter(|line| !besides.iter().any(|word| line.starts_with(word)));
    let follows = |line: &String| line.starts_with("curl -N") || line.starts_with("ratatosk sub");
    let (streams, publishers): (Vec<_>, Vec<_>) = commands.partition(follows);
    assert!(streams.len() >= 5 && publishers.len() >= 5, "{streams:?} {publishers:?}");
    let mut following = Vec::new();
    for line in &streams {
        let process = shell.run(line);
        process.wait_for(if line.starts_with("curl") { ": ratatosk" } else { "subscribed to" }).await;
        following.push(process);
    }
    for line in &publishers {
        let mut process = shell.run(line);
        assert!(process.exit().await.success(), "{line}");
    }
    for process in &following {
        for reading in ["21.5", "22.5", "23.5"] {
            process.wait_for(reading).await;
        }
    }
    for process in &following[..4] {
        process.wait_for("10000").await;
    }
}

#[tokio::test]
async fn the_bridge_brings_a_broker() {
    let broker = Mosquitto::start().await;
    let line = commands().into_iter().find(|line| line.contains("ratatosk bridge")).expect("it is in the README");
    let arguments: Vec<String> = line
        .split_whitespace()
        .skip(1)
        .map(|word| word.trim_matches('\'').replace("mqtt://127.0.0.1:1884", &broker.url()))
        .collect();
    let gateway = Gateway::setup().arguments(&arguments.iter().map(String::as_str).collect::<Vec<_>>()).start().await;
    gateway.metric("ratatosk_upstream_up", &[], |up| up > 0.5).await;
    let mut stream = gateway.sse(&[("channel", "sensors/#")]).await;
    broker.publish("sensors/kitchen/temp", "21.5", &[]).await;
    assert_eq!(stream.message().await.json["data"], 21.5);
}
