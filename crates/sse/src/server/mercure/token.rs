//! Tokens: who may publish, and who may see private updates.

use super::selector::Selector;
use crate::config::{JwtAlgorithm, MercureConfig};
use http::{HeaderMap, header};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use ratatosk_connector::config_types::Secret;
use serde::Deserialize;
use std::sync::Arc;

/// The most selectors that a token may hold.
const MAX_SELECTORS: usize = 256;
/// Seconds that clocks may differ.
const LEEWAY: u64 = 10;

/// Why a key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The secret is empty.
    #[error("{0} is empty")]
    Empty(&'static str),
    /// Not the public key that the algorithm wants.
    #[error("{0} is not a public key in PEM form for its algorithm")]
    Pem(&'static str),
}

impl KeyError {
    /// The configuration key.
    #[must_use]
    pub const fn key(&self) -> &'static str {
        match self {
            Self::Empty(key) | Self::Pem(key) => key,
        }
    }
}

/// Why a token is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum TokenError {
    #[error("the token has expired")]
    Expired,
    #[error("the token is not valid yet")]
    Immature,
    #[error("the token's signature is not that of the hub's key")]
    Signature,
    #[error("the token is not signed with the hub's algorithm")]
    Algorithm,
    #[error("the token cannot be read")]
    Malformed,
    #[error("the token has too many or malformed topic selectors")]
    Selectors,
}

/// One role's key.
pub(super) struct Verifier {
    key: DecodingKey,
    validation: Validation,
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Verifier").field("algorithms", &self.validation.algorithms).finish_non_exhaustive()
    }
}

/// What a valid token says.
#[derive(Debug, Clone, Default)]
pub(super) struct Grant {
    /// Topics that may be published to privately; none: nothing may be published at all.
    pub(super) publish: Option<Arc<[Selector]>>,
    /// Topics whose private updates may be seen.
    pub(super) subscribe: Arc<[Selector]>,
    /// What subscriptions show of the subscriber.
    pub(super) payload: Option<serde_json::Value>,
    /// The token's subject.
    pub(super) user: Option<Arc<str>>,
    /// When it ends, in Unix seconds.
    pub(super) expires: Option<u64>,
}

#[derive(Deserialize)]
struct Claims {
    #[serde(default)]
    mercure: Mercure,
    #[serde(default)]
    sub: Option<Arc<str>>,
    #[serde(default)]
    exp: Option<f64>,
}

#[derive(Deserialize, Default)]
struct Mercure {
    publish: Option<Vec<String>>,
    #[serde(default)]
    subscribe: Option<Vec<String>>,
    payload: Option<serde_json::Value>,
}

impl Verifier {
    pub(super) fn publishers(config: &MercureConfig) -> Result<Self, KeyError> {
        Self::new(config.publisher_jwt_alg, &config.publisher_jwt_key, "sse.mercure.publisher_jwt_key")
    }

    pub(super) fn subscribers(config: &MercureConfig) -> Result<Self, KeyError> {
        Self::new(config.subscriber_jwt_alg, &config.subscriber_jwt_key, "sse.mercure.subscriber_jwt_key")
    }

    fn new(algorithm: JwtAlgorithm, key: &Secret, name: &'static str) -> Result<Self, KeyError> {
        use JwtAlgorithm as A;
        ratatosk_connector::access::jwt::install_crypto();
        let bytes = key.expose().as_bytes();
        if bytes.is_empty() {
            return Err(KeyError::Empty(name));
        }
        let (algorithm, key) = match algorithm {
            A::HS256 => (Algorithm::HS256, Ok(DecodingKey::from_secret(bytes))),
            A::HS384 => (Algorithm::HS384, Ok(DecodingKey::from_secret(bytes))),
            A::HS512 => (Algorithm::HS512, Ok(DecodingKey::from_secret(bytes))),
            A::RS256 => (Algorithm::RS256, DecodingKey::from_rsa_pem(bytes)),
            A::RS384 => (Algorithm::RS384, DecodingKey::from_rsa_pem(bytes)),
            A::RS512 => (Algorithm::RS512, DecodingKey::from_rsa_pem(bytes)),
            A::PS256 => (Algorithm::PS256, DecodingKey::from_rsa_pem(bytes)),
            A::PS384 => (Algorithm::PS384, DecodingKey::from_rsa_pem(bytes)),
            A::PS512 => (Algorithm::PS512, DecodingKey::from_rsa_pem(bytes)),
            A::ES256 => (Algorithm::ES256, DecodingKey::from_ec_pem(bytes)),
            A::ES384 => (Algorithm::ES384, DecodingKey::from_ec_pem(bytes)),
            A::EdDSA => (Algorithm::EdDSA, DecodingKey::from_ed_pem(bytes)),
        };
        // One algorithm for one key: a token cannot choose a weaker one, nor have a public key taken for a secret.
        let mut validation = Validation::new(algorithm);
        validation.required_spec_claims.clear();
        validation.validate_nbf = true;
        validation.validate_aud = false;
        validation.leeway = LEEWAY;
        Ok(Self { key: key.map_err(|_| KeyError::Pem(name))?, validation })
    }

    /// Checks a token.
    pub(super) fn verify(&self, token: &str) -> Result<Grant, TokenError> {
        use jsonwebtoken::errors::ErrorKind as K;
        let read = jsonwebtoken::decode::<Claims>(token, &self.key, &self.validation);
        let claims = read.map_err(|error| match error.kind() {
            K::ExpiredSignature => TokenError::Expired,
            K::ImmatureSignature => TokenError::Immature,
            K::InvalidSignature => TokenError::Signature,
            K::InvalidAlgorithm => TokenError::Algorithm,
            _ => TokenError::Malformed,
        })?;
        let Claims { mercure, sub, exp } = claims.claims;
        Ok(Grant {
            publish: mercure.publish.map(|texts| selectors(&texts)).transpose()?,
            subscribe: selectors(&mercure.subscribe.unwrap_or_default())?,
            payload: mercure.payload,
            user: sub,
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a float cast saturates")]
            expires: exp.map(|seconds| seconds as u64),
        })
    }
}

fn selectors(texts: &[String]) -> Result<Arc<[Selector]>, TokenError> {
    if texts.len() > MAX_SELECTORS {
        return Err(TokenError::Selectors);
    }
    let all: Result<Vec<Selector>, _> = texts.iter().map(|text| Selector::template(text)).collect();
    all.map(Arc::from).map_err(|_| TokenError::Selectors)
}

/// Where a token was found: a cookie comes along by itself, so a page of another origin could use it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    /// In the `Authorization` header or the query: sent on purpose.
    Given(String),
    /// In a cookie.
    Cookie(String),
    /// There is none.
    Nothing,
}

/// Finds the token of a request: the header before the query before the cookie.
pub(super) fn find(headers: &HeaderMap, query: &str, cookie: &str) -> Found {
    let authorization = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    if let Some((scheme, token)) = authorization.and_then(|value| value.split_once(' '))
        && scheme.eq_ignore_ascii_case("bearer")
    {
        return Found::Given(token.trim().to_owned());
    }
    let in_query = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "authorization");
    if let Some((_, token)) = in_query {
        return Found::Given(token.into_owned());
    }
    let cookies =
        headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok()).flat_map(|all| all.split(';'));
    let named = cookies.filter_map(|pair| pair.trim().split_once('=')).find(|(name, _)| {
        // The second is the name of Mercure 1.0.
        *name == cookie || *name == "__Secure-mercure_access_token"
    });
    named.map_or(Found::Nothing, |(_, token)| Found::Cookie(token.to_owned()))
}

#[cfg(test)]
#[path = "token_tests.rs"]
mod tests;
