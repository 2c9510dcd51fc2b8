//! Tickets: for clients that cannot send a header. One opens one stream, once, soon.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};

use super::Subject;

/// The most tickets that wait to be used.
const MOST: usize = 16_384;
/// The most of them for one user: beyond, its oldest is void.
const MOST_OF_ONE: usize = 64;

type Hash = [u8; 32];

/// A ticket as it is handed out.
#[derive(Clone, PartialEq, Eq)]
pub struct Ticket {
    /// 256 random bits in base64url.
    pub text: String,
    /// How long it can be used.
    pub lifetime: Duration,
}

impl std::fmt::Debug for Ticket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ticket").field("lifetime", &self.lifetime).finish_non_exhaustive()
    }
}

/// No ticket can be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TicketError {
    /// Too many wait to be used.
    #[error("too many tickets wait to be used")]
    Full,
    /// The system gives no random bits.
    #[error("the system gives no random bits")]
    NoEntropy,
}

#[derive(Debug, Default)]
struct State {
    /// By digest: a ticket is as good as a password for as long as it lives.
    waiting: HashMap<Hash, (Arc<Subject>, Instant)>,
    in_order: BTreeSet<(Instant, Hash)>,
    of_user: HashMap<Arc<str>, BTreeSet<(Instant, Hash)>>,
}

#[derive(Debug)]
pub(super) struct Tickets {
    lifetime: Duration,
    state: Mutex<State>,
}

impl Tickets {
    pub(super) fn new(lifetime: Duration) -> Self {
        Self { lifetime, state: Mutex::default() }
    }

    pub(super) fn issue(&self, subject: Arc<Subject>) -> Result<Ticket, TicketError> {
        self.issue_at(subject, Instant::now())
    }

    fn issue_at(&self, subject: Arc<Subject>, now: Instant) -> Result<Ticket, TicketError> {
        let mut bits = [0_u8; 32];
        getrandom::fill(&mut bits).map_err(|_| TicketError::NoEntropy)?;
        let text = URL_SAFE_NO_PAD.encode(bits);
        let (hash, ends) = (digest(&text), now + self.lifetime);
        let mut state = self.state.lock();
        state.sweep(now);
        if state.waiting.len() >= MOST {
            return Err(TicketError::Full);
        }
        let user: Arc<str> = subject.user.clone().unwrap_or_default();
        let of_user = state.of_user.entry(user).or_default();
        of_user.insert((ends, hash));
        let void = if of_user.len() > MOST_OF_ONE { of_user.pop_first() } else { None };
        state.waiting.insert(hash, (subject, ends));
        state.in_order.insert((ends, hash));
        if let Some((_, void)) = void {
            state.take(&void);
        }
        Ok(Ticket { text, lifetime: self.lifetime })
    }

    /// Uses a ticket up. None if there is no such, or no longer.
    pub(super) fn redeem(&self, text: &str) -> Option<Arc<Subject>> {
        self.redeem_at(text, Instant::now())
    }

    fn redeem_at(&self, text: &str, now: Instant) -> Option<Arc<Subject>> {
        let mut state = self.state.lock();
        state.sweep(now);
        state.take(&digest(text))
    }
}

impl State {
    fn take(&mut self, hash: &Hash) -> Option<Arc<Subject>> {
        let (subject, ends) = self.waiting.remove(hash)?;
        self.in_order.remove(&(ends, *hash));
        let user: Arc<str> = subject.user.clone().unwrap_or_default();
        if let Some(of_user) = self.of_user.get_mut(&user) {
            of_user.remove(&(ends, *hash));
            if of_user.is_empty() {
                self.of_user.remove(&user);
            }
        }
        Some(subject)
    }

    fn sweep(&mut self, now: Instant) {
        while let Some((_, hash)) = self.in_order.first().filter(|(ends, _)| *ends <= now).copied() {
            self.take(&hash);
        }
    }
}

fn digest(text: &str) -> Hash {
    Sha256::digest(text).into()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn a_ticket_opens_once() {
        let tickets = Tickets::new(Duration::from_secs(30));
        let ticket = tickets.issue(Subject::user("joe")).unwrap();
        assert_eq!(tickets.redeem("forged"), None);
        assert_eq!(tickets.redeem(&ticket.text).unwrap().user.as_deref(), Some("joe"));
        assert_eq!(tickets.redeem(&ticket.text), None);
        assert!(!format!("{ticket:?}").contains(&ticket.text));
    }

    #[test]
    fn a_ticket_opens_soon_or_never() {
        let (tickets, start) = (Tickets::new(Duration::from_secs(30)), Instant::now());
        let late = tickets.issue_at(Subject::user("joe"), start).unwrap();
        let soon = tickets.issue_at(Subject::user("joe"), start + Duration::from_secs(20)).unwrap();
        let then = start + Duration::from_secs(30);
        assert!(tickets.redeem_at(&late.text, then).is_none() && tickets.redeem_at(&soon.text, then).is_some());
        let state = tickets.state.lock();
        assert!(state.waiting.is_empty() && state.in_order.is_empty() && state.of_user.is_empty());
    }

    #[test]
    fn one_user_cannot_take_all_tickets() {
        let tickets = Tickets::new(Duration::from_secs(30));
        let first = tickets.issue(Subject::user("joe")).unwrap();
        let others: Vec<Ticket> = (0..MOST_OF_ONE).map(|_| tickets.issue(Subject::user("joe")).unwrap()).collect();
        assert!(tickets.redeem(&first.text).is_none());
        assert!(others.iter().all(|ticket| tickets.redeem(&ticket.text).is_some()));
    }
}
