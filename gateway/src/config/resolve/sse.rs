//! The Mercure hub's keys, and what only the protocol can judge of an event stream that is followed.

use ratatosk_connector::config_types::{BridgeRuleConfig, UpstreamConfig};
use ratatosk_connector::rules::LoopGuard;
use ratatosk_core::Filter;
use ratatosk_sse::{
    client::{SseClient, event_rule},
    config::{SseConfig, SseUpstreamConfig, SseUpstreamFormat},
    server::mercure::Hub,
};

use super::Faults;
use crate::config::path::KeyPath;

pub(super) fn check(section: &SseConfig, faults: &mut Faults) {
    if let Some(Err(error)) = section.mercure.as_ref().map(Hub::check) {
        let at = KeyPath::parse(error.key()).unwrap_or_default();
        faults.add(at, error.to_string(), "write the secret of an `HS...` algorithm, or the PEM text of a public key");
    }
}

/// Checks an upstream, and rewrites rules that speak of `{event}`.
pub(super) fn upstream(
    config: &UpstreamConfig<SseUpstreamConfig>,
    at: &KeyPath,
    faults: &mut Faults,
) -> UpstreamConfig<SseUpstreamConfig> {
    let mut config = config.clone();
    if let Err(error) = SseClient::check(&config.url, &config.options) {
        faults.add(at.clone(), error.to_string(), "");
    }
    let sends = config.options.publish.is_some() || config.options.format == SseUpstreamFormat::Envelope;
    if !config.outbound.is_empty() && !sends {
        faults.add(at.key("out"), "there is nowhere to send to", "add a `publish` table with the URL to post to");
    }
    for (index, rule) in config.inbound.iter_mut().enumerate() {
        if let Err(problem) = rewrite(rule) {
            faults.add(
                at.key("in").index(index).key("to"),
                problem,
                "write for example { from = \"#\", to = \"prices/{event}\" }",
            );
        }
    }
    config
}

fn rewrite(rule: &mut BridgeRuleConfig) -> Result<(), String> {
    let (from, to) = event_rule(rule.from.as_str(), rule.to().as_str()).map_err(|error| error.to_string())?;
    let filter = |text: String| Filter::new(text).map_err(|error| error.to_string());
    if from != rule.from.as_str() {
        rule.from.0 = filter(from)?;
    }
    if let Some(target) = &mut rule.to {
        target.0 = filter(to)?;
    }
    Ok(())
}

/// Another Ratatosk marks what it passes on; of a stranger's stream one can only know one's own messages again.
pub(super) fn guard(config: &SseUpstreamConfig) -> LoopGuard {
    match config.format {
        SseUpstreamFormat::Envelope => LoopGuard::Mark,
        SseUpstreamFormat::Event => LoopGuard::Fingerprint,
    }
}
