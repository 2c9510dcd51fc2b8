/// An MQTT 5 reason code (MQTT 5, 2.4). Values of 0x80 and above are failures.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct ReasonCode(pub u8);

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $value:literal, $text:literal;)*) => {
        impl ReasonCode {
            $($(#[$doc])* pub const $name: ReasonCode = ReasonCode($value);)*

            /// What the code means, in the words of the standard.
            #[must_use]
            pub fn text(self) -> &'static str {
                match self.0 {
                    $($value => $text,)*
                    _ => "unknown reason",
                }
            }
        }
    };
}

reasons! {
    /// Also Granted QoS 0 and Normal disconnection.
    SUCCESS = 0x00, "success";
    /// Granted QoS 1.
    GRANTED_QOS_1 = 0x01, "granted qos 1";
    /// Granted QoS 2.
    GRANTED_QOS_2 = 0x02, "granted qos 2";
    /// The client leaves and wants its will published.
    DISCONNECT_WITH_WILL = 0x04, "disconnect with will";
    /// Nobody has subscribed to the channel.
    NO_MATCHING_SUBSCRIBERS = 0x10, "no matching subscribers";
    /// There was nothing to unsubscribe.
    NO_SUBSCRIPTION_EXISTED = 0x11, "no subscription existed";
    /// Another step of an enhanced authentication.
    CONTINUE_AUTHENTICATION = 0x18, "continue authentication";
    /// The client starts a new authentication on a live connection.
    REAUTHENTICATE = 0x19, "re-authenticate";
    /// Unspecified error.
    UNSPECIFIED = 0x80, "unspecified error";
    /// The bytes are not MQTT.
    MALFORMED = 0x81, "malformed packet";
    /// The bytes are MQTT, but not allowed here.
    PROTOCOL_ERROR = 0x82, "protocol error";
    /// Valid, but not accepted by this receiver.
    IMPLEMENTATION = 0x83, "implementation specific error";
    /// The version of MQTT is not spoken here.
    UNSUPPORTED_VERSION = 0x84, "unsupported protocol version";
    /// The client identifier is not allowed.
    CLIENT_ID_INVALID = 0x85, "client identifier not valid";
    /// The credentials are wrong.
    BAD_CREDENTIALS = 0x86, "bad user name or password";
    /// The client may not do this.
    NOT_AUTHORIZED = 0x87, "not authorized";
    /// The server is not available.
    SERVER_UNAVAILABLE = 0x88, "server unavailable";
    /// The server is busy.
    SERVER_BUSY = 0x89, "server busy";
    /// The client has been barred.
    BANNED = 0x8A, "banned";
    /// The server is about to stop.
    SHUTTING_DOWN = 0x8B, "server shutting down";
    /// The authentication method is unknown or not the one in use.
    BAD_AUTH_METHOD = 0x8C, "bad authentication method";
    /// Nothing was heard for 1.5 times the keep-alive.
    KEEP_ALIVE_TIMEOUT = 0x8D, "keep alive timeout";
    /// Another connection uses the same client identifier.
    SESSION_TAKEN_OVER = 0x8E, "session taken over";
    /// A filter that cannot be accepted.
    FILTER_INVALID = 0x8F, "topic filter invalid";
    /// A topic that cannot be accepted.
    TOPIC_INVALID = 0x90, "topic name invalid";
    /// The packet identifier is in use.
    PACKET_ID_IN_USE = 0x91, "packet identifier in use";
    /// The packet identifier is not known.
    PACKET_ID_NOT_FOUND = 0x92, "packet identifier not found";
    /// More unacknowledged publications than allowed.
    RECEIVE_MAXIMUM_EXCEEDED = 0x93, "receive maximum exceeded";
    /// The topic alias is 0, above the maximum or unknown.
    TOPIC_ALIAS_INVALID = 0x94, "topic alias invalid";
    /// The packet is larger than allowed.
    PACKET_TOO_LARGE = 0x95, "packet too large";
    /// Too many packets.
    MESSAGE_RATE_TOO_HIGH = 0x96, "message rate too high";
    /// A limit of the server was reached.
    QUOTA_EXCEEDED = 0x97, "quota exceeded";
    /// Closed by an operator.
    ADMINISTRATIVE_ACTION = 0x98, "administrative action";
    /// The payload is not what the payload format indicator says.
    PAYLOAD_FORMAT_INVALID = 0x99, "payload format invalid";
    /// The server keeps no retained messages.
    RETAIN_NOT_SUPPORTED = 0x9A, "retain not supported";
    /// The QoS is above the server's maximum.
    QOS_NOT_SUPPORTED = 0x9B, "qos not supported";
    /// The client should use another server for a while.
    USE_ANOTHER_SERVER = 0x9C, "use another server";
    /// The client should use another server from now on.
    SERVER_MOVED = 0x9D, "server moved";
    /// Shared subscriptions are not available.
    SHARED_NOT_SUPPORTED = 0x9E, "shared subscriptions not supported";
    /// Connections come too fast.
    CONNECTION_RATE_EXCEEDED = 0x9F, "connection rate exceeded";
    /// The longest allowed time of a connection is over.
    MAXIMUM_CONNECT_TIME = 0xA0, "maximum connect time";
    /// Subscription identifiers are not available.
    SUBSCRIPTION_IDS_NOT_SUPPORTED = 0xA1, "subscription identifiers not supported";
    /// Wildcard subscriptions are not available.
    WILDCARDS_NOT_SUPPORTED = 0xA2, "wildcard subscriptions not supported";
}

impl ReasonCode {
    /// A name for the counter of refused CONNECTs, in snake case.
    #[must_use]
    pub fn connect_label(self) -> &'static str {
        match self {
            Self::UNSUPPORTED_VERSION => "connect_version",
            Self::CLIENT_ID_INVALID => "connect_client_id",
            Self::BAD_CREDENTIALS => "connect_credentials",
            Self::NOT_AUTHORIZED | Self::BANNED => "connect_not_authorized",
            Self::BAD_AUTH_METHOD => "connect_auth_method",
            Self::QUOTA_EXCEEDED => "connect_quota",
            Self::SERVER_UNAVAILABLE | Self::SERVER_BUSY => "connect_unavailable",
            Self::MALFORMED | Self::PROTOCOL_ERROR => "connect_malformed",
            _ => "connect_refused",
        }
    }

    /// Whether the code tells of a failure.
    #[must_use]
    pub fn is_failure(self) -> bool {
        self.0 >= 0x80
    }

    /// The CONNACK return code of MQTT 3.1.1 that says the same (3.2.2.3).
    #[must_use]
    pub fn connack_v3(self) -> u8 {
        match self.0 {
            0x00 => 0,
            0x84 => 1,
            0x85 => 2,
            0x86 => 4,
            0x87 | 0x8A | 0x8C => 5,
            _ => 3,
        }
    }

    /// The reason that says the same as an MQTT 3.1.1 CONNACK return code, if there is one.
    #[must_use]
    pub fn from_connack_v3(code: u8) -> Option<ReasonCode> {
        Some(match code {
            0 => Self::SUCCESS,
            1 => Self::UNSUPPORTED_VERSION,
            2 => Self::CLIENT_ID_INVALID,
            3 => Self::SERVER_UNAVAILABLE,
            4 => Self::BAD_CREDENTIALS,
            5 => Self::NOT_AUTHORIZED,
            _ => return None,
        })
    }
}

impl std::fmt::Debug for ReasonCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "0x{:02X} {}", self.0, self.text())
    }
}

impl std::fmt::Display for ReasonCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.text())
    }
}
