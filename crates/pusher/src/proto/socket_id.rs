//! The name of a connection: two decimal integers with a dot.

use std::{fmt, str::FromStr};

/// `N.N`, as the client learns it in `pusher:connection_established` and signs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SocketId(pub u32, pub u32);

/// Not of the form `N.N`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("Invalid socket id: it must be of the form N.N")]
pub struct SocketIdError;

impl SocketId {
    /// Whether a string has the form of a socket id, ours or not (`^\d+\.\d+$`).
    #[must_use]
    pub fn is_valid(text: &str) -> bool {
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        text.len() <= 64 && text.split_once('.').is_some_and(|(a, b)| digits(a) && digits(b))
    }
}

impl fmt::Display for SocketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

impl FromStr for SocketId {
    type Err = SocketIdError;

    fn from_str(text: &str) -> Result<Self, SocketIdError> {
        if !Self::is_valid(text) {
            return Err(SocketIdError);
        }
        let (a, b) = text.split_once('.').ok_or(SocketIdError)?;
        let id = Self(a.parse().map_err(|_| SocketIdError)?, b.parse().map_err(|_| SocketIdError)?);
        if id.to_string() == text { Ok(id) } else { Err(SocketIdError) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_is_two_numbers() {
        for (text, valid) in [("1.2", true), ("123456.7890", true), ("1", false), ("1.", false), (".1", false)] {
            assert_eq!(SocketId::is_valid(text), valid, "{text}");
        }
        for text in ["1.2.3", "a.b", "-1.2", "1.2\n", "", " 1.2", "1,2"] {
            assert!(!SocketId::is_valid(text), "{text}");
        }
        assert_eq!("7.4294967295".parse(), Ok(SocketId(7, u32::MAX)));
        assert!("07.1".parse::<SocketId>().is_err(), "not one of ours");
        assert!("7.4294967296".parse::<SocketId>().is_err());
    }
}
