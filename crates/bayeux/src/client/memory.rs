//! What outlives a connection.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use ratatosk_connector::upstream::PoisonWatch;
use ratatosk_core::Filter;

use crate::config::{ReplayConfig, ReplayFallback, ReplayFrom};

/// A session that the server may still keep.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    pub(super) client_id: String,
    /// The acknowledgement extension is on.
    pub(super) ack: bool,
    /// The replay extension is on.
    pub(super) replay: bool,
    /// The server offers WebSocket.
    pub(super) socket: bool,
    /// What it is subscribed to.
    pub(super) filters: Vec<Filter>,
    /// When the server was last heard.
    pub(super) heard: Instant,
}

/// How long a session is worth a try: servers keep one for ten seconds (CometD) to two minutes (Faye).
const WORTH: Duration = Duration::from_secs(120);

/// The client's memory.
#[derive(Debug, Default)]
pub(super) struct Memory {
    pub(super) session: Option<Kept>,
    /// The last batch whose messages the bus has.
    pub(super) batch: u64,
    /// Number of the last message sent: never the same twice.
    pub(super) last_id: u64,
    /// WebSocket was offered and did not work.
    pub(super) no_socket: bool,
    /// Finds publications that the server ends connections for.
    pub(super) poison: PoisonWatch,
    /// The place of the last message of each subscription, as the server wrote it.
    places: HashMap<Filter, Box<str>>,
}

impl Memory {
    pub(super) fn resumable(&self) -> Option<Kept> {
        self.session.clone().filter(|kept| kept.heard.elapsed() < WORTH)
    }

    pub(super) fn heard(&mut self) {
        if let Some(kept) = &mut self.session {
            kept.heard = Instant::now();
        }
    }

    /// The session has a subscription, or no longer has it.
    pub(super) fn subscribed(&mut self, filter: &Filter, live: bool) {
        if let Some(kept) = &mut self.session {
            kept.filters.retain(|known| known != filter);
            kept.filters.extend(live.then(|| filter.clone()));
        }
    }

    pub(super) fn begin(&mut self, kept: Kept) {
        self.batch = 0;
        self.session = Some(kept);
    }

    pub(super) fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    /// A message of this subscription is on the bus.
    pub(super) fn passed(&mut self, filter: &Filter, place: &str) {
        if let Some(known) = self.places.get_mut(filter) {
            *known = place.into();
        } else {
            self.places.insert(filter.clone(), place.into());
        }
    }

    /// Where a subscription is to begin, raw.
    pub(super) fn place(&self, filter: &Filter, config: &ReplayConfig) -> Box<str> {
        let first = match config.from {
            ReplayFrom::New => "-1",
            ReplayFrom::All => "-2",
        };
        self.places.get(filter).cloned().unwrap_or_else(|| first.into())
    }

    /// The server no longer knows the place: from where to try again, if at all.
    pub(super) fn expired(&mut self, filter: &Filter, config: &ReplayConfig) -> Option<&'static str> {
        // A place that was never given cannot have expired: asking again would only be refused again.
        self.places.remove(filter)?;
        match config.on_expired {
            ReplayFallback::New => Some("-1"),
            ReplayFallback::All => Some("-2"),
            ReplayFallback::Stop => None,
        }
    }
}
