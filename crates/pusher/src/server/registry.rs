//! Who is subscribed to what in one application, and who is present where.
//!
//! What is told to subscribers about each other is sent under the lock of the channel's shard, so that every
//! subscriber hears of coming and going in the order in which it happened.

use std::{
    collections::{BTreeMap, HashMap},
    hash::{BuildHasher, RandomState},
    sync::Arc,
};

use parking_lot::{Mutex, MutexGuard};
use slab::Slab;

use super::{client::Client, clock::Clock, hooks::Hooks, packet::Packet, timers::Timers};
use crate::proto::{
    count::{CountGate, Tell},
    debounce::Subject,
    frame,
    member::Member,
    name::{Class, Kind},
    webhook::Event,
};

const SHARDS: usize = 32;
/// Above so many subscribers, a count is sent outside of the lock.
const CROWD: usize = 100;

/// The roster has no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Full;

/// What the HTTP API tells of an occupied channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Occupied {
    pub(super) name: Arc<str>,
    pub(super) kind: Kind,
    pub(super) users: usize,
    pub(super) subscriptions: usize,
}

struct Present {
    member: Arc<Member>,
    connections: usize,
}

struct Room {
    kind: Kind,
    subscribers: Slab<Arc<Client>>,
    roster: BTreeMap<Box<str>, Present>,
    gate: CountGate,
    missed: bool,
}

type Shard = HashMap<Arc<str>, Room>;

/// See the module.
pub(super) struct Registry {
    shards: Box<[Mutex<Shard>]>,
    hasher: RandomState,
    pub(super) hooks: Arc<Hooks>,
    pub(super) timers: Arc<Timers>,
    clock: Clock,
    counts: bool,
    max_members: usize,
}

impl Room {
    fn new(kind: Kind) -> Self {
        Self { kind, subscribers: Slab::new(), roster: BTreeMap::new(), gate: CountGate::default(), missed: false }
    }

    fn success(&self, channel: &str) -> String {
        if self.kind.class != Class::Presence {
            return frame::succeeded(channel);
        }
        let members = self.roster.values().map(|present| {
            let member = &present.member;
            (member.user_id.as_str(), member.user_info.as_deref())
        });
        frame::succeeded_presence(channel, members)
    }

    fn broadcast(&self, text: &str, except: Option<usize>) {
        if self.subscribers.len() <= usize::from(except.is_some()) {
            return;
        }
        let packet = Packet::new(text);
        for (slot, client) in &self.subscribers {
            if Some(slot) != except {
                client.send(&packet);
            }
        }
    }

    /// Whether outsiders hear of this channel at all.
    fn is_listed(&self) -> bool {
        self.kind.class != Class::User
    }

    fn occupied(&self, name: &Arc<str>) -> Occupied {
        let (users, subscriptions) = (self.roster.len(), self.subscribers.len());
        Occupied { name: name.clone(), kind: self.kind, users, subscriptions }
    }
}

impl Registry {
    pub(super) fn new(hooks: Arc<Hooks>, timers: Arc<Timers>, clock: Clock, counts: bool, max_members: usize) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self { shards, hasher: RandomState::new(), hooks, timers, clock, counts, max_members }
    }

    fn shard(&self, channel: &str) -> MutexGuard<'_, Shard> {
        let index = usize::try_from(self.hasher.hash_one(channel) % SHARDS as u64).unwrap_or(0);
        // The index is below the number of shards, of which there is at least one.
        #[expect(clippy::indexing_slicing, reason = "taken modulo the length")]
        self.shards[index].lock()
    }

    /// Enters a subscriber, sends it `subscription_succeeded`, and tells the others.
    pub(super) fn join(
        &self,
        channel: &Arc<str>,
        kind: Kind,
        member: Option<&Arc<Member>>,
        client: &Arc<Client>,
    ) -> Result<u32, Full> {
        let mut shard = self.shard(channel);
        if let Some(member) = member {
            let room = shard.get(channel);
            let known = room.is_some_and(|room| room.roster.contains_key(member.user_id.as_str()));
            if !known && room.map_or(0, |room| room.roster.len()) >= self.max_members {
                return Err(Full);
            }
        }
        let room = shard.entry(channel.clone()).or_insert_with(|| Room::new(kind));
        let first = room.subscribers.is_empty();
        let slot = room.subscribers.insert(client.clone());
        let mut added = false;
        if let Some(member) = member {
            let present = room.roster.entry(member.user_id.as_str().into());
            let present = present.or_insert_with(|| Present { member: member.clone(), connections: 0 });
            present.connections += 1;
            added = present.connections == 1;
        }
        client.tell(&room.success(channel));
        if first && room.is_listed() {
            self.hooks.came(Subject { channel: channel.to_string(), user_id: None });
        }
        if let Some(member) = member.filter(|_| added) {
            room.broadcast(&member.added(channel), Some(slot));
            self.hooks.came(Subject { channel: channel.to_string(), user_id: Some(member.user_id.clone()) });
        }
        let crowd = self.count(channel, room);
        drop(shard);
        tell_crowd(crowd);
        Ok(u32::try_from(slot).unwrap_or(u32::MAX))
    }

    /// Takes a subscriber out, and tells the others.
    pub(super) fn leave(&self, channel: &Arc<str>, slot: u32, member: Option<&Arc<Member>>) {
        let mut shard = self.shard(channel);
        let Some(room) = shard.get_mut(channel) else { return };
        if room.subscribers.try_remove(slot as usize).is_none() {
            return;
        }
        if let Some(member) = member {
            let user = member.user_id.as_str();
            let gone = room.roster.get_mut(user).is_some_and(|present| {
                present.connections -= 1;
                present.connections == 0
            });
            if gone {
                room.roster.remove(user);
                room.broadcast(&frame::member_removed(channel, user), None);
                self.hooks.left(Subject { channel: channel.to_string(), user_id: Some(user.to_owned()) });
            }
        }
        let crowd = self.count(channel, room);
        if room.subscribers.is_empty() {
            if room.is_listed() {
                self.hooks.left(Subject { channel: channel.to_string(), user_id: None });
            }
            shard.remove(channel);
        }
        drop(shard);
        tell_crowd(crowd);
    }

    /// Sends `subscription_succeeded` again to one who asks again.
    pub(super) fn confirm(&self, channel: &str, client: &Client) {
        let shard = self.shard(channel);
        if let Some(room) = shard.get(channel) {
            client.tell(&room.success(channel));
        }
    }

    fn count(&self, channel: &Arc<str>, room: &mut Room) -> Option<Crowd> {
        if !self.counts || matches!(room.kind.class, Class::Presence | Class::User) {
            return None;
        }
        let count = room.subscribers.len();
        match room.gate.changed(count, self.clock.now()) {
            Tell::Now => self.tell_count(channel, room),
            Tell::At(at) => {
                self.timers.at(at, channel.clone());
                None
            }
            Tell::No => None,
        }
    }

    fn tell_count(&self, channel: &str, room: &Room) -> Option<Crowd> {
        let count = room.subscribers.len();
        self.hooks.tell(Event::SubscriptionCount { channel: channel.to_owned(), subscription_count: count });
        let text = frame::subscription_count(channel, count);
        if count > CROWD {
            let clients = room.subscribers.iter().map(|(_, client)| client.clone()).collect();
            return Some(Crowd { clients, packet: Packet::new(&text) });
        }
        room.broadcast(&text, None);
        None
    }

    /// A time given to the timers has come.
    pub(super) fn due(&self, channel: &str) {
        let mut shard = self.shard(channel);
        let Some(room) = shard.get_mut(channel) else { return };
        let due = room.gate.due(room.subscribers.len(), self.clock.now());
        let crowd = if due { self.tell_count(channel, room) } else { None };
        drop(shard);
        tell_crowd(crowd);
    }

    /// Someone found a cache channel empty. Told once until it is filled.
    pub(super) fn missed(&self, channel: &str) {
        let mut shard = self.shard(channel);
        let Some(room) = shard.get_mut(channel) else { return };
        if !std::mem::replace(&mut room.missed, true) {
            self.hooks.tell(Event::CacheMiss { channel: channel.to_owned() });
        }
    }

    /// A cache channel was filled.
    pub(super) fn filled(&self, channel: &str) {
        if let Some(room) = self.shard(channel).get_mut(channel) {
            room.missed = false;
        }
    }

    /// What there is to tell of a channel; `None` if nobody is subscribed.
    pub(super) fn occupied(&self, channel: &str) -> Option<Occupied> {
        self.shard(channel).get_key_value(channel).map(|(name, room)| room.occupied(name))
    }

    /// Who is present in a channel.
    pub(super) fn users(&self, channel: &str) -> Vec<String> {
        let shard = self.shard(channel);
        shard.get(channel).map(|room| room.roster.keys().map(ToString::to_string).collect()).unwrap_or_default()
    }

    /// Every occupied channel whose name begins so, by name.
    pub(super) fn list(&self, prefix: &str) -> Vec<Occupied> {
        let mut all: Vec<Occupied> = Vec::new();
        for shard in &self.shards {
            let shard = shard.lock();
            let rooms = shard.iter().filter(|(name, room)| room.is_listed() && name.starts_with(prefix));
            all.extend(rooms.map(|(name, room)| room.occupied(name)));
        }
        all.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        all
    }
}

struct Crowd {
    clients: Vec<Arc<Client>>,
    packet: Packet,
}

fn tell_crowd(crowd: Option<Crowd>) {
    if let Some(crowd) = crowd {
        crowd.clients.iter().for_each(|client| client.send(&crowd.packet));
    }
}
