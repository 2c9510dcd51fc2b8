//! What is wanted of a server and what is confirmed, apart.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use ratatosk_core::Filter;
use tokio::time::Instant;

use crate::{
    mapping::{MAX_NAME_BYTES, pusher_name},
    proto::name::Kind,
};

/// How long a server may take to confirm.
const CONFIRM: Duration = Duration::from_secs(15);
/// The pause before asking again, doubled each time.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Where a subscription stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Leave is asked for.
    Authorizing,
    /// The frame is sent; confirmed or given up by then.
    Pending(Instant),
    /// Confirmed.
    Live,
    /// Refused; asked again then.
    Refused(Instant),
}

/// One channel.
#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) filter: Filter,
    pub(super) stage: Stage,
    pub(super) key: Option<[u8; 32]>,
    /// Who we are there.
    pub(super) me: Option<String>,
    /// A key that did not fit was fetched anew once.
    pub(super) key_renewed: bool,
    tries: u32,
}

/// All channels of one connection, by Pusher name.
#[derive(Debug, Default)]
pub(super) struct Subscriptions(pub(super) HashMap<String, Subscription>);

/// What changed in what is wanted.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// To be authorized and subscribed.
    pub(super) subscribe: Vec<String>,
    /// To be given up, with what is now unwanted.
    pub(super) unsubscribe: Vec<(String, Filter)>,
    /// What Pusher has no way to subscribe to.
    pub(super) impossible: Vec<(Filter, String)>,
}

/// The Pusher name of a channel of the far side: a name that is one already stays, any other is written as one.
pub(super) fn wire_name(channel: &str) -> Result<String, String> {
    if Kind::of(channel, MAX_NAME_BYTES).is_ok() {
        return Ok(channel.to_owned());
    }
    let name = pusher_name(channel);
    Kind::of(&name, MAX_NAME_BYTES).map(|_| name).map_err(|fault| fault.to_string())
}

impl Subscriptions {
    /// Compares what is wanted with what is there.
    pub(super) fn plan<V>(&mut self, wanted: &BTreeMap<Filter, V>) -> Plan {
        let mut plan = Plan::default();
        let mut names: HashMap<String, &Filter> = HashMap::new();
        for filter in wanted.keys() {
            if filter.is_wildcard() {
                plan.impossible.push((filter.clone(), "Pusher has no wildcards: name the channel exactly".into()));
                continue;
            }
            match wire_name(filter.as_str()) {
                Ok(name) => drop(names.insert(name, filter)),
                Err(reason) => plan.impossible.push((filter.clone(), reason)),
            }
        }
        let gone: Vec<String> = self.0.keys().filter(|name| !names.contains_key(*name)).cloned().collect();
        for name in gone {
            if let Some(subscription) = self.0.remove(&name) {
                plan.unsubscribe.push((name, subscription.filter));
            }
        }
        for (name, filter) in names {
            if !self.0.contains_key(&name) {
                self.0.insert(name.clone(), Subscription::new(filter.clone()));
                plan.subscribe.push(name);
            }
        }
        plan
    }

    /// When [`Subscriptions::due`] has something.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let deadlines = self.0.values().filter_map(|subscription| match subscription.stage {
            Stage::Pending(at) | Stage::Refused(at) => Some(at),
            Stage::Authorizing | Stage::Live => None,
        });
        deadlines.min()
    }

    /// The channels whose time has come.
    pub(super) fn due(&self, now: Instant) -> Vec<(String, Stage)> {
        let due = self.0.iter().filter(|(_, subscription)| match subscription.stage {
            Stage::Pending(at) | Stage::Refused(at) => at <= now,
            Stage::Authorizing | Stage::Live => false,
        });
        due.map(|(name, subscription)| (name.clone(), subscription.stage)).collect()
    }

    /// The one channel an error without a channel is about: the one it names, or the only one that waits.
    pub(super) fn blamed(&self, message: &str) -> Option<String> {
        let pending = || self.0.iter().filter(|(_, s)| matches!(s.stage, Stage::Pending(_))).map(|(name, _)| name);
        let mut named = pending().filter(|name| message.contains(name.as_str()));
        // The longest: `private-a` is part of `private-ab`.
        let longest = named.by_ref().max_by_key(|name| name.len());
        let mut pending = pending();
        let only = pending.next().filter(|_| pending.next().is_none());
        longest.or(only.filter(|_| message.to_ascii_lowercase().contains("auth"))).cloned()
    }
}

impl Subscription {
    fn new(filter: Filter) -> Self {
        Self { filter, stage: Stage::Authorizing, key: None, me: None, key_renewed: false, tries: 0 }
    }

    /// The frame goes out.
    pub(super) fn sent(&mut self) {
        self.stage = Stage::Pending(Instant::now() + CONFIRM);
    }

    /// Confirmed. Whether it was not before.
    pub(super) fn confirmed(&mut self) -> bool {
        self.tries = 0;
        std::mem::replace(&mut self.stage, Stage::Live) != Stage::Live
    }

    /// Refused, or unanswered. It is asked again after a pause, which is long at once where asking again hardly helps.
    pub(super) fn refused(&mut self, passing: bool) {
        let pause = FIRST_PAUSE.saturating_mul(1 << self.tries.min(6)).min(LONGEST_PAUSE);
        self.tries += 1;
        let pause = if passing { pause } else { LONGEST_PAUSE };
        self.stage = Stage::Refused(Instant::now() + pause);
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn wanted(filters: &[&str]) -> BTreeMap<Filter, ()> {
        filters.iter().map(|text| (Filter::new(*text).unwrap(), ())).collect()
    }

    #[tokio::test]
    async fn wanted_and_confirmed_are_apart() {
        let mut subscriptions = Subscriptions::default();
        let mut plan = subscriptions.plan(&wanted(&["room/1", "private-x.y", "all/#"]));
        plan.subscribe.sort();
        assert_eq!(plan.subscribe, ["private-x.y", "room.1"]);
        assert_eq!(plan.impossible.len(), 1);
        assert!(subscriptions.0.get_mut("room.1").unwrap().confirmed());
        let plan = subscriptions.plan(&wanted(&["private-x.y", "c"]));
        assert_eq!((plan.subscribe, plan.unsubscribe.len()), (vec!["c".to_owned()], 1));
    }

    #[tokio::test]
    async fn an_error_without_a_channel_is_blamed_on_the_right_one() {
        let mut subscriptions = Subscriptions::default();
        subscriptions.plan(&wanted(&["private-a", "private-ab", "c"]));
        subscriptions.0.values_mut().for_each(Subscription::sent);
        let blamed = |text: &str| subscriptions.blamed(text);
        assert_eq!(blamed("Expected digest of 1.2:private-ab, but got 0").as_deref(), Some("private-ab"));
        assert_eq!(blamed("not authorized"), None);
    }
}
