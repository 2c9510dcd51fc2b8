//! Z85 (ZeroMQ RFC 32), with CometD's rule for lengths that are no multiple of four: the last one to three
//! bytes become one more character than there are bytes.

const ALPHABET: &[u8; 85] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";

/// Encodes bytes.
#[must_use]
pub fn encode(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(4) * 5);
    for chunk in bytes.chunks(4) {
        let mut group = [0; 4];
        for (slot, byte) in group.iter_mut().zip(chunk) {
            *slot = *byte;
        }
        let mut value = u32::from_be_bytes(group);
        let mut digits = ['0'; 5];
        for digit in digits.iter_mut().rev() {
            *digit = ALPHABET.get((value % 85) as usize).copied().map_or('0', char::from);
            value /= 85;
        }
        out.extend(digits.iter().take(chunk.len() + 1));
    }
    out
}

/// Decodes text; `None` if it is not Z85.
#[must_use]
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() / 5 * 4 + 3);
    for chunk in text.as_bytes().chunks(5) {
        if chunk.len() == 1 {
            return None;
        }
        let mut value: u64 = 0;
        for at in 0..5 {
            value = value * 85 + chunk.get(at).map_or(Some(84), |byte| digit(*byte))?;
        }
        let group = u32::try_from(value).ok()?.to_be_bytes();
        out.extend(group.iter().take(chunk.len() - 1));
    }
    Some(out)
}

fn digit(byte: u8) -> Option<u64> {
    ALPHABET.iter().position(|known| *known == byte).map(|at| at as u64)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_vector_of_the_rfc() {
        let bytes = [0x86, 0x4F, 0xD2, 0x6F, 0xB5, 0x59, 0xF7, 0x5B];
        assert_eq!(encode(&bytes), "HelloWorld");
        assert_eq!(decode("HelloWorld").unwrap(), bytes);
    }

    #[test]
    fn refuses_what_is_not_z85() {
        for bad in ["a", "Hello~", "#####", "HelloW", "ab\"cd", "é1234"] {
            assert_eq!(decode(bad), None, "{bad}");
        }
        assert_eq!(decode(""), Some(Vec::new()));
    }

    proptest! {
        #[test]
        fn bytes_survive(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let text = encode(&bytes);
            prop_assert_eq!(text.len(), bytes.len() + bytes.len().div_ceil(4));
            prop_assert_eq!(decode(&text).unwrap(), bytes);
        }

        #[test]
        fn no_text_panics(text in any::<String>()) {
            let _ = decode(&text);
        }
    }
}
