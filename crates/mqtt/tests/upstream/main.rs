//! The client side against a real Mosquitto, and against brokers that misbehave as a test tells them.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod bench;
mod broken;
mod durable;
mod exactly_once;
mod flow;
mod mosquitto;
mod poison;
mod programs;
mod scripted;
mod stock;
mod tls;
