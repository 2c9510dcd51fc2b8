//! The HTTP API (Pusher, "HTTP API"): whether a request is signed, and what it asks for. No HTTP library: method, path,
//! query and body come in as text and bytes.

mod auth;
mod event;
mod info;

pub use auth::{AuthFault, authenticate};
pub use event::{Event, batch, event, trigger_from_query};
pub use info::{Attribute, Info};

/// A refusal with its HTTP status; the text is the body of the answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    /// 400, 401, 403, 404, 413 or 429.
    pub status: u16,
    /// What is wrong, for the developer who reads it.
    pub message: String,
}

impl Fault {
    /// The request is wrong in itself.
    #[must_use]
    pub fn bad(message: impl Into<String>) -> Self {
        Self { status: 400, message: message.into() }
    }

    /// The data is over the limit.
    #[must_use]
    pub fn too_large(message: impl Into<String>) -> Self {
        Self { status: 413, message: message.into() }
    }
}
