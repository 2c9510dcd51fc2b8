//! The client side: joins a foreign Pusher server as one of its clients, and publishes by its HTTP API.
//!
//! One attempt at a time, as [`ClientSide`] asks. What outlives a connection is who was present where, so that joins and leaves
//! after a reconnect are true, and whether the server insisted on TLS.

mod api;
mod attempt;
mod authorize;
mod facts;
mod link;
mod outbound;
mod pump;
mod secretbox;
mod settings;
mod step;
mod subscriptions;

use std::sync::Arc;

use ratatosk_connector::upstream::{ClientSide, Ended, Port};
use ratatosk_core::Fields;
use tokio::sync::broadcast;

use self::settings::Settings;
pub use self::{
    facts::{ChannelFacts, ClientState, Facts, FactsCell, News},
    settings::SetupError,
};
use crate::config::PusherUpstreamConfig;

/// News that a slow listener may be behind by.
const NEWS: usize = 256;

/// Says whether a client can be made from this; what it reads are certificates alone.
///
/// # Errors
/// As [`PusherClient::new`].
pub fn check(url: &url::Url, config: &PusherUpstreamConfig) -> Result<(), SetupError> {
    Settings::new(url, config).map(drop)
}

/// The client side of one Pusher upstream.
#[derive(Debug)]
pub struct PusherClient {
    settings: Arc<Settings>,
    http: reqwest::Client,
    facts: Arc<FactsCell>,
    /// The server closed with 4000: it takes TLS alone.
    needs_tls: bool,
}

impl PusherClient {
    /// Checks the configuration and reads its certificates; connects to nothing.
    ///
    /// # Errors
    /// A URL without a host or key, `user_info` that is no JSON, a master key that is not 32 bytes, certificates that cannot be
    /// used.
    pub fn new(url: &url::Url, config: &PusherUpstreamConfig) -> Result<Self, SetupError> {
        let settings = Settings::new(url, config)?;
        let http = api::client(&settings)?;
        let facts = Arc::new(FactsCell::new(broadcast::Sender::new(NEWS)));
        Ok(Self { settings: Arc::new(settings), http, facts, needs_tls: false })
    }

    /// What is known of the server: the connection, its channels, who is present in them. Readable while it is down, too.
    #[must_use]
    pub fn facts(&self) -> Arc<FactsCell> {
        self.facts.clone()
    }
}

impl ClientSide for PusherClient {
    async fn attempt(&mut self, port: &mut Port) -> Ended {
        Box::pin(attempt::run(self, port)).await
    }

    fn carries(&self) -> Fields {
        crate::mapping::CARRIES
    }
}
