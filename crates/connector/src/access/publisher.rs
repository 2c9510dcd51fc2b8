//! Another server is asked about each publication: it allows, denies, or changes it.
//!
//! It is asked after the rules, so that it only hears of what they allow. Whatever is no clear yes is a no: a server that is slow, down or
//! answers nonsense lets nothing through.

use std::{net::IpAddr, sync::Arc, time::Duration};

use base64::Engine as _;
use bytes::Bytes;
use ratatosk_core::{Channel, Filter, Publication, message::Kind};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

use super::{
    Identity,
    inquiry::{Asker, Remembered},
    jwt::TokenKeyError,
};

/// The longest answer that is read: a payload may be in it.
const MAX_BYTES: usize = 4 << 20;
/// Questions that are open at once; more wait.
const AT_ONCE: usize = 256;

/// Where to ask about publications, and about which.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublisherConfig {
    /// The address.
    pub url: String,
    /// How long an answer may take.
    pub timeout: Duration,
    /// For how long the same question is answered the same; zero asks every time.
    pub cache: Duration,
    /// Publications to these channels; none named is all.
    pub on: Vec<Filter>,
    /// Whether the payload is part of the question.
    pub payload: bool,
}

/// Why a message may not be published.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Disapproved {
    /// The server said no, perhaps with a reason.
    #[error("{}", .0.as_deref().unwrap_or("the publish authorizer does not allow it"))]
    Denied(Option<Arc<str>>),
    /// It could not be asked.
    #[error("the publish authorizer cannot be asked")]
    Unavailable,
}

/// Asks about publications.
#[derive(Debug)]
pub(super) struct PublishAuthorizer {
    config: PublisherConfig,
    asker: Asker,
    open: Semaphore,
    known: Remembered<Judged>,
}

/// What the server is asked.
#[derive(Serialize)]
struct Question<'a> {
    connector: &'a str,
    address: Option<IpAddr>,
    user: Option<&'a str>,
    groups: Vec<&'a str>,
    channel: &'a str,
    qos: u8,
    retain: bool,
    event: Option<&'a str>,
    properties: Option<&'a [(Arc<str>, Arc<str>)]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<Shown<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    base64: Option<String>,
}

/// A payload as the server is shown it: JSON letter by letter, as subscribers get it. What another parser makes of it
/// (a number out of range, a name that comes twice) is for the server to see.
#[derive(Serialize)]
#[serde(untagged)]
enum Shown<'a> {
    Json(&'a RawValue),
    Text(&'a str),
    Binary(String),
}

/// What the server answers. Fields that it leaves out leave the message as it is.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    allow: bool,
    reason: Option<Arc<str>>,
    channel: Option<String>,
    payload: Option<Box<RawValue>>,
    base64: Option<String>,
    event: Option<Arc<str>>,
    retain: Option<bool>,
}

/// What the server has said, for as long as that holds.
type Judged = Result<Arc<Changes>, Disapproved>;

/// What becomes of an allowed message.
#[derive(Debug, Default, PartialEq)]
struct Changes {
    channel: Option<Channel>,
    payload: Option<Bytes>,
    event: Option<Arc<str>>,
    retain: Option<bool>,
}

impl PublishAuthorizer {
    pub(super) fn new(config: PublisherConfig) -> Result<Self, TokenKeyError> {
        let asker = Asker::new(config.url.clone(), config.timeout, MAX_BYTES).map_err(|_| TokenKeyError::Client)?;
        let known = Remembered::new(config.cache);
        Ok(Self { config, asker, open: Semaphore::new(AT_ONCE), known })
    }

    /// Whether publications to a channel are asked about.
    pub(super) fn concerns(&self, channel: &Channel) -> bool {
        self.config.on.is_empty() || self.config.on.iter().any(|filter| filter.matches(channel))
    }

    /// The message as it may be published.
    pub(super) async fn judge(&self, who: &Identity, publication: Publication) -> Result<Publication, Disapproved> {
        let question = self.question(who, &publication).map_err(|why| self.unavailable(&why))?;
        let digest: [u8; 32] = Sha256::digest(&question).into();
        let judged = match self.known.get(&digest) {
            Some(judged) => judged,
            None => {
                let (judged, bytes) = self.ask(question).await?;
                self.known.put(digest, judged.clone(), bytes);
                judged
            }
        };
        judged.map(|changes| changes.apply(publication))
    }

    async fn ask(&self, question: String) -> Result<(Judged, usize), Disapproved> {
        let waited = tokio::time::timeout(self.config.timeout, self.open.acquire()).await;
        let _permit = waited.map_err(|_| self.unavailable(&"too many questions are open"))?;
        match self.asker.ask::<Answer>(question).await {
            Ok(None) => Ok((Err(Disapproved::Denied(None)), 0)),
            Ok(Some((answer, bytes))) if !answer.allow => Ok((Err(Disapproved::Denied(answer.reason)), bytes)),
            Ok(Some((answer, bytes))) => {
                let changes = Changes::read(answer).map_err(|why| self.unavailable(&why))?;
                Ok((Ok(Arc::new(changes)), bytes))
            }
            Err(error) => Err(self.unavailable(&error)),
        }
    }

    fn unavailable(&self, why: &dyn std::fmt::Display) -> Disapproved {
        tracing::warn!(url = %self.asker.url(), error = %why, "the publish authorizer could not be asked");
        Disapproved::Unavailable
    }

    fn question(&self, who: &Identity, publication: &Publication) -> Result<String, serde_json::Error> {
        let extras = publication.extras.as_deref();
        let shown = self
            .config
            .payload
            .then(|| Shown::of(&publication.payload, extras.and_then(|extras| extras.content_type.as_deref())));
        let (payload, base64) = match shown {
            Some(Shown::Binary(text)) => (None, Some(text)),
            shown => (shown, None),
        };
        serde_json::to_string(&Question {
            connector: who.connector.name(),
            address: who.address,
            user: who.subject.user.as_deref(),
            groups: who.subject.groups.iter().map(|group| &**group).collect(),
            channel: publication.channel.as_str(),
            qos: publication.qos as u8,
            retain: publication.retain,
            event: extras.and_then(|extras| extras.event.as_deref()),
            properties: extras.map(|extras| &*extras.properties),
            payload,
            base64,
        })
    }
}

impl<'a> Shown<'a> {
    fn of(payload: &'a [u8], content_type: Option<&str>) -> Self {
        let kind = Kind::of(payload, content_type);
        match std::str::from_utf8(payload) {
            Ok(text) if kind != Kind::Binary => {
                let json = (kind == Kind::Json).then(|| serde_json::from_str(text).ok()).flatten();
                json.map_or(Self::Text(text), Self::Json)
            }
            _ => Self::Binary(base64::engine::general_purpose::STANDARD.encode(payload)),
        }
    }
}

impl Changes {
    fn read(answer: Answer) -> Result<Self, String> {
        let channel = answer.channel.map(|name| Channel::new(&*name).map_err(|error| format!("{name:?}: {error}")));
        let payload = match (answer.payload, answer.base64) {
            (Some(_), Some(_)) => return Err("`payload` and `base64` are both there".to_owned()),
            (Some(json), None) => Some(match serde_json::from_str::<String>(json.get()) {
                Ok(text) => Bytes::from(text),
                Err(_) => Bytes::copy_from_slice(json.get().as_bytes()),
            }),
            (None, Some(text)) => {
                let decoded = base64::engine::general_purpose::STANDARD.decode(text);
                Some(decoded.map(Bytes::from).map_err(|error| error.to_string())?)
            }
            (None, None) => None,
        };
        Ok(Self { channel: channel.transpose()?, payload, event: answer.event, retain: answer.retain })
    }

    fn apply(&self, mut publication: Publication) -> Publication {
        if let Some(channel) = &self.channel {
            publication.channel = channel.clone();
        }
        if let Some(payload) = &self.payload {
            publication.payload = payload.clone();
            if let Some(extras) = publication.extras.as_deref_mut() {
                // Nothing was said about the new one.
                (extras.content_type, extras.utf8) = (None, false);
            }
        }
        if let Some(event) = &self.event {
            let extras = publication.extras_mut();
            let before = std::mem::replace(&mut extras.event, Some(event.clone()).filter(|event| !event.is_empty()));
            if before != extras.event {
                // MQTT 5 says it by a property of this name, which would go on saying what it was.
                extras.properties.retain(|(name, value)| &**name != "event" || Some(value) != before.as_ref());
            }
        }
        publication.retain = self.retain.unwrap_or(publication.retain);
        publication
    }
}

#[cfg(test)]
#[path = "publisher_tests.rs"]
mod tests;
