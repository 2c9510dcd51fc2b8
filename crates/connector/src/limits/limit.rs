//! What a limit says.

use std::time::Duration;

/// The limit that turned a connection, a session or a request away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Limit {
    /// All connections that there may be are open.
    #[error("the gateway has as many connections as it may have")]
    Connections,
    /// The address has as many connections as it may have.
    #[error("too many connections from this address")]
    AddressConnections,
    /// New connections come too fast from the address.
    #[error("connections from this address come too fast")]
    AddressRate,
    /// The user has as many connections as one may have.
    #[error("too many connections of this user")]
    UserConnections,
    /// Memory is near its ceiling.
    #[error("the gateway is busy")]
    Memory,
    /// Publications come too fast.
    #[error("publications come too fast")]
    PublishRate,
    /// The connection did not begin with a PROXY header that can be believed.
    #[error("the PROXY header is missing or malformed")]
    ProxyHeader,
}

impl Limit {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Connections,
        Self::AddressConnections,
        Self::AddressRate,
        Self::UserConnections,
        Self::Memory,
        Self::PublishRate,
        Self::ProxyHeader,
    ];

    /// The label in metrics.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::AddressConnections => "address_connections",
            Self::AddressRate => "address_rate",
            Self::UserConnections => "user_connections",
            Self::Memory => "memory",
            Self::PublishRate => "publish_rate",
            Self::ProxyHeader => "proxy_header",
        }
    }

    /// Whether all clients meet it, and not only the one that is turned away: HTTP says 503 then, and 429 otherwise.
    #[must_use]
    pub fn is_general(self) -> bool {
        matches!(self, Self::Connections | Self::Memory)
    }

    /// When it is worth to come again.
    #[must_use]
    pub fn retry_after(self) -> Duration {
        match self {
            Self::AddressRate | Self::PublishRate => Duration::from_secs(1),
            _ => Duration::from_secs(5),
        }
    }
}

/// A publication came before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("publications come too fast")]
pub struct TooFast {
    /// When the next one may come.
    pub wait: Duration,
}
