//! The second check: what a well-formed configuration means. Lowers [`RawConfig`] to [`Resolved`].

mod auth;
mod channels;
mod http;
mod limits;
mod listeners;
mod otlp;
mod pusher;
mod sse;
mod tls;
mod upstreams;
mod webhooks;

use std::{collections::BTreeSet, sync::Arc};

use super::{
    fault::Found,
    path::KeyPath,
    raw::{RawConfig, TlsSection, UpstreamSection},
    resolved::{Resolved, Tls, Upstream},
};

/// Collects what is wrong while a configuration is lowered.
#[derive(Default)]
struct Faults {
    found: Vec<Found>,
    damaged: BTreeSet<String>,
}

impl Faults {
    fn add(&mut self, path: KeyPath, problem: impl Into<String>, advice: impl Into<String>) {
        // A section that lost values in the first check may look wrong only for want of them.
        if !self.damaged.contains(path.section()) {
            self.found.push(Found::new(path, problem, advice));
        }
    }

    /// Whether any of these sections lost a value in the first check.
    fn damaged(&self, sections: &[&str]) -> bool {
        sections.iter().any(|section| self.damaged.contains(*section))
    }
}

/// Lowers a configuration, or says all that is wrong with its meaning.
pub(super) fn resolve(raw: RawConfig, damaged: BTreeSet<String>) -> Result<Resolved, Vec<Found>> {
    let mut faults = Faults { found: Vec::new(), damaged };
    listeners::check(&raw, &mut faults);
    http::check_paths(&raw, &mut faults);
    check_rest(&raw, &mut faults);
    pusher::check(&raw.pusher, &mut faults);
    sse::check(&raw.sse, &mut faults);
    let cors = http::origins(&raw.http, &mut faults);
    let (channels, fallback_rule) = channels::rules(&raw.channels, &mut faults);
    let upstreams = upstreams::upstreams(&raw.upstreams, &mut faults);
    let webhooks = webhooks::webhooks(&raw.webhooks, &raw.upstreams, raw.monitor.sample, &mut faults);
    let auth = auth::auth(&raw, &mut faults);
    let otlp = raw.otlp.as_ref().map(|section| otlp::otlp(section, &mut faults));
    let tls = raw.tls.as_ref().and_then(|section| tls::server(section, &mut faults));
    let proxies = limits::proxies(&raw, &mut faults);
    let held_to = limits::limits(&raw, &proxies, &mut faults);
    if !faults.found.is_empty() {
        return Err(faults.found);
    }
    Ok(Resolved {
        http: http::lower(&raw.http, cors, &proxies),
        admin: raw.admin.listen.address(),
        admin_tls: raw.admin.tls_listen.address(),
        mqtt: raw.mqtt.clone(),
        bayeux: raw.bayeux.clone(),
        sse: raw.sse.clone(),
        pusher: raw.pusher.clone(),
        channels,
        fallback_rule,
        upstreams,
        auth,
        tls,
        limits: raw.limits.clone(),
        held_to,
        proxies,
        log: raw.log.clone(),
        metrics: raw.metrics.clone(),
        otlp,
        monitor: raw.monitor.clone(),
        webhooks,
        grace: raw.shutdown.grace.get(),
        raw: Arc::new(raw),
    })
}

/// Reads the certificates again.
pub(super) fn tls_again(section: &TlsSection) -> Result<Tls, Vec<Found>> {
    let mut faults = Faults::default();
    tls::server(section, &mut faults).ok_or(faults.found)
}

/// Lowers one more upstream beside those that run; the faults are its own.
pub(super) fn upstream_beside(
    beside: Vec<UpstreamSection>,
    section: UpstreamSection,
    damaged: BTreeSet<String>,
) -> Result<Upstream, Vec<Found>> {
    let mut faults = Faults { found: Vec::new(), damaged };
    let mut sections = beside;
    sections.push(section);
    let resolved = upstreams::upstreams(&sections, &mut faults);
    match resolved.into_iter().next_back() {
        Some(upstream) if faults.found.is_empty() => Ok(upstream),
        _ => Err(faults.found),
    }
}

fn check_rest(raw: &RawConfig, faults: &mut Faults) {
    if let Err(error) = crate::logging::filter(&raw.log.level) {
        faults.add(
            KeyPath::keys(["log", "level"]),
            format!("{:?} is not a log level: {error}", raw.log.level),
            "write error, warn, info, debug or trace, or targets as in \"info,ratatosk_mqtt=debug\"",
        );
    }
    let never_zero = [
        (KeyPath::keys(["http", "header_timeout"]), Some(raw.http.header_timeout)),
        (KeyPath::keys(["sse", "heartbeat"]), Some(raw.sse.heartbeat)),
        (KeyPath::keys(["sse", "max_lifetime"]), raw.sse.max_lifetime),
    ];
    for (path, duration) in never_zero {
        if duration.is_some_and(|duration| duration.is_zero()) {
            faults.add(path, "this may not be zero", "write a time such as \"15s\"");
        }
    }
}
