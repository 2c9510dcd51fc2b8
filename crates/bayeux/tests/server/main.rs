//! The server side over real sockets.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod judging;
mod polling;
mod refusals;
mod services;
mod sockets;
mod support;
