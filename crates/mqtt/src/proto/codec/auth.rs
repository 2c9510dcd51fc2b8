use bytestring::ByteString;

use super::connect::Secret;
use super::property::{
    Place, Property, PropertySet, UserProperty, id, put_bytes, put_properties, put_string, put_user, read_properties,
};
use super::reader::Reader;
use super::sink::{Sink, put_u8};
use super::{DecodeError, ReasonCode};

/// AUTH (MQTT 5, 3.15): one step of an enhanced authentication.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Auth {
    /// Success, continue or re-authenticate.
    pub reason: ReasonCode,
    /// The method, the same throughout a connection (4.12.0-5).
    pub method: Option<ByteString>,
    /// What the method says in this step.
    pub data: Option<Secret>,
    /// For people and logs.
    pub reason_string: Option<ByteString>,
    /// Names and values of the sender's own.
    pub user_properties: Vec<UserProperty>,
}

impl Auth {
    fn has_properties(&self) -> bool {
        self.method.is_some() || self.data.is_some() || self.reason_string.is_some() || !self.user_properties.is_empty()
    }
}

impl PropertySet for Auth {
    fn write(&self, out: &mut impl Sink) {
        put_string(out, id::AUTH_METHOD, self.method.as_ref());
        put_bytes(out, id::AUTH_DATA, self.data.as_ref().map(|secret| &secret.0));
        put_string(out, id::REASON_STRING, self.reason_string.as_ref());
        put_user(out, &self.user_properties);
    }
}

pub(crate) fn read(r: &mut Reader, from_client: bool) -> Result<Auth, DecodeError> {
    let mut packet = Auth::default();
    if !r.is_empty() {
        packet.reason = ReasonCode(r.u8()?);
        let known = match packet.reason {
            ReasonCode::CONTINUE_AUTHENTICATION => true,
            ReasonCode::REAUTHENTICATE => from_client,
            ReasonCode::SUCCESS => !from_client,
            _ => false,
        };
        if !known {
            return Err(DecodeError::Reason);
        }
        if !r.is_empty() {
            read_properties(r, Place::Auth, |property| {
                match property {
                    Property::AuthMethod(v) => packet.method = Some(v),
                    Property::AuthData(v) => packet.data = Some(Secret(v)),
                    Property::ReasonString(v) => packet.reason_string = Some(v),
                    Property::User(v) => packet.user_properties.push(v),
                    _ => return Err(DecodeError::PropertyNotAllowed),
                }
                Ok(())
            })?;
        }
    }
    r.end()?;
    // Every AUTH names its method (3.15.2.2.2), but for the short form that says success.
    if packet.method.is_none() && packet.has_properties() {
        return Err(DecodeError::AuthDataWithoutMethod);
    }
    Ok(packet)
}

pub(crate) fn write(packet: &Auth, out: &mut impl Sink) {
    let properties = packet.has_properties();
    if packet.reason != ReasonCode::SUCCESS || properties {
        put_u8(out, packet.reason.0);
    }
    if properties {
        put_properties(out, packet);
    }
}
