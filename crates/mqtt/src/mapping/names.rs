//! Channel names and MQTT topics are the same, but for names with `+` or `#`, which no topic may hold, and with characters that no
//! topic should (MQTT 5.0 section 1.5.4: control characters, and code points that are no characters), on which stock clients close
//! their connection: those are written as the hex of their UTF-8: `a+b` is `a%2Bb`, a line break is `%0A`.
//!
//! No other character has an escape. `%25` is one only where what follows it would otherwise read as an escape, so that
//! ordinary names with `%` stay as they are: `100%`, `50%25`. Decoding removes exactly one such escape, which
//! makes the pair a bijection between names and the topics that are written.

use std::borrow::Cow;

use ratatosk_core::{Channel, Filter};

/// The topic that names a channel.
#[must_use]
pub fn topic(channel: &Channel) -> Cow<'_, str> {
    encode(channel.as_str())
}

/// The channel of a topic; `None` if the topic is none.
#[must_use]
pub fn channel(topic: &str) -> Option<Channel> {
    match decode(topic) {
        Cow::Borrowed(name) => Channel::new(name).ok(),
        Cow::Owned(name) => Channel::new(name).ok(),
    }
}

/// The channel of a topic that a client publishes to; `None` if clients may not publish there.
#[must_use]
pub fn published(topic: &str) -> Option<Channel> {
    let reserved = ["$SYS", "$share"]
        .iter()
        .any(|own| topic.strip_prefix(own).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')));
    if reserved { None } else { channel(topic) }
}

/// The gateway's filter for one of MQTT, whose form has been checked. `None` for one that only a level `%2B` or
/// `%23` makes different from a wildcard: the gateway's filters cannot say that.
#[must_use]
pub fn filter(filter: &str) -> Option<Filter> {
    if !filter.contains('%') {
        return Filter::new(filter).ok();
    }
    let mut levels = Vec::new();
    for level in filter.split('/') {
        let decoded = decode(level);
        if decoded != level && matches!(&*decoded, "+" | "#") {
            return None;
        }
        levels.push(decoded);
    }
    Filter::new(levels.join("/")).ok()
}

/// The MQTT filter that says the same as one of the gateway's; `None` if MQTT has none.
#[must_use]
pub fn of_filter(filter: &Filter) -> Option<String> {
    let level = |level: &str| if matches!(level, "+" | "#") { level.to_owned() } else { encode(level).into_owned() };
    let text = filter.levels().map(level).collect::<Vec<_>>().join("/");
    (text.len() <= usize::from(u16::MAX)).then_some(text)
}

fn encode(name: &str) -> Cow<'_, str> {
    if name.bytes().all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'+' | b'#' | b'%'))
        || !name.chars().any(|character| character == '%' || is_escaped(character))
    {
        return Cow::Borrowed(name);
    }
    let mut topic = String::with_capacity(name.len() + 8);
    for (at, character) in name.char_indices() {
        match character {
            '%' if reads_as_escape(name.get(at + 1..).unwrap_or_default()) => topic.push_str("%25"),
            other if is_escaped(other) => {
                let mut bytes = [0; 4];
                topic.extend(other.encode_utf8(&mut bytes).bytes().map(|byte| format!("%{byte:02X}")));
            }
            other => topic.push(other),
        }
    }
    if topic == name { Cow::Borrowed(name) } else { Cow::Owned(topic) }
}

fn decode(topic: &str) -> Cow<'_, str> {
    if memchr::memchr(b'%', topic.as_bytes()).is_none() {
        return Cow::Borrowed(topic);
    }
    let (mut name, mut rest) = (String::with_capacity(topic.len()), topic);
    while let Some((before, after)) = rest.split_once('%') {
        name.push_str(before);
        let (character, skipped) = match escape(after) {
            Some(escape) => escape,
            None if after.starts_with("25") && reads_as_escape(after) => ('%', 2),
            None => ('%', 0),
        };
        name.push(character);
        rest = after.get(skipped..).unwrap_or_default();
    }
    name.push_str(rest);
    if name == topic { Cow::Borrowed(topic) } else { Cow::Owned(name) }
}

/// Whether a character is written as an escape.
fn is_escaped(character: char) -> bool {
    matches!(character, '+' | '#') || is_unwelcome(character)
}

/// Whether MQTT advises against a character: receivers may take a string with it for malformed (1.5.4).
pub(super) fn is_unwelcome(character: char) -> bool {
    let code = u32::from(character);
    character.is_control() || code & 0xFFFE == 0xFFFE || (0xFDD0..=0xFDEF).contains(&code)
}

/// The character that the text after a `%` begins with as an escape, and how long that is.
fn escape(after: &str) -> Option<(char, usize)> {
    let hex = |at: usize| {
        let digits = after.get(at..at + 2)?;
        let upper = digits.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'A'..=b'F'));
        upper.then(|| u8::from_str_radix(digits, 16).ok())?
    };
    let first = hex(0)?;
    let count = match first {
        0x01..=0x7F => 1,
        0xC2..=0xDF => 2,
        0xE0..=0xEF => 3,
        0xF0..=0xF4 => 4,
        _ => return None,
    };
    let mut bytes = vec![first];
    for at in (2..).step_by(3).take(count - 1) {
        bytes.push(after.get(at..)?.starts_with('%').then(|| hex(at + 1))??);
    }
    let character = std::str::from_utf8(&bytes).ok()?.chars().next()?;
    is_escaped(character).then_some((character, 3 * count - 1))
}

/// Whether a `%` before this text would make an escape of it.
fn reads_as_escape(mut after: &str) -> bool {
    loop {
        if escape(after).is_some() {
            return true;
        }
        match after.strip_prefix("25") {
            Some(rest) => after = rest,
            None => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use proptest::prelude::*;
    use ratatosk_testkit::names::{Names, cases};

    use super::*;

    fn named(topic: &str) -> String {
        channel(topic).unwrap().as_str().to_owned()
    }

    fn written(name: &str) -> String {
        topic(&Channel::new(name).unwrap()).into_owned()
    }

    #[test]
    fn the_table_of_the_contract() {
        for same in [
            "sensors/kitchen/temp",
            "v1.2/data",
            "/leading",
            "a//b",
            "home/salon température",
            "$SYS/broker/uptime",
            "App/Models/User/5",
            "device/00:11/rssi",
            "private-orders/7",
            "100%",
            "50%25",
            "%2b",
        ] {
            assert_eq!(written(same), same);
            assert_eq!(named(same), same);
        }
        for (name, topic) in [("a+b", "a%2Bb"), ("#", "%23"), ("a%2Bb", "a%252Bb"), ("%252B", "%25252B")] {
            assert_eq!(written(name), topic);
            assert_eq!(named(topic), name);
        }
    }

    #[test]
    fn what_stock_clients_take_for_malformed_is_escaped() {
        for (name, topic) in [
            ("line\nbreak", "line%0Abreak"),
            ("\u{85}", "%C2%85"),
            ("\u{FFFE}\u{FDD0}", "%EF%BF%BE%EF%B7%90"),
            ("\u{10FFFF}", "%F4%8F%BF%BF"),
            ("%0A", "%250A"),
            ("%C2%85", "%25C2%85"),
            ("%C2\u{85}", "%C2%C2%85"),
            ("%\n", "%%0A"),
            ("%25\n", "%25%0A"),
            ("%00 %0a %20 %C3%A9 %C2%2B", "%00 %0a %20 %C3%A9 %C2%252B"),
        ] {
            assert_eq!(written(name), topic);
            assert_eq!(named(topic), name, "{topic}");
        }
        // What a client writes without need is read, too.
        assert_eq!(named("line\nbreak"), "line\nbreak");
    }

    #[test]
    fn topics_that_are_not_for_clients() {
        for topic in ["$SYS", "$SYS/broker/uptime", "$share/g/a", "$share", ""] {
            assert!(published(topic).is_none(), "{topic}");
        }
        for topic in ["a", "/", "$SYSTEM/a", "$test", " ", "a//b"] {
            assert_eq!(published(topic).unwrap().as_str(), topic);
        }
    }

    #[test]
    fn filters() {
        assert_eq!(filter("a%2Bb/+/#").unwrap().as_str(), "a+b/+/#");
        assert_eq!(of_filter(&Filter::new("a+b/+/#").unwrap()).unwrap(), "a%2Bb/+/#");
        assert!(filter("a/%2B").is_none() && filter("%23").is_none());
        assert_eq!(filter("a/100%").unwrap().as_str(), "a/100%");
    }

    const NAMES: &[&str] = &[
        "\n", "\u{85}", "\u{FFFE}", "0A", "C2", "85", "EF", "BF", "BE", "%", "+", "#", "2B", "23", "25", "%25", "%2B",
        "2", "5", "/", "é", "a", "%2b", "$",
    ];
    const TOPICS: &[&str] =
        &["0A", "C2", "85", "EF", "BF", "BE", "%", "2B", "23", "25", "%25", "%2B", "2", "5", "/", "é", "a", "%2b", "$"];

    #[test]
    fn a_million_names_have_topics_of_their_own() {
        let mut names = Names::new(NAMES);
        for _ in 0..cases() {
            let name = names.next_name();
            let topic = written(name);
            assert!(!topic.contains(['+', '#']) && !topic.contains(is_unwelcome), "{topic:?}");
            assert_eq!(named(&topic), name, "{topic}");
        }
    }

    #[test]
    fn a_million_topics_have_names_of_their_own() {
        let mut topics = Names::only(TOPICS);
        for _ in 0..cases() {
            let topic = topics.next_name();
            assert_eq!(written(&named(topic)), topic);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(5000))]

        #[test]
        fn every_name_has_its_own_topic(name in "([%+#a/é]|2|5|3|B|%25|%2B){1,20}") {
            let topic = written(&name);
            prop_assert!(!topic.contains(['+', '#']));
            prop_assert_eq!(named(&topic), name);
        }

        #[test]
        fn every_topic_has_its_own_name(topic in "([%a/é]|2|5|3|B|%25|%2B){1,20}") {
            prop_assert_eq!(written(&named(&topic)), topic);
        }
    }
}
