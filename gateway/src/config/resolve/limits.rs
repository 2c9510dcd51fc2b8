//! Limits, and the proxies whose word is taken.

use ratatosk_connector::{
    access::Cidr,
    config_types::{Listen, Size},
    limits::LimitsConfig,
};

use super::Faults;
use crate::config::{path::KeyPath, raw::RawConfig};

/// The least that a ceiling can be: less than this the process takes by itself.
const LEAST_MEMORY: u64 = 32 << 20;

pub(super) fn limits(raw: &RawConfig, exempt: &[Cidr], faults: &mut Faults) -> LimitsConfig {
    let section = &raw.limits;
    let at = |key| KeyPath::keys(["limits", key]);
    if section.memory.is_some_and(|memory| memory.bytes() < LEAST_MEMORY) {
        let problem = "the gateway takes about as much by itself";
        faults.add(at("memory"), problem, "write at least \"32 MiB\"");
    }
    if section.queue_bytes.is_some_and(|bytes| bytes.bytes() == 0) {
        faults.add(at("queue_bytes"), "this may not be zero", "write a size such as \"64 MiB\"");
    }
    let count = |number: Option<std::num::NonZeroU32>| number.and_then(|number| usize::try_from(number.get()).ok());
    LimitsConfig {
        connections: Some(section.connections),
        connections_per_address: count(section.connections_per_address),
        connection_rate_per_address: section.connection_rate_per_address,
        connections_per_user: count(section.connections_per_user),
        publish_rate: section.publish_rate,
        publish_rate_per_user: section.publish_rate_per_user,
        queue_bytes: section.queue_bytes.map(Size::as_usize),
        memory: section.memory.map(Size::as_usize),
        exempt: exempt.to_vec(),
    }
}

/// The list of `http.trusted_proxies`.
pub(super) fn proxies(raw: &RawConfig, faults: &mut Faults) -> Vec<Cidr> {
    let at = KeyPath::keys(["http", "trusted_proxies"]);
    let mut proxies = Vec::new();
    for (index, text) in raw.http.trusted_proxies.iter().enumerate() {
        match text.parse() {
            Ok(block) => proxies.push(block),
            Err(error) => {
                let advice = "write an address, or one with the length of its prefix, as in \"10.0.0.0/8\"";
                faults.add(at.clone().index(index), format!("{text:?}: {error}"), advice);
            }
        }
    }
    let listeners: [(&str, bool, &[Listen]); 2] = [
        ("http", raw.http.proxy_protocol, &[raw.http.listen, raw.http.tls_listen]),
        ("mqtt", raw.mqtt.proxy_protocol, &[raw.mqtt.listen, raw.mqtt.tls_listen]),
    ];
    for (section, wanted, addresses) in listeners {
        if wanted && raw.http.trusted_proxies.is_empty() && addresses.iter().any(|listen| listen.is_exposed()) {
            faults.add(
                KeyPath::keys([section, "proxy_protocol"]),
                "anybody who can reach the listener could say to come from anywhere",
                "name the proxies in `http.trusted_proxies`",
            );
        }
    }
    proxies
}
