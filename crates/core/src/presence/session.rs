//! A session's own presence: who it is, and where it is present.

use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering},
};

use super::{Full, MAX_MEMBERS, Member, Place, Roster};
use crate::{
    channel::{Channel, Filter},
    session::{Session, SubscribeOptions},
};

/// What a session remembers of it.
#[derive(Debug, Default)]
pub(crate) struct Standing {
    member: Option<Member>,
    away: bool,
    /// By channel: as whom it is there.
    joined: HashMap<Channel, Arc<str>>,
}

impl Session {
    /// Says as whom the session is present from now on, where its user is not the one it was opened with.
    pub fn appear_as(&self, member: Member) {
        self.core.standing.lock().get_or_insert_default().member = Some(member);
    }

    /// Says that the client id names someone: the session is present under it where it has no user.
    pub fn appear_as_client(&self) {
        self.core.appears_as_client.store(true, Ordering::Relaxed);
    }

    /// Says whether anybody is there: a session that outlives its connection is not present without one.
    pub fn set_present(&self, present: bool) {
        let mut guard = self.core.standing.lock();
        // Where nothing was ever joined, there is nothing to leave or to come back to.
        let Some(standing) = guard.as_mut().filter(|standing| standing.away == present) else { return };
        standing.away = !present;
        if !present {
            return self.leave_all(std::mem::take(&mut standing.joined));
        }
        drop(guard);
        let filters: Vec<_> = self.core.subscriptions.lock().keys().filter(|key| key.1.is_none()).cloned().collect();
        filters.iter().for_each(|(filter, _)| self.enter_by_rule(filter));
    }

    /// Joins the roster of a channel whether or not its rule asks for one, under a bound of the caller's. `then` sees the
    /// roster with the session in it before anybody else hears of it. Leaving the channel's subscription, or the end
    /// of the session, is leaving the roster.
    ///
    /// # Errors
    /// There are `most` users already, and this one is not among them.
    pub fn join(
        &self,
        channel: &Channel,
        member: &Member,
        most: usize,
        then: impl FnOnce(&Roster),
    ) -> Result<(), Full> {
        let mut standing = self.core.standing.lock();
        let joined = &mut standing.get_or_insert_default().joined;
        let place = self.place(channel);
        if let Some(before) = joined.get(channel).filter(|before| **before != member.user) {
            self.bus.presence().leave(&place, before);
            joined.remove(channel);
        }
        self.bus.presence().enter(&place, member, most, then)?;
        joined.insert(channel.clone(), member.user.clone());
        Ok(())
    }

    /// The session has subscribed.
    pub(crate) fn enter_all_by_rule(&self, filters: &[(Filter, SubscribeOptions)]) {
        if self.core.config.is_client && self.bus.rules().any_presence() {
            let plain = filters.iter().filter(|(_, options)| options.group.is_none());
            plain.for_each(|(filter, _)| self.enter_by_rule(filter));
        }
    }

    fn enter_by_rule(&self, filter: &Filter) {
        let Some(channel) = filter.as_channel() else { return };
        if channel.as_str().starts_with('$') || !self.bus.rules().of(&channel).presence {
            return;
        }
        let standing = self.core.standing.lock();
        let (member, away, known) = standing.as_ref().map_or((None, false, false), |standing| {
            (standing.member.clone(), standing.away, standing.joined.contains_key(&channel))
        });
        drop(standing);
        let config = &self.core.config;
        let client = || self.core.appears_as_client.load(Ordering::Relaxed).then(|| config.client_id.clone());
        let Some(member) = member.or_else(|| config.user.clone().or_else(client).map(Member::new)) else { return };
        if !away && !known && self.join(&channel, &member, MAX_MEMBERS, |_| ()).is_err() {
            tracing::debug!(most = MAX_MEMBERS, "a roster is full: a user is not listed");
        }
    }

    /// The session no longer subscribes to this.
    pub(crate) fn leave_roster(&self, filter: &Filter) {
        let mut standing = self.core.standing.lock();
        let Some(standing) = standing.as_mut().filter(|standing| !standing.joined.is_empty()) else { return };
        if let Some((channel, user)) = filter.as_channel().and_then(|channel| standing.joined.remove_entry(&channel)) {
            self.bus.presence().leave(&self.place(&channel), &user);
        }
    }

    /// The session ends.
    pub(crate) fn leave_all_rosters(&self) {
        if let Some(standing) = self.core.standing.lock().take() {
            self.leave_all(standing.joined);
        }
    }

    fn leave_all(&self, joined: HashMap<Channel, Arc<str>>) {
        joined.iter().for_each(|(channel, user)| self.bus.presence().leave(&self.place(channel), user));
    }

    fn place<'a>(&'a self, channel: &'a Channel) -> Place<'a> {
        let rules = self.bus.rules();
        let published = rules.any_presence() && rules.of(channel).presence;
        Place { channel, session: &self.core, published }
    }
}
