//! Where a listener listens.

use std::{fmt, net::SocketAddr, str::FromStr};

use super::{ValueError, text_value};

/// The address of a listener, or `"off"`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Listen {
    /// The listener does not exist.
    #[default]
    Off,
    /// The listener is bound here; port 0 lets the system choose.
    At(SocketAddr),
}

text_value!(
    Listen,
    "listen",
    "An address and port to listen on (`localhost` is 127.0.0.1, port 0 lets the system choose), or `off`.",
    "127.0.0.1:8080"
);

impl Listen {
    /// A port on 127.0.0.1.
    #[must_use]
    pub const fn loopback(port: u16) -> Self {
        Self::At(SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), port))
    }

    /// The address, unless it is off.
    #[must_use]
    pub const fn address(self) -> Option<SocketAddr> {
        match self {
            Self::Off => None,
            Self::At(address) => Some(address),
        }
    }

    /// Whether other machines could reach it.
    #[must_use]
    pub fn is_exposed(self) -> bool {
        self.address().is_some_and(|address| !address.ip().to_canonical().is_loopback())
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::At(address) => address.fmt(f),
        }
    }
}

impl FromStr for Listen {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let text = text.trim();
        if text == "off" {
            return Ok(Self::Off);
        }
        let numeric = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
        numeric.as_deref().unwrap_or(text).parse().map(Self::At).map_err(|_| {
            ValueError::new(
                format!("{text:?} is not an address to listen on"),
                "write an IP address and a port, such as \"127.0.0.1:8080\", \"0.0.0.0:8080\" or \"[::]:8080\", or \"off\"",
            )
        })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn knows_who_can_reach_it() {
        for (text, exposed) in [
            ("127.0.0.1:80", false),
            ("localhost:80", false),
            ("[::1]:80", false),
            ("[::ffff:127.0.0.1]:80", false),
            ("off", false),
            ("0.0.0.0:80", true),
            ("[::]:80", true),
            ("192.168.1.2:80", true),
        ] {
            assert_eq!(text.parse::<Listen>().unwrap().is_exposed(), exposed, "{text}");
        }
    }

    #[test]
    fn refuses_names_and_missing_ports() {
        for text in ["", "8080", ":8080", "127.0.0.1", "example.org:80", "127.0.0.1:99999"] {
            assert!(text.parse::<Listen>().is_err(), "{text}");
        }
    }
}
