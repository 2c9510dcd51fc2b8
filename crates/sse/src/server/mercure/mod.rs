//! The Mercure hub (draft-dunglas-mercure) at `/.well-known/mercure`: 0.x with URI templates and, beside it, the matchers of 1.0.
//!
//! A topic is a channel of the same name: what Symfony publishes reaches an MQTT client, and what a device publishes reaches a
//! Mercure subscriber. Private updates stay within the hub (see `update.rs`).

use crate::config::MercureConfig;
use crate::server::Server;
use axum::Router;
use axum::routing::{any, get};
use ratatosk_core::Connector;
use std::sync::Arc;

mod handle;
mod live;
mod selector;
mod subscriptions;
mod template;
mod token;
mod update;
mod urlpattern;
mod view;

pub use token::KeyError;

/// The `Link` header by which a page's answer names its hub.
pub const DISCOVERY: &str = "</.well-known/mercure>; rel=\"mercure\"";

/// A hub on a server's bus.
#[derive(Debug, Clone)]
pub struct Hub(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    server: Server,
    connector: Connector,
    publishers: token::Verifier,
    subscribers: token::Verifier,
    anonymous: bool,
    cookie: String,
    tells_subscriptions: bool,
    private: update::Private,
    registry: subscriptions::Registry,
}

impl Hub {
    /// A hub beside a server's streams.
    ///
    /// # Errors
    /// A key that does not fit its algorithm.
    pub fn new(server: &Server, config: &MercureConfig) -> Result<Self, KeyError> {
        Ok(Self(Arc::new(Shared {
            server: server.clone(),
            connector: Connector::register("mercure"),
            publishers: token::Verifier::publishers(config)?,
            subscribers: token::Verifier::subscribers(config)?,
            anonymous: config.anonymous,
            cookie: config.cookie.clone(),
            tells_subscriptions: config.subscriptions,
            private: update::Private::new(&secret(config)),
            registry: subscriptions::Registry::default(),
        })))
    }

    /// Checks the keys.
    ///
    /// # Errors
    /// A key that does not fit its algorithm.
    pub fn check(config: &MercureConfig) -> Result<(), KeyError> {
        token::Verifier::publishers(config)?;
        token::Verifier::subscribers(config).map(drop)
    }

    /// The hub's routes.
    pub fn router(&self) -> Router {
        Router::new()
            .route(update::HUB_PATH, any(handle::hub))
            .route(&format!("{}/subscriptions", update::HUB_PATH), get(handle::all_subscriptions))
            .route(&format!("{}/subscriptions/{{topic}}", update::HUB_PATH), get(handle::subscriptions_of_topic))
            .route(&format!("{}/subscriptions/{{topic}}/{{subscriber}}", update::HUB_PATH), get(handle::subscription))
            .with_state(self.clone())
    }
}

/// What makes the place of private updates unguessable. Drawn from a secret key it outlives a restart, and private history with
/// it; a public key is no secret, so then it is new each time.
fn secret(config: &MercureConfig) -> [u8; 16] {
    use crate::config::JwtAlgorithm as A;
    let mut secret = [0; 16];
    if matches!(config.subscriber_jwt_alg, A::HS256 | A::HS384 | A::HS512) {
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, config.subscriber_jwt_key.expose().as_bytes());
        let tag = ring::hmac::sign(&key, b"ratatosk: where private Mercure updates stand");
        secret.iter_mut().zip(tag.as_ref()).for_each(|(to, from)| *to = *from);
    } else if ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut secret).is_err() {
        secret = fastrand::u128(..).to_be_bytes(); // the system has no randomness, so TLS would not work either
    }
    secret
}
