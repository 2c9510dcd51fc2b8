//! What a session does with each message it is sent.

use std::borrow::Cow;

use ratatosk_core::{Channel, EndReason, Filter};

use crate::{
    mapping::{self, Name},
    proto::{
        Carrier, Millis,
        advice::Advice,
        fault::Fault,
        inbound::Inbound,
        payload::Payload,
        queue::Item,
        replay::{self, Replay},
        reply::{Ext, Replies, Reply},
        session::Session,
        subscriptions::{self, Subscription, Target},
        timestamp, timesync,
    },
};

/// How and when a message came.
#[derive(Debug, Clone, Copy)]
pub struct Context {
    /// The monotonic time.
    pub now: Millis,
    /// The Unix time.
    pub wall: Millis,
    /// Whether it is the only message of its request: only then can a connect be held.
    pub alone: bool,
    /// What carries it.
    pub carrier: Carrier,
    /// Whether this browser may have another connect held.
    pub may_hold: bool,
}

impl Default for Context {
    fn default() -> Self {
        Self { now: 0, wall: 0, alone: true, carrier: Carrier::Poll, may_hold: true }
    }
}

/// What is to be done besides replying.
#[derive(Debug)]
pub struct Effects<M> {
    /// The carrier of the connect that was held before must be told that it is no longer wanted.
    pub superseded: bool,
    /// The request is to be held; [`Session::answer`] answers it.
    pub held: bool,
    /// The session has ended.
    pub ended: Option<EndReason>,
    /// Messages that go out before the replies.
    pub messages: Vec<M>,
}

impl<M> Default for Effects<M> {
    fn default() -> Self {
        Self { superseded: false, held: false, ended: None, messages: Vec::new() }
    }
}

/// The rest of the gateway, as a session sees it.
pub trait Host {
    /// Joins a filter. What it is to be shown first is delivered by the host.
    ///
    /// # Errors
    /// The session may not.
    fn subscribe(&mut self, filter: &Filter, replay: Option<Replay>) -> Result<(), Fault>;

    /// Leaves a filter.
    fn unsubscribe(&mut self, filter: &Filter);

    /// Publishes.
    ///
    /// # Errors
    /// The session may not, or the bus refuses.
    fn publish(&mut self, channel: Channel, payload: Payload, message: &Inbound<'_>) -> Result<(), Fault>;

    /// Hands a message on a service channel to the handlers of it.
    ///
    /// # Errors
    /// The session may not.
    fn service(&mut self, channel: Channel, payload: Payload, message: &Inbound<'_>) -> Result<(), Fault>;
}

impl<M: Item> Session<M> {
    /// Handles one message of this session: any but a handshake.
    pub fn handle(
        &mut self,
        message: &Inbound<'_>,
        context: &Context,
        host: &mut dyn Host,
        replies: &mut Replies,
        effects: &mut Effects<M>,
    ) {
        let Some(channel) = message.channel() else {
            return reject(message, "", &Fault::ChannelMissing, replies);
        };
        if message.has_bad_id() {
            return reject(message, &channel, &Fault::MessageIdInvalid, replies);
        }
        if self.ended.is_some() {
            return reject(message, &channel, &Fault::SessionUnknown, replies);
        }
        if &*channel != "/meta/connect" {
            self.active = context.now;
            if self.hold.is_none() {
                self.extend(context.now);
            }
        }
        match &*channel {
            "/meta/connect" => self.on_connect(message, context, replies, effects),
            "/meta/disconnect" => {
                self.end(EndReason::Disconnect);
                effects.ended = self.ended;
                self.acknowledge(&channel, message, context, Ok(()), replies);
            }
            "/meta/subscribe" => {
                let outcome = self.subscribe(message, host);
                self.acknowledge(&channel, message, context, outcome, replies);
            }
            "/meta/unsubscribe" => {
                let outcome = self.unsubscribe(message, host);
                self.acknowledge(&channel, message, context, outcome, replies);
            }
            name => {
                let outcome = publish(name, message, host);
                self.acknowledge(&channel, message, context, outcome, replies);
            }
        }
    }

    fn on_connect(
        &mut self,
        message: &Inbound<'_>,
        context: &Context,
        replies: &mut Replies,
        effects: &mut Effects<M>,
    ) {
        match message.connection_type() {
            Some(name) if !self.terms.offers(&name) => {
                let fault = Fault::ConnectionTypes(crate::proto::fault::argument(&name));
                reject(message, "/meta/connect", &fault, replies);
            }
            // CometD's server does not ask for the type, so clients exist that leave it out.
            _ => self.connect(message, context, replies, effects),
        }
    }

    fn subscribe(&mut self, message: &Inbound<'_>, host: &mut dyn Host) -> Result<(), Fault> {
        let names = subscription_names(message)?;
        let mut wanted: Vec<(Subscription, Option<Replay>)> = Vec::new();
        for name in &names {
            match subscriptions::read(name).map_err(|_| Fault::SubscriptionInvalid)? {
                Target::Bus(subscription) => {
                    let from = if self.terms.replay { replay::read(message.ext().replay, name) } else { None };
                    wanted.push((subscription, from));
                }
                Target::Service => {}
                Target::Meta => return Err(Fault::SubscribeDenied("meta_channel")),
            }
        }
        let new = wanted.iter().filter(|(subscription, _)| !self.subscriptions.contains(&subscription.filter)).count();
        if self.subscriptions.len() + new > self.terms.max_subscriptions {
            return Err(Fault::SubscribeDenied("too_many_subscriptions"));
        }
        let mut joined: Vec<Subscription> = Vec::new();
        for (subscription, from) in wanted {
            if let Err(fault) = host.subscribe(&subscription.filter, from) {
                joined.iter().for_each(|made| self.leave(made, host));
                return Err(fault);
            }
            if self.subscriptions.insert(subscription.clone()) {
                joined.push(subscription);
            }
        }
        Ok(())
    }

    fn leave(&mut self, subscription: &Subscription, host: &mut dyn Host) {
        if self.subscriptions.remove(subscription) {
            host.unsubscribe(&subscription.filter);
        }
    }

    fn unsubscribe(&mut self, message: &Inbound<'_>, host: &mut dyn Host) -> Result<(), Fault> {
        for name in subscription_names(message)? {
            match subscriptions::read(&name).map_err(|_| Fault::SubscriptionInvalid)? {
                Target::Bus(subscription) => self.leave(&subscription, host),
                Target::Service => {}
                Target::Meta => return Err(Fault::SubscribeDenied("meta_channel")),
            }
        }
        Ok(())
    }

    /// The reply to anything but a connect.
    fn acknowledge(
        &self,
        channel: &str,
        message: &Inbound<'_>,
        context: &Context,
        outcome: Result<(), Fault>,
        replies: &mut Replies,
    ) {
        let meta = channel == "/meta/disconnect" || is_subscription(channel);
        let stamp = (message.has_timestamp() || self.terms.timestamp).then(|| timestamp::format(context.wall));
        let timesync = if meta { timesync::Request::read(message.ext().timesync, context.wall) } else { None };
        replies.push(&Reply {
            channel,
            id: message.id(),
            client_id: meta.then_some(&*self.id),
            fault: outcome.as_ref().err(),
            subscription: message.subscription().filter(|_| is_subscription(channel)),
            ext: Ext { timesync: timesync.and_then(|request| request.answer(0)), ..Ext::default() },
            timestamp: stamp.as_deref(),
            ..Reply::default()
        });
    }
}

/// Publishes one message, of a session or of a caller that needs none.
///
/// # Errors
/// Whatever keeps it from being published.
pub fn publish(name: &str, message: &Inbound<'_>, host: &mut dyn Host) -> Result<(), Fault> {
    let parsed = mapping::read(name).map_err(|_| Fault::ChannelInvalid)?;
    let payload = || match message.data() {
        None => Err(Fault::ParameterMissing("data")),
        Some(_) => Payload::of(message).ok_or(Fault::PublishDenied("not_binary")),
    };
    match parsed {
        Name::Meta => Err(Fault::PublishDenied("meta_channel")),
        Name::Pattern(_) | Name::Service(None) => Err(Fault::ChannelInvalid),
        Name::Service(Some(channel)) => host.service(channel, payload()?, message),
        Name::Channel(channel) => host.publish(channel, payload()?, message),
    }
}

/// The reply to a message that no session could take: it fails, with advice where the client must shake hands.
pub fn reject(message: &Inbound<'_>, channel: &str, fault: &Fault, replies: &mut Replies) {
    let advice = match channel {
        // Only these two drive the client's reconnection.
        "/meta/connect" | "/meta/handshake" if fault.needs_handshake() => Some(Advice::HANDSHAKE),
        _ => None,
    };
    replies.push(&Reply {
        channel,
        id: message.id(),
        fault: Some(fault),
        subscription: message.subscription().filter(|_| is_subscription(channel)),
        advice,
        ..Reply::default()
    });
}

fn is_subscription(channel: &str) -> bool {
    matches!(channel, "/meta/subscribe" | "/meta/unsubscribe")
}

fn subscription_names<'a>(message: &Inbound<'a>) -> Result<Vec<Cow<'a, str>>, Fault> {
    if message.subscription().is_none() {
        return Err(Fault::SubscriptionMissing);
    }
    let names = message.subscriptions().ok_or(Fault::SubscriptionInvalid)?;
    if names.is_empty() { Err(Fault::SubscriptionMissing) } else { Ok(names) }
}
