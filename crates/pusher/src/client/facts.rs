//! What is known of a Pusher server, for operators and programs.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use tokio::sync::broadcast;

use crate::proto::{
    member::Member,
    presence::{Changes, Presence},
};

/// A connection that has not come about for this long is unavailable (as pusher-js has it).
const UNAVAILABLE_AFTER: Duration = Duration::from_secs(10);

/// Where the client stands, in the words of Pusher's own clients.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ClientState {
    /// Nothing was tried yet.
    #[default]
    Initialized,
    /// An attempt is made, or about to be.
    Connecting,
    /// The server has let us in.
    Connected,
    /// It has not for ten seconds; it is tried again.
    Unavailable,
    /// The server will not have us; nothing is tried.
    Failed,
    /// We left.
    Disconnected,
}

/// One channel.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChannelFacts {
    /// Whether the server confirmed the subscription on this connection.
    pub live: bool,
    /// How many subscribers the server says it has.
    pub subscription_count: Option<u64>,
    /// Who is present, on presence channels. While the connection is down, who was.
    pub presence: Option<Presence>,
}

/// One look.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// Where the client stands.
    pub state: ClientState,
    /// The connection's name; none while it is down.
    pub socket_id: Option<String>,
    /// By Pusher name: the channels that are wanted.
    pub channels: BTreeMap<String, ChannelFacts>,
    /// Who of the watchlist is there.
    pub online: Vec<String>,
    /// Whether we are signed in.
    pub signed_in: bool,
    /// The last error the server told.
    pub last_error: Option<String>,
}

impl ClientState {
    /// The label for operators.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Initialized => "initialized",
            Self::Connecting => "connecting",
            Self::Connected => "connected",
            Self::Unavailable => "unavailable",
            Self::Failed => "failed",
            Self::Disconnected => "disconnected",
        }
    }
}

impl Facts {
    /// As JSON, for the admin API: `presence` with `ids`, `hash`, `count` and `me` as Pusher's own clients have it.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let channels = self.channels.iter().map(|(name, channel)| {
            let presence = channel.presence.as_ref().map(|presence| {
                let info =
                    |info: Option<&str>| info.and_then(|text| serde_json::from_str(text).ok()).unwrap_or(Value::Null);
                let hash: Map<String, Value> = presence.hash().map(|(id, text)| (id.to_owned(), info(text))).collect();
                let ids: Vec<&str> = presence.ids().collect();
                json!({ "ids": ids, "hash": hash, "count": presence.count(), "me": presence.me() })
            });
            let (live, count) = (channel.live, channel.subscription_count);
            (name.clone(), json!({ "live": live, "subscription_count": count, "presence": presence }))
        });
        json!({
            "state": self.state.label(),
            "socket_id": self.socket_id,
            "signed_in": self.signed_in,
            "online": self.online,
            "last_error": self.last_error,
            "channels": channels.collect::<Map<_, _>>(),
        })
    }
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum News {
    /// The client stands elsewhere.
    State(ClientState),
    /// A user joined a presence channel.
    Joined {
        /// The channel.
        channel: String,
        /// Who.
        member: Member,
    },
    /// A user left a presence channel.
    Left {
        /// The channel.
        channel: String,
        /// Who.
        user_id: String,
    },
    /// Users of the watchlist came or left.
    Watchlist {
        /// Who came.
        online: Vec<String>,
        /// Who left.
        offline: Vec<String>,
    },
    /// The server told an error.
    Error {
        /// Its code, where it has one.
        code: Option<u16>,
        /// Its text.
        message: String,
    },
}

#[derive(Debug, Default)]
struct Inner {
    facts: Facts,
    connecting_since: Option<Instant>,
}

/// The current facts, and a stream of what changes.
#[derive(Debug)]
pub struct FactsCell {
    inner: Mutex<Inner>,
    news: broadcast::Sender<News>,
}

impl FactsCell {
    pub(super) fn new(news: broadcast::Sender<News>) -> Self {
        Self { inner: Mutex::default(), news }
    }

    /// A copy.
    #[must_use]
    pub fn get(&self) -> Facts {
        self.inner.lock().facts.clone()
    }

    /// What happens from now on. A listener that is too slow misses the oldest, and is told how many.
    #[must_use]
    pub fn news(&self) -> broadcast::Receiver<News> {
        self.news.subscribe()
    }

    pub(super) fn tell(&self, news: News) {
        let _ = self.news.send(news); // nobody needs to listen
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut Facts)) {
        change(&mut self.inner.lock().facts);
    }

    pub(super) fn state(&self, state: ClientState) {
        let mut inner = self.inner.lock();
        let now = Instant::now();
        let mut state = state;
        if matches!(state, ClientState::Connecting | ClientState::Unavailable) {
            let since = *inner.connecting_since.get_or_insert(now);
            let late = now.saturating_duration_since(since) >= UNAVAILABLE_AFTER;
            state = if late { ClientState::Unavailable } else { ClientState::Connecting };
        } else {
            inner.connecting_since = None;
        }
        if state != ClientState::Connected {
            inner.facts.socket_id = None;
            inner.facts.signed_in = false;
            inner.facts.online.clear();
            inner.facts.channels.values_mut().for_each(|channel| channel.live = false);
        }
        let news = std::mem::replace(&mut inner.facts.state, state) != state;
        drop(inner);
        if news {
            self.tell(News::State(state));
        }
    }

    /// A subscription is live. Answers who joined and left since the channel was last known.
    pub(super) fn succeeded(&self, channel: &str, members: Option<(Vec<Member>, Option<String>)>) -> Changes {
        let mut inner = self.inner.lock();
        let facts = inner.facts.channels.entry(channel.to_owned()).or_default();
        facts.live = true;
        let Some((members, me)) = members else { return Changes::default() };
        let changes = facts.presence.get_or_insert_default().succeeded(members, me);
        drop(inner);
        for member in &changes.joined {
            self.tell(News::Joined { channel: channel.to_owned(), member: member.clone() });
        }
        for user_id in &changes.left {
            self.tell(News::Left { channel: channel.to_owned(), user_id: user_id.clone() });
        }
        changes
    }

    /// Whether that was news.
    pub(super) fn joined(&self, channel: &str, member: &Member) -> bool {
        let news = self.presence(channel, |presence| presence.added(member.clone()));
        if news {
            self.tell(News::Joined { channel: channel.to_owned(), member: member.clone() });
        }
        news
    }

    /// Whether that was news.
    pub(super) fn left(&self, channel: &str, user_id: &str) -> bool {
        let news = self.presence(channel, |presence| presence.removed(user_id));
        if news {
            self.tell(News::Left { channel: channel.to_owned(), user_id: user_id.to_owned() });
        }
        news
    }

    fn presence(&self, channel: &str, change: impl FnOnce(&mut Presence) -> bool) -> bool {
        let mut inner = self.inner.lock();
        let facts = inner.facts.channels.get_mut(channel);
        facts.is_some_and(|facts| change(facts.presence.get_or_insert_default()))
    }

    pub(super) fn watchlist(&self, came: Vec<String>, gone: Vec<String>) {
        self.change(|facts| {
            facts.online.retain(|id| !gone.contains(id) && !came.contains(id));
            facts.online.extend(came.iter().cloned());
        });
        self.tell(News::Watchlist { online: came, offline: gone });
    }
}
