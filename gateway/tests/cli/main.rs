//! The real binary: what it says about configurations, what its commands print, and how it exits.
#![expect(clippy::unwrap_used, reason = "tests")]

mod check;
mod commands;
mod trial;
