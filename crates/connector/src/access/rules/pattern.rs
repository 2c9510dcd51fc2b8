//! The filters of a rule, with places that the client's own name and claims fill.

use ratatosk_core::{Filter, FilterError};
use serde_json::Value;

use crate::access::identity::{Subject, texts};

/// The most filters that lists of claims may make of one pattern.
const MOST: usize = 64;

/// A filter that may have `{user}` and `{claim.NAME}` in its levels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Pattern {
    /// Without places.
    Fixed(Filter),
    /// With places: the levels, each a sequence of parts.
    Template { levels: Vec<Vec<Part>>, widest: Filter },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    Text(String),
    User,
    Claim(String),
}

/// Why a text is not a pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum PatternError {
    /// Not a filter.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// `{` or `}` without its other half, or something else between them.
    #[error("a place is {{user}} or {{claim.NAME}}, not {0:?}")]
    Place(String),
}

impl Pattern {
    pub(super) fn parse(text: &str) -> Result<Self, PatternError> {
        if !text.contains(['{', '}']) {
            return Ok(Self::Fixed(Filter::new(text)?));
        }
        let levels: Vec<Vec<Part>> = text.split('/').map(parts).collect::<Result<_, _>>()?;
        // The pattern with every place as wide as it can be: a whole level.
        let widest = levels.iter().map(|parts| match parts.as_slice() {
            [Part::Text(text)] => text.as_str(),
            [] => "",
            _ => "+",
        });
        let widest = Filter::new(widest.collect::<Vec<_>>().join("/"))?;
        Ok(Self::Template { levels, widest })
    }

    /// The filters for a client. A value that cannot fill its place adds nothing to an allowing rule, and makes a denying one
    /// fit every level there: what it was to deny must not be open.
    pub(super) fn for_each(&self, subject: &Subject, allows: bool, mut each: impl FnMut(&Filter) -> bool) -> bool {
        match self {
            Self::Fixed(filter) => each(filter),
            Self::Template { levels, widest } => match fill(levels, subject) {
                Filled { whole: false, .. } if !allows => each(widest),
                Filled { filters, .. } => filters.iter().any(each),
            },
        }
    }

    /// A filter that matches all that the pattern can ever match.
    pub(super) fn widest(&self) -> &Filter {
        match self {
            Self::Fixed(filter) | Self::Template { widest: filter, .. } => filter,
        }
    }

    /// Whether this pattern, for any client, matches all that the other matches for it.
    pub(super) fn covers(&self, other: &Self) -> bool {
        match self {
            Self::Fixed(filter) => filter.covers(other.widest()),
            Self::Template { .. } => self == other,
        }
    }

    pub(super) fn needs_user(&self) -> bool {
        matches!(self, Self::Template { levels, .. } if levels.iter().flatten().any(|part| *part == Part::User))
    }
}

fn parts(level: &str) -> Result<Vec<Part>, PatternError> {
    let (mut parts, mut rest) = (Vec::new(), level);
    while let Some((before, after)) = rest.split_once('{') {
        let (place, behind) = after.split_once('}').ok_or_else(|| PatternError::Place(format!("{{{after}")))?;
        if before.contains('}') {
            return Err(PatternError::Place(before.to_owned()));
        }
        if !before.is_empty() {
            parts.push(Part::Text(before.to_owned()));
        }
        parts.push(match place.strip_prefix("claim.") {
            Some(name) if !name.is_empty() => Part::Claim(name.to_owned()),
            None if place == "user" => Part::User,
            _ => return Err(PatternError::Place(format!("{{{place}}}"))),
        });
        rest = behind;
    }
    if rest.contains('}') {
        return Err(PatternError::Place(rest.to_owned()));
    }
    if !rest.is_empty() {
        parts.push(Part::Text(rest.to_owned()));
    }
    Ok(parts)
}

/// What a client makes of a pattern.
struct Filled {
    filters: Vec<Filter>,
    /// Whether there is a filter for every combination of what the places hold.
    whole: bool,
}

/// Every combination of what the places can hold.
fn fill(levels: &[Vec<Part>], subject: &Subject) -> Filled {
    let (mut texts, mut whole) = (vec![String::new()], true);
    for (depth, level) in levels.iter().enumerate() {
        if depth > 0 {
            texts.iter_mut().for_each(|text| text.push('/'));
        }
        let starts: Vec<usize> = texts.iter().map(String::len).collect();
        let is_filled = level.iter().any(|part| !matches!(part, Part::Text(_)));
        let mut begun: Vec<(usize, String)> = starts.into_iter().zip(texts).collect();
        for part in level {
            let (values, all) = values(part, subject);
            whole &= all && begun.len() * values.len() <= MOST;
            begun = begun
                .iter()
                .flat_map(|(start, text)| values.iter().map(move |value| (*start, format!("{text}{value}"))))
                .take(MOST)
                .collect();
        }
        if is_filled {
            let made = begun.len();
            let own = depth == 0 && !matches!(level.first(), Some(Part::Text(_)));
            // What a client brings must not become a wildcard, nor a channel that wildcards leave out.
            begun.retain(|(start, text)| match text.get(*start..) {
                Some("+" | "#") | None => false,
                Some(level) => !(own && level.starts_with('$')),
            });
            whole &= begun.len() == made;
        }
        texts = begun.into_iter().map(|(_, text)| text).collect();
    }
    let made = texts.len();
    let filters: Vec<Filter> = texts.into_iter().filter_map(|text| Filter::new(text).ok()).collect();
    Filled { whole: whole && filters.len() == made, filters }
}

/// What a place holds: only texts that stay within their level, and whether these are all, and any.
fn values(part: &Part, subject: &Subject) -> (Vec<String>, bool) {
    let (found, listed) = match part {
        Part::Text(text) => return (vec![text.clone()], true),
        Part::User => (subject.user.as_deref().map(str::to_owned).into_iter().collect(), 1),
        Part::Claim(name) => {
            let claim = subject.claim(name);
            let listed = claim.and_then(Value::as_array).map_or(1, Vec::len);
            (claim.map(texts).unwrap_or_default(), listed)
        }
    };
    let stays = |text: &String| !text.is_empty() && !text.contains(['/', '\0']);
    let values: Vec<String> = found.into_iter().filter(stays).take(MOST).collect();
    let all = !values.is_empty() && values.len() == listed;
    (values, all)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn filled(pattern: &str, user: Option<&str>, claims: serde_json::Value, allows: bool) -> Vec<String> {
        let subject =
            Subject { user: user.map(Into::into), claims: claims.as_object().unwrap().clone(), ..Subject::default() };
        let mut all = Vec::new();
        Pattern::parse(pattern).unwrap().for_each(&subject, allows, |filter| {
            all.push(filter.to_string());
            false
        });
        all
    }

    #[test]
    fn places_are_filled() {
        let none = || serde_json::json!({});
        assert_eq!(filled("a/#", None, none(), true), ["a/#"]);
        assert_eq!(filled("users/{user}/#", Some("joe"), none(), true), ["users/joe/#"]);
        assert_eq!(filled("u-{user}.x/+", Some("joe"), none(), true), ["u-joe.x/+"]);
        let rooms = serde_json::json!({"rooms": ["a", "b"], "site": 7});
        assert_eq!(filled("{claim.site}/{claim.rooms}", None, rooms, true), ["7/a", "7/b"]);
    }

    #[test]
    fn a_hostile_name_never_widens_a_rule() {
        for name in ["#", "+", "a/b", "", "a\0"] {
            let none = serde_json::json!({});
            assert!(filled("users/{user}/#", Some(name), none.clone(), true).is_empty(), "{name:?}");
            assert_eq!(filled("users/{user}/#", Some(name), none, false), ["users/+/#"], "{name:?}");
        }
        assert_eq!(filled("users/x{user}", Some("#"), serde_json::json!({}), true), ["users/x#"]);
        // Two places that are one wildcard only together.
        assert!(filled("{claim.a}{claim.b}", None, serde_json::json!({"a": "", "b": "#"}), true).is_empty());
    }

    #[test]
    fn a_missing_claim_closes_an_allowing_rule_and_widens_a_denying_one() {
        assert!(filled("t/{claim.x}", None, serde_json::json!({}), true).is_empty());
        assert_eq!(filled("t/{claim.x}", None, serde_json::json!({}), false), ["t/+"]);
        let many: Vec<String> = (0..1000).map(|n| n.to_string()).collect();
        assert_eq!(filled("{claim.x}/{claim.x}", None, serde_json::json!({ "x": many }), true).len(), MOST);
    }

    #[test]
    fn one_value_that_cannot_be_used_widens_a_denying_rule() {
        let many: Vec<String> = (0..=MOST).map(|n| n.to_string()).collect();
        for values in [serde_json::json!(["a", "b/c"]), serde_json::json!(["a", {}]), serde_json::json!(many)] {
            let claims = serde_json::json!({ "x": values });
            assert_eq!(filled("t/{claim.x}", None, claims.clone(), false), ["t/+"], "{claims}");
            assert!(!filled("t/{claim.x}", None, claims, true).is_empty());
        }
        let few = serde_json::json!({"x": many.get(..8), "y": many.get(..9)});
        assert_eq!(filled("{claim.x}/{claim.y}", None, few, false), ["+/+"]);
        assert_eq!(filled("t/{claim.x}", None, serde_json::json!({"x": ["a", 1]}), false), ["t/a", "t/1"]);
    }

    #[test]
    fn nobody_is_named_like_a_channel_that_wildcards_leave_out() {
        let none = || serde_json::json!({});
        assert!(filled("{user}/#", Some("$SYS"), none(), true).is_empty());
        assert_eq!(filled("{user}/#", Some("$SYS"), none(), false), ["+/#"]);
        assert_eq!(filled("users/{user}", Some("$SYS"), none(), true), ["users/$SYS"]);
        assert_eq!(filled("$own-{user}", Some("joe"), none(), true), ["$own-joe"]);
    }

    #[test]
    fn what_is_no_place_is_refused() {
        for bad in ["{", "}", "a}b", "{user", "{name}", "{claim.}", "{}", "a/#/{user}"] {
            assert!(Pattern::parse(bad).is_err(), "{bad}");
        }
    }
}
