//! What every connector shares: access, the HTTP listener, sockets that lanes write to, upstreams and their supervision,
//! bridge rules, webhooks, configuration types, and the life of the process.

pub mod access;
pub mod backoff;
pub mod config_types;
pub mod http;
pub mod lifecycle;
pub mod limits;
pub mod listener;
pub mod rules;
pub mod socket;
pub mod stream;
pub mod tls;
pub mod turnstile;
pub mod upstream;
pub mod webhook;
pub mod websocket;
