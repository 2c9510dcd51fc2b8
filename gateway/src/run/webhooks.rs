//! Webhooks of our own: monitor events, posted to whoever is configured.
//!
//! An event is written as JSON where it happens, if a webhook wants it, and waits in that webhook's bounded queue. A task per webhook
//! delivers it. They end last: what happens while the gateway stops is told too.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use http::{HeaderMap, HeaderValue, header};
use ratatosk_connector::{
    lifecycle::Lifecycle,
    webhook::{Courier, Queue, QueueBounds, Request, SIGNATURE, sign},
};
use ratatosk_core::{Bus, Channel, Filter, MonitorEvent, MonitorHandler, monitor::Monitored};
use ratatosk_metrics::WebhookReading;
use tokio_util::sync::CancellationToken;

use super::monitor;
use crate::config::{Resolved, Webhook};

/// All webhooks. Cloning shares them.
#[derive(Clone, Default)]
pub(super) struct Webhooks {
    all: Arc<[Arc<Hook>]>,
    over: CancellationToken,
}

struct Hook {
    config: Webhook,
    bus: Bus,
    queue: Queue<String>,
    sampler: monitor::Sampler,
    requests: AtomicU64,
}

impl Webhooks {
    /// Listens from now on, and delivers on tasks of its own.
    ///
    /// # Errors
    /// A client cannot be made.
    pub(super) fn start(resolved: &Resolved, bus: &Bus, life: &Lifecycle) -> anyhow::Result<Self> {
        let over = CancellationToken::new();
        let mut all = Vec::new();
        for config in &resolved.webhooks {
            let courier = Courier::new(&*config.section.name, config.courier.clone())?;
            let bounds = QueueBounds { events: config.section.queue, bytes: config.section.queue_bytes.as_usize() };
            let hook = Arc::new(Hook {
                config: config.clone(),
                bus: bus.clone(),
                queue: Queue::new(bounds),
                sampler: monitor::Sampler::new(config.sample),
                requests: AtomicU64::new(0),
            });
            bus.monitor().add(Arc::new(Listener(hook.clone())));
            all.push(hook.clone());
            let ending = over.clone().cancelled_owned();
            life.spawn("webhook", async move {
                courier.serve(&hook.queue, |events| hook.request(events), ending).await;
            });
        }
        Ok(Self { all: all.into(), over })
    }

    /// Nothing more is told: what waits is delivered, as far as receivers take it.
    pub(super) fn finish(&self) {
        self.over.cancel();
    }

    /// What the exporter reads at each scrape.
    pub(super) fn readings(&self) -> Vec<WebhookReading> {
        let one = |hook: &Arc<Hook>| {
            let tally = hook.queue.tally();
            WebhookReading {
                webhook: hook.config.section.name.as_str().into(),
                waiting: tally.waiting,
                events: [("delivered", tally.delivered), ("dropped", tally.dropped), ("given_up", tally.given_up)],
                failed_requests: tally.failed_requests,
            }
        };
        self.all.iter().map(one).collect()
    }
}

/// Hears events for one webhook.
struct Listener(Arc<Hook>);

impl MonitorHandler for Listener {
    fn handle(&self, monitored: &Monitored) {
        let hook = &self.0;
        let Some((name, by)) = monitor::name(&monitored.event) else { return };
        if hook.wants(&monitored.event, name, by) {
            let json = monitor::describe(monitored, name, &hook.bus).to_string();
            let bytes = json.len();
            hook.queue.offer(json, bytes);
        }
    }

    fn wants_messages(&self) -> bool {
        self.0.config.events.iter().any(|event| event.name().ends_with("_message"))
    }
}

impl Hook {
    fn wants(&self, event: &MonitorEvent, name: &str, by: &str) -> bool {
        let section = &self.config.section;
        if !self.config.events.iter().any(|wanted| wanted.name() == name) {
            return false;
        }
        let named = |list: &[String]| list.is_empty() || list.iter().any(|name| name == by);
        let met =
            |filter: &Filter| section.channels.is_empty() || section.channels.iter().any(|one| one.overlaps(filter));
        let heard = |channel: &Channel| {
            section.channels.is_empty() || section.channels.iter().any(|filter| filter.matches(channel))
        };
        match &About::of(event) {
            About::Client(filter) => named(&section.connectors) && filter.as_ref().is_none_or(met),
            About::Channel(filter) => met(filter),
            About::Upstream => named(&section.upstreams),
            About::Message(channel) => named(&section.connectors) && heard(channel) && self.sampler.picks(event),
        }
    }

    fn request(&self, events: &[String]) -> Request {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        // A try again is another request, about the same events.
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        let body = format!(
            "{{\"gateway\":\"{}\",\"webhook\":\"{}\",\"time\":{},\"events\":[{}]}}",
            self.bus.gateway_id(),
            self.config.section.name,
            now.as_millis(),
            events.join(","),
        );
        let mut headers = self.config.headers.clone();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        put(&mut headers, "ratatosk-request", &format!("{}-{number}", self.bus.gateway_id()));
        if let Some(secret) = &self.config.section.secret {
            put(&mut headers, SIGNATURE, &sign(secret.expose().as_bytes(), now.as_secs(), body.as_bytes()));
        }
        Request { headers, body }
    }
}

fn put(headers: &mut HeaderMap, name: &'static str, value: &str) {
    // Ids and signatures are plain text.
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// What an event is about, for the filters.
enum About {
    /// A client, and perhaps what it subscribed to.
    Client(Option<Filter>),
    Channel(Filter),
    Upstream,
    Message(Channel),
}

impl About {
    fn of(event: &MonitorEvent) -> Self {
        match event {
            MonitorEvent::CreatedChannel { channel } | MonitorEvent::DestroyedChannel { channel } => {
                Self::Channel(channel.clone())
            }
            MonitorEvent::ClientSubscribed { channel, .. } | MonitorEvent::ClientUnsubscribed { channel, .. } => {
                Self::Client(Some(channel.clone()))
            }
            MonitorEvent::ReceivedMessage { message } | MonitorEvent::DeliveredMessage { message, .. } => {
                Self::Message(message.channel.clone())
            }
            MonitorEvent::UpstreamStatus { .. }
            | MonitorEvent::UpstreamPing { .. }
            | MonitorEvent::SubscriptionConnected { .. }
            | MonitorEvent::SubscriptionDisconnected { .. } => Self::Upstream,
            _ => Self::Client(None),
        }
    }
}
