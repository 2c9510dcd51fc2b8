//! The load generator behind `ratatosk bench`.
//!
//! It measures a server from outside, as a process of its own, and divides what the server spends by what a bare
//! program spends on the same deliveries: the *floor*, run next to it by the same generator. The ratio says how much of
//! the cost is the server's doing, on any machine.
//!
//! One generator thread drives all connections with epoll and finds its own stamps in what arrives instead of parsing
//! it, so that it is seldom the bottleneck; the table says how busy it was. A protocol is one file in `proto/`.

mod access;
mod args;
mod bars;
mod cores;
mod engine;
mod floor;
mod meter;
mod peer;
mod proto;
mod report;
mod scenario;
mod server;
mod stamp;

use std::io::Write;
use std::net::TcpListener;
use std::process::ExitCode;

use anyhow::Result;
use rustix::process::{Resource, Rlimit, Signal, getrlimit, set_parent_process_death_signal, setrlimit};

pub use args::{BenchArgs, Kind, Mode, Peer, Scenario};

/// Runs a benchmark and prints its table. Fails when the server cannot be started or measured; answers
/// [`ExitCode::FAILURE`] when some figure could not be taken.
pub fn run(args: BenchArgs) -> Result<ExitCode> {
    let limit = raise_limit();
    if args.scenario == Scenario::Floor {
        // The floor shall not outlive a generator that was killed.
        set_parent_process_death_signal(Some(Signal::KILL))?;
        let listener = TcpListener::bind(args.listen)?;
        println!("{}", listener.local_addr()?);
        std::io::stdout().flush()?;
        floor::serve(listener, args.join)?;
        return Ok(ExitCode::SUCCESS);
    }
    let complete = scenario::Bench::new(args, limit)?.run()?;
    Ok(if complete { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Allows as many open files as the system does, for this process and the servers it starts; answers how many
/// connections that leaves.
fn raise_limit() -> usize {
    let now = getrlimit(Resource::Nofile);
    if now.current < now.maximum {
        // Where it fails the soft limit stays, and counts.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: now.maximum, maximum: now.maximum });
    }
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(1 << 20);
    usize::try_from(limit).unwrap_or(usize::MAX).saturating_sub(200)
}
