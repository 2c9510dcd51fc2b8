//! What one stream shows, and how it is written.

use super::selector::{Selector, SelectorError};
use super::update::{Marks, Private};
use crate::mapping::{MERCURE_CARRIES, bare};
use crate::proto::control::encode_lost;
use crate::proto::encoder::{encode_event, encode_retry};
use bytes::{Bytes, BytesMut};
use ratatosk_connector::http::Problem;
use ratatosk_connector::stream::{Frame, StreamPeer};
use ratatosk_core::{
    Backlog, Connector, Delivered, EndReason, Fields, Filter, Form, Message, Peer, Position, Run, stats::Stats,
};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

/// The most selectors of one stream.
const MAX_SELECTORS: usize = 128;

/// What a subscriber selects, and what it may see of that.
#[derive(Debug, Clone)]
pub(super) struct View {
    pub(super) selectors: Arc<[Selector]>,
    /// Selects the topics whose private updates it may see.
    pub(super) allowed: Arc<[Selector]>,
    pub(super) private: Private,
    pub(super) hub: Connector,
}

impl View {
    /// Every channel that a message for this view may be on.
    pub(super) fn filters(&self) -> Vec<Filter> {
        let public: Vec<Filter> = self.selectors.iter().map(|selector| selector.filter().clone()).collect();
        let hidden =
            public.iter().filter(|_| !self.allowed.is_empty()).filter_map(|filter| self.private.filter(filter));
        // A filter that another covers would bring every message a second time.
        ratatosk_connector::rules::cover(public.iter().cloned().chain(hidden.collect::<Vec<_>>()))
    }

    /// Whether a message is shown: it is selected, it may be seen, and it is not an alternate of one that is shown already.
    pub(super) fn shows(&self, message: &Message) -> bool {
        let (topic, is_private) = self.private.topic(&message.channel);
        if topic.starts_with('$') {
            return false; // the gateway's own channels are no topics
        }
        let marks = Marks::of(message, self.hub);
        let one = [topic];
        let listed: Vec<&str> = marks.topics.map(|list| list.split('\n').collect()).unwrap_or_default();
        let topics = if listed.contains(&topic) { listed.as_slice() } else { one.as_slice() };
        let shown_as = topics.iter().find(|topic| any(&self.selectors, topic));
        shown_as == Some(&topic) && (!is_private || topics.iter().any(|topic| any(&self.allowed, topic)))
    }
}

fn any(selectors: &[Selector], topic: &str) -> bool {
    selectors.iter().any(|selector| selector.selects(topic))
}

/// Reads the selectors of a subscription: `topic` (0.x), `match` and `match_urlpattern` (1.0).
pub(super) fn selectors(parameters: &str) -> Result<Arc<[Selector]>, Problem> {
    let mut all: Vec<Selector> = Vec::new();
    for (name, value) in form_urlencoded::parse(parameters.as_bytes()) {
        let selector = match &*name {
            "topic" | "topic[]" => Selector::template(&value),
            "match" => Selector::exact(&value),
            "match_urlpattern" => Selector::url_pattern(&value),
            // The names that begin so are reserved, so that a typo does not go unnoticed.
            other if other.starts_with("match") => {
                let detail = format!("{other:?} is not known; use `match`, `match_urlpattern` or `topic`");
                return Err(Problem::bad_request("bad-option", "An option is not known", detail));
            }
            _ => continue,
        };
        all.push(selector.map_err(|error: SelectorError| {
            Problem::bad_request("bad-selector", "A topic selector is not valid", error.to_string())
        })?);
    }
    if all.is_empty() {
        let detail =
            "name what to follow, as in `?topic=https://example.com/books/{id}`; `topic` may be given more than once";
        return Err(Problem::bad_request("no-topic", "The request names no topic", detail));
    }
    if all.len() > MAX_SELECTORS {
        let detail = format!("a stream follows at most {MAX_SELECTORS} selectors; use patterns");
        return Err(Problem::bad_request("too-many-selectors", "The request names too many topics", detail));
    }
    Ok(all.into())
}

static FORM: LazyLock<Form> = LazyLock::new(|| Form::register("sse.mercure"));

/// Updates as the hub's subscribers read them: the payload alone, with the publisher's type, id and retry.
#[derive(Debug)]
pub(super) struct UpdateFrame {
    pub(super) epoch: Arc<str>,
    pub(super) hub: Connector,
    pub(super) stats: Arc<Stats>,
}

impl Frame for UpdateFrame {
    fn form(&self) -> Form {
        *FORM
    }

    fn encode(&self, message: &Message) -> Bytes {
        // The hub's own properties are what its publishers asked for (id, retry), and read again.
        let own = if message.origin.connector == self.hub { Fields::PROPERTIES } else { Fields::NONE };
        message.count_losses(self.hub, MERCURE_CARRIES.and(own).and(bare(&message.payload)), &self.stats);
        let marks = Marks::of(message, self.hub);
        let position = Position::text(&self.epoch, message.seq);
        let mut out = BytesMut::new();
        if let Some(retry) = marks.retry.and_then(|retry| retry.parse().ok()) {
            encode_retry(&mut out, Duration::from_millis(retry));
        }
        encode_event(&mut out, Some(marks.id.unwrap_or(&position)), message.event(), &message.payload);
        out.freeze()
    }

    fn lost(&self, messages: u64) -> Option<Bytes> {
        let mut out = BytesMut::new();
        encode_lost(&mut out, messages);
        Some(out.freeze())
    }
}

/// A stream that shows only what its view does; what it shows is written in bytes shared with all streams that show the same.
pub(super) struct ViewPeer {
    pub(super) stream: Arc<StreamPeer>,
    pub(super) view: View,
}

impl Peer for ViewPeer {
    fn backlog(&self) -> Backlog {
        self.stream.backlog()
    }

    fn relieve(&self) {
        self.stream.relieve();
    }

    fn deliver(&self, run: &mut Run<'_>) -> Delivered {
        run.narrow(|message| self.view.shows(message), |run| self.stream.deliver(run)).unwrap_or_default()
    }

    fn end(&self, reason: EndReason) {
        self.stream.end(reason);
    }

    fn is_live(&self) -> bool {
        self.stream.is_live()
    }
}
