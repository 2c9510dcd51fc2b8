//! A session's own presence: who it is, and where it is present.

use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering},
};

use super::{Full, MAX_MEMBERS, Member, Place, Roster};
use crate::{
    bus::Bus,
    channel::{Channel, Filter},
    session::{Session, SessionCore, SubscribeOptions},
};

/// What a session remembers of it.
#[derive(Debug, Default)]
pub(crate) struct Standing {
    member: Option<Member>,
    away: bool,
    seats: HashMap<Channel, Seat>,
}

/// A session's place in one roster.
#[derive(Debug)]
struct Seat {
    /// As whom it is there.
    user: Arc<str>,
    /// Whether only the channel's rule put it there.
    by_rule: bool,
}

/// Who is to be entered, and how.
struct Entry<'a> {
    member: &'a Member,
    by_rule: bool,
    most: usize,
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
            return self.core.leave_seats(&self.bus, std::mem::take(&mut standing.seats));
        }
        drop(guard);
        self.core.enter_all(&self.bus);
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
        let entry = Entry { member, by_rule: false, most };
        self.core.sit(&self.bus, standing.get_or_insert_default(), channel, &entry, then)
    }

    /// The session has subscribed.
    pub(crate) fn enter_all_by_rule(&self, filters: &[(Filter, SubscribeOptions)]) {
        if self.core.config.is_client && self.bus.rules().any_presence() {
            let plain = filters.iter().filter(|(_, options)| options.group.is_none());
            plain.for_each(|(filter, _)| self.core.enter_by_rule(&self.bus, filter));
        }
    }

    /// The session no longer subscribes to this.
    pub(crate) fn leave_roster(&self, filter: &Filter) {
        let mut standing = self.core.standing.lock();
        let Some(standing) = standing.as_mut().filter(|standing| !standing.seats.is_empty()) else { return };
        if let Some((channel, seat)) = filter.as_channel().and_then(|channel| standing.seats.remove_entry(&channel)) {
            self.bus.presence().leave(&self.core.place(&self.bus, &channel), &seat.user);
        }
    }

    /// The session ends.
    pub(crate) fn leave_all_rosters(&self) {
        if let Some(standing) = self.core.standing.lock().take() {
            self.core.leave_seats(&self.bus, standing.seats);
        }
    }
}

impl SessionCore {
    /// Leaves the rosters that the rules in force no longer ask for, and enters those that they ask for now.
    pub(super) fn follow_rules(&self, bus: &Bus) {
        let rules = bus.rules();
        if let Some(standing) = self.standing.lock().as_mut() {
            let gone = standing.seats.extract_if(|channel, seat| seat.by_rule && !rules.of(channel).presence).collect();
            self.leave_seats(bus, gone);
        }
        if rules.any_presence() {
            self.enter_all(bus);
        }
    }

    fn enter_all(&self, bus: &Bus) {
        let subscriptions = self.subscriptions.lock();
        let plain = subscriptions.iter().filter(|(_, options)| options.group.is_none());
        let filters: Vec<_> = plain.map(|(filter, _)| filter.clone()).collect();
        drop(subscriptions);
        filters.iter().for_each(|filter| self.enter_by_rule(bus, filter));
    }

    fn enter_by_rule(&self, bus: &Bus, filter: &Filter) {
        let Some(channel) = filter.as_channel() else { return };
        let asked_for = || bus.rules().of(&channel).presence;
        if channel.as_str().starts_with('$') || !asked_for() {
            return;
        }
        let mut guard = self.standing.lock();
        // Other rules are put in force from outside the session's task: it may have left, or ended, meanwhile.
        if self.has_ended() || !self.subscriptions.lock().contains(filter, None) {
            return;
        }
        let Some(member) = self.member(guard.as_deref()) else { return };
        let standing = guard.get_or_insert_default();
        if standing.away || standing.seats.contains_key(&channel) {
            return;
        }
        let entry = Entry { member: &member, by_rule: true, most: MAX_MEMBERS };
        if self.sit(bus, standing, &channel, &entry, |_| ()).is_err() {
            tracing::debug!(most = MAX_MEMBERS, "a roster is full: a user is not listed");
        }
        // Rules that were changed after they were asked have looked at this session already.
        if !asked_for()
            && let Some(seat) = standing.seats.remove(&channel)
        {
            bus.presence().leave(&self.place(bus, &channel), &seat.user);
        }
    }

    /// As whom it is present where nothing else was said; `None` if it stands for nobody.
    fn member(&self, standing: Option<&Standing>) -> Option<Member> {
        let client = || self.appears_as_client.load(Ordering::Relaxed).then(|| self.config.client_id.clone());
        let said = standing.and_then(|standing| standing.member.clone());
        said.or_else(|| self.config.user.clone().or_else(client).map(Member::new))
    }

    fn sit(
        &self,
        bus: &Bus,
        standing: &mut Standing,
        channel: &Channel,
        entry: &Entry<'_>,
        then: impl FnOnce(&Roster),
    ) -> Result<(), Full> {
        let place = self.place(bus, channel);
        let &Entry { member, by_rule, most } = entry;
        if let Some(before) = standing.seats.get(channel).filter(|seat| seat.user != member.user) {
            bus.presence().leave(&place, &before.user);
            standing.seats.remove(channel);
        }
        bus.presence().enter(&place, member, most, then)?;
        standing.seats.insert(channel.clone(), Seat { user: member.user.clone(), by_rule });
        Ok(())
    }

    fn leave_seats(&self, bus: &Bus, seats: HashMap<Channel, Seat>) {
        seats.iter().for_each(|(channel, seat)| bus.presence().leave(&self.place(bus, channel), &seat.user));
    }

    fn place<'a>(&'a self, bus: &Bus, channel: &'a Channel) -> Place<'a> {
        let rules = bus.rules();
        let published = rules.any_presence() && rules.of(channel).presence;
        Place { channel, session: self, published }
    }
}
