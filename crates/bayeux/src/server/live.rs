//! A session with its surroundings: its place on the bus, whoever waits for its held connect, its socket.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};
use ratatosk_connector::stream::StreamPeer;
use ratatosk_core::{Delivered, EndReason, Message, Peer, Run, Session as BusSession, peer::Frames, stats::DropReason};
use tokio::sync::{Notify, oneshot};

use crate::{
    proto::{
        connect::Answer,
        order::{Order, Turn},
        queue::{Item, Pushed},
        session::{Due, Session},
        subscriptions::Named,
    },
    server::{
        clock::Clock,
        direct::Direct,
        encode::{Detail, Encoder},
        link::LinkFrame,
        mount::Mount,
    },
};

/// What a connect that is no longer wanted is told.
const SUPERSEDED: &[u8] = b"another /meta/connect of this session has taken its place";

/// How long a request waits for those that it has overtaken.
const OVERTAKEN: Duration = Duration::from_millis(300);

/// What waits for a session.
#[derive(Debug, Clone)]
pub(crate) enum Queued {
    /// A message, with the name that the client knows its channel by if that is not ours.
    Message { message: Arc<Message>, name: Option<Box<str>> },
    /// A message for this session alone, written already, with a comma.
    Own(Bytes),
}

impl Item for Queued {
    fn weight(&self) -> usize {
        match self {
            Self::Message { message, .. } => message.weight(),
            Self::Own(bytes) => bytes.len(),
        }
    }

    fn same_channel(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Message { message: a, name: x }, Self::Message { message: b, name: y }) => {
                a.channel == b.channel && x == y
            }
            _ => false,
        }
    }
}

/// What a held request is woken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wake {
    /// Its session's answer is ready to be taken.
    Answer,
    /// Another connect has taken its place.
    Superseded,
}

/// A socket that a session's messages are pushed to.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    pub(crate) stream: Arc<StreamPeer>,
    pub(crate) frame: Arc<LinkFrame>,
}

impl Link {
    fn is(&self, stream: &Arc<StreamPeer>) -> bool {
        Arc::ptr_eq(&self.stream, stream)
    }
}

/// Who waits for a held connect.
#[derive(Debug)]
enum Waiter {
    /// A request that is woken and takes its answer.
    Request(oneshot::Sender<Wake>),
    /// A connection that is written to.
    Direct(Arc<Direct>),
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) session: Session<Queued>,
    /// `None` before the session is open and once it has ended.
    pub(crate) bus: Option<BusSession>,
    /// Who waits for the held connect; none where it came by the link.
    waiter: Option<Waiter>,
    /// Tells one held connect from the next.
    hold: u64,
    pub(crate) link: Option<Link>,
    alarm: Option<u64>,
    /// Whether the held connect counts against its browser.
    counted: bool,
    /// The order in which its requests were sent.
    pub(crate) order: Order,
}

/// One session of a mount.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) mount: Arc<Mount>,
    me: Weak<Self>,
    /// The browser that shook hands.
    pub(crate) browser: Option<Arc<str>>,
    pub(crate) user: Option<Arc<str>>,
    inner: Mutex<Inner>,
    /// A request of the session was processed.
    passed: Notify,
}

impl Live {
    pub(crate) fn new(
        mount: Arc<Mount>,
        session: Session<Queued>,
        browser: Option<Arc<str>>,
        user: Option<Arc<str>>,
    ) -> Arc<Self> {
        let inner = Inner {
            session,
            bus: None,
            waiter: None,
            hold: 0,
            link: None,
            alarm: None,
            counted: false,
            order: Order::default(),
        };
        Arc::new_cyclic(|me| Self {
            mount,
            me: me.clone(),
            browser,
            user,
            inner: Mutex::new(inner),
            passed: Notify::new(),
        })
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock()
    }

    /// How this session's messages are written.
    pub(crate) fn detail(inner: &Inner) -> Detail {
        let agreed = inner.session.agreed();
        if agreed.replay || agreed.gateway { Detail::Full } else { Detail::Plain }
    }

    /// Reserves a place among its browser's held connects. False if there are too many.
    pub(crate) fn may_hold(&self, inner: &mut Inner) -> bool {
        let limit = self.mount.max_held_per_browser;
        let Some(browser) = self.browser.as_ref().filter(|_| limit > 0) else { return true };
        inner.counted = inner.counted || self.mount.browsers.try_hold(browser, limit);
        inner.counted
    }

    /// Gives the reserved place back unless a connect is held.
    pub(crate) fn settle(&self, inner: &mut Inner) {
        if inner.counted && !inner.session.is_held() {
            inner.counted = false;
            self.browser.iter().for_each(|browser| self.mount.browsers.release(browser));
        }
        if let Some(at) = inner.session.deadline()
            && inner.alarm.is_none_or(|alarm| at < alarm)
        {
            inner.alarm = Some(at);
            self.mount.sweeper.set(at, self.me.clone());
        }
    }

    /// Waits, not long, until the requests are here that were sent before the one with this id.
    pub(crate) async fn turn(&self, id: Option<&str>) {
        if self.lock().order.judge(id) == Turn::Now {
            return;
        }
        let filled = async {
            loop {
                let passed = self.passed.notified();
                if self.lock().order.judge(id) == Turn::Now {
                    return;
                }
                passed.await;
            }
        };
        if tokio::time::timeout(OVERTAKEN, filled).await.is_err() {
            self.lock().order.gave_up();
        }
    }

    /// A request was processed: others may have waited for it.
    pub(crate) fn pass(&self) {
        self.passed.notify_waiters();
    }

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
    fn answer_direct(&self, inner: &mut Inner, direct: &Arc<Direct>, shared: Option<(Vec<Queued>, &[u8])>) {
        let Some(Answer { mut messages, reply }) = inner.session.answer(self.mount.clock.now(), Clock::wall()) else {
            return;
        };
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

    /// From now on messages go over this socket.
    pub(crate) fn attach(&self, inner: &mut Inner, link: &Link) {
        link.frame.set(Self::detail(inner));
        if inner.link.as_ref().is_some_and(|known| known.is(&link.stream)) {
            return;
        }
        link.frame.adopt(self.me.clone());
        inner.link = Some(link.clone());
    }

    /// The socket is gone.
    pub(crate) fn detach(&self, stream: &Arc<StreamPeer>) {
        let mut inner = self.lock();
        if inner.link.as_ref().is_some_and(|link| link.is(stream)) {
            inner.link = None;
            if inner.waiter.is_none() {
                inner.session.release(self.mount.clock.now());
            }
            self.settle(&mut inner);
        }
    }

    /// Ends the session: answers whoever waits, leaves the bus and the directory.
    pub(crate) fn finish(&self, inner: &mut Inner, reason: EndReason) {
        inner.session.end(reason);
        self.answer(inner);
        let reason = inner.session.ended().unwrap_or(reason);
        if let Some(bus) = inner.bus.take() {
            bus.close(reason);
        }
        self.mount.directory.remove(inner.session.id());
        if let Some(link) = inner.link.take()
            && reason != EndReason::Disconnect
        {
            link.stream.end(reason);
        }
        self.settle(inner);
    }

    /// An alarm of this session rings.
    pub(crate) fn ring(&self, at: u64) {
        let mut inner = self.lock();
        if inner.alarm != Some(at) {
            return;
        }
        inner.alarm = None;
        match inner.session.on_deadline(self.mount.clock.now()) {
            Due::Answer => self.answer(&mut inner),
            Due::Expire(reason) => self.finish(&mut inner, reason),
            Due::Later => {}
        }
        self.settle(&mut inner);
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
}
