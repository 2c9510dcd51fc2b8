use bytestring::ByteString;

use super::alias::{AliasesIn, AliasesOut};
use crate::proto::codec::Version;

/// What one connection may be sent, and may send.
#[derive(Debug)]
pub struct Link {
    /// The version it speaks.
    pub version: Version,
    /// The largest packet it takes, in bytes.
    pub max_packet: u32,
    /// How many QoS 1 and 2 publications it is sent at once: the lower of its Receive Maximum and our limit.
    pub window: u16,
    /// How many QoS 2 publications it may have open with us (our Receive Maximum).
    pub receive_maximum: u16,
    /// The highest topic alias it may use.
    pub alias_maximum: u16,
    /// Whether it wants reason strings and user properties in answers.
    pub problem_info: bool,
    /// The method of its enhanced authentication.
    pub auth_method: Option<Box<ByteString>>,
    /// Seconds that its session outlives it.
    pub session_expiry: u32,
    pub(super) aliases_in: Option<Box<AliasesIn>>,
    pub(super) aliases_out: Option<Box<AliasesOut>>,
}

impl Link {
    /// A link of this version with the widest limits; `alias_out` is the client's Topic Alias Maximum.
    #[must_use]
    pub fn new(version: Version, alias_out: u16) -> Self {
        Self {
            version,
            max_packet: crate::proto::codec::MAX_PACKET,
            window: u16::MAX,
            receive_maximum: u16::MAX,
            alias_maximum: 0,
            problem_info: true,
            auth_method: None,
            session_expiry: 0,
            aliases_in: None,
            aliases_out: (alias_out > 0 && version.is_v5()).then(|| Box::new(AliasesOut::new(alias_out))),
        }
    }
}
