//! What happens, on its way to the application's webhooks.

use std::{collections::VecDeque, sync::Arc};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::clock::Clock;
use crate::{
    config::WebhookSettings,
    proto::{
        debounce::{Debounce, Subject},
        webhook::Event,
    },
};

/// Events that may wait for one receiver; the oldest make room.
const MAX_WAITING: usize = 10_000;
/// Events in one request.
pub(super) const BATCH: usize = 100;

/// The queue of one receiver, in order.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) settings: WebhookSettings,
    queue: Mutex<VecDeque<Event>>,
    pub(super) arrived: Notify,
}

impl Endpoint {
    fn offer(&self, event: &Event) {
        let settings = &self.settings;
        let wanted = settings.events.is_empty() || settings.events.iter().any(|kind| kind == event.kind());
        if !wanted || !event.channel().starts_with(&settings.channel_prefix) {
            return;
        }
        let mut queue = self.queue.lock();
        if queue.len() >= MAX_WAITING && queue.pop_front().is_some() {
            tracing::debug!(host = settings.url.host_str(), "a webhook event was dropped: too many wait");
        }
        queue.push_back(event.clone());
        drop(queue);
        self.arrived.notify_one();
    }

    /// The next events, oldest first; empty if none wait.
    pub(super) fn take(&self) -> Vec<Event> {
        let mut queue = self.queue.lock();
        let count = queue.len().min(BATCH);
        queue.drain(..count).collect()
    }
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
        let endpoint = |settings: &WebhookSettings| {
            Arc::new(Endpoint { settings: settings.clone(), queue: Mutex::default(), arrived: Notify::new() })
        };
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
