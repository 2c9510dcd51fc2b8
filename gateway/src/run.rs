//! Running a gateway as a process: signals start its end and read its configuration again.

use std::{io::IsTerminal as _, process::ExitCode};

use anyhow::Context as _;
use ratatosk_core::MonitorEvent;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::config::{Resolved, Sources};

mod access;
mod admin;
mod connectors;
mod gateway;
mod join;
mod journal;
mod listen;
mod monitor;
mod notify;
mod page;
mod rules;
mod subscription;
mod tls;
mod upstreams;
mod webhooks;

use self::notify::ServiceManager;
pub(crate) use self::page::at as live_page;
pub use self::{
    gateway::{Addresses, Builder, Extras, Gateway},
    join::join,
    subscription::Subscription,
};

/// Runs a gateway until it is told to stop by a signal. `sources` is what SIGHUP loads again.
///
/// # Errors
/// A listener cannot be opened: the message names its key and address.
pub async fn run(resolved: Resolved, sources: Sources) -> anyhow::Result<ExitCode> {
    run_with(resolved, sources, Extras::default(), |_| Ok(())).await
}

/// Like [`run`], with something besides: `accompany` is called once the gateway is ready.
pub(crate) async fn run_with(
    resolved: Resolved,
    sources: Sources,
    extras: Extras,
    accompany: impl FnOnce(&Gateway) -> anyhow::Result<()>,
) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::new()?;
    let gateway = Gateway::start(&resolved, extras)?;
    accompany(&gateway)?;
    let manager = ServiceManager::of_environment();
    manager.ready();
    let quickly = loop {
        match signals.next().await {
            Wish::Stop { quickly } => break quickly,
            Wish::Reload => {
                manager.reloading();
                let taken = reload(&gateway, &sources);
                manager.ready_with(if taken { "ready" } else { "ready; the new configuration was not taken" });
            }
        }
    };
    manager.stopping();
    tokio::select! {
        left = gateway.stop(quickly) => Ok(if left == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }),
        () = signals.stop_again() => {
            tracing::warn!("stopped at once by a second signal");
            Ok(ExitCode::FAILURE)
        }
    }
}

/// Takes a new configuration as far as it can change while running. A wrong one is reported, and the running one stays:
/// then this says `false`.
fn reload(gateway: &Gateway, sources: &Sources) -> bool {
    let taken = match crate::config::load(sources) {
        Ok(resolved) => gateway.reload(&resolved).inspect_err(|error| tracing::error!("{error:#}")).is_ok(),
        Err(errors) => {
            for fault in &errors.faults {
                tracing::error!(%fault, "the new configuration is not taken");
            }
            false
        }
    };
    if taken {
        tracing::info!(
            "configuration was read again: channel rules, [auth], [limits], the admin token, certificates and upstreams are in force, \
             the rest needs a restart"
        );
    }
    gateway.bus().monitor().emit(MonitorEvent::ConfigReloaded { ok: taken });
    taken
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
            // Who presses Ctrl+C has no load balancer that needs time to look elsewhere.
            _ = self.interrupt.recv() => Wish::Stop { quickly: std::io::stderr().is_terminal() },
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
