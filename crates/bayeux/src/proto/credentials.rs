//! What a handshake shows in `ext`: browsers cannot set headers on a WebSocket, so tokens travel in the message.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::inbound::{Ext, text};

/// Credentials in a message.
#[derive(Clone, PartialEq, Eq)]
pub enum Shown<'a> {
    /// `ext.token`, or `ext.authentication.token`.
    Token(Cow<'a, str>),
    /// `ext.authentication.user` and `.password`, also under the names that CometD's documentation uses: `login` and `credentials`.
    Password {
        /// The name.
        user: Cow<'a, str>,
        /// The password.
        password: Cow<'a, str>,
    },
    /// Something that is no credentials.
    Nonsense,
}

impl std::fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Shown")
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Authentication<'a> {
    #[serde(borrow)]
    token: Option<&'a RawValue>,
    #[serde(borrow, alias = "login", alias = "username")]
    user: Option<&'a RawValue>,
    #[serde(borrow, alias = "credentials")]
    password: Option<&'a RawValue>,
}

impl<'a> Shown<'a> {
    /// Reads them; `None` if there are none at all.
    #[must_use]
    pub fn of(ext: &Ext<'a>) -> Option<Self> {
        if let Some(token) = ext.token {
            return Some(text(token).map_or(Self::Nonsense, Self::Token));
        }
        let raw = ext.authentication?;
        let Ok(fields) = serde_json::from_str::<Authentication<'_>>(raw.get()) else { return Some(Self::Nonsense) };
        let read = |field: Option<&'a RawValue>| field.and_then(text);
        Some(match (read(fields.token), read(fields.user), read(fields.password)) {
            (Some(token), ..) => Self::Token(token),
            (None, Some(user), Some(password)) => Self::Password { user, password },
            _ => Self::Nonsense,
        })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]
    use super::*;
    use crate::proto::inbound::parse;

    #[test]
    fn credentials_are_read_from_ext() {
        let of = |ext: &str| {
            let message = format!(r#"{{"channel":"/meta/handshake","ext":{ext}}}"#);
            Shown::of(&parse(&message, 1).unwrap()[0].ext()).map(|shown| match shown {
                Shown::Token(token) => format!("token {token}"),
                Shown::Password { user, password } => format!("{user}:{password}"),
                Shown::Nonsense => "nonsense".to_owned(),
            })
        };
        assert_eq!(of("{}"), None);
        assert_eq!(of(r#"{"ack":true}"#), None);
        assert_eq!(of(r#"{"token":"t"}"#).unwrap(), "token t");
        assert_eq!(of(r#"{"authentication":{"token":"t","user":"x"}}"#).unwrap(), "token t");
        assert_eq!(of(r#"{"authentication":{"user":"joe","password":"\u0061"}}"#).unwrap(), "joe:a");
        assert_eq!(of(r#"{"authentication":{"login":"joe","credentials":"a"}}"#).unwrap(), "joe:a");
        for nonsense in [r#"{"token":7}"#, r#"{"authentication":"x"}"#, r#"{"authentication":{"user":"joe"}}"#] {
            assert_eq!(of(nonsense).unwrap(), "nonsense", "{nonsense}");
        }
    }
}
