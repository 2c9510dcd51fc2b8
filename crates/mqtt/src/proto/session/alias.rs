//! Topic aliases: numbers that stand for topics, per connection and direction (MQTT 5, 3.3.2.3.4).

use std::{collections::HashMap, num::NonZeroU16};

use bytestring::ByteString;

use super::Fault;

/// The most topics that we name by alias to one client, however many it would take.
const MOST_OUT: u16 = 64;

/// What a client's aliases stand for.
#[derive(Debug, Default)]
pub(super) struct AliasesIn(HashMap<NonZeroU16, ByteString>);

impl AliasesIn {
    /// Puts the topic in place of an alias, or learns what the alias stands for.
    pub(super) fn resolve(&mut self, alias: NonZeroU16, maximum: u16, topic: &mut ByteString) -> Result<(), Fault> {
        if alias.get() > maximum {
            return Err(Fault::TopicAlias);
        }
        if topic.is_empty() {
            *topic = self.0.get(&alias).ok_or(Fault::UnknownAlias)?.clone();
        } else {
            // A copy: the slice would keep the whole read buffer alive.
            self.0.insert(alias, ByteString::from(&**topic));
        }
        Ok(())
    }
}

/// The aliases that we gave, the least recently used of which makes room for a new one.
#[derive(Debug)]
pub(super) struct AliasesOut {
    maximum: u16,
    used: u64,
    topics: HashMap<Box<str>, (NonZeroU16, u64)>,
}

impl AliasesOut {
    /// `maximum` is the client's Topic Alias Maximum.
    pub(super) fn new(maximum: u16) -> Self {
        Self { maximum: maximum.min(MOST_OUT), used: 0, topics: HashMap::new() }
    }

    /// The alias for a topic, and whether the client knows it already.
    pub(super) fn name(&mut self, topic: &str) -> Option<(NonZeroU16, bool)> {
        self.used += 1;
        if let Some((alias, used)) = self.topics.get_mut(topic) {
            *used = self.used;
            return Some((*alias, true));
        }
        let alias = match u16::try_from(self.topics.len()) {
            Ok(count) if count < self.maximum => NonZeroU16::new(count + 1)?,
            _ => self.free_oldest()?,
        };
        self.topics.insert(topic.into(), (alias, self.used));
        Some((alias, false))
    }

    fn free_oldest(&mut self) -> Option<NonZeroU16> {
        let oldest = self.topics.iter().min_by_key(|(_, (_, used))| *used)?.0.clone();
        self.topics.remove(&oldest).map(|(alias, _)| alias)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn the_least_recently_used_topic_makes_room() {
        let mut aliases = AliasesOut::new(2);
        let one = aliases.name("a").unwrap();
        assert_eq!(one, (NonZeroU16::new(1).unwrap(), false));
        aliases.name("b").unwrap();
        assert_eq!(aliases.name("a").unwrap(), (one.0, true));
        assert_eq!(aliases.name("c").unwrap(), (NonZeroU16::new(2).unwrap(), false));
        assert_eq!(aliases.name("a").unwrap(), (one.0, true));
        assert!(!aliases.name("b").unwrap().1);
    }

    #[test]
    fn a_client_without_aliases_gets_none() {
        assert_eq!(AliasesOut::new(0).name("a"), None);
    }

    #[test]
    fn incoming_aliases() {
        let mut aliases = AliasesIn::default();
        let one = NonZeroU16::new(1).unwrap();
        let mut topic = ByteString::new();
        assert_eq!(aliases.resolve(one, 5, &mut topic), Err(Fault::UnknownAlias));
        assert_eq!(aliases.resolve(one, 5, &mut "a/b".into()), Ok(()));
        assert_eq!(aliases.resolve(one, 5, &mut topic), Ok(()));
        assert_eq!(topic, "a/b");
        assert_eq!(aliases.resolve(one, 0, &mut topic), Err(Fault::TopicAlias));
    }
}
