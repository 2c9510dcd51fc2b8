//! One upstream by itself, on any bus: what `ratatosk sub` and `pub` are made of.

use ratatosk_connector::{lifecycle::Lifecycle, upstream::BridgeHandle};
use ratatosk_core::Bus;

use super::upstreams::make;
use crate::config::Upstream;

/// Joins a far server: its bridge runs until it is stopped, or the handle and its clones are dropped.
///
/// # Errors
/// Options that only show to be wrong when the client is made, such as a certificate file that has gone.
pub fn join(bus: &Bus, life: &Lifecycle, upstream: &Upstream) -> anyhow::Result<BridgeHandle> {
    let made = make(upstream, bus)?;
    life.spawn("upstream", made.task);
    Ok(made.handle)
}
