//! What waits for a session.

use std::sync::Arc;

use bytes::Bytes;
use ratatosk_core::Message;

use crate::proto::queue::Item;

/// What waits for a session.
#[derive(Debug, Clone)]
pub(crate) enum Queued {
    /// A message, with the name that the client knows its channel by if that is not ours.
    Message { message: Arc<Message>, name: Option<Box<str>> },
    /// A message for this session alone, written already, with a comma.
    Own(Bytes),
}

impl Item for Queued {
    fn weight(&self) -> usize {
        match self {
            Self::Message { message, .. } => message.weight(),
            Self::Own(bytes) => bytes.len(),
        }
    }

    fn same_channel(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Message { message: a, name: x }, Self::Message { message: b, name: y }) => {
                a.channel == b.channel && x == y
            }
            _ => false,
        }
    }
}
