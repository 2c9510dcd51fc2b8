//! An update: what a publisher's form holds, and how it stands on the bus.
//!
//! A topic is a channel of the same name, so every protocol sees public updates. An update with alternate topics is one message per
//! topic, each carrying the whole list, so that a stream which selects several of them shows it once. A private update stands on
//! a channel below [`Private`]'s prefix, which nobody can name without the hub's secret and no wildcard reaches.

use bytes::Bytes;
use ratatosk_core::{Channel, Connector, Filter, Message, Origin, Publication, channel::has_wildcard};
use std::sync::Arc;

/// The most topics of one update.
const MAX_TOPICS: usize = 64;
/// The longest id a publisher may choose, in bytes.
const MAX_ID: usize = 256;
/// Where the hub's own topics live: nobody publishes there, or subscriptions could be forged.
pub(super) const HUB_PATH: &str = "/.well-known/mercure";

const TOPICS: &str = "mercure-topics";
const ID: &str = "mercure-id";
const RETRY: &str = "mercure-retry";

/// Why a form is no update.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum UpdateError {
    #[error("the parameter `topic` is missing")]
    NoTopic,
    #[error("an update has at most {MAX_TOPICS} topics")]
    TooManyTopics,
    #[error("{0:?} cannot be a topic: {1}")]
    Topic(String, &'static str),
    #[error("`retry` is a number of milliseconds")]
    Retry,
    #[error("`id` has 1 to {MAX_ID} printable characters and begins with none of `#`")]
    Id,
}

/// What a publisher sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Update {
    /// The canonical topic, then its alternates.
    pub(super) topics: Vec<Channel>,
    pub(super) data: Bytes,
    pub(super) private: bool,
    pub(super) id: Option<String>,
    pub(super) event: Option<String>,
    pub(super) retry: Option<u64>,
}

impl Update {
    /// Reads the form (Mercure, section "Publication").
    pub(super) fn read(form: &[u8]) -> Result<Self, UpdateError> {
        let mut update =
            Self { topics: Vec::new(), data: Bytes::new(), private: false, id: None, event: None, retry: None };
        for (name, value) in form_urlencoded::parse(form) {
            match &*name {
                "topic" => update.add_topic(&value)?,
                "data" => update.data = value.into_owned().into(),
                "private" => update.private = true,
                "id" if !value.is_empty() => update.id = Some(id(&value)?),
                "type" if !value.is_empty() => update.event = Some(value.into_owned()),
                "retry" if !value.is_empty() => update.retry = Some(retry(&value)?),
                _ => {}
            }
        }
        if update.topics.is_empty() { Err(UpdateError::NoTopic) } else { Ok(update) }
    }

    fn add_topic(&mut self, text: &str) -> Result<(), UpdateError> {
        let refuse = |why| Err(UpdateError::Topic(text.to_owned(), why));
        if text == "*" || text.chars().any(char::is_control) {
            return refuse("it is reserved, or has control characters");
        }
        if is_of_the_hub(text) {
            return refuse("it is the hub's own");
        }
        if has_wildcard(text) || text.starts_with('$') {
            return refuse(
                "a level that is `+` or `#`, and a leading `$`, mean something else to the gateway's channels",
            );
        }
        let Ok(channel) = Channel::new(text) else { return refuse("a topic has 1 to 65535 bytes") };
        if self.topics.len() == MAX_TOPICS {
            return Err(UpdateError::TooManyTopics);
        }
        if !self.topics.contains(&channel) {
            self.topics.push(channel);
        }
        Ok(())
    }

    /// The messages, in order; none where a private name would be too long.
    pub(super) fn publications(&self, private: &Private, origin: &Origin) -> Option<Vec<Publication>> {
        let list: Vec<&str> = self.topics.iter().map(Channel::as_str).collect();
        let one = |topic: &Channel| {
            let channel = if self.private { private.channel(topic)? } else { topic.clone() };
            let mut publication = Publication::new(channel, self.data.clone(), origin.clone());
            let mut property = |name: &str, value: Option<String>| {
                if let Some(value) = value {
                    publication.extras_mut().properties.push((name.into(), value.into()));
                }
            };
            property(TOPICS, (list.len() > 1).then(|| list.join("\n")));
            property(ID, self.id.clone());
            property(RETRY, self.retry.map(|retry| retry.to_string()));
            if let Some(event) = &self.event {
                publication.extras_mut().event = Some(event.as_str().into());
            }
            Some(publication)
        };
        self.topics.iter().map(one).collect()
    }
}

fn id(text: &str) -> Result<String, UpdateError> {
    let fits =
        text.len() <= MAX_ID && !text.starts_with('#') && text != "earliest" && !text.chars().any(char::is_control);
    if fits { Ok(text.to_owned()) } else { Err(UpdateError::Id) }
}

fn retry(text: &str) -> Result<u64, UpdateError> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits).ok_or(UpdateError::Retry)
}

/// Whether a topic, taken as a URL and normalised, lies under the hub's path.
fn is_of_the_hub(text: &str) -> bool {
    let decoded = percent_encoding::percent_decode_str(text).decode_utf8_lossy();
    let Some(base) = url::Url::parse("http://hub.invalid/").ok() else { return false };
    [text, &decoded].into_iter().any(|text| {
        base.join(text).is_ok_and(|url| {
            let path = percent_encoding::percent_decode_str(url.path()).decode_utf8_lossy().into_owned();
            path == HUB_PATH || path.strip_prefix(HUB_PATH).is_some_and(|rest| rest.starts_with('/'))
        })
    })
}

/// What the hub wrote into a message of its own; nothing in messages from elsewhere, whoever sends the same properties.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Marks<'a> {
    pub(super) topics: Option<&'a str>,
    pub(super) id: Option<&'a str>,
    pub(super) retry: Option<&'a str>,
}

impl<'a> Marks<'a> {
    pub(super) fn of(message: &'a Message, hub: Connector) -> Self {
        let mut marks = Self::default();
        if message.origin.connector == hub {
            for (name, value) in message.properties() {
                match &**name {
                    TOPICS => marks.topics = Some(value),
                    ID => marks.id = Some(value),
                    RETRY => marks.retry = Some(value),
                    _ => {}
                }
            }
        }
        marks
    }
}

/// Where private updates stand.
#[derive(Debug, Clone)]
pub(super) struct Private(Arc<str>);

impl Private {
    /// `secret` makes the place unguessable. The `$` keeps wildcards out, the `~` keeps it out of monitor events.
    pub(super) fn new(secret: &[u8]) -> Self {
        let name: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
        Self(format!("$~mercure-{name}/").into())
    }

    pub(super) fn channel(&self, topic: &Channel) -> Option<Channel> {
        Channel::new(format!("{}{}", self.0, topic.as_str())).ok()
    }

    pub(super) fn filter(&self, filter: &Filter) -> Option<Filter> {
        Filter::new(format!("{}{}", self.0, filter.as_str())).ok()
    }

    /// The topic of a channel, and whether it is a private one.
    pub(super) fn topic<'a>(&self, channel: &'a Channel) -> (&'a str, bool) {
        channel.as_str().strip_prefix(&*self.0).map_or((channel.as_str(), false), |topic| (topic, true))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]
    use super::*;

    fn read(form: &str) -> Result<Update, UpdateError> {
        Update::read(form.as_bytes())
    }

    #[test]
    fn a_form_is_read_whole() {
        let update =
            read("topic=https%3A%2F%2Fe.org%2F1&topic=b&topic=b&data=a%0Ab&private=on&id=urn%3Ax&type=t&retry=5&x=y")
                .unwrap();
        assert_eq!(update.topics.iter().map(Channel::as_str).collect::<Vec<_>>(), ["https://e.org/1", "b"]);
        assert_eq!((&update.data[..], update.private, update.id.as_deref()), (&b"a\nb"[..], true, Some("urn:x")));
        assert_eq!((update.event.as_deref(), update.retry), (Some("t"), Some(5)));
        let plain = read("topic=a").unwrap();
        assert!(plain.data.is_empty() && !plain.private && plain.id.is_none());
    }

    #[test]
    fn faults_are_named() {
        assert_eq!(read("data=x").unwrap_err(), UpdateError::NoTopic);
        for bad in ["+5", "-1", "x", "1.5", "99999999999999999999999"] {
            assert_eq!(
                read(&format!("topic=a&retry={}", bad.replace('+', "%2B"))).unwrap_err(),
                UpdateError::Retry,
                "{bad}"
            );
        }
        for bad in ["%23x", "a%0Ab", "earliest", &"x".repeat(300)] {
            assert_eq!(read(&format!("topic=a&id={bad}")).unwrap_err(), UpdateError::Id, "{bad}");
        }
        let many: String = (0..=MAX_TOPICS).map(|n| format!("topic={n}&")).collect();
        assert_eq!(read(&many).unwrap_err(), UpdateError::TooManyTopics);
    }

    #[test]
    fn nobody_speaks_for_the_hub_or_the_gateway() {
        for topic in [
            "/.well-known/mercure",
            "/.well-known/mercure/subscriptions/a/b",
            "https://any.example/.well-known/mercure/subscriptions/x",
            "/a/../.well-known/mercure/x",
            "/%2Ewell-known/mercure/x",
            "/.well-known%2Fmercure/x",
            ".well-known/mercure/x",
            "$monitor/x",
            "$~mercure-00/x",
            "a/+/b",
            "a/#",
            "*",
            "",
            "a\u{1}",
        ] {
            let form = form_urlencoded::Serializer::new(String::new()).append_pair("topic", topic).finish();
            assert!(matches!(read(&form), Err(UpdateError::Topic(..))), "{topic}");
        }
        assert!(read("topic=%2F.well-known%2Fmercurex").is_ok());
    }

    #[test]
    fn private_updates_stand_apart() {
        let private = Private::new(&[1, 0xab]);
        let update = read("topic=a/1&topic=b&private=1").unwrap();
        let all = update.publications(&private, &Origin::gateway()).unwrap();
        assert_eq!(all[0].channel.as_str(), "$~mercure-01ab/a/1");
        assert_eq!(private.topic(&all[0].channel), ("a/1", true));
        assert_eq!(private.topic(&Channel::new("a/1").unwrap()), ("a/1", false));
        assert_eq!(all[1].extras.as_ref().unwrap().properties[0].1.as_ref(), "a/1\nb");
    }
}
