//! Error strings: `CODE:ARGS:TEXT` (Bayeux 1.0, section "error").

use std::fmt;

/// Why a request failed, in the words that stock clients and CometD's server use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// No such session, or not this browser's.
    SessionUnknown,
    /// The message has no channel, or one that is not a string.
    ChannelMissing,
    /// The channel's name is malformed, or cannot be published to.
    ChannelInvalid,
    /// The message's id is neither a string nor a number.
    MessageIdInvalid,
    /// The client speaks another version, named in the argument.
    VersionMismatch(String),
    /// None of the client's connection types, listed in the argument, is offered.
    ConnectionTypes(String),
    /// A field that the specification demands is absent.
    ParameterMissing(&'static str),
    /// A subscribe or unsubscribe request that names nothing.
    SubscriptionMissing,
    /// A subscription that is no channel name.
    SubscriptionInvalid,
    /// The session may not begin.
    HandshakeDenied(&'static str),
    /// A limit stands before the session or the publication: its name, and whether all clients meet it.
    Limited {
        /// What was not done.
        what: &'static str,
        /// Which limit.
        limit: &'static str,
        /// Whether it is the gateway's own, and not one of this client.
        general: bool,
    },
    /// The subscription is refused.
    SubscribeDenied(&'static str),
    /// The publication is refused.
    PublishDenied(&'static str),
    /// The subscription could not be made, though it is allowed.
    SubscribeFailed(&'static str),
    /// The message was taken out on its way.
    MessageDeleted,
}

impl Fault {
    /// Whether the client has to shake hands again.
    #[must_use]
    pub fn needs_handshake(&self) -> bool {
        *self == Self::SessionUnknown
    }

    /// The three digits.
    #[must_use]
    pub fn code(&self) -> u16 {
        match self {
            Self::VersionMismatch(_) => 300,
            Self::ConnectionTypes(_) => 301,
            Self::ChannelMissing => 400,
            Self::SessionUnknown | Self::ParameterMissing(_) => 402,
            Self::SubscriptionMissing
            | Self::SubscriptionInvalid
            | Self::HandshakeDenied(_)
            | Self::SubscribeDenied(_)
            | Self::PublishDenied(_)
            | Self::SubscribeFailed(_) => 403,
            Self::MessageDeleted => 404,
            Self::Limited { general: false, .. } => 429,
            Self::Limited { general: true, .. } => 503,
            Self::ChannelInvalid | Self::MessageIdInvalid => 405,
        }
    }

    fn args(&self) -> &str {
        match self {
            Self::VersionMismatch(args) | Self::ConnectionTypes(args) => args,
            Self::ParameterMissing(args)
            | Self::HandshakeDenied(args)
            | Self::SubscribeDenied(args)
            | Self::PublishDenied(args)
            | Self::SubscribeFailed(args)
            | Self::Limited { limit: args, .. } => args,
            _ => "",
        }
    }

    fn text(&self) -> &'static str {
        match self {
            Self::SessionUnknown => "session_unknown",
            Self::ChannelMissing => "channel_missing",
            Self::ChannelInvalid => "channel_invalid",
            Self::MessageIdInvalid => "message_id_invalid",
            Self::VersionMismatch(_) => "Version mismatch",
            Self::ConnectionTypes(_) => "Connection types not supported",
            Self::ParameterMissing(_) => "Missing required parameter",
            Self::SubscriptionMissing => "subscription_missing",
            Self::SubscriptionInvalid => "subscription_invalid",
            Self::HandshakeDenied(_) => "handshake_denied",
            Self::SubscribeDenied(_) => "subscribe_denied",
            Self::Limited { what, .. } => what,
            Self::PublishDenied(_) => "publish_denied",
            Self::SubscribeFailed(_) => "subscribe_failed",
            Self::MessageDeleted => "message_deleted",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.code(), self.args(), self.text())
    }
}

impl std::error::Error for Fault {}

/// What a client said, made fit for an error string's arguments: no separators, and not long.
#[must_use]
pub(crate) fn argument(text: &str) -> String {
    text.chars().filter(|c| c.is_ascii_alphanumeric() || "-_./".contains(*c)).take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_those_of_the_incumbents() {
        for (fault, text) in [
            (Fault::SessionUnknown, "402::session_unknown"),
            (Fault::ChannelMissing, "400::channel_missing"),
            (Fault::ChannelInvalid, "405::channel_invalid"),
            (Fault::MessageIdInvalid, "405::message_id_invalid"),
            (Fault::SubscriptionMissing, "403::subscription_missing"),
            (Fault::SubscriptionInvalid, "403::subscription_invalid"),
            (Fault::HandshakeDenied(""), "403::handshake_denied"),
            (Fault::PublishDenied("channel"), "403:channel:publish_denied"),
            (Fault::MessageDeleted, "404::message_deleted"),
            (Fault::VersionMismatch("2.0".into()), "300:2.0:Version mismatch"),
            (Fault::ConnectionTypes("flash".into()), "301:flash:Connection types not supported"),
            (Fault::ParameterMissing("data"), "402:data:Missing required parameter"),
        ] {
            assert_eq!(fault.to_string(), text);
        }
    }

    #[test]
    fn arguments_cannot_break_the_grammar() {
        assert_eq!(argument("a:b,c\"d\n1.0"), "abcd1.0");
        assert_eq!(argument(&"x".repeat(1000)).len(), 64);
    }
}
