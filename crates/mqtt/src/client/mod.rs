//! The client side: joins a far MQTT broker as one upstream.
//!
//! [`MqttClient`] makes one connection at a time for a [`ratatosk_connector::upstream::Bridge`], on the codec
//! that the server side uses. Why not on a client library: `docs/adr/0005-own-mqtt-client.md`.

mod handshake;
mod link;
mod options;
mod pinger;
mod quick;
mod session;
mod subscriptions;
mod translate;
mod transport;
mod websocket;

pub use options::OptionsError;

use ratatosk_connector::upstream::{ClientSide, Ended, Port};
use ratatosk_core::Fields;
use url::Url;

use self::{handshake::Greeted, link::Link, options::Options, session::Session};
use crate::config::MqttUpstreamConfig;

/// The client side of one upstream.
#[derive(Debug)]
pub struct MqttClient {
    options: Options,
    session: Session,
    attempts: usize,
}

impl MqttClient {
    /// Checks the options; `name` is the upstream's.
    ///
    /// # Errors
    /// An option cannot be used; the message names it.
    pub fn new(name: &str, url: &Url, config: &MqttUpstreamConfig) -> Result<Self, OptionsError> {
        let options = Options::resolve(name, url, config)?;
        let session = Session::new(options.settle);
        Ok(Self { options, session, attempts: 0 })
    }

    async fn greet(&mut self, gateway_id: &str) -> Result<Greeted, Ended> {
        let count = self.options.addresses.len().max(1);
        let Some(address) = self.options.addresses.get(self.attempts % count) else {
            return Err(Ended::refused("no address"));
        };
        self.attempts = self.attempts.wrapping_add(1);
        let greeting = handshake::greet(&self.options, address, gateway_id);
        match tokio::time::timeout(self.options.connect_timeout, Box::pin(greeting)).await {
            Ok(result) => result,
            Err(_) => {
                let limit = self.options.connect_timeout;
                Err(Ended::lost(format!("{}:{} did not let us in within {limit:?}", address.host, address.port)))
            }
        }
    }
}

impl ClientSide for MqttClient {
    async fn attempt(&mut self, port: &mut Port) -> Ended {
        let (leave, gateway_id) = (port.leave(), port.gateway_id().clone());
        tokio::pin!(leave);
        let greeted = tokio::select! {
            greeted = self.greet(&gateway_id) => greeted,
            () = &mut leave => return Ended::asked(),
        };
        let greeted = match greeted {
            Ok(greeted) => greeted,
            Err(ended) => return ended,
        };
        // The address that let us in is the one to come back to.
        self.attempts = self.attempts.wrapping_sub(1);
        Box::pin(Link::new(&self.options, &mut self.session, port, greeted).serve(leave)).await
    }

    fn carries(&self) -> Fields {
        crate::mapping::carries(self.options.version.is_v5())
    }
}
