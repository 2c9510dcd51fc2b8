use bytes::{Buf, BytesMut};

use super::packet::{Packet, PacketType};
use super::reader::{Reader, varint};
use super::{
    DecodeError, MAX_PACKET, Version, ack, auth, connack, connect, disconnect, publish, subscribe, unsubscribe,
};

/// Which side of a connection decodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Receiver {
    /// Takes what clients send; the first packet must be CONNECT, which sets the version.
    Server,
    /// Takes what servers send.
    Client,
}

/// Turns received bytes into packets.
///
/// A decoder holds no bytes: what is not yet a whole packet stays in the caller's buffer. After an error
/// the connection is to be closed, and the decoder not to be used again.
#[derive(Debug, Clone)]
pub struct Decoder {
    receiver: Receiver,
    version: Option<Version>,
    limit: u32,
}

impl Decoder {
    /// A decoder of what a client sends. `limit` is the largest packet taken, in bytes with its header.
    #[must_use]
    pub fn server(limit: u32) -> Self {
        Self { receiver: Receiver::Server, version: None, limit: limit.min(MAX_PACKET) }
    }

    /// A decoder of what a server sends to a client of this version.
    #[must_use]
    pub fn client(version: Version, limit: u32) -> Self {
        Self { receiver: Receiver::Client, version: Some(version), limit: limit.min(MAX_PACKET) }
    }

    /// The version of the connection: known to a server after CONNECT, even one that was refused for what follows its version.
    #[must_use]
    pub fn version(&self) -> Option<Version> {
        self.version
    }

    /// Takes the next whole packet from the front of `buffer`; `None` if more bytes are needed.
    ///
    /// Topics, strings and payloads are slices of the buffer's memory: whoever keeps one for long
    /// should copy it. Nothing is ever reserved for bytes that have not arrived.
    ///
    /// # Errors
    /// [`DecodeError`] for what the standard forbids, as soon as the header shows it.
    pub fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Packet>, DecodeError> {
        let Some(first) = buffer.first().copied() else {
            return Ok(None);
        };
        let kind = self.check_first(first)?;
        let Some((remaining, len)) = varint(buffer.get(1..).unwrap_or_default())? else {
            return Ok(None);
        };
        let header = 1 + len;
        let size = remaining.saturating_add(header as u32);
        if size > self.limit {
            if self.version.is_none() {
                self.version = connect::peek_version(buffer.get(header..).unwrap_or_default());
            }
            return Err(DecodeError::TooLarge { size, limit: self.limit });
        }
        if buffer.len() < size as usize {
            return Ok(None);
        }
        let mut body = buffer.split_to(size as usize).freeze();
        body.advance(header);
        self.body(kind, first & 0x0F, Reader::new(body)).map(Some)
    }

    /// What the first byte alone can tell: whether such a packet may come now, and with such flags.
    fn check_first(&self, first: u8) -> Result<PacketType, DecodeError> {
        let kind = PacketType::of(first).ok_or(DecodeError::PacketType)?;
        let version = match self.version {
            Some(version) => version,
            None if kind == PacketType::Connect => Version::V5,
            None => return Err(DecodeError::NotConnected),
        };
        if kind == PacketType::Auth && !version.is_v5() {
            return Err(DecodeError::PacketType);
        }
        let wrong_side = match self.receiver {
            Receiver::Server => {
                matches!(kind, PacketType::Connack | PacketType::Suback | PacketType::Unsuback | PacketType::Pingresp)
            }
            Receiver::Client => {
                matches!(
                    kind,
                    PacketType::Connect | PacketType::Subscribe | PacketType::Unsubscribe | PacketType::Pingreq
                ) || (kind == PacketType::Disconnect && !version.is_v5())
            }
        };
        if wrong_side {
            return Err(DecodeError::WrongSide);
        }
        let flags = first & 0x0F;
        match kind {
            PacketType::Publish => publish_flags(flags)?,
            // MQTT 3.1 lets these be repeated with DUP.
            PacketType::Pubrel | PacketType::Subscribe | PacketType::Unsubscribe
                if version == Version::V31 && flags & !8 == 0b0010 => {}
            _ if first == kind.first_byte() => {}
            _ => return Err(DecodeError::Flags),
        }
        Ok(kind)
    }

    fn body(&mut self, kind: PacketType, flags: u8, mut body: Reader) -> Result<Packet, DecodeError> {
        let r = &mut body;
        let from_client = self.receiver == Receiver::Server;
        if kind == PacketType::Connect {
            let (version, bridge) = connect::read_version(r)?;
            // Known even if the rest is refused, so that the refusal can be told. A second CONNECT is refused by the
            // session, which knows what to answer; it must not change how the rest is read.
            self.version.get_or_insert(version);
            let packet = connect::read(r, version, bridge)?;
            return Ok(Packet::Connect(Box::new(packet)));
        }
        let version = self.version.ok_or(DecodeError::NotConnected)?;
        Ok(match kind {
            PacketType::Connect => return Err(DecodeError::NotConnected),
            PacketType::Connack => Packet::Connack(Box::new(connack::read(r, version)?)),
            PacketType::Publish => Packet::Publish(Box::new(publish::read(flags, r, version, from_client)?)),
            PacketType::Puback => Packet::Puback(ack::read(kind, r, version)?),
            PacketType::Pubrec => Packet::Pubrec(ack::read(kind, r, version)?),
            PacketType::Pubrel => Packet::Pubrel(ack::read(kind, r, version)?),
            PacketType::Pubcomp => Packet::Pubcomp(ack::read(kind, r, version)?),
            PacketType::Subscribe => Packet::Subscribe(subscribe::read(r, version)?),
            PacketType::Suback => Packet::Suback(subscribe::read_suback(r, version)?),
            PacketType::Unsubscribe => Packet::Unsubscribe(unsubscribe::read(r, version)?),
            PacketType::Unsuback => Packet::Unsuback(unsubscribe::read_unsuback(r, version)?),
            PacketType::Pingreq => empty(r, Packet::Pingreq)?,
            PacketType::Pingresp => empty(r, Packet::Pingresp)?,
            PacketType::Disconnect => Packet::Disconnect(disconnect::read(r, version, from_client)?),
            PacketType::Auth => Packet::Auth(auth::read(r, from_client)?),
        })
    }
}

fn publish_flags(flags: u8) -> Result<(), DecodeError> {
    match flags >> 1 & 3 {
        3 => Err(DecodeError::Qos3),
        0 if flags & 8 != 0 => Err(DecodeError::DupQos0),
        _ => Ok(()),
    }
}

fn empty(r: &Reader, packet: Packet) -> Result<Packet, DecodeError> {
    r.end()?;
    Ok(packet)
}
