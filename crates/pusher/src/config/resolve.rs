//! From the section as it is written to what the server runs on, with every fault found.

use std::sync::Arc;

use super::{PusherAppConfig, PusherConfig, PusherLimitsConfig};
use crate::{
    mapping::{Mount, Names},
    proto::{
        name::Class,
        policy::{Limits, Policy},
        webhook::KINDS,
    },
};

/// What is wrong, and where: the keys below `[pusher]`, a number for an entry of a list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("pusher.{}: {problem}", path.join("."))]
pub struct ConfigFault {
    /// `["mounts", "0", "as"]`.
    pub path: Vec<String>,
    /// What is wrong, and what would be right.
    pub problem: String,
}

/// One application, ready to be served.
#[derive(Debug, Clone)]
pub struct AppSettings {
    /// What it is and allows.
    pub policy: Policy,
    /// How its channels are named.
    pub names: Arc<Names>,
    /// Whether its names are those of every other application without a namespace of its own.
    pub shares_names: bool,
    /// Who is told what happens.
    pub webhooks: Vec<WebhookSettings>,
}

/// A receiver of webhooks.
#[derive(Debug, Clone)]
pub struct WebhookSettings {
    /// Where to.
    pub url: url::Url,
    /// Which kinds; empty for all.
    pub events: Vec<String>,
    /// The beginning of the channels' names.
    pub channel_prefix: String,
}

impl PusherConfig {
    /// Lowers the section.
    ///
    /// # Errors
    /// Every fault that a single value does not show: mounts that overlap or break Pusher's grammar, unknown webhook
    /// events, a prefix that is no path.
    pub fn resolve(&self) -> Result<Vec<AppSettings>, Vec<ConfigFault>> {
        let mut faults = Vec::new();
        if !self.prefix.is_empty() && (!self.prefix.starts_with('/') || self.prefix.ends_with('/')) {
            let problem = format!("{:?} is no path prefix: write one such as \"/pusher\", or \"\"", self.prefix);
            faults.push(ConfigFault { path: vec!["prefix".into()], problem });
        }
        for (key, zero) in [
            ("activity_timeout", self.activity_timeout.get().as_secs() == 0),
            ("pong_timeout", self.pong_timeout.get().as_secs() == 0),
        ] {
            if zero {
                faults.push(ConfigFault { path: vec![key.into()], problem: "this is at least one second".into() });
            }
        }
        let mounts = self.mounts(&mut faults);
        let apps = self.apps.iter().enumerate();
        let apps = apps.map(|(index, app)| self.app(app, index, &mounts, &mut faults)).collect();
        faults.dedup();
        if faults.is_empty() { Ok(apps) } else { Err(faults) }
    }

    fn mounts(&self, faults: &mut Vec<ConfigFault>) -> Vec<Mount> {
        let mut mounts = Vec::new();
        for (index, mount) in self.mounts.iter().enumerate() {
            let mut fault = |key: &str, problem: String| {
                faults.push(ConfigFault { path: vec!["mounts".into(), index.to_string(), key.into()], problem });
            };
            let class = match mount.class.as_deref() {
                None => None,
                Some(word) => {
                    let class = Class::from_word(word);
                    if class.is_none() {
                        fault(
                            "class",
                            format!("{word:?} is no class: write public, private, private-encrypted or presence"),
                        );
                    }
                    class
                }
            };
            match Mount::new(mount.channel.get(), &mount.mounted_as, class) {
                Ok(mount) => mounts.push(mount),
                Err(error) => fault("as", error.to_string()),
            }
        }
        mounts
    }

    fn app(&self, app: &PusherAppConfig, index: usize, mounts: &[Mount], faults: &mut Vec<ConfigFault>) -> AppSettings {
        let namespace = app.namespace.as_ref().map(|channel| channel.get().as_str());
        let names = Names::new(&app.id, namespace, mounts.to_vec()).unwrap_or_else(|error| {
            faults.push(ConfigFault { path: vec!["mounts".into()], problem: error.to_string() });
            Names::default()
        });
        let webhooks = app.webhooks.iter().enumerate();
        let webhooks = webhooks.filter_map(|(hook, webhook)| {
            let at =
                |key: &str| vec!["apps".into(), index.to_string(), "webhooks".into(), hook.to_string(), key.into()];
            for event in webhook.events.iter().filter(|event| !KINDS.contains(&event.as_str())) {
                let problem = format!("{event:?} is no event: {} are", KINDS.join(", "));
                faults.push(ConfigFault { path: at("events"), problem });
            }
            let url =
                url::Url::parse(&webhook.url.to_string()).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
            if url.is_none() {
                faults.push(ConfigFault {
                    path: at("url"),
                    problem: "a webhook's URL begins with http:// or https://".into(),
                });
            }
            Some(WebhookSettings {
                url: url?,
                events: webhook.events.clone(),
                channel_prefix: webhook.channel_prefix.clone(),
            })
        });
        let webhooks = webhooks.collect();
        let shares_names = namespace.is_none();
        AppSettings { policy: self.policy(app), names: Arc::new(names), shares_names, webhooks }
    }

    fn policy(&self, app: &PusherAppConfig) -> Policy {
        Policy {
            enabled: app.enabled,
            client_events: app.client_events,
            subscription_count: app.subscription_count,
            authorized_connections: app.authorized_connections,
            activity_timeout_s: self.activity_timeout.get().as_secs(),
            pong_timeout_s: self.pong_timeout.get().as_secs(),
            limits: limits(&app.limits),
            ..Policy::new(&app.id, &app.key, app.secret.expose())
        }
    }
}

fn limits(config: &PusherLimitsConfig) -> Limits {
    let bytes = |size: ratatosk_connector::config_types::Size| usize::try_from(size.bytes()).unwrap_or(usize::MAX);
    Limits {
        connections: config.connections,
        connection_channels: config.channels_per_connection,
        client_events_per_second: config.client_events_per_second,
        event_bytes: bytes(config.event_data),
        event_channels: config.event_channels,
        batch_events: config.batch_events,
        presence_members: config.presence_members,
        presence_info_bytes: bytes(config.user_info),
        watchlist_users: config.watchlist_users,
        ..Limits::default()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]
    use super::*;

    fn read(json: serde_json::Value) -> PusherConfig {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn the_defaults_are_the_demo_application() {
        let apps = PusherConfig::default().resolve().unwrap();
        let policy = &apps[0].policy;
        assert_eq!(
            (policy.id.as_str(), policy.key.as_str(), policy.secret.as_str()),
            ("demo", "demo-key", "demo-secret")
        );
        assert!(policy.enabled && policy.client_events && !policy.subscription_count);
        assert_eq!(policy.limits, Limits::default());
        assert_eq!(policy.activity_timeout_s, 120);
    }

    #[test]
    fn every_fault_is_named_with_its_key() {
        let config = read(serde_json::json!({
            "prefix": "x/",
            "pong_timeout": "0s",
            "apps": [{"id": "a", "key": "k", "secret": "s", "webhooks": [{"url": "ftp://x/", "events": ["nonsense"]}]}],
            "mounts": [
                {"channel": "a/#", "as": "private-a.*", "class": "presence"},
                {"channel": "b", "as": "b c"},
                {"channel": "c", "as": "c", "class": "secret"},
                {"channel": "d/#", "as": "d.*"},
                {"channel": "d/e", "as": "e"},
            ],
        }));
        let faults = config.resolve().unwrap_err();
        let paths: Vec<String> = faults.iter().map(|fault| fault.path.join(".")).collect();
        for path in [
            "prefix",
            "pong_timeout",
            "mounts.0.as",
            "mounts.1.as",
            "mounts.2.class",
            "mounts",
            "apps.0.webhooks.0.events",
            "apps.0.webhooks.0.url",
        ] {
            assert!(paths.iter().any(|found| found == path), "{path} in {paths:?}");
        }
    }
}
