//! Suites that every engine must pass, and helpers for tests.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a suite fails by panicking")]

pub mod engine_suite;
pub mod names;
