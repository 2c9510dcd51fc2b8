//! `ratatosk serve`.

use std::process::ExitCode;

use ratatosk::config::{Resolved, Sources};
use tokio::runtime::{Builder, Runtime};

use super::source::SourceArgs;

/// Runs the gateway until SIGTERM or SIGINT; a second one ends it at once. SIGHUP reads configuration and certificates
/// again.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  ratatosk serve\n  ratatosk serve --config gateway.toml\n  ratatosk serve --set http.listen=127.0.0.1:9000 --set log.level=debug\n  RATATOSK__LOG__FORMAT=json ratatosk serve"
)]
pub(super) struct Args {
    #[command(flatten)]
    source: SourceArgs,
}

pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let sources = args.source.sources();
    let resolved = ratatosk::config::load(&sources)?;
    start(resolved, sources)
}

/// Starts the log and the runtime, and runs the gateway to its end.
pub(super) fn start(resolved: Resolved, sources: Sources) -> anyhow::Result<ExitCode> {
    ratatosk::logging::start(&resolved.log)?;
    runtime()?.block_on(ratatosk::run(resolved, sources))
}

/// The runtime that a gateway runs on, in a process that is fit for it. It looks for new input more often than tokio's default (every 61 polls): while many
/// streams catch up, a poll writes 32 KiB, and a publication should not wait for 61 of them. On one core, one thread does all: what
/// workers need to share their tasks would be in its way.
pub(super) fn runtime() -> std::io::Result<Runtime> {
    super::process::prepare();
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let mut builder = if cores == 1 { Builder::new_current_thread() } else { Builder::new_multi_thread() };
    builder.enable_all().event_interval(11).build()
}
