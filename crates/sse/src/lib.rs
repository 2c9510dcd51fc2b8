#![doc = include_str!("../README.md")]

pub mod client;
pub mod config;
pub mod mapping;
pub mod proto;
pub mod server;
