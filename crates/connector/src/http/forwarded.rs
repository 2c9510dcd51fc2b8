//! Where a request truly comes from, when proxies have passed it on.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use http::{HeaderMap, header};

use crate::access::Cidr;

/// The header that the proxies write. Only one is believed: the other may be the client's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ForwardedHeader {
    /// `X-Forwarded-For`, a list of addresses.
    #[default]
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

/// The proxies whose word is taken. Cloning shares the list.
#[derive(Debug, Clone, Default)]
pub struct TrustedProxies {
    addresses: Arc<[Cidr]>,
    header: ForwardedHeader,
}

impl TrustedProxies {
    /// Proxies at these addresses, and the header that they write.
    #[must_use]
    pub fn new(addresses: impl IntoIterator<Item = Cidr>, header: ForwardedHeader) -> Self {
        Self { addresses: addresses.into_iter().collect(), header }
    }

    fn has(&self, address: IpAddr) -> bool {
        self.addresses.iter().any(|block| block.contains(address))
    }

    /// The source of a request that came from `remote`: the last address in the list that is no proxy of ours. Each proxy adds
    /// the address that it was called from, so that what a client made up stands before that, and is never looked at.
    #[must_use]
    pub fn source(&self, remote: SocketAddr, headers: &HeaderMap) -> SocketAddr {
        if self.addresses.is_empty() || !self.has(remote.ip()) {
            return remote;
        }
        let mut source = remote;
        for hop in self.hops(headers).into_iter().rev() {
            // What is not an address (`unknown`, a name that a proxy made up) ends what can be known.
            let Some(address) = hop else { break };
            source = address;
            if !self.has(address.ip()) {
                break;
            }
        }
        source
    }

    /// The addresses that the request came by, the client's first.
    fn hops(&self, headers: &HeaderMap) -> Vec<Option<SocketAddr>> {
        let (name, element): (_, fn(&str) -> Option<SocketAddr>) = match self.header {
            ForwardedHeader::XForwardedFor => ("x-forwarded-for", address),
            ForwardedHeader::Forwarded => (header::FORWARDED.as_str(), forwarded_for),
        };
        // Bytes: what a client made up need not be text, and must not take the proxy's own element with it.
        let elements = headers.get_all(name).iter().flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
        elements.map(|bytes| element(std::str::from_utf8(bytes).ok()?.trim())).collect()
    }
}

/// The `for` of one element: `for=192.0.2.43`, `For="[2001:db8:cafe::17]:4711";proto=http`.
fn forwarded_for(element: &str) -> Option<SocketAddr> {
    let mut pairs = element.split(';').filter_map(|pair| pair.trim().split_once('='));
    let (_, value) = pairs.find(|(name, _)| name.trim().eq_ignore_ascii_case("for"))?;
    address(value.trim().trim_matches('"'))
}

/// An address, perhaps in brackets, perhaps with a port.
fn address(text: &str) -> Option<SocketAddr> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some(address);
    }
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    Some((bare.parse::<IpAddr>().ok()?, 0).into())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn source(header: ForwardedHeader, remote: &str, lines: &[(&'static str, &str)]) -> String {
        let proxies = TrustedProxies::new(["127.0.0.0/8", "10.0.0.0/8"].map(|text| text.parse().unwrap()), header);
        let headers: HeaderMap = lines
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_bytes(value.as_bytes()).unwrap()))
            .collect();
        proxies.source(remote.parse().unwrap(), &headers).ip().to_string()
    }

    #[test]
    fn the_last_address_that_is_no_proxy_counts() {
        let one = |remote, list| source(ForwardedHeader::XForwardedFor, remote, &[("x-forwarded-for", list)]);
        assert_eq!(one("127.0.0.1:1", "192.0.2.7"), "192.0.2.7");
        assert_eq!(one("127.0.0.1:1", "6.6.6.6, 192.0.2.7, 10.0.0.2"), "192.0.2.7");
        assert_eq!(one("127.0.0.1:1", "6.6.6.6, unknown, 10.0.0.2"), "10.0.0.2");
        assert_eq!(one("127.0.0.1:1", "2001:db8::7"), "2001:db8::7");
        assert_eq!(one("127.0.0.1:1", "192.0.2.7:4711"), "192.0.2.7");
        assert_eq!(one("127.0.0.1:1", ""), "127.0.0.1");
        assert_eq!(one("127.0.0.1:1", "\u{e9}, 192.0.2.7"), "192.0.2.7");
        // Nobody else is believed.
        assert_eq!(one("192.0.2.9:1", "127.0.0.1"), "192.0.2.9");
        let lines = [("x-forwarded-for", "6.6.6.6"), ("x-forwarded-for", "192.0.2.7"), ("forwarded", "for=6.6.6.6")];
        assert_eq!(source(ForwardedHeader::XForwardedFor, "127.0.0.1:1", &lines), "192.0.2.7");
    }

    #[test]
    fn the_standard_header_is_read() {
        let one = |list| source(ForwardedHeader::Forwarded, "127.0.0.1:1", &[("forwarded", list)]);
        assert_eq!(one("for=192.0.2.43"), "192.0.2.43");
        assert_eq!(one("For=\"[2001:db8:cafe::17]:4711\";proto=https"), "2001:db8:cafe::17");
        assert_eq!(one("proto=http;for=192.0.2.60;by=203.0.113.43, for=10.1.1.1"), "192.0.2.60");
        assert_eq!(one("for=_hidden"), "127.0.0.1");
        assert_eq!(one("for=\"\u{e9}, for=192.0.2.43"), "192.0.2.43");
        let spoofed = [("x-forwarded-for", "6.6.6.6"), ("forwarded", "for=192.0.2.7")];
        assert_eq!(source(ForwardedHeader::Forwarded, "127.0.0.1:1", &spoofed), "192.0.2.7");
    }
}
