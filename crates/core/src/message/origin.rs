//! Where a message came from: what loop prevention, no-local and presence are decided by.

use std::sync::Arc;

use crate::{message::Connector, session::SessionId};

/// The most gateways a message may have passed; a longer list is taken for a loop.
pub const MAX_HOPS: usize = 16;

/// What stands between a gateway's id and that of a message.
pub const NAMED: char = ';';

/// Who sent a message, and which gateways it passed before this one.
#[derive(Debug, Clone)]
pub struct Origin {
    /// The connector it entered by.
    pub connector: Connector,
    /// The session that sent it; none for the gateway's own messages and for HTTP publishers.
    pub session: Option<SessionId>,
    /// The sender's client id.
    pub client_id: Option<Arc<str>>,
    /// The authenticated user.
    pub user: Option<Arc<str>>,
    /// The upstream it came from.
    pub upstream: Option<Arc<str>>,
    /// Ids of the gateways it passed, oldest first. The first may name the message too: its id there, after [`NAMED`].
    pub hops: Arc<[Arc<str>]>,
}

impl Origin {
    /// A message of the gateway's own.
    #[must_use]
    pub fn gateway() -> Self {
        Self::connector(Connector::GATEWAY)
    }

    /// A message that entered by a connector, without a session.
    #[must_use]
    pub fn connector(connector: Connector) -> Self {
        Self { connector, session: None, client_id: None, user: None, upstream: None, hops: no_hops() }
    }

    /// Whether the message passed that gateway already, or passed too many.
    #[must_use]
    pub fn has_passed(&self, gateway_id: &str) -> bool {
        self.hops.len() >= MAX_HOPS || self.hops.iter().any(|hop| gateway_of(hop) == gateway_id)
    }

    /// The gateway that it is from, and its id there, if that gateway has told it.
    #[must_use]
    pub fn named(&self) -> Option<&str> {
        self.hops.first().map(|hop| &**hop).filter(|hop| hop.contains(NAMED))
    }

    /// The gateway that it came from to this one.
    #[must_use]
    pub fn neighbour(&self) -> Option<&str> {
        self.hops.last().map(|hop| gateway_of(hop))
    }
}

/// The id of the gateway alone.
#[must_use]
pub fn gateway_of(hop: &str) -> &str {
    hop.split_once(NAMED).map_or(hop, |(gateway, _)| gateway)
}

/// The empty list, shared: most messages have passed no gateway, and an empty `Arc` allocates.
fn no_hops() -> Arc<[Arc<str>]> {
    static NONE: std::sync::OnceLock<Arc<[Arc<str>]>> = std::sync::OnceLock::new();
    NONE.get_or_init(|| Arc::from([])).clone()
}
