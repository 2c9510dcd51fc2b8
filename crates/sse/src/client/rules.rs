//! Rules whose `to` speaks of `{event}`.

use ratatosk_core::channel::has_wildcard;

/// Why a rule cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EventRuleError {
    /// `{event}` shares its level with other text.
    #[error("`{{event}}` must be a whole level of `to`")]
    NotALevel,
    /// `{event}` occurs twice.
    #[error("`{{event}}` may occur once in `to`")]
    Twice,
    /// `from` must say which part of the name is the event.
    #[error("with `{{event}}` in `to`, `from` must be `#`, `+` or the name of one event")]
    From,
}

/// Rewrites an `in` rule whose `to` contains `{event}` as an ordinary rule over event names: `# -> prices/{event}` means
/// `# -> prices/#`, `# -> a/{event}/b` means `+ -> a/+/b`, and `tick -> a/{event}` means `tick -> a/tick`. Other rules are
/// returned as they are.
///
/// # Errors
/// `{event}` where it cannot be rewritten.
pub fn event_rule(from: &str, to: &str) -> Result<(String, String), EventRuleError> {
    const PLACE: &str = "{event}";
    let count = to.matches(PLACE).count();
    if count == 0 {
        return Ok((from.to_owned(), to.to_owned()));
    }
    if count > 1 {
        return Err(EventRuleError::Twice);
    }
    if !to.split('/').any(|level| level == PLACE) {
        return Err(EventRuleError::NotALevel);
    }
    let is_last = to.ends_with(PLACE);
    let stands = match from {
        "#" if is_last => "#",
        "#" | "+" => "+",
        name if !has_wildcard(name) => name,
        _ => return Err(EventRuleError::From),
    };
    Ok((stands.to_owned(), to.replace(PLACE, stands)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_rules_become_ordinary_ones() {
        for (from, to, want) in [
            ("#", "prices/{event}", Ok(("#", "prices/#"))),
            ("+", "prices/{event}", Ok(("+", "prices/+"))),
            ("#", "{event}/x", Ok(("+", "+/x"))),
            ("tick", "a/{event}/b", Ok(("tick", "a/tick/b"))),
            ("#", "plain/#", Ok(("#", "plain/#"))),
            ("a/+", "b/{event}", Err(EventRuleError::From)),
            ("#", "b/x{event}", Err(EventRuleError::NotALevel)),
            ("#", "{event}/{event}", Err(EventRuleError::Twice)),
        ] {
            let want = want.map(|(from, to): (&str, &str)| (from.to_owned(), to.to_owned()));
            assert_eq!(event_rule(from, to), want, "{from} -> {to}");
        }
    }
}
