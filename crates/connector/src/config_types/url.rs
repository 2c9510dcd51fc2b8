//! Addresses of far servers.

use std::{fmt, ops::Deref, str::FromStr};

use super::{ValueError, text_value};

/// An absolute URL with a host. A password inside is masked wherever the value is printed.
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
        if self.0.password().is_none() {
            return f.write_str(self.0.as_str());
        }
        let mut masked = self.0.clone();
        // Refused only for URLs without a host, which `from_str` does not let in.
        let _ = masked.set_password(Some("***"));
        f.write_str(masked.as_str())
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
    }

    #[test]
    fn needs_a_scheme_and_a_host() {
        for text in ["", "broker", "127.0.0.1:1883", "mqtt:", "mqtt://", "mailto:a@b"] {
            assert!(text.parse::<UrlValue>().is_err(), "{text}");
        }
    }
}
