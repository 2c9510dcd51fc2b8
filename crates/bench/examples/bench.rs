//! The bench without the gateway: `cargo run --release --example bench -- bench fanout --peer nchan`.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use ratatosk_bench::BenchArgs;

#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measure a server
    Bench(Box<BenchArgs>),
}

fn main() -> anyhow::Result<ExitCode> {
    let Command::Bench(args) = Cli::parse().command;
    ratatosk_bench::run(*args)
}
