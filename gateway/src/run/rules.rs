//! Channel rules as the bus wants them.

use std::time::{SystemTime, UNIX_EPOCH};

use ratatosk_core::Rules;

use crate::config::Resolved;

/// The configured rules, and the gateway's own after them.
pub(super) fn of(resolved: &Resolved) -> Rules {
    let own = resolved.own_channel_rules();
    Rules::new(resolved.channels.iter().cloned().chain(own).collect(), resolved.fallback_rule.clone())
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

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use ratatosk_core::Channel;

    use ratatosk_core::{Filter, LastValue};

    use super::*;

    #[test]
    fn the_gateways_own_figures_have_a_last_value_and_no_history() {
        let rules = of(&crate::config::load(&crate::config::Sources::default()).unwrap());
        let rule = |name: &str| rules.of(&Channel::new(name).unwrap());
        let figures = rule("$SYS/broker/uptime");
        assert_eq!((figures.history.is_on(), figures.last_value), (false, LastValue::Retained));
        let events = rule("$monitor/upstream_status/factory");
        assert_eq!((events.history.is_on(), events.last_value), (false, LastValue::Off));
        assert!(rule("sensors/kitchen").history.is_on());
        let everything = Filter::new("#").unwrap();
        assert!(!everything.overlaps(&Filter::new("$SYS/#").unwrap()), "who resumes everything misses none of these");
    }
}
