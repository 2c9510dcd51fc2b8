//! Spans of the messages that are traced: made where it happens, sent in batches from a queue with a bound.

use std::{
    num::NonZero,
    pin::pin,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use prost::Message as _;
use ratatosk_core::{Connector, Message, Monitor, MonitorEvent, MonitorHandler, monitor::Monitored, trace};
use tokio::sync::mpsc;

use crate::{
    collector::{Collector, Outcome, Signal},
    metrics::nanos,
    sampler::span_id,
    wire::{ExportTraces, KeyValue, ResourceSpans, ScopeSpans, Source, Span, SpanKind, text, whole},
};

/// Spans that may wait for their batch; further ones are dropped and counted.
const WAITING: usize = 4096;
/// Spans of one request.
const BATCH: usize = 512;
/// How long a span waits for others.
const LINGER: Duration = Duration::from_secs(2);

/// Hears of traced messages, and queues their spans.
#[derive(Debug)]
pub(crate) struct Spans {
    queue: mpsc::Sender<Span>,
    monitor: Monitor,
}

impl Spans {
    pub(crate) fn new(monitor: Monitor) -> (Self, mpsc::Receiver<Span>) {
        let (queue, waiting) = mpsc::channel(WAITING);
        (Self { queue, monitor }, waiting)
    }

    fn put(&self, span: Span) {
        if self.queue.try_send(span).is_err() {
            self.monitor.emit(MonitorEvent::Exported { signal: "traces", result: "dropped", count: 1 });
        }
    }
}

impl MonitorHandler for Spans {
    fn handle(&self, monitored: &Monitored) {
        let end = monitored.at;
        match &monitored.event {
            MonitorEvent::TracedMessage { message } => {
                if let Some(span) = message.span() {
                    self.put(received(message, span, end));
                }
            }
            MonitorEvent::TracedDelivery { message, connector, deliveries } => {
                if let Some(span) = message.span() {
                    self.put(delivered(message, span, *connector, *deliveries, end));
                }
            }
            _ => {}
        }
    }
}

/// From arrival to a place in the sequence. Its id is the one that the message carries on.
fn received(message: &Arc<Message>, span: &trace::Span, end: SystemTime) -> Span {
    let origin = &message.origin;
    let mut attributes = common(message, origin.connector, "receive");
    let known = [
        ("messaging.client.id", &origin.client_id),
        ("enduser.id", &origin.user),
        ("ratatosk.upstream", &origin.upstream),
    ];
    attributes.extend(known.into_iter().filter_map(|(key, value)| Some(text(key, &**value.as_ref()?))));
    attributes.push(whole("messaging.message.body.size", message.payload.len() as u64));
    let name = format!("{} receive", origin.connector.name());
    let ids = (span.trace, span.id, span.parent);
    build(ids, name, SpanKind::Consumer, (arrival(message, end), end), attributes)
}

/// From arrival to the last write of a pass over subscribers of one connector.
fn delivered(message: &Arc<Message>, span: &trace::Span, to: Connector, deliveries: u64, end: SystemTime) -> Span {
    let mut attributes = common(message, to, "send");
    attributes.push(whole("messaging.batch.message_count", deliveries));
    let name = format!("{} deliver", to.name());
    let ids = (span.trace, span_id(), Some(span.id));
    build(ids, name, SpanKind::Producer, (arrival(message, end), end), attributes)
}

/// OpenTelemetry's semantic conventions for messaging.
fn common(message: &Message, connector: Connector, operation: &str) -> Vec<KeyValue> {
    vec![
        text("messaging.system", connector.name()),
        text("messaging.operation.type", operation),
        text("messaging.destination.name", message.channel.as_str()),
        text("messaging.message.id", message.seq.to_string()),
    ]
}

/// When it came, by the clock on the wall.
fn arrival(message: &Message, now: SystemTime) -> SystemTime {
    let ago = Instant::now().saturating_duration_since(message.arrived);
    now.checked_sub(ago).unwrap_or(now)
}

type Ids = (NonZero<u128>, NonZero<u64>, Option<NonZero<u64>>);

fn build(
    (trace, id, parent): Ids,
    name: String,
    kind: SpanKind,
    (start, end): (SystemTime, SystemTime),
    attributes: Vec<KeyValue>,
) -> Span {
    Span {
        trace_id: trace.get().to_be_bytes().to_vec(),
        span_id: id.get().to_be_bytes().to_vec(),
        parent_span_id: parent.map(|parent| parent.get().to_be_bytes().to_vec()).unwrap_or_default(),
        name,
        kind: kind.into(),
        start: nanos(start),
        end: nanos(end),
        attributes,
        flags: 1,
    }
}

/// Sends what is queued: as soon as a batch is full, or after a moment. What the collector does not take now stays and goes
/// out with the next batch; what comes meanwhile waits in the queue, or is dropped.
pub(crate) async fn push(
    collector: Collector,
    source: Source,
    mut queue: mpsc::Receiver<Span>,
    closing: impl Future<Output = ()> + Send,
) {
    let mut closing = pin!(closing);
    let mut batch = Vec::with_capacity(BATCH);
    loop {
        let is_last = tokio::select! {
            () = &mut closing => true,
            () = gather(&mut queue, &mut batch) => false,
        };
        while is_last && batch.len() < BATCH {
            let Ok(span) = queue.try_recv() else { break };
            batch.push(span);
        }
        let pause = send(&collector, &source, &mut batch).await;
        if is_last {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = &mut closing => {}
        }
    }
}

/// Waits for a first span, and then for a full batch or the moment's end.
async fn gather(queue: &mut mpsc::Receiver<Span>, batch: &mut Vec<Span>) {
    if batch.is_empty() && queue.recv_many(batch, BATCH).await == 0 {
        // The gateway keeps its monitor, and so the sender, to the end.
        return std::future::pending().await;
    }
    let fill = async { while batch.len() < BATCH && queue.recv_many(batch, BATCH - batch.len()).await > 0 {} };
    let _ = tokio::time::timeout(LINGER, fill).await;
}

/// Sends a batch and says how long to wait before the next one.
async fn send(collector: &Collector, source: &Source, batch: &mut Vec<Span>) -> Duration {
    if batch.is_empty() {
        return Duration::ZERO;
    }
    let count = batch.len() as u64;
    let scopes = vec![ScopeSpans { scope: Some(source.scope.clone()), spans: std::mem::take(batch) }];
    let mut request =
        ExportTraces { resources: vec![ResourceSpans { resource: Some(source.resource.clone()), scopes }] };
    match collector.post(Signal::Traces, request.encode_to_vec()).await {
        Outcome::Taken { rejected, .. } => {
            collector.count(Signal::Traces, "ok", count.saturating_sub(rejected));
            collector.count(Signal::Traces, "dropped", rejected.min(count));
            Duration::ZERO
        }
        Outcome::Refused { .. } => {
            collector.count(Signal::Traces, "dropped", count);
            Duration::ZERO
        }
        Outcome::Later { pause, .. } => {
            collector.count(Signal::Traces, "failed", count);
            *batch =
                request.resources.pop().and_then(|mut all| all.scopes.pop()).map_or_else(Vec::new, |all| all.spans);
            pause.unwrap_or(LINGER)
        }
    }
}
