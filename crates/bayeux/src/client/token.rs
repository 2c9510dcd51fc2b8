//! Bearer tokens from an OAuth 2 token endpoint (RFC 6749, section 4 and 6).

use std::time::{Duration, Instant};

use http::HeaderValue;
use serde::Deserialize;
use url::Url;

use super::settings::bearer;
use crate::config::OAuthConfig;

/// A token is renewed this long before it expires.
const EARLY: Duration = Duration::from_secs(30);

/// Why there is no token. What the endpoint said is kept out: it may hold secrets.
#[derive(Debug, thiserror::Error)]
pub(super) enum TokenError {
    #[error("the token endpoint cannot be reached: {0}")]
    Unreachable(String),
    #[error("the token endpoint answers {0}")]
    Refused(u16),
    #[error("the token endpoint's answer holds no access_token")]
    Malformed,
}

/// The token in use.
#[derive(Debug, Default)]
pub(super) struct Token {
    value: Option<HeaderValue>,
    expires: Option<Instant>,
    /// Whether a fresh token has been accepted: a refusal of one that never was is final.
    pub(super) accepted: bool,
}

#[derive(Deserialize)]
struct Grant {
    access_token: String,
    #[serde(default)]
    expires_in: Option<f64>,
}

impl Token {
    /// The server refused it.
    pub(super) fn forget(&mut self) {
        (self.value, self.accepted) = (None, false);
    }

    /// The token, fetched anew where it is missing or about to expire.
    pub(super) async fn get(
        &mut self,
        http: &reqwest::Client,
        endpoint: &Url,
        oauth: &OAuthConfig,
    ) -> Result<HeaderValue, TokenError> {
        let fresh = self.expires.is_none_or(|at| Instant::now() + EARLY < at);
        if let Some(value) = self.value.clone().filter(|_| fresh) {
            return Ok(value);
        }
        let unreachable = |error: reqwest::Error| TokenError::Unreachable(error.without_url().to_string());
        let request = http.post(endpoint.clone()).form(&form(oauth)).timeout(Duration::from_secs(30));
        let response = request.send().await.map_err(unreachable)?;
        if !response.status().is_success() {
            return Err(TokenError::Refused(response.status().as_u16()));
        }
        let grant: Grant = response.json().await.map_err(|_| TokenError::Malformed)?;
        let value = bearer(&grant.access_token).ok_or(TokenError::Malformed)?;
        let life = grant.expires_in.filter(|seconds| (1.0..1e9).contains(seconds)).map(Duration::from_secs_f64);
        self.expires = life.and_then(|life| Instant::now().checked_add(life));
        self.value = Some(value.clone());
        Ok(value)
    }
}

fn form(oauth: &OAuthConfig) -> Vec<(&'static str, &str)> {
    let mut form = Vec::new();
    match (&oauth.refresh_token, &oauth.username, &oauth.password) {
        (Some(token), _, _) => form.extend([("grant_type", "refresh_token"), ("refresh_token", token.expose())]),
        (None, Some(user), Some(password)) => {
            form.extend([("grant_type", "password"), ("username", user), ("password", password.expose())]);
        }
        _ => form.push(("grant_type", "client_credentials")),
    }
    form.push(("client_id", &oauth.client_id));
    form.extend(oauth.client_secret.iter().map(|secret| ("client_secret", secret.expose())));
    form.extend(oauth.scope.iter().map(|scope| ("scope", scope.as_str())));
    form
}
