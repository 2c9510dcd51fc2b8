//! One level of a name: the escapes.
//!
//! `~XX` is an ASCII character, `~xHEX~` any other, `~-` (as a whole level) the empty level. A `~` that is
//! meant literally is written `~7E` only where what follows would otherwise read as an escape, after zero or
//! more copies of `7E`; decoding removes exactly one such copy.

/// Appends `level` as Bayeux writes it. The first level must not read as `meta` or `service`.
pub(super) fn encode_level(level: &str, first: bool, out: &mut String) {
    if level.is_empty() {
        return out.push_str("~-");
    }
    if first && matches!(level, "meta" | "service") {
        let (head, tail) = level.split_at(1);
        out.extend(head.chars().flat_map(ascii_escape));
        return out.push_str(tail);
    }
    if level.bytes().all(is_literal) {
        return out.push_str(level);
    }
    out.push_str(&escaped(level));
}

/// Built from the end, because whether a `~` needs its escape depends on how the text after it is written.
fn escaped(level: &str) -> String {
    let mut reversed: Vec<u8> = Vec::with_capacity(level.len() * 2);
    for (at, c) in level.char_indices().rev() {
        match c {
            '~' => {
                if reads_as_escape(&opening(&reversed), at == 0) {
                    reversed.extend_from_slice(b"E7");
                }
                reversed.push(b'~');
            }
            c if u8::try_from(c).is_ok_and(is_literal) => reversed.push(c as u8),
            c if c.is_ascii() => reversed.extend(ascii_escape(c).iter().rev().map(|c| *c as u8)),
            c => reversed.extend(format!("~x{:X}~", u32::from(c)).bytes().rev()),
        }
    }
    reversed.iter().rev().map(|byte| char::from(*byte)).collect()
}

/// The first bytes of the text that `reversed` holds from its end, past the copies of `7E`: as many as the longest
/// escape has, and one more.
fn opening(reversed: &[u8]) -> Vec<u8> {
    let mut tail = reversed;
    while let Some(inner) = tail.strip_suffix(b"E7") {
        tail = inner;
    }
    tail.iter().rev().take(9).copied().collect()
}

fn ascii_escape(c: char) -> [char; 3] {
    let digit = |value: u32| char::from_digit(value, 16).unwrap_or('0').to_ascii_uppercase();
    ['~', digit(u32::from(c) >> 4), digit(u32::from(c) & 15)]
}

fn is_literal(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_!()$@.".contains(&byte)
}

/// Appends what the level stands for. Text that is no escape stands for itself, so this cannot fail.
pub(super) fn decode_level(level: &str, out: &mut String) {
    let mut rest = level;
    while let Some(at) = rest.find('~') {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let tail = from.get(1..).unwrap_or_default();
        let whole = from.len() == level.len();
        rest = match escape(tail.as_bytes(), whole) {
            Some((c, used)) => {
                out.extend(c);
                tail.get(used..).unwrap_or_default()
            }
            None => {
                out.push('~');
                let inner = unstuffed(tail.as_bytes());
                if inner.len() < tail.len() && reads_as_escape(inner, whole) {
                    tail.get(2..).unwrap_or_default()
                } else {
                    tail
                }
            }
        };
    }
    out.push_str(rest);
}

/// What follows a `~`, without the copies of its own escape.
fn unstuffed(mut tail: &[u8]) -> &[u8] {
    while let Some(inner) = tail.strip_prefix(b"7E") {
        tail = inner;
    }
    tail
}

fn reads_as_escape(tail: &[u8], whole: bool) -> bool {
    escape(tail, whole).is_some()
}

/// The character that `tail`, the text after a `~`, begins with as an escape, and the length of it.
/// `whole` says that the `~` opens its level.
fn escape(tail: &[u8], whole: bool) -> Option<(Option<char>, usize)> {
    match tail {
        b"-" if whole => Some((None, 1)),
        [b'x', hex @ ..] => {
            let end = hex.iter().take(7).position(|byte| *byte == b'~')?;
            let digits = hex.get(..end)?;
            if digits.first() == Some(&b'0') {
                return None;
            }
            let c = char::from_u32(upper_hex(digits)?).filter(|c| !c.is_ascii())?;
            Some((Some(c), end + 2))
        }
        [high, low, ..] => {
            let c = char::from_u32(upper_hex(&[*high, *low])?).filter(char::is_ascii)?;
            // U+0000 is no part of a name, `/` parts levels, and `~7E` is the stuffing.
            (!matches!(c, '\0' | '/' | '~')).then_some((Some(c), 2))
        }
        _ => None,
    }
}

fn upper_hex(digits: &[u8]) -> Option<u32> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u32, |value, digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'A'..=b'F' => digit - b'A' + 10,
            _ => return None,
        };
        Some(value << 4 | u32::from(digit))
    })
}
