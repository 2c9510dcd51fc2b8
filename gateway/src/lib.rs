//! Ratatosk as a library: the configuration, and the gateway that it describes.

pub mod config;
pub mod logging;
mod run;

pub use run::run;
