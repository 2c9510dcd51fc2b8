//! The engine: where a gateway's state lives, behind one seam.
//!
//! The bus stamps a message (position, local fan-out) inside the engine's critical section of its channel, so
//! that what is stored and what is sent have one order. Local fan-out never waits for an engine: a durable
//! or distributed one returns [`Stored::Pending`], and whoever must acknowledge the message awaits that.

use std::{fmt, future::Future, pin::Pin, sync::Arc};

pub use crate::engine::{
    memory::{MemoryEngine, MemoryLimits},
    sessions::{MemorySessions, SessionRecord, SessionStore, StoreConflict},
};
use crate::{
    channel::{Channel, Filter},
    message::Message,
    rule::ChannelRule,
};

mod memory;
mod sessions;
mod shelf;

/// A future that an engine returns.
pub type EngineFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, EngineError>> + Send + 'a>>;

/// An engine could not do it.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the engine failed: {0}")]
pub struct EngineError(pub Arc<str>);

/// When a message is safe where the engine keeps it.
pub enum Stored {
    /// It was not to be kept, or is kept already.
    Done,
    /// It is on its way.
    Pending(EngineFuture<'static, ()>),
}

impl fmt::Debug for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Done => "Done",
            Self::Pending(_) => "Pending",
        })
    }
}

/// What an engine found for a subscriber that resumes.
#[derive(Debug, Clone, Default)]
pub struct Replay {
    /// The messages after the cursor, in position order.
    pub messages: Vec<Arc<Message>>,
    /// Whether that is all of them.
    pub recovered: bool,
    /// How many are gone, as far as is known; more may be where `missing_exact` is false.
    pub missing: u64,
    /// Whether `missing` is the exact number.
    pub missing_exact: bool,
    /// The oldest position still kept for any of the filters.
    pub oldest: Option<u64>,
}

/// How much an engine holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EngineUsage {
    /// Messages in all histories.
    pub history_messages: u64,
    /// Bytes of them, by [`Message::weight`].
    pub history_bytes: u64,
    /// Messages that histories let go of by their bounds.
    pub history_trimmed: u64,
    /// Last values kept.
    pub retained_messages: u64,
}

/// Makes the message and sends it to local subscribers; `None` asks the caller to try again without storing.
pub type Stamp<'a> = &'a mut dyn FnMut() -> Option<Arc<Message>>;

/// Where history, last values and sessions live.
pub trait Engine: Send + Sync + fmt::Debug + 'static {
    /// Stamps one message and keeps what the rule asks for. `None` if the stamp asked to try again.
    fn append(&self, channel: &Channel, rule: &ChannelRule, stamp: Stamp<'_>) -> Option<Stored>;

    /// What was published to the filters after one position and up to another, each message once.
    fn replay<'a>(&'a self, filters: &'a [Filter], after: u64, up_to: u64) -> EngineFuture<'a, Replay>;

    /// The last values of the channels that a filter matches, in position order.
    fn last_values<'a>(&'a self, filter: &'a Filter) -> EngineFuture<'a, Vec<Arc<Message>>>;

    /// The filter got its first local subscriber, or lost its last: a distributed engine subscribes for the node.
    fn interest_changed(&self, filter: &Filter, wanted: bool);

    /// Sessions that outlive their connection, and perhaps the process.
    fn sessions(&self) -> &dyn SessionStore;

    /// How much it holds.
    fn usage(&self) -> EngineUsage;

    /// Lets go of what is too old. The gateway calls it every few seconds.
    fn sweep(&self);
}
