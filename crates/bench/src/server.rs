//! The server under test and the floor, as processes of their own.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use url::Url;

use crate::args::{BenchArgs, Peer};
use crate::cores::Cores;
use crate::meter::Processes;
use crate::peer;

/// A server to be measured.
pub(crate) struct Server {
    pub(crate) http: SocketAddr,
    pub(crate) mqtt: SocketAddr,
    /// For CPU and memory; `None` for a running server without `--pid`.
    pub(crate) processes: Option<Processes>,
    started: Option<Started>,
}

struct Started {
    child: Child,
    /// Configuration and log of the server.
    home: TempDir,
    admin: SocketAddr,
}

impl Server {
    /// Attaches to or starts what the arguments ask for.
    pub(crate) fn from_args(args: &BenchArgs, cores: Cores) -> Result<Self> {
        if args.url.is_empty() {
            Self::start(args, cores, [free()?, free()?, free()?])
        } else {
            Self::attach(args, cores)
        }
    }

    fn attach(args: &BenchArgs, cores: Cores) -> Result<Self> {
        let find = |schemes: [&str; 2], port| {
            let url = args.url.iter().find(|url| schemes.contains(&url.scheme()));
            url.map_or(Ok(SocketAddr::from(([127, 0, 0, 1], port))), |url| resolve(url, port))
        };
        let processes = args.pid.map(Processes::of);
        if let Some(processes) = &processes {
            cores.adopt(&processes.threads())?;
        }
        Ok(Self { http: find(["http", "ws"], 8080)?, mqtt: find(["mqtt", "tcp"], 1883)?, processes, started: None })
    }

    fn start(args: &BenchArgs, cores: Cores, addresses: [SocketAddr; 3]) -> Result<Self> {
        let [http, mqtt, admin] = addresses;
        let home = TempDir::new()?;
        let words = match (args.peer, &args.server_cmd) {
            (Some(Peer::Nchan), _) => peer::nchan(home.path(), http)?,
            (Some(Peer::Mosquitto), _) => peer::mosquitto(home.path(), mqtt, http)?,
            (None, Some(command)) => command
                .replace("{http}", &http.to_string())
                .replace("{mqtt}", &mqtt.to_string())
                .replace("{admin}", &admin.to_string())
                .split_whitespace()
                .map(str::to_owned)
                .collect(),
            (None, None) => own_command(args, home.path(), addresses)?,
        };
        let (program, rest) = words.split_first().context("the server command is empty")?;
        let log = File::create(home.path().join("log"))?;
        let mut command = Command::new(program);
        command.args(rest).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = cores.spawn(&mut command).with_context(|| format!("starting {program}"))?;
        let processes = Some(Processes::of(child.id()));
        Ok(Self { http, mqtt, processes, started: Some(Started { child, home, admin }) })
    }

    /// Starts the server anew at the same addresses, unless it was running already: memory that an earlier measurement
    /// left in its allocator would be taken for free.
    pub(crate) fn renew(&mut self, args: &BenchArgs, cores: Cores) -> Result<()> {
        if let Some(started) = self.started.take() {
            let addresses = [self.http, self.mqtt, started.admin];
            drop(started);
            *self = Self::start(args, cores, addresses)?;
        }
        Ok(())
    }

    /// Waits until something listens at `address`.
    pub(crate) fn await_listening(&mut self, address: SocketAddr) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let Err(error) = TcpStream::connect(address) else { return Ok(()) };
            if let Some(started) = &mut self.started
                && let Some(status) = started.child.try_wait()?
            {
                bail!("the server ended ({status}):\n{}", started.log());
            }
            if Instant::now() > deadline {
                let log = self.started.as_ref().map(Started::log).unwrap_or_default();
                bail!("nothing listens at {address}: {error}\n{log}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The processes to measure.
    pub(crate) fn processes(&self) -> Result<&Processes> {
        self.processes.as_ref().context("measuring CPU and memory of a running server needs --pid")
    }

    /// The last lines of the server's output.
    pub(crate) fn log(&self) -> String {
        self.started.as_ref().map(Started::log).unwrap_or_default()
    }
}

impl Started {
    fn log(&self) -> String {
        let text = std::fs::read(self.home.path().join("log")).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines.get(lines.len().saturating_sub(10)..).unwrap_or_default().join("\n")
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        stop(&mut self.child, Duration::from_secs(2));
    }
}

/// The floor's process.
pub(crate) struct FloorProcess {
    pub(crate) address: SocketAddr,
    pub(crate) processes: Processes,
    child: Child,
}

impl FloorProcess {
    /// Starts this program once more, as the floor, on the server's core.
    pub(crate) fn start(cores: Cores, join: bool) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["bench", "floor"]).stdin(Stdio::null()).stdout(Stdio::piped());
        if join {
            command.arg("--join");
        }
        let mut child = cores.spawn(&mut command).context("starting the floor")?;
        let mut line = String::new();
        if let Some(out) = child.stdout.take() {
            BufReader::new(out).read_line(&mut line)?;
        }
        let address = line.trim().parse().with_context(|| format!("the floor said {line:?}"))?;
        Ok(Self { address, processes: Processes::of(child.id()), child })
    }
}

impl Drop for FloorProcess {
    fn drop(&mut self) {
        stop(&mut self.child, Duration::ZERO);
    }
}

/// Asks a child to end, waits, and then makes it.
fn stop(child: &mut Child, patience: Duration) {
    if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        // An error means that it has already ended.
        let _ = kill_process(pid, Signal::TERM);
    }
    let deadline = Instant::now() + patience;
    while Instant::now() < deadline && matches!(child.try_wait(), Ok(None)) {
        std::thread::sleep(Duration::from_millis(5));
    }
    let _ = child.kill();
    let _ = child.wait();
}

/// What the server under test is given beside its defaults: a Pusher app that does not limit client events, because
/// ten per second are nothing to measure, and as many Bayeux handshakes as come.
const CONFIG: &str = "[bayeux.limits]\nhandshakes_per_second = 1000000\n[[pusher.apps]]\nid = \"demo\"\nkey = \"demo-key\"\nsecret = \"demo-secret\"\n\
    client_events = true\nlimits = { client_events_per_second = 0 }\n";

/// This program as a gateway.
fn own_command(args: &BenchArgs, home: &Path, [http, mqtt, admin]: [SocketAddr; 3]) -> Result<Vec<String>> {
    let config = home.join("bench.toml");
    let judging = args.rules.map(crate::access::config).unwrap_or_default();
    std::fs::write(&config, format!("{CONFIG}{judging}"))?;
    let own = std::env::current_exe()?.to_string_lossy().into_owned();
    let mut words = vec![own, "serve".to_owned(), "--config".to_owned(), config.to_string_lossy().into_owned()];
    let mut set = |pair: String| words.extend(["--set".to_owned(), pair]);
    set(format!("http.listen={http}"));
    set(format!("mqtt.listen={mqtt}"));
    set(format!("admin.listen={admin}"));
    for pair in &args.set {
        set(pair.clone());
    }
    Ok(words)
}

/// A loopback address that was free a moment ago.
fn free() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

fn resolve(url: &Url, port: u16) -> Result<SocketAddr> {
    let host = url.host_str().with_context(|| format!("{url} has no host"))?;
    let mut addresses = (host, url.port().unwrap_or(port)).to_socket_addrs()?;
    addresses.next().with_context(|| format!("{host} has no address"))
}
