//! Who is subscribed to what in one application. Who is present where is the bus's to know: what happens to its rosters
//! is told here to the subscribers of presence channels.
//!
//! What is told to subscribers about each other is sent under the lock of the channel's shard, so that every
//! subscriber hears of coming and going in the order in which it happened.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::Arc,
};

use parking_lot::{Mutex, MutexGuard};
use ratatosk_core::{SessionId, presence::Roster};
use slab::Slab;

use super::{client::Client, clock::Clock, hooks::Hooks, packet::Packet, timers::Timers};
use crate::proto::{
    count::{CountGate, Tell},
    debounce::Subject,
    frame,
    name::{Class, Kind},
    webhook::Event,
};

const SHARDS: usize = 32;
/// Above so many subscribers, a count is sent outside of the lock.
const CROWD: usize = 100;

/// What the HTTP API tells of an occupied channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Occupied {
    pub(super) name: Arc<str>,
    pub(super) kind: Kind,
    pub(super) subscriptions: usize,
}

struct Room {
    kind: Kind,
    subscribers: Slab<Arc<Client>>,
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
}

impl Room {
    fn new(kind: Kind) -> Self {
        Self { kind, subscribers: Slab::new(), gate: CountGate::default(), missed: false }
    }

    fn broadcast(&self, text: &str, except: Option<SessionId>) {
        let mut others = self
            .subscribers
            .iter()
            .map(|(_, client)| client)
            .filter(|client| Some(client.session) != except)
            .peekable();
        if others.peek().is_some() {
            let packet = Packet::new(text);
            others.for_each(|client| client.send(&packet));
        }
    }

    /// Whether outsiders hear of this channel at all.
    fn is_listed(&self) -> bool {
        self.kind.class != Class::User
    }

    fn occupied(&self, name: &Arc<str>) -> Occupied {
        Occupied { name: name.clone(), kind: self.kind, subscriptions: self.subscribers.len() }
    }
}

/// What a subscriber is told when it is in: on presence channels, who else is.
fn success(channel: &str, roster: Option<&Roster>) -> String {
    match roster {
        Some(roster) => frame::succeeded_presence(channel, roster.members()),
        None => frame::succeeded(channel),
    }
}

impl Registry {
    pub(super) fn new(hooks: Arc<Hooks>, timers: Arc<Timers>, clock: Clock, counts: bool) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self { shards, hasher: RandomState::new(), hooks, timers, clock, counts }
    }

    fn shard(&self, channel: &str) -> MutexGuard<'_, Shard> {
        let index = usize::try_from(self.hasher.hash_one(channel) % SHARDS as u64).unwrap_or(0);
        // The index is below the number of shards, of which there is at least one.
        #[expect(clippy::indexing_slicing, reason = "taken modulo the length")]
        self.shards[index].lock()
    }

    /// Enters a subscriber and sends it `subscription_succeeded`. `roster`: on presence channels, with the subscriber in it.
    pub(super) fn join(&self, channel: &Arc<str>, kind: Kind, roster: Option<&Roster>, client: &Arc<Client>) -> u32 {
        let mut shard = self.shard(channel);
        let room = shard.entry(channel.clone()).or_insert_with(|| Room::new(kind));
        let first = room.subscribers.is_empty();
        let slot = room.subscribers.insert(client.clone());
        client.tell(&success(channel, roster));
        if first && room.is_listed() {
            self.hooks.came(Subject { channel: channel.to_string(), user_id: None });
        }
        let crowd = self.count(channel, room);
        drop(shard);
        tell_crowd(crowd);
        u32::try_from(slot).unwrap_or(u32::MAX)
    }

    /// Takes a subscriber out.
    pub(super) fn leave(&self, channel: &Arc<str>, slot: u32) {
        let mut shard = self.shard(channel);
        let Some(room) = shard.get_mut(channel) else { return };
        if room.subscribers.try_remove(slot as usize).is_none() {
            return;
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

    /// A user came into a presence channel, by this session or by another connector's.
    pub(super) fn member_came(&self, channel: &str, (user, info): (&str, Option<&str>), by: SessionId) {
        let shard = self.shard(channel);
        if let Some(room) = shard.get(channel) {
            room.broadcast(&frame::member_added(channel, user, info), Some(by));
        }
        self.hooks.came(Subject { channel: channel.to_owned(), user_id: Some(user.to_owned()) });
    }

    /// A user left a presence channel.
    pub(super) fn member_left(&self, channel: &str, user: &str, by: SessionId) {
        let shard = self.shard(channel);
        if let Some(room) = shard.get(channel) {
            room.broadcast(&frame::member_removed(channel, user), Some(by));
        }
        self.hooks.left(Subject { channel: channel.to_owned(), user_id: Some(user.to_owned()) });
    }

    /// Sends `subscription_succeeded` again to one who asks again.
    pub(super) fn confirm(&self, channel: &str, roster: Option<&Roster>, client: &Client) {
        let shard = self.shard(channel);
        if shard.contains_key(channel) {
            client.tell(&success(channel, roster));
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
