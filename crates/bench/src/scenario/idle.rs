//! `idle`: what a subscribed connection that does nothing costs in memory, and in CPU.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::Bench;
use super::connect::crowd;
use crate::engine::load::{Load, as_f64};
use crate::meter::Cpu;
use crate::proto::Protocol;
use crate::report::Row;

/// Connections made and dropped first: code and allocator pages that every server touches once are not the price of a
/// connection.
const WARM: usize = 200;
/// Time for handshakes to be forgotten.
const SETTLE: Duration = Duration::from_secs(1);

impl Bench {
    pub(super) fn idle(&mut self, protocol: &dyn Protocol) -> Result<()> {
        let (count, note) = self.clamp(self.args.connections.unwrap_or(10_000));
        self.server.renew(&self.args, self.cores)?;
        self.server.await_listening(protocol.address())?;
        let server = self.server_processes()?;
        drop(Load::connect(protocol, &crowd(WARM))?);
        std::thread::sleep(SETTLE);
        let before = server.rss_kib()?;
        let plan = crowd(count);
        let mut load = Load::connect(protocol, &plan)?;
        wait(&mut load, SETTLE)?;
        let (cpu, start) = (server.cpu()?, Instant::now());
        wait(&mut load, self.args.timing().window)?;
        let busy = Cpu::between_us(cpu, server.cpu()?) / start.elapsed().as_secs_f64() / 1e4;
        let after = server.rss_kib()?;
        load.pool.check()?;
        self.print(Row {
            scenario: "idle",
            protocol: protocol.label(),
            n: count,
            kib: Some(as_f64(after.saturating_sub(before)) / as_f64(count as u64)),
            server_busy: Some(busy),
            note,
            ..Row::default()
        })
    }
}

fn wait(load: &mut Load<'_>, span: Duration) -> Result<()> {
    let end = Instant::now() + span;
    while let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
        load.pool.turn(left, &mut load.recorder)?;
    }
    Ok(())
}
