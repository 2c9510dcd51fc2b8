//! One connection, from its first byte to its last: a small task that reads, and writes what waited.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use ratatosk_connector::{
    access::{Rights, Watch},
    limits::Guest,
};
use ratatosk_core::{Channel, EndReason, MonitorEvent};
use tokio::time::Instant;

use self::publishing::{Acknowledge, Waits};
use super::{
    Shared,
    client::{Client, Received},
    handshake,
    inbound::{Inbound, Read},
    registry,
    wire::{End, Waited, Wire},
};
use crate::{
    mapping::CONNECTOR,
    proto::{
        codec::{Auth, Packet, ReasonCode, Version, encode},
        session::{Event, Exchange, Fault, Step},
    },
};

mod publishing;

/// Bytes that may wait for a socket while its client is still listened to.
const BACKLOG: usize = 256 << 10;
/// Reads before others have their turn.
const READS: usize = 8;
/// How long a closed connection may take to hear the last words.
const LINGER: Duration = Duration::from_millis(500);

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
