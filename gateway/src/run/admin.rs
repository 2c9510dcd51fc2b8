//! The operators' listener: what the admin side is made of.

use std::{
    net::SocketAddr,
    sync::{Arc, PoisonError, RwLock},
};

use axum::Router;
use ratatosk_admin::AdminConfig;
use ratatosk_connector::lifecycle::Lifecycle;
use ratatosk_core::Bus;
use ratatosk_metrics::{Exporter, Source, UpstreamReading};
use serde_json::Value;

use super::upstreams::Upstreams;
use crate::config::{self, Resolved};

/// What operators see of the configuration; SIGHUP puts another in its place.
#[derive(Clone)]
pub(super) struct InForce(Arc<RwLock<Seen>>);

struct Seen {
    config: Value,
    certificates: Vec<(String, i64)>,
}

impl InForce {
    pub(super) fn new(resolved: &Resolved) -> Self {
        Self(Arc::new(RwLock::new(Seen::of(resolved))))
    }

    pub(super) fn replace(&self, resolved: &Resolved) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Seen::of(resolved);
    }

    fn config(&self) -> Value {
        self.0.read().unwrap_or_else(PoisonError::into_inner).config.clone()
    }

    fn certificates(&self) -> Vec<(String, i64)> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).certificates.clone()
    }
}

impl Seen {
    fn of(resolved: &Resolved) -> Self {
        Self { config: config::effective_json(resolved), certificates: super::certificates::expiries(resolved) }
    }
}

/// What the exporter reads at each scrape.
struct Readings {
    upstreams: Upstreams,
    in_force: InForce,
}

impl Source for Readings {
    fn upstreams(&self) -> Vec<UpstreamReading> {
        self.upstreams.readings()
    }

    fn certificates(&self) -> Vec<(String, i64)> {
        self.in_force.certificates()
    }
}

/// What the composition hands over.
pub(super) struct Parts<'a> {
    pub(super) resolved: &'a Resolved,
    pub(super) bus: &'a Bus,
    pub(super) life: &'a Lifecycle,
    pub(super) exporter: Arc<Exporter>,
    pub(super) upstreams: &'a Upstreams,
    pub(super) in_force: &'a InForce,
    pub(super) listeners: Vec<(&'static str, SocketAddr)>,
}

pub(super) fn router(parts: Parts<'_>) -> Router {
    let Parts { resolved, bus, life, exporter, upstreams, in_force, listeners } = parts;
    exporter.read_from(Arc::new(Readings { upstreams: upstreams.clone(), in_force: in_force.clone() }));
    let shown = in_force.clone();
    ratatosk_admin::router(AdminConfig {
        bus: bus.clone(),
        life: life.clone(),
        upstreams: Arc::new(upstreams.clone()),
        metrics: Arc::new(move || exporter.render().map_err(|error| error.to_string())),
        config: Arc::new(move || shown.config()),
        token: resolved.raw.admin.token.clone(),
        version: env!("CARGO_PKG_VERSION"),
        listeners,
    })
}
