//! One connection at work.

use std::{
    future::Future,
    num::NonZeroU16,
    pin::Pin,
    time::{Duration, Instant},
};

use bytes::{Buf, BytesMut};
use bytestring::ByteString;
use futures_util::{StreamExt, stream::FuturesOrdered};
use ratatosk_connector::upstream::{EndKind, Ended, Outbound, Port, Taken, Token, WantedFilters};
use ratatosk_core::{engine::EngineFuture, stats::DropReason};
use std::collections::{HashMap, VecDeque};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::{
    handshake::{ALIASES, Greeted, is_permanent},
    options::Options,
    session::{Again, Answer, Due, Session},
    subscriptions::Subscriptions,
    translate::{self, Abilities},
    transport::Stream,
};
use crate::proto::codec::{
    Ack, Connack, Decoder, Disconnect, Packet, Publish, Qos, ReasonCode, Version, encode, encoded_len,
};

/// Nothing more is taken from the queue while this much waits to be written.
const WRITE_HIGH: usize = 128 << 10;
/// Nothing more is read while this much waits to be written: a broker that does not take our acknowledgements.
const WRITE_STOP: usize = 1 << 20;
/// Read at a time.
const READ: usize = 16 << 10;
/// How long goodbye may take.
const GOODBYE: Duration = Duration::from_secs(1);
/// The longest wait for an answer to a ping.
const PING_TIMEOUT: Duration = Duration::from_secs(10);

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
    /// Whether the bus keeps up, so that more may be read.
    admitted: bool,
    again: VecDeque<Again>,
    subscriptions: Subscriptions,
    wanted: WantedFilters,
    storing: FuturesOrdered<Storing>,
    aliases: HashMap<NonZeroU16, ByteString>,
    pinger: Pinger,
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
                        if let Err(error) = written { break Ended::lost(format!("connection lost: {error}")) }
                    }
                    () = self.port.ready(), if self.has_room() => {}
                    () = self.port.admission(), if !self.admitted => self.admitted = true,
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
        self.goodbye(&ended, &mut writer).await;
        ended
    }

    /// What the broker sent right after CONNACK, our subscriptions, and a first ping that measures the way.
    fn start(&mut self) -> Result<(), Ended> {
        self.subscribe();
        if self.pinger.is_on() {
            self.ping();
        }
        self.packets()
    }

    fn send(&mut self, packet: &Packet) {
        if let Err(error) = encode(packet, self.version, &mut self.output) {
            // Only a publication can be unencodable, and those are checked before.
            tracing::error!(upstream = %self.port.upstream(), %error, "cannot encode {:?}", packet.packet_type());
        }
    }

    // ---- from the broker -------------------------------------------------------------------------------------

    fn arrived(&mut self, read: std::io::Result<usize>) -> Result<(), Ended> {
        match read {
            Ok(0) => Err(Ended::lost("the server closed the connection")),
            Ok(_) => self.packets(),
            Err(error) => Err(Ended::lost(format!("connection lost: {error}"))),
        }
    }

    fn packets(&mut self) -> Result<(), Ended> {
        loop {
            match self.decoder.decode(&mut self.input) {
                Ok(Some(packet)) => self.packet(packet)?,
                Ok(None) => return Ok(()),
                Err(error) => {
                    self.complain(error.reason());
                    return Err(Ended::lost(format!("malformed packet from the server: {error}")));
                }
            }
        }
    }

    fn packet(&mut self, packet: Packet) -> Result<(), Ended> {
        match packet {
            Packet::Publish(publish) => self.publication(*publish),
            Packet::Puback(ack) => {
                let answer = self.session.puback(ack.packet_id, ack.reason, Instant::now());
                self.answer(ack.packet_id, answer)
            }
            Packet::Pubrec(ack) => {
                let answer = self.session.pubrec(ack.packet_id, ack.reason, Instant::now());
                self.answer(ack.packet_id, answer)
            }
            Packet::Pubcomp(ack) => {
                let answer = self.session.pubcomp(ack.packet_id, Instant::now());
                self.answer(ack.packet_id, answer)
            }
            Packet::Pubrel(ack) => {
                let reason = match self.session.released(ack.packet_id, Instant::now()) {
                    true => ReasonCode::SUCCESS,
                    false => ReasonCode::PACKET_ID_NOT_FOUND,
                };
                self.send(&Packet::Pubcomp(Ack::new(ack.packet_id, reason)));
                Ok(())
            }
            Packet::Suback(suback) => {
                self.session.answered(suback.packet_id);
                if !self.subscriptions.suback(suback.packet_id, &suback.reasons, self.port) {
                    return self.violated("SUBACK does not fit its SUBSCRIBE");
                }
                self.subscribe();
                Ok(())
            }
            Packet::Unsuback(unsuback) => {
                self.session.answered(unsuback.packet_id);
                self.subscriptions.unsuback(unsuback.packet_id, self.port);
                self.subscribe();
                Ok(())
            }
            Packet::Pingresp => {
                if let Some(round_trip) = self.pinger.answered(Instant::now()) {
                    self.port.ping(round_trip);
                }
                Ok(())
            }
            Packet::Disconnect(disconnect) => Err(sent_away(&disconnect)),
            other => self.violated(&format!("unexpected {:?}", other.packet_type())),
        }
    }

    fn violated(&mut self, what: &str) -> Result<(), Ended> {
        self.complain(ReasonCode::PROTOCOL_ERROR);
        Err(Ended::lost(format!("protocol violation by the server: {what}")))
    }

    fn publication(&mut self, mut publish: Publish) -> Result<(), Ended> {
        self.resolve_alias(&mut publish)?;
        let (id, qos) = (publish.packet_id, publish.qos);
        // A repetition of what the bus has is acknowledged and not delivered (4.3.3-10).
        let repeated = id.is_some_and(|id| qos == Qos::ExactlyOnce && self.session.has_received(id, &publish));
        self.admitted = false;
        let taken = if repeated {
            Taken::Stored
        } else if let Some(inbound) = translate::inbound(publish) {
            self.port.deliver(inbound)
        } else {
            self.port.lost(DropReason::Unmappable);
            Taken::Dropped(DropReason::Unmappable)
        };
        let Some(id) = id else { return Ok(()) };
        match taken {
            Taken::Pending(end) => self.storing.push_back(storing(id, qos, end)),
            // Acknowledgements keep the order of the publications (4.6.0-2).
            _ if !self.storing.is_empty() => self.storing.push_back(Box::pin(async move { (id, qos, true) })),
            _ => self.acknowledge(id, qos),
        }
        Ok(())
    }

    fn stored(&mut self, (id, qos, ok): (NonZeroU16, Qos, bool)) -> Result<(), Ended> {
        if !ok {
            self.session.not_received(id);
            // Not acknowledged, so the broker sends it again.
            return Err(Ended::lost("the engine could not store a message"));
        }
        self.acknowledge(id, qos);
        Ok(())
    }

    fn acknowledge(&mut self, id: NonZeroU16, qos: Qos) {
        let ack = Ack::new(id, ReasonCode::SUCCESS);
        if qos == Qos::ExactlyOnce {
            self.send(&Packet::Pubrec(ack));
        } else {
            self.send(&Packet::Puback(ack));
        }
    }

    fn resolve_alias(&mut self, publish: &mut Publish) -> Result<(), Ended> {
        let Some(alias) = publish.properties.topic_alias else { return Ok(()) };
        if alias.get() > ALIASES {
            return self.violated("topic alias above our maximum");
        }
        if publish.topic.is_empty() {
            match self.aliases.get(&alias) {
                Some(topic) => publish.topic = topic.clone(),
                None => return self.violated("unknown topic alias"),
            }
        } else {
            // A copy: the slice would keep the read buffer alive.
            self.aliases.insert(alias, ByteString::from(&*publish.topic));
        }
        Ok(())
    }

    fn answer(&mut self, id: NonZeroU16, answer: Answer) -> Result<(), Ended> {
        match answer {
            Answer::Nothing => {}
            Answer::Done(token) => self.port.done(token),
            Answer::Failed(token, reason) => {
                tracing::debug!(upstream = %self.port.upstream(), reason = reason.text(), "publication refused");
                self.port.failed(token, DropReason::Denied);
            }
            Answer::Release(reason) => self.send(&Packet::Pubrel(Ack::new(id, reason))),
            Answer::Violation => return self.violated("an acknowledgement of another quality of service"),
        }
        Ok(())
    }

    // ---- to the broker ---------------------------------------------------------------------------------------

    fn subscribe(&mut self) {
        let wanted = self.wanted.now();
        for packet in self.subscriptions.step(&wanted, self.session, self.port) {
            self.send(&packet);
        }
    }

    fn has_room(&self) -> bool {
        self.again.is_empty()
            && self.session.used() < self.window
            && self.output.len() < WRITE_HIGH
            && !self.session.is_full()
    }

    /// First what the last connection left unfinished, then what waits.
    fn fill(&mut self) {
        while let Some(again) = self.again.front().copied() {
            let waits = matches!(again, Again::Publish(..)) && self.session.used() >= self.window;
            if waits || self.output.len() >= WRITE_HIGH {
                break;
            }
            self.again.pop_front();
            self.repeat(again);
        }
        while self.has_room() {
            let Some(out) = self.port.take() else { break };
            self.publish(&out);
        }
    }

    fn repeat(&mut self, again: Again) {
        let now = Instant::now();
        match again {
            Again::Release(id) => {
                self.session.repeated(id, now);
                self.send(&Packet::Pubrel(Ack::new(id, ReasonCode::SUCCESS)));
            }
            Again::Publish(id, token) => {
                let publish = self
                    .port
                    .in_flight(token)
                    .and_then(|out| translate::outbound(&out, self.port.gateway_id(), self.can, now));
                match publish {
                    Some(publish) if publish.qos != Qos::AtMostOnce => {
                        self.session.repeated(id, now);
                        self.send(&Packet::Publish(Box::new(translate::again(publish, id))));
                    }
                    _ => self.give_up(id, token),
                }
            }
        }
    }

    /// A broker that takes no QoS any more, or a message that is gone.
    fn give_up(&mut self, id: NonZeroU16, token: Token) {
        self.session.forget(id);
        self.port.failed(token, DropReason::Denied);
    }

    fn publish(&mut self, out: &Outbound) {
        let now = Instant::now();
        let Some(mut publish) = translate::outbound(out, self.port.gateway_id(), self.can, now) else {
            return self.port.failed(out.token, DropReason::Unmappable);
        };
        if publish.qos != Qos::AtMostOnce {
            publish.packet_id = self.session.free_id();
        }
        let (id, qos) = (publish.packet_id, publish.qos);
        let packet = Packet::Publish(Box::new(publish));
        match encoded_len(&packet, self.version) {
            Ok(size) if self.max_packet.is_none_or(|most| size <= most) => {}
            _ => return self.port.failed(out.token, DropReason::TooLarge),
        }
        self.send(&packet);
        match id {
            Some(id) => self.session.published(id, out.token, qos, now),
            None => self.port.done(out.token),
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

    // ---- time and the end ------------------------------------------------------------------------------------

    fn tick(&mut self) -> Result<(), Ended> {
        let now = Instant::now();
        if !self.admitted || self.output.len() >= WRITE_STOP {
            // We are not reading, so silence is our own doing.
            self.pinger.excuse(now);
        } else if self.pinger.is_unanswered(now) {
            return Err(Ended::lost("the server does not answer pings"));
        }
        let stalled = |since: Instant| now.saturating_duration_since(since) > self.ack_timeout;
        if self.again.is_empty() && self.session.oldest().is_some_and(stalled) {
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
            let mut disconnect = Disconnect::default();
            disconnect.session_expiry = Some(0).filter(|_| self.clean && self.version.is_v5());
            self.send(&Packet::Disconnect(disconnect));
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

fn storing(id: NonZeroU16, qos: Qos, end: EngineFuture<'static, ()>) -> Storing {
    Box::pin(async move {
        let result = end.await;
        if let Err(error) = &result {
            tracing::error!(%error, "a message from upstream was not stored");
        }
        (id, qos, result.is_ok())
    })
}

fn abilities(v5: bool, connack: &Connack) -> Abilities {
    let max_qos = match connack.properties.maximum_qos_1 {
        None => Qos::ExactlyOnce,
        Some(true) => Qos::AtLeastOnce,
        Some(false) => Qos::AtMostOnce,
    };
    Abilities { v5, max_qos, retain: connack.properties.retain_available != Some(false) }
}

fn sent_away(disconnect: &Disconnect) -> Ended {
    let more = disconnect.reason_string.as_ref().map(|text| format!(": {text}")).unwrap_or_default();
    let text = format!("the server disconnected us: {}{more}", disconnect.reason.text());
    match disconnect.reason {
        // Somebody else uses our client id, for now.
        ReasonCode::SESSION_TAKEN_OVER => Ended::lost(text + " (another client has the same client id)"),
        reason if is_permanent(reason) => Ended::refused(text),
        _ => Ended::lost(text),
    }
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

/// Keep-alive and round-trip times.
#[derive(Debug)]
struct Pinger {
    every: Duration,
    last: Option<Instant>,
    unanswered: Option<Instant>,
    /// From when on silence counts.
    patience: Option<Instant>,
}

impl Pinger {
    fn new(every: Duration) -> Self {
        Self { every, last: None, unanswered: None, patience: None }
    }

    fn is_on(&self) -> bool {
        !self.every.is_zero()
    }

    /// How often to look at the clock.
    fn ticks(&self) -> Interval {
        let every = if self.is_on() { (self.every / 4).min(Duration::from_secs(1)) } else { Duration::from_secs(1) };
        let mut ticks = interval(every.max(Duration::from_millis(50)));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks
    }

    fn asked(&mut self, now: Instant) {
        (self.last, self.unanswered, self.patience) = (Some(now), Some(now), Some(now));
    }

    fn answered(&mut self, now: Instant) -> Option<Duration> {
        self.patience = None;
        self.unanswered.take().map(|asked| now.saturating_duration_since(asked))
    }

    fn excuse(&mut self, now: Instant) {
        if self.patience.is_some() {
            self.patience = Some(now);
        }
    }

    fn is_unanswered(&self, now: Instant) -> bool {
        let limit = self.every.clamp(PING_TIMEOUT / 2, PING_TIMEOUT);
        self.patience.is_some_and(|since| now.saturating_duration_since(since) > limit)
    }

    /// One ping at a time; regular ones whatever else is sent, because they measure the way.
    fn is_due(&self, now: Instant) -> bool {
        let late = |last: Instant| now.saturating_duration_since(last) + Duration::from_millis(50) >= self.every;
        self.is_on() && self.unanswered.is_none() && self.last.is_none_or(late)
    }
}
