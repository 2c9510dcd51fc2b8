//! Messages on their way to the client.

use std::sync::Arc;

use ratatosk_core::{Backlog, Delivered, EndReason, Message, Peer, Run, peer::Frames, stats::DropReason};

use super::{Inner, Live, Waiter};
use crate::{
    proto::{queue::Pushed, subscriptions::Named},
    server::{direct::Direct, encode::Encoder, queued::Queued},
};

impl Live {
    /// `[messages, replies]`.
    pub(crate) fn array(&self, inner: &Inner, messages: &[Queued], replies: &[u8]) -> Vec<u8> {
        let detail = Self::detail(inner);
        let mut out = Vec::with_capacity(replies.len() + 2 + messages.len() * 128);
        out.push(b'[');
        for queued in messages {
            self.mount.append(queued, detail, &mut out);
        }
        out.extend_from_slice(replies);
        if replies.is_empty() && out.last() == Some(&b',') {
            out.pop();
        }
        out.push(b']');
        out
    }

    pub(crate) fn count(&self, messages: &[Queued], bytes: usize) {
        if messages.is_empty() {
            return;
        }
        let stats = self.mount.bus.stats();
        stats.delivered(self.mount.connector, messages.len() as u64, bytes as u64);
        for queued in messages {
            if let Queued::Message { message, .. } = queued {
                stats.latency(message.origin.connector, self.mount.connector, message.arrived.elapsed(), 1);
            }
        }
    }

    /// Adds messages that the session is shown, from the bus or from history.
    pub(crate) fn show(&self, inner: &mut Inner, messages: impl IntoIterator<Item = Arc<Message>>) {
        for message in messages {
            let names = match inner.session.subscriptions().names_of(&message.channel) {
                Named::Not => continue,
                Named::Plainly => vec![None],
                Named::Spelled(names) => names.into_iter().map(Some).collect(),
            };
            for name in names {
                self.push(inner, Queued::Message { message: message.clone(), name });
            }
        }
    }

    pub(crate) fn push(&self, inner: &mut Inner, queued: Queued) {
        if inner.session.ended().is_some() {
            return; // what came after its end was never for it
        }
        let lost = match inner.session.push(queued) {
            Pushed::Queued(dropped) => dropped,
            Pushed::Full => {
                let lost = 1 + inner.session.waiting();
                self.finish(inner, EndReason::Slow);
                u32::try_from(lost).unwrap_or(u32::MAX)
            }
        };
        if lost > 0 {
            self.mount.bus.stats().dropped(self.mount.connector, DropReason::Slow, lost.into());
        }
    }

    /// Sends what waits by whatever carries it now: the link, or the held connect.
    pub(crate) fn flush(&self, inner: &mut Inner) {
        if let Some(link) = inner.link.clone()
            && !inner.session.agreed().ack
        {
            let waiting = inner.session.take_waiting();
            if !waiting.is_empty() {
                let array = self.array(inner, &waiting, &[]);
                link.stream.send(link.frame.wrap(&array));
                self.count(&waiting, array.len());
            }
        } else if inner.session.should_answer() && !self.release_if_gone(inner) {
            self.answer(inner);
        }
    }

    /// Before messages are written to a poll: if its peer has gone, they wait for the next one.
    fn release_if_gone(&self, inner: &mut Inner) -> bool {
        let gone = matches!(&inner.waiter, Some(Waiter::Direct(direct)) if direct.is_gone());
        if gone {
            inner.waiter = None;
            inner.session.release(self.mount.clock.now());
            self.settle(inner);
        }
        gone
    }

    /// Whether a run can be written in bytes that others share: nothing waits before it, and the client knows every
    /// channel by our name for it.
    fn shares(inner: &Inner, run: &Run<'_>) -> bool {
        let subscriptions = inner.session.subscriptions();
        inner.session.can_stream()
            && run.iter().all(|(message, _)| subscriptions.names_of(&message.channel) == Named::Plainly)
    }

    /// Answers a held poll with a run.
    fn deliver_direct(&self, inner: &mut Inner, direct: &Arc<Direct>, run: &mut Run<'_>) -> Delivered {
        let detail = Self::detail(inner);
        let messages =
            run.iter().map(|(message, _)| Queued::Message { message: message.clone(), name: None }).collect();
        let frames = run.frames(Encoder::array_form(detail), &|message| self.mount.encoder.in_array(message, detail));
        let joined = match frames {
            Frames::Joined(bytes) => bytes,
            Frames::Each(list) => list.concat().into(),
        };
        inner.waiter = None;
        let delivered =
            Delivered { messages: u32::try_from(run.len()).unwrap_or(u32::MAX), bytes: joined.len() as u64 };
        self.answer_direct(inner, direct, Some((messages, &joined)));
        self.settle(inner);
        delivered
    }
}

impl Peer for Live {
    fn deliver(&self, run: &mut Run<'_>) -> Delivered {
        let mut inner = self.lock();
        if inner.session.ended().is_some() {
            return Delivered::default();
        }
        if Self::shares(&inner, run) {
            if let Some(link) = &inner.link {
                return link.stream.clone().deliver(run);
            }
            if !self.release_if_gone(&mut inner)
                && let Some(Waiter::Direct(direct)) = &inner.waiter
            {
                let direct = direct.clone();
                return self.deliver_direct(&mut inner, &direct, run);
            }
        }
        self.show(&mut inner, run.iter().map(|(message, _)| message.clone()));
        self.flush(&mut inner);
        Delivered::default()
    }

    fn end(&self, reason: EndReason) {
        let mut inner = self.lock();
        if inner.session.ended().is_none() {
            self.finish(&mut inner, reason);
        }
    }

    fn backlog(&self) -> Backlog {
        let inner = self.lock();
        let (messages, bytes) = inner.session.held();
        let own = Backlog { messages, bytes };
        inner.link.as_ref().map_or(own, |link| own + link.stream.backlog())
    }

    fn relieve(&self) {
        let mut inner = self.lock();
        if inner.session.ended().is_some() {
            return;
        }
        if let Some(link) = &inner.link
            && link.stream.backlog().bytes > 0
        {
            link.stream.relieve();
        }
        let (held, _) = inner.session.held();
        if held == 0 {
            return;
        }
        let lost = inner.session.shed().unwrap_or_else(|| {
            self.finish(&mut inner, EndReason::Slow);
            u32::try_from(held).unwrap_or(u32::MAX)
        });
        self.mount.bus.stats().dropped(self.mount.connector, DropReason::Slow, lost.into());
    }
}
