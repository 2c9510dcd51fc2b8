//! Leave to subscribe: signed with the secret, or asked for at the authorization endpoint.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::{Deserialize, de::DeserializeOwned};

use super::{secretbox, settings::Settings};
use crate::proto::{
    member::Member,
    name::{Class, Kind},
    sign,
    text::push_string,
};

/// What a subscription is made with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Grant {
    pub(super) auth: Option<String>,
    pub(super) channel_data: Option<String>,
    /// The key of an encrypted channel.
    pub(super) key: Option<[u8; 32]>,
}

/// Leave was not given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub(super) struct Denied {
    pub(super) reason: String,
    /// Asking again soon may help.
    pub(super) passing: bool,
}

impl Denied {
    fn by(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), passing: false }
    }
}

/// The JSON of a user: `{"user_id":..,"user_info":..}`.
fn channel_data(member: &Member) -> String {
    let mut out = String::from(r#"{"user_id":"#);
    push_string(&mut out, &member.user_id);
    if let Some(info) = &member.user_info {
        out.push_str(r#","user_info":"#);
        out.push_str(info);
    }
    out.push('}');
    out
}

/// The JSON of a sign-in.
fn user_data(settings: &Settings, member: &Member) -> String {
    let mut out = String::from(r#"{"id":"#);
    push_string(&mut out, &member.user_id);
    if let Some(info) = &member.user_info {
        out.push_str(r#","user_info":"#);
        out.push_str(info);
    }
    if !settings.watchlist.is_empty() {
        out.push_str(r#","watchlist":"#);
        out.push_str(&serde_json::to_string(&settings.watchlist).unwrap_or_default());
    }
    out.push('}');
    out
}

/// Leave to subscribe to a channel on this connection.
pub(super) async fn channel(
    settings: &Settings,
    http: &reqwest::Client,
    socket_id: &str,
    name: &str,
) -> Result<Grant, Denied> {
    let kind = Kind::of(name, usize::MAX).map_err(|fault| Denied::by(fault.to_string()))?;
    if !kind.is_signed() {
        return Ok(Grant::default());
    }
    match (&settings.secret, &settings.auth_endpoint) {
        (_, Some(url)) => ask(settings, http, url, socket_id, name).await,
        (Some(secret), None) => own(settings, secret, socket_id, name, kind),
        (None, None) => Err(Denied::by("this channel takes a `secret` or an `auth_endpoint`")),
    }
}

fn own(settings: &Settings, secret: &str, socket_id: &str, name: &str, kind: Kind) -> Result<Grant, Denied> {
    let channel_data = match (kind.class, &settings.user) {
        (Class::Presence, Some(member)) => Some(channel_data(member)),
        (Class::Presence, None) => return Err(Denied::by("a presence channel takes a `user_id`")),
        _ => None,
    };
    let key = match (kind.class, &settings.master_key) {
        (Class::Encrypted, Some(master)) => Some(secretbox::channel_key(name, master)),
        (Class::Encrypted, None) => return Err(Denied::by("an encrypted channel takes an `encryption_master_key`")),
        _ => None,
    };
    let signature = match &channel_data {
        Some(data) => sign::sign_parts(secret, &[socket_id, name, data]),
        None => sign::sign_parts(secret, &[socket_id, name]),
    };
    Ok(Grant { auth: Some(format!("{}:{signature}", settings.key)), channel_data, key })
}

#[derive(Deserialize)]
struct Answer {
    auth: String,
    channel_data: Option<String>,
    shared_secret: Option<String>,
}

async fn ask(
    settings: &Settings,
    http: &reqwest::Client,
    url: &url::Url,
    socket_id: &str,
    name: &str,
) -> Result<Grant, Denied> {
    let answer: Answer = post(settings, http, url, &[("socket_id", socket_id), ("channel_name", name)]).await?;
    let key = match answer.shared_secret {
        None => None,
        Some(text) => {
            let bytes = BASE64_STANDARD.decode(text).ok().and_then(|bytes| bytes.try_into().ok());
            Some(bytes.ok_or_else(|| Denied::by("authorization: the `shared_secret` is not 32 bytes in base64"))?)
        }
    };
    Ok(Grant { auth: Some(answer.auth), channel_data: answer.channel_data, key })
}

/// A form to one of the endpoints.
async fn post<T: DeserializeOwned>(
    settings: &Settings,
    http: &reqwest::Client,
    url: &url::Url,
    form: &[(&str, &str)],
) -> Result<T, Denied> {
    let request = http.post(url.clone()).headers(settings.auth_headers.clone()).form(form);
    let passing =
        |error: reqwest::Error| Denied { reason: format!("authorization: {}", error.without_url()), passing: true };
    let response = request.send().await.map_err(passing)?;
    let status = response.status();
    if !status.is_success() {
        let passing = status.is_server_error() || matches!(status.as_u16(), 408 | 429);
        return Err(Denied { reason: format!("authorization: status {status}"), passing });
    }
    response.json().await.map_err(|_| Denied::by("authorization: the answer has no `auth`"))
}

#[derive(Deserialize)]
struct UserAnswer {
    auth: String,
    user_data: String,
}

/// The `auth` and `user_data` of a sign-in; `None` where none is configured or nothing can sign it.
///
/// # Errors
/// The endpoint does not give them.
pub(super) async fn user(
    settings: &Settings,
    http: &reqwest::Client,
    socket_id: &str,
) -> Result<Option<(String, String)>, Denied> {
    if !settings.sign_in {
        return Ok(None);
    }
    if let Some(url) = &settings.user_auth_endpoint {
        let answer: UserAnswer = post(settings, http, url, &[("socket_id", socket_id)]).await?;
        return Ok(Some((answer.auth, answer.user_data)));
    }
    let (Some(member), Some(secret)) = (&settings.user, &settings.secret) else { return Ok(None) };
    let data = user_data(settings, member);
    let signature = sign::sign_parts(secret, &[socket_id, "", "user", "", &data]);
    Ok(Some((format!("{}:{signature}", settings.key), data)))
}
