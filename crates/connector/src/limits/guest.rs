//! A session under the limits.

use std::{num::NonZeroU32, sync::Arc, time::Instant};

use ratatosk_core::Connector;

use super::{Limit, Limits, LimitsConfig, TooFast, book::Counted, rate::Meter};

/// A session's hold on the limits, until it is dropped. It is one word, and holds nothing where nothing is limited.
#[derive(Debug, Default)]
pub struct Guest(Option<Box<Inner>>);

#[derive(Debug)]
struct Inner {
    limits: Limits,
    connector: Connector,
    rate: Option<NonZeroU32>,
    user_rate: Option<NonZeroU32>,
    published: Meter,
    user: Option<Counted>,
    pause: Option<Instant>,
}

impl Guest {
    pub(super) fn enter(
        limits: &Limits,
        config: &LimitsConfig,
        connector: Connector,
        user: Option<&Arc<str>>,
    ) -> Result<Self, Limit> {
        if !config.has_rates() && !config.counts_users() {
            return Ok(Self(None));
        }
        let user = user.map(|user| count(limits, config, user)).transpose()?.flatten();
        Ok(Self(Some(Box::new(Inner {
            limits: limits.clone(),
            connector,
            rate: config.publish_rate,
            user_rate: config.publish_rate_per_user,
            published: Meter::default(),
            user,
            pause: None,
        }))))
    }

    /// The session has another user than before.
    ///
    /// # Errors
    /// That user has as many connections as one may have. It is counted.
    pub fn become_user(&mut self, user: &Arc<str>) -> Result<(), Limit> {
        let Some(inner) = &mut self.0 else { return Ok(()) };
        let config = inner.limits.0.config.load();
        inner.user = None;
        inner.user =
            count(&inner.limits, &config, user).inspect_err(|limit| inner.limits.refused(inner.connector, *limit))?;
        Ok(())
    }

    /// The session publishes.
    ///
    /// # Errors
    /// It, or its user, does so too often.
    pub fn publish(&self) -> Result<(), TooFast> {
        self.each_rate(Meter::take)
    }

    /// The session publishes, and cannot be told that it does so too often: what it publishes is taken, and it is to wait after
    /// that, see [`Guest::pause`].
    pub fn publish_owing(&mut self) {
        let early = self.each_rate(Meter::owe).err();
        if let (Some(inner), Some(early)) = (&mut self.0, early) {
            inner.pause = Some(Instant::now() + early.wait);
        }
    }

    /// Until when the session is not to be heard.
    #[must_use]
    pub fn pause(&self) -> Option<Instant> {
        self.0.as_ref()?.pause
    }

    /// Ends the pause if it is over by now. True if it was one.
    pub fn end_pause(&mut self) -> bool {
        let now = Instant::now();
        self.0.as_mut().is_some_and(|inner| inner.pause.take_if(|until| *until <= now).is_some())
    }

    fn each_rate(&self, take: impl Fn(&Meter, NonZeroU32) -> Result<(), TooFast>) -> Result<(), TooFast> {
        let Some(inner) = &self.0 else { return Ok(()) };
        let own = inner.rate.map_or(Ok(()), |rate| take(&inner.published, rate));
        let users = match (&inner.user, inner.user_rate) {
            (Some(user), Some(rate)) if own.is_ok() => take(&user.standing().publishes, rate),
            _ => Ok(()),
        };
        own.and(users).inspect_err(|_| inner.limits.refused(inner.connector, Limit::PublishRate))
    }
}

fn count(limits: &Limits, config: &LimitsConfig, user: &Arc<str>) -> Result<Option<Counted>, Limit> {
    if !config.counts_users() {
        return Ok(None);
    }
    let Some(standing) = limits.standing_of(user) else { return Ok(None) };
    Counted::new(standing, config.connections_per_user).map(Some).ok_or(Limit::UserConnections)
}
