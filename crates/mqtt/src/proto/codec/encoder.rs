use super::packet::{Packet, PacketType};
use super::sink::{Counter, Sink, put_u8, put_varint, varint_len};
use super::{
    EncodeError, MAX_REMAINING, Qos, Version, ack, auth, connack, connect, disconnect, publish, subscribe, unsubscribe,
};

/// Appends a packet to `out`. Nothing is written if it fails.
///
/// # Errors
/// [`EncodeError`] if the packet cannot be expressed in this version.
pub fn encode(packet: &Packet, version: Version, out: &mut impl Sink) -> Result<(), EncodeError> {
    let remaining = remaining_len(packet, version)?;
    put_u8(out, first_byte(packet));
    put_varint(out, remaining);
    write_body(packet, version, out);
    Ok(())
}

/// The number of bytes that [`encode`] would write.
///
/// # Errors
/// As [`encode`].
pub fn encoded_len(packet: &Packet, version: Version) -> Result<usize, EncodeError> {
    let remaining = remaining_len(packet, version)?;
    Ok(1 + varint_len(remaining) + remaining as usize)
}

fn remaining_len(packet: &Packet, version: Version) -> Result<u32, EncodeError> {
    match packet {
        Packet::Publish(publish) if publish.qos != Qos::AtMostOnce && publish.packet_id.is_none() => {
            return Err(EncodeError::PacketId);
        }
        Packet::Auth(_) if !version.is_v5() => return Err(EncodeError::Version),
        _ => {}
    }
    let mut counter = Counter::default();
    write_body(packet, version, &mut counter);
    if counter.overlong {
        return Err(EncodeError::FieldTooLong);
    }
    u32::try_from(counter.len).ok().filter(|len| *len <= MAX_REMAINING).ok_or(EncodeError::TooLarge)
}

fn first_byte(packet: &Packet) -> u8 {
    match packet {
        Packet::Publish(p) => publish::first_byte(p.dup, p.qos, p.retain),
        other => PacketType::first_byte(other.packet_type()),
    }
}

fn write_body(packet: &Packet, version: Version, out: &mut impl Sink) {
    match packet {
        Packet::Connect(p) => connect::write(p, out),
        Packet::Connack(p) => connack::write(p, version, out),
        Packet::Publish(p) => publish::write(p, version, out),
        Packet::Puback(p) | Packet::Pubrec(p) | Packet::Pubrel(p) | Packet::Pubcomp(p) => {
            ack::write(p, version, out);
        }
        Packet::Subscribe(p) => subscribe::write(p, version, out),
        Packet::Suback(p) => subscribe::write_suback(p, version, out),
        Packet::Unsubscribe(p) => unsubscribe::write(p, version, out),
        Packet::Unsuback(p) => unsubscribe::write_unsuback(p, version, out),
        Packet::Pingreq | Packet::Pingresp => {}
        Packet::Disconnect(p) => disconnect::write(p, version, out),
        Packet::Auth(p) => auth::write(p, out),
    }
}
