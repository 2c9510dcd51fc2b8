//! What is known of a stream, for operators.

use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;

/// One look at a stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// `HTTP/1.1` or `HTTP/2.0`; none before the first answer.
    pub http_version: Option<&'static str>,
    /// What the server calls itself.
    pub server: Option<String>,
    /// The host that answered, after redirects.
    pub host: Option<String>,
    /// The `Last-Event-ID` that the next connection sends; empty when none.
    pub last_event_id: Arc<str>,
    /// The reconnection time that the server asked for.
    pub retry: Option<Duration>,
    /// Events read in all connections.
    pub events: u64,
    /// Messages that the publish URL has taken.
    pub published: u64,
    /// Why the publish URL does not take the next one, if it does not.
    pub publish_error: Option<String>,
}

/// The current facts of one upstream.
#[derive(Debug, Default)]
pub struct FactsCell(Mutex<Facts>);

impl FactsCell {
    /// A copy.
    #[must_use]
    pub fn get(&self) -> Facts {
        self.0.lock().clone()
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut Facts)) {
        change(&mut self.0.lock());
    }
}
