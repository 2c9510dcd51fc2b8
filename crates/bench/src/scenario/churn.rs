//! `churn`: how long new connections wait while a crowd disconnects at once.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::{Bench, connect::crowd};
use crate::engine::latency::Latency;
use crate::engine::load::{Load, as_f64};
use crate::engine::pool::{Pool, Watcher};
use crate::proto::{Happening, Protocol};
use crate::report::Row;

/// Connections that leave between two newcomers: the wave is so long that newcomers meet all of it.
const SHARE: usize = 25;
/// Newcomers that are timed while nothing else happens.
const QUIET: usize = 400;
const PATIENCE: Duration = Duration::from_secs(30);

impl Bench {
    pub(super) fn churn(&mut self, protocol: &dyn Protocol) -> Result<()> {
        let (count, note) = self.clamp(self.args.connections.unwrap_or(10_000));
        let share = crowd(SHARE);
        let shares: Vec<Load<'_>> =
            (0..count / SHARE).map(|_| Load::connect(protocol, &share)).collect::<Result<_>>()?;
        let mut door = Door::new(protocol)?;
        let (mut quiet, mut busy) = (Latency::new()?, Latency::new()?);
        for _ in 0..QUIET {
            door.enter(&mut quiet)?;
        }
        let start = Instant::now();
        for share in shares {
            drop(share);
            door.enter(&mut busy)?;
        }
        let seconds = start.elapsed().as_secs_f64();
        let quiet = quiet.quantile(0.99).context("nobody came")?;
        let p99 = busy.quantile(0.99).context("nobody came meanwhile")?;
        let told = format!("quiet p99 {:.2} ms; all had left after {seconds:.2} s", as_f64(quiet) / 1000.0);
        self.print(Row {
            scenario: "churn",
            protocol: protocol.label(),
            n: count,
            per_second: Some(as_f64(count as u64) / seconds),
            ratio: Some(as_f64(p99) / as_f64(quiet)),
            p50_us: busy.quantile(0.5),
            p99_us: Some(p99),
            note: Some(note.map_or(told.clone(), |note| format!("{note}; {told}"))),
            ..Row::default()
        })
    }
}

/// Lets one newcomer in after the other.
struct Door<'a> {
    protocol: &'a dyn Protocol,
    pool: Pool,
    ready: Ready,
}

#[derive(Default)]
struct Ready(usize);

impl Watcher for Ready {
    fn happened(&mut self, _conn: usize, what: Happening, _now: u64) {
        self.0 += usize::from(matches!(what, Happening::Ready));
    }
}

impl<'a> Door<'a> {
    fn new(protocol: &'a dyn Protocol) -> Result<Self> {
        Ok(Self { protocol, pool: Pool::new(8, 64 * 1024)?, ready: Ready::default() })
    }

    /// From the first byte to the confirmed subscription.
    fn enter(&mut self, into: &mut Latency) -> Result<()> {
        let (start, before) = (Instant::now(), self.ready.0);
        self.pool.connect(self.protocol.address(), self.protocol.subscriber(&[0]))?;
        while self.ready.0 == before {
            self.pool.turn(Duration::from_millis(100), &mut self.ready)?;
            self.pool.check()?;
            if start.elapsed() > PATIENCE {
                bail!("a newcomer waited in vain");
            }
        }
        into.record(u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX));
        Ok(())
    }
}
