//! Who an HTTP request comes from.

use http::Extensions;

use super::{Refusal, Rights};

/// What the credentials of a request came to, found in its extensions: rights, or why there are none. A protocol that
/// has its own words for a refusal says them; the others never see a request without rights.
#[derive(Debug, Clone)]
pub struct Visitor(pub Result<Rights, Refusal>);

impl Visitor {
    /// The visitor of a request. Without a guard in front of the routes, everyone is welcome.
    #[must_use]
    pub fn of(extensions: &Extensions) -> Self {
        extensions.get::<Self>().cloned().unwrap_or(Self(Ok(Rights::unrestricted())))
    }

    /// Its rights; `None` for one who was turned away.
    #[must_use]
    pub fn rights(self) -> Option<Rights> {
        self.0.ok()
    }
}
