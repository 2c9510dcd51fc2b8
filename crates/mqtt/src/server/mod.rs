//! The server side: what MQTT clients connect to, over TCP, TLS and WebSocket.
//!
//! One small task reads each connection; messages are written by the bus' fan-out lanes straight to the socket.
//! A session is a [`Peer`](ratatosk_core::Peer) that outlives its connections.

mod agenda;
mod auth;
mod client;
mod connection;
mod counters;
mod each;
mod handshake;
mod inbound;
mod keeper;
mod outlet;
mod parcel;
mod record;
mod registry;
mod scratch;
mod settings;
mod state;
mod subscribe;
mod sys;
mod websocket;
mod wire;

#[cfg(test)]
mod tests;

use std::{net::SocketAddr, sync::Arc};

use ratatosk_connector::{
    http::Origins,
    lifecycle::Lifecycle,
    listener::{Arrival, Listener},
    socket::Socket,
};
use ratatosk_core::Bus;

pub use auth::{Anonymous, AuthFuture, Authenticate, Credentials, End};
pub use settings::Settings;

use self::{agenda::Agenda, counters::Counters, keeper::Keeper, registry::Registry, wire::Wire};

/// The MQTT server side of a gateway. Cloning shares it.
#[derive(Clone)]
pub struct MqttServer(Arc<Shared>);

/// What all connections share.
struct Shared {
    settings: Settings,
    bus: Bus,
    life: Lifecycle,
    auth: Arc<dyn Authenticate>,
    registry: Registry,
    agenda: Agenda,
    keeper: Keeper,
    counters: Counters,
}

impl std::fmt::Debug for MqttServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MqttServer").field("sessions", &self.0.registry.len()).finish_non_exhaustive()
    }
}

impl MqttServer {
    /// A server, with its tasks running under `life`: timers of sessions and wills, `$SYS`, and the goodbye to all
    /// clients when the gateway closes.
    #[must_use]
    pub fn new(settings: Settings, bus: Bus, life: Lifecycle, auth: Arc<dyn Authenticate>) -> Self {
        let shared = Shared {
            registry: Registry::new(settings.max_sessions),
            keeper: Keeper::new(bus.engine().sessions().is_durable()),
            settings,
            bus,
            life: life.clone(),
            auth,
            agenda: Agenda::default(),
            counters: Counters::default(),
        };
        let server = Self(Arc::new(shared));
        life.spawn("mqtt timers", agenda::run(server.0.clone()));
        life.spawn("mqtt sessions", keeper::run(server.0.clone()));
        life.spawn("mqtt goodbye", registry::say_goodbye(server.0.clone()));
        if !server.0.settings.sys_interval.is_zero() {
            life.spawn("mqtt $SYS", sys::run(server.0.clone()));
        }
        server
    }

    /// Accepts connections until the gateway closes.
    pub async fn serve(&self, listener: Listener) {
        let shared = self.0.clone();
        let arrived = move |Arrival { transport, remote, permit }| {
            let wire = Wire::mqtt(Socket::from(transport), remote, Some(permit));
            shared.life.spawn("mqtt connection", connection::run(shared.clone(), wire, bytes::Bytes::new()));
        };
        listener.serve(self.0.life.clone(), arrived).await;
    }

    /// How many connections there may be over all listeners, and how long a client may take to be let in.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// Serves one connection that is already accepted, to its end.
    pub async fn connection(&self, socket: Socket, remote: SocketAddr) {
        connection::run(self.0.clone(), Wire::mqtt(socket, remote, None), bytes::Bytes::new()).await;
    }

    /// The route of MQTT over WebSocket, at this path of the HTTP listener.
    pub fn router(&self, path: &str, origins: Origins) -> axum::Router {
        websocket::router(self.0.clone(), path, origins)
    }

    /// How many sessions there are: those of connected clients, and those that wait for their client.
    #[must_use]
    pub fn sessions(&self) -> (usize, usize) {
        let counts = self.0.registry.counts();
        (counts.connected, counts.away)
    }
}
