use super::Opcode;

/// The header of a frame to a client: two to ten bytes.
#[derive(Debug, Clone, Copy)]
pub struct Header {
    bytes: [u8; 10],
    len: usize,
}

impl Header {
    /// The bytes to send before the payload.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

/// The header of an unfragmented frame of so many bytes. It depends on nothing else: all clients can share the frame.
#[must_use]
pub fn header(opcode: Opcode, payload: usize) -> Header {
    let mut bytes = [0; 10];
    let [first, second, rest @ ..] = &mut bytes;
    *first = 0x80 | opcode as u8;
    let extended: &[u8] = match payload {
        0..126 => {
            *second = payload as u8;
            &[]
        }
        126..0x1_0000 => {
            *second = 126;
            &(payload as u16).to_be_bytes()
        }
        _ => {
            *second = 127;
            &(payload as u64).to_be_bytes()
        }
    };
    rest.iter_mut().zip(extended).for_each(|(place, byte)| *place = *byte);
    Header { len: 2 + extended.len(), bytes }
}

/// Appends an unfragmented frame.
pub fn put_frame(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8]) {
    out.extend_from_slice(header(opcode, payload.len()).as_slice());
    out.extend_from_slice(payload);
}

/// A close frame with a status code and a reason, which is cut to fit (5.5).
#[must_use]
pub fn close(code: u16, reason: &str) -> Vec<u8> {
    let mut end = reason.len().min(123);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    let body = [&code.to_be_bytes()[..], reason.get(..end).unwrap_or_default().as_bytes()].concat();
    let mut out = Vec::with_capacity(body.len() + 2);
    put_frame(&mut out, Opcode::Close, &body);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_all_sizes() {
        assert_eq!(header(Opcode::Text, 5).as_slice(), [0x81, 5]);
        assert_eq!(header(Opcode::Binary, 125).as_slice(), [0x82, 125]);
        assert_eq!(header(Opcode::Binary, 126).as_slice(), [0x82, 126, 0, 126]);
        assert_eq!(header(Opcode::Binary, 65_535).as_slice(), [0x82, 126, 255, 255]);
        assert_eq!(header(Opcode::Binary, 65_536).as_slice(), [0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        let frame = close(4000, &"é".repeat(100));
        assert_eq!(frame.get(..4), Some(&[0x88, 124, 0x0F, 0xA0][..]));
        assert!(std::str::from_utf8(frame.get(4..).unwrap_or_default()).is_ok());
    }
}
