//! Deadlines of many sessions in one place, so that an idle session costs no task and no timer of its own.

use std::{cmp::Ordering, collections::BinaryHeap};

use crate::proto::Millis;

#[derive(Debug)]
struct Alarm<K> {
    at: Millis,
    key: K,
}

/// Alarms are told apart by their time alone; the heap's greatest is the earliest.
impl<K> Ord for Alarm<K> {
    fn cmp(&self, other: &Self) -> Ordering {
        other.at.cmp(&self.at)
    }
}

impl<K> PartialOrd for Alarm<K> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<K> PartialEq for Alarm<K> {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl<K> Eq for Alarm<K> {}

/// An alarm clock for keys. A key may be set again at any time; one whose deadline has moved later is told so
/// when its old alarm rings, and sets itself anew.
#[derive(Debug)]
pub struct Deadlines<K> {
    heap: BinaryHeap<Alarm<K>>,
}

impl<K> Default for Deadlines<K> {
    fn default() -> Self {
        Self { heap: BinaryHeap::new() }
    }
}

impl<K> Deadlines<K> {
    /// Rings for `key` at `at`. True if that is before all others, so that whoever sleeps must sleep less.
    pub fn set(&mut self, at: Millis, key: K) -> bool {
        let earliest = self.next().is_none_or(|next| at < next);
        self.heap.push(Alarm { at, key });
        earliest
    }

    /// When the next alarm rings.
    #[must_use]
    pub fn next(&self) -> Option<Millis> {
        self.heap.peek().map(|alarm| alarm.at)
    }

    /// Takes the alarms that ring by now, at most `limit` of them.
    pub fn due(&mut self, now: Millis, limit: usize) -> Vec<(Millis, K)> {
        let mut rung = Vec::new();
        while rung.len() < limit && self.next().is_some_and(|at| at <= now) {
            rung.extend(self.heap.pop().map(|alarm| (alarm.at, alarm.key)));
        }
        if self.heap.len() < self.heap.capacity() / 4 {
            self.heap.shrink_to(self.heap.len() * 2);
        }
        rung
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rings_in_order_and_not_before() {
        let mut deadlines = Deadlines::default();
        assert!(deadlines.set(50, 1));
        assert!(!deadlines.set(60, 2));
        assert!(deadlines.set(10, 3));
        assert_eq!(deadlines.due(9, 10), []);
        assert_eq!(deadlines.due(55, 1), [(10, 3)]);
        assert_eq!(deadlines.due(55, 10), [(50, 1)]);
        assert_eq!(deadlines.next(), Some(60));
    }
}
