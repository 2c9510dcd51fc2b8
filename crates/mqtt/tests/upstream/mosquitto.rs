//! A real Mosquitto on a port of its own, and its command-line clients.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

pub(crate) struct Mosquitto {
    pub(crate) port: u16,
    directory: TempDir,
    child: Option<Child>,
}

impl Mosquitto {
    pub(crate) fn start() -> Self {
        Self::with("allow_anonymous true\npersistence false\n", "")
    }

    /// `lines` go to the top of the configuration, `listener` below the listener; `{dir}` is the directory of `file`s.
    pub(crate) fn with(lines: &str, listener: &str) -> Self {
        // In memory where that is possible: a killed process loses nothing there, and saving is quick.
        let directory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let mut broker = Self { port: free_port(), directory, child: None };
        let text = format!("user root\nlog_dest none\n{lines}\nlistener {} 127.0.0.1\n{listener}\n", broker.port);
        // Mosquitto 2.0.11 does not start with WebSocket listeners alone.
        let plain = listener.contains("websockets").then(|| format!("listener {} 127.0.0.1\n", free_port()));
        let text = text + &plain.unwrap_or_default();
        let text = text.replace("{dir}", broker.directory.path().to_str().unwrap());
        std::fs::write(broker.directory.path().join("mosquitto.conf"), text).unwrap();
        broker.start_again();
        broker
    }

    pub(crate) fn url(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port)
    }

    /// As after a power cut.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Asks it to write its state to its file now.
    pub(crate) fn save(&self) {
        let Some(child) = &self.child else { return };
        rustix::process::kill_process(rustix::process::Pid::from_child(child), rustix::process::Signal::USR1).unwrap();
    }

    pub(crate) fn kill_and_start_again(&mut self) {
        self.kill();
        self.start_again();
        // Served by its main loop, so its signal handlers are in place.
        self.publish(&["-t", "started", "-m", "1"]);
    }

    pub(crate) fn start_again(&mut self) {
        let mut command = Command::new(program("mosquitto"));
        command.arg("-c").arg(self.directory.path().join("mosquitto.conf")).stdout(Stdio::null()).stderr(Stdio::null());
        self.child = Some(command.spawn().unwrap());
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let start = Instant::now();
        while TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_err() {
            assert!(start.elapsed() < Duration::from_secs(30), "mosquitto does not start");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub(crate) fn publish(&self, args: &[&str]) {
        let status =
            Command::new(program("mosquitto_pub")).args(["-p", &self.port.to_string()]).args(args).status().unwrap();
        assert!(status.success());
    }

    /// `mosquitto_sub`, once it is subscribed (it has its own last value to prove it).
    pub(crate) fn subscribe(&self, args: &[&str]) -> Subscriber {
        use std::io::{BufRead, BufReader};
        let marker = format!("ready/{}", self.port);
        self.publish(&["-t", &marker, "-m", "ready", "-r"]);
        let mut command = Command::new(program("mosquitto_sub"));
        command.args(["-p", &self.port.to_string(), "-t", &marker]).args(args).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.next().unwrap().unwrap().contains("ready"));
        Subscriber { child, lines: Box::new(lines.map(|line| line.unwrap())) }
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        self.kill();
    }
}

pub(crate) struct Subscriber {
    child: Child,
    lines: Box<dyn Iterator<Item = String> + Send>,
}

impl Subscriber {
    pub(crate) async fn line(&mut self) -> String {
        let mut lines = std::mem::replace(&mut self.lines, Box::new(std::iter::empty()));
        let read = tokio::task::spawn_blocking(move || (lines.next(), lines));
        let (line, lines) = super::bench::within(read).await.unwrap();
        self.lines = lines;
        line.unwrap()
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// Debian puts the broker where a user's PATH may not lead.
fn program(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    places
        .map(|place| place.join(name))
        .find(|file| file.is_file())
        .unwrap_or_else(|| panic!("{name} is not installed"))
}
