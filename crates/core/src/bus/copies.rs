//! A memory of messages from other gateways, to know a copy that comes by another way.

use std::{
    collections::{HashMap, VecDeque},
    hash::{BuildHasher, RandomState},
};

use crate::message::Publication;

/// The most messages remembered; the oldest is forgotten first. An entry takes some 50 bytes.
const CAPACITY: usize = 1 << 16;

/// What came lately from gateways that name their messages, and by which way.
#[derive(Debug, Default)]
pub(super) struct Copies {
    hasher: RandomState,
    /// By message: the way that brought it first.
    seen: HashMap<u64, u64>,
    order: VecDeque<u64>,
}

impl Copies {
    /// Whether another way has brought this message before. What the same way brings again is a repetition that somebody
    /// asked for, a retained message after a reconnection for example.
    ///
    /// Name and payload belong to it: rules may make several messages of one, and nobody can suppress a message by its name.
    pub(super) fn is_copy(&mut self, publication: &Publication) -> bool {
        let origin = &publication.origin;
        let Some(named) = origin.named() else { return false };
        let message = self.hasher.hash_one((named, publication.channel.as_str(), &*publication.payload));
        let way = self.hasher.hash_one((&origin.upstream, &origin.client_id, origin.neighbour()));
        if let Some(first) = self.seen.get(&message) {
            return *first != way;
        }
        if self.order.len() >= CAPACITY
            && let Some(oldest) = self.order.pop_front()
        {
            self.seen.remove(&oldest);
        }
        self.seen.insert(message, way);
        self.order.push_back(message);
        false
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use crate::{
        channel::Channel,
        message::{Connector, Origin},
    };

    fn publication(hops: &[&str], upstream: &str, channel: &str, payload: &'static str) -> Publication {
        let mut origin = Origin::connector(Connector::GATEWAY);
        origin.hops = hops.iter().map(|hop| (*hop).into()).collect();
        origin.upstream = Some(upstream.into());
        Publication::new(Channel::new(channel).unwrap(), payload, origin)
    }

    #[test]
    fn a_message_is_taken_by_one_way() {
        let mut copies = Copies::default();
        assert!(!copies.is_copy(&publication(&["g;1"], "a", "x", "1")));
        assert!(!copies.is_copy(&publication(&["g;1"], "a", "x", "1")), "sent again");
        assert!(copies.is_copy(&publication(&["g;1"], "b", "x", "1")));
        assert!(copies.is_copy(&publication(&["g;1", "h"], "a", "x", "1")));
        assert!(!copies.is_copy(&publication(&["g;2"], "b", "x", "1")), "another message");
        assert!(!copies.is_copy(&publication(&["g;1"], "b", "y", "1")), "under another name");
        assert!(!copies.is_copy(&publication(&["g;1"], "b", "x", "2")), "made into something else");
        for way in ["a", "b"] {
            assert!(!copies.is_copy(&publication(&["g"], way, "x", "1")), "from a gateway that does not name it");
        }
    }

    #[test]
    fn memory_is_bounded() {
        let mut copies = Copies::default();
        for n in 0..CAPACITY + 1 {
            copies.is_copy(&publication(&[&format!("g;{n}")], "a", "x", "1"));
        }
        assert_eq!((copies.seen.len(), copies.order.len()), (CAPACITY, CAPACITY));
        assert!(!copies.is_copy(&publication(&["g;0"], "b", "x", "1")));
        assert!(copies.is_copy(&publication(&["g;2"], "b", "x", "1")));
    }
}
