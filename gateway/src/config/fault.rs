//! What is wrong with a configuration: all of it, not only the first.

use std::fmt;

use ratatosk_connector::config_types::ValueError;

use super::path::KeyPath;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where the value comes from: `gateway.toml:12`, `--set`, `RATATOSK__HTTP__LISTEN`. Empty when it was left out.
    pub origin: String,
    /// The key, for example `http.listen` or `[[upstreams]] #2 .url`. Empty when it is not about one key.
    pub key: String,
    /// What is wrong.
    pub problem: String,
    /// What to do.
    pub advice: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in [&self.origin, &self.key] {
            if !part.is_empty() {
                write!(f, "{part}: ")?;
            }
        }
        f.write_str(&self.problem)?;
        if !self.advice.is_empty() {
            write!(f, "; {}", self.advice)?;
        }
        Ok(())
    }
}

/// Everything that is wrong. Never empty when it is returned as an error.
#[derive(Debug, Clone, Default, PartialEq, Eq, thiserror::Error)]
pub struct ConfigErrors {
    /// In the order they were found.
    pub faults: Vec<Fault>,
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.faults.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            fault.fmt(f)?;
        }
        Ok(())
    }
}

/// A fault that still has its path, before its origin is looked up.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) path: KeyPath,
    pub(super) problem: String,
    pub(super) advice: String,
}

impl Found {
    pub(super) fn new(path: KeyPath, problem: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { path, problem: problem.into(), advice: advice.into() }
    }

    pub(super) fn value(path: KeyPath, error: ValueError) -> Self {
        Self { path, problem: error.problem, advice: error.advice }
    }
}
