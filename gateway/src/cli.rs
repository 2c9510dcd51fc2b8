//! The command line.
//!
//! Exit status: 0 done, 1 failed while running, 2 wrong usage or configuration (clap exits with 2 by itself).

mod bridge;
mod check;
mod client;
mod config;
mod dashboards;
mod demo;
mod explain;
mod health;
mod manual;
mod process;
mod publish;
mod serve;
mod source;
mod sub;
mod test;
mod token;
mod upstream_url;

use std::{io::Write as _, process::ExitCode};

use clap::{Parser, Subcommand};
use ratatosk::config::ConfigErrors;

/// Failed while running.
const FAILED: u8 = 1;
/// Wrong usage or configuration.
const MISUSED: u8 = 2;

/// A realtime gateway: Bayeux, MQTT, Pusher and server-sent events on one bus.
#[derive(Debug, Parser)]
#[command(name = "ratatosk", version, max_term_width = 100, subcommand_required = true, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway
    Serve(serve::Args),
    Demo(demo::Args),
    /// Run the gateway with one upstream, no configuration file needed
    Bridge(bridge::Args),
    /// Check a configuration: print everything that is wrong with it, open nothing
    Check(check::Args),
    /// Print the configuration in force, the defaults, or the schema
    Config(config::Args),
    Sub(Box<sub::Args>),
    Pub(Box<publish::Args>),
    /// Measure a gateway or another server: CPU per delivery, latency, loss, memory per connection
    Bench(Box<ratatosk_bench::BenchArgs>),
    /// Test the bridge rules of a configuration: given these messages, do those cross?
    Test(test::Args),
    /// Tell all that a configuration has to do with a channel
    Explain(explain::Args),
    /// Make a signed token for tests and scripts
    Token(Box<token::Args>),
    /// Print Grafana dashboards and Prometheus rules
    Dashboards(dashboards::Args),
    /// Ask a running gateway whether it is ready
    Health(health::Args),
    /// Print a script that completes commands in a shell
    Completions(manual::CompletionArgs),
    /// Print the manual page
    Man,
}

/// Reads the command line and does what it says.
pub(crate) fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Serve(args) => serve::run(args),
        Command::Demo(args) => demo::run(&args),
        Command::Bridge(args) => bridge::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Config(args) => config::run(&args),
        Command::Sub(args) => sub::run(&args),
        Command::Pub(args) => publish::run(&args),
        Command::Bench(args) => ratatosk_bench::run(*args),
        Command::Test(args) => test::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Token(args) => token::run(&args),
        Command::Dashboards(args) => dashboards::run(&args),
        Command::Health(args) => health::run(&args),
        Command::Completions(args) => manual::completions(&args),
        Command::Man => manual::page(),
    };
    match done {
        Ok(code) => code,
        Err(error) => report(&error),
    }
}

/// Prints an error; configurations that are wrong have an exit status of their own.
fn report(error: &anyhow::Error) -> ExitCode {
    let mut err = std::io::stderr().lock();
    if let Some(errors) = error.downcast_ref::<ConfigErrors>() {
        for fault in &errors.faults {
            let _ = writeln!(err, "error: {fault}");
        }
        return ExitCode::from(MISUSED);
    }
    let _ = writeln!(err, "error: {error:#}");
    ExitCode::from(FAILED)
}

/// Prints a text to standard output. A reader that has seen enough (`| head`) is no failure.
fn print(text: &str) -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(ExitCode::SUCCESS),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
