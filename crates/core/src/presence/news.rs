//! Rosters as messages: `$presence/CHANNEL`, retained, soon after a change.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::Present;
use crate::{
    bus::Bus,
    channel::Channel,
    message::{Origin, Publication},
};

/// Changes of so long go into one message.
const WINDOW: Duration = Duration::from_millis(200);
/// Users listed in a message; all are counted.
const LISTED: usize = 1000;
/// How long an empty roster is still told to newcomers.
const EMPTY: Duration = Duration::from_secs(60);

/// What happened in a channel since the last message about it.
#[derive(Debug, Default)]
struct Delta {
    joined: BTreeSet<Arc<str>>,
    left: BTreeSet<Arc<str>>,
    /// Whether it is told even if nobody came or went: its rule has changed.
    again: bool,
}

impl Delta {
    fn is_empty(&self) -> bool {
        self.joined.is_empty() && self.left.is_empty() && !self.again
    }
}

/// Changes that wait to be told.
#[derive(Debug, Default)]
pub(crate) struct News {
    pending: Mutex<HashMap<Channel, Delta>>,
    arrived: Notify,
    closed: AtomicBool,
}

impl News {
    pub(super) fn came(&self, channel: &Channel, user: &Arc<str>, published: bool) {
        if published {
            self.note(channel, |delta| {
                // Who left and came back within a window never was away.
                if !delta.left.remove(user) {
                    delta.joined.insert(user.clone());
                }
            });
        }
    }

    pub(super) fn left(&self, channel: &Channel, user: &Arc<str>, published: bool) {
        if published {
            self.note(channel, |delta| {
                if !delta.joined.remove(user) {
                    delta.left.insert(user.clone());
                }
            });
        }
    }

    /// The rosters of these channels are told anew, as the rules in force want it.
    pub(super) fn again(&self, channels: Vec<Channel>) {
        channels.iter().for_each(|channel| self.note(channel, |delta| delta.again = true));
    }

    fn note(&self, channel: &Channel, change: impl FnOnce(&mut Delta)) {
        let mut pending = self.pending.lock();
        change(pending.entry(channel.clone()).or_default());
        drop(pending);
        self.arrived.notify_one();
    }

    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        self.arrived.notify_one();
    }
}

/// Tells the news of a bus until it is closed.
pub(crate) async fn tell(bus: Bus) {
    let news = &bus.presence().news;
    loop {
        news.arrived.notified().await;
        if news.closed.load(Ordering::Relaxed) {
            return;
        }
        tokio::time::sleep(WINDOW).await;
        let pending = std::mem::take(&mut *news.pending.lock());
        for (channel, delta) in pending {
            if delta.is_empty() {
                continue;
            }
            bus.admission().await;
            publish(&bus, &channel, &delta);
        }
    }
}

fn publish(bus: &Bus, channel: &Channel, delta: &Delta) {
    // A name so long that it has no room for the prefix has no such channel.
    let Ok(about) = Channel::new(format!("$presence/{channel}")) else { return };
    let mut publication = if bus.rules().of(channel).presence {
        told(bus, channel, about, delta)
    } else {
        // Rules have changed: what was kept is not kept up any more.
        Publication::new(about, "", Origin::gateway())
    };
    publication.retain = true;
    // The gateway's own messages are refused by nobody.
    let _ = bus.publish(publication);
}

fn told(bus: &Bus, channel: &Channel, about: Channel, delta: &Delta) -> Publication {
    let (count, users) = bus.presence().read(channel, |roster| {
        (roster.len(), roster.users().take(LISTED).map(|user| shown(&user)).collect::<Vec<Value>>())
    });
    let news = json!({
        "channel": channel.as_str(),
        "count": count,
        "users": users,
        "joined": names(&delta.joined),
        "left": names(&delta.left),
    });
    let mut publication = Publication::new(about, news.to_string(), Origin::gateway());
    publication.expiry = (count == 0).then_some(EMPTY);
    publication
}

fn names(users: &BTreeSet<Arc<str>>) -> Vec<&str> {
    users.iter().take(LISTED).map(|user| &**user).collect()
}

fn shown(present: &Present) -> Value {
    let since = present.since.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis();
    let connectors: Vec<&str> = present.connectors.iter().map(|connector| connector.name()).collect();
    let mut user = json!({
        "user": &*present.user,
        "connectors": connectors,
        "since": u64::try_from(since).unwrap_or(u64::MAX),
    });
    let info = present.info.as_deref().and_then(|info| serde_json::from_str(info).ok());
    if let (Some(info), Some(user)) = (info, user.as_object_mut()) {
        user.insert("info".into(), info);
    }
    user
}
