//! Where a command takes its configuration from.

use std::path::PathBuf;

use ratatosk::config::Sources;

/// A file and settings over it.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct SourceArgs {
    /// Configuration file: TOML, or YAML and JSON by extension. Without one, the defaults hold
    #[arg(short, long, value_name = "FILE", env = "RATATOSK_CONFIG")]
    config: Option<PathBuf>,
    #[command(flatten)]
    settings: SettingArgs,
}

/// Settings over everything else.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct SettingArgs {
    /// Set one key, over file and environment: `--set http.listen=0.0.0.0:80`, `--set 'upstreams[0].name=a'`
    #[arg(short, long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
}

impl SourceArgs {
    /// The layers these arguments name, with the environment.
    pub(super) fn sources(&self) -> Sources {
        Sources::new(self.config.clone().filter(|path| !path.as_os_str().is_empty()), self.settings.set.clone())
    }
}

impl SettingArgs {
    /// The same without a file.
    pub(super) fn sources(&self) -> Sources {
        Sources::new(None, self.set.clone())
    }
}
