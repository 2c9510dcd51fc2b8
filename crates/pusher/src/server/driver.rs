//! The state machine of a connection joined to the world: each action is carried out here, for every transport.

use std::sync::Arc;

use ratatosk_connector::{access::Rights, limits::Guest};
use ratatosk_core::{
    Channel, EndReason, Filter, Message, MonitorEvent, Origin, Peer, Publication, Session, SessionConfig,
    SubscribeOptions, presence::Full, stats::DropReason,
};
use tokio::time::Instant;

use super::{
    app::App,
    client::{Client, Link},
    encode::JSON,
    packet::Packet,
    rules::{Actor, Known},
};
use crate::payload;
use crate::proto::{
    close::Close,
    command::Data,
    connection::{Action, ClientEvent, Connection, Held, Refusal},
    frame,
    member::{Member, User},
    name::{Class, Kind},
    socket_id::SocketId,
    webhook::Event,
};

/// See the module.
pub(super) struct Driver {
    app: Arc<App>,
    machine: Connection,
    client: Arc<Client>,
    session: Session,
    /// What the user of the last client event may publish.
    known: Known,
    /// What the connection may do by itself.
    own: Option<Rights>,
    /// Its hold on the limits.
    guest: Guest,
    /// The id of the gateway that the client is.
    pub(super) gateway: Option<Arc<str>>,
}

/// What a connection comes with.
#[derive(Default)]
pub(super) struct Visit {
    pub(super) own: Option<Rights>,
    pub(super) guest: Guest,
}

impl Driver {
    /// Opens the session of a connection and enters it in the application.
    pub(super) fn open(app: Arc<App>, socket_id: SocketId, link: Link, visit: Visit) -> Self {
        let connector = app.connector;
        app.bus.monitor().emit(MonitorEvent::ConnectionOpened { connector });
        let peer: Arc<dyn Peer> = match &link {
            Link::Socket(peer) => peer.clone(),
            Link::Http(peer) => peer.clone(),
        };
        let session = app.bus.open_session(SessionConfig::client(socket_id.to_string(), connector), peer);
        let client = Arc::new(Client { socket_id, session: session.id(), link });
        app.enter(&client);
        let machine = Connection::new(&app.policy, socket_id, app.clock.now());
        let Visit { own, guest } = visit;
        Self { app, machine, client, session, known: None, own, guest, gateway: None }
    }

    /// The first frame.
    pub(super) fn greet(&self) {
        self.client.release(Vec::new(), None);
        self.client.tell(&frame::established(self.client.socket_id, self.app.policy.activity_timeout_s));
    }

    /// A text frame came. `Some` ends the connection.
    pub(super) async fn text(&mut self, text: &str) -> Option<Close> {
        let mut actions = Vec::new();
        self.machine.on_text(&self.app.policy, text, self.app.clock.now(), &mut actions);
        self.act(actions).await
    }

    /// A binary frame came.
    pub(super) async fn binary(&mut self) -> Option<Close> {
        let mut actions = Vec::new();
        self.machine.on_binary(self.app.clock.now(), &mut actions);
        self.act(actions).await
    }

    /// Some other sign of life came.
    pub(super) fn heard(&mut self) {
        self.machine.heard(self.app.clock.now());
    }

    /// When [`Driver::tick`] wants to be called.
    pub(super) fn deadline(&self) -> Instant {
        self.app.clock.instant(self.machine.deadline(&self.app.policy))
    }

    /// Time has passed. `Some` ends the connection.
    pub(super) async fn tick(&mut self) -> Option<Close> {
        let mut actions = Vec::new();
        self.machine.on_deadline(&self.app.policy, self.app.clock.now(), &mut actions);
        self.act(actions).await
    }

    /// The connection is over.
    pub(super) fn close(mut self, reason: EndReason) {
        let held: Vec<(Arc<str>, Held)> = self.machine.take_held().collect();
        for (channel, held) in &held {
            match held.member {
                Some(_) => self.unsubscribe(channel, held),
                None => self.app.registry.leave(channel, held.ticket),
            }
        }
        if let Some(user) = self.machine.user() {
            self.app.users.sign_out(user, &self.client);
        }
        self.app.exit(&self.client);
        self.session.close(reason);
        let connector = self.app.connector;
        self.app.bus.monitor().emit(MonitorEvent::ConnectionClosed { connector, reason });
    }

    /// Tells the counters what the machine decided.
    fn count(&mut self) {
        let (tally, connector, bus) = (self.machine.take_tally(), self.app.connector, &self.app.bus);
        for (allowed, times) in [(true, tally.allowed), (false, tally.denied)] {
            (0..times).for_each(|_| bus.monitor().emit(MonitorEvent::Authenticated { connector, allowed }));
        }
        if tally.limited > 0 {
            bus.stats().dropped(connector, DropReason::RateLimited, tally.limited.into());
        }
    }

    async fn act(&mut self, actions: Vec<Action>) -> Option<Close> {
        self.count();
        for action in actions {
            match action {
                Action::Send(text) => self.client.tell(&text),
                Action::Subscribe { channel, kind, member } => self.subscribe(channel, kind, member).await,
                Action::Confirm { channel, kind } => self.confirm(&channel, kind),
                Action::Unsubscribe { channel, held } => self.unsubscribe(&channel, &held),
                Action::Publish(event) => self.publish(event).await,
                Action::SignedIn { user, before } => {
                    if self.guest.become_user(&Arc::from(user.member.user_id.as_str())).is_err() {
                        return Some(Close::OverCapacity);
                    }
                    self.signed_in(&user, before.as_deref());
                }
                Action::Close(close) => return Some(close),
            }
        }
        None
    }

    async fn subscribe(&mut self, channel: Arc<str>, kind: Kind, member: Option<Arc<Member>>) {
        let target = self.app.channel(&channel).map_err(|error| Refusal::channel(error.to_string()));
        let target = target.and_then(|(target, _)| Ok((filter_of(&target)?, target)));
        let (filter, target) = match target {
            Ok(target) => target,
            Err(refusal) => return self.refuse(&channel, &refusal),
        };
        let signed_in = self.machine.user().map(|user| user.member.user_id.as_str());
        let named = member.as_ref().map(|member| member.user_id.as_str());
        let own = self.own.as_ref();
        let actor = Actor { own, user: signed_in.or(named), signed: kind.is_signed() };
        if !self.app.may_subscribe(&channel, kind, &filter, actor) {
            let message = "The gateway's rules do not allow subscribing to this channel".to_owned();
            return self.refuse(&channel, &Refusal { kind: "AuthError", message, status: 403 });
        }
        // Held, so that success comes before every message, and the kept event between the two.
        self.client.hold();
        let Ok(slot) = self.enter(&channel, &target, kind, member.as_deref()) else {
            self.client.release(Vec::new(), None);
            let most = self.app.policy.limits.presence_members;
            let refusal = Refusal::limit(format!("The presence channel is full: at most {most} users"));
            return self.refuse(&channel, &refusal);
        };
        self.machine.set_ticket(&channel, slot);
        let options = SubscribeOptions { no_local: true, ..SubscribeOptions::default() };
        let cut = self.session.subscribe(filter.clone(), options).cut;
        let kept = self.kept(&filter, cut).await;
        let miss = kind.cache && kept.is_empty();
        self.client.release(kept, miss.then(|| Packet::new(&frame::cache_miss(&channel))));
        if miss {
            self.app.registry.missed(&channel);
        }
    }

    /// Enters the channel: on presence channels, its roster first, so that the answer tells of all who are there.
    fn enter(&self, channel: &Arc<str>, target: &Channel, kind: Kind, member: Option<&Member>) -> Result<u32, Full> {
        let registry = &self.app.registry;
        let Some(member) = member else { return Ok(registry.join(channel, kind, None, &self.client)) };
        let (member, most) = (present(member), self.app.policy.limits.presence_members);
        let mut slot = 0;
        self.session.join(target, &member, most, |roster| {
            slot = registry.join(channel, kind, Some(roster), &self.client);
        })?;
        Ok(slot)
    }

    fn confirm(&self, channel: &str, kind: Kind) {
        let registry = &self.app.registry;
        match self.app.channel(channel) {
            Ok((target, _)) if kind.class == Class::Presence => {
                let presence = self.app.bus.presence();
                presence.read(&target, |roster| registry.confirm(channel, Some(roster), &self.client));
            }
            _ => registry.confirm(channel, None, &self.client),
        }
    }

    /// What is shown to a new subscriber before live messages: those come after the cut.
    async fn kept(&self, filter: &Filter, cut: u64) -> Vec<Arc<Message>> {
        match self.app.bus.last_values(filter).await {
            Ok(mut kept) => {
                let now = std::time::Instant::now();
                kept.retain(|message| message.seq <= cut && !message.is_expired(now));
                kept
            }
            Err(error) => {
                tracing::warn!(%error, "the last value of a channel could not be read");
                Vec::new()
            }
        }
    }

    fn refuse(&mut self, channel: &str, refusal: &Refusal) {
        self.machine.forget(channel);
        refusal.frames(channel).iter().for_each(|text| self.client.tell(text));
    }

    /// Leaves the roster with the subscription, and is then no longer told of others.
    fn unsubscribe(&self, channel: &Arc<str>, held: &Held) {
        if let Some(filter) = self.app.channel(channel).ok().and_then(|(target, _)| filter_of(&target).ok()) {
            self.session.unsubscribe(&filter);
        }
        self.app.registry.leave(channel, held.ticket);
    }

    async fn publish(&mut self, event: ClientEvent) {
        let Ok((channel, kind)) = self.app.channel(&event.channel) else { return };
        let signed_in = self.machine.user().map(|user| user.member.user_id.as_str());
        let own = self.own.as_ref();
        let actor = Actor { own, user: signed_in.or(event.user_id.as_deref()), signed: true };
        if !self.app.may_publish(&event.channel, kind, &channel, actor, &mut self.known) {
            self.app.bus.stats().dropped(self.app.connector, DropReason::Denied, 1);
            let message = "Client event rejected - the gateway's rules do not allow publishing to this channel";
            return self.client.tell(&frame::error(Some(4301), message));
        }
        if self.guest.publish().is_err() {
            self.app.bus.stats().dropped(self.app.connector, DropReason::RateLimited, 1);
            let message = "Client event rejected - the gateway's publish rate is exceeded";
            return self.client.tell(&frame::error(Some(4301), message));
        }
        self.app.bus.admission().await;
        let mut origin = Origin::connector(self.app.connector);
        origin.session = Some(self.session.id());
        origin.client_id = Some(self.session.client_id().clone());
        origin.user = event.user_id.as_deref().map(Arc::from);
        if let Some(gateway) = &self.gateway {
            origin.hops = Arc::from([gateway.clone()]);
        }
        let mut publication =
            Publication::new(channel, payload::of(&event.data), origin).with_event(event.event.as_str());
        if matches!(event.data, Data::Json(_)) {
            publication.extras_mut().content_type = Some(JSON.into());
        }
        let publication = match self.app.approve(publication, actor, &self.known).await {
            Ok(publication) => publication,
            Err(why) => {
                self.app.bus.stats().dropped(self.app.connector, DropReason::Denied, 1);
                return self.client.tell(&frame::error(Some(4301), &format!("Client event rejected - {why}")));
            }
        };
        if self.app.bus.publish(publication).is_err() {
            return self.client.tell(&frame::error(None, "The event was not taken"));
        }
        let hooks = &self.app.registry.hooks;
        if hooks.wants("client_event") {
            hooks.tell(self.client_event(event));
        }
    }

    fn client_event(&self, event: ClientEvent) -> Event {
        let data = match event.data {
            Data::Text(text) => serde_json::Value::String(text),
            Data::Json(json) => serde_json::from_str(&json).unwrap_or(serde_json::Value::String(json)),
        };
        let (channel, socket_id) = (event.channel.to_string(), self.client.socket_id.to_string());
        Event::ClientEvent { channel, event: event.event, data, socket_id, user_id: event.user_id }
    }

    fn signed_in(&self, user: &Arc<User>, before: Option<&User>) {
        self.session.appear_as(present(&user.member));
        self.app.users.sign_in(user, before, &self.client);
    }
}

fn filter_of(channel: &Channel) -> Result<Filter, Refusal> {
    Filter::new(channel.as_str()).map_err(|error| Refusal::channel(error.to_string()))
}

/// A member as all connectors know it.
fn present(member: &Member) -> ratatosk_core::Member {
    ratatosk_core::Member { user: member.user_id.as_str().into(), info: member.user_info.as_deref().map(Into::into) }
}
