//! What a session's machine can do to the bus.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use ratatosk_connector::{access::Disapproved, limits::Limit, upstream::hops};
use ratatosk_core::{
    Bus, Channel, Filter, Kind, Message, Origin, Position, Publication, PublishError, Session as BusSession,
    SubscribeOptions, stats::DropReason,
};

use crate::{
    mapping,
    proto::{
        details::Details,
        fault::Fault,
        inbound::{Inbound, text},
        machine::Host,
        payload::{BINARY_PROPERTY, Payload, write_fields},
        replay::Replay,
        reply::string,
    },
    server::{clock::Clock, live::Live, mount::Mount, service::ServiceCall},
};

/// What error strings say when a rule does not allow it.
const NOT_ALLOWED: &str = "not_allowed";

/// The bus, for one message of one session.
pub(crate) struct BusHost<'a> {
    pub(crate) live: &'a Arc<Live>,
    pub(crate) bus: &'a BusSession,
    /// What the session is to be shown: last values, history, answers of services.
    pub(crate) shown: Vec<Arc<Message>>,
    /// Answers of services, which go to this session alone.
    pub(crate) answers: Vec<Bytes>,
    /// What the publish authorizer said of this message, where it was asked.
    pub(crate) judged: Option<&'a Result<Publication, Disapproved>>,
}

impl Host for BusHost<'_> {
    fn subscribe(&mut self, filter: &Filter, replay: Option<Replay>) -> Result<(), Fault> {
        if !self.live.rights.may_subscribe(filter) {
            return Err(Fault::SubscribeDenied(NOT_ALLOWED));
        }
        let subscribed = self.bus.subscribe(filter.clone(), SubscribeOptions::default());
        if !subscribed.new && replay.is_none() {
            return Ok(());
        }
        let found = first_of(self.bus.bus().clone(), filter.clone(), replay, subscribed.cut);
        // An engine in memory is ready at once. Another one is waited for elsewhere: the session is locked here.
        let mut found = Box::pin(found);
        match found.as_mut().now_or_never() {
            Some(messages) => self.shown.extend(messages),
            None => {
                let live = self.live.clone();
                self.live.mount.life.spawn("bayeux history", async move {
                    let messages = found.await;
                    let mut inner = live.lock();
                    live.show(&mut inner, messages);
                    live.flush(&mut inner);
                });
            }
        }
        Ok(())
    }

    fn unsubscribe(&mut self, filter: &Filter) {
        self.bus.unsubscribe(filter);
    }

    fn publish(&mut self, channel: Channel, payload: Payload, message: &Inbound<'_>) -> Result<(), Fault> {
        self.check(&channel)?;
        if channel.as_str().split('/').next() == Some(mapping::SERVICES) {
            return Err(Fault::PublishDenied("reserved_channel"));
        }
        match self.judged {
            Some(Ok(publication)) => place(&self.live.mount, publication.clone()),
            Some(Err(_)) => Err(self.denied()),
            // Nobody was asked who should have been: that is no yes.
            None if self.live.rights.need_approval(&channel) => Err(self.denied()),
            None => publish(&self.live.mount, channel, payload, message, self.origin()),
        }
    }

    fn service(&mut self, channel: Channel, payload: Payload, message: &Inbound<'_>) -> Result<(), Fault> {
        self.check(&channel)?;
        self.hand_on(&channel, &payload, message)?;
        let mount = &self.live.mount;
        let Some(handler) = mount.service(&channel) else { return Ok(()) };
        let (client_id, user) = (self.bus.client_id().clone(), self.live.rights.user().cloned());
        let call = ServiceCall { channel, payload: payload.bytes, client_id, user };
        let name = message.channel().unwrap_or_default();
        self.answers.extend(handler.call(&call).iter().map(|answer| in_array(&name, answer)));
        Ok(())
    }
}

impl BusHost<'_> {
    /// Whether the session may publish to a channel.
    fn check(&self, channel: &Channel) -> Result<(), Fault> {
        if !self.live.rights.may_publish(channel) {
            return Err(self.denied());
        }
        self.live.guest.publish().map_err(|_| {
            self.live.mount.bus.stats().dropped(self.live.mount.connector, DropReason::RateLimited, 1);
            let limit = Limit::PublishRate;
            Fault::Limited { what: "publish_denied", limit: limit.label(), general: limit.is_general() }
        })
    }

    fn denied(&self) -> Fault {
        self.live.mount.bus.stats().dropped(self.live.mount.connector, DropReason::Denied, 1);
        Fault::PublishDenied(NOT_ALLOWED)
    }

    fn origin(&self) -> Origin {
        origin(self.live, self.bus)
    }

    /// A publication for a service is also on the bus, where no client hears it: upstreams take it by a rule that names it.
    fn hand_on(&self, channel: &Channel, payload: &Payload, message: &Inbound<'_>) -> Result<(), Fault> {
        let Ok(channel) = Channel::new(format!("${channel}")) else { return Ok(()) };
        publish(&self.live.mount, channel, payload.clone(), message, self.origin())
    }
}

/// Whom a session's messages come from.
pub(crate) fn origin(live: &Live, bus: &BusSession) -> Origin {
    let mut origin = Origin::connector(live.mount.connector);
    origin.session = Some(bus.id());
    origin.client_id = Some(bus.client_id().clone());
    origin.user = live.rights.user().cloned();
    origin
}

/// A service's answer as a message, and a comma.
fn in_array(channel: &str, answer: &[u8]) -> Bytes {
    let mut out = b"{\"channel\":".to_vec();
    string(channel, &mut out);
    out.push(b',');
    write_fields(answer, Kind::of(answer, None), None, "", &mut out);
    out.extend_from_slice(b"},");
    out.into()
}

/// The bus, for a caller without a session: it can publish, and nothing else.
pub(crate) struct AnonymousHost<'a>(pub(crate) &'a Mount);

impl Host for AnonymousHost<'_> {
    fn subscribe(&mut self, _: &Filter, _: Option<Replay>) -> Result<(), Fault> {
        Err(Fault::SessionUnknown)
    }

    fn unsubscribe(&mut self, _: &Filter) {}

    fn publish(&mut self, channel: Channel, payload: Payload, message: &Inbound<'_>) -> Result<(), Fault> {
        publish(self.0, channel, payload, message, Origin::connector(self.0.connector))
    }

    fn service(&mut self, _: Channel, _: Payload, _: &Inbound<'_>) -> Result<(), Fault> {
        Err(Fault::SessionUnknown)
    }
}

fn publish(
    mount: &Mount,
    channel: Channel,
    payload: Payload,
    message: &Inbound<'_>,
    origin: Origin,
) -> Result<(), Fault> {
    place(mount, publication(channel, payload, message, origin)?)
}

/// A message as the bus takes it.
pub(crate) fn publication(
    channel: Channel,
    payload: Payload,
    message: &Inbound<'_>,
    mut origin: Origin,
) -> Result<Publication, Fault> {
    if let Some(mark) = message.ext().hops.and_then(text) {
        origin.hops = hops::parse(&mark).into();
    }
    let mut publication = Publication::new(channel, payload.bytes, origin);
    if let Some(content_type) = payload.content_type {
        publication.extras_mut().content_type = Some(content_type.into());
    }
    if let Some(binary) = payload.binary {
        publication.extras_mut().properties.push((BINARY_PROPERTY.into(), binary.to_property().into()));
    }
    if let Some(said) = message.ext().ratatosk {
        let details = Details::read(said).ok_or(Fault::PublishDenied("bad_ext"))?;
        (publication.retain, publication.expiry) = (details.retain, details.life(Clock::wall()));
        details.enter(publication.extras_mut());
    }
    Ok(publication)
}

fn place(mount: &Mount, publication: Publication) -> Result<(), Fault> {
    match mount.bus.publish(publication) {
        Ok(_) => Ok(()),
        Err(PublishError::Loop) => Err(Fault::MessageDeleted),
        Err(_) => Err(Fault::PublishDenied("reserved_channel")),
    }
}

/// What a new subscriber is shown first: what it asks to be replayed, or last values.
async fn first_of(bus: Bus, filter: Filter, replay: Option<Replay>, cut: u64) -> Vec<Arc<Message>> {
    let filters = [filter];
    let after = |seq| bus.position(seq);
    let cursor: Option<Position> = match replay {
        None => {
            let [filter] = &filters;
            return bus.last_values(filter).await.unwrap_or_default();
        }
        Some(Replay::New) => return Vec::new(),
        Some(Replay::All) => None,
        Some(Replay::AfterSeq(seq)) => Some(after(seq)),
        // A place in another life of the gateway: all that is kept came after it.
        Some(Replay::After(text)) => text.parse().ok(),
    };
    let found = match cursor {
        Some(cursor) => bus.replay(&filters, &cursor, cut).await,
        None => bus.replay_all(&filters, cut).await,
    };
    found.map(|replay| replay.messages).unwrap_or_default()
}
