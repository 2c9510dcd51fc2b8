//! Who is where: one roster per channel over all connectors.
//!
//! A session that someone can be told by (an authenticated user, an MQTT client id, the user of a Pusher presence
//! channel) is present in a channel while it is subscribed to exactly that channel, and connected. Which channels have a roster
//! is said by [`crate::ChannelRule::presence`]; a connector whose protocol has rosters of its own joins them by
//! [`crate::Session::join`]. A user with several sessions is there once, from the first to the last of them.
//!
//! When other rules are put in force, rosters follow: who is subscribed already enters or leaves.
//!
//! The roster of a channel under such a rule is also published, retained, on `$presence/CHANNEL`: soon after it has changed, not at
//! every change, so that a crowd does not flood itself.

use std::{fmt, sync::Arc, time::SystemTime};

use arc_swap::ArcSwap;
use parking_lot::{Mutex, MutexGuard};

pub use self::roster::{Full, Roster};
use crate::{
    channel::Channel,
    hash::{HashMap, RandomState},
    message::Connector,
    session::{SessionCore, SessionId},
};

mod news;
mod roster;
mod rules;
mod session;

pub(crate) use self::{news::tell, session::Standing};

/// The most users of one roster that is not bounded by its protocol. Who comes later is not listed.
pub const MAX_MEMBERS: usize = 10_000;

const SHARDS: usize = 32;

/// As whom a session is present.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The user: one of that name is there once.
    pub user: Arc<str>,
    /// What others are told about the user, as JSON.
    pub info: Option<Arc<str>>,
}

impl Member {
    /// A user about whom there is nothing more to say.
    pub fn new(user: impl Into<Arc<str>>) -> Self {
        Self { user: user.into(), info: None }
    }
}

/// A user who is present.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Present {
    /// The user.
    pub user: Arc<str>,
    /// What is told about the user, as JSON; the first session that says something counts.
    pub info: Option<Arc<str>>,
    /// Since when the user is there.
    pub since: SystemTime,
    /// By which connectors, each once, by name.
    pub connectors: Vec<Connector>,
}

/// Hears of comings and goings, in order, while the roster is locked: it must be quick, and not ask the roster itself.
pub trait RosterWatcher: Send + Sync + 'static {
    /// A user who was not there has come, by this session.
    fn came(&self, channel: &Channel, member: &Member, by: SessionId);

    /// A user's last session has left.
    fn left(&self, channel: &Channel, user: &str, by: SessionId);
}

type Shard = HashMap<Channel, Roster>;

/// All rosters of a bus.
#[derive(Default)]
pub struct Presence {
    shards: [Mutex<Shard>; SHARDS],
    hasher: RandomState,
    watchers: ArcSwap<Vec<Arc<dyn RosterWatcher>>>,
    pub(crate) news: news::News,
}

impl fmt::Debug for Presence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Presence").finish_non_exhaustive()
    }
}

impl Presence {
    /// Who is present in a channel, by user.
    #[must_use]
    pub fn users(&self, channel: &Channel) -> Vec<Present> {
        self.read(channel, |roster| roster.users().collect())
    }

    /// How many users are present in a channel.
    #[must_use]
    pub fn count(&self, channel: &Channel) -> usize {
        self.shard(channel).get(channel).map_or(0, Roster::len)
    }

    /// Channels with someone present, in order of name, and how many: those after `after`, at most `limit` of them. A page for
    /// operators.
    #[must_use]
    pub fn channels(&self, after: Option<&Channel>, limit: usize) -> Vec<(Channel, usize)> {
        let mut found: Vec<(Channel, usize)> = Vec::new();
        for shard in &self.shards {
            let shard = shard.lock();
            let later = shard.iter().filter(|(channel, _)| after.is_none_or(|after| *channel > after));
            found.extend(later.map(|(channel, roster)| (channel.clone(), roster.len())));
        }
        found.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        found.truncate(limit);
        found
    }

    /// Channels with someone present that are wanted, in no order.
    pub(crate) fn find(&self, wanted: impl Fn(&Channel) -> bool) -> Vec<Channel> {
        let of_shard = |shard: &Mutex<Shard>| -> Vec<Channel> {
            shard.lock().keys().filter(|channel| wanted(channel)).cloned().collect()
        };
        self.shards.iter().flat_map(of_shard).collect()
    }

    /// Looks at a roster while nobody can come or go. `look` must not ask for another.
    pub fn read<R>(&self, channel: &Channel, look: impl FnOnce(&Roster) -> R) -> R {
        match self.shard(channel).get(channel) {
            Some(roster) => look(roster),
            None => look(&Roster::default()),
        }
    }

    /// Adds a watcher; it hears of what happens from now on.
    pub fn watch(&self, watcher: Arc<dyn RosterWatcher>) {
        self.watchers.rcu(|watchers| {
            let mut watchers = Vec::clone(watchers);
            watchers.push(watcher.clone());
            watchers
        });
    }

    /// Enters a session. `then` sees the roster with it, before anybody else hears of it.
    pub(crate) fn enter(
        &self,
        place: &Place<'_>,
        member: &Member,
        most: usize,
        then: impl FnOnce(&Roster),
    ) -> Result<(), Full> {
        let Place { channel, session, published } = *place;
        let mut shard = self.shard(channel);
        let roster = shard.entry(channel.clone()).or_default();
        let came = roster.enter(member, (session.id, session.config.connector), most);
        match came {
            Ok(came) => {
                then(roster);
                if came {
                    self.watchers.load().iter().for_each(|watcher| watcher.came(channel, member, session.id));
                    self.news.came(channel, &member.user, published);
                }
            }
            Err(Full) if roster.is_empty() => drop(shard.remove(channel)),
            Err(Full) => {}
        }
        came.map(drop)
    }

    /// Takes a session out.
    pub(crate) fn leave(&self, place: &Place<'_>, user: &Arc<str>) {
        let Place { channel, session, published } = *place;
        let mut shard = self.shard(channel);
        let Some(roster) = shard.get_mut(channel) else { return };
        if roster.leave(user, session.id) {
            if roster.is_empty() {
                shard.remove(channel);
            }
            self.watchers.load().iter().for_each(|watcher| watcher.left(channel, user, session.id));
            self.news.left(channel, user, published);
        }
    }

    fn shard(&self, channel: &Channel) -> MutexGuard<'_, Shard> {
        let index = usize::try_from(self.hasher.hash_one(channel) % SHARDS as u64).unwrap_or(0);
        #[expect(clippy::indexing_slicing, reason = "taken modulo the length")]
        self.shards[index].lock()
    }
}

/// A session in a channel.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) channel: &'a Channel,
    pub(crate) session: &'a SessionCore,
    /// Whether the roster is also published.
    pub(crate) published: bool,
}
