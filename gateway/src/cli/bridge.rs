//! `ratatosk bridge`.

use std::process::ExitCode;

use ratatosk::config::Sources;
use serde_json::{Value, json};

use super::{source::SettingArgs, upstream_url::UpstreamUrl};

/// Runs the gateway with the defaults and one upstream: what matches a FILTER over there appears here under the same
/// name. A user and password may stand in the URL; RATATOSK__UPSTREAMS__0__PASSWORD keeps the password out of sight.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  ratatosk bridge mqtt://broker:1883 'sensors/#'\n  ratatosk bridge mqtts://me@broker.example:8883 'sensors/#' 'alarms/+' --out 'commands/#'\n  ratatosk bridge mqtt://broker:1883 'sensors/#' --set 'upstreams[0].mode=on_demand'"
)]
pub(super) struct Args {
    /// The far server: mqtt://, mqtts://, mqtt+ws://, sse+http://, bayeux+http://, bayeux+ws://, pusher+ws:// and their
    /// TLS forms
    #[arg(value_name = "UPSTREAM_URL")]
    url: UpstreamUrl,
    /// What to bring here
    #[arg(value_name = "FILTER", required_unless_present = "out")]
    filters: Vec<String>,
    /// What to send there
    #[arg(long, value_name = "FILTER")]
    out: Vec<String>,
    #[command(flatten)]
    settings: SettingArgs,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let sources = sources(args);
    let resolved = ratatosk::config::load(&sources)?;
    super::serve::start(resolved, sources)
}

fn sources(args: &Args) -> Sources {
    let rules = |filters: &[String]| filters.iter().map(|filter| json!({ "from": filter })).collect::<Value>();
    let upstream = json!({
        "name": "upstream",
        "kind": args.url.kind,
        "url": args.url.text,
        "in": rules(&args.filters),
        "out": rules(&args.out),
    });
    let mut sources = args.settings.sources();
    sources.given.push(("upstreams".to_owned(), json!([upstream]), "bridge".to_owned()));
    sources
}
