//! Which subscriptions an upstream holds: all of its rules', or only those that somebody here wants.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use ratatosk_core::{Bus, Filter, Qos};
use tokio::sync::watch;

use super::port::Wanted;
use crate::rules::{RuleSet, cover};

/// The pause after each look at the interest of a busy bus, as a multiple of the time the look took.
const REST: u32 = 20;
/// And at least this long: changes that come together are looked at together.
const SETTLE: Duration = Duration::from_millis(20);

/// What all rules ask for.
pub(super) fn everything(rules: &RuleSet) -> Wanted {
    with_qos(rules.iter().map(|rule| rule.from().clone()), rules)
}

/// What the local subscribers ask for through the rules.
fn demanded(rules: &RuleSet, interest: impl Iterator<Item = Filter>) -> HashSet<Filter> {
    let mut far = HashSet::new();
    for local in interest {
        far.extend(rules.iter().filter_map(|rule| rule.demand(&local)));
    }
    far
}

/// The filters without those that others cover, each with the highest quality that a rule for it asks for.
fn with_qos(filters: impl IntoIterator<Item = Filter>, rules: &RuleSet) -> Wanted {
    let qos = |filter: &Filter| {
        let asked = rules.iter().filter(|rule| rule.from().overlaps(filter)).map(|rule| rule.options().qos);
        asked.max().unwrap_or_default()
    };
    Arc::new(
        cover(filters).into_iter().map(|filter| (qos(&filter), filter)).map(|(qos, filter)| (filter, qos)).collect(),
    )
}

/// Follows the bus's interest and keeps `wanted` in step: additions at once, removals after `linger`.
pub(super) struct Demand {
    pub(super) bus: Bus,
    pub(super) rules: RuleSet,
    /// Filters that the bridge itself is subscribed to: its own interest is no demand.
    pub(super) own: Vec<Filter>,
    pub(super) linger: Duration,
    pub(super) wanted: watch::Sender<Wanted>,
}

impl Demand {
    pub(super) async fn follow(self) {
        let mut changes = self.bus.interest_changes();
        // By filter: since when nobody wants it.
        let mut held: BTreeMap<Filter, Option<Instant>> = BTreeMap::new();
        loop {
            changes.borrow_and_update();
            let started = Instant::now();
            let next = self.look(&mut held, started);
            tokio::time::sleep(started.elapsed() * REST + SETTLE).await;
            tokio::select! {
                changed = changes.changed() => if changed.is_err() { return },
                () = until(next) => {}
            }
        }
    }

    /// One look; says when the next filter's linger ends.
    fn look(&self, held: &mut BTreeMap<Filter, Option<Instant>>, now: Instant) -> Option<Instant> {
        let needed = demanded(&self.rules, self.local_interest());
        for filter in &needed {
            held.insert(filter.clone(), None);
        }
        held.retain(|filter, idle| {
            if needed.contains(filter) {
                return true;
            }
            now.saturating_duration_since(*idle.get_or_insert(now)) < self.linger
        });
        let next = held.values().flatten().min().map(|idle| *idle + self.linger);
        let wanted = with_qos(held.keys().cloned(), &self.rules);
        self.wanted.send_if_modified(|current| {
            let differs = **current != *wanted;
            if differs {
                *current = wanted;
            }
            differs
        });
        next
    }

    fn local_interest(&self) -> impl Iterator<Item = Filter> {
        let own = |filter: &Filter| usize::from(self.own.contains(filter));
        self.bus
            .interest_list()
            .into_iter()
            .filter(move |(filter, count)| *count > own(filter))
            .map(|(filter, _)| filter)
    }
}

/// Sleeps until then, or for ever.
async fn until(when: Option<Instant>) {
    match when {
        Some(when) => tokio::time::sleep_until(when.into()).await,
        None => std::future::pending().await,
    }
}

/// Used where `mode = "always"`: the set never changes.
pub(super) fn fixed(rules: &RuleSet) -> watch::Sender<Wanted> {
    watch::Sender::new(everything(rules))
}

/// The empty set, before the first look.
pub(super) fn none() -> watch::Sender<Wanted> {
    watch::Sender::new(Arc::new(BTreeMap::<Filter, Qos>::new()))
}
