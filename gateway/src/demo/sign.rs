//! The demo's authorization endpoint: what a site's own backend would do for pusher-js.

use axum::{
    Form, Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use ratatosk_pusher::{config::PusherAppConfig, proto::sign::sign_parts};
use serde::Deserialize;
use serde_json::json;

use super::PUSHER_ROOT;

/// What pusher-js asks for.
#[derive(Debug, Deserialize)]
pub(super) struct Asked {
    socket_id: String,
    channel_name: String,
}

/// Signs a subscription to one of the demo's channels, and to no other.
pub(super) fn answer(app: &PusherAppConfig, Form(asked): Form<Asked>) -> Response {
    let below = asked.channel_name.strip_prefix(PUSHER_ROOT);
    if !below.is_some_and(|rest| rest.starts_with('.')) {
        return (StatusCode::FORBIDDEN, "only the demo's channels are signed here\n").into_response();
    }
    let signature = sign_parts(app.secret.expose(), &[&asked.socket_id, &asked.channel_name]);
    Json(json!({ "auth": format!("{}:{signature}", app.key) })).into_response()
}
