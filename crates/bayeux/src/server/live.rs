//! A session with its surroundings: its place on the bus, whoever waits for its held connect, its socket.

use std::{
    sync::{Arc, OnceLock, Weak},
    time::Duration,
};

use parking_lot::{Mutex, MutexGuard};
use ratatosk_connector::{
    access::{Rights, Watch},
    limits::Guest,
    stream::StreamPeer,
};
use ratatosk_core::{EndReason, Peer, Session as BusSession};
use tokio::sync::{Notify, oneshot};

use crate::{
    proto::{
        order::{Order, Turn},
        session::{Due, Session},
    },
    server::{direct::Direct, encode::Detail, link::LinkFrame, mount::Mount, queued::Queued},
};

mod answers;
mod deliver;

/// How long a request waits for those that it has overtaken.
const OVERTAKEN: Duration = Duration::from_millis(300);
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
    /// A reply with messages is on its way, for all that is known until the next connect comes: others wait for it, so that
    /// none arrives before it by another connection.
    pub(crate) in_flight: bool,
}

/// One session of a mount.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) mount: Arc<Mount>,
    me: Weak<Self>,
    /// The browser that shook hands.
    pub(crate) browser: Option<Arc<str>>,
    pub(crate) rights: Rights,
    /// Its hold on the limits.
    pub(crate) guest: Guest,
    /// Ends the session when its rights end.
    pub(crate) watch: OnceLock<Watch>,
    inner: Mutex<Inner>,
    /// A request of the session was processed.
    passed: Notify,
}

impl Live {
    pub(crate) fn new(
        mount: Arc<Mount>,
        session: Session<Queued>,
        browser: Option<Arc<str>>,
        rights: Rights,
        guest: Guest,
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
            in_flight: false,
        };
        Arc::new_cyclic(|me| Self {
            mount,
            me: me.clone(),
            browser,
            rights,
            guest,
            watch: OnceLock::new(),
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
}
