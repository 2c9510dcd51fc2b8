//! Channel rules.

use std::time::Duration;

use ratatosk_connector::config_types::FilterValue;
use ratatosk_core::{
    outbox::{OutboxLimits, SlowPolicy},
    rule::{ChannelRule, HistoryRule, LastValue},
};

use super::Faults;
use crate::config::{
    path::KeyPath,
    raw::{ChannelSection, HistorySection, LastValueChoice, OutboxSection, SlowChoice},
};

/// The rules in order, and the one for what none of them matches.
pub(super) fn rules(sections: &[ChannelSection], faults: &mut Faults) -> (Vec<ChannelRule>, ChannelRule) {
    for (index, section) in sections.iter().enumerate() {
        let before = sections.iter().take(index).position(|earlier| earlier.matches.covers(&section.matches));
        if let Some(earlier) = before {
            faults.add(
                KeyPath::keys(["channels"]).index(index).key("match"),
                format!(
                    "rule #{} above matches all that {:?} matches, so this rule is never used",
                    earlier + 1,
                    section.matches
                ),
                "move it up or remove it: the first match decides",
            );
        }
    }
    for (index, section) in sections.iter().enumerate() {
        if section.max_rate.is_some_and(|rate| !(1.0 / 86_400.0..=1e6).contains(&rate)) {
            let at = KeyPath::keys(["channels"]).index(index).key("max_rate");
            faults.add(at, "this is no rate", "write messages per second, such as 10 or 0.5");
        }
    }
    (sections.iter().map(rule).collect(), ChannelRule::default())
}

fn rule(section: &ChannelSection) -> ChannelRule {
    let FilterValue(matches) = section.matches.clone();
    ChannelRule {
        matches,
        history: history(&section.history),
        last_value: match section.last_value {
            LastValueChoice::Off => LastValue::Off,
            LastValueChoice::Retained => LastValue::Retained,
            LastValueChoice::Always => LastValue::Always,
        },
        presence: section.presence,
        slow: section.slow.map(slow),
        outbox: section.outbox.as_ref().map(|outbox| limits(outbox, section.slow)),
        least_gap: section.max_rate.and_then(|rate| Duration::try_from_secs_f64(1.0 / rate).ok()),
    }
}

fn history(section: &HistorySection) -> HistoryRule {
    HistoryRule { messages: section.messages, age: section.age.get(), bytes: section.bytes.as_usize() }
}

fn slow(choice: SlowChoice) -> SlowPolicy {
    match choice {
        SlowChoice::Disconnect => SlowPolicy::Disconnect,
        SlowChoice::DropOldest => SlowPolicy::DropOldest,
        SlowChoice::Conflate => SlowPolicy::Conflate,
    }
}

fn limits(section: &OutboxSection, choice: Option<SlowChoice>) -> OutboxLimits {
    OutboxLimits {
        messages: section.messages,
        bytes: section.bytes.as_usize(),
        policy: choice.map_or_else(SlowPolicy::default, slow),
    }
}
