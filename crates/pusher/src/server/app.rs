//! One application at work.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock, Weak},
    time::Duration,
};

use parking_lot::Mutex;
use ratatosk_connector::access::{Access, Rights, Subject};
use ratatosk_core::{Bus, Channel, Connector, EndReason, Member, SessionId, presence::RosterWatcher};

use super::{
    client::Client, clock::Clock, encode::EventFrame, hooks::Hooks, registry::Registry, timers::Timers, users::Users,
};
use crate::{
    config::AppSettings,
    mapping::{NameError, Names},
    proto::{
        close::Close,
        name::{Class, Kind},
        policy::Policy,
        socket_id::SocketId,
    },
};

/// Connections told to leave at a time when the gateway stops: they come back at once, and not all at once.
const WAVE: usize = 500;
/// The rest between two waves.
const WAVE_REST: Duration = Duration::from_millis(25);
/// The longest time for all waves together.
const ALL_WAVES: Duration = Duration::from_secs(3);

/// See the module.
pub(super) struct App {
    pub(super) policy: Arc<Policy>,
    pub(super) names: Arc<Names>,
    pub(super) frame: Arc<EventFrame>,
    /// The form for other gateways, made when the first comes.
    marked: OnceLock<Arc<EventFrame>>,
    pub(super) registry: Registry,
    pub(super) users: Users,
    pub(super) bus: Bus,
    pub(super) connector: Connector,
    pub(super) access: Access,
    /// The application itself, at its HTTP API.
    subject: Arc<Subject>,
    pub(super) clock: Clock,
    connections: Mutex<HashMap<SocketId, Arc<Client>>>,
}

impl App {
    pub(super) fn new(settings: &AppSettings, bus: Bus, access: Access, connector: Connector, clock: Clock) -> Self {
        let policy = Arc::new(settings.policy.clone());
        let hooks = Arc::new(Hooks::new(&settings.webhooks, clock));
        let registry = Registry::new(hooks, Arc::default(), clock, policy.subscription_count);
        let frame =
            Arc::new(EventFrame::new(settings.names.clone(), settings.shares_names, connector, bus.stats().clone()));
        let (users, connections) = (Users::default(), Mutex::default());
        let subject = Arc::new(super::rules::subject(&policy.id, true));
        Self {
            access,
            subject,
            policy,
            names: settings.names.clone(),
            frame,
            marked: OnceLock::new(),
            registry,
            users,
            bus,
            connector,
            clock,
            connections,
        }
    }

    /// What the application itself may do, by its HTTP API, as the rules are now.
    pub(super) fn own_rights(&self) -> Rights {
        self.access.known_rights(self.subject.clone(), self.connector, None)
    }

    /// The channel of a name that the application may use.
    pub(super) fn channel(&self, name: &str) -> Result<(Channel, Kind), NameError> {
        self.names.channel(name, self.policy.limits.channel_name_bytes)
    }

    /// How messages are written for a client, or for another gateway.
    pub(super) fn frame_for(&self, gateway: bool) -> Arc<EventFrame> {
        if !gateway {
            return self.frame.clone();
        }
        self.marked.get_or_init(|| Arc::new(self.frame.marked(self.bus.gateway_id().clone()))).clone()
    }

    /// How many users are in a presence channel, over all connectors.
    pub(super) fn users_in(&self, name: &str) -> usize {
        self.channel(name).map_or(0, |(channel, _)| self.bus.presence().count(&channel))
    }

    /// Whether one more connection may come.
    pub(super) fn admits(&self) -> Result<(), Close> {
        let most = self.policy.limits.connections;
        match () {
            () if !self.policy.enabled => Err(Close::AppDisabled),
            () if most > 0 && self.connections.lock().len() >= most => Err(Close::OverQuota),
            () => Ok(()),
        }
    }

    /// A socket id that no connection has; it is kept by [`App::enter`].
    pub(super) fn new_socket_id(&self) -> SocketId {
        let connections = self.connections.lock();
        loop {
            let id = SocketId(fastrand::u32(1..), fastrand::u32(1..));
            if !connections.contains_key(&id) {
                return id;
            }
        }
    }

    pub(super) fn enter(&self, client: &Arc<Client>) {
        self.connections.lock().insert(client.socket_id, client.clone());
    }

    pub(super) fn exit(&self, client: &Client) {
        let mut connections = self.connections.lock();
        connections.remove(&client.socket_id);
        if connections.capacity() > 1024 && connections.len() < connections.capacity() / 8 {
            connections.shrink_to_fit();
        }
    }

    pub(super) fn client(&self, socket_id: &str) -> Option<Arc<Client>> {
        self.connections.lock().get(&socket_id.parse().ok()?).cloned()
    }

    /// Tells every connection to come back elsewhere, in waves.
    pub(super) async fn drain(&self) {
        let clients: Vec<Arc<Client>> = self.connections.lock().values().cloned().collect();
        let waves = u32::try_from(clients.len().div_ceil(WAVE)).unwrap_or(u32::MAX).max(1);
        let rest = WAVE_REST.min(ALL_WAVES / waves);
        for (index, wave) in clients.chunks(WAVE).enumerate() {
            if index > 0 {
                tokio::time::sleep(rest).await;
            }
            wave.iter().for_each(|client| client.end(EndReason::Drain));
        }
    }

    /// Serves what is due at a time, for ever.
    pub(super) async fn keep_time(&self) {
        let (hooks, timers): (&Hooks, &Timers) = (&self.registry.hooks, &self.registry.timers);
        loop {
            let (more_hooks, more_timers) = (hooks.changed.notified(), timers.changed.notified());
            let now = self.clock.now();
            hooks.tick(now);
            while let Some(channel) = timers.due(now) {
                self.registry.due(&channel);
            }
            let next = hooks.deadline().into_iter().chain(timers.next()).min();
            let due = async {
                match next {
                    Some(at) => tokio::time::sleep_until(self.clock.instant(at)).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = due => {}
                () = more_hooks => {}
                () = more_timers => {}
            }
        }
    }
}

/// Tells the subscribers of an application's presence channels who comes and goes, by whichever connector.
pub(super) struct RosterNews(pub(super) Weak<App>);

impl RosterNews {
    fn tell(&self, channel: &Channel, tell: impl FnOnce(&Registry, &str)) {
        let Some(app) = self.0.upgrade() else { return };
        if let Some(name) = app.names.name(channel)
            && Kind::of(&name, usize::MAX).is_ok_and(|kind| kind.class == Class::Presence)
        {
            tell(&app.registry, &name);
        }
    }
}

impl RosterWatcher for RosterNews {
    fn came(&self, channel: &Channel, member: &Member, by: SessionId) {
        let told = (&*member.user, member.info.as_deref());
        self.tell(channel, |registry, name| registry.member_came(name, told, by));
    }

    fn left(&self, channel: &Channel, user: &str, by: SessionId) {
        self.tell(channel, |registry, name| registry.member_left(name, user, by));
    }
}
