//! Addresses of far servers.

use std::{borrow::Cow, convert::Infallible, fmt, ops::Deref, str::FromStr};

use super::{ValueError, text_value};

/// An absolute URL with a host. Secrets inside are masked wherever the value is printed.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct UrlValue(pub ::url::Url);

text_value!(UrlValue, "url", "An absolute URL.", "mqtt://127.0.0.1:1883");

impl Deref for UrlValue {
    type Target = ::url::Url;
    fn deref(&self) -> &::url::Url {
        &self.0
    }
}

impl fmt::Display for UrlValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&masked(self.0.as_str()))
    }
}

impl FromStr for UrlValue {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let advice = "write scheme://host:port/path, such as \"mqtt://127.0.0.1:1883\"";
        // The text itself stays out of the message: it may hold a password.
        let url = ::url::Url::parse(text.trim())
            .map_err(|error| ValueError::new(format!("this is not a URL: {error}"), advice))?;
        if url.host_str().is_none_or(str::is_empty) {
            return Err(ValueError::new("this URL has no host", advice));
        }
        Ok(Self(url))
    }
}

/// The text of a URL, or of a template of one, as it was written. Secrets inside are masked wherever it is printed.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct UrlText(pub String);

text_value!(UrlText, "url text", "A URL.", "https://login.example.org/gateway");

impl Deref for UrlText {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UrlText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&masked(&self.0))
    }
}

impl<T: Into<String>> From<T> for UrlText {
    fn from(text: T) -> Self {
        Self(text.into())
    }
}

impl FromStr for UrlText {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.trim().to_owned()))
    }
}

/// Names of query parameters, or parts of them, whose values are nobody's business.
const SECRETS: [&str; 9] = ["token", "key", "secret", "pass", "auth", "sig", "jwt", "ticket", "credential"];

/// A URL without its password and without what its query says under a name that tells of a secret.
#[must_use]
pub fn masked(url: &str) -> Cow<'_, str> {
    let (before, query) = url.split_once('?').map_or((url, None), |(before, query)| (before, Some(query)));
    let mut out = String::with_capacity(url.len());
    match before
        .split_once("://")
        .map(|(scheme, rest)| (scheme, rest.split_at(rest.find(['/', '#']).unwrap_or(rest.len()))))
    {
        Some((scheme, (authority, path))) => {
            let (user, host) = authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
            out.extend([scheme, "://"]);
            if let Some(user) = user {
                match user.split_once(':') {
                    Some((name, _)) => out.extend([name, ":***@"]),
                    None => out.extend([user, "@"]),
                }
            }
            out.extend([host, path]);
        }
        None => out.push_str(before),
    }
    for (index, pair) in query.into_iter().flat_map(|query| query.split('&')).enumerate() {
        out.push(if index == 0 { '?' } else { '&' });
        match pair.split_once('=') {
            Some((name, _)) if SECRETS.iter().any(|part| name.to_ascii_lowercase().contains(part)) => {
                out.extend([name, "=***"]);
            }
            _ => out.push_str(pair),
        }
    }
    if out == url { Cow::Borrowed(url) } else { Cow::Owned(out) }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn masks_a_password_and_nothing_else() {
        let url: UrlValue = "mqtts://joe:hunter2@broker:8883/x".parse().unwrap();
        assert_eq!(format!("{url} {url:?}"), "mqtts://joe:***@broker:8883/x mqtts://joe:***@broker:8883/x");
        assert_eq!(url.password(), Some("hunter2"));
        assert_eq!("mqtt://h:1".parse::<UrlValue>().unwrap().to_string(), "mqtt://h:1");
        for (text, shown) in [
            (
                "https://a.b/c?channel=x&access_token=t&Api-Key=k#f",
                "https://a.b/c?channel=x&access_token=***&Api-Key=***",
            ),
            ("http://u:p:q@h/{channel}?a=1", "http://u:***@h/{channel}?a=1"),
            ("socks5://u@h:1", "socks5://u@h:1"),
            ("off", "off"),
        ] {
            assert_eq!(UrlText(text.into()).to_string(), shown);
        }
    }

    #[test]
    fn needs_a_scheme_and_a_host() {
        for text in ["", "broker", "127.0.0.1:1883", "mqtt:", "mqtt://", "mailto:a@b"] {
            assert!(text.parse::<UrlValue>().is_err(), "{text}");
        }
    }
}
