//! What is said of a channel, whoever asks.

use ratatosk::{
    config::{Resolved, Upstream},
    connector::rules::RuleSet,
    core::{Channel, ChannelRule, Filter},
};

use super::section;

pub(super) fn describe(channel: &Channel, resolved: &Resolved) -> anyhow::Result<String> {
    let mut text = format!("{channel}\n");
    text.push_str(&section("Names", &names(channel, resolved)?));
    text.push_str(&section("Kept", &[rule(channel, resolved)]));
    let crossed: Vec<String> = resolved.upstreams.iter().flat_map(|upstream| crossings(channel, upstream)).collect();
    let none = || vec!["none".to_owned()];
    text.push_str(&section("Upstreams", &if crossed.is_empty() { none() } else { crossed }));
    Ok(text)
}

fn names(channel: &Channel, resolved: &Resolved) -> anyhow::Result<Vec<String>> {
    let encoded: String = form_urlencoded::byte_serialize(channel.as_str().as_bytes()).collect();
    let mut lines = vec![
        format!("mqtt    {}", ratatosk_mqtt::mapping::names::topic(channel)),
        format!("bayeux  {}", ratatosk_bayeux::mapping::encode(channel)),
    ];
    let apps = resolved.pusher.resolve().map_err(|faults| anyhow::anyhow!("{faults:?}"))?;
    for app in apps {
        let name = app.names.name(channel);
        let mounted = name.as_deref().is_some_and(|name| app.names.is_mounted(name));
        let how = if mounted { ", by [[pusher.mounts]]" } else { "" };
        lines.push(match name {
            Some(name) => format!("pusher  {name}  (application {}{how})", app.policy.id),
            None => format!("pusher  has no name in application {}", app.policy.id),
        });
    }
    lines.push(format!("sse     {}?channel={encoded}", resolved.sse.path));
    if !channel.is_own() {
        lines.push(format!("http    POST /publish?channel={encoded}"));
    }
    Ok(lines)
}

fn rule(channel: &Channel, resolved: &Resolved) -> String {
    let found = resolved.channels.iter().enumerate().find(|(_, rule)| rule.matches.matches(channel));
    let own = || resolved.own_channel_rules().find(|rule| rule.matches.matches(channel));
    let (name, rule): (String, ChannelRule) = match found {
        Some((index, rule)) => (format!("channels[{index}] (match {:?})", rule.matches.as_str()), rule.clone()),
        None => own()
            .map(|rule| ("the defaults for the gateway's own channels".to_owned(), rule))
            .unwrap_or_else(|| ("the defaults".to_owned(), resolved.fallback_rule.clone())),
    };
    let history = if rule.history.is_on() {
        format!("history of {} messages, {:?}, {} bytes", rule.history.messages, rule.history.age, rule.history.bytes)
    } else {
        "no history".to_owned()
    };
    let presence = if rule.presence { ", presence" } else { "" };
    format!("by {name}: {history}, last value {}{presence}", format!("{:?}", rule.last_value).to_lowercase())
}

fn crossings(channel: &Channel, upstream: &Upstream) -> Vec<String> {
    let kind = upstream.options.kind();
    let one = |rules: &RuleSet, key: &str, ours_first: bool| {
        let found = if ours_first { rules.apply(channel) } else { rules.invert(channel) };
        found.map(|(rule, theirs)| {
            let rule = format!("{key} rule {} -> {}", rule.from(), rule.to());
            match ours_first {
                true => format!("{} ({kind})  sends it as {theirs}, by the {rule}", upstream.name),
                false => format!("{} ({kind})  brings it from {theirs}, by the {rule}", upstream.name),
            }
        })
    };
    one(&upstream.inbound, "in", false).into_iter().chain(one(&upstream.outbound, "out", true)).collect()
}

/// The filter of one channel; none where its name reads as a pattern.
pub(super) fn exact(channel: &Channel) -> Option<Filter> {
    Filter::new(channel.as_str()).ok().filter(|filter| !filter.is_wildcard())
}
