//! Room for a demo beside what runs on the machine already.

use std::net::{SocketAddr, TcpListener};

use ratatosk_connector::config_types::Listen;

use crate::config::Resolved;

/// A broker that runs on this machine already is no reason not to see a demo: a default port that is taken is replaced by a
/// free one. Ports that somebody asked for stay.
pub(super) fn make_way(resolved: &mut Resolved) {
    let defaults = crate::config::RawConfig::default();
    let free = |address: SocketAddr, default: Option<SocketAddr>| {
        let is_taken = Some(address) == default && TcpListener::bind(address).is_err();
        is_taken.then(|| SocketAddr::new(address.ip(), 0))
    };
    if let Some(address) = resolved.http.listen.and_then(|at| free(at, defaults.http.listen.address())) {
        resolved.http.listen = Some(address);
    }
    if let Some(address) = resolved.admin.and_then(|at| free(at, defaults.admin.listen.address())) {
        resolved.admin = Some(address);
    }
    if let Some(address) = resolved.mqtt.listen.address().and_then(|at| free(at, defaults.mqtt.listen.address())) {
        resolved.mqtt.listen = Listen::At(address);
    }
}
