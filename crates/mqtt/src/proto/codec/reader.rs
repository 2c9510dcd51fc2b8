use std::num::NonZeroU16;

use bytes::{Buf, Bytes};
use bytestring::ByteString;

use super::DecodeError;

/// Reads the fields of one packet. What it gives are slices of the received bytes.
#[derive(Debug)]
pub(crate) struct Reader {
    buf: Bytes,
}

impl Reader {
    pub(crate) fn new(buf: Bytes) -> Self {
        Self { buf }
    }

    pub(crate) fn len(&self) -> usize {
        self.buf.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.buf.is_empty()
    }

    pub(crate) fn u8(&mut self) -> Result<u8, DecodeError> {
        self.buf.try_get_u8().map_err(|_| DecodeError::Truncated)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, DecodeError> {
        self.buf.try_get_u16().map_err(|_| DecodeError::Truncated)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, DecodeError> {
        self.buf.try_get_u32().map_err(|_| DecodeError::Truncated)
    }

    pub(crate) fn packet_id(&mut self) -> Result<NonZeroU16, DecodeError> {
        NonZeroU16::new(self.u16()?).ok_or(DecodeError::PacketIdZero)
    }

    /// A variable byte integer, which must be written with as few bytes as it needs (1.5.5-1).
    pub(crate) fn varint(&mut self) -> Result<u32, DecodeError> {
        match varint(&self.buf)? {
            Some((value, len)) => {
                self.buf.advance(len);
                Ok(value)
            }
            None => Err(DecodeError::Truncated),
        }
    }

    pub(crate) fn take(&mut self, len: usize) -> Result<Bytes, DecodeError> {
        if len > self.buf.len() {
            return Err(DecodeError::Truncated);
        }
        Ok(self.buf.split_to(len))
    }

    /// Two bytes of length and as many bytes.
    pub(crate) fn binary(&mut self) -> Result<Bytes, DecodeError> {
        let len = self.u16()?;
        self.take(usize::from(len))
    }

    /// A UTF-8 string (1.5.4): well-formed, without surrogates and U+0000. A byte order mark is kept.
    pub(crate) fn text(&mut self) -> Result<ByteString, DecodeError> {
        let bytes = self.binary()?;
        if memchr::memchr(0, &bytes).is_some() {
            return Err(DecodeError::NullCharacter);
        }
        ByteString::try_from(bytes).map_err(|_| DecodeError::Utf8)
    }

    /// A reader of the next `len` bytes alone.
    pub(crate) fn part(&mut self, len: u32) -> Result<Reader, DecodeError> {
        let len = usize::try_from(len).map_err(|_| DecodeError::Truncated)?;
        Ok(Reader::new(self.take(len)?))
    }

    /// All that is left.
    pub(crate) fn rest(&mut self) -> Bytes {
        std::mem::take(&mut self.buf)
    }

    /// Fails if anything is left.
    pub(crate) fn end(&self) -> Result<(), DecodeError> {
        if self.buf.is_empty() { Ok(()) } else { Err(DecodeError::TrailingBytes) }
    }
}

/// Reads a variable byte integer: its value and its length in bytes, or `None` if it is not complete.
pub(crate) fn varint(bytes: &[u8]) -> Result<Option<(u32, usize)>, DecodeError> {
    let mut value = 0u32;
    for (index, byte) in bytes.iter().take(4).enumerate() {
        value |= u32::from(byte & 0x7F) << (7 * index);
        if byte & 0x80 == 0 {
            let minimal = index == 0 || *byte != 0;
            return if minimal { Ok(Some((value, index + 1))) } else { Err(DecodeError::VarInt) };
        }
    }
    if bytes.len() >= 4 { Err(DecodeError::VarInt) } else { Ok(None) }
}
