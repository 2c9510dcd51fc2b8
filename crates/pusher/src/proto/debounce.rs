//! The delay before leaves are told (Pusher, "Webhooks", "Delays"): a channel or a user that is back within
//! three seconds never left, and neither its leaving nor its coming back is told.

use std::collections::{HashMap, VecDeque};

/// How long a leave waits, in milliseconds.
pub const DELAY_MS: u64 = 3000;

/// Leaves that may wait; one more is told at once.
const MAX_WAITING: usize = 65_536;

/// Who came or left: a channel, or a user of one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Subject {
    /// The channel.
    pub channel: String,
    /// The user, for members; `None` for the channel itself.
    pub user_id: Option<String>,
}

/// The leaves that wait.
#[derive(Debug, Default)]
pub struct Debounce {
    waiting: HashMap<Subject, u64>,
    queue: VecDeque<(u64, u64, Subject)>,
    next: u64,
}

impl Debounce {
    /// Someone came. Whether to tell it.
    pub fn came(&mut self, subject: &Subject) -> bool {
        self.waiting.remove(subject).is_none()
    }

    /// Someone left. `Some` gives it back to be told at once, when too many wait already.
    pub fn left(&mut self, subject: Subject, now: u64) -> Option<Subject> {
        if self.waiting.len() >= MAX_WAITING {
            return Some(subject);
        }
        self.next += 1;
        self.waiting.insert(subject.clone(), self.next);
        self.queue.push_back((now.saturating_add(DELAY_MS), self.next, subject));
        self.compact();
        None
    }

    /// When the next leave is due.
    #[must_use]
    pub fn deadline(&self) -> Option<u64> {
        self.queue.front().map(|(at, ..)| *at)
    }

    /// The next leave that is due, oldest first.
    pub fn due(&mut self, now: u64) -> Option<Subject> {
        while let Some((at, ..)) = self.queue.front() {
            if *at > now {
                return None;
            }
            let (_, number, subject) = self.queue.pop_front()?;
            if self.waiting.get(&subject) == Some(&number) {
                self.waiting.remove(&subject);
                return Some(subject);
            }
        }
        None
    }

    /// The next leave whether due or not: when the gateway stops, nobody comes back within three seconds.
    pub fn flush(&mut self) -> Option<Subject> {
        self.due(u64::MAX)
    }

    /// Leaves taken back stay in the queue until due; when they are most of it, they go.
    fn compact(&mut self) {
        if self.queue.len() > 2 * self.waiting.len() + 1024 {
            self.queue.retain(|(_, number, subject)| self.waiting.get(subject) == Some(number));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn subject(name: &str) -> Subject {
        Subject { channel: name.into(), user_id: None }
    }

    #[test]
    fn a_blip_is_not_told_on_either_side() {
        let mut debounce = Debounce::default();
        assert!(debounce.came(&subject("a")));
        assert_eq!(debounce.left(subject("a"), 0), None);
        assert!(!debounce.came(&subject("a")));
        assert_eq!(debounce.due(10_000), None);
    }

    #[test]
    fn a_leave_is_told_once_and_late() {
        let mut debounce = Debounce::default();
        debounce.left(subject("a"), 0);
        assert!(!debounce.came(&subject("a")));
        debounce.left(subject("a"), 100);
        assert_eq!(debounce.due(3000), None);
        assert_eq!(debounce.due(3099), None);
        assert_eq!(debounce.due(3100), Some(subject("a")));
        assert_eq!(debounce.due(9000), None);
        assert!(debounce.came(&subject("a")));
    }

    #[test]
    fn a_user_and_its_channel_are_apart() {
        let mut debounce = Debounce::default();
        debounce.left(subject("a"), 0);
        assert!(debounce.came(&Subject { channel: "a".into(), user_id: Some("u".into()) }));
    }

    proptest! {
        /// Told comes and leaves of one subject alternate, whatever happens.
        #[test]
        fn what_is_told_alternates(steps in proptest::collection::vec((0u64..2000, any::<bool>()), 0..60)) {
            let (mut debounce, mut now, mut present, mut told) = (Debounce::default(), 0, false, false);
            for (wait, toggle) in steps {
                now += wait;
                while let Some(left) = debounce.due(now) {
                    prop_assert_eq!(left, subject("a"));
                    prop_assert!(told && !present);
                    told = false;
                }
                if toggle {
                    present = !present;
                    if !present {
                        debounce.left(subject("a"), now);
                    } else if debounce.came(&subject("a")) {
                        prop_assert!(!told);
                        told = true;
                    }
                }
            }
            while debounce.flush().is_some() { told = false; }
            prop_assert_eq!(told, present);
        }
    }
}
