//! Pusher Channels protocol 7 without input or output: no socket, no clock, no task, no randomness. Time and
//! random values are arguments (milliseconds of a clock that never goes back, unless a name says `unix`).
//!
//! - [`connection`]: the state machine of one connection, frames in, [`Action`](connection::Action)s out;
//! - [`http`]: requests of the HTTP API, checked and understood;
//! - [`webhook`], [`debounce`], [`count`]: what is told to whom, and when;
//! - [`fallback`]: the framing of the HTTP fallback transports.

pub mod ask;
pub mod close;
pub mod command;
pub mod connection;
pub mod count;
pub mod debounce;
pub mod fallback;
pub mod follow;
pub mod frame;
pub mod http;
pub mod member;
pub mod name;
pub mod policy;
pub mod presence;
pub mod query;
pub mod rate;
pub mod sign;
pub mod socket_id;
pub mod text;
pub mod version;
pub mod webhook;
