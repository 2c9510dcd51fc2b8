//! The `info` parameter: what an answer should tell of a channel.

use super::Fault;
use crate::proto::name::{Class, Kind};

/// One thing to tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attribute {
    /// `user_count`: distinct users, on presence channels alone.
    UserCount,
    /// `subscription_count`.
    SubscriptionCount,
    /// `cache`: the kept event, on cache channels alone.
    Cache,
}

/// What was asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Info {
    /// Whether users are counted.
    pub user_count: bool,
    /// Whether subscriptions are counted.
    pub subscription_count: bool,
    /// Whether the kept event is shown.
    pub cache: bool,
}

impl Info {
    /// Reads a comma-separated list; unknown words are refused.
    ///
    /// # Errors
    /// 400 with the word.
    pub fn parse(text: Option<&str>) -> Result<Self, Fault> {
        let mut info = Self::default();
        for word in text.unwrap_or_default().split(',').map(str::trim).filter(|word| !word.is_empty()) {
            match word {
                "user_count" => info.user_count = true,
                "subscription_count" => info.subscription_count = true,
                "cache" => info.cache = true,
                other => return Err(Fault::bad(format!("Unknown info attribute: {other}"))),
            }
        }
        Ok(info)
    }

    /// Whether anything was asked for.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self == Self::default()
    }

    /// Refuses what a channel of that kind does not have.
    ///
    /// # Errors
    /// 400: users outside presence channels, a kept event outside cache channels.
    pub fn check(self, kind: Kind) -> Result<Self, Fault> {
        if self.user_count && kind.class != Class::Presence {
            return Err(Fault::bad("Cannot retrieve the user count unless the channel is a presence channel"));
        }
        if self.cache && !kind.cache {
            return Err(Fault::bad("Cannot retrieve the cached event unless the channel is a cache channel"));
        }
        Ok(self)
    }

    /// What of it a channel of that kind has: events go to channels of several kinds at once.
    #[must_use]
    pub fn applicable(self, kind: Kind) -> Self {
        Self { user_count: self.user_count && kind.class == Class::Presence, cache: self.cache && kind.cache, ..self }
    }
}
