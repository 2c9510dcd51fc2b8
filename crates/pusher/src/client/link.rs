//! A connection at work: what comes is handed to the bus, what is wanted is subscribed, what is to go is sent.

use std::{sync::Arc, time::Duration};

use futures_util::{SinkExt, StreamExt, stream::FuturesUnordered};
use ratatosk_connector::upstream::{Ended, Inbound, Port, WantedFilters, hops};
use ratatosk_core::{Channel, Filter, stats::DropReason};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::{Message, protocol::CloseFrame};

use super::{
    PusherClient,
    attempt::{Farewell, Over, Socket},
    authorize::{self, Denied, Grant},
    facts::{ClientState, FactsCell, News},
    secretbox,
    settings::Settings,
    step::{Asked, Sending, Step, answered, authorized},
    subscriptions::{Stage, Subscriptions},
};
use crate::{
    mapping::DEFAULT_EVENT,
    payload,
    proto::{
        ask,
        command::Data,
        follow::{self, Said},
        frame,
        member::Member,
        name::{Class, Kind},
        rate::Bucket,
    },
};

/// Client events per second: one fewer than every server takes (Pusher, "Client events"), because it counts when they arrive.
pub(super) const EVENTS_PER_SECOND: u32 = 9;
/// How long nothing is sent after the server said that it was too much.
const TOO_MUCH: Duration = Duration::from_secs(1);
/// A far time, for a deadline that there is none of.
const FAR: Duration = Duration::from_secs(3600);

/// See the module.
pub(super) struct Link<'a> {
    pub(super) settings: Arc<Settings>,
    pub(super) http: reqwest::Client,
    pub(super) facts: Arc<FactsCell>,
    pub(super) port: &'a mut Port,
    socket: Socket,
    pub(super) socket_id: String,
    wanted: WantedFilters,
    pub(super) subscriptions: Subscriptions,
    asked: FuturesUnordered<Asked>,
    pub(super) sending: Sending,
    pub(super) bucket: Bucket,
    opened: Instant,
    heard: Instant,
    pinged: Option<Instant>,
    silence: Duration,
    signed_in: bool,
    error: Option<(Option<u16>, String)>,
}

impl<'a> Link<'a> {
    pub(super) fn new(
        client: &PusherClient,
        port: &'a mut Port,
        socket: Socket,
        socket_id: String,
        activity: u64,
    ) -> Self {
        let (now, settings) = (Instant::now(), client.settings.clone());
        let theirs = Duration::from_secs(if activity == 0 { u64::MAX } else { activity });
        Self {
            silence: settings.activity_timeout.min(theirs),
            settings,
            http: client.http.clone(),
            facts: client.facts.clone(),
            wanted: port.wanted(),
            port,
            socket,
            socket_id,
            subscriptions: Subscriptions::default(),
            asked: FuturesUnordered::new(),
            sending: Sending::default(),
            bucket: Bucket::new(EVENTS_PER_SECOND, 0),
            opened: now,
            heard: now,
            pinged: None,
            signed_in: false,
            error: None,
        }
    }

    /// Until the connection ends.
    pub(super) async fn serve(mut self, mut leave: std::pin::Pin<Box<impl Future<Output = ()>>>) -> Over {
        match self.work(&mut leave).await {
            Ok(over) | Err(over) => over,
        }
    }

    /// Signs in where that is wanted. Without leave the rest works all the same, and operators see why.
    async fn sign_in(&mut self) -> Result<(), Over> {
        match authorize::user(&self.settings, &self.http, &self.socket_id).await {
            Ok(Some((auth, data))) => self.send(ask::sign_in(&auth, &data)).await,
            Ok(None) => Ok(()),
            Err(denied) => {
                tracing::warn!(reason = denied.reason, "the sign-in is not authorized");
                self.facts.change(|facts| facts.last_error = Some(denied.reason.clone()));
                Ok(())
            }
        }
    }

    async fn work(&mut self, leave: &mut (impl Future<Output = ()> + Unpin)) -> Result<Over, Over> {
        self.port.up();
        let socket_id = self.socket_id.clone();
        self.facts.change(|facts| facts.socket_id = Some(socket_id));
        self.facts.state(ClientState::Connected);
        self.ping().await?; // the first round trip
        self.sign_in().await?;
        self.reconcile().await?;
        loop {
            self.pump().await?;
            match self.step(leave).await {
                Step::Leave => {
                    let _ = self.socket.close(None).await; // a courtesy
                    return Ok(Ended::asked().into());
                }
                Step::Came(came) => self.came(came).await?,
                Step::Wanted => self.reconcile().await?,
                Step::Authorized(name, answer) => self.authorized(&name, answer).await?,
                Step::Called(answer) => self.called(answer)?,
                Step::Time => self.time().await?,
                Step::Ready => {}
            }
        }
    }

    async fn step(&mut self, leave: &mut (impl Future<Output = ()> + Unpin)) -> Step {
        let (deadline, free) = (self.deadline(), self.sending.is_free());
        let step = tokio::select! {
            () = leave => Step::Leave,
            came = self.socket.next() => Step::Came(came),
            (name, answer) = authorized(&mut self.asked) => Step::Authorized(name, answer),
            answer = answered(&mut self.sending.call) => Step::Called(answer),
            () = self.wanted.changed() => Step::Wanted,
            () = self.port.ready(), if free => Step::Ready,
            () = tokio::time::sleep_until(deadline) => Step::Time,
        };
        if matches!(step, Step::Called(_)) {
            self.sending.call = None;
        }
        step
    }

    fn deadline(&self) -> Instant {
        let activity = match self.pinged {
            Some(at) => at.max(self.heard) + self.settings.pong_timeout,
            None => self.heard + self.silence,
        };
        let others = [self.subscriptions.deadline(), self.sending.not_before];
        others.into_iter().flatten().fold(activity, Instant::min).min(Instant::now() + FAR)
    }

    async fn time(&mut self) -> Result<(), Over> {
        let now = Instant::now();
        match self.pinged {
            Some(at) if now >= at.max(self.heard) + self.settings.pong_timeout => {
                return Err(Ended::lost("the server does not answer pings").into());
            }
            None if now >= self.heard + self.silence => self.ping().await?,
            _ => {}
        }
        self.sending.not_before = self.sending.not_before.filter(|at| *at > now);
        for (name, stage) in self.subscriptions.due(now) {
            match stage {
                Stage::Pending(_) => self.refused(&name, "the server did not answer the subscription", true),
                _ => self.ask(&name),
            }
        }
        Ok(())
    }

    async fn ping(&mut self) -> Result<(), Over> {
        self.pinged = Some(Instant::now());
        self.send(frame::ping().to_owned()).await
    }

    pub(super) async fn send(&mut self, text: String) -> Result<(), Over> {
        let sent = tokio::time::timeout(self.settings.pong_timeout, self.socket.send(Message::text(text))).await;
        match sent {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Ended::lost(format!("cannot send: {error}")).into()),
            Err(_) => Err(Ended::lost("the server does not read").into()),
        }
    }

    /// Milliseconds of this connection.
    pub(super) fn elapsed(&self) -> u64 {
        u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Subscribes to what is wanted and leaves what is not.
    async fn reconcile(&mut self) -> Result<(), Over> {
        let wanted = self.wanted.now();
        let plan = self.subscriptions.plan(&wanted);
        for (filter, reason) in plan.impossible {
            self.port.refused(&filter, &reason);
        }
        for (name, filter) in plan.unsubscribe {
            self.facts.change(|facts| drop(facts.channels.remove(&name)));
            self.port.unsubscribed(&filter);
            self.send(ask::unsubscribe(&name)).await?;
        }
        for name in plan.subscribe {
            self.facts.change(|facts| {
                facts.channels.entry(name.clone()).or_default();
            });
            self.ask(&name);
        }
        Ok(())
    }

    /// Asks for leave to subscribe; the answer is a [`Step::Authorized`].
    fn ask(&mut self, name: &str) {
        let Some(subscription) = self.subscriptions.0.get_mut(name) else { return };
        if subscription.stage != Stage::Live {
            subscription.stage = Stage::Authorizing;
        }
        let for_user = Kind::of(name, usize::MAX).is_ok_and(|kind| kind.class == Class::User);
        if for_user && !self.signed_in {
            return; // asked again once signed in
        }
        let (settings, http) = (self.settings.clone(), self.http.clone());
        let (socket_id, name) = (self.socket_id.clone(), name.to_owned());
        self.asked.push(Box::pin(async move {
            let answer = authorize::channel(&settings, &http, &socket_id, &name).await;
            (name, answer)
        }));
    }

    async fn authorized(&mut self, name: &str, answer: Result<Grant, Denied>) -> Result<(), Over> {
        let Some(subscription) = self.subscriptions.0.get_mut(name) else { return Ok(()) };
        let grant = match answer {
            Ok(grant) => grant,
            // The key alone was asked for again: the subscription itself stands.
            Err(_) if subscription.stage == Stage::Live => return Ok(()),
            Err(denied) => {
                self.refused(name, &denied.reason, denied.passing);
                return Ok(());
            }
        };
        subscription.key = grant.key;
        if subscription.stage == Stage::Live {
            return Ok(());
        }
        let limits = crate::proto::policy::Limits::default();
        let me = grant.channel_data.as_deref().and_then(|data| Member::from_channel_data(data, &limits).ok());
        subscription.me = me.map(|member| member.user_id);
        subscription.sent();
        self.send(ask::subscribe(name, grant.auth.as_deref(), grant.channel_data.as_deref())).await
    }

    fn refused(&mut self, name: &str, reason: &str, passing: bool) {
        let Some(subscription) = self.subscriptions.0.get_mut(name) else { return };
        subscription.refused(passing);
        self.port.refused(&subscription.filter, reason);
        self.facts.change(|facts| {
            if let Some(channel) = facts.channels.get_mut(name) {
                channel.live = false;
            }
        });
    }

    async fn came(&mut self, came: Option<Result<Message, tokio_tungstenite::tungstenite::Error>>) -> Result<(), Over> {
        self.heard = Instant::now();
        match came {
            Some(Ok(Message::Text(text))) => match follow::read(&text) {
                Some(said) => self.said(said).await,
                None => Ok(()),
            },
            Some(Ok(Message::Close(frame))) => Err(self.closed(frame.as_ref())),
            Some(Ok(_)) => Ok(()),
            Some(Err(error)) => Err(Ended::lost(format!("the connection broke: {error}")).into()),
            None => Err(self.closed(None)),
        }
    }

    /// An error that came long before a silent close has nothing to do with it.
    fn closed(&self, frame: Option<&CloseFrame>) -> Over {
        Over::Closed(Farewell::new(frame, self.error.as_ref().filter(|_| frame.is_some())))
    }

    async fn said(&mut self, said: Said) -> Result<(), Over> {
        match said {
            Said::Ping => self.send(frame::pong().to_owned()).await?,
            Said::Pong => {
                if let Some(at) = self.pinged.take() {
                    self.port.ping(at.elapsed());
                }
            }
            Said::Error { code, message, channel } => self.error(code, message, channel),
            Said::Succeeded { channel, members } => self.succeeded(&channel, members).await?,
            Said::Refused { channel, message } => self.refused(&channel, &message, false),
            Said::MemberAdded { channel, member } => {
                if self.facts.joined(&channel, &member) {
                    self.presence(&channel, "member_added", &member);
                }
            }
            Said::MemberRemoved { channel, user_id } => {
                if self.facts.left(&channel, &user_id) {
                    self.presence(&channel, "member_removed", &Member { user_id, user_info: None });
                }
            }
            Said::Count { channel, count } => self.facts.change(|facts| {
                if let Some(channel) = facts.channels.get_mut(&channel) {
                    channel.subscription_count = Some(count);
                }
            }),
            Said::SignedIn => {
                self.signed_in = true;
                self.facts.change(|facts| facts.signed_in = true);
                let users = self.subscriptions.0.keys().filter(|name| name.starts_with('#')).cloned();
                users.collect::<Vec<_>>().iter().for_each(|name| self.ask(name));
            }
            Said::Watchlist { online, offline } => self.facts.watchlist(online, offline),
            Said::Event { channel, event, data, user_id, hops } => {
                self.event(&channel, &event, &data, (user_id, hops)).await;
            }
            Said::Established { .. } | Said::Other => {}
        }
        Ok(())
    }

    fn error(&mut self, code: Option<u16>, message: String, channel: Option<String>) {
        if code == Some(4301) {
            self.sending.not_before = Some(Instant::now() + TOO_MUCH);
        }
        if let Some(name) = channel.or_else(|| self.subscriptions.blamed(&message)) {
            let waits = |s: &super::subscriptions::Subscription| matches!(s.stage, Stage::Pending(_));
            if self.subscriptions.0.get(&name).is_some_and(waits) {
                self.refused(&name, &message, false);
            }
        }
        self.facts.change(|facts| facts.last_error = Some(message.clone()));
        self.facts.tell(News::Error { code, message: message.clone() });
        self.error = Some((code, message));
    }

    async fn succeeded(&mut self, channel: &str, members: Vec<Member>) -> Result<(), Over> {
        let Some(subscription) = self.subscriptions.0.get_mut(channel) else {
            return self.send(ask::unsubscribe(channel)).await; // given up while it was pending
        };
        if subscription.confirmed() {
            self.port.subscribed(&subscription.filter);
        }
        let me = subscription.me.clone();
        let is_presence = Kind::of(channel, usize::MAX).is_ok_and(|kind| kind.class == Class::Presence);
        let changes = self.facts.succeeded(channel, is_presence.then_some((members, me)));
        for member in &changes.joined {
            self.presence(channel, "member_added", member);
        }
        for user_id in changes.left {
            self.presence(channel, "member_removed", &Member { user_id, user_info: None });
        }
        Ok(())
    }

    /// A join or leave, as a message, where that is wanted.
    fn presence(&self, channel: &str, event: &str, member: &Member) {
        let Some(channel) = self.channel(channel).filter(|_| self.settings.presence_events) else { return };
        let info = member.user_info.as_deref().unwrap_or("null");
        let user_id = serde_json::Value::from(member.user_id.as_str());
        let mut inbound = Inbound::new(channel, format!(r#"{{"user_id":{user_id},"user_info":{info}}}"#));
        inbound.extras.get_or_insert_default().event = Some(event.into());
        self.port.deliver(inbound);
    }

    fn channel(&self, name: &str) -> Option<Channel> {
        self.subscriptions.0.get(name).map(|subscription| &subscription.filter).and_then(Filter::as_channel)
    }

    async fn event(
        &mut self,
        name: &str,
        event: &str,
        data: &Data,
        (user_id, passed): (Option<String>, Option<String>),
    ) {
        let Some(channel) = self.channel(name) else { return };
        let sealed = Kind::of(name, usize::MAX).is_ok_and(|kind| kind.class == Class::Encrypted);
        let bytes = match sealed {
            true => match self.unseal(name, data) {
                Some(plain) => payload::of_text(&String::from_utf8_lossy(&plain)),
                None => return self.port.lost(DropReason::Denied),
            },
            false => payload::of(data),
        };
        let mut inbound = Inbound::new(channel, bytes);
        inbound.hops = passed.as_deref().map(hops::parse).unwrap_or_default();
        if event != DEFAULT_EVENT {
            inbound.extras.get_or_insert_default().event = Some(event.into());
        }
        if let Some(user_id) = user_id {
            let properties = &mut inbound.extras.get_or_insert_default().properties;
            properties.push(("user_id".into(), user_id.into()));
        }
        self.port.admission().await;
        self.port.deliver(inbound); // Pusher knows no acknowledgement
    }

    /// Opens an encrypted event; a key that does not fit is fetched anew once.
    fn unseal(&mut self, name: &str, data: &Data) -> Option<Vec<u8>> {
        let subscription = self.subscriptions.0.get_mut(name)?;
        let plain = subscription.key.as_ref().and_then(|key| secretbox::open(key, data.as_str()));
        if plain.is_some() {
            subscription.key_renewed = false;
        } else if !std::mem::replace(&mut subscription.key_renewed, true) && self.settings.auth_endpoint.is_some() {
            self.ask(name);
        }
        plain
    }
}
