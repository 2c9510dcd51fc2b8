//! One-shot commands of the binary under test: `ratatosk sub`, `ratatosk pub` and their like.

use std::process::ExitStatus;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::gateway::binary;
use crate::process::Process;

/// A command at work; killed when dropped.
pub struct Ran {
    /// The process, for its output and for signals.
    pub process: Process,
}

impl Ran {
    /// Runs `ratatosk` with these arguments, without the environment's own settings for it.
    #[must_use]
    pub fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(binary());
        command.args(arguments);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("RATATOSK") {
                command.env_remove(name);
            }
        }
        Self { process: Process::spawn(format!("ratatosk {}", arguments.join(" ")), command) }
    }

    /// Writes to its standard input and closes it.
    ///
    /// # Panics
    /// When it no longer reads.
    #[must_use]
    pub async fn input(mut self, bytes: &[u8]) -> Self {
        let mut stdin = self.process.take_stdin();
        stdin.write_all(bytes).await.expect("it reads");
        drop(stdin);
        self
    }

    /// Waits for its end.
    pub async fn end(&mut self) -> ExitStatus {
        self.process.exit().await
    }

    /// Waits for its end and requires that status.
    ///
    /// # Panics
    /// When it is another.
    pub async fn ends_with(mut self, code: i32) -> Self {
        let status = self.end().await;
        assert_eq!(status.code(), Some(code), "{}{}", self.stdout(), self.stderr());
        self
    }

    /// What it wrote on standard output so far.
    #[must_use]
    pub fn stdout(&self) -> String {
        self.text(true)
    }

    /// What it wrote on standard error so far.
    #[must_use]
    pub fn stderr(&self) -> String {
        self.text(false)
    }

    fn text(&self, stdout: bool) -> String {
        let lines = self.process.lines();
        lines.iter().filter(|line| line.stdout == stdout).map(|line| format!("{}\n", line.text)).collect()
    }
}
