//! Files that are made from the code are as the code would make them.
//!
//! `RATATOSK_BLESS=1 cargo test -p ratatosk --test generated` writes them anew.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::path::{Path, PathBuf};

use ratatosk::config::{self, DEFAULT_TOML, RawConfig, Sources};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn compare(path: &Path, wanted: &str) {
    if std::env::var_os("RATATOSK_BLESS").is_some() {
        std::fs::write(path, wanted).unwrap();
    }
    let there = std::fs::read_to_string(path).unwrap_or_default();
    let differs = there.lines().zip(wanted.lines()).position(|(there, wanted)| there != wanted);
    assert!(
        there == wanted,
        "{} is not current (line {}): run RATATOSK_BLESS=1 cargo test -p ratatosk --test generated",
        path.display(),
        differs.map_or_else(|| there.lines().count().min(wanted.lines().count()) + 1, |at| at + 1),
    );
}

#[test]
fn the_default_file_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/config/default.toml");
    compare(&path, &config::default_file().unwrap());
}

#[test]
fn the_reference_is_current() {
    compare(&repository().join("docs/configuration.md"), &config::reference());
}

#[test]
fn the_metrics_reference_is_current() {
    compare(&repository().join("docs/metrics.md"), &ratatosk::metrics_reference());
}

#[test]
fn the_default_file_holds_the_defaults_of_the_code() {
    let parsed: RawConfig = toml::from_str(DEFAULT_TOML).unwrap();
    assert_eq!(parsed, RawConfig::default());
    // `PartialEq` sees what is masked in the output.
    assert_eq!(parsed.pusher.apps.first().unwrap().secret.expose(), "demo-secret");
}

#[test]
fn the_defaults_are_a_valid_configuration() {
    let resolved = config::load(&Sources::default()).unwrap();
    assert_eq!(*resolved.raw, RawConfig::default());
}

/// Every key that the file shows commented out is known and of the right type.
#[test]
fn the_commented_keys_of_the_default_file_are_keys() {
    let uncommented: String = DEFAULT_TOML
        .lines()
        .map(|line| line.strip_prefix('#').filter(|rest| !rest.starts_with(' ') && !rest.is_empty()).unwrap_or(line))
        .flat_map(|line| [line, "\n"])
        .collect();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("all.toml");
    std::fs::write(&file, uncommented).unwrap();
    let sources = Sources { file: Some(file), ..Sources::default() };
    let Err(errors) = config::load(&sources) else { return };
    let wrong: Vec<_> = errors
        .faults
        .iter()
        .map(ToString::to_string)
        .filter(|fault| ["unknown key", "expected", "missing", "not TOML"].iter().any(|word| fault.contains(word)))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
