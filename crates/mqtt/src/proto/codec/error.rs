use super::ReasonCode;

/// Why received bytes were refused. The connection they came on must be closed (MQTT 5, 4.13.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The packet is shorter than its content.
    #[error("packet is too short for its content")]
    Truncated,
    /// The packet is longer than its content.
    #[error("bytes after the end of the packet's content")]
    TrailingBytes,
    /// A variable byte integer has more than four bytes, or more than it needs (1.5.5-1).
    #[error("variable byte integer is not minimal")]
    VarInt,
    /// Packet type 0, or one that this version does not have.
    #[error("unknown packet type")]
    PacketType,
    /// The flags of the fixed header are not those the packet type demands (2.1.3-1).
    #[error("wrong flags in the fixed header")]
    Flags,
    /// A string is not UTF-8 (1.5.4-1).
    #[error("string is not UTF-8")]
    Utf8,
    /// A string contains U+0000 (1.5.4-2).
    #[error("string contains U+0000")]
    NullCharacter,
    /// QoS 3 (3.3.1-4).
    #[error("QoS 3")]
    Qos3,
    /// DUP with QoS 0 (3.3.1-2).
    #[error("DUP is set with QoS 0")]
    DupQos0,
    /// A wildcard in a topic name (3.3.2-2).
    #[error("wildcard in a topic name")]
    WildcardInTopic,
    /// A reserved bit is set.
    #[error("a reserved bit is set")]
    ReservedBit,
    /// Flags of CONNECT contradict each other (3.1.2-11..17).
    #[error("flags of CONNECT contradict each other")]
    ConnectFlags,
    /// A property that this packet may not carry, or none that exists.
    #[error("property is not allowed in this packet")]
    PropertyNotAllowed,
    /// A will topic, or a topic where one is needed, is empty.
    #[error("empty topic")]
    EmptyTopic,
    /// A property appears twice.
    #[error("property appears twice")]
    DuplicateProperty,
    /// A property has a value the standard forbids.
    #[error("property has a forbidden value")]
    PropertyValue,
    /// A packet identifier of 0 (2.2.1-3).
    #[error("packet identifier 0")]
    PacketIdZero,
    /// An empty topic without a topic alias (3.3.2-8).
    #[error("empty topic without a topic alias")]
    NoTopic,
    /// A wildcard in a response topic (3.3.2-14).
    #[error("wildcard in a response topic")]
    WildcardInResponseTopic,
    /// A client sent a subscription identifier in PUBLISH (3.3.4-6).
    #[error("subscription identifier from a client")]
    SubscriptionIdFromClient,
    /// No Local on a shared subscription (3.8.3-4).
    #[error("no local on a shared subscription")]
    NoLocalShared,
    /// SUBSCRIBE or UNSUBSCRIBE without a filter (3.8.3-2, 3.10.3-2).
    #[error("no filter")]
    NoFilters,
    /// Authentication data without a method (3.1.2.11.10).
    #[error("authentication data without a method")]
    AuthDataWithoutMethod,
    /// A reason code that this packet may not carry.
    #[error("reason code is not allowed in this packet")]
    Reason,
    /// A packet that the other side may not send.
    #[error("packet from the wrong side")]
    WrongSide,
    /// The first packet is not CONNECT (3.1.0-1), or CONNACK for a client.
    #[error("first packet is not the one that opens a connection")]
    NotConnected,
    /// The topic alias is 0.
    #[error("topic alias 0")]
    TopicAliasZero,
    /// The packet is larger than the receiver's limit.
    #[error("packet of {size} bytes is larger than the limit of {limit}")]
    TooLarge {
        /// Bytes of the whole packet, as announced.
        size: u32,
        /// The receiver's limit in bytes.
        limit: u32,
    },
    /// The protocol name is none of MQTT's.
    #[error("unknown protocol name")]
    ProtocolName,
    /// The protocol level is not 3, 4 or 5.
    #[error("unknown protocol level {0}")]
    ProtocolLevel(u8),
}

impl DecodeError {
    /// A name for counters, in snake case.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Truncated => "truncated",
            Self::TrailingBytes => "trailing_bytes",
            Self::VarInt => "var_int",
            Self::PacketType => "packet_type",
            Self::Flags => "flags",
            Self::Utf8 => "utf8",
            Self::NullCharacter => "null_character",
            Self::Qos3 => "qos_3",
            Self::DupQos0 => "dup_qos_0",
            Self::WildcardInTopic => "wildcard_in_topic",
            Self::ReservedBit => "reserved_bit",
            Self::ConnectFlags => "connect_flags",
            Self::PropertyNotAllowed => "property_not_allowed",
            Self::EmptyTopic => "empty_topic",
            Self::DuplicateProperty => "duplicate_property",
            Self::PropertyValue => "property_value",
            Self::PacketIdZero => "packet_id_zero",
            Self::NoTopic => "no_topic",
            Self::WildcardInResponseTopic => "wildcard_in_response_topic",
            Self::SubscriptionIdFromClient => "subscription_id_from_client",
            Self::NoLocalShared => "no_local_shared",
            Self::NoFilters => "no_filters",
            Self::AuthDataWithoutMethod => "auth_data_without_method",
            Self::Reason => "reason",
            Self::WrongSide => "wrong_side",
            Self::NotConnected => "not_connected",
            Self::TopicAliasZero => "topic_alias_zero",
            Self::TooLarge { .. } => "too_large",
            Self::ProtocolName => "protocol_name",
            Self::ProtocolLevel(_) => "protocol_level",
        }
    }

    /// The MQTT 5 reason code for the DISCONNECT or CONNACK that answers the fault.
    #[must_use]
    pub fn reason(self) -> ReasonCode {
        match self {
            Self::Truncated
            | Self::TrailingBytes
            | Self::VarInt
            | Self::PacketType
            | Self::Flags
            | Self::Utf8
            | Self::NullCharacter
            | Self::Qos3
            | Self::DupQos0
            | Self::WildcardInTopic
            | Self::ReservedBit
            | Self::ConnectFlags
            | Self::PropertyNotAllowed
            | Self::EmptyTopic => ReasonCode::MALFORMED,
            Self::DuplicateProperty
            | Self::PropertyValue
            | Self::PacketIdZero
            | Self::NoTopic
            | Self::WildcardInResponseTopic
            | Self::SubscriptionIdFromClient
            | Self::NoLocalShared
            | Self::NoFilters
            | Self::AuthDataWithoutMethod
            | Self::Reason
            | Self::WrongSide
            | Self::NotConnected => ReasonCode::PROTOCOL_ERROR,
            Self::TopicAliasZero => ReasonCode::TOPIC_ALIAS_INVALID,
            Self::TooLarge { .. } => ReasonCode::PACKET_TOO_LARGE,
            Self::ProtocolName | Self::ProtocolLevel(_) => ReasonCode::UNSUPPORTED_VERSION,
        }
    }
}

/// Why a packet cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// A string or binary field has more than 65,535 bytes.
    #[error("a field is longer than 65,535 bytes")]
    FieldTooLong,
    /// The packet is larger than MQTT can express.
    #[error("packet is larger than MQTT can express")]
    TooLarge,
    /// The packet does not exist in this version (AUTH before MQTT 5).
    #[error("packet does not exist in this version")]
    Version,
    /// A PUBLISH with QoS 1 or 2 has no packet identifier.
    #[error("packet identifier is missing")]
    PacketId,
}
