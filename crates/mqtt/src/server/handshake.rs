//! From the first byte to CONNACK.

use std::sync::{Arc, Weak};

use bytes::Bytes;
use ratatosk_connector::{
    access::{Disapproved, Rights},
    limits::Limit,
    listener::Permit,
};
use ratatosk_core::{EndReason, MonitorEvent, Origin};

use super::{
    Shared,
    auth::Credentials,
    connection::{Connection, Rest},
    inbound::Inbound,
    keeper, registry,
    wire::{End, Wire},
};
use crate::{
    mapping::{self, CONNECTOR},
    proto::{
        codec::{Auth, Packet, ReasonCode, Secret, Version, Will, encode},
        session::{Opening, Refusal, Step},
    },
};

/// Who a client is, and what enhanced authentication says last.
type Proved = (Rights, Option<Bytes>);

/// Lets a client in, or refuses it; either within the time allowed.
pub(super) async fn run(shared: Arc<Shared>, wire: Arc<Wire>, already: Bytes) -> Result<Box<Connection>, End> {
    let work = tokio::time::timeout(shared.settings.connect_timeout, admit(&shared, &wire, &already));
    tokio::select! {
        result = work => result.unwrap_or(Err(End::silent(EndReason::Timeout).because("connect_timeout"))),
        () = shared.life.closing() => Err(End::silent(EndReason::Drain)),
    }
}

async fn admit(shared: &Arc<Shared>, wire: &Arc<Wire>, already: &[u8]) -> Result<Box<Connection>, End> {
    let offer = &shared.settings.offer;
    shared.keeper.restored().await;
    let mut inbound = Inbound::new(wire, offer.max_packet, already)?;
    let connect = match inbound.wait(wire).await? {
        Ok(Packet::Connect(connect)) => connect,
        // The decoder lets nothing else be first.
        Ok(_) => return Err(End::silent(EndReason::Protocol).because("not_connected")),
        Err(fault) => {
            tracing::debug!(remote = %wire.remote, %fault, "first packet is refused");
            if let Some(refusal) = Refusal::of_fault(fault, inbound.version()) {
                refuse(wire, refusal).await;
            }
            return Err(End::silent(EndReason::Protocol).because(fault.label()));
        }
    };
    let (version, bridge) = (connect.version, connect.bridge);
    let refusal = |reason| Refusal { version, reason };
    // Before anything is checked that costs something.
    let limits = shared.auth.limits();
    if let Err(limit) = wire.permit.as_ref().and_then(Permit::refused).map_or_else(|| limits.room(), Err) {
        if limit == Limit::Memory {
            limits.refused(*CONNECTOR, limit);
        }
        return Err(refuse_for(wire, refusal(reason_of(limit)), EndReason::Limit).await);
    }
    let mut opening = match Opening::new(*connect, offer, fresh_id) {
        Ok(opening) => opening,
        Err(refusal) => {
            return Err(refuse_for(wire, refusal, EndReason::Protocol).await);
        }
    };
    let proved = if opening.link.auth_method.is_some() {
        let proved = prove(shared, wire, &mut inbound, &opening).await?;
        let allowed = proved.is_ok();
        shared.bus.monitor().emit(MonitorEvent::Authenticated { connector: *CONNECTOR, allowed });
        proved
    } else {
        authenticate(shared, wire, &opening).await
    };
    let (rights, auth_data) = match proved {
        Ok(proved) => proved,
        Err(reason) => {
            return Err(refuse_for(wire, refusal(reason), EndReason::Denied).await);
        }
    };
    // Told now: when a will is published, there is nobody left to tell.
    if opening.will.as_ref().is_some_and(|will| !may_will(shared, &rights, &will.topic)) {
        return Err(refuse_for(wire, refusal(ReasonCode::NOT_AUTHORIZED), EndReason::Denied).await);
    }
    if let Some(will) = &mut opening.will
        && let Err(reason) = Box::pin(approve_will(&rights, will)).await
    {
        return Err(refuse_for(wire, refusal(reason), EndReason::Denied).await);
    }
    let guest = match limits.enter(*CONNECTOR, rights.user()) {
        Ok(guest) => guest,
        Err(limit) => return Err(refuse_for(wire, refusal(reason_of(limit)), EndReason::Limit).await),
    };
    let keep_alive = opening.keep_alive;
    if let Err(error) = keeper::recall(shared, &opening.client_id).await {
        tracing::warn!(%error, "a stored MQTT session could not be read");
        return Err(refuse_for(wire, refusal(ReasonCode::SERVER_UNAVAILABLE), EndReason::Limit).await);
    }
    match registry::attach(shared, opening, &rights, wire, auth_data) {
        Ok(client) => {
            let (shared, wire) = (shared.clone(), wire.clone());
            let ends = Arc::downgrade(&wire);
            let watch = shared.auth.watch(&rights, Box::new(move || expire(&ends)));
            let rest = Rest::new(watch, guest);
            let connection = Connection { shared, wire, client, inbound, version, rights, bridge, keep_alive, rest };
            Ok(Box::new(connection))
        }
        Err(reason @ ReasonCode::NOT_AUTHORIZED) => Err(refuse_for(wire, refusal(reason), EndReason::Denied).await),
        Err(reason) => Err(refuse_for(wire, refusal(reason), EndReason::Limit).await),
    }
}

/// MQTT 5, section 3.2.2.2; before version 5 each becomes 3.
fn reason_of(limit: Limit) -> ReasonCode {
    match limit {
        Limit::AddressRate => ReasonCode::CONNECTION_RATE_EXCEEDED,
        Limit::AddressConnections | Limit::UserConnections | Limit::PublishRate => ReasonCode::QUOTA_EXCEEDED,
        Limit::Connections | Limit::Memory | Limit::ProxyHeader => ReasonCode::SERVER_BUSY,
    }
}

/// A will below the gateway's own names is nobody's to publish, and is dropped when its time comes: every bridge of Mosquitto
/// has one, and is not to be kept out for it.
fn may_will(shared: &Shared, rights: &Rights, topic: &str) -> bool {
    mapping::names::published(topic).is_none_or(|channel| shared.auth.may_publish(rights, &channel))
}

/// The publish authorizer is asked about a will when it is made, and may change it then: when it is published, there is nobody
/// left to tell.
async fn approve_will(rights: &Rights, will: &mut Will) -> Result<(), ReasonCode> {
    let channel = mapping::names::published(&will.topic).filter(|channel| rights.need_approval(channel));
    let Some(channel) = channel else { return Ok(()) };
    let made = mapping::of_will(will.clone(), channel, Origin::connector(*CONNECTOR));
    match rights.approve(made.clone()).await {
        Ok(approved) if mapping::change_will(will, &made, &approved) => Ok(()),
        Ok(_) => Err(ReasonCode::IMPLEMENTATION),
        Err(Disapproved::Denied(_)) => Err(ReasonCode::NOT_AUTHORIZED),
        Err(Disapproved::Unavailable) => Err(ReasonCode::SERVER_UNAVAILABLE),
    }
}

fn expire(wire: &Weak<Wire>) {
    if let Some(wire) = wire.upgrade() {
        wire.end(End::from(EndReason::Expired));
    }
}

async fn authenticate(shared: &Shared, wire: &Wire, opening: &Opening) -> Result<Proved, ReasonCode> {
    let credentials = Credentials {
        client_id: &opening.client_id,
        username: opening.username.as_deref(),
        password: opening.password.as_ref().map(|Secret(password)| &password[..]),
        certificate: wire.permit.as_ref().and_then(Permit::certificate),
        remote: wire.remote,
    };
    shared.auth.authenticate(credentials).await.map(|rights| (rights, None))
}

/// Enhanced authentication: steps under one method until one side has had enough.
async fn prove(
    shared: &Shared,
    wire: &Arc<Wire>,
    inbound: &mut Inbound,
    opening: &Opening,
) -> Result<Result<Proved, ReasonCode>, End> {
    let method = opening.link.auth_method.as_deref().cloned().unwrap_or_default();
    let Some(mut exchange) = shared.auth.methods().and_then(|methods| methods.begin(&method)) else {
        return Ok(Err(ReasonCode::BAD_AUTH_METHOD));
    };
    let mut data = opening.auth_data.clone().map(|Secret(data)| data).unwrap_or_default();
    loop {
        let ours = match exchange.step(&data) {
            Step::Continue(ours) => ours,
            Step::Done { user, data } => return Ok(Ok((shared.auth.rights_of(user, wire.remote), data))),
            Step::Refuse => return Ok(Err(ReasonCode::NOT_AUTHORIZED)),
        };
        let reason = ReasonCode::CONTINUE_AUTHENTICATION;
        let step = Auth { reason, method: Some(method.clone()), data: Some(Secret(ours)), ..Auth::default() };
        send(wire, &Packet::Auth(step), Version::V5).await;
        data = match inbound.wait(wire).await? {
            Ok(Packet::Auth(auth)) if auth.method.as_ref() == Some(&method) && auth.reason == reason => {
                auth.data.map(|Secret(data)| data).unwrap_or_default()
            }
            Ok(Packet::Disconnect(_)) => return Err(End::silent(EndReason::Disconnect)),
            Ok(_) => return Ok(Err(ReasonCode::PROTOCOL_ERROR)),
            Err(fault) => return Ok(Err(fault.reason())),
        };
    }
}

/// Refuses a CONNECT that was understood.
async fn refuse_for(wire: &Wire, refusal: Refusal, end: EndReason) -> End {
    refuse(wire, refusal).await;
    End::silent(end).because(refusal.reason.connect_label())
}

async fn refuse(wire: &Wire, refusal: Refusal) {
    send(wire, &Packet::Connack(Box::new(refusal.connack())), refusal.version).await;
}

async fn send(wire: &Wire, packet: &Packet, version: Version) {
    let mut bytes = Vec::new();
    if encode(packet, version, &mut bytes).is_ok() {
        let _ = wire.socket.write_all(&wire.framed(&bytes)).await; // a failure shows at the next read
    }
}

/// An identifier that nobody can guess: whoever knows it can take the session over.
fn fresh_id() -> bytestring::ByteString {
    format!("auto-{:032x}", fastrand::u128(..)).into()
}
