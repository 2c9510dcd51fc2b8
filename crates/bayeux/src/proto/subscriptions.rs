//! What a session is subscribed to, and under which names it knows it.

use std::collections::HashMap;

use ratatosk_core::{Channel, Filter};

use crate::mapping::{self, Name, NameError, Pattern};

/// One subscription, read from its Bayeux name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// What it is on the bus.
    pub filter: Filter,
    /// The one channel that the filter matches and the subscription does not.
    pub parent: Option<Channel>,
    /// The client's spelling, where it is not ours.
    pub spelled: Option<Box<str>>,
}

/// What a `subscription` stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Channels of the bus.
    Bus(Subscription),
    /// A service channel: subscribing changes nothing.
    Service,
    /// A meta channel.
    Meta,
}

/// Reads a subscription's name.
///
/// # Errors
/// It is no channel name, or none that can be subscribed to.
pub fn read(name: &str) -> Result<Target, NameError> {
    let (filter, parent) = match mapping::read(name)? {
        Name::Meta => return Ok(Target::Meta),
        Name::Service(_) => return Ok(Target::Service),
        Name::Channel(channel) => (mapping::exact(&channel)?, None),
        Name::Pattern(Pattern { filter, parent }) => (filter, parent),
    };
    // What is sent to services is between each client and the server.
    if filter.levels().next() == Some(mapping::SERVICES) {
        return Ok(Target::Service);
    }
    let ours = mapping::encode_filter(&filter);
    let spelled = (ours.as_deref() != Some(name)).then(|| name.into());
    Ok(Target::Bus(Subscription { filter, parent, spelled }))
}

/// How a session names a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Named {
    /// As we do.
    Plainly,
    /// In its own spellings, each once.
    Spelled(Vec<Box<str>>),
    /// Not at all: the filter matched, the subscription does not.
    Not,
}

#[derive(Debug, Default)]
struct Entry {
    parent: Option<Channel>,
    /// Whether the client used our spelling.
    plain: bool,
    spelled: Vec<Box<str>>,
}

/// A session's subscriptions.
#[derive(Debug, Default)]
pub struct Subscriptions {
    entries: HashMap<Filter, Entry>,
    /// Entries that need a second look at each message: those with a parent or a spelling of their own.
    special: usize,
}

impl Subscriptions {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether this filter is subscribed to.
    #[must_use]
    pub fn contains(&self, filter: &Filter) -> bool {
        self.entries.contains_key(filter)
    }

    /// Adds one: true if its filter is new.
    pub fn insert(&mut self, subscription: Subscription) -> bool {
        let Subscription { filter, parent, spelled } = subscription;
        let new = !self.entries.contains_key(&filter);
        let entry = self.entries.entry(filter).or_default();
        entry.parent = parent;
        match spelled {
            None => entry.plain = true,
            Some(name) if entry.spelled.contains(&name) => {}
            Some(name) => entry.spelled.push(name),
        }
        self.count_special();
        new
    }

    /// Removes one spelling: true if that was the last and the filter is no longer wanted.
    pub fn remove(&mut self, subscription: &Subscription) -> bool {
        let Some(entry) = self.entries.get_mut(&subscription.filter) else { return false };
        match &subscription.spelled {
            None => entry.plain = false,
            Some(name) => entry.spelled.retain(|known| known != name),
        }
        let gone = !entry.plain && entry.spelled.is_empty();
        if gone {
            self.entries.remove(&subscription.filter);
        }
        self.count_special();
        gone
    }

    fn count_special(&mut self) {
        self.special =
            self.entries.values().filter(|entry| entry.parent.is_some() || !entry.spelled.is_empty()).count();
    }

    /// Under which names the client waits for a message on this channel.
    #[must_use]
    pub fn names_of(&self, channel: &Channel) -> Named {
        if self.special == 0 {
            return Named::Plainly;
        }
        let mut matching = self
            .entries
            .iter()
            .filter(|(filter, entry)| filter.matches(channel) && entry.parent.as_ref() != Some(channel))
            .peekable();
        if matching.peek().is_none() {
            return Named::Not;
        }
        let mut names: Vec<Box<str>> = Vec::new();
        for (filter, entry) in matching {
            let plain = entry.plain.then(|| mapping::encode(channel).into());
            for name in entry.spelled.iter().map(|spelled| respell(spelled, filter, channel)).chain(plain) {
                if !names.contains(&name) {
                    names.push(name);
                }
            }
        }
        if names.len() == 1 && names.first().is_some_and(|name| **name == mapping::encode(channel)) {
            return Named::Plainly;
        }
        Named::Spelled(names)
    }
}

/// The channel's name as one who subscribed with `spelled` expects it.
fn respell(spelled: &str, filter: &Filter, channel: &Channel) -> Box<str> {
    if !filter.is_wildcard() {
        return spelled.into();
    }
    let trimmed = spelled.trim_end_matches('/').trim_end_matches('*').trim_end_matches('/');
    let fixed = filter.levels().count() - 1;
    let ours = mapping::encode(channel);
    let rest: String = ours.split('/').skip(1 + fixed).flat_map(|level| ["/", level]).collect();
    format!("{trimmed}{rest}").into()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
    use super::*;

    fn sub(name: &str) -> Subscription {
        match read(name) {
            Ok(Target::Bus(subscription)) => subscription,
            other => panic!("{name}: {other:?}"),
        }
    }

    fn names(subscribed: &[&str], channel: &str) -> Named {
        let mut subscriptions = Subscriptions::default();
        for name in subscribed {
            subscriptions.insert(sub(name));
        }
        subscriptions.names_of(&Channel::new(channel).unwrap())
    }

    fn spelled<const N: usize>(list: [&str; N]) -> Named {
        Named::Spelled(list.into_iter().map(Into::into).collect())
    }

    #[test]
    fn a_deep_wildcard_leaves_its_parent_out() {
        assert_eq!(names(&["/a/**"], "a"), Named::Not);
        assert_eq!(names(&["/a/**"], "a/b"), Named::Plainly);
        assert_eq!(names(&["/a/**", "/a"], "a"), Named::Plainly);
        assert_eq!(names(&["/a/**", "/*"], "a"), Named::Plainly);
        assert_eq!(names(&["/a/**", "/**"], "a"), Named::Plainly);
        assert_eq!(names(&["/a/b/**", "/a/**"], "a/b"), Named::Plainly);
        assert_eq!(names(&["/a/b"], "a/b"), Named::Plainly);
    }

    #[test]
    fn a_session_is_answered_in_its_own_spelling() {
        assert_eq!(names(&["/a b"], "a b"), spelled(["/a b"]));
        assert_eq!(names(&["/a~20b"], "a b"), Named::Plainly);
        assert_eq!(names(&["/a b/*"], "a b/c d"), spelled(["/a b/c~20d"]));
        assert_eq!(names(&["/a b/**"], "a b/c/d"), spelled(["/a b/c/d"]));
        assert_eq!(names(&["/x/"], "x"), spelled(["/x/"]));
        assert_eq!(names(&["/x//y"], "x//y"), spelled(["/x//y"]));
        assert_eq!(names(&["/a+b", "/**"], "other"), Named::Plainly);
        let Named::Spelled(both) = names(&["/a b", "/a~20b"], "a b") else { panic!("two names") };
        assert_eq!(both.len(), 2);
    }

    #[test]
    fn the_last_spelling_ends_the_subscription() {
        let mut subscriptions = Subscriptions::default();
        assert!(subscriptions.insert(sub("/a b")));
        assert!(!subscriptions.insert(sub("/a~20b")));
        assert!(!subscriptions.remove(&sub("/a b")));
        assert!(!subscriptions.remove(&sub("/c")));
        assert!(subscriptions.remove(&sub("/a~20b")));
        assert!(subscriptions.is_empty());
    }

    #[test]
    fn what_can_be_subscribed_to() {
        assert_eq!(read("/meta/**"), Ok(Target::Meta));
        assert_eq!(read("/service/x"), Ok(Target::Service));
        assert_eq!(read("/service/**"), Ok(Target::Service));
        assert_eq!(read("/$service/**"), Ok(Target::Service));
        assert_eq!(read("/$service/echo"), Ok(Target::Service));
        assert!(read("/+").is_err() && read("/a/#").is_err() && read("a").is_err());
    }
}
