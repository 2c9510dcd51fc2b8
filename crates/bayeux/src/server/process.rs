//! A request's messages, one after the other, through their sessions' machines.

use std::sync::Arc;

use futures_util::FutureExt;
use ratatosk_connector::{
    access::{Refusal, Rights},
    limits::Limit,
};
use ratatosk_core::{EndReason, SessionConfig};
use tokio::sync::oneshot;

use crate::{
    config::CookieMode,
    proto::{
        Carrier,
        advice::{Advice, Reconnect},
        fault::Fault,
        handshake,
        inbound::Inbound,
        machine::{self, Context, Effects},
        reply::{Ext, Replies, Reply},
        session::Session,
        timestamp, timesync,
    },
    server::{
        clock::Clock,
        cookie,
        direct::Direct,
        host::{AnonymousHost, BusHost},
        judged::{Judged, Said},
        live::{Link, Live, Wake},
        mount::Mount,
        queued::Queued,
    },
};

/// Who sends a request, and by what.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caller<'a> {
    pub(crate) carrier: Carrier,
    /// The browser, by its cookie.
    pub(crate) browser: Option<&'a str>,
    /// The socket that the request came by.
    pub(crate) link: Option<&'a Link>,
    /// The polling connection that the request came by, if it answers for itself.
    pub(crate) direct: Option<&'a Arc<Direct>>,
    /// Whether messages may ride in replies to other requests than connects.
    pub(crate) rides: bool,
    /// Whether the caller may publish without a session.
    pub(crate) trusted: bool,
    /// What a session that begins with this request may do, or why none may.
    pub(crate) judged: &'a Result<Rights, Refusal>,
}

/// What a request came to.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) replies: Replies,
    /// Messages that go before the replies, and those that ride after them.
    pub(crate) before: Vec<(Arc<Live>, Vec<Queued>)>,
    pub(crate) after: Vec<(Arc<Live>, Vec<Queued>)>,
    /// The request is held.
    pub(crate) held: Option<Held>,
    /// The request is held by its connection.
    pub(crate) parked: bool,
    /// A cookie to set.
    pub(crate) cookie: Option<String>,
    /// Sessions that ended by this request, or were spoken for by it.
    touched: Vec<Arc<Live>>,
}

/// A held request: dropping it gives the session's messages to the next one.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) live: Arc<Live>,
    pub(crate) hold: u64,
    wake: oneshot::Receiver<Wake>,
}

impl Held {
    /// Waits until there is something to answer, or another connect has come.
    pub(crate) async fn woken(&mut self) -> Wake {
        (&mut self.wake).await.unwrap_or(Wake::Superseded)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.live.abandon(self.hold);
    }
}

/// Processes a batch, of which the publish authorizer has said what it has said.
pub(crate) fn process(mount: &Arc<Mount>, batch: &[Inbound<'_>], caller: &Caller<'_>, judged: &Judged) -> Outcome {
    let mut outcome = Outcome::default();
    // A handshake travels alone: whatever comes with it is ignored.
    if let Some(message) = batch.iter().find(|message| message.channel().as_deref() == Some("/meta/handshake")) {
        shake_hands(mount, message, caller, &mut outcome);
        return outcome;
    }
    for (index, message) in batch.iter().enumerate() {
        let said = judged.of(index);
        one(mount, message, (batch.len() == 1, said), caller, &mut outcome);
    }
    outcome.settle(caller);
    outcome
}

impl Outcome {
    /// Messages that the request itself caused ride with its replies, or go where the session's messages go.
    fn settle(&mut self, caller: &Caller<'_>) {
        for live in std::mem::take(&mut self.touched) {
            live.pass();
            let mut inner = live.lock();
            if inner.session.is_held() || inner.link.is_some() {
                if caller.carrier == Carrier::Poll {
                    live.flush(&mut inner);
                } else {
                    self.touched.push(live.clone());
                }
                continue;
            }
            if caller.rides && !live.mount.config.connect_only && !inner.in_flight {
                let waiting = inner.session.take_waiting();
                inner.in_flight = !waiting.is_empty();
                drop(inner);
                self.after.push((live, waiting));
            }
        }
    }

    /// What a socket's sessions have to be sent once the replies are out.
    pub(crate) fn flush(&mut self) {
        for live in self.touched.drain(..) {
            live.flush(&mut live.lock());
        }
    }

    /// The body: messages, replies, messages that ride along. Empty if the request is held.
    pub(crate) fn body(&self) -> Vec<u8> {
        let mut out = vec![b'['];
        let mut part = |bytes: &[u8]| {
            if !bytes.is_empty() {
                if out.len() > 1 {
                    out.push(b',');
                }
                out.extend_from_slice(bytes);
            }
        };
        let inside = |(live, messages): &(Arc<Live>, Vec<Queued>)| {
            let array = live.array(&live.lock(), messages, &[]);
            live.count(messages, array.len());
            array
        };
        let stripped = |array: &[u8]| array.get(1..array.len() - 1).unwrap_or_default().to_vec();
        self.before.iter().for_each(|carried| part(&stripped(&inside(carried))));
        part(self.replies.as_bytes());
        self.after.iter().for_each(|carried| part(&stripped(&inside(carried))));
        out.push(b']');
        out
    }

    /// What the body carries, to be put back if it cannot be written.
    pub(crate) fn into_carried(self) -> Vec<(Arc<Live>, Vec<Queued>)> {
        self.before.into_iter().chain(self.after).collect()
    }
}

fn one(
    mount: &Arc<Mount>,
    message: &Inbound<'_>,
    (alone, said): (bool, Option<&Said>),
    caller: &Caller<'_>,
    outcome: &mut Outcome,
) {
    let Some(channel) = message.channel() else {
        return machine::reject(message, "", &Fault::ChannelMissing, &mut outcome.replies);
    };
    let Some(id) = message.client_id() else {
        return sessionless(mount, &channel, message, caller, outcome);
    };
    let live = mount.directory.get(&id);
    let mode = mount.cookie().mode;
    let live = live.filter(|live| cookie::may_speak(mode, caller.browser, live.browser.as_deref()));
    match live {
        Some(live) => speak(&live, &channel, message, (alone, said), caller, outcome),
        None => machine::reject(message, &channel, &Fault::SessionUnknown, &mut outcome.replies),
    }
}

/// One message of a session.
fn speak(
    live: &Arc<Live>,
    channel: &str,
    message: &Inbound<'_>,
    (alone, said): (bool, Option<&Said>),
    caller: &Caller<'_>,
    outcome: &mut Outcome,
) {
    let mut guard = live.lock();
    let inner = &mut *guard;
    let connects = channel == "/meta/connect";
    let may_hold = !connects || live.may_hold(inner);
    let context =
        Context { now: live.mount.clock.now(), wall: Clock::wall(), alone, carrier: caller.carrier, may_hold };
    if connects {
        match caller.link {
            Some(link) => live.attach(inner, link),
            None if message.connection_type().as_deref() != Some("eventsource") => inner.link = None,
            None => {}
        }
    }
    let Some(bus) = &inner.bus else {
        return machine::reject(message, channel, &Fault::SessionUnknown, &mut outcome.replies);
    };
    let mut host = BusHost { live, bus, shown: Vec::new(), answers: Vec::new(), judged: said };
    let mut effects = Effects::default();
    inner.order.passed(message.id());
    inner.session.handle(message, &context, &mut host, &mut outcome.replies, &mut effects);
    let BusHost { shown, answers, .. } = host;
    live.show(inner, shown);
    for answer in answers {
        live.push(inner, Queued::Own(answer));
    }
    if effects.superseded {
        live.supersede(inner);
    }
    if effects.held && caller.carrier == Carrier::Poll {
        if let Some(direct) = caller.direct {
            live.park(inner, direct);
            outcome.parked = true;
        } else {
            let (hold, wake) = live.wait(inner);
            outcome.held = Some(Held { live: live.clone(), hold, wake });
        }
    }
    if connects {
        inner.in_flight = !effects.messages.is_empty();
    }
    if !effects.messages.is_empty() {
        outcome.before.push((live.clone(), effects.messages));
    }
    if let Some(reason) = effects.ended {
        live.finish(inner, reason);
    }
    live.settle(inner);
    drop(guard);
    if effects.ended.is_none() && !outcome.touched.iter().any(|known| Arc::ptr_eq(known, live)) {
        outcome.touched.push(live.clone());
    }
}

/// A message without a client id: a publication by a trusted caller, or an error.
fn sessionless(mount: &Arc<Mount>, channel: &str, message: &Inbound<'_>, caller: &Caller<'_>, outcome: &mut Outcome) {
    let result = if caller.trusted && !channel.starts_with("/meta/") {
        machine::publish(channel, message, &mut AnonymousHost(mount))
    } else {
        Err(Fault::SessionUnknown)
    };
    match result {
        Ok(()) => outcome.replies.push(&Reply { channel, id: message.id(), ..Reply::default() }),
        Err(fault) => machine::reject(message, channel, &fault, &mut outcome.replies),
    }
}

fn shake_hands(mount: &Arc<Mount>, message: &Inbound<'_>, caller: &Caller<'_>, outcome: &mut Outcome) {
    let agreed = admit(mount)
        .map_err(|fault| (fault, RETRY_LATER))
        .and_then(|()| caller.judged.as_ref().map_err(turned_away))
        .and_then(|rights| {
            let agreed = handshake::negotiate(message, &mount.terms).map_err(|fault| (fault, Advice::NONE))?;
            let guest = mount.access.limits().enter(mount.connector, rights.user()).map_err(limited)?;
            Ok((agreed, rights.clone(), guest))
        });
    let (now, wall) = (mount.clock.now(), Clock::wall());
    let stamp = (message.has_timestamp() || mount.terms.timestamp).then(|| timestamp::format(wall));
    let reply = Reply {
        channel: "/meta/handshake",
        id: message.id(),
        connection_types: Some(&mount.terms.connection_types),
        timestamp: stamp.as_deref(),
        ..Reply::default()
    };
    let (agreed, rights, guest) = match agreed {
        Ok(agreed) => agreed,
        Err((fault, advice)) => {
            return outcome.replies.push(&Reply { fault: Some(&fault), advice: Some(advice), ..reply });
        }
    };
    let browser = browser_of(mount, caller, outcome);
    let Some(id) = random_id().map(Arc::<str>::from) else {
        let fault = Fault::HandshakeDenied("no_entropy");
        return outcome.replies.push(&Reply { fault: Some(&fault), advice: Some(RETRY_LATER), ..reply });
    };
    let session = Session::new(id.clone(), mount.terms.clone(), agreed, now);
    let advice = session.advice(true);
    let config = SessionConfig { user: rights.user().cloned(), ..SessionConfig::client(id.clone(), mount.connector) };
    let live = Live::new(mount.clone(), session, browser, rights, guest);
    let bus = mount.bus.open_session(config, live.clone());
    let mut inner = live.lock();
    inner.bus = Some(bus);
    if let Some(link) = caller.link {
        live.attach(&mut inner, link);
    }
    inner.order.passed(message.id());
    mount.directory.insert(id.clone(), live.clone());
    let ends = Arc::downgrade(&live);
    let expire = move || ends.upgrade().iter().for_each(|live| end(live, EndReason::Expired));
    if let Some(watch) = mount.access.watch(&live.rights, expire) {
        let _ = live.watch.set(watch); // nobody else has seen the session yet
    }
    live.settle(&mut inner);
    drop(inner);
    let timesync = timesync::Request::read(message.ext().timesync, wall).and_then(|request| request.answer(0));
    let ext = Ext { ack_on: agreed.ack, ack: None, replay_on: agreed.replay, timesync };
    outcome.replies.push(&Reply { client_id: Some(&id), advice: Some(advice), ext, ..reply });
}

/// A flood is told to come back later, not to stay away.
const RETRY_LATER: Advice =
    Advice { reconnect: Reconnect::Handshake, interval: Some(5000), timeout: None, multiple_clients: false };

/// The error string of one who is not let in, and whether to come back.
fn turned_away(refusal: &Refusal) -> (Fault, Advice) {
    match refusal {
        Refusal::Limited(limit) => limited(*limit),
        Refusal::Unavailable => (Fault::HandshakeDenied(refusal.word()), RETRY_LATER),
        _ => (Fault::HandshakeDenied(refusal.word()), Advice::NONE),
    }
}

fn limited(limit: Limit) -> (Fault, Advice) {
    let fault = Fault::Limited { what: "handshake_denied", limit: limit.label(), general: limit.is_general() };
    (fault, RETRY_LATER)
}

fn admit(mount: &Mount) -> Result<(), Fault> {
    if mount.directory.len() >= mount.config.limits.sessions {
        return Err(Fault::HandshakeDenied("too_many_sessions"));
    }
    if !mount.handshakes.take(mount.clock.now()) {
        return Err(Fault::HandshakeDenied("rate_limit"));
    }
    Ok(())
}

/// The browser of a new session: known by its cookie, or given one now, where the answer can carry it.
fn browser_of(mount: &Mount, caller: &Caller<'_>, outcome: &mut Outcome) -> Option<Arc<str>> {
    if mount.cookie().mode == CookieMode::Off {
        return None;
    }
    if let Some(known) = caller.browser {
        return Some(known.into());
    }
    if caller.link.is_some() {
        return None;
    }
    let value = random_id()?;
    outcome.cookie = Some(cookie::set(&value, mount.cookie()));
    Some(value.into())
}

/// 160 random bits: nobody guesses it. `None` if the system has none to give.
pub(crate) fn random_id() -> Option<String> {
    const DIGITS: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes).ok()?;
    Some(bytes.iter().filter_map(|byte| DIGITS.get(usize::from(byte & 31))).map(|digit| char::from(*digit)).collect())
}

/// Ends a session from outside, as when its socket could not keep up.
pub(crate) fn end(live: &Live, reason: EndReason) {
    let mut inner = live.lock();
    if inner.session.ended().is_none() {
        live.finish(&mut inner, reason);
    }
}

/// Waits while the fan-out is behind: publishers are slowed down by the late reply, and order is kept.
pub(crate) async fn admission(mount: &Mount) {
    if mount.bus.admission().now_or_never().is_none() {
        mount.bus.admission().await;
    }
}
