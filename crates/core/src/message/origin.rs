//! Where a message came from: what loop prevention, no-local and presence are decided by.

use std::sync::Arc;

use crate::{message::Connector, session::SessionId};

/// The most gateways a message may have passed; a longer list is taken for a loop.
pub const MAX_HOPS: usize = 16;

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
    /// Ids of the gateways it passed, oldest first.
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
        self.hops.len() >= MAX_HOPS || self.hops.iter().any(|hop| &**hop == gateway_id)
    }
}

/// The empty list, shared: most messages have passed no gateway, and an empty `Arc` allocates.
fn no_hops() -> Arc<[Arc<str>]> {
    static NONE: std::sync::OnceLock<Arc<[Arc<str>]>> = std::sync::OnceLock::new();
    NONE.get_or_init(|| Arc::from([])).clone()
}
