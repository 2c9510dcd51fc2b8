//! Far servers: a bridge for each, supervised, and changed while the gateway runs.

use std::{sync::Arc, time::Duration};

use indexmap::IndexMap;
use parking_lot::Mutex;
use ratatosk_connector::{
    config_types::BridgeRuleConfig,
    lifecycle::Lifecycle,
    upstream::{BridgeHandle, State},
};
use ratatosk_core::Bus;

use crate::config::{Resolved, Upstream, raw::UpstreamSection};

mod control;
mod describe;
mod make;

use make::{Facts, Made};

pub(super) use make::make;

/// How long an upstream that is removed or replaced may take to send what is queued.
const FAREWELL: Duration = Duration::from_secs(5);
/// How long it may take to say goodbye after that.
const GOODBYE: Duration = Duration::from_secs(4);

/// All upstreams. Cloning shares them.
#[derive(Clone)]
pub(super) struct Upstreams(Arc<Inner>);

struct Inner {
    bus: Bus,
    life: Lifecycle,
    entries: Mutex<IndexMap<Arc<str>, Entry>>,
}

/// Who asked for an upstream: SIGHUP touches only what the file brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    File,
    Api,
}

struct Entry {
    upstream: Upstream,
    source: Source,
    handle: BridgeHandle,
    facts: Facts,
    /// When the certificate that it is shown ends, in Unix seconds.
    certificate_ends: Option<i64>,
}

impl Upstreams {
    /// Starts a bridge for each configured upstream.
    ///
    /// # Errors
    /// Options that only show to be wrong when the client is made, such as a certificate file that has gone.
    pub(super) fn start(resolved: &Resolved, bus: &Bus, life: &Lifecycle) -> anyhow::Result<Self> {
        let all = Self(Arc::new(Inner { bus: bus.clone(), life: life.clone(), entries: Mutex::default() }));
        for upstream in &resolved.upstreams {
            all.put(upstream, Source::File)?;
        }
        Ok(all)
    }

    /// Puts a new configuration in force: what is gone is drained, what has changed is replaced, the rest goes on.
    ///
    /// # Errors
    /// Some could not be made: the message names each. The others are in force, and what had their names before goes on.
    pub(super) fn reload(&self, resolved: &Resolved) -> anyhow::Result<()> {
        let wanted = |name: &Arc<str>| resolved.upstreams.iter().find(|upstream| upstream.name == *name);
        let gone: Vec<Arc<str>> = {
            let entries = self.0.entries.lock();
            let of_file = entries.iter().filter(|(_, entry)| entry.source == Source::File);
            of_file.filter(|(name, _)| wanted(name).is_none()).map(|(name, _)| name.clone()).collect()
        };
        for name in gone {
            self.remove(&name);
        }
        let mut failed = Vec::new();
        for upstream in &resolved.upstreams {
            let unchanged = self.0.entries.lock().get(&upstream.name).is_some_and(|entry| {
                entry.source == Source::File
                    && entry.upstream.section == upstream.section
                    && entry.handle.status().state != State::Stopped
            });
            if unchanged {
                continue;
            }
            if let Err(error) = self.put(upstream, Source::File) {
                failed.push(format!("upstream {} is not taken: {error:#}", upstream.name));
            }
        }
        anyhow::ensure!(failed.is_empty(), failed.join("\n"));
        Ok(())
    }

    /// Starts one, in the place of the one that has its name. Where both send the same, it also sends what that one has not.
    fn put(&self, upstream: &Upstream, source: Source) -> anyhow::Result<()> {
        let Made { handle, facts, task } = make(upstream, &self.0.bus)?;
        let certificate_ends = describe::certificate_end(upstream);
        let entry = Entry { upstream: upstream.clone(), source, handle, facts, certificate_ends };
        let mut entries = self.0.entries.lock();
        if let Some(old) = entries.get(&upstream.name)
            && sent_by(&old.upstream.section) == sent_by(&upstream.section)
        {
            entry.handle.succeed(&old.handle);
        }
        let replaced = entries.insert(upstream.name.clone(), entry);
        drop(entries);
        match replaced {
            None => {
                tracing::info!(upstream = %upstream.name, kind = upstream.options.kind(), "upstream is started");
                self.0.life.spawn("upstream", task);
            }
            // The new one's queue collects from now on; it connects when the old one has gone, because a far server may
            // know both by the same name.
            Some(old) => {
                tracing::info!(upstream = %upstream.name, kind = upstream.options.kind(), "upstream is replaced");
                self.0.life.spawn("upstream", async move {
                    leave(old.handle).await;
                    task.await;
                });
            }
        }
        Ok(())
    }

    /// Ends one for good. False if there is none of that name.
    fn remove(&self, name: &str) -> bool {
        let Some(entry) = self.0.entries.lock().shift_remove(name) else { return false };
        tracing::info!(upstream = %name, "upstream is removed");
        self.0.life.spawn("upstream leaving", leave(entry.handle));
        true
    }

    /// Sends what is queued where the far server takes it, within a time, and ends all of them.
    pub(super) async fn drain(&self, at_most: Duration) {
        let handles: Vec<BridgeHandle> = self.0.entries.lock().values().map(|entry| entry.handle.clone()).collect();
        let (up, away): (Vec<_>, Vec<_>) = handles.into_iter().partition(|handle| handle.status().state == State::Up);
        away.iter().for_each(BridgeHandle::stop);
        let drained = futures_util::future::join_all(up.iter().map(BridgeHandle::drain));
        if tokio::time::timeout(at_most, drained).await.is_err() {
            tracing::warn!("an upstream did not take all that was queued for it");
        }
        up.iter().for_each(BridgeHandle::stop);
    }
}

/// The `out` rules, as written.
fn sent_by(section: &UpstreamSection) -> &[BridgeRuleConfig] {
    match section {
        UpstreamSection::Mqtt(config) => &config.outbound,
        UpstreamSection::Sse(config) => &config.outbound,
        UpstreamSection::Bayeux(config) => &config.outbound,
        UpstreamSection::Pusher(config) => &config.outbound,
    }
}

/// Sends what is queued, as far as there is time, and ends the bridge.
async fn leave(handle: BridgeHandle) {
    if handle.status().state == State::Up {
        // Whoever is too slow is stopped below.
        let _ = tokio::time::timeout(FAREWELL, handle.drain()).await;
    } else {
        // What is made of them may be sent by another in its place.
        let _ = tokio::time::timeout(FAREWELL, handle.finish_programs()).await;
    }
    handle.stop();
    let _ = tokio::time::timeout(GOODBYE, handle.reached(State::Stopped)).await;
}
