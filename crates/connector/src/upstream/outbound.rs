//! From the bus to a peer: what rules send, into the bounded queue.

use std::{
    sync::{Arc, OnceLock},
    time::Instant,
};

use parking_lot::Mutex;
use ratatosk_core::{
    Bus, Channel, Connector, Delivered, EndReason, Message, Peer, Publication, Run, stats::DropReason,
};

use super::{
    fingerprint::Fingerprints,
    letters::{self, Lost},
    queue::{Outbound, Queue, Token},
    succession::Cuts,
    workshop::{Job, Then, Workshop},
};
use crate::rules::{Direction, Failure, ReplyMap, Rule, RuleSet, Scene, Verdict};

/// What becomes of a message that a rule sends.
enum Next {
    /// It goes as it is.
    Send(Outbound),
    /// The rule has made these of it.
    Judged(Vec<Outbound>),
    /// A program is to be run on it.
    Run(Job),
}

/// The outbound half of a bridge.
#[derive(Debug)]
pub(super) struct Outlet {
    pub(super) bus: Bus,
    pub(super) connector: Connector,
    pub(super) upstream: Arc<str>,
    pub(super) rules: RuleSet,
    pub(super) replies: ReplyMap,
    pub(super) prints: Option<Arc<Mutex<Fingerprints>>>,
    pub(super) queue: Queue,
    /// Where programs are run; none where no rule has any.
    pub(super) workshop: Option<Workshop>,
    /// Set when the bridge takes no more messages.
    pub(super) closed: std::sync::atomic::AtomicBool,
    /// Where the bridge begins.
    pub(super) begins: OnceLock<Cuts>,
    /// Where the bridge in this one's place begins, once there is one (see [`super::succession`]).
    pub(super) heir: OnceLock<Cuts>,
    /// The one in whose place this one is, until it has given what it left.
    pub(super) predecessor: Mutex<Option<Arc<Self>>>,
}

impl Outlet {
    /// Queues a message if a rule sends it.
    pub(super) fn offer(&self, message: &Arc<Message>, now: Instant) {
        let Some((rule, channel)) = self.rules.apply(&message.channel) else { return };
        if self.is_theirs(message) {
            self.count(DropReason::Loop, 1);
            return;
        }
        match self.prepare(message, rule, channel, now) {
            Next::Send(outbound) => self.push(outbound, now),
            Next::Judged(made) => made.into_iter().for_each(|outbound| self.push(outbound, now)),
            Next::Run(job) => {
                let dropped = self.workshop.as_ref().map_or(1, |workshop| workshop.put(job));
                self.count(DropReason::QueueFull, dropped);
            }
        }
    }

    fn push(&self, outbound: Outbound, now: Instant) {
        let dropped = self.queue.push(outbound, now);
        self.count(DropReason::QueueFull, dropped);
    }

    /// Does what the rule asks for besides another name; programs are run elsewhere, and what they make comes later.
    fn prepare(&self, message: &Arc<Message>, rule: &Rule, channel: Channel, now: Instant) -> Next {
        let outbound = self.outbound(message, rule, channel);
        let Some(treatment) = rule.treatment().filter(|treatment| treatment.changes_messages()) else {
            return Next::Send(outbound);
        };
        let Outbound { channel, message, qos, retain, reply_to, .. } = outbound;
        let publication = Publication { channel, qos, retain, ..message.publication() };
        if treatment.has_programs() {
            let (channel, then) = (message.channel.clone(), Then::Send { message, reply_to });
            return Next::Run(Job { rule: rule.clone(), channel, publication, then });
        }
        let scene = Scene { upstream: &self.upstream, channel: &message.channel, publication: &publication };
        let verdict = treatment.judge(&scene, None, now);
        Next::Judged(self.follow(rule, (&message, reply_to), &publication, verdict))
    }

    /// What a verdict lets cross; the rest is counted.
    fn follow(
        &self,
        rule: &Rule,
        (message, reply_to): (&Arc<Message>, Option<Channel>),
        publication: &Publication,
        verdict: Verdict,
    ) -> Vec<Outbound> {
        let outbound = |made: Publication| {
            let (channel, qos, retain) = (made.channel.clone(), made.qos, made.retain);
            // The bus's name for it stays with the message.
            let message = Arc::new(message.revised(Publication { channel: message.channel.clone(), ..made }));
            let (token, reply_to, rule) = (Token::default(), reply_to.clone(), Some(rule.clone()));
            Outbound { token, channel, message, qos, retain, reply_to, rule }
        };
        match verdict {
            Verdict::Crosses(made) => return made.into_iter().map(outbound).collect(),
            Verdict::Filtered => {}
            Verdict::RateLimited => self.count(DropReason::RateLimited, 1),
            Verdict::Failed(failure) => {
                self.count(DropReason::Failed, 1);
                self.tell_lost(rule, message, &publication.channel, &failure);
            }
        }
        Vec::new()
    }

    /// What follows when a program has judged.
    pub(super) fn finish(&self, job: Job, verdict: Verdict) {
        if let Then::Send { message, reply_to } = job.then {
            let made = self.follow(&job.rule, (&message, reply_to), &job.publication, verdict);
            let now = Instant::now();
            made.into_iter().for_each(|outbound| self.push(outbound, now));
        }
    }

    fn tell_lost(&self, rule: &Rule, message: &Message, to: &Channel, failure: &Failure) {
        if letters::is_letter(&message.origin, message.event()) {
            return;
        }
        let (channel, payload, hops) = (&message.channel, &message.payload, &message.origin.hops);
        let content_type = message.content_type();
        let lost = Lost { direction: Direction::Out, channel, to, payload, content_type, hops };
        letters::send(&self.bus, &self.upstream, rule, &lost, failure);
    }

    /// Queues messages from before the bridge began, in front of those that came since. What waits for programs is
    /// mixed with the rest as they end.
    pub(super) fn offer_old(&self, messages: &[Arc<Message>], now: Instant) {
        let ours = messages.iter().filter(|message| !self.is_theirs(message));
        let (mut ready, mut jobs) = (Vec::new(), Vec::new());
        for message in ours {
            let Some((rule, channel)) = self.rules.apply(&message.channel) else { continue };
            match self.prepare(message, rule, channel, now) {
                Next::Send(outbound) => ready.push(outbound),
                Next::Judged(made) => ready.extend(made),
                Next::Run(job) => jobs.push(job),
            }
        }
        let mut dropped = self.queue.push_old(ready, now);
        if let Some(workshop) = &self.workshop {
            dropped += workshop.put_old(jobs);
        }
        self.count(DropReason::QueueFull, dropped);
    }

    fn is_theirs(&self, message: &Message) -> bool {
        message.origin.upstream.as_ref() == Some(&self.upstream)
    }

    fn outbound(&self, message: &Arc<Message>, rule: &Rule, channel: Channel) -> Outbound {
        let reply_to = message.extras().and_then(|extras| extras.reply_to.as_ref());
        let (qos, retain) = rule.options().apply(message.qos, message.retain);
        Outbound {
            token: Token::default(),
            channel,
            message: message.clone(),
            qos,
            retain,
            reply_to: reply_to.map(|ours| self.replies.outbound(ours, rule)),
            rule: rule.treatment().is_some().then(|| rule.clone()),
        }
    }

    /// Takes the next message in flight.
    pub(super) fn take(&self) -> Option<Outbound> {
        let now = Instant::now();
        let taken = self.queue.take(now);
        self.count(DropReason::Expired, taken.expired);
        let outbound = taken.next?;
        if let Some(prints) = &self.prints {
            prints.lock().sent(&outbound.channel, &outbound.message.payload, now);
        }
        Some(outbound)
    }

    /// The peer has it.
    pub(super) fn done(&self, token: Token) {
        if let Some(outbound) = self.queue.done(token) {
            self.bus.stats().delivered(self.connector, 1, outbound.message.payload.len() as u64);
        }
    }

    /// The peer will never have it.
    pub(super) fn failed(&self, token: Token, reason: DropReason) {
        let Some(outbound) = self.queue.done(token) else { return };
        self.count(reason, 1);
        if let Some(rule) = outbound.rule.as_ref().filter(|_| reason != DropReason::Loop) {
            let failure = Failure { reason: reason.label(), detail: "the upstream does not take it".to_owned() };
            self.tell_lost(rule, &outbound.message, &outbound.channel, &failure);
        }
    }

    pub(super) fn count(&self, reason: DropReason, messages: u64) {
        self.bus.stats().dropped(self.connector, reason, messages);
    }
}

impl Peer for Outlet {
    /// Messages are counted as delivered when the peer has them, not here.
    fn deliver(&self, run: &mut Run<'_>) -> Delivered {
        if !self.closed.load(std::sync::atomic::Ordering::Relaxed) {
            let now = Instant::now();
            let ours = run.iter().filter(|(message, _)| !self.is_the_heirs(message));
            ours.for_each(|(message, _)| self.offer(message, now));
        }
        Delivered::default()
    }

    fn end(&self, _reason: EndReason) {
        self.closed.store(true, std::sync::atomic::Ordering::Relaxed);
    }
}
