//! The users of one channel.

use std::{collections::BTreeMap, sync::Arc, time::SystemTime};

use indexmap::IndexMap;

use super::{Member, Present};
use crate::{message::Connector, session::SessionId};

/// The roster has no room for another user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the roster has no room for another user")]
pub struct Full;

#[derive(Debug)]
struct Entry {
    info: Option<Arc<str>>,
    since: SystemTime,
    sessions: IndexMap<SessionId, Connector>,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Roster {
    users: BTreeMap<Arc<str>, Entry>,
}

impl Roster {
    /// How many users are there.
    #[must_use]
    pub fn len(&self) -> usize {
        self.users.len()
    }

    /// Whether nobody is there.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }

    /// Each user and what is told about it, in order.
    pub fn members(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.users.iter().map(|(user, entry)| (&**user, entry.info.as_deref()))
    }

    /// Each user with all that is known.
    pub fn users(&self) -> impl Iterator<Item = Present> {
        self.users.iter().map(|(user, entry)| {
            let mut connectors: Vec<Connector> = entry.sessions.values().copied().collect();
            connectors.sort_unstable_by_key(|connector| connector.name());
            connectors.dedup();
            Present { user: user.clone(), info: entry.info.clone(), since: entry.since, connectors }
        })
    }

    /// Enters a session. True if its user was not there.
    pub(super) fn enter(
        &mut self,
        member: &Member,
        (session, connector): (SessionId, Connector),
        most: usize,
    ) -> Result<bool, Full> {
        if let Some(entry) = self.users.get_mut(&member.user) {
            entry.sessions.insert(session, connector);
            if entry.info.is_none() {
                entry.info.clone_from(&member.info);
            }
            return Ok(false);
        }
        if self.users.len() >= most {
            return Err(Full);
        }
        let sessions = IndexMap::from([(session, connector)]);
        let entry = Entry { info: member.info.clone(), since: SystemTime::now(), sessions };
        self.users.insert(member.user.clone(), entry);
        Ok(true)
    }

    /// Takes a session out. True if it was its user's last.
    pub(super) fn leave(&mut self, user: &Arc<str>, session: SessionId) -> bool {
        let Some(entry) = self.users.get_mut(user) else { return false };
        entry.sessions.swap_remove(&session);
        let gone = entry.sessions.is_empty();
        if gone {
            self.users.remove(user);
        }
        gone
    }
}
