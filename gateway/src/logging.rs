//! The log: lines on standard error, for people or for machines.

use std::io::IsTerminal as _;

use tracing_subscriber::{EnvFilter, filter::ParseError, fmt};

use crate::config::raw::{LogFormat, LogSection};

/// Starts the log.
///
/// # Errors
/// The level cannot be read, or a log was started before.
pub fn start(section: &LogSection) -> anyhow::Result<()> {
    let filter = filter(&section.level)?;
    let lines = fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match section.format {
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("the log cannot be started: {error}"))
}

/// Reads a level, such as `info` or `info,ratatosk_mqtt=debug`.
///
/// # Errors
/// It is not one. Note that a lone unknown word is read as a target, so it is refused here.
pub(crate) fn filter(level: &str) -> Result<EnvFilter, ParseError> {
    let words = ["off", "error", "warn", "info", "debug", "trace"];
    let known =
        |directive: &str| directive.contains('=') || words.contains(&directive.trim().to_ascii_lowercase().as_str());
    let level = match level.split(',').find(|directive| !known(directive)) {
        // A directive that can never be read, so that the error names it.
        Some(unknown) => format!("{}={}", unknown.trim(), unknown.trim()),
        None => level.to_owned(),
    };
    EnvFilter::builder().parse(level)
}
