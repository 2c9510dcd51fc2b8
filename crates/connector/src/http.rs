//! The HTTP listener that all web connectors share.
//!
//! Requests go through an axum router. A long-lived answer over HTTP/1.1 (an event stream, an upgraded
//! WebSocket) takes the connection over: hyper's buffers and task state are given back, and the connector
//! owns the bare socket.

pub use crate::listener::Permit;

pub use self::{
    body::read_body,
    forwarded::{ForwardedHeader, TrustedProxies},
    listener::{Front, HttpLimits, HttpListener, Shortcut},
    origins::Origins,
    problem::Problem,
    requester::Requester,
    takeover::{Resume, Taken, Takeover},
    trace::trace_context,
    wire::{put_date, put_header, says_close},
};

mod body;
mod express;
mod forwarded;
mod listener;
mod origins;
pub mod plain;
mod problem;
mod requester;
mod rewound;
mod takeover;
mod trace;
mod unread;
mod wire;
