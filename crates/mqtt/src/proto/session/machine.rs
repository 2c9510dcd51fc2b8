use std::{num::NonZeroU16, time::Instant};

use super::{
    Bounds, Fault, Item, Link, Outgoing, Past, Tally,
    alias::{AliasesIn, AliasesOut},
    flight::{Flights, Resend},
    queue::{Pushed, Queue},
    traffic::Traffic,
};
use crate::proto::codec::{
    Ack, Auth, Copy, Disconnect, Packet, Publish, Qos, ReasonCode, Sink, Subscribe, TemplateKind, Unsubscribe, Version,
    encode,
};

/// What a packet asks of the server beyond the answer that was written at once.
#[derive(Debug, PartialEq)]
pub enum Event {
    /// Nothing.
    None,
    /// Publish this; then call [`Machine::published`]. The topic is never empty.
    Publish(Box<Publish>),
    /// Subscribe, and answer with SUBACK.
    Subscribe(Subscribe),
    /// Unsubscribe, and answer with UNSUBACK.
    Unsubscribe(Unsubscribe),
    /// The client leaves.
    Disconnect {
        /// Whether its will is to be published all the same.
        will: bool,
        /// Whether anything but a plain goodbye was said.
        reason: ReasonCode,
    },
    /// A step of an enhanced authentication, under the method of CONNECT.
    Auth(Auth),
}

/// The session of one client.
#[derive(Debug)]
pub struct Machine<M> {
    link: Option<Link>,
    bounds: Bounds,
    /// Made when first needed: most sessions have nothing in flight and nothing that waits.
    traffic: Option<Box<Traffic<M>>>,
}

impl<M: Outgoing> Machine<M> {
    /// A session without a connection and without a past.
    #[must_use]
    pub fn new(bounds: Bounds) -> Self {
        Self { link: None, bounds, traffic: None }
    }

    /// A session without a connection that goes on where another life of it ended.
    #[must_use]
    pub fn resume(bounds: Bounds, past: Past<M>) -> Self {
        let mut queue = Queue::new(bounds);
        for item in past.waiting {
            queue.push(item);
        }
        let traffic = Traffic { flights: Flights::resume(past.flights), queue, received: past.received };
        Self { link: None, bounds, traffic: Some(Box::new(traffic)) }
    }

    /// What another life of this session would have to know.
    #[must_use]
    pub fn past(&self) -> Past<M> {
        let Some(Traffic { flights, queue, received }) = self.traffic.as_deref() else { return Past::default() };
        let waiting = queue.acked().cloned().collect();
        Past { flights: flights.list(), waiting, received: received.clone() }
    }

    fn traffic(&mut self) -> &mut Traffic<M> {
        Traffic::of(&mut self.traffic, self.bounds)
    }

    /// The present connection.
    #[must_use]
    pub fn link(&self) -> Option<&Link> {
        self.link.as_ref()
    }

    /// How many messages wait and how many are in flight.
    #[must_use]
    pub fn depth(&self) -> (usize, usize) {
        self.traffic.as_ref().map_or((0, 0), |traffic| (traffic.queue.len(), traffic.flights.len()))
    }

    /// How many bytes wait.
    #[must_use]
    pub fn queued_bytes(&self) -> usize {
        self.traffic.as_ref().map_or(0, |traffic| traffic.queue.bytes())
    }

    /// Memory is short: half of what waits is given up, QoS 0 before others. Says how many messages that were.
    pub fn shed(&mut self) -> u32 {
        self.traffic.as_mut().map_or(0, |traffic| traffic.queue.shed())
    }

    /// A connection takes the session; the next [`Machine::pump`] resends what is in flight, in order.
    pub fn connect(&mut self, link: Link) {
        self.disconnect();
        self.link = Some(link);
    }

    /// The connection is gone. What is in flight and waits with QoS 1 and 2 stays.
    pub fn disconnect(&mut self) -> Option<Link> {
        let link = self.link.take();
        if let Some(traffic) = &mut self.traffic {
            traffic.flights.ground();
            traffic.queue.forget_plain();
            if traffic.is_idle() {
                self.traffic = None;
            }
        }
        link
    }

    /// Takes out messages that `which` names and that this client does not have yet, oldest first: those that wait, and with
    /// `unacknowledged` also those sent with QoS 1. What was begun with QoS 2 stays.
    pub fn withdraw(&mut self, unacknowledged: bool, which: impl Fn(&M) -> bool) -> Vec<M> {
        let Some(traffic) = &mut self.traffic else { return Vec::new() };
        let mut taken = if unacknowledged { traffic.flights.withdraw(&which) } else { Vec::new() };
        taken.extend(traffic.queue.withdraw(&which));
        taken
    }

    /// Takes a packet from the client. What must be answered at once is written to `out`.
    ///
    /// # Errors
    /// [`Fault`]: the connection is to be closed with its reason.
    pub fn receive(&mut self, packet: Packet, out: &mut impl Sink) -> Result<Event, Fault> {
        let Some(version) = self.link.as_ref().map(|link| link.version) else { return Ok(Event::None) };
        match packet {
            Packet::Publish(publish) => return self.publish(publish, version, out),
            Packet::Puback(ack) => self.traffic().flights.acked(ack.packet_id)?,
            Packet::Pubrec(ack) => self.pubrec(&ack, version, out)?,
            Packet::Pubrel(ack) => self.pubrel(ack.packet_id, version, out),
            Packet::Pubcomp(ack) => self.traffic().flights.completed(ack.packet_id)?,
            Packet::Subscribe(subscribe) => return Ok(Event::Subscribe(subscribe)),
            Packet::Unsubscribe(unsubscribe) => return Ok(Event::Unsubscribe(unsubscribe)),
            Packet::Pingreq => put(&Packet::Pingresp, version, out),
            Packet::Disconnect(disconnect) => return self.goodbye(&disconnect),
            Packet::Auth(auth) => return self.auth(auth),
            Packet::Connect(_) => return Err(Fault::SecondConnect),
            // The decoder lets none of these through.
            Packet::Connack(_) | Packet::Suback(_) | Packet::Unsuback(_) | Packet::Pingresp => {}
        }
        Ok(Event::None)
    }

    /// Takes the plain PUBACKs that received bytes begin with, without making packets of them: most of what a subscriber with
    /// QoS 1 sends. Answers how many bytes they were; what follows is for the decoder.
    ///
    /// # Errors
    /// [`Fault`]: the connection is to be closed with its reason.
    pub fn acknowledge(&mut self, bytes: &[u8]) -> Result<usize, Fault> {
        const PUBACK: u8 = 0x40;
        let (mut rest, mut taken) = (bytes, 0);
        while let [PUBACK, 2, high, low, next @ ..] = rest
            && let Some(id) = NonZeroU16::new(u16::from_be_bytes([*high, *low]))
        {
            self.traffic().flights.acked(id)?;
            (rest, taken) = (next, taken + 4);
        }
        Ok(taken)
    }

    /// Answers a publication of the client's that was handed out as [`Event::Publish`].
    pub fn published(&mut self, qos: Qos, id: Option<NonZeroU16>, reason: ReasonCode, out: &mut impl Sink) {
        let (Some(link), Some(id)) = (&self.link, id) else { return };
        // Before MQTT 5 a publication cannot be refused: it is acknowledged and dropped.
        let reason = if link.version.is_v5() { reason } else { ReasonCode::SUCCESS };
        let version = link.version;
        match qos {
            Qos::AtMostOnce => {}
            Qos::AtLeastOnce => put(&Packet::Puback(Ack::new(id, reason)), version, out),
            Qos::ExactlyOnce => {
                let received = &mut self.traffic().received;
                if !reason.is_failure()
                    && let Err(at) = received.binary_search(&id.get())
                {
                    received.insert(at, id.get());
                }
                put(&Packet::Pubrec(Ack::new(id, reason)), version, out);
            }
        }
    }

    /// Whether the client that is there speaks MQTT 5.
    #[must_use]
    pub fn is_v5(&self) -> bool {
        self.link.as_ref().is_some_and(|link| link.version.is_v5())
    }

    /// Whether a QoS 0 message may be written at once, as shared bytes of this form: nothing waits before it,
    /// and this client is given no topic aliases.
    #[must_use]
    pub fn shares(&self) -> Option<(TemplateKind, u32)> {
        let link = self.link.as_ref()?;
        let plain =
            link.aliases_out.is_none() && self.traffic.as_ref().is_none_or(|traffic| !traffic.queue.has_plain());
        plain.then(|| (TemplateKind::of(link.version, Qos::AtMostOnce), link.max_packet))
    }

    /// Delivers a message: writes it, or lets it wait. `room` is whether the socket takes more.
    pub fn deliver(&mut self, item: Item<M>, now: Instant, room: bool, out: &mut impl Sink, tally: &mut Tally) {
        let acked = item.qos != Qos::AtMostOnce;
        let traffic = self.traffic.as_deref();
        let may_go = |link: &Link| match traffic {
            Some(traffic) if acked => !traffic.queue.has_acked() && traffic.flights.open(link.window),
            Some(traffic) => !traffic.queue.has_plain(),
            None => true,
        };
        let write_now = room && self.link.as_ref().is_some_and(may_go);
        if write_now {
            self.send(item, now, out, tally);
        } else if acked || self.link.is_some() {
            match self.traffic().queue.push(item) {
                Pushed::Queued => {}
                Pushed::Dropped(count) => tally.full += count,
                Pushed::Overflow => {
                    tally.full += 1;
                    tally.overflow = true;
                }
            }
        }
    }

    /// Delivers a message before all that waits: a retained one, for a new subscription. Gives it back if the
    /// client's window is closed.
    #[must_use]
    pub fn deliver_first(
        &mut self,
        item: Item<M>,
        now: Instant,
        out: &mut impl Sink,
        tally: &mut Tally,
    ) -> Option<Item<M>> {
        let window = self.link.as_ref()?.window;
        if item.qos != Qos::AtMostOnce && !self.traffic().flights.open(window) {
            return Some(item);
        }
        self.send(item, now, out, tally);
        None
    }

    /// Whether [`Machine::pump`] has something to do, were there room in the socket.
    #[must_use]
    pub fn wants_pump(&self) -> bool {
        let (Some(link), Some(traffic)) = (&self.link, &self.traffic) else { return false };
        traffic.queue.has_plain()
            || traffic.flights.has_unsent()
            || (traffic.queue.has_acked() && traffic.flights.open(link.window))
    }

    /// Writes what waits, as far as the client's window allows and until about `room` bytes are written:
    /// first what was in flight on an earlier connection, with DUP, then the queue.
    pub fn pump(&mut self, now: Instant, room: u64, out: &mut impl Sink, tally: &mut Tally) {
        let Some((window, version)) = self.link.as_ref().map(|link| (link.window, link.version)) else { return };
        let start = tally.bytes;
        while tally.bytes - start < room {
            let Some(traffic) = &mut self.traffic else { return };
            match traffic.flights.resend(window) {
                Resend::Publish(id, item) => self.resend(id, &item, now, out, tally),
                Resend::Release(id) => put(&Packet::Pubrel(Ack::new(id, ReasonCode::SUCCESS)), version, out),
                Resend::Later => return,
                Resend::Nothing => match traffic.queue.pop(traffic.flights.open(window)) {
                    Some(item) => self.send(item, now, out, tally),
                    None => return,
                },
            }
        }
    }

    fn send(&mut self, item: Item<M>, now: Instant, out: &mut impl Sink, tally: &mut Tally) {
        let Some(link) = &mut self.link else { return };
        let expiry = item.message.expires_in(now);
        if expiry == Some(0) {
            tally.expired += 1;
            return;
        }
        let Some(template) = item.message.template(TemplateKind::of(link.version, item.qos)) else {
            tally.too_large += 1;
            return;
        };
        let ids = item.ids.clone();
        let mut copy = Copy {
            qos: item.qos,
            retain: item.retain,
            expiry,
            subscription_ids: ids.as_deref().unwrap_or_default(),
            ..Copy::default()
        };
        // Judged without an alias: one that is never sent must not be given.
        if template.len_of(&copy) > link.max_packet as usize {
            tally.too_large += 1;
            return;
        }
        name_topic(link.aliases_out.as_deref_mut(), item.message.topic(), &mut copy);
        if template.len_of(&copy) > link.max_packet as usize {
            // The three bytes of a new alias were too many; it was not sent, so it must be forgotten.
            (copy.alias, copy.omit_topic) = (None, false);
            link.aliases_out = None;
        }
        tally.sent += 1;
        tally.bytes += template.len_of(&copy) as u64;
        if item.qos != Qos::AtMostOnce {
            copy.packet_id = Some(Traffic::of(&mut self.traffic, self.bounds).flights.start(item));
        }
        template.write(&copy, out);
    }

    fn resend(&mut self, id: NonZeroU16, item: &Item<M>, now: Instant, out: &mut impl Sink, tally: &mut Tally) {
        let Some(link) = &self.link else { return };
        let template = item.message.template(TemplateKind::of(link.version, item.qos));
        let copy = Copy {
            qos: item.qos,
            dup: true,
            retain: item.retain,
            packet_id: Some(id),
            // What was sent once does not expire any more (MQTT 5, 4.3.3-7).
            expiry: item.message.expires_in(now),
            subscription_ids: item.ids(),
            ..Copy::default()
        };
        match template {
            Some(template) if template.len_of(&copy) <= link.max_packet as usize => {
                tally.sent += 1;
                tally.bytes += template.len_of(&copy) as u64;
                template.write(&copy, out);
            }
            _ => {
                tally.too_large += 1;
                self.traffic().flights.finish(id);
            }
        }
    }

    fn publish(&mut self, mut publish: Box<Publish>, version: Version, out: &mut impl Sink) -> Result<Event, Fault> {
        let Some(link) = &mut self.link else { return Ok(Event::None) };
        if let Some(alias) = publish.properties.topic_alias {
            let aliases = link.aliases_in.get_or_insert_with(|| Box::new(AliasesIn::default()));
            aliases.resolve(alias, link.alias_maximum, &mut publish.topic)?;
        }
        if let (Qos::ExactlyOnce, Some(id)) = (publish.qos, publish.packet_id) {
            let received = &Traffic::of(&mut self.traffic, self.bounds).received;
            if received.binary_search(&id.get()).is_ok() {
                put(&Packet::Pubrec(Ack::new(id, ReasonCode::SUCCESS)), version, out);
                return Ok(Event::None);
            }
            if received.len() >= usize::from(link.receive_maximum) {
                return Err(Fault::ReceiveMaximum);
            }
        }
        Ok(Event::Publish(publish))
    }

    fn pubrec(&mut self, ack: &Ack, version: Version, out: &mut impl Sink) -> Result<(), Fault> {
        if ack.reason.is_failure() {
            self.traffic().flights.finish(ack.packet_id);
            return Ok(());
        }
        let known = self.traffic().flights.received(ack.packet_id)?;
        let reason = if known || !version.is_v5() { ReasonCode::SUCCESS } else { ReasonCode::PACKET_ID_NOT_FOUND };
        put(&Packet::Pubrel(Ack::new(ack.packet_id, reason)), version, out);
        Ok(())
    }

    fn pubrel(&mut self, id: NonZeroU16, version: Version, out: &mut impl Sink) {
        let received = &mut self.traffic().received;
        let found = received.binary_search(&id.get());
        let mut reason = ReasonCode::SUCCESS;
        match found {
            Ok(at) => drop(received.remove(at)),
            Err(_) if version.is_v5() => reason = ReasonCode::PACKET_ID_NOT_FOUND,
            Err(_) => {}
        }
        if received.is_empty() {
            *received = Vec::new();
        }
        put(&Packet::Pubcomp(Ack::new(id, reason)), version, out);
    }

    fn goodbye(&mut self, disconnect: &Disconnect) -> Result<Event, Fault> {
        if let (Some(link), Some(expiry)) = (&mut self.link, disconnect.session_expiry) {
            if link.session_expiry == 0 && expiry > 0 {
                return Err(Fault::ExpiryRaised);
            }
            link.session_expiry = expiry;
        }
        Ok(Event::Disconnect { will: disconnect.reason != ReasonCode::SUCCESS, reason: disconnect.reason })
    }

    fn auth(&self, auth: Auth) -> Result<Event, Fault> {
        match self.link.as_ref().and_then(|link| link.auth_method.as_deref()) {
            None => Err(Fault::UnexpectedAuth),
            Some(method) if auth.method.as_ref() == Some(method) => Ok(Event::Auth(auth)),
            Some(_) => Err(Fault::AuthMethod),
        }
    }
}

fn name_topic(aliases: Option<&mut AliasesOut>, topic: &str, copy: &mut Copy<'_>) {
    // An alias costs three bytes: shorter topics gain nothing.
    if let Some(aliases) = aliases
        && topic.len() > 3
        && let Some((alias, known)) = aliases.name(topic)
    {
        (copy.alias, copy.omit_topic) = (Some(alias), known);
    }
}

/// Control packets that we make are always expressible.
fn put(packet: &Packet, version: Version, out: &mut impl Sink) {
    let written = encode(packet, version, out);
    debug_assert!(written.is_ok(), "{packet:?}");
}
