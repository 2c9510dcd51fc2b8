//! `connect`: CPU from the first byte of a connection to its confirmed subscription.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::Bench;
use crate::engine::load::{Load, Pace, Plan, as_f64};
use crate::meter::{Cpu, Processes};
use crate::proto::Protocol;
use crate::proto::floor::Floor;
use crate::report::{Row, median};

/// Connections that warm the server up.
const WARM: usize = 300;

struct Storm {
    per_second: f64,
    cpu_us: f64,
    request: usize,
    answer: usize,
}

impl Bench {
    pub(super) fn connect(&mut self, protocol: &dyn Protocol) -> Result<()> {
        let (count, note) = self.clamp(self.args.connections.unwrap_or(3000));
        let (mut costs, mut floors, mut rates, mut ratios) = (vec![], vec![], vec![], vec![]);
        for _ in 0..self.args.runs.max(1) {
            let server = storm(protocol, count, &self.server_processes()?)?;
            costs.push(server.cpu_us);
            rates.push(server.per_second);
            if let Some(process) = &self.floor {
                let (request, answer) = (server.request, server.answer);
                let protocol = Floor { address: process.address, frame: 0, request, answer };
                let floor = storm(&protocol, count, &process.processes)?;
                floors.push(floor.cpu_us);
                ratios.push(server.cpu_us / floor.cpu_us);
            }
        }
        self.print(Row {
            scenario: "connect",
            protocol: protocol.label(),
            n: count,
            per_second: median(rates),
            cpu_us: median(costs),
            floor_us: median(floors),
            ratio: median(ratios),
            note,
            ..Row::default()
        })
    }
}

/// Subscribers only, one channel for every ten.
pub(super) fn crowd(count: usize) -> Plan {
    let subscribers = (0..count).map(|i| vec![u16::try_from(i / 10).unwrap_or_default()]).collect();
    let pace = Pace::Paced { per_second: 0.001 };
    Plan { channels: u16::MAX, subscribers, publishers: 0, payload: 0, pace }
}

fn storm(protocol: &dyn Protocol, count: usize, server: &Processes) -> Result<Storm> {
    drop(Load::connect(protocol, &crowd(WARM))?);
    // What the server does about their leaving is not part of the figure.
    std::thread::sleep(Duration::from_millis(200));
    let plan = crowd(count);
    let (from, start) = (server.cpu()?, Instant::now());
    let mut load = Load::connect(protocol, &plan)?;
    let seconds = start.elapsed().as_secs_f64();
    let (sent, received) = (load.pool.sent, load.pool.received);
    load.pool.turn(Duration::from_millis(50), &mut load.recorder)?;
    let cpu = Cpu::between_us(from, server.cpu()?);
    let count = as_f64(count as u64);
    Ok(Storm {
        per_second: count / seconds,
        cpu_us: cpu / count,
        request: per(sent, count),
        answer: per(received, count),
    })
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "mean sizes of handshakes")]
fn per(bytes: u64, count: f64) -> usize {
    (as_f64(bytes) / count).round() as usize
}
