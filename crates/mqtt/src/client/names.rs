//! Topics over there and canonical channel names: the same but for `+` and `#`, which no topic can hold.
//!
//! A channel may be called `a+b`, and its topic is then `a%2Bb` (`#` is `%23`). A `%` is written `%25` only where what
//! follows would read as such an escape, so other names with `%` stay as they are; that makes it a bijection.

use bytestring::ByteString;
use ratatosk_core::{Channel, Filter};

/// The channel of a topic; `None` if it is none (too long after decoding can not happen, U+0000 can not arrive).
pub(super) fn channel(topic: &str) -> Option<Channel> {
    if !topic.contains('%') {
        return Channel::new(topic).ok();
    }
    let mut name = String::with_capacity(topic.len());
    let mut rest = topic;
    while let Some((plain, after)) = rest.split_once('%') {
        name.push_str(plain);
        let (character, length) = match after.get(..2) {
            Some("2B") => ('+', 2),
            Some("23") => ('#', 2),
            Some("25") if reads_as_escape(after.get(2..).unwrap_or_default()) => ('%', 2),
            _ => ('%', 0),
        };
        name.push(character);
        rest = after.get(length..).unwrap_or_default();
    }
    name.push_str(rest);
    Channel::new(name).ok()
}

/// The topic of a channel; `None` if it would be too long.
pub(super) fn topic(channel: &Channel) -> Option<ByteString> {
    let text = escape(channel.as_str());
    (text.len() <= usize::from(u16::MAX)).then_some(text)
}

/// The filter over there: wildcards stay, all else is written like a topic.
pub(super) fn filter(filter: &Filter) -> Option<ByteString> {
    let level = |level: &str| if matches!(level, "+" | "#") { level.into() } else { escape(level) };
    let text = filter.levels().map(level).collect::<Vec<_>>().join("/");
    (text.len() <= usize::from(u16::MAX)).then(|| text.into())
}

fn escape(name: &str) -> ByteString {
    if !name.contains(['+', '#', '%']) {
        return name.into();
    }
    let mut text = String::with_capacity(name.len() + 8);
    for (at, character) in name.char_indices() {
        match character {
            '+' => text.push_str("%2B"),
            '#' => text.push_str("%23"),
            '%' if reads_as_escape(name.get(at + 1..).unwrap_or_default()) => text.push_str("%25"),
            other => text.push(other),
        }
    }
    text.into()
}

/// Whether a `%` before this text would be read as the beginning of an escape.
fn reads_as_escape(mut after: &str) -> bool {
    while let Some(rest) = after.strip_prefix("25") {
        after = rest;
    }
    after.starts_with("2B") || after.starts_with("23")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_what_must_be_is_escaped() {
        for (name, written) in [
            ("a/b", "a/b"),
            ("a+b", "a%2Bb"),
            ("#", "%23"),
            ("100%", "100%"),
            ("%25", "%25"),
            ("a%2Bb", "a%252Bb"),
            ("a%252B", "a%25252B"),
            ("%2b", "%2b"),
        ] {
            assert_eq!(&*topic(&Channel::new(name).unwrap()).unwrap(), written);
            assert_eq!(channel(written).unwrap().as_str(), name);
        }
        assert_eq!(&*filter(&Filter::new("+/a+b/#").unwrap()).unwrap(), "+/a%2Bb/#");
    }

    proptest! {
        #[test]
        fn a_bijection(text in "([+#%235Bb/a]|%25|%2B|%23){1,12}") {
            let name = Channel::new(text.clone()).unwrap();
            let written = topic(&name).unwrap();
            prop_assert!(!written.contains(['+', '#']));
            prop_assert_eq!(channel(&written), Some(name));
            if !text.contains(['+', '#']) {
                prop_assert_eq!(&*topic(&channel(&text).unwrap()).unwrap(), &*text);
            }
        }
    }
}
