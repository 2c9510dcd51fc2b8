//! Who an HTTP request comes from.

use std::net::IpAddr;

use http::Extensions;

use super::{Refusal, Rights};
use crate::limits::Limit;

/// What the credentials of a request came to, found in its extensions: rights, or why there are none. A protocol that
/// has its own words for a refusal says them; the others never see a request without rights.
#[derive(Debug, Clone)]
pub struct Visitor {
    /// What it may do.
    pub judged: Result<Rights, Refusal>,
    /// The address it comes from, where it is known.
    pub address: Option<IpAddr>,
    /// The limit that it is over: no session may begin with it.
    pub limited: Option<Limit>,
}

impl Visitor {
    /// The visitor of a request. Without a guard in front of the routes, everyone is welcome.
    #[must_use]
    pub fn of(extensions: &Extensions) -> Self {
        let welcome = || Self { judged: Ok(Rights::unrestricted()), address: None, limited: None };
        extensions.get::<Self>().cloned().unwrap_or_else(welcome)
    }
}
