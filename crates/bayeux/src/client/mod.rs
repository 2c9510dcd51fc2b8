//! The client side: joins CometD, Faye, Salesforce, or another gateway.
//!
//! One attempt at a time, as [`ClientSide`] asks. What outlives a connection is the session (a server keeps it for a
//! while, with the messages that came meanwhile), the last acknowledged batch, and the place in each channel's history.

mod attempt;
mod begin;
mod compose;
mod memory;
mod receive;
mod settings;
mod token;
mod wire;

use std::sync::Arc;

use ratatosk_connector::upstream::{ClientSide, Ended, Port};
use ratatosk_core::Fields;
use url::Url;

pub use self::settings::SetupError;
use self::{memory::Memory, settings::Settings, token::Token};
use crate::config::BayeuxUpstreamConfig;

/// The client side of one Bayeux upstream.
#[derive(Debug)]
pub struct BayeuxClient {
    settings: Arc<Settings>,
    http: reqwest::Client,
    token: Token,
    memory: Memory,
}

impl BayeuxClient {
    /// Checks the configuration and reads its certificates; connects to nothing.
    ///
    /// # Errors
    /// A URL, header or certificate that cannot be used.
    pub fn new(url: &Url, config: &BayeuxUpstreamConfig) -> Result<Self, SetupError> {
        let settings = Settings::new(url, config)?;
        let http = settings.http()?;
        Ok(Self { settings: Arc::new(settings), http, token: Token::default(), memory: Memory::default() })
    }

    /// Checks the configuration without reading any file.
    ///
    /// # Errors
    /// A URL or header that cannot be used.
    pub fn check(url: &Url, config: &BayeuxUpstreamConfig) -> Result<(), SetupError> {
        Settings::new(url, config).map(drop)
    }
}

impl ClientSide for BayeuxClient {
    async fn attempt(&mut self, port: &mut Port) -> Ended {
        Box::pin(attempt::run(self, port)).await
    }

    fn carries(&self) -> Fields {
        crate::mapping::CARRIES
    }
}
