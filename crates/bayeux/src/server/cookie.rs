//! The `BAYEUX_BROWSER` cookie: which sessions belong to one browser, and who may speak for them.

use http::{HeaderMap, header};

use crate::config::{CookieConfig, CookieMode};

/// The cookie's name, as CometD has it.
pub(crate) const NAME: &str = "BAYEUX_BROWSER";

/// The longest value that is taken for one of ours.
const MAX_VALUE: usize = 128;

/// The browser that a request comes from.
pub(crate) fn of(headers: &HeaderMap) -> Option<&str> {
    let values = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    let values = values.filter(|value| value.contains(NAME));
    let mut pairs = values.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let (_, value) = pairs.find(|(name, _)| *name == NAME)?;
    (!value.is_empty() && value.len() <= MAX_VALUE && value.bytes().all(|b| b.is_ascii_alphanumeric())).then_some(value)
}

/// Whether a request with this cookie may speak for a session that began with that one.
pub(crate) fn may_speak(mode: CookieMode, theirs: Option<&str>, sessions: Option<&str>) -> bool {
    match (mode, theirs, sessions) {
        (CookieMode::Off, _, _) | (_, _, None) | (CookieMode::Optional, None, _) => true,
        (CookieMode::Required, None, Some(_)) => false,
        (_, Some(theirs), Some(sessions)) => theirs == sessions,
    }
}

/// The value of `Set-Cookie` for a new browser.
pub(crate) fn set(value: &str, config: &CookieConfig) -> String {
    use std::fmt::Write;
    let mut out = format!("{NAME}={value}; Path=/; HttpOnly");
    if let Some(domain) = &config.domain {
        let _ = write!(out, "; Domain={domain}");
    }
    if let Some(age) = config.max_age {
        let _ = write!(out, "; Max-Age={}", age.get().as_secs());
    }
    if config.secure {
        out.push_str("; Secure");
    }
    if let Some(same_site) = config.same_site {
        let _ = write!(out, "; SameSite={}", same_site.as_str());
    }
    if config.partitioned {
        out.push_str("; Partitioned");
    }
    out
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn is_found_among_others() {
        let mut headers = HeaderMap::new();
        assert_eq!(of(&headers), None);
        headers.append(header::COOKIE, "a=b; BAYEUX_BROWSER=abc123; c=d".parse().unwrap());
        assert_eq!(of(&headers), Some("abc123"));
        headers.insert(header::COOKIE, "BAYEUX_BROWSER=a\"b".parse().unwrap());
        assert_eq!(of(&headers), None);
    }

    #[test]
    fn a_foreign_cookie_never_speaks_for_a_session() {
        use CookieMode::{Off, Optional, Required};
        for (mode, theirs, sessions, expected) in [
            (Off, Some("a"), Some("b"), true),
            (Optional, None, Some("b"), true),
            (Optional, Some("a"), Some("b"), false),
            (Optional, Some("b"), Some("b"), true),
            (Required, None, Some("b"), false),
            (Required, Some("b"), Some("b"), true),
        ] {
            assert_eq!(may_speak(mode, theirs, sessions), expected, "{mode:?} {theirs:?} {sessions:?}");
        }
    }

    #[test]
    fn attributes_are_written() {
        let config = CookieConfig { secure: true, partitioned: true, ..CookieConfig::default() };
        assert_eq!(set("x", &config), "BAYEUX_BROWSER=x; Path=/; HttpOnly; Secure; Partitioned");
    }
}
