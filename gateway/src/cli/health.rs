//! `ratatosk health`.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{TcpStream, ToSocketAddrs as _},
    process::ExitCode,
    time::Duration,
};

use anyhow::Context as _;
use url::Url;

/// Longer than a gateway at work ever takes.
const PATIENCE: Duration = Duration::from_secs(2);

/// Asks a gateway whether it is ready: for health checks where there is no curl. Exits with 0 if it answers 200, with 1
/// otherwise.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  ratatosk health\n  ratatosk health http://127.0.0.1:8081/healthz")]
pub(super) struct Args {
    /// What to ask
    #[arg(value_name = "URL", default_value = "http://127.0.0.1:8081/readyz")]
    url: Url,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    anyhow::ensure!(args.url.scheme() == "http", "the admin listener speaks http://");
    let host = args.url.host_str().context("the URL has no host")?;
    let port = args.url.port_or_known_default().unwrap_or(80);
    let address = (host.trim_matches(['[', ']']), port).to_socket_addrs()?.next().context("the host has no address")?;
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).context("nobody listens there")?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let path = args.url.path();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n")?;
    let mut status = String::new();
    BufReader::new(stream).read_line(&mut status).context("it does not answer")?;
    let ready = status.split(' ').nth(1) == Some("200");
    super::print(&format!("{}\n", status.trim_end()))?;
    Ok(if ready { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
