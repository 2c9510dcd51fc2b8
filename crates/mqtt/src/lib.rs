#![doc = include_str!("../README.md")]

#[cfg(feature = "runtime")]
pub mod client;
#[cfg(feature = "runtime")]
pub mod config;
#[cfg(feature = "runtime")]
pub mod mapping;
pub mod proto;
#[cfg(feature = "runtime")]
pub mod server;
