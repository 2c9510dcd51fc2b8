//! Who takes what: an index over filters, with the matched set cached per channel.

use std::{
    collections,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use indexmap::IndexMap;
use smallvec::SmallVec;

use crate::{
    channel::{Channel, Filter, has_wildcard},
    hash::{HashMap, NumberState},
    lane::{Target, Targets},
    peer::{Grant, Share},
    session::{SessionCore, SessionId},
};

type Members = IndexMap<SessionId, (Arc<SessionCore>, Grant), NumberState>;

/// The members of one shared subscription (`$share/NAME/FILTER`): each message goes to one of them.
#[derive(Debug)]
struct Group {
    share: Arc<Share>,
    members: Members,
    turn: Arc<AtomicUsize>,
}

impl Group {
    fn new(filter: &Filter, name: &Arc<str>) -> Self {
        let share = Arc::new(Share { filter: filter.clone(), name: name.clone() });
        Self { share, members: Members::default(), turn: Arc::default() }
    }
}

#[derive(Debug, Default)]
struct Subscribers {
    plain: Members,
    groups: collections::HashMap<Arc<str>, Group>,
}

impl Subscribers {
    fn is_empty(&self) -> bool {
        self.plain.is_empty() && self.groups.is_empty()
    }
}

/// A level of the tree of wildcard filters.
#[derive(Debug, Default)]
struct Node {
    children: HashMap<Box<str>, Node>,
    filter: Option<Filter>,
}

/// The index. Filters without wildcards are found by their hash; the tree holds only the others.
#[derive(Debug, Default)]
pub(crate) struct Interest {
    filters: HashMap<Filter, Subscribers>,
    wild: Node,
    subscriptions: usize,
}

/// What an addition or removal changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Change {
    /// The session's subscription was new, or was there.
    pub(crate) subscription: bool,
    /// The filter got its first subscriber, or lost its last.
    pub(crate) filter: bool,
}

impl Interest {
    pub(crate) fn add(
        &mut self,
        filter: &Filter,
        session: &Arc<SessionCore>,
        mut grant: Grant,
        group: Option<&Arc<str>>,
    ) -> Change {
        let subscribers = self.filters.entry(filter.clone()).or_default();
        let first = subscribers.is_empty();
        let members = match group {
            Some(name) => {
                let group = subscribers.groups.entry(name.clone()).or_insert_with(|| Group::new(filter, name));
                grant.share = Some(group.share.clone());
                &mut group.members
            }
            None => &mut subscribers.plain,
        };
        let new = members.insert(session.id, (session.clone(), grant)).is_none();
        self.subscriptions += usize::from(new);
        if first && filter.is_wildcard() {
            self.wild.insert(filter);
        }
        Change { subscription: new, filter: first }
    }

    pub(crate) fn remove(&mut self, filter: &Filter, session: SessionId, group: Option<&Arc<str>>) -> Change {
        let nothing = Change { subscription: false, filter: false };
        let Some(subscribers) = self.filters.get_mut(filter) else {
            return nothing;
        };
        let was_there = match group {
            None => subscribers.plain.swap_remove(&session).is_some(),
            Some(name) => {
                let Some(group) = subscribers.groups.get_mut(name) else {
                    return nothing;
                };
                let was_there = group.members.swap_remove(&session).is_some();
                if group.members.is_empty() {
                    subscribers.groups.remove(name);
                }
                was_there
            }
        };
        let last = was_there && subscribers.is_empty();
        self.subscriptions -= usize::from(was_there);
        if last {
            self.filters.remove(filter);
            if filter.is_wildcard() {
                self.wild.remove(&mut filter.levels());
            }
        }
        Change { subscription: was_there, filter: last }
    }

    /// The members of a shared subscription, if it has any.
    pub(crate) fn shared(&self, share: &Share) -> Option<SharedTargets> {
        self.group(share).map(SharedTargets::new)
    }

    /// Whether a shared subscription has a live member beside this one.
    pub(crate) fn has_other_live(&self, share: &Share, not: SessionId) -> bool {
        let others = self.group(share).into_iter().flat_map(|group| &group.members).filter(|(id, _)| **id != not);
        others.into_iter().any(|(_, (session, _))| session.peer.is_live())
    }

    fn group(&self, share: &Share) -> Option<&Group> {
        self.filters.get(&share.filter)?.groups.get(&share.name)
    }

    /// How many distinct filters have a subscriber.
    pub(crate) fn filters(&self) -> usize {
        self.filters.len()
    }

    /// How many subscriptions there are.
    pub(crate) fn subscriptions(&self) -> usize {
        self.subscriptions
    }

    /// How many subscribe to exactly this filter, and the distinct filters with their counts.
    pub(crate) fn list(&self) -> impl Iterator<Item = (&Filter, usize)> {
        self.filters.iter().map(|(filter, subs)| {
            (filter, subs.plain.len() + subs.groups.values().map(|group| group.members.len()).sum::<usize>())
        })
    }

    /// How many sessions subscribe to exactly this filter.
    pub(crate) fn count(&self, filter: &Filter) -> usize {
        self.filters.get(filter).map_or(0, |subs| subs.plain.len())
    }

    /// The sessions that take a channel: each once, with one merged grant.
    pub(crate) fn matched(&self, channel: &Channel, lanes: usize) -> Matched {
        let mut found: SmallVec<[&Subscribers; 8]> = SmallVec::new();
        // A channel can be called `+`; the filter `+` is then not the filter for it.
        found.extend(self.filters.get(channel.as_str()).filter(|_| !has_wildcard(channel.as_str())));
        let mut keys = Vec::new();
        self.wild.collect(channel, &mut keys);
        found.extend(keys.into_iter().filter_map(|filter| self.filters.get(filter)));

        let groups = found.iter().flat_map(|s| s.groups.values()).map(SharedTargets::new).collect();
        Matched { lanes: spread(merged(&found), lanes), groups }
    }
}

fn merged(found: &[&Subscribers]) -> Vec<Target> {
    if let [only] = found {
        return only.plain.values().map(|(session, grant)| session.target(grant.clone())).collect();
    }
    let mut merged: IndexMap<SessionId, Target, NumberState> = IndexMap::default();
    for (session, grant) in found.iter().flat_map(|subscribers| subscribers.plain.values()) {
        merged
            .entry(session.id)
            .and_modify(|target| target.grant.merge(grant))
            .or_insert_with(|| session.target(grant.clone()));
    }
    merged.into_values().collect()
}

fn spread(targets: Vec<Target>, lanes: usize) -> SmallVec<[(usize, Arc<Targets>); 2]> {
    let mut by_lane: Vec<Vec<Target>> = vec![Vec::new(); lanes.max(1)];
    for target in targets {
        if let Some(list) = by_lane.get_mut(target.session.lane(lanes)) {
            list.push(target);
        }
    }
    let full = by_lane.into_iter().enumerate().filter(|(_, list)| !list.is_empty());
    full.map(|(lane, list)| (lane, Arc::new(Targets::new(list)))).collect()
}

/// The subscribers of one channel, as the publisher needs them.
#[derive(Debug, Default)]
pub(crate) struct Matched {
    pub(crate) lanes: SmallVec<[(usize, Arc<Targets>); 2]>,
    pub(crate) groups: Vec<SharedTargets>,
}

impl Matched {
    pub(crate) fn is_empty(&self) -> bool {
        self.lanes.is_empty() && self.groups.is_empty()
    }

    /// How many take the channel, without those of groups.
    pub(crate) fn targets(&self) -> usize {
        self.lanes.iter().map(|(_, targets)| targets.len()).sum()
    }
}

/// The members of a shared subscription; round-robin over those that are live.
#[derive(Debug)]
pub(crate) struct SharedTargets {
    members: Vec<Target>,
    turn: Arc<AtomicUsize>,
}

impl SharedTargets {
    fn new(group: &Group) -> Self {
        let members = group.members.values().map(|(session, grant)| session.target(grant.clone())).collect();
        Self { members, turn: group.turn.clone() }
    }

    /// The member whose turn it is; if none is live, one whose session can keep the message.
    pub(crate) fn choose(&self) -> Option<&Target> {
        self.choose_but(None)
    }

    /// The same, passing one member over.
    pub(crate) fn choose_but(&self, not: Option<SessionId>) -> Option<&Target> {
        let count = self.members.len();
        let start = self.turn.fetch_add(1, Ordering::Relaxed);
        let order = || {
            let members = (0..count).filter_map(|step| self.members.get(start.wrapping_add(step) % count.max(1)));
            members.filter(|target| Some(target.session) != not)
        };
        order().find(|target| target.peer.is_live()).or_else(|| order().next())
    }
}

impl Node {
    fn insert(&mut self, filter: &Filter) {
        let mut node = self;
        for level in filter.levels() {
            node = node.children.entry(level.into()).or_default();
        }
        node.filter = Some(filter.clone());
    }

    /// Removes a filter and every branch that holds no other.
    fn remove<'a>(&mut self, levels: &mut impl Iterator<Item = &'a str>) {
        let Some(level) = levels.next() else {
            self.filter = None;
            return;
        };
        let Some(child) = self.children.get_mut(level) else {
            return;
        };
        child.remove(levels);
        if child.filter.is_none() && child.children.is_empty() {
            self.children.remove(level);
        }
    }

    fn collect<'a>(&'a self, channel: &Channel, out: &mut Vec<&'a Filter>) {
        let levels: SmallVec<[&str; 16]> = channel.levels().collect();
        self.walk(&levels, channel.is_reserved(), out);
    }

    /// Depth is bounded by the filters in the tree, not by the channel: a long name cannot exhaust the stack.
    fn walk<'a>(&'a self, levels: &[&str], reserved: bool, out: &mut Vec<&'a Filter>) {
        if !reserved {
            out.extend(self.children.get("#").and_then(|child| child.filter.as_ref()));
        }
        let Some((first, rest)) = levels.split_first() else {
            out.extend(&self.filter);
            return;
        };
        if !reserved && let Some(child) = self.children.get("+") {
            child.walk(rest, false, out);
        }
        if *first != "+"
            && *first != "#"
            && let Some(child) = self.children.get(*first)
        {
            child.walk(rest, false, out);
        }
    }
}
