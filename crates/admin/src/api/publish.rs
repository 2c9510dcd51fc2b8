//! Publishing by hand.

use axum::{
    Json,
    extract::{State, rejection::JsonRejection},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::StatusCode;
use ratatosk_connector::http::Problem;
use ratatosk_core::{Channel, Connector, Origin, Publication, Qos};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Gateway;
use crate::problems;

/// A message in words: one of `data`, `text` and `base64` is its payload; with none it is empty.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    channel: String,
    data: Option<Value>,
    text: Option<String>,
    base64: Option<String>,
    event: Option<String>,
    #[serde(default)]
    retain: bool,
    #[serde(default)]
    qos: u8,
}

pub(super) async fn publish(
    State(admin): Gateway,
    wanted: Result<Json<Wanted>, JsonRejection>,
) -> Result<Json<Value>, Problem> {
    let Json(wanted) = wanted.map_err(|error| problems::bad(error.body_text()))?;
    let payload = payload(&wanted)?;
    let channel = Channel::new(wanted.channel).map_err(|error| problems::bad(error.to_string()))?;
    let qos = Qos::try_from(wanted.qos).map_err(|_| problems::bad("`qos` is 0, 1 or 2"))?;
    let origin = Origin::connector(Connector::register("admin"));
    let mut publication = Publication::new(channel, payload, origin).retained(wanted.retain);
    publication.qos = qos;
    if let Some(event) = wanted.event.filter(|event| !event.is_empty()) {
        publication = publication.with_event(event);
    }
    let bus = &admin.config.bus;
    bus.admission().await;
    let receipt = bus.publish(publication).map_err(|error| {
        let title = "The gateway does not take this message";
        Problem::new(StatusCode::FORBIDDEN, "reserved-channel", title, error.to_string())
    })?;
    Ok(Json(json!({ "id": receipt.seq.map(|seq| bus.position(seq).to_string()), "matched": receipt.matched })))
}

fn payload(wanted: &Wanted) -> Result<Bytes, Problem> {
    match (&wanted.data, &wanted.text, &wanted.base64) {
        (None, None, None) => Ok(Bytes::new()),
        (Some(data), None, None) => Ok(data.to_string().into()),
        (None, Some(text), None) => Ok(text.clone().into()),
        (None, None, Some(encoded)) => {
            STANDARD.decode(encoded).map(Bytes::from).map_err(|error| problems::bad(format!("`base64`: {error}")))
        }
        _ => Err(problems::bad("give one of `data`, `text` and `base64`")),
    }
}
