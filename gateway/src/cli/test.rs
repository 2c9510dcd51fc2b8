//! `ratatosk test`: unit tests of bridge rules.

mod compare;
mod file;
mod report;
mod simulate;

use std::{path::PathBuf, process::ExitCode};

use self::{
    compare::{Finding, compare},
    file::TestFile,
    simulate::Simulation,
};
use super::{FAILED, MISUSED, sub::paint::ColorChoice};

/// Tests the bridge rules of a configuration: given these messages, do exactly those cross? The file names a configuration
/// and lists cases; see docs/bridges.md. Nothing is opened and no server is asked. Exits with 1 if a case fails, and with 2 if
/// the file or its configuration is wrong.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  ratatosk test examples/bridge.test.toml\n  ratatosk test bridges/*.test.toml")]
pub(super) struct Args {
    /// Files with test cases, in TOML
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Colour the output
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    color: ColorChoice,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let mut report = report::Report::new(args.color.is_on());
    for path in &args.files {
        let file = match TestFile::read(path) {
            Ok(file) => file,
            Err(error) => {
                super::report(&error);
                return Ok(ExitCode::from(MISUSED));
            }
        };
        report.file(path);
        let resolved = ratatosk::config::load(&file.sources(path))?;
        let simulation = Simulation::new(&resolved);
        for (number, case) in file.cases.into_iter().enumerate() {
            let came = match simulation.run(&case, number) {
                Ok(came) => came,
                Err(wrong) => {
                    super::report(&anyhow::anyhow!("{}: case {:?}: {wrong}", path.display(), case.name));
                    return Ok(ExitCode::from(MISUSED));
                }
            };
            let findings: Vec<Finding> = compare(&case.expect, &came);
            report.case(&case.name, &findings);
        }
    }
    let failed = report.failed();
    super::print(&report.text())?;
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}
