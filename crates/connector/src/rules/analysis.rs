//! What rules do to each other, found before anything runs.
//!
//! Three faults are possible. *Ambiguity*: two rules of one direction of one upstream give the same message
//! different names. *Shadowing*: a rule before another takes all that it takes, under the same name. *Return*: what an `out` rule sends to a peer is what an `in` rule asks the same peer for, so
//! that the peer sends our own message back to us, and over a second upstream to the same peer round and round.
//! Where the peer carries our mark (the list of gateways a message passed) the last is cut at run time and
//! is no fault; where it cannot, the rules are refused. What else an upstream knows its own messages by does not tell another
//! upstream anything.
//!
//! Checking each peer by itself is enough: a circle through several peers needs at least one of them to hand a
//! message back to us, and that peer's rules are then at fault.

use std::fmt;

use ratatosk_core::Channel;

use super::{
    levels::{intersect, witnesses},
    rule::{Direction, Rule, RuleSet},
};

/// What keeps a message from coming back from a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LoopGuard {
    /// The peer carries the list of gateways with each message (MQTT 5 user property, Bayeux `ext`, HTTP header).
    Mark,
    /// Messages sent to the peer are remembered for a moment and recognised by name and payload.
    Fingerprint,
    /// The peer leaves out the connection that a message came by (Pusher's socket id).
    OwnConnection,
    /// Nothing: the rules alone must make it impossible.
    #[default]
    None,
}

/// The rules of one upstream, as the analysis needs them.
#[derive(Debug, Clone)]
pub struct UpstreamRules {
    /// Its configured name.
    pub name: String,
    /// Who the far side is (host and port): upstreams with the same peer are judged together.
    pub peer: String,
    /// What keeps a message from coming back.
    pub guard: LoopGuard,
    /// Theirs to ours.
    pub inbound: RuleSet,
    /// Ours to theirs.
    pub outbound: RuleSet,
}

/// One rule of one upstream, for messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleRef {
    /// The upstream's name.
    pub upstream: String,
    /// The rule.
    pub rule: Rule,
}

impl fmt::Display for RuleRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of upstream `{}`", self.rule, self.upstream)
    }
}

/// A fault that two rules have together. Boxed parts keep it small.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    /// Two rules of one direction name the same message differently.
    #[error(
        "{first} and {second} both take `{example}` and call it `{becomes}` and `{becomes_too}`: which one is meant?"
    )]
    Ambiguous {
        /// The rule listed first.
        first: Box<RuleRef>,
        /// The other.
        second: Box<RuleRef>,
        /// A name that both take.
        example: String,
        /// What the first makes of it.
        becomes: String,
        /// What the second makes of it.
        becomes_too: String,
    },
    /// The same rule twice.
    #[error("{second} repeats {first}: every message that both take would cross twice")]
    Repeated {
        /// The rule listed first.
        first: Box<RuleRef>,
        /// The other.
        second: Box<RuleRef>,
    },
    /// A rule that never decides, because one before it takes all that it takes.
    #[error("{second} can never match: {first} comes before it and takes all of that")]
    Shadowed {
        /// The rule listed first.
        first: Box<RuleRef>,
        /// The one that is never asked.
        second: Box<RuleRef>,
    },
    /// What goes out comes back in.
    #[error(
        "{outbound} sends `{example}`, and {inbound} asks the same server for it and would bring it back; {unguarded}"
    )]
    Return {
        /// The rule that sends.
        outbound: Box<RuleRef>,
        /// The rule that brings it back.
        inbound: Box<RuleRef>,
        /// A name on the peer's side that does it.
        example: String,
        /// Why nothing cuts it.
        unguarded: Unguarded,
    },
}

/// Why nothing at run time keeps a message from coming back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unguarded {
    /// The connection has no guard at all.
    NoGuard,
    /// It comes back by another connection than it went, and one of the two does not carry the mark.
    OtherConnection,
}

impl fmt::Display for Unguarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoGuard => {
                "this connection cannot mark a message with the gateways it passed (MQTT 5 can: `version = \"5\"`)"
            }
            Self::OtherConnection => {
                "what comes by another connection than it went is known by nothing but the gateways it passed, and not both carry that list (MQTT 5 does: `version = \"5\"`; MQTT 3.1.1 and Pusher do not): use one upstream for both rules, or names that do not overlap"
            }
        })
    }
}

/// All faults of all upstreams' rules, in order of configuration.
#[must_use]
pub fn analyse(upstreams: &[UpstreamRules]) -> Vec<Conflict> {
    let mut found = Vec::new();
    for upstream in upstreams {
        ambiguities(upstream, Direction::In, &mut found);
        ambiguities(upstream, Direction::Out, &mut found);
    }
    for sender in upstreams {
        for receiver in upstreams.iter().filter(|other| other.peer == sender.peer) {
            returns(sender, receiver, &mut found);
        }
    }
    found
}

fn ambiguities(upstream: &UpstreamRules, direction: Direction, found: &mut Vec<Conflict>) {
    let rules: Vec<&Rule> = match direction {
        Direction::In => upstream.inbound.iter().collect(),
        Direction::Out => upstream.outbound.iter().collect(),
    };
    for (at, first) in rules.iter().enumerate() {
        for second in rules.iter().skip(at + 1) {
            found.extend(ambiguity(&upstream.name, first, second));
        }
    }
}

fn ambiguity(upstream: &str, first: &Rule, second: &Rule) -> Option<Conflict> {
    let shared = intersect(first.from().as_str(), second.from().as_str())?;
    let refer = |rule: &Rule| Box::new(RuleRef { upstream: upstream.to_owned(), rule: rule.clone() });
    if first.from() == second.from() && first.to() == second.to() {
        return Some(Conflict::Repeated { first: refer(first), second: refer(second) });
    }
    let ambiguous = witnesses(&shared).find_map(|witness| {
        let name = Channel::new(witness).ok()?;
        let (one, other) = (first.apply(&name)?, second.apply(&name)?);
        (one != other).then(|| Conflict::Ambiguous {
            first: refer(first),
            second: refer(second),
            example: readable(name.as_str()),
            becomes: readable(one.as_str()),
            becomes_too: readable(other.as_str()),
        })
    });
    let shadowed = || Conflict::Shadowed { first: refer(first), second: refer(second) };
    ambiguous.or_else(|| first.from().covers(second.from()).then(shadowed))
}

fn returns(sender: &UpstreamRules, receiver: &UpstreamRules, found: &mut Vec<Conflict>) {
    let own = sender.name == receiver.name;
    let marked = sender.guard == LoopGuard::Mark && receiver.guard == LoopGuard::Mark;
    if marked || own && sender.guard != LoopGuard::None {
        return;
    }
    let unguarded = if own { Unguarded::NoGuard } else { Unguarded::OtherConnection };
    for outbound in sender.outbound.iter() {
        for inbound in receiver.inbound.iter() {
            let Some(shared) = intersect(outbound.to().as_str(), inbound.from().as_str()) else { continue };
            let refer =
                |upstream: &str, rule: &Rule| Box::new(RuleRef { upstream: upstream.to_owned(), rule: rule.clone() });
            found.push(Conflict::Return {
                outbound: refer(&sender.name, outbound),
                inbound: refer(&receiver.name, inbound),
                example: shared,
                unguarded,
            });
        }
    }
}

/// Fresh levels of a witness, as a person would write an example.
fn readable(witness: &str) -> String {
    let levels = witness.split('/').map(|level| if level.starts_with('\u{1}') { "x" } else { level });
    levels.collect::<Vec<_>>().join("/")
}

#[cfg(test)]
#[path = "analysis_tests.rs"]
mod tests;
