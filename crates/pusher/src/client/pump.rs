//! Sending: client events on the socket, everything else by the HTTP API, in order and within the limits.

use std::time::Duration;

use ratatosk_connector::upstream::{Ended, Outbound, hops};
use ratatosk_core::stats::DropReason;
use tokio::time::Instant;

use super::{
    api::{self, ApiFault, Event},
    attempt::Over,
    link::{EVENTS_PER_SECOND, Link},
    outbound::{Letter, Unsendable, Way, letter},
    secretbox,
};
use crate::proto::{frame, name::Class};

/// Events in one call.
const BATCH: usize = 10;
/// The pause after a first failed call, doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// Failures in a row after which the connection is given up.
const MAX_FAILURES: u32 = 8;

impl Link<'_> {
    /// Sends what can go now.
    pub(super) async fn pump(&mut self) -> Result<(), Over> {
        while self.sending.call.is_none() && self.sending.not_before.is_none() {
            if !self.sending.events.is_empty() {
                self.call();
                return Ok(());
            }
            let Some(outbound) = self.sending.held.take().or_else(|| self.port.take()) else { return Ok(()) };
            match self.letter(&outbound) {
                None => {}
                Some(letter) if letter.way == Way::Event => self.trigger(outbound, letter).await?,
                Some(letter) => {
                    self.enqueue(&outbound, letter);
                    self.gather();
                }
            }
        }
        Ok(())
    }

    /// In Pusher's words; what has none is dropped and counted.
    fn letter(&self, outbound: &Outbound) -> Option<Letter> {
        let channel = outbound.channel.as_str();
        // A client event has no place for the gateways that a message passed before this one; a call of the API has.
        let by_api = self.settings.app_id.is_some() && self.settings.secret.is_some();
        let force_api = self.settings.force_api || (by_api && !outbound.message.origin.hops.is_empty());
        let reason = match letter(&outbound.message, channel, &self.subscriptions, force_api) {
            Ok(letter) => return Some(letter),
            Err(Unsendable::Name) => DropReason::Unmappable,
            Err(Unsendable::TooLarge) => DropReason::TooLarge,
        };
        self.port.failed(outbound.token, reason);
        None
    }

    async fn trigger(&mut self, outbound: Outbound, letter: Letter) -> Result<(), Over> {
        let now = self.elapsed();
        if !self.bucket.take(EVENTS_PER_SECOND, now) {
            let wait = self.bucket.wait(EVENTS_PER_SECOND, now).max(1);
            self.sending.not_before = Some(Instant::now() + Duration::from_millis(wait));
            self.sending.held = Some(outbound);
            return Ok(());
        }
        self.send(frame::event(&letter.channel, &letter.event, &letter.data, None)).await?;
        self.port.done(outbound.token);
        Ok(())
    }

    /// More for the same call, as long as it goes the same way.
    fn gather(&mut self) {
        while self.sending.events.len() < BATCH {
            let Some(outbound) = self.port.take() else { return };
            match self.letter(&outbound) {
                None => {}
                Some(letter) if letter.way == Way::Api => self.enqueue(&outbound, letter),
                Some(_) => {
                    self.sending.held = Some(outbound);
                    return;
                }
            }
        }
    }

    fn enqueue(&mut self, outbound: &Outbound, letter: Letter) {
        let Letter { channel, kind, event, data, .. } = letter;
        let data = match kind.class {
            Class::Encrypted => match self.seal(&channel, data.as_str()) {
                Some(sealed) => sealed,
                None => return self.port.failed(outbound.token, DropReason::Denied),
            },
            _ => data.as_str().to_owned(),
        };
        // The server leaves this connection out: what we send does not come back.
        let socket_id = Some(self.socket_id.clone());
        // Of the gateways alone: events with the same list go in one request.
        let hops = hops::path(&outbound.message.origin, self.port.gateway_id());
        self.sending.events.push((outbound.token, Event { name: event, channel, data, socket_id, hops }));
    }

    fn seal(&self, channel: &str, data: &str) -> Option<String> {
        let known = self.subscriptions.0.get(channel).and_then(|subscription| subscription.key);
        let master = || self.settings.master_key.as_ref().map(|master| secretbox::channel_key(channel, master));
        let key = known.or_else(master)?;
        let mut nonce = [0; 24];
        getrandom::fill(&mut nonce).ok()?;
        secretbox::seal(&key, nonce, data.as_bytes())
    }

    /// How many of the waiting events the call in hand carries.
    fn carried(&self) -> usize {
        let most = if self.sending.singly { 1 } else { BATCH };
        let mut events = self.sending.events.iter().map(|(_, event)| &event.hops).take(most);
        // One header tells of all of them.
        events.next().map_or(0, |first| 1 + events.take_while(|hops| *hops == first).count())
    }

    fn call(&mut self) {
        let events: Vec<Event> =
            self.sending.events.iter().take(self.carried()).map(|(_, event)| event.clone()).collect();
        let (settings, http) = (self.settings.clone(), self.http.clone());
        self.sending.call = Some(Box::pin(async move { api::publish(&settings, &http, &events).await }));
    }

    /// The API answered.
    pub(super) fn called(&mut self, answer: Result<(), ApiFault>) -> Result<(), Over> {
        let carried = self.carried();
        match answer {
            Ok(()) => {
                for (token, _) in self.sending.events.drain(..carried) {
                    self.port.done(token);
                }
                self.sending.failures = 0;
            }
            Err(ApiFault::Later(after, reason)) => return self.later(after, reason),
            // One of them spoils the batch: alone, each gets its own answer.
            Err(_) if carried > 1 => self.sending.singly = true,
            Err(fault) => {
                let reason = match fault {
                    ApiFault::TooLarge => DropReason::TooLarge,
                    ApiFault::Denied(why) => self.denied(why),
                    ApiFault::Later(..) => DropReason::Denied,
                };
                for (token, _) in self.sending.events.drain(..carried) {
                    self.port.failed(token, reason);
                }
            }
        }
        if self.sending.events.is_empty() {
            self.sending.singly = false;
        }
        Ok(())
    }

    /// Says it once, and again only when the reason is another.
    fn denied(&self, why: String) -> DropReason {
        if self.facts.get().last_error.as_ref() != Some(&why) {
            tracing::warn!(upstream = %self.port.upstream(), why, "the server does not take what is published");
            self.facts.change(|facts| facts.last_error = Some(why));
        }
        DropReason::Denied
    }

    fn later(&mut self, after: Option<Duration>, reason: String) -> Result<(), Over> {
        self.sending.failures += 1;
        if self.sending.failures >= MAX_FAILURES {
            return Err(Ended::lost(reason).into());
        }
        let pause = FIRST_PAUSE.saturating_mul(1 << self.sending.failures.min(6)).max(after.unwrap_or_default());
        let jitter = pause.mul_f64(fastrand::f64() / 4.0);
        self.sending.not_before = Some(Instant::now() + pause + jitter);
        self.facts.change(|facts| facts.last_error = Some(reason));
        Ok(())
    }
}
