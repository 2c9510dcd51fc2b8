//! `ratatosk config`.

use std::process::ExitCode;

use super::source::SourceArgs;

/// Prints the configuration in force: defaults, file, environment and --set, merged. Secrets are masked.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  ratatosk config --defaults > gateway.toml\n  ratatosk config --config gateway.toml\n  ratatosk config --schema > ratatosk.schema.json"
)]
pub(super) struct Args {
    /// Print the commented default file instead
    #[arg(long, conflicts_with_all = ["schema", "reference"])]
    defaults: bool,
    /// Print a JSON Schema of configuration files instead
    #[arg(long, conflicts_with = "reference")]
    schema: bool,
    /// Print the reference of all keys in Markdown instead
    #[arg(long)]
    reference: bool,
    #[command(flatten)]
    source: SourceArgs,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if args.defaults {
        return super::print(ratatosk::config::DEFAULT_TOML);
    }
    if args.schema {
        return super::print(&format!("{:#}\n", ratatosk::config::json_schema()));
    }
    if args.reference {
        return super::print(&ratatosk::config::reference());
    }
    let resolved = ratatosk::config::load(&args.source.sources())?;
    super::print(&ratatosk::config::effective(&resolved)?)
}
