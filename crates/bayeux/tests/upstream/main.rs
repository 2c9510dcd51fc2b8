//! The client side, against our own server and against servers that behave as Salesforce's does.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod bridge;
mod salesforce;
mod support;
