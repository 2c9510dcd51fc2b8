//! `ratatosk explain`.

mod access;
mod channel;
mod losses;

use std::process::ExitCode;

use ratatosk::core::Channel;

use super::source::SourceArgs;

/// Tells all that a configuration has to do with a channel: its names in each protocol, the rule that keeps its history,
/// the upstreams and mounts that it crosses, who may use it, and what each protocol cannot carry.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  ratatosk explain sensors/kitchen/temp --config gateway.toml\n  ratatosk explain users/joe/inbox --as \"$TOKEN\" --config gateway.toml\n  ratatosk explain users/joe/inbox --as joe --config gateway.toml"
)]
pub(super) struct Args {
    /// The channel in canonical form (a/b/c)
    #[arg(value_name = "CHANNEL", value_parser = |text: &str| Channel::new(text))]
    channel: Channel,
    /// As the bearer of this token, or as this one of auth.users
    #[arg(long = "as", value_name = "TOKEN|USER")]
    who: Option<String>,
    #[command(flatten)]
    source: SourceArgs,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let resolved = ratatosk::config::load(&args.source.sources())?;
    let mut text = channel::describe(&args.channel, &resolved)?;
    text.push_str(&access::describe(&args.channel, &resolved, args.who.as_deref())?);
    text.push_str(&losses::describe(&args.channel, &resolved)?);
    super::print(&text)
}

/// A heading and its lines.
fn section(title: &str, lines: &[String]) -> String {
    let body: String = lines.iter().map(|line| format!("  {line}\n")).collect();
    format!("\n{title}\n{body}")
}
