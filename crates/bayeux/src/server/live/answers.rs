//! Held connects: who waits for them, and how they are answered.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::{Inner, Live, Waiter, Wake};
use crate::{
    proto::connect::Answer,
    server::{clock::Clock, direct::Direct, queued::Queued},
};

/// What a connect that is no longer wanted is told.
const SUPERSEDED: &[u8] = b"another /meta/connect of this session has taken its place";

impl Live {
    /// The connect that was just held waits for this.
    pub(crate) fn wait(&self, inner: &mut Inner) -> (u64, oneshot::Receiver<Wake>) {
        let (sender, receiver) = oneshot::channel();
        inner.hold += 1;
        inner.waiter = Some(Waiter::Request(sender));
        (inner.hold, receiver)
    }

    /// The connect that was just held waits on this connection.
    pub(crate) fn park(&self, inner: &mut Inner, direct: &Arc<Direct>) {
        inner.hold += 1;
        inner.waiter = Some(Waiter::Direct(direct.clone()));
        self.me.upgrade().into_iter().for_each(|me| direct.hold(me, inner.hold));
    }

    /// The connect that was held before is no longer wanted.
    pub(crate) fn supersede(&self, inner: &mut Inner) {
        match inner.waiter.take() {
            // A request that is gone needs no answer.
            Some(Waiter::Request(waiter)) => drop(waiter.send(Wake::Superseded)),
            Some(Waiter::Direct(direct)) => direct.refuse("500 Internal Server Error", "text/plain", SUPERSEDED),
            None => {}
        }
    }

    /// Answers the held connect: over a socket at once, or by waking the request, which takes the answer.
    pub(crate) fn answer(&self, inner: &mut Inner) {
        match inner.waiter.take() {
            Some(Waiter::Request(waiter)) => {
                if waiter.send(Wake::Answer).is_ok() {
                    return;
                }
                inner.session.release(self.mount.clock.now());
            }
            Some(Waiter::Direct(direct)) => self.answer_direct(inner, &direct, None),
            None => self.answer_link(inner),
        }
        self.settle(inner);
    }

    fn answer_link(&self, inner: &mut Inner) {
        if let Some(link) = inner.link.clone()
            && let Some(answer) = inner.session.answer(self.mount.clock.now(), Clock::wall())
        {
            let array = self.array(inner, &answer.messages, &answer.reply);
            link.stream.send(link.frame.wrap(&array));
            self.count(&answer.messages, array.len());
        }
    }

    /// `shared`: messages that do not wait in the queue, and the bytes that all sessions with the same run share.
    pub(super) fn answer_direct(&self, inner: &mut Inner, direct: &Arc<Direct>, shared: Option<(Vec<Queued>, &[u8])>) {
        let Some(Answer { mut messages, reply }) = inner.session.answer(self.mount.clock.now(), Clock::wall()) else {
            return;
        };
        inner.in_flight = shared.is_some() || !messages.is_empty();
        if let Some((run, bytes)) = shared {
            messages = run;
            direct.answer(&[b"[", bytes, &reply, b"]"], None, self.carried(messages));
            return;
        }
        let array = self.array(inner, &messages, &reply);
        self.count(&messages, array.len());
        direct.answer(&[&array], None, self.carried(messages));
    }

    fn carried(&self, messages: Vec<Queued>) -> Vec<(Arc<Self>, Vec<Queued>)> {
        if messages.is_empty() {
            return Vec::new();
        }
        self.me.upgrade().map(|me| (me, messages)).into_iter().collect()
    }

    /// The woken request takes its answer; `None` if it is not its turn any more.
    pub(crate) fn take_answer(&self, hold: u64) -> Option<(Vec<u8>, Vec<Queued>)> {
        let mut inner = self.lock();
        if inner.hold != hold {
            return None;
        }
        let Answer { messages, reply } = inner.session.answer(self.mount.clock.now(), Clock::wall())?;
        let array = self.array(&inner, &messages, &reply);
        inner.in_flight = !messages.is_empty();
        self.settle(&mut inner);
        drop(inner);
        self.count(&messages, array.len());
        Some((array, messages))
    }

    /// The request that was held is gone; its messages stay.
    pub(crate) fn abandon(&self, hold: u64) {
        let mut inner = self.lock();
        if inner.hold == hold && inner.session.is_held() {
            inner.waiter = None;
            inner.session.release(self.mount.clock.now());
            self.settle(&mut inner);
        }
    }

    /// Messages that could not be written wait again, before newer ones.
    pub(crate) fn put_back(&self, messages: Vec<Queued>) {
        let mut inner = self.lock();
        if inner.session.ended().is_some() || messages.is_empty() {
            return;
        }
        inner.session.put_back(messages);
        self.flush(&mut inner);
    }
}
