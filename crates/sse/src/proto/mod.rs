//! The event-stream format of the HTML Standard (section 9.2, "Server-sent events"), sans I/O: bytes in, events out, and the
//! other way round. Nothing here reads a clock, opens a socket, spawns a task or draws a random number.

pub mod control;
pub mod encoder;
pub mod envelope;
pub(crate) mod json;
pub mod parser;
