//! One rule, and the list of rules of one direction of one upstream.

use std::{fmt, sync::Arc};

use ratatosk_core::{Channel, Filter, FilterError, Qos};

use super::{levels::wildcards, rewrite, treatment::Treatment};

/// Which way a rule carries messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Theirs to ours.
    In,
    /// Ours to theirs.
    Out,
}

impl Direction {
    /// The configuration key of rules of this direction.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Self::In => "in",
            Self::Out => "out",
        }
    }
}

/// Why two texts are not a rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// `from` is not a filter.
    #[error("`from = \"{0}\"`: {1}")]
    From(String, #[source] FilterError),
    /// `to` is not a name or pattern.
    #[error("`to = \"{0}\"`: {1}")]
    To(String, #[source] FilterError),
    /// What a wildcard of `from` stands for would have no place, or a wildcard of `to` no value.
    #[error(
        "`{from}` has the wildcards [{from_wildcards}] and `{to}` has [{to_wildcards}]: `to` needs the same ones in the same order, because what each stands for is kept"
    )]
    Wildcards {
        /// The pattern that is matched.
        from: String,
        /// The pattern that is made.
        to: String,
        /// Wildcards of `from`, in order.
        from_wildcards: String,
        /// Wildcards of `to`, in order.
        to_wildcards: String,
    },
    /// `$monitor/...` is the gateway's own; nobody publishes there.
    #[error("`to = \"{0}\"` would publish on the gateway's own `$monitor` channels")]
    Reserved(String),
}

/// What a rule asks for besides the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuleOptions {
    /// The highest quality of service asked of the peer (`in`) or sent to it (`out`).
    pub qos: Qos,
    /// Whether the retain flag crosses; without it every message crosses as not retained.
    pub retain: bool,
}

impl Default for RuleOptions {
    fn default() -> Self {
        Self { qos: Qos::ExactlyOnce, retain: true }
    }
}

impl RuleOptions {
    /// What a message crosses with that came with these.
    #[must_use]
    pub fn apply(self, qos: Qos, retain: bool) -> (Qos, bool) {
        (qos.min(self.qos), retain && self.retain)
    }
}

/// One checked rule. Cloning is cheap.
#[derive(Clone)]
pub struct Rule {
    from: Filter,
    to: Filter,
    options: RuleOptions,
    key: Arc<str>,
    treatment: Option<Arc<Treatment>>,
}

/// Two rules are equal when they were written alike, at the same place.
impl PartialEq for Rule {
    fn eq(&self, other: &Self) -> bool {
        (&self.from, &self.to, self.options, &self.key) == (&other.from, &other.to, other.options, &other.key)
    }
}

impl Eq for Rule {}

impl Rule {
    /// Checks a rule. `key` names it in messages, as the configuration does (`upstreams[0].in[1]`).
    ///
    /// # Errors
    /// Either text is no filter, the wildcards differ, or an `in` rule would write to `$monitor`.
    pub fn new(key: &str, direction: Direction, from: &str, to: &str) -> Result<Self, RuleError> {
        let source = Filter::new(from).map_err(|error| RuleError::From(from.to_owned(), error))?;
        let target = Filter::new(to).map_err(|error| RuleError::To(to.to_owned(), error))?;
        if !wildcards(from).eq(wildcards(to)) {
            let list = |pattern| wildcards(pattern).collect::<Vec<_>>().join(" ");
            return Err(RuleError::Wildcards {
                from: from.to_owned(),
                to: to.to_owned(),
                from_wildcards: list(from),
                to_wildcards: list(to),
            });
        }
        if direction == Direction::In && (to == "$monitor" || to.starts_with("$monitor/")) {
            return Err(RuleError::Reserved(to.to_owned()));
        }
        Ok(Self { from: source, to: target, options: RuleOptions::default(), key: key.into(), treatment: None })
    }

    /// The same rule with other options.
    #[must_use]
    pub fn with_options(mut self, options: RuleOptions) -> Self {
        self.options = options;
        self
    }

    /// The names it takes.
    #[must_use]
    pub fn from(&self) -> &Filter {
        &self.from
    }

    /// The names it makes.
    #[must_use]
    pub fn to(&self) -> &Filter {
        &self.to
    }

    /// Quality of service and retain.
    #[must_use]
    pub fn options(&self) -> RuleOptions {
        self.options
    }

    /// The same rule with something done to what it carries.
    #[must_use]
    pub fn with_treatment(mut self, treatment: Treatment) -> Self {
        self.treatment = Some(Arc::new(treatment));
        self
    }

    /// What is done to what it carries; `None` for most rules.
    #[must_use]
    pub fn treatment(&self) -> Option<&Arc<Treatment>> {
        self.treatment.as_ref()
    }

    /// The configuration key that it came from.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The name on the other side; `None` where the rule does not apply.
    #[must_use]
    pub fn apply(&self, name: &Channel) -> Option<Channel> {
        rewrite::channel(&self.from, &self.to, name)
    }

    /// The name that [`Rule::apply`] would turn into this one.
    #[must_use]
    pub fn invert(&self, name: &Channel) -> Option<Channel> {
        rewrite::channel(&self.to, &self.from, name)
    }

    /// The filter to subscribe on the `from` side so that what `wanted` asks for on the `to` side arrives.
    #[must_use]
    pub fn demand(&self, wanted: &Filter) -> Option<Filter> {
        rewrite::filter(&self.to, &self.from, wanted)
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} -> {})", self.key, self.from, self.to)
    }
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The rules of one direction of one upstream; the first that applies decides. Cloning shares the list.
#[derive(Debug, Clone, Default)]
pub struct RuleSet(Arc<[Rule]>);

impl RuleSet {
    /// A list in order of precedence.
    #[must_use]
    pub fn new(rules: impl IntoIterator<Item = Rule>) -> Self {
        Self(rules.into_iter().collect())
    }

    /// The rule that decides about a name, and what it makes of it.
    #[must_use]
    pub fn apply(&self, name: &Channel) -> Option<(&Rule, Channel)> {
        self.0.iter().find_map(|rule| Some((rule, rule.apply(name)?)))
    }

    /// The rule that makes this name, and what it makes it of.
    #[must_use]
    pub fn invert(&self, name: &Channel) -> Option<(&Rule, Channel)> {
        self.0.iter().find_map(|rule| Some((rule, rule.invert(name)?)))
    }

    /// All rules.
    pub fn iter(&self) -> impl Iterator<Item = &Rule> {
        self.0.iter()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether any of them runs programs.
    #[must_use]
    pub fn have_programs(&self) -> bool {
        self.0.iter().any(|rule| rule.treatment.as_ref().is_some_and(|treatment| treatment.has_programs()))
    }
}

#[cfg(test)]
#[path = "rule_tests.rs"]
mod tests;
