//! The composition: from a resolved configuration to a running gateway, and to its orderly end.

use std::{fmt, future::Future, path::PathBuf, sync::Arc, time::Duration};

use axum::Router;
use bytes::Bytes;
use ratatosk_connector::{access::Access, lifecycle::Lifecycle};
use ratatosk_core::{
    Bus, BusConfig, Channel, Connector, Filter, MemoryEngine, MonitorHandler, Origin, Publication, PublishError,
    Receipt,
};
use ratatosk_metrics::Exporter;

pub use super::listen::Addresses;
use super::{
    admin, connectors, journal, listen, monitor, page, rules, subscription::Subscription, tls, upstreams, webhooks,
};
use crate::config::{ConfigErrors, Resolved, Sources};

/// How often the engine lets go of what is too old.
const SWEEP: Duration = Duration::from_secs(5);
/// How long clients may take to go before upstreams are drained, and how often that is looked at.
const SETTLE: Duration = Duration::from_secs(1);
const SETTLE_POLL: Duration = Duration::from_millis(10);
/// The share of the grace period in which `/readyz` already says no and listeners are still open.
const READINESS_SHARE: u32 = 5;

/// What a gateway has besides what its configuration says.
pub struct Extras {
    /// Routes on the HTTP listener beside those of the protocols; by default the page at `/`. They may not overlap
    /// with the protocols' own.
    pub routes: Router,
    /// Who is told of monitor events, from the first on.
    pub monitors: Vec<Arc<dyn MonitorHandler>>,
}

impl Default for Extras {
    fn default() -> Self {
        Self { routes: page::router(), monitors: Vec::new() }
    }
}

impl fmt::Debug for Extras {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Extras").field("monitors", &self.monitors.len()).finish_non_exhaustive()
    }
}

/// A gateway at work. It goes on when this is dropped; [`Gateway::stop`] ends it in good order.
pub struct Gateway {
    bus: Bus,
    life: Lifecycle,
    upstreams: upstreams::Upstreams,
    webhooks: webhooks::Webhooks,
    in_force: admin::InForce,
    access: Access,
    tls: Option<tls::ListenerTls>,
    addresses: Addresses,
    grace: Duration,
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gateway").field("addresses", &self.addresses).finish_non_exhaustive()
    }
}

impl Gateway {
    /// Begins a gateway with the default configuration.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Starts it on the current runtime: when this returns, its listeners take connections.
    ///
    /// # Errors
    /// A listener cannot be opened: the message names its key and address.
    pub fn start(resolved: &Resolved, extras: Extras) -> anyhow::Result<Self> {
        let life = Lifecycle::default();
        let bus = start_bus(resolved, &life);
        extras.monitors.into_iter().for_each(|handler| bus.monitor().add(handler));
        let listeners = listen::Listeners::bind(resolved)?;
        let addresses = listeners.addresses();
        // Before anything happens that they are to hear of: an upstream may be up in a moment.
        let exporter = Exporter::new(bus.clone(), env!("CARGO_PKG_VERSION"), resolved.metrics.process)?;
        bus.monitor().add(exporter.clone());
        bus.monitor().add(Arc::new(journal::Journal));
        monitor::publish_events(&bus, &resolved.monitor);
        if let Some(otlp) = &resolved.otlp {
            ratatosk_otlp::start(otlp, env!("CARGO_PKG_VERSION"), &bus, &exporter, &life)?;
        }
        let webhooks = webhooks::Webhooks::start(resolved, &bus, &life)?;
        let upstreams = upstreams::Upstreams::start(resolved, &bus, &life)?;
        let routes = extras.routes.merge(page::connected(resolved, &bus, &upstreams));
        let connectors = connectors::Connectors::new(resolved, &bus, &life, routes)?;
        let in_force = admin::InForce::new(resolved, [addresses.admin, addresses.admins]);
        let tls = tls::ListenerTls::new(resolved)?;
        if let Some(tls) = &tls {
            tls.watch(bus.monitor().clone(), &life);
        }
        let admin = admin::router(admin::Parts {
            bus: &bus,
            life: &life,
            exporter,
            upstreams: &upstreams,
            webhooks: &webhooks,
            in_force: &in_force,
            tls: tls.clone(),
            limits: connectors.access.limits().clone(),
            listeners: addresses.list(),
        });
        let access = connectors.access.clone();
        listeners.serve(resolved, connectors, admin, tls.as_ref(), &life);
        tracing::info!(version = env!("CARGO_PKG_VERSION"), "ready");
        Ok(Self { bus, life, upstreams, webhooks, in_force, access, tls, addresses, grace: resolved.grace })
    }

    /// The bus, for all that the shorthands below do not do.
    #[must_use]
    pub fn bus(&self) -> &Bus {
        &self.bus
    }

    /// Where it listens.
    #[must_use]
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Publishes a message of the program's own, not retained. A [`Publication`] on [`Gateway::bus`] can say more.
    ///
    /// # Errors
    /// A channel of the gateway's own.
    pub fn publish(&self, channel: &Channel, payload: impl Into<Bytes>) -> Result<Receipt, PublishError> {
        self.bus.publish(Publication::new(channel.clone(), payload, Origin::gateway()))
    }

    /// Subscribes in process: what matches arrives from now on, and the last values first.
    pub async fn subscribe(&self, filters: impl IntoIterator<Item = Filter>) -> Subscription {
        Subscription::open(&self.bus, filters).await
    }

    /// Runs a task that is told of the end by [`Gateway::closing`] and waited for then; its panic is reported.
    pub fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.life.spawn(name, task);
    }

    /// Resolves when the gateway ends.
    pub fn closing(&self) -> impl Future<Output = ()> + Send + 'static + use<> {
        self.life.closing()
    }

    /// Puts another configuration in force, as far as it can change while the gateway runs: channel rules, who may come
    /// in and do what from now on, limits, certificates, the operators' token, and upstreams, which are started, replaced and
    /// removed.
    ///
    /// # Errors
    /// Upstreams that could not be started; all else is in force.
    pub fn reload(&self, resolved: &Resolved) -> anyhow::Result<()> {
        self.access.replace(&resolved.auth.access)?;
        self.access.limits().replace(resolved.held_to.clone());
        if let Some(tls) = &self.tls {
            tls.reload(resolved)?;
        }
        self.bus.set_rules(rules::of(resolved));
        let upstreams = self.upstreams.reload(resolved);
        self.in_force.replace(resolved);
        upstreams
    }

    /// Waits until all clients have gone and what they said last was fanned out, but not for longer than given.
    async fn settle(&self, at_most: Duration) {
        let busy = || self.bus.waiting() > 0 || Connector::all().any(|connector| self.bus.sessions_of(connector) > 0);
        let quiet = async {
            while busy() {
                tokio::time::sleep(SETTLE_POLL).await;
            }
        };
        // Sessions that outlive their connections (MQTT) may stay.
        let _ = tokio::time::timeout(at_most.min(SETTLE), quiet).await;
    }

    /// Ends it: readiness first, then everybody is told to go, then upstreams get what is queued for them, then what is
    /// left is waited for, all within the grace period. `quickly` skips the time in which load balancers move on. Says how many tasks had not ended by then.
    pub async fn stop(self, quickly: bool) -> usize {
        tracing::info!(grace_seconds = self.grace.as_secs_f64(), "stopping");
        self.life.drain();
        let ready = if quickly { Duration::ZERO } else { self.grace / READINESS_SHARE };
        tokio::time::sleep(ready).await;
        let ends = tokio::time::Instant::now() + self.grace.saturating_sub(ready);
        let left = || ends.saturating_duration_since(tokio::time::Instant::now());
        self.life.close();
        // What clients say last (wills, for example) is still sent upstream.
        self.settle(left() / 4).await;
        self.upstreams.drain(left() / 2).await;
        self.bus.close();
        // Last, so that they tell of the end too.
        self.webhooks.finish();
        let left = self.life.wait(left()).await;
        match left {
            0 => tracing::info!("stopped"),
            tasks => tracing::warn!(tasks, "the grace period is over, and not everything has ended"),
        }
        left
    }
}

/// Builds a gateway: configuration first, what the program adds, then [`Builder::start`].
#[derive(Debug, Default)]
pub struct Builder {
    file: Option<PathBuf>,
    set: Vec<String>,
    extras: Extras,
}

impl Builder {
    /// Reads this configuration file; the environment stands over it, as for the program.
    #[must_use]
    pub fn config(mut self, file: impl Into<PathBuf>) -> Self {
        self.file = Some(file.into());
        self
    }

    /// Sets one key over everything else: `set("http.listen", "127.0.0.1:0")`.
    #[must_use]
    pub fn set(mut self, key: &str, value: &str) -> Self {
        self.set.push(format!("{key}={value}"));
        self
    }

    /// Adds a handler of monitor events.
    #[must_use]
    pub fn monitor(mut self, handler: impl MonitorHandler) -> Self {
        self.extras.monitors.push(Arc::new(handler));
        self
    }

    /// Serves these routes on the HTTP listener, in the place of the page at `/`.
    #[must_use]
    pub fn routes(mut self, routes: Router) -> Self {
        self.extras.routes = routes;
        self
    }

    /// Reads the configuration and starts the gateway on the current runtime.
    ///
    /// # Errors
    /// [`ConfigErrors`] for a configuration that is wrong, and what [`Gateway::start`] says.
    pub fn start(self) -> anyhow::Result<Gateway> {
        let resolved: Result<Resolved, ConfigErrors> = crate::config::load(&Sources::new(self.file, self.set));
        Gateway::start(&resolved?, self.extras)
    }
}

fn start_bus(resolved: &Resolved, life: &Lifecycle) -> Bus {
    let lanes = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let (bus, tasks) = Bus::new(BusConfig {
        gateway_id: format!("{:016x}", fastrand::u64(..)).into(),
        epoch: rules::epoch().into(),
        lanes,
        rules: rules::of(resolved),
        engine: Arc::new(MemoryEngine::default()),
    });
    for lane in tasks {
        life.spawn("fan-out lane", lane);
    }
    let (engine, closing) = (bus.engine().clone(), life.closing());
    life.spawn("engine sweeper", async move {
        let sweep = async {
            loop {
                tokio::time::sleep(SWEEP).await;
                engine.sweep();
            }
        };
        tokio::select! {
            () = sweep => {}
            () = closing => {}
        }
    });
    bus
}
