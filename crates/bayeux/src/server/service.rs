//! Service channels: calls from one session to a handler, answered to that session alone.

use std::sync::Arc;

use bytes::Bytes;
use ratatosk_core::Channel;

/// A message on a service channel.
#[derive(Debug, Clone)]
pub struct ServiceCall {
    /// The channel in canonical form: `service/echo` for `/service/echo`.
    pub channel: Channel,
    /// Its payload.
    pub payload: Bytes,
    /// The calling session's client id.
    pub client_id: Arc<str>,
    /// The calling session's user.
    pub user: Option<Arc<str>>,
}

/// Answers calls on service channels. It is called while the session is locked, so it must be quick and must not
/// block.
pub trait ServiceHandler: Send + Sync + 'static {
    /// Handles a call. Each payload that is returned reaches the caller as a message on the same channel.
    fn call(&self, call: &ServiceCall) -> Vec<Bytes>;
}
