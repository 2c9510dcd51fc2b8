//! What a connection waits for, all at once.

use std::{future::Future, pin::Pin};

use futures_util::{StreamExt, stream::FuturesUnordered};
use ratatosk_connector::upstream::{Outbound, Token};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::{
    api::ApiFault,
    authorize::{Denied, Grant},
};

/// An authorization on its way.
pub(super) type Asked = Pin<Box<dyn Future<Output = (String, Result<Grant, Denied>)> + Send>>;
/// A call of the API on its way.
pub(super) type Call = Pin<Box<dyn Future<Output = Result<(), ApiFault>> + Send>>;

/// What happened.
pub(super) enum Step {
    /// Something came, or the connection ended.
    Came(Option<Result<Message, Error>>),
    /// We are asked to leave.
    Leave,
    /// Other channels are wanted.
    Wanted,
    /// An authorization came back.
    Authorized(String, Result<Grant, Denied>),
    /// Something is to be sent.
    Ready,
    /// The API answered.
    Called(Result<(), ApiFault>),
    /// It is time for something.
    Time,
}

/// The events of a call, with their places in the queue: kept until the server has them.
#[derive(Default)]
pub(super) struct Sending {
    pub(super) call: Option<Call>,
    pub(super) events: Vec<(Token, super::api::Event)>,
    /// A message that was taken and waits for its turn.
    pub(super) held: Option<Outbound>,
    /// Nothing is sent before this.
    pub(super) not_before: Option<Instant>,
    /// Failures in a row.
    pub(super) failures: u32,
    /// The server refused events in one batch: they go one by one.
    pub(super) singly: bool,
}

impl Sending {
    /// Whether a message may be taken now.
    pub(super) fn is_free(&self) -> bool {
        self.call.is_none() && self.events.is_empty() && self.held.is_none() && self.not_before.is_none()
    }
}

/// The answer of the call, or never.
pub(super) async fn answered(call: &mut Option<Call>) -> Result<(), ApiFault> {
    match call {
        Some(call) => call.await,
        None => std::future::pending().await,
    }
}

/// The next authorization, or never.
pub(super) async fn authorized(asked: &mut FuturesUnordered<Asked>) -> (String, Result<Grant, Denied>) {
    match asked.next().await {
        Some(answer) => answer,
        None => std::future::pending().await,
    }
}
