//! What one client may do, with the answers that were given before.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use parking_lot::Mutex;
use ratatosk_core::{Channel, Connector, Filter, Publication};

use super::{Action, Disapproved, Identity, Subject, publisher::PublishAuthorizer, rules::Applicable};

/// Answers that are remembered for one client. Most clients publish to few channels.
const REMEMBERED: usize = 256;
/// Bytes of the names that they are about.
const REMEMBERED_BYTES: usize = 16 << 10;
/// The longest name that an answer is remembered of: a client must not fill memory with names that it makes up.
const LONGEST_NAME: usize = 256;
/// What a subscription to presence begins with.
const PRESENCE: &str = "$presence/";

/// Why something is allowed or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Nobody is restricted: there are no rules for this client.
    Open,
    /// The rule of this number decides.
    Rule(usize, bool),
    /// No rule fits: denied.
    Default,
    /// The client's token does not go that far.
    Scope,
    /// The client's token has expired.
    Expired,
}

impl Decision {
    /// Whether it may.
    #[must_use]
    pub fn allows(self) -> bool {
        matches!(self, Self::Open | Self::Rule(_, true))
    }
}

/// What a client may do. Cloning shares the answers; without restrictions it is but an empty word.
#[derive(Debug, Clone, Default)]
pub struct Rights(Option<Arc<Inner>>);

#[derive(Debug)]
struct Inner {
    identity: Identity,
    /// None: no rules, so that only the token's own scope restricts.
    rules: Option<Applicable>,
    published: Mutex<Answers>,
    /// Who is asked about each publication.
    publisher: Option<Arc<PublishAuthorizer>>,
}

/// Which channels a client may publish to.
#[derive(Debug, Default)]
struct Answers {
    known: HashMap<Channel, bool>,
    bytes: usize,
}

impl Answers {
    fn remember(&mut self, channel: &Channel, allowed: bool) {
        let bytes = channel.as_str().len();
        if bytes > LONGEST_NAME {
            return;
        }
        if self.known.len() >= REMEMBERED || self.bytes + bytes > REMEMBERED_BYTES {
            *self = Self::default();
        }
        if self.known.insert(channel.clone(), allowed).is_none() {
            self.bytes += bytes;
        }
    }
}

impl Rights {
    /// Everything is allowed to somebody unknown: a gateway without `[auth]`, or a server within another program.
    #[must_use]
    pub fn unrestricted() -> Self {
        Self(None)
    }

    /// An authenticated user whom nothing restricts.
    #[must_use]
    pub fn of_user(name: impl Into<Arc<str>>) -> Self {
        Self::new(Identity { subject: Subject::user(name), connector: Connector::GATEWAY, address: None }, None, None)
    }

    pub(super) fn new(
        identity: Identity,
        rules: Option<Applicable>,
        publisher: Option<Arc<PublishAuthorizer>>,
    ) -> Self {
        Self(Some(Arc::new(Inner { identity, rules, published: Mutex::default(), publisher })))
    }

    /// Who has them; none for somebody unknown in an open gateway.
    #[must_use]
    pub fn identity(&self) -> Option<&Identity> {
        self.0.as_ref().map(|inner| &inner.identity)
    }

    /// The user's name.
    #[must_use]
    pub fn user(&self) -> Option<&Arc<str>> {
        self.identity()?.subject.user.as_ref()
    }

    /// Whether nothing was proved about the client.
    #[must_use]
    pub fn is_anonymous(&self) -> bool {
        self.identity().is_none_or(|identity| identity.subject.anonymous)
    }

    /// When they end, in Unix seconds.
    #[must_use]
    pub fn expires(&self) -> Option<u64> {
        self.identity()?.subject.expires
    }

    /// Whether they have ended.
    #[must_use]
    pub fn have_expired(&self) -> bool {
        self.expires().is_some_and(|expires| expires <= now())
    }

    /// Whether a client may publish to a channel. Cheap when asked again: it stands before every message.
    #[must_use]
    pub fn may_publish(&self, channel: &Channel) -> bool {
        let Some(inner) = &self.0 else { return true };
        if inner.is_open() {
            return !self.have_expired();
        }
        if self.have_expired() {
            return false;
        }
        let known = inner.published.lock().known.get(channel).copied();
        if let Some(known) = known {
            return known;
        }
        let allowed = self.on_channel(Action::Publish, channel).allows();
        inner.published.lock().remember(channel, allowed);
        allowed
    }

    /// Whether a publication that [`Rights::may_publish`] allows needs [`Rights::approve`] too. Cheap.
    #[must_use]
    pub fn need_approval(&self, channel: &Channel) -> bool {
        self.0.as_ref().and_then(|inner| inner.publisher.as_ref()).is_some_and(|publisher| publisher.concerns(channel))
    }

    /// Asks the publish authorizer, where there is one for the channel: the message as it may be published.
    ///
    /// # Errors
    /// It may not, or nobody could be asked.
    pub async fn approve(&self, publication: Publication) -> Result<Publication, Disapproved> {
        let Some(inner) = &self.0 else { return Ok(publication) };
        match &inner.publisher {
            Some(publisher) if publisher.concerns(&publication.channel) => {
                publisher.judge(&inner.identity, publication).await
            }
            _ => Ok(publication),
        }
    }

    /// Whether a client may subscribe to a filter. A filter below `$presence/` asks for who is there, on the rest of it.
    #[must_use]
    pub fn may_subscribe(&self, filter: &Filter) -> bool {
        self.0.is_none() || self.on_filter(Action::Subscribe, filter).allows()
    }

    /// Whether a client may see who is present in a channel.
    #[must_use]
    pub fn may_see(&self, channel: &Channel) -> bool {
        self.0.is_none() || self.on_channel(Action::Presence, channel).allows()
    }

    /// What decides an action on a channel.
    #[must_use]
    pub fn on_channel(&self, action: Action, channel: &Channel) -> Decision {
        let Some(inner) = &self.0 else { return Decision::Open };
        let subject = &inner.identity.subject;
        if self.have_expired() {
            return Decision::Expired;
        }
        if subject.scope.as_ref().is_some_and(|scope| !scope.has_channel(action, channel)) {
            return Decision::Scope;
        }
        decide(inner.rules.as_ref().map(|rules| rules.on_channel(subject, action, channel)))
    }

    /// What decides an action on all channels of a filter.
    #[must_use]
    pub fn on_filter(&self, action: Action, filter: &Filter) -> Decision {
        let Some(inner) = &self.0 else { return Decision::Open };
        let subject = &inner.identity.subject;
        if self.have_expired() {
            return Decision::Expired;
        }
        let presence = filter.as_str().strip_prefix(PRESENCE).and_then(|rest| Filter::new(rest).ok());
        let (action, filter) = match (&presence, action) {
            (Some(below), Action::Subscribe) => (Action::Presence, below),
            _ => (action, filter),
        };
        if subject.scope.as_ref().is_some_and(|scope| !scope.has_filter(action, filter)) {
            return Decision::Scope;
        }
        decide(inner.rules.as_ref().map(|rules| rules.on_filter(subject, action, filter)))
    }
}

impl Inner {
    fn is_open(&self) -> bool {
        self.rules.is_none() && self.identity.subject.scope.is_none()
    }
}

fn decide(found: Option<Option<(usize, bool)>>) -> Decision {
    match found {
        None => Decision::Open,
        Some(Some((rule, allows))) => Decision::Rule(rule, allows),
        Some(None) => Decision::Default,
    }
}

/// Now, in Unix seconds.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
#[path = "rights_tests.rs"]
mod tests;
