//! Topic names and filters as far as the wire rules go (MQTT 5, 4.7 and 4.8).

use super::ReasonCode;

/// Why a filter is refused. SUBACK and UNSUBACK answer each filter by itself, so this closes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FilterFault {
    /// A filter has at least one character (4.7.3-1).
    #[error("empty filter")]
    Empty,
    /// `#` stands alone in the last level, `+` alone in any level (4.7.1).
    #[error("misplaced wildcard")]
    Wildcard,
    /// A shared subscription is `$share/<name>/<filter>`; the name is not empty and has none of `/+#` (4.8.2).
    #[error("incomplete shared subscription")]
    Share,
}

impl FilterFault {
    /// The reason code for SUBACK.
    #[must_use]
    pub fn reason(self) -> ReasonCode {
        ReasonCode::FILTER_INVALID
    }
}

/// A filter taken apart: `$share/<group>/<filter>` or a plain filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SharedFilter<'a> {
    /// The share name, for a shared subscription.
    pub group: Option<&'a str>,
    /// What is subscribed to.
    pub filter: &'a str,
}

/// Checks a filter and takes a shared subscription apart.
///
/// # Errors
/// [`FilterFault`] says what is wrong.
pub fn parse_filter(path: &str) -> Result<SharedFilter<'_>, FilterFault> {
    let Some(shared) = path.strip_prefix("$share/") else {
        if path == "$share" {
            return Err(FilterFault::Share);
        }
        check_filter(path)?;
        return Ok(SharedFilter { group: None, filter: path });
    };
    let (group, filter) = shared.split_once('/').ok_or(FilterFault::Share)?;
    if group.is_empty() || has_wildcard(group) || filter.is_empty() {
        return Err(FilterFault::Share);
    }
    check_filter(filter)?;
    Ok(SharedFilter { group: Some(group), filter })
}

fn check_filter(filter: &str) -> Result<(), FilterFault> {
    if filter.is_empty() {
        return Err(FilterFault::Empty);
    }
    if !has_wildcard(filter) {
        return Ok(());
    }
    let mut levels = filter.split('/').peekable();
    while let Some(level) = levels.next() {
        let last = levels.peek().is_none();
        let fine = match level {
            "+" => true,
            "#" => last,
            other => !has_wildcard(other),
        };
        if !fine {
            return Err(FilterFault::Wildcard);
        }
    }
    Ok(())
}

/// Whether a string is a shared subscription in form, complete or not.
pub(crate) fn is_shared(path: &str) -> bool {
    path == "$share" || path.starts_with("$share/")
}

/// Whether a string holds `+` or `#`.
pub(crate) fn has_wildcard(text: &str) -> bool {
    memchr::memchr2(b'+', b'#', text.as_bytes()).is_some()
}

/// Whether a string can be the topic of a PUBLISH: not empty, no wildcard, no U+0000, at most 65,535 bytes.
#[must_use]
pub fn valid_topic_name(topic: &str) -> bool {
    !topic.is_empty() && topic.len() <= usize::from(u16::MAX) && !has_wildcard(topic) && !topic.as_bytes().contains(&0)
}
