//! The operators' listener: what the admin side is made of.

use std::{
    net::SocketAddr,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard},
};

use axum::Router;
use ratatosk_admin::AdminConfig;
use ratatosk_connector::{config_types::Secret, lifecycle::Lifecycle, limits::Limits};
use ratatosk_core::Bus;
use ratatosk_metrics::{Exporter, MemoryReading, Source, UpstreamReading, WebhookReading};
use serde_json::Value;

use super::{tls::ListenerTls, upstreams::Upstreams, webhooks::Webhooks};
use crate::config::{self, Resolved};

/// What the admin side knows of the configuration; SIGHUP puts another in its place.
#[derive(Clone)]
pub(super) struct InForce {
    seen: Arc<RwLock<Seen>>,
    /// Whether others than this machine can reach the admin listener, which stays where it was bound.
    exposed: bool,
}

struct Seen {
    config: Value,
    token: Option<Secret>,
}

impl InForce {
    pub(super) fn new(resolved: &Resolved, admin: [Option<SocketAddr>; 2]) -> Self {
        let exposed = admin.iter().flatten().any(|address| !address.ip().is_loopback());
        Self { seen: Arc::new(RwLock::new(Seen::of(resolved))), exposed }
    }

    /// Puts another configuration in place. A listener that others can reach does not lose its token by that.
    pub(super) fn replace(&self, resolved: &Resolved) {
        let mut next = Seen::of(resolved);
        let mut seen = self.seen.write().unwrap_or_else(PoisonError::into_inner);
        if self.exposed && next.token.is_none() {
            tracing::warn!("`admin.token` stays: the admin listener can be reached by others until a restart");
            next.token = seen.token.take();
        }
        *seen = next;
    }

    fn read(&self) -> RwLockReadGuard<'_, Seen> {
        self.seen.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn config(&self) -> Value {
        self.read().config.clone()
    }

    fn token(&self) -> Option<Secret> {
        self.read().token.clone()
    }
}

impl Seen {
    fn of(resolved: &Resolved) -> Self {
        Self { config: config::effective_json(resolved), token: resolved.raw.admin.token.clone() }
    }
}

/// What the exporter reads at each scrape.
struct Readings {
    upstreams: Upstreams,
    webhooks: Webhooks,
    tls: Option<ListenerTls>,
    limits: Limits,
}

impl Source for Readings {
    fn upstreams(&self) -> Vec<UpstreamReading> {
        self.upstreams.readings()
    }

    fn webhooks(&self) -> Vec<WebhookReading> {
        self.webhooks.readings()
    }

    fn certificates(&self) -> Vec<(String, i64)> {
        let ours = self.tls.as_ref().map(ListenerTls::ends).unwrap_or_default();
        ours.into_iter().chain(self.upstreams.certificates()).collect()
    }

    fn memory(&self) -> MemoryReading {
        let seen = self.limits.memory();
        MemoryReading { ceiling: seen.ceiling, pressure: seen.pressure as u8 }
    }
}

/// What the composition hands over.
pub(super) struct Parts<'a> {
    pub(super) bus: &'a Bus,
    pub(super) life: &'a Lifecycle,
    pub(super) exporter: Arc<Exporter>,
    pub(super) upstreams: &'a Upstreams,
    pub(super) webhooks: &'a Webhooks,
    pub(super) in_force: &'a InForce,
    pub(super) tls: Option<ListenerTls>,
    pub(super) limits: Limits,
    pub(super) listeners: Vec<(&'static str, SocketAddr)>,
}

pub(super) fn router(parts: Parts<'_>) -> Router {
    let Parts { bus, life, exporter, upstreams, webhooks, in_force, tls, limits, listeners } = parts;
    let (upstreams_read, webhooks) = (upstreams.clone(), webhooks.clone());
    exporter.read_from(Arc::new(Readings { upstreams: upstreams_read, webhooks, tls, limits }));
    let (shown, asked) = (in_force.clone(), in_force.clone());
    ratatosk_admin::router(AdminConfig {
        bus: bus.clone(),
        life: life.clone(),
        upstreams: Arc::new(upstreams.clone()),
        metrics: Arc::new(move || exporter.render().map_err(|error| error.to_string())),
        config: Arc::new(move || shown.config()),
        token: Arc::new(move || asked.token()),
        version: env!("CARGO_PKG_VERSION"),
        listeners,
    })
}
