use bytestring::ByteString;

use super::property::{
    Place, Property, PropertySet, UserProperty, id, put_int, put_properties, put_string, put_user, read_properties,
};
use super::reader::Reader;
use super::sink::{Sink, put_u8};
use super::{DecodeError, ReasonCode, Version};

/// DISCONNECT (MQTT 5, 3.14). Before MQTT 5 only a client sends it, and it is empty.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Disconnect {
    /// Why the connection ends.
    pub reason: ReasonCode,
    /// A new session expiry in seconds; only from a client.
    pub session_expiry: Option<u32>,
    /// For people and logs.
    pub reason_string: Option<ByteString>,
    /// Another server; only from a server.
    pub server_reference: Option<ByteString>,
    /// Names and values of the sender's own.
    pub user_properties: Vec<UserProperty>,
}

impl Disconnect {
    /// A DISCONNECT with a reason alone.
    #[must_use]
    pub fn new(reason: ReasonCode) -> Self {
        Self { reason, ..Self::default() }
    }

    fn has_properties(&self) -> bool {
        self.session_expiry.is_some()
            || self.reason_string.is_some()
            || self.server_reference.is_some()
            || !self.user_properties.is_empty()
    }
}

impl PropertySet for Disconnect {
    fn write(&self, out: &mut impl Sink) {
        put_int(out, id::SESSION_EXPIRY, self.session_expiry);
        put_string(out, id::REASON_STRING, self.reason_string.as_ref());
        put_string(out, id::SERVER_REFERENCE, self.server_reference.as_ref());
        put_user(out, &self.user_properties);
    }
}

/// Which reasons a client, or else a server, may give (table 3-13).
fn allowed(reason: ReasonCode, from_client: bool) -> bool {
    let both = matches!(reason.0, 0x00 | 0x80..=0x83 | 0x90 | 0x93..=0x99);
    let client = reason.0 == 0x04;
    let server = matches!(reason.0, 0x87 | 0x89 | 0x8B..=0x8F | 0x9A..=0xA2);
    both || if from_client { client } else { server }
}

pub(crate) fn read(r: &mut Reader, version: Version, from_client: bool) -> Result<Disconnect, DecodeError> {
    let mut packet = Disconnect::default();
    if version.is_v5() && !r.is_empty() {
        packet.reason = ReasonCode(r.u8()?);
        if !allowed(packet.reason, from_client) {
            return Err(DecodeError::Reason);
        }
        if !r.is_empty() {
            read_properties(r, Place::Disconnect, |property| {
                match property {
                    Property::SessionExpiry(v) => packet.session_expiry = Some(v),
                    Property::ReasonString(v) => packet.reason_string = Some(v),
                    Property::ServerReference(v) => packet.server_reference = Some(v),
                    Property::User(v) => packet.user_properties.push(v),
                    _ => return Err(DecodeError::PropertyNotAllowed),
                }
                Ok(())
            })?;
        }
    }
    r.end()?;
    // The expiry comes only from a client, the other server only from a server (3.14.2-2).
    let strange = if from_client { packet.server_reference.is_some() } else { packet.session_expiry.is_some() };
    if strange { Err(DecodeError::PropertyNotAllowed) } else { Ok(packet) }
}

pub(crate) fn write(packet: &Disconnect, version: Version, out: &mut impl Sink) {
    if !version.is_v5() {
        return;
    }
    let properties = packet.has_properties();
    if packet.reason != ReasonCode::SUCCESS || properties {
        put_u8(out, packet.reason.0);
    }
    if properties {
        put_properties(out, packet);
    }
}
