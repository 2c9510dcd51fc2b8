//! The heart of Ratatosk: channels, messages, and the bus that joins every connector.
//!
//! Nothing in this crate knows a protocol. A connector translates at its edge into [`Channel`],
//! [`Filter`] and [`Publication`], publishes on the [`Bus`], and receives [`Message`]s through a [`Peer`].
//!
//! ```text
//! connector ──Publication──▶ Bus ──Arc<Message>──▶ lanes ──Run──▶ Peer (one per session)
//!                             │
//!                             └─▶ Engine (history, last values, session store)
//! ```

pub mod bus;
pub mod channel;
pub mod engine;
mod hash;
mod interest;
mod lane;
pub mod message;
pub mod monitor;
pub mod outbox;
mod pace;
pub mod peer;
pub mod presence;
pub mod queue;
pub mod rule;
pub mod session;
pub mod stats;
pub mod trace;

pub use bus::{Bus, BusConfig, PublishError, Receipt, Relief};
pub use channel::{Channel, ChannelError, Filter, FilterError};
pub use engine::{Engine, MemoryEngine, Replay};
pub use message::{Connector, Fields, Form, Kind, Message, Origin, Position, Properties, Publication, Qos};
pub use monitor::{Monitor, MonitorEvent, MonitorHandler};
pub use outbox::{Outbox, OutboxLimits, SlowPolicy};
pub use peer::{Backlog, Delivered, Grant, Peer, Run};
pub use presence::{Member, Presence, Present};
pub use queue::QueuePeer;
pub use rule::{ChannelRule, HistoryRule, LastValue, Rules};
pub use session::{EndReason, Session, SessionConfig, SessionId, SubscribeOptions, Subscribed};
