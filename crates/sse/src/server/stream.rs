//! What a new stream is shown before its live messages.

use std::{collections::HashSet, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use ratatosk_connector::stream::Frame;
use ratatosk_core::{
    Bus, Connector, Filter, Form, Message, MonitorEvent, OutboxLimits, Position, Replay, Session, SlowPolicy,
    SubscribeOptions, stats::Stats,
};

use super::{Server, query::Wanted};
use crate::{
    mapping::{Format, Style},
    proto::{
        control::{Resume, encode_lost},
        encoder::{encode_comment, encode_cursor, encode_retry},
    },
};

/// A lifetime no stream reaches: ten years.
const FOREVER: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
/// Bytes of what most streams begin with.
const BEGINNING: usize = 64;
/// The cursor before everything that is kept.
const EARLIEST: &str = "earliest";

/// How the streams of one style are written.
#[derive(Debug)]
pub(super) struct EventFrame {
    pub(super) style: Style,
    pub(super) epoch: Arc<str>,
    /// Whether the reader is told of messages that were dropped for it; one that asked for conflation expects that.
    pub(super) tells_lost: bool,
    /// Where losses in translation are counted, and for whom.
    pub(super) losses: (Arc<Stats>, Connector),
}

/// One for each style: streams share them, so that a message's way to thousands touches one.
#[derive(Debug)]
pub(super) struct EventFrames([Arc<EventFrame>; 4]);

impl EventFrames {
    pub(super) fn new(bus: &Bus, connector: Connector, tells_lost: bool) -> Self {
        let frame = |(format, named)| {
            let style = Style { format, named };
            let (epoch, losses) = (bus.epoch().clone(), (bus.stats().clone(), connector));
            Arc::new(EventFrame { style, epoch, tells_lost, losses })
        };
        let styles = [(Format::Envelope, false), (Format::Envelope, true), (Format::Raw, false), (Format::Raw, true)];
        Self(styles.map(frame))
    }

    fn of(&self, style: Style) -> &Arc<EventFrame> {
        let [envelope, envelope_named, raw, raw_named] = &self.0;
        match (style.format, style.named) {
            (Format::Envelope, false) => envelope,
            (Format::Envelope, true) => envelope_named,
            (Format::Raw, false) => raw,
            (Format::Raw, true) => raw_named,
        }
    }
}

impl Frame for EventFrame {
    fn form(&self) -> Form {
        self.style.form()
    }

    fn encode(&self, message: &Message) -> Bytes {
        let (stats, connector) = &self.losses;
        message.count_losses(*connector, self.style.carries_of(message), stats);
        self.style.encode(&self.epoch, message)
    }

    fn lost(&self, messages: u64) -> Option<Bytes> {
        self.tells_lost.then(|| {
            let mut out = BytesMut::new();
            encode_lost(&mut out, messages);
            out.freeze()
        })
    }
}

/// The beginning of a stream.
pub(super) struct Prepared {
    /// `retry:`, a comment, the `resume` event if one was asked for, and last values.
    pub(super) head: Bytes,
    /// What is replayed.
    pub(super) history: Vec<Arc<Message>>,
    /// The cursor of the place where live messages begin, so that a stream that is cut before its first
    /// message resumes without a gap.
    pub(super) tail: Bytes,
}

impl Server {
    /// The bounds of a stream's outbox: the first channel rule that its filters can meet decides.
    pub(super) fn outbox(&self, filters: &[Filter]) -> OutboxLimits {
        let rules = self.0.bus.rules();
        let rule = filters.first().map(|first| rules.of_filter(first));
        let mut limits = rule.as_ref().and_then(|rule| rule.outbox).unwrap_or(self.0.outbox);
        if let Some(policy) = rule.and_then(|rule| rule.slow) {
            limits.policy = policy;
        }
        limits
    }

    /// The bounds of the outbox of a stream with options of its own.
    pub(super) fn outbox_of(&self, wanted: &Wanted) -> OutboxLimits {
        let mut limits = self.outbox(&wanted.filters);
        if wanted.conflate {
            limits.policy = SlowPolicy::Conflate;
        } else if wanted.max_rate.is_some() && limits.policy == SlowPolicy::Disconnect {
            // It is slow because it asked to be.
            limits.policy = SlowPolicy::DropOldest;
        }
        limits
    }

    /// How long a stream may last: about the configured time, so that streams which began together do not end together.
    pub(super) fn lifetime(&self) -> Duration {
        self.0.max_lifetime.map_or(FOREVER, |lifetime| lifetime.mul_f64(0.9 + 0.2 * fastrand::f64()))
    }

    /// How the messages of a stream are written.
    pub(super) fn frame(&self, wanted: &Wanted) -> Arc<EventFrame> {
        let [told, untold] = &self.0.frames;
        let frames = if wanted.conflate { untold } else { told };
        frames.of(wanted.style).clone()
    }

    /// Subscribes and gathers what comes first.
    pub(super) async fn prepare(&self, session: &Session, wanted: &Wanted) -> Prepared {
        let filters = wanted.filters.iter().map(|filter| (filter.clone(), SubscribeOptions::default())).collect();
        let mut cut = 0;
        session.subscribe_all(filters, &mut cut);
        let mut head = BytesMut::with_capacity(BEGINNING);
        encode_retry(&mut head, jittered(self.0.retry));
        encode_comment(&mut head, "ratatosk");
        let replay = match &wanted.resume {
            Some(requested) => Some(self.resume(requested, wanted, cut, &mut head).await),
            None if wanted.from_earliest => Some(self.resume(EARLIEST, wanted, cut, &mut head).await),
            None => None,
        };
        let replay = replay.unwrap_or_default();
        if wanted.last_values {
            let lacking = if replay.recovered { &wanted.new } else { &wanted.filters };
            self.show_last_values(lacking, wanted.style, (cut, &replay), &mut head).await;
        }
        let mut tail = BytesMut::with_capacity(BEGINNING);
        encode_cursor(&mut tail, &Position::text(self.0.bus.epoch(), cut));
        Prepared { head: head.freeze(), history: replay.messages, tail: tail.freeze() }
    }

    async fn resume(&self, requested: &str, wanted: &Wanted, cut: u64, head: &mut BytesMut) -> Replay {
        let bus = &self.0.bus;
        let cursor = requested.parse::<Position>();
        let filters = wanted.resumed();
        let replay = match &cursor {
            Ok(cursor) => bus.replay(&filters, cursor, cut).await,
            Err(_) if requested == EARLIEST => bus.replay_all(&filters, cut).await,
            Err(_) => Ok(Replay::default()),
        };
        let replay = replay.unwrap_or_else(|error| {
            tracing::error!(%error, "a stream could not be resumed");
            Replay::default()
        });
        let result = match cursor {
            Err(_) if requested == EARLIEST => "earliest",
            Err(_) => "invalid",
            Ok(cursor) if cursor.epoch != *bus.epoch() => "epoch",
            Ok(_) if replay.recovered => "complete",
            Ok(_) => "partial",
        };
        bus.monitor().emit(MonitorEvent::Resumed { result });
        let oldest = replay.oldest.map(|seq| bus.position(seq).to_string());
        let known = result == "partial" && replay.missing > 0 || replay.recovered;
        let resume = Resume {
            requested: Some(requested),
            recovered: replay.recovered,
            replayed: replay.messages.len() as u64,
            oldest: oldest.as_deref(),
            missing: known.then_some(replay.missing),
        };
        resume.encode(head, None);
        replay
    }

    /// A subscriber that has not everything is shown what is kept of each channel, older than what is replayed.
    async fn show_last_values(
        &self,
        filters: &[Filter],
        style: Style,
        (cut, replay): (u64, &Replay),
        head: &mut BytesMut,
    ) {
        let mut shown = std::collections::BTreeMap::new();
        for filter in filters {
            match self.0.bus.last_values(filter).await {
                Ok(values) => shown.extend(values.into_iter().map(|message| (message.seq, message))),
                Err(error) => tracing::error!(%error, "last values could not be read"),
            }
        }
        if shown.is_empty() {
            return;
        }
        let replayed: HashSet<u64> = replay.messages.iter().map(|message| message.seq).collect();
        let epoch = self.0.bus.epoch();
        let goes_on = replay.messages.first().map_or(cut, |first| first.seq.saturating_sub(1));
        let cursor = Position::text(epoch, goes_on);
        let mut count = 0;
        let before = head.len();
        // A value that came after the cut is on its way as a live message.
        for message in shown.values().filter(|message| message.seq <= cut && !replayed.contains(&message.seq)) {
            head.extend_from_slice(&style.encode_last_value(epoch, message, &cursor));
            count += 1;
        }
        self.0.bus.stats().delivered(self.0.connector, count, (head.len() - before) as u64);
    }
}

/// A client id for a reader, which has none of its own.
pub(super) fn client_id() -> Arc<str> {
    ["sse-", &hex::encode(fastrand::u64(..).to_be_bytes())].concat().into()
}

/// Half to one and a half of a time: streams that ended together do not come back together.
pub(super) fn jittered(time: std::time::Duration) -> std::time::Duration {
    time.mul_f64(0.5 + fastrand::f64())
}
