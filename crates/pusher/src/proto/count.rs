//! When to tell how many subscribers a channel has (Pusher, "Subscription counting"): on every change, but at most
//! every five seconds above a hundred subscribers.

/// From here on, changes are gathered.
const CROWD: usize = 100;
/// For so long, in milliseconds.
pub const INTERVAL_MS: u64 = 5000;

/// The state of one channel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CountGate {
    told: Option<(usize, u64)>,
    waits: bool,
}

/// What to do about a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tell {
    /// Tell the count now.
    Now,
    /// Call [`CountGate::due`] at this time.
    At(u64),
    /// Nothing: it is told already, or will be at a time given before.
    No,
}

impl CountGate {
    /// The number of subscribers changed.
    pub fn changed(&mut self, count: usize, now: u64) -> Tell {
        match self.told {
            Some((_, at)) if count > CROWD && now < at + INTERVAL_MS => {
                if std::mem::replace(&mut self.waits, true) {
                    Tell::No
                } else {
                    Tell::At(at + INTERVAL_MS)
                }
            }
            Some((last, _)) if last == count && !self.waits => Tell::No,
            _ => {
                self.told = Some((count, now));
                Tell::Now
            }
        }
    }

    /// The time given before has come. Whether the count is told now.
    pub fn due(&mut self, count: usize, now: u64) -> bool {
        let waited = std::mem::replace(&mut self.waits, false);
        let news = waited && self.told.is_none_or(|(last, _)| last != count);
        if news {
            self.told = Some((count, now));
        }
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_channels_are_told_at_once() {
        let mut gate = CountGate::default();
        for count in [1, 2, 3, 2, 100] {
            assert_eq!(gate.changed(count, 0), Tell::Now);
        }
        assert_eq!(gate.changed(100, 0), Tell::No);
    }

    #[test]
    fn crowds_are_told_every_five_seconds() {
        let mut gate = CountGate::default();
        assert_eq!(gate.changed(101, 1000), Tell::Now);
        assert_eq!(gate.changed(102, 1500), Tell::At(6000));
        assert_eq!(gate.changed(103, 2000), Tell::No);
        assert!(gate.due(103, 6000));
        assert_eq!(gate.changed(104, 6100), Tell::At(11_000));
        assert_eq!(gate.changed(103, 6200), Tell::No);
        assert!(!gate.due(103, 11_000), "it is what was told last");
        assert_eq!(gate.changed(104, 12_000), Tell::Now);
        assert_eq!(gate.changed(100, 12_001), Tell::Now);
    }
}
