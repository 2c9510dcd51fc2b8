//! A child process whose output is collected line by line, so that a test can wait for a line, and sees all of them when it fails.

use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::watch;

use crate::wait::within;

/// One line a process wrote, and on which of its two outputs.
#[derive(Clone, Debug)]
pub struct Line {
    /// Whether it came on standard output (otherwise standard error).
    pub stdout: bool,
    /// The line without its end; bytes that are not UTF-8 are replaced.
    pub text: String,
}

struct Output {
    lines: Mutex<Vec<Line>>,
    /// Counts lines; two readers hold it, and it closes when both outputs have ended.
    count: watch::Receiver<usize>,
}

/// A running program. Killed (by its own pid) when dropped; its output is printed when the test is failing.
pub struct Process {
    name: String,
    child: Child,
    output: Arc<Output>,
}

impl Process {
    /// Starts `command` with its outputs collected and its input open if `stdin` is set.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn spawn(name: impl Into<String>, mut command: Command) -> Self {
        let name = name.into();
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {name}: {error} (has tests/setup.sh been run?)"));
        let (counter, count) = watch::channel(0);
        let output = Arc::new(Output { lines: Mutex::default(), count });
        let stdout = child.stdout.take().expect("piped");
        let stderr = child.stderr.take().expect("piped");
        tokio::spawn(collect(stdout, true, Arc::clone(&output), counter.clone()));
        tokio::spawn(collect(stderr, false, Arc::clone(&output), counter));
        Self { name, child, output }
    }

    /// The child's standard input. Dropping it tells the child that nothing more comes.
    ///
    /// # Panics
    /// When it was taken before.
    pub fn take_stdin(&mut self) -> ChildStdin {
        self.child.stdin.take().expect("standard input is taken once")
    }

    /// Everything written so far.
    ///
    /// # Panics
    /// When a reader panicked.
    #[must_use]
    pub fn lines(&self) -> Vec<Line> {
        self.output.lines.lock().expect("no reader panics").clone()
    }

    /// The first answer `pick` gives for a line from line number `from` on, with the number of the line after it.
    ///
    /// # Panics
    /// When the process ends or time is up before there is such a line.
    pub async fn find_line<T>(
        &self,
        what: &str,
        mut from: usize,
        mut pick: impl FnMut(&Line) -> Option<T>,
    ) -> (T, usize) {
        let mut count = self.output.count.clone();
        within(format!("{what} from {}", self.name), async {
            loop {
                let ended = count.has_changed().is_err();
                let fresh: Vec<Line> =
                    self.output.lines.lock().expect("no reader panics").iter().skip(from).cloned().collect();
                for line in fresh {
                    from += 1;
                    if let Some(found) = pick(&line) {
                        return (found, from);
                    }
                }
                assert!(!ended, "{} ended while waiting for {what}", self.name);
                // An error means that both outputs ended: one more look above, then the assertion speaks.
                let _ = count.changed().await;
            }
        })
        .await
    }

    /// Waits for a line that contains `text`.
    ///
    /// # Panics
    /// As [`Process::find_line`].
    pub async fn wait_for(&self, text: &str) -> String {
        self.find_line(text, 0, |line| line.text.contains(text).then(|| line.text.clone())).await.0
    }

    /// The pid, while the process runs.
    ///
    /// # Panics
    /// When it has been waited for.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id().expect("the process has not been waited for")
    }

    /// Sends a signal to this process alone.
    ///
    /// # Panics
    /// When the process is gone.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.pid()).expect("a pid")).expect("not zero");
        kill_process(pid, signal).unwrap_or_else(|error| panic!("cannot signal {}: {error}", self.name));
    }

    /// Waits for the end, and until all it wrote has been collected.
    ///
    /// # Panics
    /// When it does not come in time.
    pub async fn exit(&mut self) -> ExitStatus {
        let Self { name, child, output } = self;
        let status = within(format!("the end of {name}"), child.wait()).await.expect("a child can be waited for");
        let mut count = output.count.clone();
        within(format!("the end of what {name} writes"), async { while count.changed().await.is_ok() {} }).await;
        status
    }

    /// Kills it at once (SIGKILL) and waits until it is gone.
    pub async fn kill(&mut self) {
        let _ = self.child.start_kill();
        self.exit().await;
    }

    /// Whether it has not ended yet.
    ///
    /// # Panics
    /// When its state cannot be asked for.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("a child can be asked").is_none()
    }
}

async fn collect(from: impl AsyncRead + Unpin, stdout: bool, output: Arc<Output>, counter: watch::Sender<usize>) {
    let mut reader = BufReader::new(from);
    let mut bytes = Vec::new();
    while let Ok(1..) = reader.read_until(b'\n', &mut bytes).await {
        let text = String::from_utf8_lossy(&bytes).trim_end_matches(['\n', '\r']).to_owned();
        bytes.clear();
        output.lines.lock().expect("no reader panics").push(Line { stdout, text });
        counter.send_modify(|count| *count += 1);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        const SHOWN: usize = 80;
        if std::thread::panicking() {
            let lines = self.output.lines.lock().map(|lines| lines.clone()).unwrap_or_default();
            eprintln!("--- the last lines of {}:", self.name);
            for line in lines.iter().skip(lines.len().saturating_sub(SHOWN)) {
                let text: String = line.text.chars().take(600).collect();
                eprintln!("{} {text}", if line.stdout { "|" } else { "!" });
            }
        }
    }
}
