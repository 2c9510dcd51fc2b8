//! `resume`: 1,000 clients come back at once, each 1,000 messages behind, while others watch live.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::Bench;
use crate::engine::load::{Load, Pace, Plan, as_f64};
use crate::engine::pool::{Pool, Watcher};
use crate::proto::{Happening, Protocol};
use crate::report::Row;
use crate::stamp::Stamp;

/// Messages every resuming client has missed.
const BEHIND: u32 = 1000;
/// Live subscribers, and their messages per second.
const LIVE: usize = 100;
const RATE: f64 = 200.0;
/// The channel of the missed messages; the live one is 0.
const MISSED: u16 = 1;
const PATIENCE: Duration = Duration::from_secs(30);

impl Bench {
    pub(super) fn resume(&mut self, protocol: &dyn Protocol) -> Result<()> {
        let (count, note) = self.clamp(self.args.subscribers.unwrap_or(1000));
        let cursor = cursor(protocol)?;
        publish_missed(protocol)?;
        let plan = Plan {
            channels: 1,
            subscribers: vec![vec![0]; LIVE],
            publishers: 1,
            payload: self.args.payload.unwrap_or(200),
            pace: Pace::Paced { per_second: RATE },
        };
        let mut load = Load::connect(protocol, &plan)?;
        load.begin()?;
        load.drive(self.args.timing().warmup)?;
        load.recorder.measuring = true;
        load.drive(self.args.timing().window)?;
        let quiet = load.recorder.latency.quantile(0.99).context("nothing arrived")?;
        load.recorder.latency.clear();
        let start = Instant::now();
        let seen = resume_all(protocol, &mut load, count, &cursor)?;
        let seconds = start.elapsed().as_secs_f64();
        let busy = load.recorder.latency.quantile(0.99).context("nothing arrived meanwhile")?;
        load.settle()?;
        let due = count as u64 * u64::from(BEHIND);
        let quiet_note = format!("quiet p99 {:.2} ms; caught up in {seconds:.2} s", as_f64(quiet) / 1000.0);
        self.print(Row {
            scenario: "resume",
            protocol: protocol.label(),
            n: count,
            per_second: Some(as_f64(seen) / seconds),
            ratio: Some(as_f64(busy) / as_f64(quiet)),
            p50_us: load.recorder.latency.quantile(0.5),
            p99_us: Some(busy),
            lost: Some(due.saturating_sub(seen) + load.recorder.missing()),
            disordered: Some(load.recorder.disordered),
            note: Some(note.map_or(quiet_note.clone(), |note| format!("{note}; {quiet_note}"))),
            ..Row::default()
        })
    }
}

/// Counts what the resuming clients receive.
#[derive(Default)]
struct Counter {
    deliveries: u64,
    confirmed: u64,
    ready: usize,
}

impl Watcher for Counter {
    fn happened(&mut self, _conn: usize, what: Happening, _now: u64) {
        match what {
            Happening::Delivery(stamp) if stamp.channel == MISSED && stamp.seq < BEHIND => self.deliveries += 1,
            Happening::Delivery(_) => {}
            Happening::Published => self.confirmed += 1,
            Happening::Ready => self.ready += 1,
        }
    }
}

/// Connects all at once and lets them catch up; small bites, so that live subscribers are read in between.
fn resume_all(protocol: &dyn Protocol, load: &mut Load<'_>, count: usize, cursor: &str) -> Result<u64> {
    let mut bulk = Pool::new(4, 32 * 1024)?.with_clock(&load.pool);
    let mut counter = Counter::default();
    let due = count as u64 * u64::from(BEHIND);
    let mut last = (0, Instant::now());
    while counter.deliveries < due {
        if bulk.len() < count {
            let client = protocol.resumer(MISSED, cursor).context("this protocol cannot resume here")?;
            bulk.connect(protocol.address(), client)?;
        }
        load.step(Duration::ZERO)?;
        bulk.turn(Duration::from_micros(if bulk.len() < count { 0 } else { 500 }), &mut counter)?;
        bulk.check()?;
        if counter.deliveries != last.0 {
            last = (counter.deliveries, Instant::now());
        } else if last.1.elapsed() > PATIENCE {
            bail!("{} of {due} missed messages arrived", counter.deliveries);
        }
    }
    Ok(counter.deliveries)
}

/// Publishes what the resuming clients will have missed.
fn publish_missed(protocol: &dyn Protocol) -> Result<()> {
    let mut pool = Pool::new(8, 64 * 1024)?;
    let mut counter = Counter::default();
    let conn = pool.connect(protocol.address(), protocol.publisher(MISSED))?;
    let start = Instant::now();
    let mut payload = Vec::new();
    let mut next = 0;
    while counter.confirmed < u64::from(BEHIND) {
        if counter.ready > 0 && next < BEHIND && u64::from(next) < counter.confirmed + 16 {
            payload.clear();
            Stamp { channel: MISSED, seq: next, sent: pool.now() }.payload(200, &mut payload);
            pool.publish(conn, MISSED, &payload)?;
            pool.flush(conn);
            next += 1;
            continue;
        }
        pool.turn(Duration::from_millis(100), &mut counter)?;
        pool.check()?;
        if start.elapsed() > PATIENCE {
            bail!("only {} of {BEHIND} messages were accepted", counter.confirmed);
        }
    }
    Ok(())
}

/// The id of a message published just before the ones that will be missed.
fn cursor(protocol: &dyn Protocol) -> Result<String> {
    let mut stream = handshake(protocol)?;
    let mut publisher = TcpStream::connect(protocol.address())?;
    let (mut bytes, mut publication) = (Vec::new(), Vec::new());
    read_until(&mut stream, &mut bytes, |text| text.contains("\r\n\r\n"))?;
    protocol.publisher(MISSED).publish(MISSED, b"~cursor~", &mut publication)?;
    publisher.write_all(&publication)?;
    let text = read_until(&mut stream, &mut bytes, |text| {
        text.find("~cursor~").is_some_and(|at| text.get(at..).is_some_and(|rest| rest.contains("\n\n")))
    })?;
    let before = text.split("~cursor~").next().unwrap_or_default();
    let after = text.split("~cursor~").nth(1).unwrap_or_default();
    // The id may stand before or after the data of its event.
    let id = |part: &str| part.lines().rev().find_map(|l| l.strip_prefix("id:").map(|id| id.trim().to_owned()));
    let event = before.rsplit("\n\n").next().unwrap_or_default();
    id(event).or_else(|| id(after)).context("the server's events carry no id")
}

fn handshake(protocol: &dyn Protocol) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(protocol.address())?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let (mut out, mut news) = (Vec::new(), Vec::new());
    protocol.subscriber(&[MISSED]).open(&mut crate::proto::Io { out: &mut out, news: &mut news })?;
    stream.write_all(&out)?;
    Ok(stream)
}

fn read_until(stream: &mut TcpStream, bytes: &mut Vec<u8>, done: impl Fn(&str) -> bool) -> Result<String> {
    let mut buffer = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(bytes).into_owned();
        if done(&text) {
            return Ok(text);
        }
        let read = stream.read(&mut buffer).context("waiting for a message with an id")?;
        if read == 0 {
            bail!("the server ended the stream");
        }
        bytes.extend_from_slice(buffer.get(..read).unwrap_or_default());
    }
}
