use bytes::{BufMut, BytesMut};

/// Something that bytes can be appended to.
///
/// Packets are written twice, first to a counter that learns their length: so no packet needs a buffer
/// of its own, and lengths can never disagree with content.
pub trait Sink {
    /// Appends bytes.
    fn put(&mut self, bytes: &[u8]);

    /// Called when a field is longer than its length prefix can say.
    fn overlong(&mut self) {}
}

impl Sink for BytesMut {
    fn put(&mut self, bytes: &[u8]) {
        self.put_slice(bytes);
    }
}

impl Sink for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// Counts instead of writing.
#[derive(Debug, Default)]
pub(crate) struct Counter {
    pub(crate) len: usize,
    pub(crate) overlong: bool,
}

impl Sink for Counter {
    fn put(&mut self, bytes: &[u8]) {
        self.len += bytes.len();
    }

    fn overlong(&mut self) {
        self.overlong = true;
    }
}

pub(crate) fn put_u8(out: &mut impl Sink, value: u8) {
    out.put(&[value]);
}

pub(crate) fn put_u16(out: &mut impl Sink, value: u16) {
    out.put(&value.to_be_bytes());
}

pub(crate) fn put_u32(out: &mut impl Sink, value: u32) {
    out.put(&value.to_be_bytes());
}

/// Writes a variable byte integer; the caller has checked that it is in range.
pub(crate) fn put_varint(out: &mut impl Sink, mut value: u32) {
    loop {
        let byte = (value & 0x7F) as u8;
        value >>= 7;
        if value == 0 {
            return put_u8(out, byte);
        }
        put_u8(out, byte | 0x80);
    }
}

/// How many bytes a variable byte integer takes.
pub(crate) fn varint_len(value: u32) -> usize {
    match value {
        0..=127 => 1,
        128..=16_383 => 2,
        16_384..=2_097_151 => 3,
        _ => 4,
    }
}

/// Two bytes of length and the bytes.
pub(crate) fn put_binary(out: &mut impl Sink, bytes: &[u8]) {
    match u16::try_from(bytes.len()) {
        Ok(len) => {
            put_u16(out, len);
            out.put(bytes);
        }
        Err(_) => out.overlong(),
    }
}

pub(crate) fn put_text(out: &mut impl Sink, text: &str) {
    put_binary(out, text.as_bytes());
}
