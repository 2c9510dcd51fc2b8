//! Response topics: the name a responder on the other side must publish to so that its answer comes back.

use ratatosk_core::Channel;

use super::rule::{Rule, RuleSet};

/// Both directions of one upstream, for translating response topics. Cloning shares the lists.
#[derive(Debug, Clone, Default)]
pub struct ReplyMap {
    inbound: RuleSet,
    outbound: RuleSet,
}

impl ReplyMap {
    /// The rules of one upstream.
    #[must_use]
    pub fn new(inbound: RuleSet, outbound: RuleSet) -> Self {
        Self { inbound, outbound }
    }

    /// Our name for a response topic of theirs.
    ///
    /// A responder on our side answers there, and an `out` rule has to carry the answer: so it is the name that
    /// such a rule turns into theirs. Where none does, the rule that brought the request names it; where that
    /// one does not apply either, the topic stays as it is.
    #[must_use]
    pub fn inbound(&self, reply_to: &Channel, carried_by: &Rule) -> Channel {
        translate(&self.outbound, reply_to, carried_by)
    }

    /// Their name for a response topic of ours.
    #[must_use]
    pub fn outbound(&self, reply_to: &Channel, carried_by: &Rule) -> Channel {
        translate(&self.inbound, reply_to, carried_by)
    }
}

fn translate(way_back: &RuleSet, reply_to: &Channel, carried_by: &Rule) -> Channel {
    way_back
        .invert(reply_to)
        .map(|(_, name)| name)
        .or_else(|| carried_by.apply(reply_to))
        .unwrap_or_else(|| reply_to.clone())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::{super::Direction, *};

    #[test]
    fn an_answer_finds_its_way_back() {
        let rules = |direction, from, to| RuleSet::new([Rule::new("r", direction, from, to).unwrap()]);
        let inbound = rules(Direction::In, "sensors/#", "factory/#");
        let outbound = rules(Direction::Out, "answers/#", "replies/#");
        let map = ReplyMap::new(inbound.clone(), outbound);
        let name = |text: &str| Channel::new(text).unwrap();
        let carrier = inbound.iter().next().unwrap();
        assert_eq!(map.inbound(&name("replies/7"), carrier), name("answers/7"));
        assert_eq!(map.inbound(&name("sensors/answer"), carrier), name("factory/answer"));
        assert_eq!(map.inbound(&name("elsewhere"), carrier), name("elsewhere"));
        assert_eq!(map.outbound(&name("factory/9"), carrier), name("sensors/9"));
    }
}
