//! Placeholder.

pub mod backoff;
pub mod config_types;
pub mod rules;
pub mod upstream;
