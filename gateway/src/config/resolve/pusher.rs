//! Pusher applications and mounts, and Pusher upstreams.

use ratatosk_connector::config_types::UpstreamConfig;
use ratatosk_pusher::{
    client::SetupError,
    config::{PusherAppConfig, PusherConfig, PusherUpstreamConfig},
};

use super::Faults;
use crate::config::path::KeyPath;

pub(super) fn check(section: &PusherConfig, faults: &mut Faults) {
    for (index, app) in section.apps.iter().enumerate() {
        let earlier = section.apps.get(..index).unwrap_or_default();
        check_app(app, earlier, &KeyPath::keys(["pusher", "apps"]).index(index), faults);
    }
    // What only the protocol can judge: mounts, webhooks, limits.
    for fault in section.resolve().err().into_iter().flatten() {
        if let Some(path) = KeyPath::parse(&format!("pusher.{}", fault.path.join("."))) {
            faults.add(path, fault.problem, "");
        }
    }
}

fn check_app(app: &PusherAppConfig, earlier: &[PusherAppConfig], at: &KeyPath, faults: &mut Faults) {
    let names = [
        ("id", &app.id, earlier.iter().any(|other| other.id == app.id)),
        ("key", &app.key, earlier.iter().any(|other| other.key == app.key)),
    ];
    for (key, value, taken) in names {
        if taken {
            faults.add(at.key(key), format!("{value:?} is taken by an app above"), "give each app its own");
        }
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if value.is_empty() || !value.bytes().all(fits) {
            let problem = format!("{value:?} cannot stand in a path");
            faults.add(at.key(key), problem, "use letters, digits, `-` and `_`");
        }
    }
    if app.secret.is_empty() {
        faults.add(at.key("secret"), "an empty secret protects nothing", "make one up, at least 20 characters long");
    }
}

/// What is Pusher's own about an upstream: its URL names an application, and its inbound rules name exact channels.
pub(super) fn upstream(config: &UpstreamConfig<PusherUpstreamConfig>, at: &KeyPath, faults: &mut Faults) {
    for (index, rule) in config.inbound.iter().enumerate().filter(|(_, rule)| rule.from.is_wildcard()) {
        let problem = format!("{:?} has a wildcard, and Pusher has none to subscribe with", rule.from.as_str());
        faults.add(at.key("in").index(index).key("from"), problem, "name the channel exactly");
    }
    match ratatosk_pusher::client::check(&config.url, &config.options) {
        // The scheme, the host and the certificates are judged for all upstreams alike.
        Ok(()) | Err(SetupError::Scheme | SetupError::Tls(_) | SetupError::Http(_)) => {}
        Err(SetupError::Option(key, problem)) => faults.add(at.key(key), problem, ""),
        Err(SetupError::Url(problem)) => faults.add(at.key("url"), problem, "write pusher+ws://host:port/app/KEY"),
    }
}
