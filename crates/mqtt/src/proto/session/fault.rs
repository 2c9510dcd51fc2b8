use crate::proto::codec::{DecodeError, ReasonCode};

/// Why a connection must be closed for what its client did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The bytes were refused.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A second CONNECT (MQTT 5, 3.1.0-2).
    #[error("second CONNECT on a connection")]
    SecondConnect,
    /// More QoS 2 publications at once than the Receive Maximum (3.3.4-9).
    #[error("receive maximum exceeded")]
    ReceiveMaximum,
    /// A topic alias above the maximum (3.3.2-9).
    #[error("topic alias above the maximum")]
    TopicAlias,
    /// An empty topic with an alias that stands for nothing yet.
    #[error("topic alias stands for nothing")]
    UnknownAlias,
    /// An acknowledgement of the wrong kind for the publication it names.
    #[error("acknowledgement does not fit the publication")]
    WrongAck,
    /// DISCONNECT gives an expiry to a session that had none (3.14.2.2.2).
    #[error("session expiry raised from 0 by DISCONNECT")]
    ExpiryRaised,
    /// AUTH on a connection without enhanced authentication (4.12.0-6).
    #[error("AUTH without an authentication method")]
    UnexpectedAuth,
    /// AUTH with another method than that of CONNECT (4.12.0-5).
    #[error("authentication method changed")]
    AuthMethod,
}

impl Fault {
    /// A name for counters, in snake case.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Decode(error) => error.label(),
            Self::SecondConnect => "second_connect",
            Self::ReceiveMaximum => "receive_maximum",
            Self::TopicAlias => "topic_alias",
            Self::UnknownAlias => "unknown_alias",
            Self::WrongAck => "wrong_ack",
            Self::ExpiryRaised => "expiry_raised",
            Self::UnexpectedAuth => "unexpected_auth",
            Self::AuthMethod => "auth_method",
        }
    }

    /// The reason code for DISCONNECT.
    #[must_use]
    pub fn reason(self) -> ReasonCode {
        match self {
            Self::Decode(error) => error.reason(),
            Self::ReceiveMaximum => ReasonCode::RECEIVE_MAXIMUM_EXCEEDED,
            Self::TopicAlias => ReasonCode::TOPIC_ALIAS_INVALID,
            Self::SecondConnect
            | Self::UnknownAlias
            | Self::WrongAck
            | Self::ExpiryRaised
            | Self::UnexpectedAuth
            | Self::AuthMethod => ReasonCode::PROTOCOL_ERROR,
        }
    }
}
