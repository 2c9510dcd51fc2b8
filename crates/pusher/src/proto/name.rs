//! Channel names: grammar and kind (Pusher, "Channel naming conventions" and "Channel types").

use std::fmt;

/// The per-user channel of the sign-in feature begins with this; `#` is otherwise not a name character.
pub const USER_PREFIX: &str = "#server-to-user-";

/// Who may subscribe, by the anchored prefix of the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// Anyone.
    Public,
    /// Whoever shows a signature.
    Private,
    /// The same; the payload is opaque ciphertext.
    Encrypted,
    /// Whoever shows a signature and says who they are.
    Presence,
    /// The connections that signed in as this user.
    User,
}

impl Class {
    /// Reads the configuration's word for a class; `user` is not one a mount can have.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        match word {
            "public" => Some(Self::Public),
            "private" => Some(Self::Private),
            "private-encrypted" | "encrypted" => Some(Self::Encrypted),
            "presence" => Some(Self::Presence),
            _ => None,
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Public => "public",
            Self::Private => "private",
            Self::Encrypted => "private-encrypted",
            Self::Presence => "presence",
            Self::User => "a user's",
        })
    }
}

/// Why a string is not a channel name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameFault {
    /// No name at all.
    #[error("Invalid channel name: it is empty")]
    Empty,
    /// Longer than the limit.
    #[error("Invalid channel name: {0} bytes, at most {1} are allowed")]
    TooLong(usize, usize),
    /// A character outside `A-Z a-z 0-9 _ - = @ , . ;`.
    #[error("Invalid channel name: only letters, digits and _ - = @ , . ; are allowed")]
    Alphabet,
}

/// What a channel name says about the channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Kind {
    /// Who may subscribe.
    pub class: Class,
    /// Whether the last event is kept for those who come later.
    pub cache: bool,
}

impl Kind {
    /// Checks a name of at most `max_bytes` and reads its prefix.
    ///
    /// # Errors
    /// The name is empty, too long, or has a character that Pusher forbids.
    pub fn of(name: &str, max_bytes: usize) -> Result<Self, NameFault> {
        if name.is_empty() {
            return Err(NameFault::Empty);
        }
        if name.len() > max_bytes {
            return Err(NameFault::TooLong(name.len(), max_bytes));
        }
        let user = name.strip_prefix(USER_PREFIX);
        let text = user.unwrap_or(name);
        if text.is_empty() || !text.bytes().all(is_name_byte) {
            return Err(NameFault::Alphabet);
        }
        if user.is_some() {
            return Ok(Self { class: Class::User, cache: false });
        }
        let (class, rest) = split_class(name);
        Ok(Self { class, cache: rest.starts_with("cache-") })
    }

    /// The user a name of [`Class::User`] is for.
    #[must_use]
    pub fn user(self, name: &str) -> Option<&str> {
        if self.class == Class::User { name.strip_prefix(USER_PREFIX) } else { None }
    }

    /// Whether subscribing takes a signature.
    #[must_use]
    pub fn is_signed(self) -> bool {
        matches!(self.class, Class::Private | Class::Encrypted | Class::Presence)
    }
}

fn split_class(name: &str) -> (Class, &str) {
    for (prefix, class) in
        [("private-encrypted-", Class::Encrypted), ("private-", Class::Private), ("presence-", Class::Presence)]
    {
        if let Some(rest) = name.strip_prefix(prefix) {
            return (class, rest);
        }
    }
    (Class::Public, name)
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'=' | b'@' | b',' | b'.' | b';')
}

/// Whether an event name is Pusher's own, which clients and the HTTP API may not use.
#[must_use]
pub fn is_reserved_event(event: &str) -> bool {
    event.starts_with("pusher:") || event.starts_with("pusher_internal:")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_anchored() {
        use Class::{Encrypted, Presence, Private, Public, User};
        for (name, class, cache) in [
            ("room", Public, false),
            ("cache-room", Public, true),
            ("xcache-room", Public, false),
            ("my-private-room", Public, false),
            ("private-room", Private, false),
            ("private-cache-room", Private, true),
            ("private-xcache-room", Private, false),
            ("private-encrypted-room", Encrypted, false),
            ("private-encrypted-cache-room", Encrypted, true),
            ("presence-room", Presence, false),
            ("presence-cache-room", Presence, true),
            ("private-", Private, false),
            ("#server-to-user-7", User, false),
        ] {
            assert_eq!(Kind::of(name, 164), Ok(Kind { class, cache }), "{name}");
        }
    }

    #[test]
    fn the_grammar_is_pushers() {
        assert_eq!(Kind::of("", 164), Err(NameFault::Empty));
        assert_eq!(Kind::of(&"x".repeat(165), 164), Err(NameFault::TooLong(165, 164)));
        for name in ["#x", "a b", "a/b", "é", "a\0", "#server-to-user-", "#server-to-user-a b", "a#"] {
            assert_eq!(Kind::of(name, 164), Err(NameFault::Alphabet), "{name}");
        }
        assert!(Kind::of("A-Za_0=@,.;", 164).is_ok());
    }
}
