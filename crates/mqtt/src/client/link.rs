//! One connection at work: the loop, its timers and its end.

mod from_broker;
mod to_broker;

use std::{
    collections::{HashMap, VecDeque},
    future::Future,
    num::NonZeroU16,
    pin::Pin,
    time::{Duration, Instant},
};

use bytes::{Buf, BytesMut};
use bytestring::ByteString;
use futures_util::{StreamExt, stream::FuturesOrdered};
use ratatosk_connector::upstream::{EndKind, Ended, Port, WantedFilters};
use ratatosk_core::stats::DropReason;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::{MissedTickBehavior, interval},
};

use super::{
    handshake::Greeted,
    options::Options,
    pinger::Pinger,
    session::{Again, Due, Session},
    subscriptions::Subscriptions,
    translate::Abilities,
    transport::Stream,
};
use crate::proto::codec::{Ack, Connack, Decoder, Disconnect, Packet, Qos, ReasonCode, Version, encode};

/// Nothing more is taken from the queue while this much waits to be written.
const WRITE_HIGH: usize = 128 << 10;
/// Nothing more is read while this much waits to be written: a broker that does not take our acknowledgements.
const WRITE_STOP: usize = 1 << 20;
/// Read at a time.
const READ: usize = 16 << 10;
/// How long goodbye may take.
const GOODBYE: Duration = Duration::from_secs(1);

/// An acknowledgement to be sent once the engine has the message.
type Storing = Pin<Box<dyn Future<Output = (NonZeroU16, Qos, bool)> + Send>>;

pub(super) struct Link<'a> {
    session: &'a mut Session,
    port: &'a mut Port,
    stream: Option<Box<dyn Stream>>,
    decoder: Decoder,
    version: Version,
    can: Abilities,
    clean: bool,
    /// QoS 1 and 2 publications that may be in flight.
    window: usize,
    /// The largest packet that the broker takes.
    max_packet: Option<usize>,
    ack_timeout: Duration,
    /// Whether acknowledgements are doubted for a while, and how often to look at those.
    settles: bool,
    settle_step: Duration,
    input: BytesMut,
    output: BytesMut,
    unflushed: bool,
    /// Whether the bus keeps up, so that more may be read and decoded.
    admitted: bool,
    again: VecDeque<Again>,
    subscriptions: Subscriptions,
    wanted: WantedFilters,
    storing: FuturesOrdered<Storing>,
    aliases: HashMap<NonZeroU16, ByteString>,
    pinger: Pinger,
    /// The server broke off, perhaps for a publication of ours, and why that would be.
    blames: Option<DropReason>,
}

impl<'a> Link<'a> {
    pub(super) fn new(options: &Options, session: &'a mut Session, port: &'a mut Port, greeted: Greeted) -> Self {
        let Greeted { stream, connack, decoder, rest } = greeted;
        let resumed = connack.session_present && !options.clean;
        let again = session.connected(resumed).into();
        let v5 = options.version.is_v5();
        let theirs = connack.properties.receive_maximum.map_or(usize::from(u16::MAX), |most| usize::from(most.get()));
        let keep_alive =
            connack.properties.server_keep_alive.map_or(options.keep_alive, |s| Duration::from_secs(u64::from(s)));
        Self {
            subscriptions: Subscriptions::new(options.share.clone(), v5, resumed),
            wanted: port.wanted(),
            can: abilities(v5, &connack),
            max_packet: connack.properties.max_packet_size.map(|most| most.get() as usize),
            session,
            port,
            stream: Some(stream),
            decoder,
            version: options.version,
            clean: options.clean,
            window: options.max_inflight.min(theirs),
            ack_timeout: options.ack_timeout,
            settles: !options.settle.is_zero(),
            settle_step: (options.settle / 4).clamp(Duration::from_millis(1), Duration::from_secs(1)),
            input: rest,
            output: BytesMut::new(),
            unflushed: false,
            admitted: true,
            again,
            storing: FuturesOrdered::new(),
            aliases: HashMap::new(),
            pinger: Pinger::new(keep_alive),
            blames: None,
        }
    }

    /// Serves the connection until it ends.
    pub(super) async fn serve(mut self, leave: impl Future<Output = ()>) -> Ended {
        let kept = self.session.tokens();
        self.port.up_resuming(|token| kept.contains(&token));
        let Some(stream) = self.stream.take() else { return Ended::lost("no stream") };
        let (mut reader, mut writer) = tokio::io::split(stream);
        let mut ticks = self.pinger.ticks();
        let mut settling = interval(self.settle_step);
        settling.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tokio::pin!(leave);
        let ended = match self.start() {
            Err(ended) => ended,
            Ok(()) => loop {
                self.fill();
                tokio::select! {
                    () = &mut leave => break Ended::asked(),
                    read = read(&mut reader, &mut self.input), if self.admitted && self.output.len() < WRITE_STOP => {
                        if let Err(ended) = self.arrived(read) { break ended }
                    }
                    written = write(&mut writer, &mut self.output, &mut self.unflushed), if !self.output.is_empty() || self.unflushed => {
                        if let Err(error) = written { break self.broken_off(format!("connection lost: {error}")) }
                    }
                    () = self.port.ready(), if self.has_room() => {}
                    () = self.port.admission(), if !self.admitted => {
                        self.admitted = true;
                        if let Err(ended) = self.packets() { break ended }
                    }
                    () = self.wanted.changed() => self.subscribe(),
                    Some(stored) = self.storing.next(), if !self.storing.is_empty() => {
                        if let Err(ended) = self.stored(stored) { break ended }
                    }
                    _ = settling.tick(), if self.settles => self.settle(Session::due),
                    _ = ticks.tick() => if let Err(ended) = self.tick() { break ended },
                }
            },
        };
        match ended.kind() {
            EndKind::Asked => self.settle(|session, _| session.leaving()),
            _ => self.session.broken(Instant::now()),
        }
        self.drop_poison();
        self.goodbye(&ended, &mut writer).await;
        ended
    }

    /// What the broker sent right after CONNACK, our subscriptions, and a first ping that measures the way.
    fn start(&mut self) -> Result<(), Ended> {
        self.subscribe();
        self.measure();
        self.packets()
    }

    /// The first ping, once no other answer is awaited; if that does not come about, the clock sends it.
    fn measure(&mut self) {
        if self.pinger.is_new() && self.subscriptions.is_quiet() {
            self.ping();
        }
    }

    /// The server, or what is between us, ended the connection without a word.
    fn broken_off(&mut self, how: impl std::fmt::Display) -> Ended {
        self.blames = Some(DropReason::Denied);
        Ended::lost(how)
    }

    /// Gives up the publication that has ended one connection after the other, so that what waits behind it crosses.
    fn drop_poison(&mut self) {
        let Some(reason) = self.blames else { return };
        if let Some(token) = self.session.poisoned(reason == DropReason::TooLarge) {
            let (upstream, reason_text) = (self.port.upstream(), reason.label());
            tracing::warn!(%upstream, reason = reason_text, "a publication is given up: the server ends the connection for it");
            self.port.failed(token, reason);
        }
    }

    fn send(&mut self, packet: &Packet) {
        if let Err(error) = encode(packet, self.version, &mut self.output) {
            // Only a publication can be unencodable, and those are checked before.
            tracing::error!(upstream = %self.port.upstream(), %error, "cannot encode {:?}", packet.packet_type());
        }
    }

    /// Acts on acknowledgements that are believed now.
    fn settle(&mut self, believed: impl FnOnce(&mut Session, Instant) -> Vec<Due>) {
        for due in believed(self.session, Instant::now()) {
            match due {
                Due::Release(id) => self.send(&Packet::Pubrel(Ack::new(id, ReasonCode::SUCCESS))),
                Due::Done(token) => self.port.done(token),
            }
        }
    }

    fn tick(&mut self) -> Result<(), Ended> {
        let now = Instant::now();
        if !self.admitted || self.output.len() >= WRITE_STOP {
            // We are not reading, so silence is our own doing.
            self.pinger.excuse(now);
        } else if self.pinger.is_unanswered(now) {
            return Err(Ended::lost("the server does not answer pings"));
        }
        let stalled = |since: Instant| now.saturating_duration_since(since) > self.ack_timeout;
        if self.session.oldest().is_some_and(stalled) {
            self.port.stalled();
            return Err(Ended::lost("the server does not acknowledge publications"));
        }
        if self.pinger.is_due(now) {
            self.ping();
        }
        Ok(())
    }

    fn ping(&mut self) {
        self.pinger.asked(Instant::now());
        self.send(&Packet::Pingreq);
    }

    /// Tells an MQTT 5 server what it did wrong.
    fn complain(&mut self, reason: ReasonCode) {
        if self.version.is_v5() {
            self.send(&Packet::Disconnect(Disconnect::new(reason)));
        }
    }

    /// Writes what is left, DISCONNECT last when we leave of our own will.
    async fn goodbye(&mut self, ended: &Ended, writer: &mut (impl AsyncWrite + Unpin)) {
        if ended.kind() == EndKind::Asked {
            let session_expiry = Some(0).filter(|_| self.clean && self.version.is_v5());
            self.send(&Packet::Disconnect(Disconnect { session_expiry, ..Disconnect::default() }));
        }
        let rest = async {
            while !self.output.is_empty() || self.unflushed {
                write(writer, &mut self.output, &mut self.unflushed).await?;
            }
            writer.shutdown().await
        };
        // The connection is over either way.
        let _ = tokio::time::timeout(GOODBYE, rest).await;
    }
}

fn abilities(v5: bool, connack: &Connack) -> Abilities {
    let max_qos = match connack.properties.maximum_qos_1 {
        None => Qos::ExactlyOnce,
        Some(true) => Qos::AtLeastOnce,
        Some(false) => Qos::AtMostOnce,
    };
    Abilities { v5, max_qos, retain: connack.properties.retain_available != Some(false) }
}

async fn read(reader: &mut (impl AsyncRead + Unpin), input: &mut BytesMut) -> std::io::Result<usize> {
    input.reserve(READ);
    reader.read_buf(input).await
}

/// One write, or the flush after the last. Cancelling loses nothing.
async fn write(
    writer: &mut (impl AsyncWrite + Unpin),
    output: &mut BytesMut,
    unflushed: &mut bool,
) -> std::io::Result<()> {
    if output.is_empty() {
        writer.flush().await?;
        *unflushed = false;
        return Ok(());
    }
    let count = writer.write(output).await?;
    if count == 0 {
        return Err(std::io::ErrorKind::WriteZero.into());
    }
    output.advance(count);
    *unflushed = true;
    if output.is_empty() && output.capacity() > 2 * WRITE_HIGH {
        *output = BytesMut::new(); // one huge message must not keep its memory
    }
    Ok(())
}
