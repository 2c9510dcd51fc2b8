//! Stock clients in their own language. A script gets one JSON argument, writes one JSON object per line on standard output
//! (`{"event": NAME, ...}`), and reads commands the same way from standard input.

use std::collections::HashMap;

use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::process::{ChildStdin, Command};

use crate::process::{Line, Process};
use crate::tests_dir;

/// A running script; killed when dropped.
pub struct Script {
    /// The process, for its log and for signals.
    pub process: Process,
    stdin: Option<ChildStdin>,
    /// How far each event's name has been read.
    seen: HashMap<String, usize>,
}

impl Script {
    /// Runs `tests/js/{name}` with Node.
    #[must_use]
    pub fn node(name: &str, argument: &Value) -> Self {
        let mut command = Command::new("node");
        command.arg(tests_dir().join("js").join(name));
        Self::spawn(name, command, argument)
    }

    /// Runs `tests/python/{name}` in the virtual environment that `tests/setup.sh` makes.
    #[must_use]
    pub fn python(name: &str, argument: &Value) -> Self {
        let mut command = Command::new(tests_dir().join(".deps/venv/bin/python"));
        command.arg("-u").arg(tests_dir().join("python").join(name));
        Self::spawn(name, command, argument)
    }

    fn spawn(name: &str, mut command: Command, argument: &Value) -> Self {
        command.arg(argument.to_string());
        let mut process = Process::spawn(name, command);
        let stdin = Some(process.take_stdin());
        Self { process, stdin, seen: HashMap::new() }
    }

    /// Waits for the next event of that name. Events of other names keep their place: each name is a queue of its own.
    ///
    /// # Panics
    /// When the script reports an error or ends first.
    pub async fn expect(&mut self, event: &str) -> Value {
        let pick = |line: &Line| {
            let value: Value = serde_json::from_str(&line.text).ok().filter(|_| line.stdout)?;
            assert!(event == "error" || value["event"] != "error", "the script reports {value}");
            (value["event"] == event).then_some(value)
        };
        let from = self.seen.get(event).copied().unwrap_or(0);
        let (value, next) = self.process.find_line(&format!("the event {event:?}"), from, pick).await;
        self.seen.insert(event.to_owned(), next);
        value
    }

    /// All events of that name so far.
    #[must_use]
    pub fn all(&self, event: &str) -> Vec<Value> {
        let lines = self.process.lines();
        let values =
            lines.iter().filter(|line| line.stdout).filter_map(|line| serde_json::from_str::<Value>(&line.text).ok());
        values.filter(|value| value["event"] == event).collect()
    }

    /// Sends a command.
    ///
    /// # Panics
    /// When the script no longer reads.
    pub async fn send(&mut self, command: &Value) {
        let stdin = self.stdin.as_mut().expect("its input is open");
        stdin.write_all(format!("{command}\n").as_bytes()).await.expect("the script reads");
        stdin.flush().await.expect("the script reads");
    }

    /// Sends a command and waits for the event it is answered with.
    pub async fn ask(&mut self, command: &Value, answer: &str) -> Value {
        self.send(command).await;
        self.expect(answer).await
    }

    /// Closes its input and waits for a clean end.
    ///
    /// # Panics
    /// When it fails.
    pub async fn finish(mut self) {
        self.stdin = None;
        let status = self.process.exit().await;
        assert!(status.success(), "the script failed: {status}");
    }
}
