//! What a translation has no place for, counted once per message, protocol and field.

use std::sync::atomic::{AtomicU8, Ordering};

use super::{Connector, Message};
use crate::stats::Stats;

/// A set of a message's parts beside its channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Fields(u8);

/// Their names in metrics, by bit.
const NAMES: [&str; 7] = ["event", "properties", "content_type", "reply_to", "correlation", "expiry", "payload"];

impl Fields {
    /// No part.
    pub const NONE: Self = Self(0);
    /// The event's name.
    pub const EVENT: Self = Self(1);
    /// User properties.
    pub const PROPERTIES: Self = Self(2);
    /// The payload's MIME type.
    pub const CONTENT_TYPE: Self = Self(4);
    /// Where an answer is expected.
    pub const REPLY_TO: Self = Self(8);
    /// What an answer carries back.
    pub const CORRELATION: Self = Self(16);
    /// When the message's life ends.
    pub const EXPIRY: Self = Self(32);
    /// The payload, to the last byte.
    pub const PAYLOAD: Self = Self(64);
    /// Every part.
    pub const ALL: Self = Self(127);

    /// The parts of either set.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Without those of another set.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Their names, as metrics and documentation have them.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        NAMES.into_iter().enumerate().filter(move |(bit, _)| self.0 & 1 << bit != 0).map(|(_, name)| name)
    }
}

/// Which losses were counted, by connector.
#[derive(Debug, Default)]
pub(super) struct Told([AtomicU8; Connector::MAX]);

impl Told {
    /// Those of the set that were not told before.
    fn add(&self, to: Connector, lost: Fields) -> Fields {
        let before = self.0.get(to.index()).map_or(u8::MAX, |told| told.fetch_or(lost.0, Ordering::Relaxed));
        lost.without(Fields(before))
    }
}

impl Message {
    /// The parts that this message has.
    #[must_use]
    pub fn fields(&self) -> Fields {
        let part = |there: bool, field: Fields| if there { field } else { Fields::NONE };
        let always = Fields::PAYLOAD.and(part(self.expires.is_some(), Fields::EXPIRY));
        self.extras().map_or(always, |extras| {
            always
                .and(part(extras.event.is_some(), Fields::EVENT))
                .and(part(!extras.properties.is_empty(), Fields::PROPERTIES))
                .and(part(extras.content_type.is_some(), Fields::CONTENT_TYPE))
                .and(part(extras.reply_to.is_some(), Fields::REPLY_TO))
                .and(part(extras.correlation.is_some(), Fields::CORRELATION))
        })
    }

    /// Counts what is lost on the way to a connector whose wire form carries only these parts. Call it where the form is
    /// made; for a message without extras and expiry it costs two comparisons.
    pub fn count_losses(&self, to: Connector, carried: Fields, stats: &Stats) {
        let lost = self.fields().without(carried);
        if lost.is_empty() {
            return;
        }
        for field in self.told.add(to, lost).names() {
            stats.mapping_loss(self.origin.connector, to, field);
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use std::time::{Duration, Instant, SystemTime};

    use super::*;
    use crate::{Channel, Origin, Publication};

    #[test]
    fn a_loss_counts_once_per_message_protocol_and_field() {
        let stats = Stats::default();
        let (one, other) = (Connector::register("losses.one"), Connector::register("losses.other"));
        let mut publication = Publication::new(Channel::new("a").unwrap(), "x", Origin::connector(one));
        publication = publication.with_event("alarm");
        publication.expiry = Some(Duration::from_secs(9));
        let message = Message::new(publication, (SystemTime::now(), Instant::now()));
        for carried in [Fields::EVENT, Fields::NONE, Fields::NONE] {
            message.count_losses(other, carried.and(Fields::PAYLOAD), &stats);
        }
        message.count_losses(one, Fields::ALL, &stats);
        let losses: Vec<_> = stats.losses().into_iter().map(|(_, to, field, count)| (to, field, count)).collect();
        assert_eq!(losses, [("losses.other", "event", 1), ("losses.other", "expiry", 1)]);
    }

    #[test]
    fn a_plain_message_has_its_payload_to_lose() {
        let publication = Publication::new(Channel::new("a").unwrap(), "x", Origin::gateway());
        let message = Message::new(publication, (SystemTime::now(), Instant::now()));
        assert_eq!(message.fields(), Fields::PAYLOAD);
        assert_eq!(Fields::ALL.names().count(), NAMES.len());
    }
}
