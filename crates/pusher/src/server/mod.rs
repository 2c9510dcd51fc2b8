//! The server side: WebSocket, the HTTP fallbacks, the HTTP API and webhooks.

use std::{collections::HashMap, sync::Arc};

use axum::{
    Router,
    routing::{any, post},
};
use ratatosk_connector::{
    access::Access,
    http::Origins,
    lifecycle::Lifecycle,
    webhook::{Courier, CourierConfig},
};
use ratatosk_core::{Bus, Connector};

use self::{
    app::{App, RosterNews},
    clock::Clock,
};
use crate::config::{ConfigFault, PusherConfig};

mod api;
mod app;
mod client;
mod clock;
mod driver;
mod encode;
mod fallback;
mod hooks;
mod http_peer;
mod packet;
mod registry;
mod rules;
mod socket;
mod timers;
mod upgrade;
mod users;

/// The connector's name.
pub const NAME: &str = "pusher";

/// The Pusher server side of a gateway. Cloning shares it.
#[derive(Clone)]
pub struct Server(Arc<Shared>);

struct Shared {
    apps: Vec<Arc<App>>,
    prefix: String,
    origins: Origins,
    life: Lifecycle,
    fallbacks: fallback::Sessions,
}

/// The server side cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The configuration is at fault.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Config(Vec<ConfigFault>),
    /// The client for webhooks cannot be made.
    #[error("the client for webhooks: {0}")]
    Webhooks(#[from] reqwest::Error),
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("apps", &self.0.apps.len()).finish_non_exhaustive()
    }
}

impl Server {
    /// A server on the bus. Its tasks are spawned on `life`, inside the current runtime, and end when it closes.
    ///
    /// # Errors
    /// What [`PusherConfig::resolve`] finds.
    pub fn new(
        bus: Bus,
        life: Lifecycle,
        origins: Origins,
        access: Access,
        config: &PusherConfig,
    ) -> Result<Self, ServerError> {
        let (clock, connector) = (Clock::start(), Connector::register(NAME));
        let settings = config.resolve().map_err(ServerError::Config)?;
        let app = |settings| Arc::new(App::new(settings, bus.clone(), access.clone(), connector, clock));
        let apps: Vec<Arc<App>> = settings.iter().map(app).collect();
        // Per-user channels and ciphertext: nobody else publishes there, and nobody else listens.
        bus.reserve("$pusher", connector);
        apps.iter().for_each(|app| bus.presence().watch(Arc::new(RosterNews(Arc::downgrade(app)))));
        let fallbacks = fallback::Sessions::default();
        let server = Self(Arc::new(Shared { apps, prefix: config.prefix.clone(), origins, life, fallbacks }));
        server.spawn()?;
        Ok(server)
    }

    /// The routes: `/app/{key}` and its fallbacks, `/apps/{id}/...`, and `/users/...` for SDKs that forget the application.
    /// The fallbacks are also below `/pusher`, which is where pusher-js looks unless it is told.
    pub fn router(&self) -> Router {
        let prefix = &self.0.prefix;
        let app = format!("{prefix}/app/{{key}}");
        let mut router = Router::new()
            .route(&app, any(upgrade::handle))
            .route(&format!("{prefix}/apps/{{*rest}}"), any(api::handle))
            .route(&format!("{prefix}/users/{{*rest}}"), post(api::handle))
            .route(&format!("{app}/{{server}}/{{session}}/{{transport}}"), any(fallback::handle));
        if prefix != "/pusher" {
            let default = format!("{prefix}/pusher/app/{{key}}/{{server}}/{{session}}/{{transport}}");
            router = router.route(&default, any(fallback::handle));
        }
        router.with_state(self.clone())
    }

    fn spawn(&self) -> Result<(), ServerError> {
        let life = &self.0.life;
        for app in &self.0.apps {
            let (timed, closing) = (app.clone(), life.closing());
            life.spawn("pusher timers", async move {
                tokio::select! {
                    () = timed.keep_time() => {}
                    () = closing => timed.drain().await,
                }
            });
        }
        for app in &self.0.apps {
            for endpoint in &app.registry.hooks.endpoints {
                let courier = Courier::new(&*app.policy.id, CourierConfig::new(endpoint.settings.url.clone()))?;
                let (endpoint, policy, closing) = (endpoint.clone(), app.policy.clone(), life.closing());
                life.spawn("pusher webhooks", async move { endpoint.serve(courier, policy, closing).await });
            }
        }
        Ok(())
    }

    fn by_key(&self, key: &str) -> Option<Arc<App>> {
        self.0.apps.iter().find(|app| app.policy.key == key).cloned()
    }

    fn by_id(&self, id: &str) -> Option<Arc<App>> {
        self.0.apps.iter().find(|app| app.policy.id == id).cloned()
    }

    fn origins(&self) -> &Origins {
        &self.0.origins
    }

    fn is_closing(&self) -> bool {
        self.0.life.is_closing()
    }
}

/// By application key and by name, the sessions of the fallbacks.
type ByName<T> = HashMap<String, T>;
