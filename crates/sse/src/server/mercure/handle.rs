//! The hub's requests.

use super::subscriptions::Active;
use super::token::{self, Found, Grant, TokenError};
use super::update::{Update, UpdateError};
use super::view::{View, selectors};
use super::{DISCOVERY, Hub, live};
use crate::server::{foreign_origin, query::MAX_QUERY, refuse};
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use ratatosk_connector::http::{Problem, Requester, trace_context};
use ratatosk_core::{Origin, Properties, PublishError};
use serde_json::json;
use std::sync::Arc;

/// Everything on the hub's path.
pub(super) async fn hub(State(hub): State<Hub>, request: Request) -> Response {
    let headers = request.headers().clone();
    let answer = match *request.method() {
        Method::OPTIONS => Ok(preflight(&hub, &headers)),
        Method::POST => publish(&hub, request).await,
        Method::GET | Method::HEAD => subscribe(&hub, request, String::new()).await,
        _ if request.method().as_str() == "QUERY" => query(&hub, request).await,
        _ => Err(Problem::bad_method("GET, HEAD, POST, QUERY", "GET or QUERY subscribes, POST publishes")),
    };
    answer.unwrap_or_else(|problem| refuse_with_challenge(&hub, &headers, problem))
}

fn preflight(hub: &Hub, headers: &HeaderMap) -> Response {
    (StatusCode::NO_CONTENT, HeaderMap::from_iter(hub.0.server.0.origins.preflight(headers))).into_response()
}

fn refuse_with_challenge(hub: &Hub, headers: &HeaderMap, problem: Problem) -> Response {
    let is_unauthorized = problem.status == StatusCode::UNAUTHORIZED;
    let mut response = refuse(&hub.0.server, headers, problem);
    if is_unauthorized {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"mercure\""));
    }
    response
}

/// The headers of every good answer.
pub(super) fn common_headers(hub: &Hub, request: &HeaderMap) -> HeaderMap {
    let mut headers: HeaderMap = hub.0.server.0.origins.answer(request).into_iter().collect();
    headers.insert(header::LINK, HeaderValue::from_static(DISCOVERY));
    let exposed = HeaderValue::from_static("Link, Last-Event-ID, Mercure-Last-Event-ID, ETag");
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
    headers
}

async fn publish(hub: &Hub, request: Request) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let server = &hub.0.server.0;
    if !server.origins.allows(&parts.headers) {
        return Err(foreign_origin(&parts.headers));
    }
    let (grant, token_is_cookie) =
        match token::find(&parts.headers, parts.uri.query().unwrap_or_default(), &hub.0.cookie) {
            Found::Nothing => return Err(unauthorized("publishing needs a token")),
            Found::Given(token) => (hub.0.publishers.verify(&token).map_err(bad_token)?, false),
            Found::Cookie(token) => (hub.0.publishers.verify(&token).map_err(bad_token)?, true),
        };
    if token_is_cookie && !is_trusted_page(hub, &parts.headers) {
        return Err(foreign_origin(&parts.headers));
    }
    let Some(allowed) = grant.publish else {
        return Err(forbidden("the token's `mercure.publish` does not allow publishing"));
    };
    let form = axum::body::to_bytes(body, server.max_body).await.map_err(|_| {
        let detail = format!("an update has at most {} bytes (`http.max_body`)", server.max_body);
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", "The update is too large", detail)
    })?;
    let update = Update::read(&form).map_err(bad_update)?;
    let is_allowed = |topic: &str| allowed.iter().any(|selector| selector.selects(topic));
    if update.private && !update.topics.iter().all(|topic| is_allowed(topic.as_str())) {
        return Err(forbidden("the token's `mercure.publish` does not select all topics of this private update"));
    }
    let mut origin = Origin::connector(hub.0.connector);
    origin.user = grant.user;
    crate::server::publish::pace(&hub.0.server, &parts, origin.user.as_ref())?;
    let id = place(hub, &update, &origin, &trace_context(&parts.headers)).await?;
    let mut headers = common_headers(hub, &parts.headers);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    Ok((headers, id).into_response())
}

async fn place(hub: &Hub, update: &Update, origin: &Origin, context: &Properties) -> Result<String, Problem> {
    let bus = &hub.0.server.0.bus;
    let too_long = || Problem::bad_request("bad-topic", "A topic is not valid", "a private topic is too long");
    let publications = update.publications(&hub.0.private, origin).ok_or_else(too_long)?;
    bus.admission().await;
    let mut first = None;
    for mut publication in publications {
        if !context.is_empty() {
            publication.extras_mut().properties.extend_from_slice(context);
        }
        let receipt = bus.publish(publication).map_err(|error| match error {
            PublishError::Reserved => forbidden("the topic is the gateway's own"),
            PublishError::Loop => {
                Problem::new(StatusCode::LOOP_DETECTED, "loop", "The update came back", error.to_string())
            }
        })?;
        first = first.or(receipt.seq);
    }
    let position = first.map(|seq| bus.position(seq).to_string()).unwrap_or_default();
    Ok(update.id.clone().unwrap_or(position))
}

/// A cookie proves who the browser's user is, not which page asks: that page must be ours or named in `http.cors_origins`.
fn is_trusted_page(hub: &Hub, headers: &HeaderMap) -> bool {
    let answer = hub.0.server.0.origins.answer(headers);
    let is_named = answer.iter().any(|(name, _)| name == header::ACCESS_CONTROL_ALLOW_CREDENTIALS);
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let same = text(header::ORIGIN).and_then(|origin| origin.split_once("://")).map(|(_, host)| host);
    is_named || (same.is_some() && same == text(header::HOST))
}

async fn query(hub: &Hub, request: Request) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let form = axum::body::to_bytes(body, 256 << 10).await.map_err(|_| {
        Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "body-too-large",
            "The list of topics is too long",
            "at most 256 KiB are read",
        )
    })?;
    let form = String::from_utf8_lossy(&form).into_owned();
    subscribe(hub, Request::from_parts(parts, axum::body::Body::empty()), form).await
}

async fn subscribe(hub: &Hub, request: Request, form: String) -> Result<Response, Problem> {
    let (headers, in_url) = (request.headers().clone(), request.uri().query().unwrap_or_default().to_owned());
    if in_url.len() > MAX_QUERY {
        let detail = format!("at most {MAX_QUERY} bytes are read; send the list as the form body of a QUERY request");
        return Err(Problem::new(StatusCode::URI_TOO_LONG, "query-too-long", "The query is too long", detail));
    }
    if !hub.0.server.0.origins.allows(&headers) {
        return Err(foreign_origin(&headers));
    }
    let (grant, has_token) = subscriber(hub, &headers, &in_url)?;
    let parameters = format!("{in_url}&{form}");
    let selectors = selectors(&parameters)?;
    if !has_token {
        // The hub's own tokens speak for their bearers; who has none is under the gateway's rules.
        let filters: Vec<_> = selectors.iter().map(|selector| selector.filter().clone()).collect();
        crate::server::token::check(&crate::server::token::visitor(request.extensions())?, &filters)?;
    }
    let limits = hub.0.server.0.access.limits();
    let guest = match limits.enter(hub.0.connector, grant.user.as_ref()) {
        Ok(guest) => guest,
        Err(limit) => {
            let mut response = crate::server::turn_away(&headers, limit);
            response.headers_mut().extend(common_headers(hub, &headers));
            return Ok(response);
        }
    };
    let view =
        View { selectors, allowed: grant.subscribe.clone(), private: hub.0.private.clone(), hub: hub.0.connector };
    let subscription = live::Subscription {
        hub: hub.clone(),
        view,
        grant,
        resume: resume(&headers, &parameters),
        _guest: guest,
        headers,
    };
    if request.method() == Method::HEAD {
        return Ok((StatusCode::OK, subscription.headers_without_history()).into_response());
    }
    Ok(match Requester::of(request.extensions()).and_then(Requester::takeover) {
        Some(takeover) => takeover.take(move |taken| subscription.run(taken)).await,
        None => subscription.answer().await,
    })
}

/// What a subscriber's token grants, and whether it has one; without one, nothing private.
fn subscriber(hub: &Hub, headers: &HeaderMap, query: &str) -> Result<(Grant, bool), Problem> {
    match token::find(headers, query, &hub.0.cookie) {
        Found::Given(token) | Found::Cookie(token) => {
            hub.0.subscribers.verify(&token).map(|grant| (grant, true)).map_err(bad_token)
        }
        Found::Nothing if hub.0.anonymous => Ok((Grant::default(), false)),
        Found::Nothing => Err(unauthorized("subscribing needs a token here (`sse.mercure.anonymous` is off)")),
    }
}

/// The cursor: the header before the query, whose name has changed over the versions.
fn resume(headers: &HeaderMap, parameters: &str) -> Option<String> {
    if let Some(id) = headers.get("last-event-id").filter(|id| !id.is_empty()) {
        return Some(String::from_utf8_lossy(id.as_bytes()).into_owned());
    }
    let names = ["lastEventID", "Last-Event-ID", "last_event_id", "lastEventId"];
    let mut found = form_urlencoded::parse(parameters.as_bytes())
        .filter(|(name, value)| names.contains(&&**name) && !value.is_empty());
    found.next().map(|(_, id)| id.into_owned())
}

pub(super) async fn all_subscriptions(State(hub): State<Hub>, request: Request) -> Response {
    listing(&hub, &request, None, None)
}

pub(super) async fn subscriptions_of_topic(
    State(hub): State<Hub>,
    Path(topic): Path<String>,
    request: Request,
) -> Response {
    listing(&hub, &request, Some(&topic), None)
}

pub(super) async fn subscription(
    State(hub): State<Hub>,
    Path((topic, subscriber)): Path<(String, String)>,
    request: Request,
) -> Response {
    listing(&hub, &request, Some(&topic), Some(&subscriber))
}

fn listing(hub: &Hub, request: &Request, topic: Option<&str>, subscriber: Option<&str>) -> Response {
    let answer = list(hub, request, topic, subscriber);
    answer.unwrap_or_else(|problem| refuse_with_challenge(hub, request.headers(), problem))
}

fn list(hub: &Hub, request: &Request, topic: Option<&str>, subscriber: Option<&str>) -> Result<Response, Problem> {
    if !hub.0.tells_subscriptions {
        let detail = "`sse.mercure.subscriptions` is off";
        return Err(Problem::new(
            StatusCode::NOT_FOUND,
            "no-subscriptions",
            "The hub does not list subscriptions",
            detail,
        ));
    }
    let path = request.uri().path();
    let query = request.uri().query().unwrap_or_default();
    let grant: Arc<[_]> = match token::find(request.headers(), query, &hub.0.cookie) {
        Found::Nothing => return Err(unauthorized("listing subscriptions needs a token")),
        Found::Given(token) | Found::Cookie(token) => hub.0.subscribers.verify(&token).map_err(bad_token)?.subscribe,
    };
    if !grant.iter().any(|selector| selector.selects(path)) {
        return Err(forbidden("the token's `mercure.subscribe` does not select this list"));
    }
    let head = hub.0.server.0.bus.position(hub.0.server.0.bus.head()).to_string();
    let mut found = hub.0.registry.list(topic, subscriber);
    let mut document = match (subscriber, found.len()) {
        (Some(_), 1) => found.remove(0),
        (Some(_), _) => {
            return Err(Problem::new(StatusCode::NOT_FOUND, "no-subscription", "There is no such subscription", path));
        }
        (None, _) => json!({ "id": path, "type": "Subscriptions", "subscriptions": found }),
    };
    if let Some(object) = document.as_object_mut() {
        object.insert("@context".to_owned(), json!("https://mercure.rocks/"));
        object.insert("lastEventID".to_owned(), json!(head));
    }
    let mut headers = common_headers(hub, request.headers());
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/ld+json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{head}\"")) {
        headers.insert(header::ETAG, tag);
    }
    Ok((headers, document.to_string()).into_response())
}

fn unauthorized(detail: &str) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "no-token", "A token is needed", detail)
}

fn forbidden(detail: &str) -> Problem {
    Problem::new(StatusCode::FORBIDDEN, "not-allowed", "The token does not allow this", detail)
}

fn bad_token(error: TokenError) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "bad-token", "The token is not accepted", error.to_string())
}

fn bad_update(error: UpdateError) -> Problem {
    Problem::bad_request("bad-update", "The update is not valid", error.to_string())
}

/// A stream enters the account of subscriptions under a name of its own.
pub(super) fn enter(hub: &Hub, view: &View, grant: &Grant, subscriber: &str) -> Active {
    Active::enter(hub, view, subscriber, grant.payload.as_ref())
}
