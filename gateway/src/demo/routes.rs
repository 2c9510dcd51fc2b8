//! What the demo serves on the HTTP listener.

use std::sync::Arc;

use axum::{
    Form, Json, Router,
    extract::Path,
    http::{StatusCode, header},
    response::{Html, IntoResponse, Response},
    routing::{get, post},
};
use ratatosk_pusher::config::PusherAppConfig;
use serde_json::{Value, json};

use super::{PUSHER_ROOT, ROOT, assets, fleet, sign};
use crate::{config::Resolved, run::live_page};

/// Nothing from elsewhere, and only connections home. (MQTT.js keeps time in a worker of its own.)
const POLICY: &str = "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; \
                      worker-src 'self' blob:; connect-src 'self' ws: wss:";

pub(super) fn router(resolved: &Resolved) -> Router {
    let settings = settings(resolved);
    let mut router = Router::new()
        .route("/", get(|| async { ([(header::CONTENT_SECURITY_POLICY, POLICY)], Html(assets::PAGE)) }))
        .merge(live_page("/live"))
        .route("/demo/settings.json", get(move || async move { Json(settings) }))
        .route("/demo/{*path}", get(asset));
    if let Some(app) = app(resolved) {
        let app = Arc::new(app);
        let answer = move |asked: Form<sign::Asked>| async move { sign::answer(&app, asked) };
        router = router.route("/demo/pusher-auth", post(answer));
    }
    router
}

async fn asset(Path(path): Path<String>) -> Response {
    let known = assets::ASSETS.iter().find(|asset| asset.path.strip_prefix("demo/").unwrap_or(asset.path) == path);
    let Some(asset) = known else { return StatusCode::NOT_FOUND.into_response() };
    let headers = [(header::CONTENT_TYPE, asset.mime()), (header::CACHE_CONTROL, asset.caching())];
    (headers, asset.bytes).into_response()
}

/// The application that the page is a client of.
fn app(resolved: &Resolved) -> Option<PusherAppConfig> {
    resolved.pusher.apps.iter().find(|app| app.enabled && app.client_events).cloned()
}

/// What the page has to know of the configuration in force.
fn settings(resolved: &Resolved) -> Value {
    let port = |address: Option<std::net::SocketAddr>| address.map(|address| address.port());
    json!({
        "root": ROOT,
        "sensors": fleet::names(),
        "fleet": fleet::CLIENT_ID,
        "sse": resolved.sse.path,
        "bayeux": resolved.bayeux.path,
        "pusher": app(resolved).map(|app| json!({
            "key": app.key,
            "prefix": resolved.pusher.prefix,
            "root": PUSHER_ROOT,
        })),
        "mqttPort": port(resolved.mqtt.listen.address()).filter(|port| *port != 0),
        "adminPort": port(resolved.admin).filter(|port| *port != 0),
    })
}
