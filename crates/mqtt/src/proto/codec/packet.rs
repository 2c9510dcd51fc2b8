use super::{Ack, Auth, Connack, Connect, Disconnect, Publish, Suback, Subscribe, Unsuback, Unsubscribe};

/// One MQTT control packet.
#[derive(Debug, Clone, PartialEq)]
pub enum Packet {
    /// The client opens a connection.
    Connect(Box<Connect>),
    /// The server's answer to CONNECT.
    Connack(Box<Connack>),
    /// A message.
    Publish(Box<Publish>),
    /// Answer to a PUBLISH with QoS 1.
    Puback(Ack),
    /// First answer to a PUBLISH with QoS 2.
    Pubrec(Ack),
    /// Answer to PUBREC.
    Pubrel(Ack),
    /// Answer to PUBREL.
    Pubcomp(Ack),
    /// The client subscribes.
    Subscribe(Subscribe),
    /// Answer to SUBSCRIBE.
    Suback(Suback),
    /// The client unsubscribes.
    Unsubscribe(Unsubscribe),
    /// Answer to UNSUBSCRIBE.
    Unsuback(Unsuback),
    /// The client asks for a sign of life.
    Pingreq,
    /// Answer to PINGREQ.
    Pingresp,
    /// The sender closes the connection after this.
    Disconnect(Disconnect),
    /// A step of an enhanced authentication.
    Auth(Auth),
}

/// The type of a packet, as in the upper four bits of its first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
#[expect(missing_docs, reason = "the names are those of the standard")]
pub enum PacketType {
    Connect = 1,
    Connack = 2,
    Publish = 3,
    Puback = 4,
    Pubrec = 5,
    Pubrel = 6,
    Pubcomp = 7,
    Subscribe = 8,
    Suback = 9,
    Unsubscribe = 10,
    Unsuback = 11,
    Pingreq = 12,
    Pingresp = 13,
    Disconnect = 14,
    Auth = 15,
}

impl PacketType {
    /// The type of a packet that begins with this byte; `None` for the reserved type 0.
    #[must_use]
    pub fn of(first: u8) -> Option<Self> {
        Some(match first >> 4 {
            1 => Self::Connect,
            2 => Self::Connack,
            3 => Self::Publish,
            4 => Self::Puback,
            5 => Self::Pubrec,
            6 => Self::Pubrel,
            7 => Self::Pubcomp,
            8 => Self::Subscribe,
            9 => Self::Suback,
            10 => Self::Unsubscribe,
            11 => Self::Unsuback,
            12 => Self::Pingreq,
            13 => Self::Pingresp,
            14 => Self::Disconnect,
            15 => Self::Auth,
            _ => return None,
        })
    }

    /// The first byte of a packet of this type, with the flags that all but PUBLISH have fixed.
    pub(crate) fn first_byte(self) -> u8 {
        let flags = match self {
            Self::Pubrel | Self::Subscribe | Self::Unsubscribe => 0b0010,
            _ => 0,
        };
        (self as u8) << 4 | flags
    }
}

impl Packet {
    /// The type of this packet.
    #[must_use]
    pub fn packet_type(&self) -> PacketType {
        match self {
            Self::Connect(_) => PacketType::Connect,
            Self::Connack(_) => PacketType::Connack,
            Self::Publish(_) => PacketType::Publish,
            Self::Puback(_) => PacketType::Puback,
            Self::Pubrec(_) => PacketType::Pubrec,
            Self::Pubrel(_) => PacketType::Pubrel,
            Self::Pubcomp(_) => PacketType::Pubcomp,
            Self::Subscribe(_) => PacketType::Subscribe,
            Self::Suback(_) => PacketType::Suback,
            Self::Unsubscribe(_) => PacketType::Unsubscribe,
            Self::Unsuback(_) => PacketType::Unsuback,
            Self::Pingreq => PacketType::Pingreq,
            Self::Pingresp => PacketType::Pingresp,
            Self::Disconnect(_) => PacketType::Disconnect,
            Self::Auth(_) => PacketType::Auth,
        }
    }
}
