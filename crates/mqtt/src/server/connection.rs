//! One connection, from its first byte to its last: a small task that reads, and writes what waited.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use ratatosk_connector::{
    access::{Disapproved, Rights, Watch},
    limits::Guest,
};
use ratatosk_core::{Channel, EndReason, MonitorEvent, Publication, engine::Stored};
use tokio::time::Instant;

use super::{
    Shared,
    client::{Client, Received},
    handshake,
    inbound::{Inbound, Read},
    registry,
    wire::{End, Waited, Wire},
};
use crate::{
    mapping::{self, CONNECTOR},
    proto::{
        codec::{Auth, Packet, Publish, Qos, ReasonCode, Version, encode},
        session::{Event, Exchange, Fault, Step},
    },
};

/// Bytes that may wait for a socket while its client is still listened to.
const BACKLOG: usize = 256 << 10;
/// Reads before others have their turn.
const READS: usize = 8;
/// How long a closed connection may take to hear the last words.
const LINGER: Duration = Duration::from_millis(500);
/// A payload that is at least this part of what was read with it is not copied.
const SHARE: usize = 2;

/// What an acknowledgement waits for.
enum Waits {
    /// The engine.
    Stored(Stored),
    /// The publish authorizer.
    Approved(Box<Publication>),
}

/// Serves a connection to its end. `already` is what was read of it before.
///
/// The future is small: what a handshake needs is boxed, and given back when it is over.
pub(super) async fn run(shared: Arc<Shared>, wire: Arc<Wire>, already: Bytes) {
    let monitor = shared.bus.monitor().clone();
    monitor.emit(MonitorEvent::ConnectionOpened { connector: *CONNECTOR });
    let admitted = Box::pin(handshake::run(shared, wire.clone(), already)).await;
    let end = match admitted {
        Ok(connection) => connection.serve().await,
        Err(end) => end,
    };
    if let Some(fault) = end.fault {
        monitor.emit(MonitorEvent::ProtocolFault { connector: *CONNECTOR, fault });
    }
    monitor.emit(MonitorEvent::ConnectionClosed { connector: *CONNECTOR, reason: end.reason });
    wire.last_words();
    if end.reason != EndReason::Closed {
        Box::pin(linger(wire)).await;
    }
}

/// Reads until the client has closed too: a socket that is dropped with unread bytes resets the connection, and
/// the client may never see why.
async fn linger(wire: Arc<Wire>) {
    let drain = async {
        let mut rest = vec![0; 4096];
        while wire.socket.read(&mut rest).await.is_ok_and(|count| count > 0) {}
    };
    let _ = tokio::time::timeout(LINGER, drain).await; // long enough in any case
}

/// A connection whose client is in.
pub(super) struct Connection {
    pub(super) shared: Arc<Shared>,
    pub(super) wire: Arc<Wire>,
    pub(super) client: Arc<Client>,
    pub(super) inbound: Inbound,
    pub(super) version: Version,
    pub(super) rights: Rights,
    /// Subscriptions are No Local and Retain As Published: the client calls itself a bridge.
    pub(super) bridge: bool,
    /// Seconds; 0 for none.
    pub(super) keep_alive: u16,
    pub(super) rest: Rest,
}

/// The parts of a connection that few need.
#[derive(Default)]
pub(super) struct Rest {
    /// The channel published to last, and whether that is allowed: most clients publish to few.
    last: Option<(Channel, bool)>,
    /// A re-authentication under way.
    exchange: Option<Box<dyn Exchange>>,
    /// Acknowledgements that wait for the engine or for the publish authorizer, in order.
    unstored: Vec<(Acknowledge, Waits)>,
    /// The client has said goodbye, so that its will is void.
    goodbye: bool,
    /// Its hold on the limits. While it pauses, the client is not read.
    guest: Guest,
    /// Ends the connection when what let it in expires.
    _watch: Option<Watch>,
}

impl Rest {
    pub(super) fn new(watch: Option<Watch>, guest: Guest) -> Self {
        Self { _watch: watch, guest, ..Self::default() }
    }
}

struct Acknowledge {
    qos: Qos,
    id: Option<std::num::NonZeroU16>,
    reason: ReasonCode,
}

impl Connection {
    /// Serves the connection, and leaves its session in order.
    pub(super) async fn serve(mut self: Box<Self>) -> End {
        let end = match self.exchange_packets().await {
            Ok(never) => match never {},
            Err(end) => end,
        };
        registry::detach(&self.shared, &self.client, &self.wire, end, self.rest.goodbye);
        end
    }

    async fn exchange_packets(&mut self) -> Result<std::convert::Infallible, End> {
        let silence = match self.keep_alive {
            0 => Duration::from_secs(u64::from(u32::MAX)),
            seconds => Duration::from_millis(u64::from(seconds) * 1500),
        };
        let mut heard = Instant::now();
        // What came with CONNECT.
        let mut flushed = Box::pin(self.packets()).await?;
        let mut timer = std::pin::pin!(tokio::time::sleep_until(self.pause().unwrap_or(heard + silence)));
        loop {
            if let Some(end) = self.wire.ended() {
                return Err(end);
            }
            let reads = flushed.backlog <= BACKLOG && self.pause().is_none();
            let waited = self.wire.wait(reads, !flushed.clear, timer.as_mut()).await;
            match waited.map_err(|_| End::silent(EndReason::Io))? {
                // Boxed, so that an idle connection does not hold the memory of a busy one.
                Waited::Readable => {
                    if Box::pin(self.read()).await? {
                        heard = Instant::now();
                    }
                }
                Waited::Timer if self.rest.guest.end_pause() => {
                    heard = Instant::now();
                    flushed = Box::pin(self.packets()).await?;
                    timer.as_mut().reset(self.pause().unwrap_or(heard + silence));
                    continue;
                }
                Waited::Timer if heard + silence <= Instant::now() => return Err(End::from(EndReason::Timeout)),
                Waited::Timer => timer.as_mut().reset(heard + silence),
                Waited::Other => {}
            }
            if let Some(until) = self.pause() {
                timer.as_mut().reset(until);
            }
            flushed = self.client.flush(&self.wire, &[], 0).map_err(|_| End::silent(EndReason::Io))?;
        }
    }

    /// Reads until nothing is there. True if there was something.
    async fn read(&mut self) -> Result<bool, End> {
        for reads in 0.. {
            match self.read_once()? {
                Read::Blocked => return Ok(reads > 0),
                Read::Some if self.packets().await?.backlog > BACKLOG => return Ok(true),
                Read::Some if self.pause().is_some() => return Ok(true),
                Read::Some | Read::Done => {}
            }
            if reads % READS == READS - 1 {
                tokio::task::yield_now().await;
            }
            if let Some(end) = self.wire.ended() {
                return Err(end);
            }
        }
        Ok(true)
    }

    fn read_once(&mut self) -> Result<Read, End> {
        let Self { shared, client, wire, inbound, .. } = self;
        let mut refused = None;
        let read = inbound.read(wire, |bytes| match client.acknowledge(wire, bytes) {
            Ok(0) => 0,
            Ok(taken) => {
                shared.counters.read(taken, taken as u64 / 4);
                taken
            }
            Err(reason) => {
                refused = Some(reason);
                bytes.len()
            }
        })?;
        refused.map_or(Ok(read), |reason| Err(self.refused(reason)))
    }

    fn refused(&self, reason: Received) -> End {
        match reason {
            Received::Elsewhere => End::silent(EndReason::TakenOver),
            Received::Fault(fault) => self.fault(fault),
        }
    }

    /// Handles all packets of what was read, and sends the answers in one write.
    async fn packets(&mut self) -> Result<super::client::Flushed, End> {
        self.shared.bus.admission().await;
        let (mut answers, mut count) = (Vec::new(), 0);
        let result = self.handle(&mut answers, &mut count).await;
        self.acknowledge_stored(&mut answers).await;
        self.shared.counters.read(self.inbound.read, count);
        let flushed = self.client.flush(&self.wire, &answers, count).map_err(|_| End::silent(EndReason::Io));
        result?;
        flushed
    }

    async fn handle(&mut self, answers: &mut Vec<u8>, count: &mut u64) -> Result<(), End> {
        while self.pause().is_none()
            && let Some(packet) = self.inbound.next().map_err(|error| self.fault(error.into()))?
        {
            *count += 1;
            let event = self.client.receive(&self.wire, packet, answers).map_err(|reason| self.refused(reason))?;
            match event {
                Event::None => {}
                Event::Publish(publish) => self.publish(*publish, answers),
                Event::Subscribe(subscribe) => Box::pin(self.subscribe(subscribe, answers)).await,
                Event::Unsubscribe(unsubscribe) => self.unsubscribe(unsubscribe, answers),
                Event::Disconnect { will, reason } => {
                    self.rest.goodbye = !will;
                    tracing::trace!(client = &*self.client.id, %reason, "client disconnects");
                    return Err(End::silent(EndReason::Disconnect));
                }
                Event::Auth(auth) => self.reauthenticate(auth, answers)?,
            }
        }
        Ok(())
    }

    fn fault(&self, fault: Fault) -> End {
        tracing::debug!(client = &*self.client.id, %fault, "client breaks the protocol");
        End::told(EndReason::Protocol, fault.reason()).because(fault.label())
    }

    fn publish(&mut self, publish: Publish, answers: &mut Vec<u8>) {
        let acknowledge = Acknowledge { qos: publish.qos, id: publish.packet_id, reason: ReasonCode::SUCCESS };
        let (reason, waits) = self.hand_over(publish);
        let acknowledge = Acknowledge { reason, ..acknowledge };
        let stored = match waits {
            Waits::Stored(stored) if acknowledge.qos == Qos::AtMostOnce => return drop(stored),
            Waits::Stored(stored) => stored,
            // It is asked about after what came before, and before what comes next is read.
            asked @ Waits::Approved(_) => return self.rest.unstored.push((acknowledge, asked)),
        };
        // Acknowledgements keep the order of the publications (MQTT 5, 4.6.0-2).
        if self.rest.unstored.is_empty() && matches!(stored, Stored::Done) {
            self.client.published(acknowledge.qos, acknowledge.id, reason, answers);
        } else {
            self.rest.unstored.push((acknowledge, Waits::Stored(stored)));
        }
    }

    /// Publishes on the bus, and tells how that went, or what is to be asked first.
    fn hand_over(&mut self, mut publish: Publish) -> (ReasonCode, Waits) {
        let refused = |reason| (reason, Waits::Stored(Stored::Done));
        if publish.properties.payload_format == Some(true) && std::str::from_utf8(&publish.payload).is_err() {
            return refused(ReasonCode::PAYLOAD_FORMAT_INVALID);
        }
        let Some((channel, allowed)) = self.channel(&publish.topic) else {
            return refused(ReasonCode::NOT_AUTHORIZED);
        };
        if !allowed {
            let stats = self.shared.bus.stats();
            stats.dropped(*CONNECTOR, ratatosk_core::stats::DropReason::Denied, 1);
            return refused(ReasonCode::NOT_AUTHORIZED);
        }
        if let Err(reason) = self.pace(publish.qos) {
            return refused(reason);
        }
        // A slice keeps all that was read with it alive, for as long as the message is kept.
        if publish.payload.len() * SHARE < self.inbound.read {
            publish.payload = Bytes::copy_from_slice(&publish.payload);
        }
        let asked = self.rights.need_approval(&channel);
        let publication = mapping::to_publication(publish, channel, self.client.origin());
        if asked {
            return (ReasonCode::SUCCESS, Waits::Approved(Box::new(publication)));
        }
        let (reason, stored) = self.place(publication);
        (reason, Waits::Stored(stored))
    }

    fn place(&self, publication: Publication) -> (ReasonCode, Stored) {
        match self.shared.bus.publish(publication) {
            Ok(receipt) if receipt.matched => (ReasonCode::SUCCESS, receipt.stored),
            Ok(receipt) => (ReasonCode::NO_MATCHING_SUBSCRIBERS, receipt.stored),
            // The message is known here: to its sender that is as good as delivered.
            Err(ratatosk_core::PublishError::Loop) => (ReasonCode::SUCCESS, Stored::Done),
            Err(ratatosk_core::PublishError::Reserved) => (ReasonCode::NOT_AUTHORIZED, Stored::Done),
        }
    }

    /// Until when the client is not read: it published faster than it may, and could not be told.
    fn pause(&self) -> Option<Instant> {
        self.rest.guest.pause().map(Instant::from_std)
    }

    /// Holds the client to its rate. Who can be told is refused what is too much. Before MQTT 5 only QoS 0 can be dropped: for
    /// the rest, the client is not read until its time has come.
    fn pace(&mut self, qos: Qos) -> Result<(), ReasonCode> {
        if qos != Qos::AtMostOnce && !self.version.is_v5() {
            self.rest.guest.publish_owing();
            return Ok(());
        }
        self.rest.guest.publish().map_err(|_| {
            let stats = self.shared.bus.stats();
            stats.dropped(*CONNECTOR, ratatosk_core::stats::DropReason::RateLimited, 1);
            ReasonCode::QUOTA_EXCEEDED
        })
    }

    /// The channel of a topic, and whether the client may publish to it.
    fn channel(&mut self, topic: &str) -> Option<(Channel, bool)> {
        if let Some(last) = self.rest.last.as_ref().filter(|(last, _)| last.as_str() == topic) {
            return Some(last.clone());
        }
        let channel = mapping::names::published(topic)?;
        let allowed = self.shared.auth.may_publish(&self.rights, &channel);
        self.rest.last = Some((channel.clone(), allowed));
        Some((channel, allowed))
    }

    async fn acknowledge_stored(&mut self, answers: &mut Vec<u8>) {
        for (acknowledge, waits) in std::mem::take(&mut self.rest.unstored) {
            let (reason, stored) = match waits {
                Waits::Stored(stored) => (acknowledge.reason, Ok(stored)),
                Waits::Approved(publication) => self.ask(*publication).await,
            };
            let failed = match stored {
                Ok(Stored::Done) => false,
                Ok(Stored::Pending(stored)) => stored.await.is_err(),
                Err(Disapproved::Denied(_)) => false,
                Err(Disapproved::Unavailable) => true,
            };
            if acknowledge.qos == Qos::AtMostOnce {
                continue;
            }
            let reason = if failed { ReasonCode::UNSPECIFIED } else { reason };
            // Before MQTT 5 a failure cannot be told: without an answer the client will send it again.
            if !failed || self.version.is_v5() {
                self.client.published(acknowledge.qos, acknowledge.id, reason, answers);
            }
        }
    }

    /// Asks the publish authorizer, and publishes what it allows.
    async fn ask(&mut self, publication: Publication) -> (ReasonCode, Result<Stored, Disapproved>) {
        let rights = self.rights.clone();
        match Box::pin(async move { rights.approve(publication).await }).await {
            Ok(publication) => {
                let (reason, stored) = self.place(publication);
                (reason, Ok(stored))
            }
            Err(why) => {
                self.shared.bus.stats().dropped(*CONNECTOR, ratatosk_core::stats::DropReason::Denied, 1);
                (ReasonCode::NOT_AUTHORIZED, Err(why))
            }
        }
    }

    fn reauthenticate(&mut self, auth: Auth, answers: &mut Vec<u8>) -> Result<(), End> {
        let refused = End::told(EndReason::Denied, ReasonCode::NOT_AUTHORIZED).because("reauthentication");
        if auth.reason == ReasonCode::REAUTHENTICATE {
            let method = auth.method.as_deref().unwrap_or_default();
            self.rest.exchange = self.shared.auth.methods().and_then(|methods| methods.begin(method));
        }
        let Some(exchange) = &mut self.rest.exchange else {
            return Err(End::told(EndReason::Protocol, ReasonCode::PROTOCOL_ERROR).because("unexpected_auth"));
        };
        let data = auth.data.map(|secret| secret.0).unwrap_or_default();
        let (reason, data) = match exchange.step(&data) {
            Step::Continue(data) => (ReasonCode::CONTINUE_AUTHENTICATION, Some(data)),
            // Another user would need another session.
            Step::Done { user, data } if self.rights.user() == Some(&user) => {
                self.rest.exchange = None;
                (ReasonCode::SUCCESS, data)
            }
            Step::Done { .. } | Step::Refuse => return Err(refused),
        };
        let answer =
            Auth { reason, method: auth.method, data: data.map(crate::proto::codec::Secret), ..Auth::default() };
        let _ = encode(&Packet::Auth(answer), self.version, answers); // only a method of over 64 KiB could fail
        Ok(())
    }
}
