//! Writes JSON text straight into a buffer: strings with their escapes, and payloads that are JSON already.

use bytes::{BufMut, BytesMut};

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Appends `text` as a JSON string (RFC 8259, section 7): quote, backslash and all below U+0020 escaped, the rest as it is.
pub(crate) fn put_string(out: &mut BytesMut, text: &str) {
    out.put_u8(b'"');
    let mut rest = text.as_bytes();
    while let Some(at) = to_escape(rest) {
        let (plain, tail) = rest.split_at(at);
        out.put_slice(plain);
        let Some((&byte, next)) = tail.split_first() else {
            break;
        };
        put_escape(out, byte);
        rest = next;
    }
    out.put_slice(rest);
    out.put_u8(b'"');
}

/// Appends a JSON text on one line. A raw CR or LF can stand only between tokens, where any white space means the same, so
/// each becomes a space: the value and the length stay, and the text fits in one `data:` line.
pub(crate) fn put_json_on_one_line(out: &mut BytesMut, json: &[u8]) {
    let mut plain = 0;
    for at in memchr::memchr2_iter(b'\r', b'\n', json) {
        out.put_slice(json.get(plain..at).unwrap_or_default());
        out.put_u8(b' ');
        plain = at + 1;
    }
    out.put_slice(json.get(plain..).unwrap_or_default());
}

/// Appends `bytes` as a JSON string in base64 (RFC 4648, section 4, padded).
pub(crate) fn put_base64(out: &mut BytesMut, bytes: &[u8]) {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    // A multiple of three bytes, so that the pieces join without padding between them.
    const PIECE: usize = 768;
    let mut buffer = [0_u8; PIECE / 3 * 4];
    out.put_u8(b'"');
    for piece in bytes.chunks(PIECE) {
        let written = STANDARD.encode_slice(piece, &mut buffer).unwrap_or(0);
        out.put_slice(buffer.get(..written).unwrap_or_default());
    }
    out.put_u8(b'"');
}

/// Where the first byte is that has to be escaped. Most texts have none: they are looked at in blocks, without a branch for each
/// byte.
fn to_escape(text: &[u8]) -> Option<usize> {
    const BLOCK: usize = 32;
    let any = |block: &[u8]| block.iter().fold(false, |any, &byte| any | needs_escape(byte));
    let plain = text.chunks(BLOCK).take_while(|block| !any(block)).count() * BLOCK;
    let rest = text.get(plain..)?;
    rest.iter().position(|&byte| needs_escape(byte)).map(|at| plain + at)
}

const fn needs_escape(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

fn put_escape(out: &mut BytesMut, byte: u8) {
    let short = match byte {
        b'"' => b'"',
        b'\\' => b'\\',
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        0x08 => b'b',
        0x0c => b'f',
        _ => {
            let digit = |nibble: u8| HEX.get(usize::from(nibble)).copied().unwrap_or(b'0');
            out.put_slice(&[b'\\', b'u', b'0', b'0', digit(byte >> 4), digit(byte & 15)]);
            return;
        }
    };
    out.put_slice(&[b'\\', short]);
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use proptest::prelude::*;

    fn string(text: &str) -> BytesMut {
        let mut out = BytesMut::new();
        put_string(&mut out, text);
        out
    }

    #[test]
    fn what_has_to_be_escaped_is_found_wherever_it_stands() {
        for length in 0..100 {
            for at in 0..length {
                let text: String = (0..length).map(|index| if index == at { '"' } else { 'ä' }).collect();
                assert_eq!(string(&text), serde_json::to_string(&text).unwrap());
            }
        }
    }

    #[test]
    fn control_characters_use_the_short_escape_where_there_is_one() {
        assert_eq!(
            &string("\0\u{1}\u{8}\t\n\u{b}\u{c}\r\u{1f}\"\\/\u{7f}é")[..],
            "\"\\u0000\\u0001\\b\\t\\n\\u000b\\f\\r\\u001f\\\"\\\\/\u{7f}é\"".as_bytes()
        );
    }

    #[test]
    fn line_breaks_of_pretty_json_become_spaces() {
        let mut out = BytesMut::new();
        put_json_on_one_line(&mut out, b"{\r\n \"a\\n\": 1\n}");
        assert_eq!(&out[..], b"{   \"a\\n\": 1 }");
    }

    proptest! {
        #[test]
        fn any_text_reads_back(text in any::<String>()) {
            let read: String = serde_json::from_slice(&string(&text)).unwrap();
            prop_assert_eq!(read, text);
        }

        #[test]
        fn any_bytes_read_back(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
            use base64::Engine as _;
            let mut out = BytesMut::new();
            put_base64(&mut out, &bytes);
            let text: String = serde_json::from_slice(&out).unwrap();
            prop_assert_eq!(base64::engine::general_purpose::STANDARD.decode(text).unwrap(), bytes);
        }
    }
}
