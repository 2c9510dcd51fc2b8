//! One mount of the Bayeux server: what all its sessions share.

use std::{collections::HashMap, fmt, sync::Arc};

use axum::Router;
use parking_lot::RwLock;
use ratatosk_connector::{access::Access, http::Origins, lifecycle::Lifecycle};
use ratatosk_core::{Bus, Channel, Connector, EndReason};

use crate::{
    config::{BayeuxConfig, CookieConfig, Transport},
    proto::session::Terms,
    server::{
        clock::Clock,
        directory::{Browsers, Directory, Rate},
        encode::{Detail, Encoder},
        queued::Queued,
        service::ServiceHandler,
        sweep::Sweeper,
        web,
    },
};

/// What the server side is made of.
#[derive(Debug)]
pub struct ServerConfig {
    /// The `[bayeux]` section.
    pub config: BayeuxConfig,
    /// The bus.
    pub bus: Bus,
    /// The life of the process.
    pub life: Lifecycle,
    /// Whose pages may use it.
    pub origins: Origins,
    /// Who may come in and what they may do.
    pub access: Access,
}

/// The Bayeux server: its mounts share sessions and settings.
#[derive(Debug, Clone)]
pub struct BayeuxServer(Arc<Mount>);

impl BayeuxServer {
    /// Makes the server and starts its one task. Call it within a tokio runtime.
    #[must_use]
    pub fn new(config: ServerConfig) -> Self {
        config.bus.reserve(crate::mapping::SERVICES, crate::connector());
        let mount = Arc::new(Mount::new(config));
        let (life, task) = (mount.life.clone(), mount.clone());
        mount.life.spawn("bayeux sessions", async move {
            tokio::select! {
                () = Sweeper::run(task.clone()) => {}
                () = life.closing() => task.drain(),
            }
        });
        Self(mount)
    }

    /// The routes of every configured path.
    pub fn router(&self) -> Router {
        web::router(&self.0)
    }

    /// Answers calls on a service channel, given in canonical form (`service/echo` for `/service/echo`).
    pub fn serve(&self, channel: Channel, handler: Arc<dyn ServiceHandler>) {
        self.0.services.write().insert(channel, handler);
    }

    /// How many sessions there are.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.0.directory.len()
    }
}

/// The shared part.
pub(crate) struct Mount {
    pub(crate) config: BayeuxConfig,
    pub(crate) bus: Bus,
    pub(crate) life: Lifecycle,
    pub(crate) origins: Origins,
    pub(crate) access: Access,
    pub(crate) connector: Connector,
    pub(crate) clock: Clock,
    pub(crate) terms: Arc<Terms>,
    pub(crate) directory: Directory,
    pub(crate) browsers: Browsers,
    pub(crate) handshakes: Rate,
    pub(crate) sweeper: Sweeper,
    pub(crate) encoder: Encoder,
    pub(crate) max_held_per_browser: u32,
    paths: Vec<String>,
    services: RwLock<HashMap<Channel, Arc<dyn ServiceHandler>>>,
}

impl fmt::Debug for Mount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mount").field("path", &self.config.path).finish_non_exhaustive()
    }
}

impl Mount {
    fn new(ServerConfig { config, bus, life, origins, access }: ServerConfig) -> Self {
        Self {
            connector: crate::connector(),
            clock: Clock::start(),
            terms: Arc::new(config.terms()),
            directory: Directory::default(),
            browsers: Browsers::default(),
            handshakes: Rate::new(config.limits.handshakes_per_second),
            sweeper: Sweeper::default(),
            encoder: Encoder::new(&bus),
            max_held_per_browser: config.limits.sessions_per_browser,
            paths: config.paths().collect(),
            services: RwLock::default(),
            config,
            bus,
            life,
            origins,
            access,
        }
    }

    /// Whether a path is one of the mounts, or below one.
    pub(crate) fn is_mounted(&self, path: &str) -> bool {
        self.paths.iter().any(|mount| {
            path.strip_prefix(mount.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || mount == "/")
        })
    }

    pub(crate) fn cookie(&self) -> &CookieConfig {
        &self.config.cookie
    }

    pub(crate) fn offers(&self, transport: Transport) -> bool {
        self.config.transports.contains(&transport)
    }

    pub(crate) fn service(&self, channel: &Channel) -> Option<Arc<dyn ServiceHandler>> {
        self.services.read().get(channel).cloned()
    }

    /// Appends a message and a comma.
    pub(crate) fn append(&self, queued: &Queued, detail: Detail, out: &mut Vec<u8>) {
        match queued {
            Queued::Own(bytes) => out.extend_from_slice(bytes),
            Queued::Message { message, name: Some(name) } => {
                self.encoder.write(message, Some(name), detail, out);
                out.push(b',');
            }
            Queued::Message { message, name: None } => {
                let form = Encoder::array_form(detail);
                out.extend_from_slice(&message.form(form, |message| self.encoder.in_array(message, detail)));
            }
        }
    }

    /// The gateway stops: every client is told to come back.
    fn drain(&self) {
        for live in self.directory.all() {
            let mut inner = live.lock();
            if inner.session.ended().is_none() {
                live.finish(&mut inner, EndReason::Drain);
            }
        }
    }
}
