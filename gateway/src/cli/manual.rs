//! `ratatosk completions` and `ratatosk man`.

use std::process::ExitCode;

use clap::CommandFactory as _;
use clap_complete::Shell;

/// Prints a completion script.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  ratatosk completions bash > /etc/bash_completion.d/ratatosk")]
pub(super) struct CompletionArgs {
    /// The shell
    shell: Shell,
}

pub(super) fn completions(args: &CompletionArgs) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut super::Cli::command(), "ratatosk", &mut script);
    super::print(&String::from_utf8(script)?)
}

/// All commands on one page, in the format of `man`: each command is a section, and its parts are subsections.
pub(super) fn page() -> anyhow::Result<ExitCode> {
    let command = super::Cli::command();
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone()).render(&mut page)?;
    let mut page = String::from_utf8(page)?;
    for sub in command.get_subcommands() {
        // There is one page, not one for each command.
        page = page.replace(&format!("ratatosk\\-{}(1)", sub.get_name()), &format!("ratatosk {}", sub.get_name()));
        let name = format!("ratatosk {}", sub.get_name());
        let man = clap_mangen::Man::new(sub.clone().bin_name(&name));
        let mut parts = Vec::new();
        man.render_synopsis_section(&mut parts)?;
        man.render_description_section(&mut parts)?;
        man.render_options_section(&mut parts)?;
        man.render_extra_section(&mut parts)?;
        page.push_str(&format!(".SH \"{}\"\n", name.to_uppercase()));
        page.push_str(&String::from_utf8(parts)?.replace(".SH ", ".SS "));
    }
    super::print(&page)
}
