//! The rules in order, and those of them that are about one client.

use std::{collections::HashSet, sync::Arc};

use parking_lot::Mutex;
use ratatosk_core::{Channel, Filter};

use super::{Action, Rule};
use crate::access::identity::{Identity, Subject};

/// Lists of rules that are remembered by which rules they are.
const SHELF: usize = 4096;

/// Rules by their numbers, ascending.
type Numbers = Arc<[u32]>;

/// All rules, in order. Cloning shares them.
#[derive(Debug, Clone, Default)]
pub struct Rules(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    all: Arc<[Rule]>,
    /// Clients whom the same rules are about share the list of those.
    shared: Mutex<HashSet<Numbers>>,
}

/// The rules that are about one client, by their numbers.
#[derive(Debug, Clone)]
pub(in crate::access) struct Applicable {
    all: Arc<[Rule]>,
    mine: Numbers,
}

impl Rules {
    /// The rules in the order in which they are asked.
    #[must_use]
    pub fn new(rules: Vec<Rule>) -> Self {
        Self(Arc::new(Inner { all: rules.into(), shared: Mutex::default() }))
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.all.is_empty()
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> &[Rule] {
        &self.0.all
    }

    /// Those that are about a client.
    #[must_use]
    pub(in crate::access) fn of(&self, identity: &Identity) -> Applicable {
        let fits =
            |(index, rule): (usize, &Rule)| rule.who.is(identity).then(|| u32::try_from(index).unwrap_or(u32::MAX));
        let mine: Numbers = self.0.all.iter().enumerate().filter_map(fits).collect();
        Applicable { all: self.0.all.clone(), mine: self.share(mine) }
    }

    fn share(&self, mine: Numbers) -> Numbers {
        let mut shared = self.0.shared.lock();
        if let Some(known) = shared.get(&mine).cloned() {
            return known;
        }
        if shared.len() >= SHELF {
            shared.retain(|list| Arc::strong_count(list) > 1);
            if shared.len() >= SHELF {
                return mine;
            }
        }
        shared.insert(mine.clone());
        mine
    }
}

impl Applicable {
    fn rules(&self) -> impl Iterator<Item = (usize, &Rule)> {
        let at = |index: &u32| usize::try_from(*index).ok().and_then(|index| Some((index, self.all.get(index)?)));
        self.mine.iter().filter_map(at)
    }

    /// The first rule that fits an action on a channel: its number and what it says.
    #[must_use]
    pub(in crate::access) fn on_channel(
        &self,
        subject: &Subject,
        action: Action,
        channel: &Channel,
    ) -> Option<(usize, bool)> {
        let fits = |rule: &Rule| {
            rule.actions.has(action)
                && rule.on.iter().any(|pattern| {
                    pattern.widest().matches(channel)
                        && pattern.for_each(subject, rule.allows, |filter| filter.matches(channel))
                })
        };
        self.rules().find(|(_, rule)| fits(rule)).map(|(index, rule)| (index, rule.allows))
    }

    /// The first rule that settles an action on all channels of a filter: one that allows must cover the filter whole, one
    /// that denies must only meet it.
    #[must_use]
    pub(in crate::access) fn on_filter(
        &self,
        subject: &Subject,
        action: Action,
        asked: &Filter,
    ) -> Option<(usize, bool)> {
        let settles = |rule: &Rule| {
            rule.actions.has(action)
                && rule.on.iter().any(|pattern| {
                    pattern.for_each(subject, rule.allows, |filter| {
                        if rule.allows { filter.covers(asked) } else { filter.overlaps(asked) }
                    })
                })
        };
        self.rules().find(|(_, rule)| settles(rule)).map(|(index, rule)| (index, rule.allows))
    }
}

#[cfg(test)]
impl Applicable {
    pub(in crate::access) fn shares_with(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.mine, &other.mine)
    }
}
