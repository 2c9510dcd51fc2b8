//! The wire format of MQTT 3.1, 3.1.1 and 5.0, in both directions.
//!
//! [`Decoder`] takes bytes as they arrive and gives [`Packet`]s whose topics and payloads are slices of
//! those bytes. It is strict: what the standard forbids is refused with the MQTT 5 [`ReasonCode`] that
//! names the fault. [`encode`] writes any packet; [`Template`] is a PUBLISH that is encoded once and
//! written to any number of receivers.

mod ack;
mod auth;
mod connack;
mod connect;
mod decoder;
mod disconnect;
mod encoder;
mod error;
mod packet;
mod property;
mod publish;
mod qos;
mod reader;
mod reason;
mod sink;
mod subscribe;
mod template;
mod topic;
mod unsubscribe;
mod version;

#[cfg(test)]
pub(crate) mod tests;

pub use ack::{Ack, AckProperties};
pub use auth::Auth;
pub use connack::{Connack, ConnackProperties};
pub use connect::{Connect, ConnectProperties, Secret, Will};
pub use decoder::{Decoder, Receiver};
pub use disconnect::Disconnect;
pub use encoder::{encode, encoded_len};
pub use error::{DecodeError, EncodeError};
pub use packet::{Packet, PacketType};
pub use property::UserProperty;
pub use publish::{Publish, PublishProperties};
pub use qos::Qos;
pub use reason::ReasonCode;
pub use sink::Sink;
pub use subscribe::{RetainHandling, Suback, Subscribe, SubscribeFilter, SubscribeOptions};
pub use template::{Copy, Template, TemplateKind};
pub use topic::{FilterFault, SharedFilter, parse_filter, valid_topic_name};
pub use unsubscribe::{Unsuback, Unsubscribe};
pub use version::Version;

/// The largest packet MQTT can express: a remaining length of 268,435,455 bytes and its header.
pub const MAX_PACKET: u32 = MAX_REMAINING + 5;

/// The largest remaining length and the largest variable byte integer (MQTT 5, 1.5.5).
pub const MAX_REMAINING: u32 = 268_435_455;
