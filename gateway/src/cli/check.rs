//! `ratatosk check`.

use std::process::ExitCode;

use super::source::SourceArgs;

/// Prints each fault as `FILE:LINE: KEY: what is wrong; what to do`, and exits with 2 if there is one. Certificates,
/// keys and secrets are read; no port is opened and no server is asked.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  ratatosk check --config gateway.toml\n  ratatosk check --set mqtt.listen=0.0.0.0:1883"
)]
pub(super) struct Args {
    #[command(flatten)]
    source: SourceArgs,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let resolved = ratatosk::config::load(&args.source.sources())?;
    let listeners = [
        resolved.http.listen,
        resolved.http.tls_listen,
        resolved.mqtt.listen.address(),
        resolved.mqtt.tls_listen.address(),
        resolved.admin,
    ];
    super::print(&format!(
        "ok: {} listeners, {} channel rules, {} upstreams\n",
        listeners.iter().flatten().count(),
        resolved.channels.len(),
        resolved.upstreams.len(),
    ))
}
