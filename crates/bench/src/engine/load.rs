//! Subscribes, publishes at a pace, and measures one window of it.

use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::pool::{Faults, Pool};
use super::record::Recorder;
use crate::meter::{Cpu, Processes};
use crate::proto::Protocol;
use crate::stamp::Stamp;

/// Handshakes in progress at the same time.
const RAMP: usize = 128;
/// With nothing happening for so long a closed loop has stalled and missing messages are lost.
const QUIET: Duration = Duration::from_secs(5);
const TICK: Duration = Duration::from_millis(100);

/// Who talks to whom.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) channels: u16,
    /// Per subscriber its channels.
    pub(crate) subscribers: Vec<Vec<u16>>,
    /// Publishing connections; channel `c` belongs to publisher `c % publishers`.
    pub(crate) publishers: usize,
    /// Payload length in bytes.
    pub(crate) payload: usize,
    pub(crate) pace: Pace,
}

/// When to publish.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Pace {
    /// Keep so many messages in flight per channel: a new one whenever the oldest has reached every subscriber.
    Closed { inflight: u32 },
    /// So many messages per second in total, evenly spaced, the channels in turn.
    Paced { per_second: f64 },
}

/// How long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    pub(crate) warmup: Duration,
    pub(crate) window: Duration,
}

/// One window's result.
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    pub(crate) deliveries: u64,
    pub(crate) published: u64,
    pub(crate) seconds: f64,
    /// CPU time of the server in the window, in microseconds.
    pub(crate) cpu_us: f64,
    /// CPU time of the generator in the window, in microseconds.
    pub(crate) generator_us: f64,
    /// Time that the server's threads waited for a core (also for each other), as a share of the window.
    pub(crate) server_waited: f64,
    /// The same for the generator, which has one thread.
    pub(crate) generator_waited: f64,
    pub(crate) p50: Option<u64>,
    pub(crate) p99: Option<u64>,
    /// Deliveries missing at the end, from the first publication on.
    pub(crate) lost: u64,
    /// Deliveries that were not the next of their channel.
    pub(crate) disordered: u64,
    /// Bytes a subscriber received per delivery.
    pub(crate) frame: f64,
    pub(crate) faults: Faults,
}

impl Measured {
    /// Server CPU per delivery in microseconds; `None` without deliveries.
    pub(crate) fn cost(&self) -> Option<f64> {
        (self.deliveries > 0).then(|| self.cpu_us / as_f64(self.deliveries))
    }

    /// Deliveries per second.
    pub(crate) fn rate(&self) -> f64 {
        as_f64(self.deliveries) / self.seconds
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
pub(crate) fn as_f64(count: u64) -> f64 {
    count as f64
}

/// Subscribed connections with a recorder, ready to be driven.
pub(crate) struct Load<'a> {
    plan: &'a Plan,
    pub(crate) pool: Pool,
    pub(crate) recorder: Recorder,
    payload: Vec<u8>,
    /// Publishers with queued bytes.
    touched: Vec<usize>,
    /// Paced: when the next publication is due, in nanoseconds.
    next_due: u64,
    next_channel: u16,
}

impl<'a> Load<'a> {
    /// Connects all subscribers, then all publishers, and waits for their handshakes.
    pub(crate) fn connect(protocol: &dyn Protocol, plan: &'a Plan) -> Result<Self> {
        let pool = Pool::new(512, 256 * 1024)?;
        let recorder = Recorder::new(plan.channels, &plan.subscribers)?;
        let (payload, touched) = (Vec::new(), Vec::new());
        let mut load = Self { plan, pool, recorder, payload, touched, next_due: 0, next_channel: 0 };
        load.pool.counted = plan.subscribers.len();
        let total = plan.subscribers.len() + plan.publishers;
        for index in 0..total {
            let (address, client) = match plan.subscribers.get(index) {
                Some(channels) => (protocol.address(), protocol.subscriber(channels)),
                None => {
                    let channel = u16::try_from(index - plan.subscribers.len())?;
                    (protocol.publisher_address(), protocol.publisher(channel))
                }
            };
            load.pool.connect(address, client)?;
            load.await_ready((index + 1).saturating_sub(RAMP))?;
        }
        load.await_ready(total)?;
        Ok(load)
    }

    /// Runs one warm-up and one window, then waits for stragglers.
    pub(crate) fn measure(mut self, timing: Timing, server: &Processes) -> Result<Measured> {
        self.begin()?;
        self.drive(timing.warmup)?;
        let (from, generator) = (server.cpu()?, Processes::own());
        let generator_from = generator.cpu()?;
        let (deliveries, published) = (self.recorder.deliveries, self.recorder.published());
        let (received, start) = (self.pool.received, self.pool.now());
        self.recorder.measuring = true;
        self.drive(timing.window)?;
        let (to, generator_to) = (server.cpu()?, generator.cpu()?);
        let seconds = Duration::from_nanos(self.pool.now() - start).as_secs_f64();
        let deliveries = self.recorder.deliveries - deliveries;
        let published = self.recorder.published() - published;
        let frame = as_f64(self.pool.received - received) / as_f64(deliveries.max(1));
        self.recorder.measuring = false;
        self.settle()?;
        Ok(Measured {
            deliveries,
            published,
            seconds,
            cpu_us: Cpu::between_us(from, to),
            generator_us: Cpu::between_us(generator_from, generator_to),
            server_waited: Cpu::waited_us(from, to) / seconds / 1e6,
            generator_waited: Cpu::waited_us(generator_from, generator_to) / seconds / 1e6,
            p50: self.recorder.latency.quantile(0.5),
            p99: self.recorder.latency.quantile(0.99),
            lost: self.recorder.missing(),
            disordered: self.recorder.disordered,
            frame,
            faults: self.pool.faults.clone(),
        })
    }

    /// Fills the closed loop, or starts the metronome.
    pub(crate) fn begin(&mut self) -> Result<()> {
        self.next_due = self.pool.now();
        if let Pace::Closed { inflight } = self.plan.pace {
            for _ in 0..inflight {
                for channel in 0..self.plan.channels {
                    self.publish(channel)?;
                }
            }
            self.flush();
        }
        Ok(())
    }

    /// Publishes and receives for a while.
    pub(crate) fn drive(&mut self, span: Duration) -> Result<()> {
        let end = self.pool.now() + nanos(span);
        let mut last = (self.recorder.deliveries, self.pool.now());
        loop {
            let now = self.pool.now();
            if now >= end {
                return Ok(());
            }
            self.publish_due(now)?;
            let wait = match self.plan.pace {
                Pace::Closed { .. } => end - now,
                Pace::Paced { .. } => end.min(self.next_due).saturating_sub(now),
            };
            self.pool.turn(Duration::from_nanos(wait).min(TICK), &mut self.recorder)?;
            if self.recorder.deliveries != last.0 {
                last = (self.recorder.deliveries, now);
            } else if now - last.1 > nanos(QUIET) && matches!(self.plan.pace, Pace::Closed { .. }) {
                bail!(
                    "nothing arrived for {} s with {} deliveries missing ({} connections lost{})",
                    QUIET.as_secs(),
                    self.recorder.missing(),
                    self.pool.faults.count,
                    self.pool.faults.first.as_deref().map(|why| format!(": {why}")).unwrap_or_default(),
                );
            }
        }
    }

    /// Publishes what is due and serves the sockets once.
    pub(crate) fn step(&mut self, wait: Duration) -> Result<()> {
        self.publish_due(self.pool.now())?;
        self.pool.turn(wait, &mut self.recorder)
    }

    /// Receives what is still under way.
    pub(crate) fn settle(&mut self) -> Result<()> {
        let mut last = (self.recorder.missing(), self.pool.now());
        while self.recorder.missing() > 0 && self.pool.now() - last.1 < nanos(QUIET) {
            self.pool.turn(TICK, &mut self.recorder)?;
            if self.recorder.missing() != last.0 {
                last = (self.recorder.missing(), self.pool.now());
            }
        }
        Ok(())
    }

    fn await_ready(&mut self, count: usize) -> Result<()> {
        let mut last = (self.recorder.ready, self.pool.now());
        while self.recorder.ready < count {
            self.pool.turn(TICK, &mut self.recorder)?;
            self.pool.check().context("subscribing")?;
            if self.recorder.ready != last.0 {
                last = (self.recorder.ready, self.pool.now());
            } else if self.pool.now() - last.1 > 2 * nanos(QUIET) {
                bail!("only {} of {} connections finished their handshake", last.0, self.pool.len());
            }
        }
        Ok(())
    }

    fn publish_due(&mut self, now: u64) -> Result<()> {
        match self.plan.pace {
            Pace::Closed { .. } => {
                let mut completed = std::mem::take(&mut self.recorder.completed);
                for channel in completed.drain(..) {
                    self.publish(channel)?;
                }
                self.recorder.completed = completed;
            }
            Pace::Paced { per_second } => {
                self.recorder.completed.clear();
                let gap = nanos(Duration::from_secs_f64(1.0 / per_second));
                while self.next_due <= now {
                    self.publish(self.next_channel)?;
                    self.next_channel = (self.next_channel + 1) % self.plan.channels;
                    self.next_due += gap;
                }
            }
        }
        self.flush();
        Ok(())
    }

    fn publish(&mut self, channel: u16) -> Result<()> {
        let seq = self.recorder.publish(channel);
        let conn = self.plan.subscribers.len() + usize::from(channel) % self.plan.publishers;
        self.payload.clear();
        Stamp { channel, seq, sent: self.pool.now() }.payload(self.plan.payload, &mut self.payload);
        self.pool.publish(conn, channel, &self.payload)?;
        if !self.touched.contains(&conn) {
            self.touched.push(conn);
        }
        Ok(())
    }

    fn flush(&mut self) {
        for conn in self.touched.drain(..) {
            self.pool.flush(conn);
        }
    }
}

pub(crate) fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}
