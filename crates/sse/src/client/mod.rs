//! The client side: follows a foreign event stream, and sends to its publish URL.
//!
//! One attempt at a time, as [`ClientSide`] asks. What outlives a connection is the place in the stream (`Last-Event-ID`) and the
//! reconnection time the server asked for; both count from the moment the bus has taken the events before them.

mod answer;
mod attempt;
mod courier;
mod facts;
mod http;
mod inbound;
mod place;
mod publish;
mod rules;
mod settings;
mod template;

pub use facts::{Facts, FactsCell};
pub use rules::{EventRuleError, event_rule};
pub use settings::SetupError;

use crate::config::SseUpstreamConfig;
use place::Place;
use ratatosk_connector::upstream::{ClientSide, Ended, Port};
use ratatosk_core::Fields;
use settings::Settings;
use std::sync::Arc;
use std::time::Duration;

/// The client side of one SSE upstream.
#[derive(Debug)]
pub struct SseClient {
    settings: Arc<Settings>,
    http: reqwest::Client,
    place: Place,
    retry: Option<Duration>,
    facts: Arc<FactsCell>,
}

impl SseClient {
    /// Checks the configuration and reads its certificates; connects to nothing.
    ///
    /// # Errors
    /// A URL, header, proxy, template or certificate that cannot be used.
    pub fn new(url: &url::Url, config: &SseUpstreamConfig) -> Result<Self, SetupError> {
        let settings = Settings::new(url, config)?;
        let http = http::client(&settings, config)?;
        let place = Place::configured(config.last_event_id.as_deref().unwrap_or_default());
        Ok(Self { settings: Arc::new(settings), http, place, retry: None, facts: Arc::default() })
    }

    /// Checks the configuration without reading any file.
    ///
    /// # Errors
    /// A URL, header or template that cannot be used.
    pub fn check(url: &url::Url, config: &SseUpstreamConfig) -> Result<(), SetupError> {
        Settings::new(url, config).map(drop)
    }

    /// What a server with this configuration is told of a message that is sent to it.
    ///
    /// # Errors
    /// As [`SseClient::check`].
    pub fn carries(url: &url::Url, config: &SseUpstreamConfig) -> Result<Fields, SetupError> {
        Ok(Settings::new(url, config)?.carries())
    }

    /// What an operator may see of the stream, also while it is down.
    #[must_use]
    pub fn facts(&self) -> Arc<FactsCell> {
        self.facts.clone()
    }
}

impl ClientSide for SseClient {
    async fn attempt(&mut self, port: &mut Port) -> Ended {
        attempt::run(self, port).await
    }

    fn carries(&self) -> Fields {
        self.settings.carries()
    }
}
