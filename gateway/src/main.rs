//! The `ratatosk` binary: reads its command line and hands over to the library.

mod cli;

fn main() -> std::process::ExitCode {
    cli::main()
}
