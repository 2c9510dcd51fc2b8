//! Channel names and filters: types that cannot hold an invalid value.
//!
//! The canonical name is the MQTT topic (MQTT 5.0 section 4.7): UTF-8 without U+0000, 1 to 65,535 bytes,
//! levels split at `/`, empty levels allowed. A name is checked once, at the edge.

use std::{borrow::Borrow, fmt, sync::Arc};

/// The longest channel name or filter, in bytes (MQTT 5.0 section 1.5.4).
pub const MAX_NAME_BYTES: usize = 65_535;

/// Why a string is not a channel name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChannelError {
    /// The empty string names nothing.
    #[error("a channel name needs at least one character")]
    Empty,
    /// More than [`MAX_NAME_BYTES`] bytes.
    #[error("a channel name has at most 65535 bytes, this one has {0}")]
    TooLong(usize),
    /// U+0000 is forbidden in every protocol's names.
    #[error("a channel name may not contain U+0000")]
    Nul,
}

/// Why a string is not a filter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// The text is not even a name.
    #[error("{}", .0.to_string().replace("channel name", "filter"))]
    Name(#[from] ChannelError),
    /// `#` stands for the rest and so can only be the last level.
    #[error("`#` may only be the last level of a filter")]
    HashNotLast,
}

fn check(name: &str) -> Result<(), ChannelError> {
    if name.is_empty() {
        return Err(ChannelError::Empty);
    }
    if name.len() > MAX_NAME_BYTES {
        return Err(ChannelError::TooLong(name.len()));
    }
    if name.as_bytes().contains(&0) {
        return Err(ChannelError::Nul);
    }
    Ok(())
}

/// Levels on which only the gateway itself publishes.
const OWN: [&str; 3] = ["$monitor", "$presence", "$SYS/broker"];

/// Whether only the gateway itself publishes on the channel of a name.
pub(crate) fn is_own(name: &str) -> bool {
    name.starts_with('$') && OWN.iter().any(|level| is_below(level, name))
}

/// Whether a name is a level or below it.
pub(crate) fn is_below(level: &str, name: &str) -> bool {
    name.strip_prefix(level).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Whether a level of a name is `+` or `#`: as a filter, the name stands for more than one channel.
#[must_use]
pub fn has_wildcard(name: &str) -> bool {
    let may_be = |byte: &u8| matches!(byte, b'+' | b'#');
    // Most names have neither anywhere: to see that takes less than to split them.
    name.as_bytes().iter().any(may_be) && name.split('/').any(|level| level == "+" || level == "#")
}

/// The canonical name of a channel. Cloning shares the text.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Channel(Arc<str>);

impl Channel {
    /// Whether only the gateway itself publishes there: its monitor events, rosters and figures.
    #[must_use]
    pub fn is_own(&self) -> bool {
        is_own(&self.0)
    }

    /// Checks and takes a name.
    ///
    /// # Errors
    /// Empty, longer than 65,535 bytes, or with U+0000.
    pub fn new(name: impl AsRef<str> + Into<Arc<str>>) -> Result<Self, ChannelError> {
        check(name.as_ref())?;
        Ok(Self(name.into()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The levels between the slashes; there is always at least one, and any may be empty.
    pub fn levels(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }

    /// Names that begin with `$` are not matched by a filter that begins with a wildcard.
    #[must_use]
    pub fn is_reserved(&self) -> bool {
        self.0.starts_with('$')
    }
}

/// A pattern over channel names: `+` stands for one level, a final `#` for the parent and all below it.
///
/// A `+` or `#` that shares its level with other characters is literal: the canonical model has
/// channels such as `a+b`, which MQTT writes `a%2Bb`. Connectors whose protocol forbids such a
/// pattern refuse it at their edge.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Filter(Arc<str>);

impl Filter {
    /// Checks and takes a pattern.
    ///
    /// # Errors
    /// What a channel name may not be, and a `#` level that is not the last.
    pub fn new(pattern: impl AsRef<str> + Into<Arc<str>>) -> Result<Self, FilterError> {
        let text = pattern.as_ref();
        check(text)?;
        let mut levels = text.split('/');
        if text.as_bytes().contains(&b'#') && levels.any(|level| level == "#") && levels.next().is_some() {
            return Err(FilterError::HashNotLast);
        }
        Ok(Self(pattern.into()))
    }

    /// The pattern.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The levels between the slashes.
    pub fn levels(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }

    /// Whether any level is `+` or `#`; a filter without them names exactly one channel.
    #[must_use]
    pub fn is_wildcard(&self) -> bool {
        has_wildcard(&self.0)
    }

    /// Whether monitor events keep it to themselves: a connector whose channel names are secrets lets them begin with `$~`.
    #[must_use]
    pub fn is_hidden(&self) -> bool {
        self.0.starts_with("$~")
    }

    /// The channel that a filter without wildcards names.
    #[must_use]
    pub fn as_channel(&self) -> Option<Channel> {
        (!self.is_wildcard()).then(|| Channel(self.0.clone()))
    }

    /// The text before the first wildcard level, with its slash: every match begins with it, but for
    /// `a/#`, which also matches its parent `a`.
    #[must_use]
    pub fn fixed_prefix(&self) -> &str {
        let mut end = 0;
        for level in self.levels() {
            if level == "+" || level == "#" {
                break;
            }
            end += level.len() + 1;
        }
        self.0.get(..end.min(self.0.len())).unwrap_or_default()
    }

    /// Whether the channel is one of those the pattern stands for.
    #[must_use]
    pub fn matches(&self, channel: &Channel) -> bool {
        if channel.is_reserved() && (matches!(self.first_level(), "#" | "+")) {
            return false;
        }
        let mut names = channel.levels();
        for level in self.levels() {
            if level == "#" {
                return true;
            }
            match names.next() {
                Some(name) if level == "+" || level == name => {}
                _ => return false,
            }
        }
        names.next().is_none()
    }

    fn first_level(&self) -> &str {
        self.levels().next().unwrap_or_default()
    }

    /// Whether some channel is matched by both patterns.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        // Mostly they differ at once.
        if let (Some(a), Some(b)) = (self.0.bytes().next(), other.0.bytes().next())
            && a != b
            && ![a, b].iter().any(|first| matches!(first, b'+' | b'#' | b'/'))
        {
            return false;
        }
        let (mut left, mut right) = (self.levels(), other.levels());
        let mut depth = 0;
        loop {
            let (a, b) = (left.next(), right.next());
            let reserved = |text: Option<&str>| depth == 0 && text.is_some_and(|t| t.starts_with('$'));
            let wild = |text: Option<&str>| matches!(text, Some("#" | "+"));
            if (wild(a) && reserved(b)) || (wild(b) && reserved(a)) {
                return false;
            }
            match (a, b) {
                (Some("#"), _) | (_, Some("#")) | (None, None) => return true,
                (None, Some(_)) | (Some(_), None) => return false,
                (Some(a), Some(b)) if a == "+" || b == "+" || a == b => depth += 1,
                _ => return false,
            }
        }
    }

    /// Whether every channel that `other` matches is matched by this pattern too.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        let (mut left, mut right) = (self.levels(), other.levels());
        let mut depth = 0;
        loop {
            match (left.next(), right.next()) {
                (Some("#" | "+"), Some(b)) if depth == 0 && b.starts_with('$') => return false,
                (Some("#"), _) | (None, None) => return true,
                (Some("+"), Some(b)) if b != "#" => depth += 1,
                (Some(a), Some(b)) if a == b => depth += 1,
                _ => return false,
            }
        }
    }
}

macro_rules! text_traits {
    ($type:ident, $error:ident) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }
        impl AsRef<str> for $type {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
        impl Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
        impl std::str::FromStr for $type {
            type Err = $error;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::new(text)
            }
        }
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                Self::new(text).map_err(serde::de::Error::custom)
            }
        }
    };
}

text_traits!(Channel, ChannelError);
text_traits!(Filter, FilterError);

impl From<Channel> for Arc<str> {
    fn from(channel: Channel) -> Self {
        channel.0
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use proptest::prelude::*;

    fn channel(name: &str) -> Channel {
        Channel::new(name).unwrap()
    }
    fn filter(pattern: &str) -> Filter {
        Filter::new(pattern).unwrap()
    }

    #[test]
    fn names_are_checked_at_the_edge() {
        assert_eq!(Channel::new(""), Err(ChannelError::Empty));
        assert_eq!(Channel::new("a\0b"), Err(ChannelError::Nul));
        assert_eq!(Channel::new("x".repeat(65_536)), Err(ChannelError::TooLong(65_536)));
        assert!(Channel::new("x".repeat(65_535)).is_ok());
        assert!(Channel::new("/").is_ok());
        assert_eq!(Filter::new("a/#/b"), Err(FilterError::HashNotLast));
        assert_eq!(Filter::new("#/"), Err(FilterError::HashNotLast));
        assert!(Filter::new("a+b").is_ok());
    }

    #[test]
    fn matching_follows_mqtt_section_4_7() {
        for (pattern, name, expected) in [
            ("a/b", "a/b", true),
            ("a/b", "a/b/c", false),
            ("a/+", "a/b", true),
            ("a/+", "a/", true),
            ("a/+", "a", false),
            ("a/+", "a/b/c", false),
            ("a/#", "a", true),
            ("a/#", "a/b/c", true),
            ("a/#", "ab", false),
            ("#", "a/b", true),
            ("#", "$SYS/x", false),
            ("+/x", "$SYS/x", false),
            ("$SYS/#", "$SYS/x", true),
            ("+", "a", true),
            ("+/+", "/a", true),
            ("/+", "/a", true),
            ("+", "/a", false),
            ("a+b", "a+b", true),
        ] {
            assert_eq!(filter(pattern).matches(&channel(name)), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn fixed_prefix_ends_before_the_first_wildcard() {
        for (pattern, prefix) in [("a/b/#", "a/b/"), ("#", ""), ("a/+/c", "a/"), ("a/b", "a/b")] {
            assert_eq!(filter(pattern).fixed_prefix(), prefix, "{pattern}");
        }
    }

    proptest! {
        #[test]
        fn relations_agree_with_matching(
            a in "([ab$]|\\+)?(/([ab]|\\+)?){0,3}(/#)?",
            b in "([ab$]|\\+)?(/([ab]|\\+)?){0,3}(/#)?",
            name in "[ab$]?(/[ab]?){0,4}",
        ) {
            prop_assume!(!a.is_empty() && !b.is_empty() && !name.is_empty());
            let (a, b, name) = (filter(&a), filter(&b), channel(&name));
            if a.matches(&name) && b.matches(&name) {
                prop_assert!(a.overlaps(&b), "{a} and {b} share {name}");
            }
            if a.covers(&b) && b.matches(&name) {
                prop_assert!(a.matches(&name), "{a} covers {b} but not {name}");
            }
            prop_assert!(a.covers(&a) && a.overlaps(&a));
            prop_assert_eq!(a.overlaps(&b), b.overlaps(&a));
        }
    }
}
