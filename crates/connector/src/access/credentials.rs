//! What a client shows, and why it may be turned away.

use std::{fmt, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, header};

use super::Subject;
use crate::limits::Limit;

/// What a client shows of itself.
#[derive(Clone, Copy)]
pub enum Credentials<'a> {
    /// Nothing.
    Nothing,
    /// A name and a password; a JWT may stand in the password's place, whatever the name is.
    Password {
        /// The name.
        user: &'a str,
        /// The password, or a token.
        password: &'a [u8],
    },
    /// A JWT (RFC 7519).
    Token(&'a str),
    /// Who a certificate that TLS has verified says the client is.
    Certificate(&'a Arc<Subject>),
}

impl fmt::Debug for Credentials<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nothing => "Nothing",
            Self::Password { .. } => "Password",
            Self::Token(_) => "Token",
            Self::Certificate(_) => "Certificate",
        })
    }
}

/// Why a client is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It shows nothing, and that is not enough.
    #[error("credentials are needed")]
    Missing,
    /// What it shows is wrong.
    #[error("the credentials are not accepted")]
    Bad,
    /// Its token has expired.
    #[error("the token has expired")]
    Expired,
    /// Its token is not valid yet.
    #[error("the token is not valid yet")]
    Immature,
    /// Its token is for somebody else.
    #[error("the token is for another audience or from another issuer")]
    Foreign,
    /// Whoever knows could not be asked.
    #[error("the credentials cannot be checked at the moment")]
    Unavailable,
    /// It may come in, but a limit stands before it.
    #[error(transparent)]
    Limited(#[from] Limit),
}

impl Refusal {
    /// A word for error strings and problem types.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Missing => "credentials_missing",
            Self::Bad => "bad_credentials",
            Self::Expired => "token_expired",
            Self::Immature => "token_immature",
            Self::Foreign => "token_foreign",
            Self::Unavailable => "unavailable",
            Self::Limited(limit) => limit.label(),
        }
    }
}

/// What an HTTP request shows.
#[derive(Clone, PartialEq, Eq)]
pub enum HttpCredentials {
    /// Nothing of ours.
    Nothing,
    /// `Authorization: Basic` (RFC 7617).
    Basic {
        /// The name.
        user: String,
        /// The password.
        password: String,
    },
    /// `Authorization: Bearer` (RFC 6750).
    Bearer(String),
    /// A token in a cookie: it comes along by itself, so the page that asks must be ours.
    Cookie(String),
}

impl fmt::Debug for HttpCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_credentials().fmt(f)
    }
}

impl HttpCredentials {
    /// Finds them: the header before the cookie.
    #[must_use]
    pub fn of(headers: &HeaderMap, cookie: &str) -> Self {
        let text = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        if let Some((scheme, rest)) = text.and_then(|text| text.split_once(' ')) {
            if scheme.eq_ignore_ascii_case("bearer") {
                return Self::Bearer(rest.trim().to_owned());
            }
            if scheme.eq_ignore_ascii_case("basic")
                && let Some((user, password)) = basic(rest.trim())
            {
                return Self::Basic { user, password };
            }
        }
        self::cookie(headers, cookie).map_or(Self::Nothing, |token| Self::Cookie(token.to_owned()))
    }

    /// The same for [`super::Access::authenticate`].
    #[must_use]
    pub fn as_credentials(&self) -> Credentials<'_> {
        match self {
            Self::Nothing => Credentials::Nothing,
            Self::Basic { user, password } => Credentials::Password { user, password: password.as_bytes() },
            Self::Bearer(token) | Self::Cookie(token) => Credentials::Token(token),
        }
    }
}

/// The value of a cookie.
pub(super) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    // As bytes: another cookie may hold what is no text.
    let pairs = headers.get_all(header::COOKIE).iter().flat_map(|all| all.as_bytes().split(|byte| *byte == b';'));
    let values = pairs.filter_map(|pair| pair.trim_ascii().strip_prefix(name.as_bytes())?.strip_prefix(b"="));
    values.filter(|value| !value.is_empty()).find_map(|value| std::str::from_utf8(value).ok())
}

fn basic(encoded: &str) -> Option<(String, String)> {
    let decoded = String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?;
    decoded.split_once(':').map(|(user, password)| (user.to_owned(), password.to_owned()))
}

/// Whether a text has the shape of a JWT: three parts, of which the first is base64url of a JSON object.
pub(super) fn looks_like_token(text: &[u8]) -> bool {
    text.starts_with(b"ey") && text.iter().filter(|byte| **byte == b'.').count() == 2
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn of(pairs: &[(header::HeaderName, &'static str)]) -> HttpCredentials {
        let value = |text: &str| HeaderValue::from_bytes(text.as_bytes()).into_iter();
        let headers = pairs.iter().flat_map(|(name, text)| value(text).map(|value| (name.clone(), value))).collect();
        HttpCredentials::of(&headers, "token")
    }

    #[test]
    fn the_header_goes_before_the_cookie() {
        assert_eq!(of(&[]), HttpCredentials::Nothing);
        assert_eq!(of(&[(header::COOKIE, "a=b; token=t.o.k")]), HttpCredentials::Cookie("t.o.k".into()));
        assert_eq!(of(&[(header::COOKIE, "xtoken=1; token=")]), HttpCredentials::Nothing);
        assert_eq!(of(&[(header::COOKIE, "city=Zürich; token=t.o.k")]), HttpCredentials::Cookie("t.o.k".into()));
        let both = [(header::COOKIE, "token=c"), (header::AUTHORIZATION, "bearer  h")];
        assert_eq!(of(&both), HttpCredentials::Bearer("h".into()));
        let basic = HttpCredentials::Basic { user: "joe".into(), password: "a:b".into() };
        assert_eq!(of(&[(header::AUTHORIZATION, "Basic am9lOmE6Yg==")]), basic);
        assert_eq!(format!("{basic:?}"), "Password");
        assert_eq!(of(&[(header::AUTHORIZATION, "Digest x")]), HttpCredentials::Nothing);
    }
}
