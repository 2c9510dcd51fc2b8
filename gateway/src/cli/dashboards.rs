//! `ratatosk dashboards`.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context as _;

/// Every file: its name, and what is in it.
const FILES: [(&str, &str); 5] = [
    ("overview.json", include_str!("../../../deploy/grafana/overview.json")),
    ("connector.json", include_str!("../../../deploy/grafana/connector.json")),
    ("upstreams.json", include_str!("../../../deploy/grafana/upstreams.json")),
    ("rules.yml", include_str!("../../../deploy/prometheus/rules.yml")),
    ("alerts.yml", include_str!("../../../deploy/prometheus/alerts.yml")),
];

/// Prints Grafana dashboards, and Prometheus recording and alert rules, for the metrics of this version.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  ratatosk dashboards\n  ratatosk dashboards overview.json > overview.json\n  ratatosk dashboards --write /etc/grafana/dashboards"
)]
pub(super) struct Args {
    /// Print this file; without it, the names of all
    #[arg(value_name = "FILE", value_parser = clap::builder::PossibleValuesParser::new(FILES.map(|(name, _)| name)))]
    file: Option<String>,
    /// Write all of them to this directory instead
    #[arg(long, value_name = "DIRECTORY", conflicts_with = "file")]
    write: Option<PathBuf>,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if let Some(directory) = &args.write {
        for (name, text) in FILES {
            let path = directory.join(name);
            std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let text = match &args.file {
        Some(wanted) => {
            FILES.iter().find(|(name, _)| name == wanted).map_or_else(String::new, |(_, text)| (*text).to_owned())
        }
        None => FILES.iter().map(|(name, _)| format!("{name}\n")).collect(),
    };
    super::print(&text)
}
