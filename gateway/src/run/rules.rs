//! Channel rules as the bus wants them.

use std::time::{SystemTime, UNIX_EPOCH};

use ratatosk_core::{ChannelRule, Filter, HistoryRule, LastValue, Rules};

use crate::config::Resolved;

/// The configured rules. The gateway's own events are not kept unless a rule says so.
pub(super) fn of(resolved: &Resolved) -> Rules {
    let mut list = resolved.channels.clone();
    if let Ok(matches) = Filter::new("$monitor/#") {
        list.push(ChannelRule {
            matches,
            history: HistoryRule::OFF,
            last_value: LastValue::Off,
            ..ChannelRule::default()
        });
    }
    Rules::new(list, resolved.fallback_rule.clone())
}

/// A name for this life of the sequence: the time in base 36, so that a later one is another.
pub(super) fn epoch() -> String {
    let mut left = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
    let mut digits = Vec::new();
    while left > 0 {
        let digit = u32::try_from(left % 36).unwrap_or(0);
        digits.push(char::from_digit(digit, 36).unwrap_or('0'));
        left /= 36;
    }
    digits.into_iter().rev().collect()
}
