//! Who a client turned out to be.

use std::{net::IpAddr, sync::Arc};

use ratatosk_core::{Channel, Connector, Filter};
use serde_json::{Map, Value};

use super::Action;

/// What credentials prove about a client, wherever it comes from. One per token or user, shared by its sessions.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Subject {
    /// The user's name; a token may be valid without one.
    pub user: Option<Arc<str>>,
    /// Whether nothing was proved at all.
    pub anonymous: bool,
    /// The groups it is in.
    pub groups: Vec<Arc<str>>,
    /// All that its token claims.
    pub claims: Map<String, Value>,
    /// When the proof ends, in Unix seconds; `None` is never.
    pub expires: Option<u64>,
    /// What a token leaves of its bearer's rights.
    pub scope: Option<Scope>,
}

impl Subject {
    /// Somebody who proved nothing.
    #[must_use]
    pub fn anonymous() -> Arc<Self> {
        Arc::new(Self { anonymous: true, ..Self::default() })
    }

    /// A user without groups and claims.
    #[must_use]
    pub fn user(name: impl Into<Arc<str>>) -> Arc<Self> {
        Arc::new(Self { user: Some(name.into()), ..Self::default() })
    }

    /// The same in these groups besides its own.
    #[must_use]
    pub fn in_groups(&self, groups: &[Arc<str>]) -> Self {
        let mut joined = self.clone();
        joined.groups.extend(groups.iter().filter(|group| !self.groups.contains(group)).cloned());
        joined
    }

    /// A claim by its name, or by a path such as `realm_access.roles` where there is no claim of that very name.
    #[must_use]
    pub fn claim(&self, path: &str) -> Option<&Value> {
        claim(&self.claims, path)
    }
}

/// Finds a claim by name or dotted path.
pub(super) fn claim<'a>(claims: &'a Map<String, Value>, path: &str) -> Option<&'a Value> {
    if let Some(found) = claims.get(path) {
        return Some(found);
    }
    let (first, rest) = path.split_once('.')?;
    claim(claims.get(first)?.as_object()?, rest)
}

/// A claim's texts: of a string, a number, a truth value, or of a list of those.
pub(super) fn texts(value: &Value) -> Vec<String> {
    let one = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        _ => None,
    };
    match value {
        Value::Array(values) => values.iter().filter_map(one).collect(),
        value => one(value).into_iter().collect(),
    }
}

/// A client as the rules see it.
#[derive(Debug, Clone, PartialEq)]
pub struct Identity {
    /// Who it is.
    pub subject: Arc<Subject>,
    /// The connector it came by.
    pub connector: Connector,
    /// The address it came from, where there is one.
    pub address: Option<IpAddr>,
}

/// Filters that a token names in its claim `ratatosk`: its bearer may do no more than that, whatever the rules allow.
/// An action that is not named is not narrowed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scope {
    /// `ratatosk.publish`.
    pub publish: Option<Vec<Filter>>,
    /// `ratatosk.subscribe`.
    pub subscribe: Option<Vec<Filter>>,
    /// `ratatosk.presence`.
    pub presence: Option<Vec<Filter>>,
}

impl Scope {
    /// Reads the claim. A list that cannot be read allows nothing: a narrower token must not become a wider one.
    pub(super) fn read(claims: &Map<String, Value>) -> Option<Self> {
        let claim = claims.get("ratatosk")?;
        let list = |name: &str| {
            let value = claim.get(name)?;
            Some(texts(value).iter().filter_map(|text| Filter::new(text.as_str()).ok()).collect())
        };
        let scope = Self { publish: list("publish"), subscribe: list("subscribe"), presence: list("presence") };
        (scope != Self::default()).then_some(scope)
    }

    fn of(&self, action: Action) -> Option<&[Filter]> {
        match action {
            Action::Publish => self.publish.as_deref(),
            Action::Subscribe => self.subscribe.as_deref(),
            Action::Presence => self.presence.as_deref(),
        }
    }

    pub(super) fn has_channel(&self, action: Action, channel: &Channel) -> bool {
        self.of(action).is_none_or(|filters| filters.iter().any(|filter| filter.matches(channel)))
    }

    pub(super) fn has_filter(&self, action: Action, asked: &Filter) -> bool {
        self.of(action).is_none_or(|filters| filters.iter().any(|filter| filter.covers(asked)))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn claims_are_found_by_name_and_by_path() {
        let claims = serde_json::json!({"a.b": 1, "realm": {"roles": ["x", 2, true, null]}});
        let subject = Subject { claims: claims.as_object().unwrap().clone(), ..Subject::default() };
        assert_eq!(texts(subject.claim("a.b").unwrap()), ["1"]);
        assert_eq!(texts(subject.claim("realm.roles").unwrap()), ["x", "2", "true"]);
        assert!(subject.claim("realm.none").is_none() && subject.claim("none").is_none());
    }

    #[test]
    fn a_scope_that_cannot_be_read_allows_nothing() {
        let scope = |json: Value| Scope::read(json.as_object().unwrap());
        assert_eq!(scope(serde_json::json!({})), None);
        assert_eq!(scope(serde_json::json!({"ratatosk": {"other": 1}})), None);
        let narrow = scope(serde_json::json!({"ratatosk": {"publish": ["a/#"], "subscribe": {}}})).unwrap();
        let channel = Channel::new("a/b").unwrap();
        assert!(narrow.has_channel(Action::Publish, &channel));
        assert!(!narrow.has_filter(Action::Subscribe, &Filter::new("a/b").unwrap()));
        assert!(narrow.has_filter(Action::Presence, &Filter::new("x").unwrap()));
        let broken = scope(serde_json::json!({"ratatosk": {"publish": ["a/#/b"]}})).unwrap();
        assert!(!broken.has_channel(Action::Publish, &channel));
    }
}
