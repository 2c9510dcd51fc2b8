use std::num::{NonZeroU16, NonZeroU32};

use bytestring::ByteString;

use super::Link;
use crate::proto::codec::{
    Connack, ConnackProperties, Connect, DecodeError, MAX_PACKET, ReasonCode, Secret, UserProperty, Version, Will,
};

/// What a server offers its clients: its limits, as CONNACK tells them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// The largest packet taken, in bytes.
    pub max_packet: u32,
    /// How many QoS 1 and 2 publications of a client may be open at once.
    pub receive_maximum: NonZeroU16,
    /// The highest topic alias a client may use.
    pub topic_alias_maximum: u16,
    /// How many QoS 1 and 2 publications a client is sent at once, if it takes as many.
    pub max_inflight: NonZeroU16,
    /// The longest that a session outlives its connection, in seconds; `u32::MAX` is for ever.
    pub session_expiry_max: u32,
    /// The longest keep-alive in seconds, also for clients that want none; 0 leaves it to them.
    pub keep_alive_max: u16,
}

/// A CONNECT that is not accepted, and how to say so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// In which version to answer.
    pub version: Version,
    /// Why.
    pub reason: ReasonCode,
}

impl Refusal {
    /// The answer to a first packet that could not be decoded; `None` if nothing may be sent (3.14.0-1).
    ///
    /// An unknown protocol is answered in the form of MQTT 5 (3.1.2-2). Other faults of a CONNECT are told to clients of
    /// MQTT 5 alone: before it there is no return code for them. `version` is what could be read of it.
    #[must_use]
    pub fn of_fault(fault: DecodeError, version: Option<Version>) -> Option<Self> {
        let unknown = matches!(fault, DecodeError::ProtocolLevel(_) | DecodeError::ProtocolName);
        (unknown || version == Some(Version::V5)).then(|| Self { version: Version::V5, reason: fault.reason() })
    }

    /// The CONNACK to send before closing.
    #[must_use]
    pub fn connack(self) -> Connack {
        Connack { session_present: false, reason: self.reason, properties: ConnackProperties::default() }
    }
}

/// A CONNECT whose form is accepted; whether the client may come in is for others to say.
#[derive(Debug)]
pub struct Opening {
    /// The client identifier, ours if it sent none.
    pub client_id: ByteString,
    /// Whether the identifier is ours.
    pub assigned: bool,
    /// Whether to forget what is known of this client.
    pub clean_start: bool,
    /// The keep-alive that is enforced, in seconds; 0 for none.
    pub keep_alive: u16,
    /// Its user name.
    pub username: Option<ByteString>,
    /// Its password.
    pub password: Option<Secret>,
    /// The first data of its enhanced authentication; the method is in the link.
    pub auth_data: Option<Secret>,
    /// What to publish when it is lost.
    pub will: Option<Will>,
    /// The client calls itself a bridge: its subscriptions are to be No Local and Retain As Published.
    pub bridge: bool,
    /// Names and values of the client's own.
    pub user_properties: Vec<UserProperty>,
    /// What the connection may be sent.
    pub link: Link,
    asked_expiry: u32,
    server_keep_alive: Option<u16>,
}

impl Opening {
    /// Judges a CONNECT. `fresh` makes an identifier for a client that has none.
    ///
    /// # Errors
    /// [`Refusal`] with the reason for CONNACK.
    pub fn new(connect: Connect, offer: &Offer, fresh: impl FnOnce() -> ByteString) -> Result<Self, Refusal> {
        let version = connect.version;
        let asked = connect.properties;
        let assigned = connect.client_id.is_empty();
        // MQTT 3.1 has no empty identifiers; 3.1.1 only with a clean session (3.1.3-8).
        if assigned && (version == Version::V31 || (version == Version::V311 && !connect.clean_start)) {
            return Err(Refusal { version, reason: ReasonCode::CLIENT_ID_INVALID });
        }
        let asked_expiry = match (version.is_v5(), connect.clean_start) {
            (true, _) => asked.session_expiry.unwrap_or(0),
            (false, true) => 0,
            (false, false) => u32::MAX,
        };
        let keep_alive = match (connect.keep_alive, offer.keep_alive_max) {
            (keep, 0) => keep,
            (0, max) => max,
            (keep, max) => keep.min(max),
        };
        let window = asked.receive_maximum.unwrap_or(NonZeroU16::MAX).min(offer.max_inflight).get();
        let mut link = Link::new(version, asked.topic_alias_maximum.unwrap_or(0));
        link.max_packet = asked.max_packet_size.map_or(MAX_PACKET, NonZeroU32::get);
        link.window = window;
        link.receive_maximum = if version.is_v5() { offer.receive_maximum.get() } else { u16::MAX };
        link.alias_maximum = offer.topic_alias_maximum;
        link.problem_info = asked.request_problem_info.unwrap_or(true);
        link.auth_method = asked.auth_method.map(Box::new);
        link.session_expiry = asked_expiry.min(offer.session_expiry_max);
        Ok(Self {
            client_id: if assigned { fresh() } else { connect.client_id },
            assigned,
            clean_start: connect.clean_start,
            keep_alive,
            username: connect.username,
            password: connect.password,
            auth_data: asked.auth_data,
            will: connect.will,
            bridge: connect.bridge,
            user_properties: asked.user_properties,
            server_keep_alive: (version.is_v5() && keep_alive != connect.keep_alive).then_some(keep_alive),
            asked_expiry,
            link,
        })
    }

    /// The CONNACK that lets the client in. It says only what differs from the standard's defaults.
    #[must_use]
    pub fn connack(&self, offer: &Offer, session_present: bool) -> Connack {
        let mut properties = ConnackProperties::default();
        if self.link.version.is_v5() {
            let expiry = self.link.session_expiry;
            properties.session_expiry = Some(expiry).filter(|expiry| *expiry != self.asked_expiry);
            properties.receive_maximum = Some(offer.receive_maximum).filter(|max| *max != NonZeroU16::MAX);
            properties.max_packet_size = NonZeroU32::new(offer.max_packet).filter(|max| max.get() < MAX_PACKET);
            properties.assigned_client_id = self.assigned.then(|| self.client_id.clone());
            properties.topic_alias_maximum = Some(offer.topic_alias_maximum).filter(|max| *max > 0);
            properties.server_keep_alive = self.server_keep_alive;
            properties.auth_method = self.link.auth_method.as_deref().cloned();
        }
        Connack { session_present, reason: ReasonCode::SUCCESS, properties }
    }

    /// A refusal of this client.
    #[must_use]
    pub fn refuse(&self, reason: ReasonCode) -> Refusal {
        Refusal { version: self.link.version, reason }
    }
}
