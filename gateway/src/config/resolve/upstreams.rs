//! Upstreams and their rules.

use ratatosk_connector::{
    config_types::{BridgeRuleConfig, ChannelValue, ClientTlsConfig, UpstreamConfig},
    rules::{
        Conflict, Direction, LoopGuard, Rule, RuleOptions, RuleRef, RuleSet, TreatmentBuilder, UpstreamRules, analyse,
    },
};
use ratatosk_core::Qos;
use ratatosk_mqtt::config::{MqttUpstreamConfig, MqttVersion};

use super::{Faults, pusher, sse, tls};
use crate::config::{
    path::KeyPath,
    raw::UpstreamSection,
    resolved::{Upstream, UpstreamOptions},
};

pub(super) fn upstreams(sections: &[UpstreamSection], faults: &mut Faults) -> Vec<Upstream> {
    let mut upstreams: Vec<Upstream> = Vec::new();
    for (index, section) in sections.iter().enumerate() {
        let at = KeyPath::keys(["upstreams"]).index(index);
        let upstream = upstream(section, &at, faults);
        if upstreams.iter().any(|other| other.name == upstream.name) {
            let problem = format!("{:?} is taken by an upstream above", upstream.name);
            faults.add(at.key("name"), problem, "give each upstream a name of its own");
        }
        upstreams.push(upstream);
    }
    let rules: Vec<UpstreamRules> = upstreams.iter().map(for_analysis).collect();
    for conflict in analyse(&rules) {
        let at = KeyPath::parse(blamed(&conflict).rule.key()).unwrap_or_default();
        faults.add(at, conflict.to_string(), "change one of the two, or remove it");
    }
    upstreams
}

fn upstream(section: &UpstreamSection, at: &KeyPath, faults: &mut Faults) -> Upstream {
    let before = faults.found.len();
    let upstream = lower(section, at, faults);
    // What the client side itself would refuse at the start; it reads certificates and connects to nothing. After
    // other faults it would only say the same again.
    if faults.found.len() == before
        && let Err(problem) = try_client(&upstream)
    {
        faults.add(at.clone(), problem, "");
    }
    upstream
}

fn try_client(upstream: &Upstream) -> Result<(), String> {
    let (url, text) = (&upstream.url, |error: &dyn std::fmt::Display| error.to_string());
    match &upstream.options {
        UpstreamOptions::Mqtt(options) => {
            ratatosk_mqtt::client::MqttClient::new(&upstream.name, url, options).map(drop).map_err(|e| text(&e))
        }
        UpstreamOptions::Sse(options) => {
            ratatosk_sse::client::SseClient::new(url, options).map(drop).map_err(|e| text(&e))
        }
        UpstreamOptions::Bayeux(options) => {
            ratatosk_bayeux::client::BayeuxClient::new(url, options).map(drop).map_err(|e| text(&e))
        }
        UpstreamOptions::Pusher(options) => {
            ratatosk_pusher::client::PusherClient::new(url, options).map(drop).map_err(|e| text(&e))
        }
    }
}

fn lower(section: &UpstreamSection, at: &KeyPath, faults: &mut Faults) -> Upstream {
    match section {
        UpstreamSection::Mqtt(config) => {
            let schemes = ["mqtt", "mqtts", "mqtt+ws", "mqtt+wss", "ws", "wss"];
            check_mqtt(&config.options, at, faults);
            let guard = match config.options.version {
                MqttVersion::V5 => LoopGuard::Mark,
                MqttVersion::V311 => LoopGuard::Fingerprint,
            };
            let options = UpstreamOptions::Mqtt(config.options.clone());
            common(config, &schemes, (&config.options.tls, guard), (options, section), at, faults)
        }
        UpstreamSection::Sse(config) => {
            let schemes = ["sse+http", "sse+https", "http", "https"];
            // A URL of another scheme is one fault, which `common` names; nothing else about it can be judged.
            let config =
                if schemes.contains(&config.url.scheme()) { sse::upstream(config, at, faults) } else { config.clone() };
            let (options, guard) = (UpstreamOptions::Sse(config.options.clone()), sse::guard(&config.options));
            common(&config, &schemes, (&config.options.tls, guard), (options, section), at, faults)
        }
        UpstreamSection::Bayeux(config) => {
            let schemes = ["bayeux+http", "bayeux+https", "bayeux+ws", "bayeux+wss", "http", "https", "ws", "wss"];
            let options = UpstreamOptions::Bayeux(config.options.clone());
            common(config, &schemes, (&config.options.tls, LoopGuard::Mark), (options, section), at, faults)
        }
        UpstreamSection::Pusher(config) => {
            let schemes = ["pusher+ws", "pusher+wss", "ws", "wss"];
            pusher::upstream(config, at, faults);
            let options = UpstreamOptions::Pusher(config.options.clone());
            // The server leaves our own socket id out: what we publish does not come back, and a fingerprint would take
            // somebody else's equal message for ours.
            let guard = LoopGuard::OwnConnection;
            common(config, &schemes, (&config.options.tls, guard), (options, section), at, faults)
        }
    }
}

fn common<O>(
    config: &UpstreamConfig<O>,
    schemes: &[&str],
    (client_tls, guard): (&ClientTlsConfig, LoopGuard),
    (options, section): (UpstreamOptions, &UpstreamSection),
    at: &KeyPath,
    faults: &mut Faults,
) -> Upstream {
    check_name(&config.name, "an upstream", at, faults);
    if !schemes.contains(&config.url.scheme()) {
        let problem =
            format!("an upstream of kind \"{}\" cannot be reached by {}://", options.kind(), config.url.scheme());
        faults.add(at.key("url"), problem, format!("write {}", schemes.join("://, ") + "://"));
    }
    if config.inbound.is_empty() && config.outbound.is_empty() {
        faults.add(
            at.clone(),
            "nothing crosses this upstream",
            "add `in` or `out` rules, such as in = [{ from = \"sensors/#\" }]",
        );
    }
    tls::client(client_tls, &at.key("tls"), faults);
    Upstream {
        name: config.name.as_str().into(),
        url: config.url.clone(),
        inbound: rules(&config.inbound, Direction::In, config.dead_letter.as_ref(), at, faults),
        outbound: rules(&config.outbound, Direction::Out, config.dead_letter.as_ref(), at, faults),
        guard,
        mode: config.mode,
        linger: config.linger,
        max_backoff: config.max_backoff,
        options,
        section: section.clone(),
    }
}

/// Names become metric labels and levels of `$monitor` channels.
pub(super) fn check_name(name: &str, whose: &str, at: &KeyPath, faults: &mut Faults) {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if !(1..=64).contains(&name.len()) || !name.bytes().all(fits) {
        let problem = format!("{name:?} is not a name for {whose}");
        faults.add(at.key("name"), problem, "use 1 to 64 letters, digits, `-`, `_` and `.`");
    }
}

fn check_mqtt(options: &MqttUpstreamConfig, at: &KeyPath, faults: &mut Faults) {
    // MQTT 3.1.1 section 3.1.2.10: the interval is a 16-bit number of seconds.
    if options.keep_alive.get().as_secs() > u64::from(u16::MAX) {
        faults.add(at.key("keep_alive"), "MQTT cannot wait this long", "write at most \"65535s\"");
    }
    if let Some(will) = &options.will
        && (will.topic.is_empty() || will.topic.contains(['+', '#', '\0']) || will.topic.len() > 65_535)
    {
        let problem = format!("{:?} is not a topic", will.topic);
        faults.add(at.key("will").key("topic"), problem, "write levels joined by `/`, without `+` and `#`");
    }
}

fn rules(
    configs: &[BridgeRuleConfig],
    direction: Direction,
    dead_letter: Option<&ChannelValue>,
    at: &KeyPath,
    faults: &mut Faults,
) -> RuleSet {
    let mut rules = Vec::new();
    for (index, config) in configs.iter().enumerate() {
        let at = at.key(direction.key()).index(index);
        match Rule::new(&at.expression(), direction, config.from.as_str(), config.to().as_str()) {
            Ok(rule) => {
                let rule = rule.with_options(RuleOptions { qos: qos(config.qos), retain: config.retain });
                rules.push(treated(rule, config, dead_letter, &at, faults));
            }
            Err(error) => faults.add(at.key("to"), error.to_string(), "give `to` the wildcards of `from`"),
        }
    }
    RuleSet::new(rules)
}

fn qos(level: u8) -> Qos {
    Qos::try_from(level).unwrap_or(Qos::ExactlyOnce)
}

/// The rule with what it does besides naming.
fn treated(
    rule: Rule,
    config: &BridgeRuleConfig,
    dead_letter: Option<&ChannelValue>,
    at: &KeyPath,
    faults: &mut Faults,
) -> Rule {
    if config.set_retain == Some(true) && !config.retain {
        faults.add(at.key("set_retain"), "`retain = false` says the opposite", "leave one of the two out");
    }
    let builder = TreatmentBuilder {
        when: config.when.clone(),
        transform: config.transform.clone(),
        properties: config.properties.iter().map(|(name, text)| (name.clone(), text.clone())).collect(),
        event: config.event.clone(),
        qos: config.set_qos.map(qos),
        retain: config.set_retain,
        max_rate: config.max_rate,
        dead_letter: config.dead_letter.as_ref().or(dead_letter).map(|channel| channel.get().clone()),
    };
    if builder.is_empty() {
        return rule;
    }
    match builder.build() {
        Ok(treatment) => rule.with_treatment(treatment),
        Err(errors) => {
            for error in errors {
                let key = error.key().split('.').fold(at.clone(), |at, key| at.key(key));
                faults.add(key, error.to_string(), "see docs/bridges.md");
            }
            rule
        }
    }
}

fn for_analysis(upstream: &Upstream) -> UpstreamRules {
    let port = upstream.url.port_or_known_default().map_or_else(String::new, |port| format!(":{port}"));
    // Apps of one Pusher server have nothing in common.
    let app = if matches!(upstream.options, UpstreamOptions::Pusher(_)) { upstream.url.path() } else { "" };
    UpstreamRules {
        name: upstream.name.to_string(),
        peer: format!("{}{port}{app}", upstream.url.host_str().unwrap_or_default()),
        guard: upstream.guard,
        inbound: upstream.inbound.clone(),
        outbound: upstream.outbound.clone(),
    }
}

/// The rule whose line a conflict is reported at: the later one.
fn blamed(conflict: &Conflict) -> &RuleRef {
    match conflict {
        Conflict::Ambiguous { second, .. } | Conflict::Repeated { second, .. } | Conflict::Shadowed { second, .. } => {
            second
        }
        Conflict::Return { inbound, .. } => inbound,
    }
}
