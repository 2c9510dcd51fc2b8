//! The bijection between canonical channel names and Pusher channel names.

/// What begins at an `=`: how far a reader has to go, and what it stands for.
enum Escape {
    /// No escape: the `=` is a character of the name.
    Literal,
    /// `=` and this many bytes stand for one character.
    Char(char, usize),
    /// One or more `3D` lie between the `=` and an escape: the first of them is stuffing.
    Stuffed,
}

/// Writes a canonical name as a Pusher name. Total: the length limit is the caller's.
#[must_use]
pub fn pusher_name(channel: &str) -> String {
    let mut out = String::with_capacity(channel.len() + 8);
    let mut rest = channel.chars();
    while let Some(c) = rest.next() {
        match c {
            '/' => out.push('.'),
            '=' if matches!(escape(rest.as_str()), Escape::Literal) => out.push('='),
            '=' => out.push_str("=3D"),
            c if is_literal(c) => out.push(c),
            c if c.is_ascii() => {
                let byte = u32::from(c);
                out.push('=');
                push_hex(&mut out, byte >> 4);
                push_hex(&mut out, byte & 15);
            }
            c => {
                out.push_str("=x");
                let code = u32::from(c);
                let digits = (35 - code.leading_zeros()) / 4;
                for digit in (0..digits).rev() {
                    push_hex(&mut out, (code >> (4 * digit)) & 15);
                }
                out.push(';');
            }
        }
    }
    out
}

/// Reads a Pusher name as a canonical name. Total over strings of Pusher's alphabet; the caller checks
/// the alphabet and the length.
#[must_use]
pub fn channel_name(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(c) = rest.chars().next() {
        rest = rest.get(c.len_utf8()..).unwrap_or_default();
        match c {
            '.' => out.push('/'),
            '=' => match escape(rest) {
                Escape::Literal => out.push('='),
                Escape::Char(c, len) => {
                    out.push(c);
                    rest = rest.get(len..).unwrap_or_default();
                }
                Escape::Stuffed => {
                    // The remaining `3D`s and the escape's own characters are literal now: none of
                    // them is `=` or `.`, so reading on as usual takes them as they are.
                    out.push('=');
                    rest = rest.get(2..).unwrap_or_default();
                }
            },
            c => out.push(c),
        }
    }
    out
}

/// Characters that a Pusher name shows as themselves (`=` and `.` have their own rules).
fn is_literal(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '@' | ',' | ';')
}

/// Reads what follows an `=`.
fn escape(after: &str) -> Escape {
    let mut tail = after;
    while let Some(shorter) = tail.strip_prefix("3D") {
        tail = shorter;
    }
    match one_escape(tail) {
        None => Escape::Literal,
        Some((c, len)) if tail.len() == after.len() => Escape::Char(c, len),
        Some(_) => Escape::Stuffed,
    }
}

/// `XX` or `xHEX;` as this codec writes them, and nothing else; `3D` is not one, it is stuffing.
fn one_escape(text: &str) -> Option<(char, usize)> {
    let bytes = text.as_bytes();
    if bytes.first() == Some(&b'x') {
        let end = bytes.iter().take(8).position(|&b| b == b';')?;
        let digits = bytes.get(1..end)?;
        if digits.first().is_none_or(|&b| b == b'0') {
            return None;
        }
        let code = hex_value(digits)?;
        let c = char::from_u32(code).filter(|c| !c.is_ascii())?;
        return Some((c, end + 1));
    }
    let c = char::from_u32(hex_value(bytes.get(..2)?)?)?;
    let written = c.is_ascii() && c != '\0' && !is_literal(c) && !matches!(c, '/' | '=');
    written.then_some((c, 2))
}

fn hex_value(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0u32, |value, &digit| {
        let nibble = match digit {
            b'0'..=b'9' => digit - b'0',
            b'A'..=b'F' => digit - b'A' + 10,
            _ => return None,
        };
        value.checked_mul(16)?.checked_add(u32::from(nibble))
    })
}

fn push_hex(out: &mut String, nibble: u32) {
    if let Some(digit) = char::from_digit(nibble, 16) {
        out.push(digit.to_ascii_uppercase());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use ratatosk_testkit::names::{Names, cases};

    #[test]
    fn the_table_of_the_contract() {
        for (channel, name) in [
            ("sensors/kitchen/temp", "sensors.kitchen.temp"),
            ("v1.2/data", "v1=2E2.data"),
            ("/leading", ".leading"),
            ("a//b", "a..b"),
            ("home/salon température", "home.salon=20temp=xE9;rature"),
            ("$SYS/broker/uptime", "=24SYS.broker.uptime"),
            ("App/Models/User/5", "App.Models.User.5"),
            ("device/00:11/rssi", "device.00=3A11.rssi"),
            ("a+b", "a=2Bb"),
            ("private-orders/7", "private-orders.7"),
        ] {
            assert_eq!(pusher_name(channel), name);
            assert_eq!(channel_name(name), channel);
        }
    }

    #[test]
    fn only_an_equals_sign_before_an_escape_is_stuffed() {
        for (channel, name) in [
            ("a=b", "a=b"),
            ("==", "=="),
            ("=2E", "=3D2E"),
            ("=3D2E", "=3D3D2E"),
            ("=3D", "=3D"),
            ("=3Dz", "=3Dz"),
            ("=3D=20", "=3D=3D20"),
            ("=.", "==2E"),
            ("=xE9;", "=3DxE9;"),
            ("=x0E9;", "=x0E9;"),
            ("=x41;", "=x41;"),
            ("=xD800;", "=xD800;"),
            ("=x10FFFF;", "=3Dx10FFFF;"),
            ("=x110000;", "=x110000;"),
            ("=é", "==xE9;"),
            ("=00", "=00"),
            ("=41", "=41"),
            ("=2e", "=2e"),
            ("=2F", "=2F"),
            ("=7F", "=3D7F"),
            ("\u{7f}", "=7F"),
            ("\u{10FFFF}", "=x10FFFF;"),
            ("\u{80}", "=x80;"),
            ("=3", "=3"),
            ("=", "="),
        ] {
            assert_eq!(pusher_name(channel), name, "writing {channel:?}");
            assert_eq!(channel_name(name), channel, "reading {name:?}");
        }
    }

    const CHANNELS: &[&str] =
        &["=", "3D", "2E", "x", "E9", ";", "/", ".", "é", "😀", "=3D", "=2E", "=x", "0", "10FFFF", "a", "41", "20"];
    const NAMES: &[&str] = &[
        "=", "3D", "2E", "x", "E9", ";", ".", "=3D", "=2E", "=x", "0", "10FFFF", "a", "41", "20", "D800", "-", "@", ",",
    ];

    #[test]
    fn a_million_channels_have_names_of_their_own() {
        let mut names = Names::new(CHANNELS);
        for _ in 0..cases() {
            let channel = names.next_name();
            let name = pusher_name(channel);
            assert!(name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-=@,.;".contains(&b)), "{channel:?} {name}");
            assert_eq!(channel_name(&name), channel, "{name}");
        }
    }

    #[test]
    fn a_million_names_have_channels_of_their_own() {
        let mut names = Names::only(NAMES);
        for _ in 0..cases() {
            let name = names.next_name();
            let channel = channel_name(name);
            assert!(!channel.is_empty() && !channel.contains('\0'), "{name}");
            assert_eq!(pusher_name(&channel), name, "{channel:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn every_channel_survives_the_round_trip(channel in "[=3D2Ex9;é./ \u{1}-\u{10FFFF}]{1,12}") {
            let name = pusher_name(&channel);
            let legal = |b: u8| b.is_ascii_alphanumeric() || b"_-=@,.;".contains(&b);
            prop_assert!(name.bytes().all(legal), "{name}");
            prop_assert_eq!(channel_name(&name), channel);
        }

        #[test]
        fn every_adversarial_channel_survives(channel in "[=3D2Ex;A0.]{1,14}") {
            prop_assert_eq!(channel_name(&pusher_name(&channel)), channel);
        }

        #[test]
        fn every_name_survives_the_round_trip(name in "[A-Za-z0-9_=@,.;-]{1,20}") {
            let channel = channel_name(&name);
            prop_assert!(!channel.is_empty() && !channel.contains('\0'));
            prop_assert_eq!(pusher_name(&channel), name);
        }

        #[test]
        fn every_adversarial_name_survives(name in "[=3D2Ex;A0.8F1]{1,16}") {
            let channel = channel_name(&name);
            prop_assert!(!channel.is_empty() && !channel.contains('\0'));
            prop_assert_eq!(pusher_name(&channel), name);
        }
    }
}
