//! The MQTT protocol without input or output: no socket, no clock, no task, no randomness.
//!
//! [`codec`] turns bytes into packets and back; it serves both sides of the connector.
//! [`session`] is what a server knows of one client, and what it answers.

pub mod codec;
pub mod session;
