//! What the generator writes into every payload, and how it finds it again without parsing the protocol around it.
//!
//! A stamp is plain ASCII without any character that JSON, a URL or a line-oriented format would escape:
//! `~rtk~` + channel (4 hex digits) + sequence (8) + time of sending in nanoseconds (16).

use memchr::memmem;

/// The marker that begins a stamp.
const MARK: &[u8] = b"~rtk~";
const CHANNEL: usize = 4;
const SEQUENCE: usize = 8;
const TIME: usize = 16;
/// Length of a stamp in bytes, hence the smallest payload the generator can send.
pub(crate) const STAMP_LEN: usize = 5 + CHANNEL + SEQUENCE + TIME;
const CARRY: usize = STAMP_LEN - 1;

/// One published message as its subscribers see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// Index of the channel it was published on.
    pub(crate) channel: u16,
    /// Position in that channel, from 0.
    pub(crate) seq: u32,
    /// When it was handed to the publisher's socket, in nanoseconds of the generator's clock.
    pub(crate) sent: u64,
}

impl Stamp {
    /// Appends a payload of `len` bytes (at least [`STAMP_LEN`]) that carries this stamp.
    pub(crate) fn payload(self, len: usize, out: &mut Vec<u8>) {
        let end = out.len() + len.max(STAMP_LEN);
        out.extend_from_slice(MARK);
        hex(u64::from(self.channel), CHANNEL, out);
        hex(u64::from(self.seq), SEQUENCE, out);
        hex(self.sent, TIME, out);
        out.resize(end, b'x');
    }

    fn parse(digits: &[u8]) -> Option<Self> {
        let (channel, rest) = digits.split_at_checked(CHANNEL)?;
        let (seq, time) = rest.split_at_checked(SEQUENCE)?;
        Some(Self {
            channel: u16::try_from(unhex(channel)?).ok()?,
            seq: u32::try_from(unhex(seq)?).ok()?,
            sent: unhex(time.get(..TIME)?)?,
        })
    }
}

fn hex(value: u64, digits: usize, out: &mut Vec<u8>) {
    for place in (0..digits).rev() {
        let nibble = u8::try_from((value >> (place * 4)) & 0xf).unwrap_or(0);
        out.push(if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 });
    }
}

fn unhex(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0u64, |value, &digit| {
        let nibble = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some((value << 4) | u64::from(nibble))
    })
}

/// Finds stamps in a byte stream that arrives in arbitrary pieces.
#[derive(Debug, Default)]
pub(crate) struct Scanner {
    /// The end of what was seen, in case a stamp begins there.
    carry: Vec<u8>,
}

impl Scanner {
    /// Reports every stamp that is complete with this piece.
    pub(crate) fn scan(&mut self, input: &[u8], mut found: impl FnMut(Stamp)) {
        let mut from = 0;
        if !self.carry.is_empty() {
            let old = self.carry.len();
            let borrowed = input.len().min(CARRY);
            self.carry.extend_from_slice(input.get(..borrowed).unwrap_or_default());
            let end = scan_slice(&self.carry, &mut found);
            if borrowed == input.len() {
                let keep = end.max(self.carry.len().saturating_sub(CARRY));
                self.carry.drain(..keep);
                return;
            }
            from = end.saturating_sub(old);
            self.carry.clear();
        }
        let rest = input.get(from..).unwrap_or_default();
        let end = scan_slice(rest, &mut found);
        let tail = rest.get(end.max(rest.len().saturating_sub(CARRY))..).unwrap_or_default();
        // Most reads end at the end of a message, where nothing looks like the beginning of a stamp.
        if let Some(at) = memchr::memchr(b'~', tail) {
            self.carry.extend_from_slice(tail.get(at..).unwrap_or_default());
        }
    }
}

/// Reports every whole stamp in `input`; returns the offset behind the last one.
pub(crate) fn scan_slice(input: &[u8], mut found: impl FnMut(Stamp)) -> usize {
    let mut from = 0;
    while let Some(rest) = input.get(from..) {
        let Some(at) = memmem::find(rest, MARK) else { break };
        let start = from + at + MARK.len();
        let Some(digits) = input.get(start..start + STAMP_LEN - MARK.len()) else { break };
        from = match Stamp::parse(digits) {
            Some(stamp) => {
                found(stamp);
                start + digits.len()
            }
            None => start,
        };
    }
    from
}

#[cfg(test)]
mod tests {
    #![expect(clippy::indexing_slicing, reason = "tests")]
    use super::*;

    fn sample() -> (Vec<u8>, Vec<Stamp>) {
        let mut bytes = b"data: {\"x\":\"".to_vec();
        let mut stamps = Vec::new();
        for seq in 0..5 {
            let stamp = Stamp { channel: 65_000, seq: seq * 1_000_003, sent: u64::MAX - u64::from(seq) };
            stamp.payload(40 + seq as usize, &mut bytes);
            bytes.extend_from_slice(b"~~rt\"}\n\n: ~rtk~ not a stamp\n");
            stamps.push(stamp);
        }
        (bytes, stamps)
    }

    #[test]
    fn whole_input_gives_every_stamp() {
        let (bytes, stamps) = sample();
        let mut seen = Vec::new();
        Scanner::default().scan(&bytes, |s| seen.push(s));
        assert_eq!(seen, stamps);
    }

    #[test]
    fn every_split_gives_every_stamp_once() {
        let (bytes, stamps) = sample();
        for first in 0..bytes.len() {
            for second in [1, 7, 33, 120] {
                let middle = (first + second).min(bytes.len());
                let mut seen = Vec::new();
                let mut scanner = Scanner::default();
                for piece in [&bytes[..first], &bytes[first..middle], &bytes[middle..]] {
                    scanner.scan(piece, |s| seen.push(s));
                }
                assert_eq!(seen, stamps, "split at {first} and {middle}");
            }
        }
    }

    #[test]
    fn byte_by_byte_gives_every_stamp_once() {
        let (bytes, stamps) = sample();
        let mut seen = Vec::new();
        let mut scanner = Scanner::default();
        for byte in bytes.chunks(1) {
            scanner.scan(byte, |s| seen.push(s));
            assert!(scanner.carry.len() < STAMP_LEN);
        }
        assert_eq!(seen, stamps);
    }

    #[test]
    fn payload_has_the_asked_length() {
        let mut out = Vec::new();
        Stamp { channel: 1, seq: 2, sent: 3 }.payload(200, &mut out);
        assert_eq!(out.len(), 200);
        out.clear();
        Stamp { channel: 1, seq: 2, sent: 3 }.payload(1, &mut out);
        assert_eq!(out.len(), STAMP_LEN);
    }
}
