//! The server side: mounts on the HTTP listener.
//!
//! Requests become batches for `process.rs`, which drives the sessions' machines. What a request is answered with
//! goes out by HTTP (`http.rs`), JSONP, WebSocket or Faye's event stream.

pub(crate) mod admit;
pub(crate) mod clock;
mod cookie;
mod direct;
mod directory;
mod encode;
mod host;
mod judged;
mod link;
mod live;
mod mount;
mod process;
mod queued;
mod service;
mod sweep;
mod web;

pub use self::{
    mount::{BayeuxServer, ServerConfig},
    service::{ServiceCall, ServiceHandler},
};
