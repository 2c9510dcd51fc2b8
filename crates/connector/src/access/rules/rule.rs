//! One rule: who may do what, on which channels.

use std::fmt;

use super::{Cidr, pattern::Pattern};
use crate::access::identity::{Identity, texts};

/// What a client wants to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Publish to a channel.
    Publish,
    /// Receive what is published to the channels of a filter.
    Subscribe,
    /// See who is there.
    Presence,
}

impl Action {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Publish, Self::Subscribe, Self::Presence];

    const fn bit(self) -> u8 {
        match self {
            Self::Publish => 1,
            Self::Subscribe => 2,
            Self::Presence => 4,
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Publish => "publish",
            Self::Subscribe => "subscribe",
            Self::Presence => "presence",
        })
    }
}

/// A set of actions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Actions(u8);

impl Actions {
    /// Whether the action is in it.
    #[must_use]
    pub const fn has(self, action: Action) -> bool {
        self.0 & action.bit() != 0
    }

    /// Whether all of the other's actions are in it.
    #[must_use]
    pub const fn covers(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl FromIterator<Action> for Actions {
    fn from_iter<T: IntoIterator<Item = Action>>(actions: T) -> Self {
        Self(actions.into_iter().fold(0, |bits, action| bits | action.bit()))
    }
}

/// Whom a rule is about. Every condition that is given must hold; of several values of one condition, any.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Who {
    /// Names of users.
    pub users: Vec<String>,
    /// Names of groups.
    pub groups: Vec<String>,
    /// Claims, by name or path, with the value that they must have (or have among others).
    pub claims: Vec<(String, String)>,
    /// Whether the client must have proved nothing (`true`) or something (`false`).
    pub anonymous: Option<bool>,
    /// Names of connectors.
    pub connectors: Vec<String>,
    /// Addresses it may come from.
    pub addresses: Vec<Cidr>,
}

impl Who {
    /// Whether a client is meant.
    #[must_use]
    pub fn is(&self, identity: &Identity) -> bool {
        let subject = &identity.subject;
        let any =
            |wanted: &[String], has: &dyn Fn(&str) -> bool| wanted.is_empty() || wanted.iter().any(|one| has(one));
        self.anonymous.is_none_or(|wanted| wanted == subject.anonymous)
            && any(&self.users, &|name| subject.user.as_deref() == Some(name))
            && any(&self.groups, &|name| subject.groups.iter().any(|group| **group == *name))
            && any(&self.connectors, &|name| identity.connector.name() == name)
            && self.claims.iter().all(|(name, wanted)| {
                subject.claim(name).is_some_and(|value| texts(value).iter().any(|text| text == wanted))
            })
            && (self.addresses.is_empty()
                || identity.address.is_some_and(|address| self.addresses.iter().any(|block| block.contains(address))))
    }

    /// Whether everyone that the other means is meant.
    pub(super) fn covers(&self, other: &Self) -> bool {
        let wider = |ours: &[String], theirs: &[String]| {
            ours.is_empty() || (!theirs.is_empty() && theirs.iter().all(|one| ours.contains(one)))
        };
        let addresses = self.addresses.is_empty()
            || (!other.addresses.is_empty()
                && other.addresses.iter().all(|narrow| self.addresses.iter().any(|wide| wide.covers(narrow))));
        wider(&self.users, &other.users)
            && wider(&self.groups, &other.groups)
            && wider(&self.connectors, &other.connectors)
            && self.claims.iter().all(|claim| other.claims.contains(claim))
            && (self.anonymous.is_none() || self.anonymous == other.anonymous)
            && addresses
    }
}

/// A rule as it is written.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RuleSpec {
    /// Whom it is about.
    pub who: Who,
    /// What it is about.
    pub may: Vec<Action>,
    /// Filters, with `{user}` and `{claim.NAME}` in their levels.
    pub on: Vec<String>,
    /// Whether it allows or denies.
    pub allows: bool,
}

/// Why a rule cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?}: {problem}")]
pub struct RuleError {
    /// Which filter of the rule.
    pub index: usize,
    /// The filter.
    pub text: String,
    /// What is wrong with it.
    pub problem: String,
}

/// A rule that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    pub(super) who: Who,
    pub(super) actions: Actions,
    pub(super) on: Vec<Pattern>,
    pub(super) allows: bool,
    /// The filters as written.
    pub(super) texts: Vec<String>,
}

impl Rule {
    /// Reads a rule.
    ///
    /// # Errors
    /// The first filter that is none.
    pub fn new(spec: RuleSpec) -> Result<Self, RuleError> {
        let parse = |(index, text): (usize, &String)| {
            Pattern::parse(text).map_err(|error| RuleError { index, text: text.clone(), problem: error.to_string() })
        };
        let on = spec.on.iter().enumerate().map(parse).collect::<Result<_, _>>()?;
        let actions = spec.may.into_iter().collect();
        Ok(Self { who: spec.who, actions, on, allows: spec.allows, texts: spec.on })
    }

    /// Whether it allows or denies.
    #[must_use]
    pub fn allows(&self) -> bool {
        self.allows
    }

    /// What it is about.
    #[must_use]
    pub fn actions(&self) -> Actions {
        self.actions
    }

    /// Its filters, as written.
    #[must_use]
    pub fn filters(&self) -> &[String] {
        &self.texts
    }

    /// Whom it is about.
    #[must_use]
    pub fn who(&self) -> &Who {
        &self.who
    }

    /// Whether it can, for some client, have a say about a channel.
    #[must_use]
    pub fn touches(&self, channel: &ratatosk_core::Channel) -> bool {
        self.on.iter().any(|pattern| pattern.widest().matches(channel))
    }
}
