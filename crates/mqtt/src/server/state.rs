//! What a client's session is at this moment: its machine, its connection if it has one, and what waits.

use std::{
    cell::RefCell,
    collections::{HashMap, VecDeque},
    io,
    sync::{Arc, LazyLock},
    time::Instant,
};

use bytes::Bytes;
use ratatosk_connector::{
    upstream::hops,
    websocket::{Opcode, put_frame},
};
use ratatosk_core::{
    Backlog, Delivered, EndReason, Form, Message, Run,
    peer::{Grant, Share},
    stats::DropReason,
};

use super::{
    Shared,
    client::Client,
    each::Each,
    keeper::Kept,
    outlet::Outlet,
    parcel::{Orphans, Parcel},
    scratch::Scratch,
    wire::{End, Framing, Wire},
};
use crate::{
    mapping::{self, CONNECTOR},
    proto::{
        codec::{MAX_PACKET, ReasonCode, TemplateKind, Will},
        session::{Bounds, Item, Machine, Tally, WhenFull},
    },
};

/// Bytes gathered for one write.
const GATHER: usize = 128 << 10;
/// Retained messages that may wait for one client, beyond its queue: they are the gateway's own in any case.
const MOST_BACKFILL: usize = 1 << 18;

struct WebSocketForms {
    v3: Form,
    v5: Form,
}

static WEBSOCKET_FORMS: LazyLock<WebSocketForms> = LazyLock::new(|| WebSocketForms {
    v3: Form::register("mqtt.3.qos0.websocket"),
    v5: Form::register("mqtt.5.qos0.websocket"),
});

/// Another gateway that joined as a client.
#[derive(Debug)]
pub(super) struct PeerGateway {
    pub(super) id: Box<str>,
}

pub(super) struct State {
    pub(super) machine: Machine<Parcel>,
    pub(super) wire: Option<Arc<Wire>>,
    pub(super) outlet: Outlet,
    pub(super) will: Option<Box<Will>>,
    /// Present if overlapping subscriptions get a message each.
    pub(super) each: Option<Box<Each>>,
    /// A SUBSCRIBE is being worked on: what is live waits, so that retained messages come first.
    pub(super) subscribing: bool,
    /// Counts connections and disconnections: what was put on the agenda for an earlier one is void.
    pub(super) epoch: u64,
    /// Messages dropped while the client was away.
    pub(super) lost: u64,
    /// How a session that outlives its connection stands with the store.
    pub(super) kept: Option<Box<Kept>>,
    /// It has ended: nothing is delivered any more.
    pub(super) gone: bool,
    /// The client is a gateway: what it gets says which gateways that passed.
    pub(super) peer: Option<Box<PeerGateway>>,
    /// Retained messages for new subscriptions, while there are some.
    #[expect(clippy::box_collection, reason = "an idle session pays 8 bytes for it instead of 32")]
    backfill: Option<Box<VecDeque<Item<Parcel>>>>,
}

impl State {
    pub(super) fn new(bounds: Bounds, each: bool) -> Self {
        Self {
            machine: Machine::new(bounds),
            wire: None,
            outlet: Outlet::default(),
            will: None,
            each: each.then(Box::default),
            subscribing: false,
            epoch: 0,
            lost: 0,
            kept: None,
            gone: false,
            peer: None,
            backfill: None,
        }
    }

    /// Whether this is the present connection.
    pub(super) fn is_on(&self, wire: &Arc<Wire>) -> bool {
        self.wire.as_ref().is_some_and(|present| Arc::ptr_eq(present, wire))
    }

    fn is_held(&self) -> bool {
        self.subscribing || self.backfill.is_some()
    }

    /// Retained messages for a new subscription. Answers how many there was no room for.
    pub(super) fn push_backfill(&mut self, items: impl Iterator<Item = Item<Parcel>>) -> u64 {
        let mut refused = 0;
        for item in items {
            let backfill = self.backfill.get_or_insert_default();
            if backfill.len() < MOST_BACKFILL {
                backfill.push_back(item);
            } else {
                refused += 1;
            }
        }
        refused
    }

    pub(super) fn forget_backfill(&mut self) {
        self.backfill = None;
        self.subscribing = false;
    }

    /// Takes a run from the bus: writes what the socket and the client's window take, keeps the rest.
    pub(super) fn deliver(&mut self, shared: &Shared, run: &mut Run<'_>) -> Delivered {
        match self.deliver_shared(shared, run) {
            Some(delivered) => delivered,
            None => self.deliver_each(shared, run),
        }
    }

    /// The hot path: every message of the run goes out at once, in bytes that all such clients share.
    fn deliver_shared(&mut self, shared: &Shared, run: &mut Run<'_>) -> Option<Delivered> {
        if self.is_held() || !self.outlet.is_clear() || self.each.is_some() || self.peer.is_some() {
            return None;
        }
        let wire = self.wire.as_ref()?;
        let (kind, max_packet) = self.machine.shares()?;
        if !run.iter().all(|(message, grant)| is_plain(message, grant, kind, max_packet)) {
            return None;
        }
        let frames = match (wire.framing, kind) {
            (Framing::Mqtt, _) => run.frames(mapping::form(kind), &|message| encode(shared, kind, message)),
            (Framing::WebSocket, TemplateKind::V3Qos0 | TemplateKind::V3Acked) => {
                run.frames(WEBSOCKET_FORMS.v3, &|message| in_frame(&encode(shared, kind, message)))
            }
            (Framing::WebSocket, _) => {
                run.frames(WEBSOCKET_FORMS.v5, &|message| in_frame(&encode(shared, kind, message)))
            }
        };
        let messages = u32::try_from(run.len()).unwrap_or(u32::MAX);
        let bytes = match self.outlet.write_frames(wire, frames) {
            Ok(bytes) => bytes,
            Err(_) => {
                wire.end(End::silent(EndReason::Io));
                return Some(Delivered::default());
            }
        };
        shared.counters.wrote(bytes, messages.into());
        if !self.outlet.is_clear() {
            wire.wake();
        }
        Some(Delivered { messages, bytes })
    }

    fn deliver_each(&mut self, shared: &Shared, run: &Run<'_>) -> Delivered {
        Scratch::with(|scratch| {
            let (now, mut tally) = (Instant::now(), Tally::default());
            let clear = self.outlet.is_clear() && !self.is_held();
            for (message, grant) in run.iter() {
                let Some(message) = &self.marked(shared, message) else { continue };
                mapping::count_loss(message, self.machine.is_v5(), shared.bus.stats());
                let mut copies = |item| {
                    let room = clear && scratch.len() < GATHER;
                    self.machine.deliver(item, now, room, scratch, &mut tally);
                };
                match &mut self.each {
                    Some(each) => each.copies(message, grant, copies),
                    None => copies(live(message, grant)),
                }
            }
            self.settle(shared, tally);
            let bytes = scratch.len() as u64;
            self.send(shared, scratch);
            if let Some(wire) = self.wire.as_ref().filter(|_| !self.outlet.is_clear() || self.machine.wants_pump()) {
                wire.wake();
            }
            Delivered { messages: tally.sent, bytes }
        })
    }

    /// The message as this client gets it: to a gateway with the mark of the gateways it passed. `None` if that gateway is among
    /// them, so that it would only find a loop.
    pub(super) fn marked(&self, shared: &Shared, message: &Arc<Message>) -> Option<Arc<Message>> {
        let Some(peer) = &self.peer else { return Some(message.clone()) };
        if message.origin.has_passed(&peer.id) {
            shared.bus.stats().dropped(*CONNECTOR, DropReason::Loop, 1);
            return None;
        }
        let mark = hops::with_this(message, shared.bus.gateway_id());
        Some(Arc::new(message.with_property(hops::NAME, &mark)))
    }

    /// Takes a run while the client is away. What came by a shared subscription goes on to a member that is there.
    pub(super) fn deliver_away(&mut self, client: &Client, run: &Run<'_>, orphans: &mut Orphans) -> Delivered {
        let (now, mut tally) = (Instant::now(), Tally::default());
        for (message, grant) in run.iter() {
            let Some(message) = &self.marked(&client.shared, message) else { continue };
            match &grant.share {
                Some(share) if self.gone || client.is_replaceable(share) => orphans.push(share, message),
                _ => self.machine.deliver(live(message, grant), now, false, &mut Vec::new(), &mut tally),
            }
        }
        self.settle(&client.shared, tally);
        Delivered::default()
    }

    /// Takes what came by shared subscriptions, and need not wait for this client, out of its hands.
    pub(super) fn withdraw_shared(&mut self, client: &Client, orphans: &mut Orphans) {
        let gone = self.gone;
        // Each shared subscription is asked for once, not once for each of its messages.
        let asked: RefCell<HashMap<Arc<Share>, bool>> = RefCell::default();
        let replaceable = |share: &Arc<Share>| {
            *asked.borrow_mut().entry(share.clone()).or_insert_with(|| gone || client.is_replaceable(share))
        };
        orphans.extend(self.machine.withdraw(gone, |parcel| parcel.share.as_ref().is_some_and(replaceable)));
    }

    /// Writes what waits as far as it goes: bytes, then retained messages, then what is in flight or queued.
    /// True once the socket has taken all that may be sent now.
    pub(super) fn flush(&mut self, shared: &Shared) -> io::Result<bool> {
        loop {
            let Some(wire) = &self.wire else { return Ok(true) };
            if !self.outlet.flush(wire)? {
                return Ok(false);
            }
            if wire.framing == Framing::WebSocket {
                let control = wire.take_control();
                self.outlet.write(wire, &control)?;
            }
            if self.subscribing {
                return Ok(true);
            }
            let done = Scratch::with(|scratch| {
                let (now, mut tally) = (Instant::now(), Tally::default());
                self.fill(now, scratch, &mut tally);
                shared.bus.stats().delivered(*CONNECTOR, tally.sent.into(), tally.bytes);
                self.settle(shared, tally);
                let done = scratch.is_empty();
                self.send(shared, scratch);
                done
            });
            if done {
                return Ok(self.outlet.is_clear());
            }
        }
    }

    fn fill(&mut self, now: Instant, scratch: &mut Scratch, tally: &mut Tally) {
        if let Some(backfill) = &mut self.backfill {
            while scratch.len() < GATHER {
                let Some(item) = backfill.pop_front() else { break };
                if let Some(item) = self.machine.deliver_first(item, now, scratch, tally) {
                    backfill.push_front(item);
                    return;
                }
            }
        }
        if self.backfill.as_ref().is_none_or(|backfill| backfill.is_empty()) {
            self.backfill = None;
            let room = GATHER.saturating_sub(scratch.len()) as u64;
            self.machine.pump(now, room, scratch, tally);
        }
    }

    /// Answers of the connection's own: they go out before anything that waits but is not yet bytes.
    pub(super) fn answer(&mut self, shared: &Shared, packets: &[u8], count: u64) -> io::Result<()> {
        let Some(wire) = &self.wire else { return Ok(()) };
        shared.counters.wrote(packets.len() as u64, count);
        match wire.framing {
            Framing::Mqtt => self.outlet.write(wire, packets),
            Framing::WebSocket => self.outlet.write(wire, &wire.framed(packets)),
        }
    }

    fn send(&mut self, shared: &Shared, scratch: &mut Scratch) {
        let Some(wire) = self.wire.as_ref().filter(|_| !scratch.is_empty()) else { return };
        if self.outlet.write(wire, scratch.framed(wire.framing)).is_err() {
            wire.end(End::silent(EndReason::Io));
        }
        shared.counters.wrote(scratch.len() as u64, 1);
        scratch.clear();
    }

    /// What waits for the client.
    pub(super) fn backlog(&self) -> Backlog {
        let backfill = self.backfill.as_ref().map_or(0, |backfill| backfill.len());
        Backlog { messages: self.machine.depth().0 + backfill, bytes: self.machine.queued_bytes() + self.outlet.len() }
    }

    /// Memory is short: a client that is there, and may not lose messages, is sent away; others lose half of what waits.
    pub(super) fn relieve(&mut self, shared: &Shared) {
        if self.wire.is_some() && shared.settings.bounds.when_full == WhenFull::Disconnect {
            return self.settle(shared, Tally { overflow: true, ..Tally::default() });
        }
        let full = self.machine.shed();
        self.settle(shared, Tally { full, ..Tally::default() });
    }

    /// Counts what was not delivered, and ends a connection that must not fall further behind.
    fn settle(&mut self, shared: &Shared, tally: Tally) {
        let stats = shared.bus.stats();
        let full = if self.wire.is_some() { DropReason::Slow } else { DropReason::QueueFull };
        for (reason, count) in
            [(DropReason::Expired, tally.expired), (DropReason::TooLarge, tally.too_large), (full, tally.full)]
        {
            if count > 0 {
                stats.dropped(*CONNECTOR, reason, count.into());
            }
        }
        if self.wire.is_none() {
            self.lost += u64::from(tally.full);
        }
        if let (true, Some(wire)) = (tally.overflow, &self.wire) {
            wire.end(End::told(EndReason::Slow, ReasonCode::QUOTA_EXCEEDED));
        }
    }
}

/// How a live message goes to a subscription.
pub(super) fn live(message: &Arc<Message>, grant: &Grant) -> Item<Parcel> {
    Item {
        message: Parcel { message: message.clone(), share: grant.share.clone() },
        qos: mapping::from_core(message.qos.min(grant.qos)),
        retain: message.retain && grant.retain_as_published,
        ids: grant.ids.clone(),
    }
}

/// Whether a delivery has nothing of its own: no packet identifier, subscription identifier, flag or expiry.
fn is_plain(message: &Message, grant: &Grant, kind: TemplateKind, max_packet: u32) -> bool {
    const HEADERS: usize = 16;
    let qos_0 = message.qos.min(grant.qos) == ratatosk_core::Qos::AtMostOnce;
    let flagged = message.retain && grant.retain_as_published;
    let identified = grant.ids.is_some() && kind == TemplateKind::V5Qos0;
    let fits = max_packet == MAX_PACKET
        || (message.extras().is_none()
            && message.payload.len() + message.channel.as_str().len() + HEADERS <= max_packet as usize);
    qos_0 && !flagged && !identified && message.expires.is_none() && fits
}

fn encode(shared: &Shared, kind: TemplateKind, message: &Message) -> Bytes {
    mapping::count_loss(message, matches!(kind, TemplateKind::V5Qos0 | TemplateKind::V5Acked), shared.bus.stats());
    mapping::encode(kind, message)
}

fn in_frame(packet: &[u8]) -> Bytes {
    let mut frame = Vec::with_capacity(packet.len() + 10);
    if !packet.is_empty() {
        put_frame(&mut frame, Opcode::Binary, packet);
    }
    frame.into()
}
