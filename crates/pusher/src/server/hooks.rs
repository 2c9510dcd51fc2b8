//! What happens, on its way to the application's webhooks.

use std::{future::Future, sync::Arc};

use http::{HeaderMap, HeaderValue, header};
use parking_lot::Mutex;
use ratatosk_connector::webhook::{Courier, Queue, QueueBounds, Request};
use tokio::sync::Notify;

use super::clock::Clock;
use crate::{
    config::WebhookSettings,
    proto::{
        debounce::{Debounce, Subject},
        policy::Policy,
        webhook::{Event, Payload},
    },
};

/// What may wait for one receiver; the oldest make room.
const BOUNDS: QueueBounds = QueueBounds { events: 10_000, bytes: 16 << 20 };

/// One receiver, and what waits for it, in order.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) settings: WebhookSettings,
    pub(super) queue: Queue<Event>,
}

impl Endpoint {
    fn offer(&self, event: &Event) {
        let settings = &self.settings;
        let wanted = settings.events.is_empty() || settings.events.iter().any(|kind| kind == event.kind());
        if wanted && event.channel().starts_with(&settings.channel_prefix) {
            self.queue.offer(event.clone(), event.weight());
        }
    }

    /// Serves the receiver until the end, and a little longer.
    pub(super) async fn serve(&self, courier: Courier, policy: Arc<Policy>, ending: impl Future<Output = ()>) {
        courier.serve(&self.queue, |events| request(events, &policy), ending).await;
    }
}

/// As Pusher makes it, anew for each try: it says when it was made.
fn request(events: &[Event], policy: &Policy) -> Request {
    let Payload { body, signature } = Payload::new(events, Clock::unix_ms(), &policy.secret);
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    for (name, value) in [("x-pusher-key", &policy.key), ("x-pusher-signature", &signature)] {
        // Keys are checked by the configuration, signatures are hexadecimal.
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    }
    Request { headers, body }
}

/// The webhooks of one application.
#[derive(Debug)]
pub(super) struct Hooks {
    pub(super) endpoints: Vec<Arc<Endpoint>>,
    debounce: Mutex<Debounce>,
    clock: Clock,
    pub(super) changed: Notify,
}

impl Hooks {
    pub(super) fn new(settings: &[WebhookSettings], clock: Clock) -> Self {
        let endpoint =
            |settings: &WebhookSettings| Arc::new(Endpoint { settings: settings.clone(), queue: Queue::new(BOUNDS) });
        let endpoints = settings.iter().map(endpoint).collect();
        Self { endpoints, debounce: Mutex::default(), clock, changed: Notify::new() }
    }

    fn is_off(&self) -> bool {
        self.endpoints.is_empty()
    }

    /// Whether any receiver takes this kind: what is costly to make is made only then.
    pub(super) fn wants(&self, kind: &str) -> bool {
        self.endpoints.iter().any(|endpoint| {
            let events = &endpoint.settings.events;
            events.is_empty() || events.iter().any(|wanted| wanted == kind)
        })
    }

    /// A channel was occupied, or a member added.
    pub(super) fn came(&self, subject: Subject) {
        if self.is_off() {
            return;
        }
        let mut debounce = self.debounce.lock();
        if debounce.came(&subject) {
            self.offer(&Event::came(subject));
        }
    }

    /// A channel was vacated, or a member removed.
    pub(super) fn left(&self, subject: Subject) {
        if self.is_off() {
            return;
        }
        let mut debounce = self.debounce.lock();
        if let Some(subject) = debounce.left(subject, self.clock.now()) {
            self.offer(&Event::left(subject));
        }
        drop(debounce);
        self.changed.notify_one();
    }

    /// Something else happened.
    pub(super) fn tell(&self, event: Event) {
        if !self.is_off() {
            self.offer(&event);
        }
    }

    /// When [`Hooks::tick`] has something to do.
    pub(super) fn deadline(&self) -> Option<u64> {
        self.debounce.lock().deadline()
    }

    /// Tells the leaves that are due.
    pub(super) fn tick(&self, now: u64) {
        let mut debounce = self.debounce.lock();
        while let Some(subject) = debounce.due(now) {
            self.offer(&Event::left(subject));
        }
    }

    fn offer(&self, event: &Event) {
        self.endpoints.iter().for_each(|endpoint| endpoint.offer(event));
    }
}
