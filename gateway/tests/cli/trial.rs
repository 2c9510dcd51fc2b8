//! The binary, tried with a configuration.

use std::{
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{Command, Output, Stdio},
};

use tempfile::TempDir;

/// A directory with a configuration, and the binary to try it with.
pub(crate) struct Trial {
    pub(crate) directory: TempDir,
    pub(crate) command: Command,
}

impl Trial {
    pub(crate) fn new(command: &str) -> Self {
        let mut trial =
            Self { directory: tempfile::tempdir().unwrap(), command: Command::new(env!("CARGO_BIN_EXE_ratatosk")) };
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("RATATOSK") {
                trial.command.env_remove(name);
            }
        }
        trial.command.arg(command).current_dir(trial.directory.path());
        trial
    }

    pub(crate) fn check(text: &str) -> Said {
        Self::new("check").file("gateway.toml", text).run()
    }

    /// Writes a file and passes it as the configuration.
    pub(crate) fn file(mut self, name: &str, text: &str) -> Self {
        self.write(name, text);
        self.command.args(["--config", name]);
        self
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    pub(crate) fn args<const N: usize>(mut self, args: [&str; N]) -> Self {
        self.command.args(args);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// Runs to the end, or ends it when it logs a line that holds `word`: it was not to come that far.
    pub(crate) fn run_unless(mut self, word: &str) -> Said {
        let mut child = self.command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let mut err = String::new();
        for line in BufReader::new(child.stderr.take().unwrap()).lines() {
            let line = line.unwrap();
            if line.contains(word) {
                child.kill().unwrap();
            }
            err.extend([line.as_str(), "\n"]);
        }
        Said { code: child.wait().unwrap().code(), out: String::new(), err }
    }

    pub(crate) fn run(mut self) -> Said {
        let Output { status, stdout, stderr } = self.command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Said { code: status.code(), out: text(stdout), err: text(stderr) }
    }
}

#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    /// Exit status 2, and one line per fault that begins so and contains that, and no other.
    pub(crate) fn faults<const N: usize>(&self, faults: [(&str, &str); N]) {
        assert_eq!(self.code, Some(2), "{self:?}");
        let lines: Vec<&str> = self.err.lines().collect();
        for (start, content) in faults {
            let hits = lines
                .iter()
                .filter(|line| line.starts_with(&format!("error: {start}: ")) && line.contains(content))
                .count();
            assert_eq!(hits, 1, "{start}: {content}\n{}", self.err);
        }
        assert_eq!(lines.len(), N, "{}", self.err);
        assert!(lines.iter().all(|line| line.contains("; ")), "every fault says what to do: {}", self.err);
    }

    pub(crate) fn prints(&self, content: &str) -> &Self {
        assert_eq!(self.code, Some(0), "{self:?}");
        assert!(self.out.contains(content), "{content}\n{}", self.out);
        self
    }
}

/// Users and rules.
pub(crate) const RULES: &str = "[auth]\n[auth.jwt]\nsecret = 'a shared secret of thirty-two bytes and more'\n[[auth.users]]\nname = 'ann'\npassword = 'plain:x'\ngroups = ['staff']\n[[auth.rules]]\nwho = { groups = ['staff'] }\nmay = ['publish', 'subscribe']\non = ['lab/#']\n[[auth.rules]]\nmay = ['subscribe']\non = ['users/{user}/#']\n";
