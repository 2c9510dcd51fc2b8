//! From the first byte to CONNACK.

use std::sync::Arc;

use bytes::Bytes;
use ratatosk_core::{EndReason, MonitorEvent};

use super::{
    Shared,
    auth::{Credentials, Identity},
    connection::{Connection, Rest},
    inbound::Inbound,
    keeper, registry,
    wire::{End, Wire},
};
use crate::{
    mapping::CONNECTOR,
    proto::{
        codec::{Auth, Packet, ReasonCode, Secret, Version, encode},
        session::{Opening, Refusal, Step},
    },
};

/// Who a client is, and what enhanced authentication says last.
type Proved = (Identity, Option<Bytes>);

/// Lets a client in, or refuses it; either within the time allowed.
pub(super) async fn run(shared: Arc<Shared>, wire: Arc<Wire>, already: Bytes) -> Result<Box<Connection>, End> {
    let work = tokio::time::timeout(shared.settings.connect_timeout, admit(&shared, &wire, &already));
    tokio::select! {
        result = work => result.unwrap_or(Err(End::silent(EndReason::Timeout))),
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
        Ok(_) => return Err(End::silent(EndReason::Protocol)),
        Err(fault) => {
            tracing::debug!(remote = %wire.remote, %fault, "first packet is refused");
            if let Some(refusal) = Refusal::of_fault(fault) {
                refuse(wire, refusal).await;
            }
            return Err(End::silent(EndReason::Protocol));
        }
    };
    let (version, bridge) = (connect.version, connect.bridge);
    let opening = match Opening::new(*connect, offer, fresh_id) {
        Ok(opening) => opening,
        Err(refusal) => {
            refuse(wire, refusal).await;
            return Err(End::silent(EndReason::Protocol));
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
    let refusal = |reason| Refusal { version, reason };
    let (identity, auth_data) = match proved {
        Ok(proved) => proved,
        Err(reason) => {
            refuse(wire, refusal(reason)).await;
            return Err(End::silent(EndReason::Denied));
        }
    };
    let keep_alive = opening.keep_alive;
    if let Err(error) = keeper::recall(shared, &opening.client_id).await {
        tracing::warn!(%error, "a stored MQTT session could not be read");
        refuse(wire, refusal(ReasonCode::SERVER_UNAVAILABLE)).await;
        return Err(End::silent(EndReason::Limit));
    }
    match registry::attach(shared, opening, &identity, wire, auth_data) {
        Ok(client) => {
            let (shared, wire, origin) = (shared.clone(), wire.clone(), client.origin());
            let rest = Rest::default();
            let connection =
                Connection { shared, wire, client, inbound, version, identity, bridge, keep_alive, origin, rest };
            Ok(Box::new(connection))
        }
        Err(reason) => {
            refuse(wire, refusal(reason)).await;
            Err(End::silent(EndReason::Limit))
        }
    }
}

async fn authenticate(shared: &Shared, wire: &Wire, opening: &Opening) -> Result<Proved, ReasonCode> {
    let credentials = Credentials {
        client_id: &opening.client_id,
        username: opening.username.as_deref(),
        password: opening.password.as_ref().map(|Secret(password)| &password[..]),
        remote: wire.remote,
    };
    shared.auth.authenticate(credentials).await.map(|identity| (identity, None))
}

/// Enhanced authentication: steps under one method until one side has had enough.
async fn prove(
    shared: &Shared,
    wire: &Arc<Wire>,
    inbound: &mut Inbound,
    opening: &Opening,
) -> Result<Result<Proved, ReasonCode>, End> {
    let method = opening.link.auth_method.clone().unwrap_or_default();
    let Some(mut exchange) = shared.auth.methods().and_then(|methods| methods.begin(&method)) else {
        return Ok(Err(ReasonCode::BAD_AUTH_METHOD));
    };
    let mut data = opening.auth_data.clone().map(|Secret(data)| data).unwrap_or_default();
    loop {
        let ours = match exchange.step(&data) {
            Step::Continue(ours) => ours,
            Step::Done { user, data } => return Ok(Ok((Identity { user: Some(user) }, data))),
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
