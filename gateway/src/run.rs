//! The composition: from a resolved configuration to a running gateway, and to its orderly end.

use std::{process::ExitCode, sync::Arc, time::Duration};

use anyhow::Context as _;
use ratatosk_connector::lifecycle::Lifecycle;
use ratatosk_core::{Bus, BusConfig, MemoryEngine, MonitorEvent};
use ratatosk_metrics::Exporter;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::config::{Resolved, Sources};

mod access;
mod admin;
mod connectors;
mod listen;
mod monitor;
mod page;
mod rules;
mod upstreams;

/// How often the engine lets go of what is too old.
const SWEEP: Duration = Duration::from_secs(5);
/// The share of the grace period in which `/readyz` already says no and listeners are still open.
const READINESS_SHARE: u32 = 5;

/// Runs a gateway until it is told to stop. `sources` is what SIGHUP loads again.
///
/// # Errors
/// A listener cannot be opened: the message names its key and address.
pub async fn run(resolved: Resolved, sources: Sources) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::new()?;
    let life = Lifecycle::default();
    let bus = start_bus(&resolved, &life);
    let listeners = listen::Listeners::bind(&resolved)?;
    let connectors = connectors::Connectors::new(&resolved, &bus, &life)?;
    let upstream_names: Vec<Arc<str>> = resolved.upstreams.iter().map(|upstream| upstream.name.clone()).collect();
    let exporter = Exporter::new(bus.clone(), env!("CARGO_PKG_VERSION"), &upstream_names)?;
    bus.monitor().add(exporter.clone());
    monitor::publish_events(&bus, &resolved.monitor);
    let upstreams = upstreams::start(&resolved, &bus, &life)?;
    let admin = admin::router(&bus, &life, exporter, upstreams.clone());
    listeners.serve(&resolved, connectors, admin, &life);
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "ready");
    let quickly = loop {
        match signals.next().await {
            Wish::Stop { quickly } => break quickly,
            Wish::Reload => reload(&bus, &sources),
        }
    };
    tokio::select! {
        left = stop(&bus, &life, &upstreams, resolved.grace, quickly) => Ok(left),
        () = signals.stop_again() => {
            tracing::warn!("stopped at once by a second signal");
            Ok(ExitCode::FAILURE)
        }
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

/// Takes a new configuration as far as it can change while running: channel rules.
fn reload(bus: &Bus, sources: &Sources) {
    let loaded = crate::config::load(sources);
    bus.monitor().emit(MonitorEvent::ConfigReloaded { ok: loaded.is_ok() });
    match loaded {
        Ok(resolved) => {
            bus.set_rules(rules::of(&resolved));
            tracing::info!("configuration was read again; channel rules are in force, the rest needs a restart");
        }
        Err(errors) => {
            for fault in &errors.faults {
                tracing::error!(%fault, "the new configuration is not taken");
            }
        }
    }
}

/// Readiness first, then everybody is told to go, then what is left is waited for.
async fn stop(
    bus: &Bus,
    life: &Lifecycle,
    upstreams: &upstreams::Upstreams,
    grace: Duration,
    quickly: bool,
) -> ExitCode {
    tracing::info!(grace_seconds = grace.as_secs_f64(), "stopping");
    life.drain();
    let ready = if quickly { Duration::ZERO } else { grace / READINESS_SHARE };
    tokio::time::sleep(ready).await;
    life.close();
    upstreams.stop();
    bus.close();
    let left = life.wait(grace.saturating_sub(ready)).await;
    if left == 0 {
        tracing::info!("stopped");
        return ExitCode::SUCCESS;
    }
    tracing::warn!(tasks = left, "the grace period is over, and not everything has ended");
    ExitCode::FAILURE
}

enum Wish {
    Stop { quickly: bool },
    Reload,
}

struct Signals {
    term: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("signals cannot be received");
        Ok(Self {
            term: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Wish {
        tokio::select! {
            _ = self.term.recv() => Wish::Stop { quickly: false },
            // Somebody at a terminal: no load balancer waits to be told.
            _ = self.interrupt.recv() => Wish::Stop { quickly: true },
            _ = self.hangup.recv() => Wish::Reload,
        }
    }

    async fn stop_again(&mut self) {
        tokio::select! {
            _ = self.term.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
