//! The harness of the black-box tests: starts the real binary, real brokers and real stock clients, and waits for what
//! they say instead of sleeping.
//!
//! The gateway under test is `target/{profile}/ratatosk` next to the running test executable (or `RATATOSK_BIN`); `make test`
//! builds it first. Every server listens on a free loopback port of its own, so tests run side by side in any order.

pub mod bayeux;
pub mod command;
pub mod docs;
pub mod gateway;
pub mod hook;
pub mod http;
pub mod metrics;
pub mod mosquitto;
pub mod mqtt;
pub mod ports;
pub mod process;
pub mod prometheus;
pub mod proxy;
pub mod pusher;
pub mod script;
pub mod soketi;
pub mod sse;
pub mod tls;
pub mod wait;

pub use gateway::Gateway;
pub use mosquitto::Mosquitto;
pub use script::Script;
pub use sse::SseStream;

/// The `tests/` directory of the repository.
#[must_use]
pub fn tests_dir() -> &'static std::path::Path {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
}
