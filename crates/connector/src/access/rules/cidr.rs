//! Blocks of addresses (RFC 4632, RFC 4291 section 2.3).

use std::{fmt, net::IpAddr, str::FromStr};

/// A block of addresses, such as `10.0.0.0/8` or `fd00::/8`; an address alone is a block of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cidr {
    network: u128,
    mask: u128,
    is_v4: bool,
}

/// The text is no block of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is no block of addresses")]
pub struct CidrError;

impl FromStr for Cidr {
    type Err = CidrError;

    fn from_str(text: &str) -> Result<Self, CidrError> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length.parse::<u32>().map_err(|_| CidrError)?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| CidrError)?;
        let bits: u32 = if address.is_ipv4() { 32 } else { 128 };
        let length = length.unwrap_or(bits);
        if length > bits {
            return Err(CidrError);
        }
        let low = 1_u128.checked_shl(bits - length).map_or(u128::MAX, |bit| bit - 1);
        let mask = if address.is_ipv4() { !low & u128::from(u32::MAX) } else { !low };
        Ok(Self { network: number(address) & mask, mask, is_v4: address.is_ipv4() })
    }
}

impl Cidr {
    /// Whether the address is in the block. An IPv4 address that came in an IPv6 one (`::ffff:a.b.c.d`) is IPv4.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.is_v4 && number(address) & self.mask == self.network
    }

    /// Whether every address of the other block is in this one.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        self.is_v4 == other.is_v4 && self.mask & other.mask == self.mask && other.network & self.mask == self.network
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let length = self.mask.count_ones();
        let bits = u32::try_from(self.network & u128::from(u32::MAX)).unwrap_or_default();
        match self.is_v4 {
            true => write!(f, "{}/{length}", std::net::Ipv4Addr::from_bits(bits)),
            false => write!(f, "{}/{length}", std::net::Ipv6Addr::from_bits(self.network)),
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn blocks_hold_their_addresses() {
        let holds = |block: &str, address: &str| block.parse::<Cidr>().unwrap().contains(address.parse().unwrap());
        assert!(holds("10.0.0.0/8", "10.255.0.1") && !holds("10.0.0.0/8", "11.0.0.1"));
        assert!(holds("0.0.0.0/0", "1.2.3.4") && !holds("0.0.0.0/0", "::1"));
        assert!(holds("::/0", "fd00::1") && holds("fd00::/8", "fdff::1") && !holds("fd00::/8", "fe80::1"));
        assert!(holds("127.0.0.1", "127.0.0.1") && holds("127.0.0.1", "::ffff:127.0.0.1"));
        for bad in ["", "10.0.0.0/33", "::/129", "10.0.0/8", "10.0.0.0/-1", "10.0.0.0/"] {
            assert_eq!(bad.parse::<Cidr>(), Err(CidrError), "{bad}");
        }
    }

    #[test]
    fn a_wider_block_covers_a_narrower_one() {
        let covers = |a: &str, b: &str| a.parse::<Cidr>().unwrap().covers(&b.parse().unwrap());
        assert!(covers("10.0.0.0/8", "10.1.0.0/16") && !covers("10.1.0.0/16", "10.0.0.0/8"));
        assert!(covers("0.0.0.0/0", "127.0.0.1") && !covers("0.0.0.0/0", "::1"));
        assert_eq!("10.1.2.3/8".parse::<Cidr>().unwrap().to_string(), "10.0.0.0/8");
        assert_eq!("fd00::1/16".parse::<Cidr>().unwrap().to_string(), "fd00::/16");
        assert_eq!("0.0.0.0/0".parse::<Cidr>().unwrap().to_string(), "0.0.0.0/0");
    }
}
