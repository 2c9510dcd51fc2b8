//! The beginning of a session, and what ends mean.

use std::time::{Duration, Instant};

use http::{HeaderMap, StatusCode, header};
use ratatosk_connector::upstream::Ended;
use serde_json::Value;

use super::{
    BayeuxClient, compose,
    memory::{Kept, Memory},
    settings::Settings,
    wire::{Wire, WireError},
};
use crate::{
    config::UpstreamTransport,
    proto::answer::{self, Answer},
};

/// A refusal that a fresh token may cure is not final.
pub(super) fn judged(client: &mut BayeuxClient, ended: End) -> Ended {
    match ended {
        End::Ended(ended) => ended,
        End::Broken(error) => Ended::lost(error),
        End::Unauthorized(reason) => {
            client.memory.session = None;
            let curable = client.settings.oauth.is_some() && client.token.accepted;
            client.token.forget();
            if curable { Ended::lost(reason) } else { Ended::refused(reason) }
        }
    }
}

pub(super) enum End {
    Ended(Ended),
    /// The server broke off, perhaps for what we sent.
    Broken(WireError),
    /// The server does not accept who we are.
    Unauthorized(String),
}

impl End {
    pub(super) fn lost(reason: impl std::fmt::Display) -> Self {
        Self::Ended(Ended::lost(reason))
    }
}

impl From<WireError> for End {
    fn from(error: WireError) -> Self {
        match error {
            WireError::Status(StatusCode::UNAUTHORIZED) => Self::Unauthorized(error.to_string()),
            WireError::Tls(_) => Self::Ended(Ended::refused(error)),
            error if error.is_about_us() => Self::Broken(error),
            error => Self::lost(error),
        }
    }
}

/// Finds the way to the server: the session kept from before, or a new one.
pub(super) async fn begin(client: &mut BayeuxClient) -> Result<(Wire, Kept, bool), End> {
    let headers = authorized(client).await?;
    let (settings, no_socket) = (client.settings.clone(), client.memory.no_socket);
    let polling = || Wire::polling(client.http.clone(), settings.clone(), headers.clone());
    let mut wire = match settings.transport {
        UpstreamTransport::Websocket => Wire::socket(&settings, &headers).await?,
        _ => polling(),
    };
    if let Some(kept) = client.memory.resumable() {
        if settings.transport == UpstreamTransport::Auto && !no_socket && kept.socket {
            wire = Wire::socket(&settings, &headers).await.unwrap_or_else(|_| polling());
        }
        return Ok((wire, kept, true));
    }
    let kept = shake_hands(&mut wire, &settings, &mut client.memory).await?;
    client.token.accepted = true;
    if settings.transport == UpstreamTransport::Auto && kept.socket && !no_socket {
        match Wire::socket(&settings, &headers).await {
            Ok(socket) => wire = socket,
            Err(error) => {
                tracing::info!(%error, "the Bayeux server offers WebSocket, but it does not work: polling");
                client.memory.no_socket = true;
            }
        }
    }
    Ok((wire, kept, false))
}

async fn authorized(client: &mut BayeuxClient) -> Result<HeaderMap, End> {
    let mut headers = client.settings.headers.clone();
    if let Some((endpoint, oauth)) = &client.settings.oauth {
        let token = client.token.get(&client.http, endpoint, oauth).await.map_err(End::lost)?;
        headers.insert(header::AUTHORIZATION, token);
    }
    Ok(headers)
}

async fn shake_hands(wire: &mut Wire, settings: &Settings, memory: &mut Memory) -> Result<Kept, End> {
    let types: &[&str] = match settings.transport {
        UpstreamTransport::Auto if !memory.no_socket => &["websocket", "long-polling"],
        UpstreamTransport::Websocket => &["websocket"],
        _ => &["long-polling"],
    };
    let message = compose::handshake(memory.next_id(), types, settings.ack, settings.replay.is_some());
    wire.send(Value::from(vec![message]).to_string(), Duration::ZERO).await?;
    let deadline = tokio::time::Instant::now() + settings.timeout;
    loop {
        let body = tokio::time::timeout_at(deadline, wire.next()).await.map_err(|_| WireError::Timeout)??;
        let answers = answer::parse(&body).map_err(End::lost)?;
        let Some(reply) = answers.iter().find(|answer| answer.channel().as_deref() == Some("/meta/handshake")) else {
            continue;
        };
        let (Some(true), Some(client_id)) = (reply.successful(), reply.client_id()) else {
            return Err(refused(reply));
        };
        let ext = reply.ext();
        let is_on = |raw: Option<&serde_json::value::RawValue>| raw.is_some_and(|raw| !matches!(raw.get(), "false"));
        let kept = Kept {
            client_id: client_id.into_owned(),
            ack: settings.ack && is_on(ext.ack),
            replay: settings.replay.is_some() && is_on(ext.replay),
            filters: Vec::new(),
            socket: reply.offers("websocket"),
            heard: Instant::now(),
        };
        memory.begin(kept.clone());
        return Ok(kept);
    }
}

/// What a failed handshake or connect means.
pub(super) fn refused(reply: &Answer<'_>) -> End {
    let error = reply.error().into_owned();
    let advice = reply.advice().unwrap_or_default();
    let away = advice.interval.is_some_and(|interval| interval < 0.0);
    if reply.error_code() == Some(401) && !reply.says_unknown_session() {
        return End::Unauthorized(error);
    }
    if advice.reconnect.as_deref() == Some("none") || away {
        return End::Ended(Ended::refused(error));
    }
    let pause = answer::millis(advice.interval).unwrap_or(0);
    End::Ended(Ended::lost(error).after(Duration::from_millis(pause)))
}
