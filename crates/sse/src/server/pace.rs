//! How many messages at a time a reader wants.

use std::time::Duration;

/// Slots come no more often than this, so that a high rate needs no high number of timers.
const SHORTEST_SLOT: Duration = Duration::from_millis(50);

/// A greatest rate: so many messages in each slot of time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Rate {
    /// The length of a slot.
    pub(super) slot: Duration,
    /// Messages that may go in one.
    pub(super) messages: usize,
}

impl Rate {
    /// None for a rate that is no positive number, or below one message a day.
    pub(super) fn per_second(rate: f64) -> Option<Self> {
        if !(1.0 / 86_400.0..=1e9).contains(&rate) {
            return None;
        }
        let one = Duration::from_secs_f64(1.0 / rate);
        if one >= SHORTEST_SLOT {
            return Some(Self { slot: one, messages: 1 });
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 1 and 5 * 10^7")]
        let messages = (rate * SHORTEST_SLOT.as_secs_f64()) as usize;
        Some(Self { slot: SHORTEST_SLOT, messages: messages.max(1) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_never_exceed_what_was_asked_for() {
        for rate in [0.001, 0.5, 1.0, 10.0, 19.0, 20.0, 21.0, 39.0, 1000.0, 1e6] {
            let Some(got) = Rate::per_second(rate) else { unreachable!("{rate}") };
            #[expect(clippy::cast_precision_loss, reason = "small numbers")]
            let per_second = got.messages as f64 / got.slot.as_secs_f64();
            assert!(per_second <= rate * 1.001 && per_second >= rate * 0.5, "{rate}: {per_second}");
        }
        for bad in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e-9] {
            assert_eq!(Rate::per_second(bad), None, "{bad}");
        }
    }
}
