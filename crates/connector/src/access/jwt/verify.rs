//! From a token to who its bearer is.

use std::{collections::HashMap, sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, Validation, errors::ErrorKind};
use parking_lot::Mutex;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::{
    jwks::{Jwks, JwksConfig, KeySet},
    key::{Key, TokenKeyError},
};
use crate::{
    access::{
        Refusal, Scope, Subject,
        identity::{claim, texts},
        rights::now,
    },
    lifecycle::Lifecycle,
};

/// Tokens that were verified and are remembered, by their digest.
const REMEMBERED: usize = 16_384;
/// The longest token that is looked at.
const MAX_TOKEN: usize = 16 << 10;

/// How tokens are checked.
#[derive(Debug, Clone)]
pub struct TokenConfig {
    /// With which keys.
    pub keys: KeySource,
    /// Who must have issued them; any, if empty.
    pub issuers: Vec<String>,
    /// Whom they must be for: one of these. If empty, a token that names an audience is still accepted.
    pub audiences: Vec<String>,
    /// How much clocks may differ.
    pub leeway: Duration,
    /// Whether a token must say when it expires.
    pub requires_expiry: bool,
    /// The claim that is the user's name, or a path to it.
    pub user_claim: String,
    /// The claim that lists groups, or a path to it.
    pub groups_claim: String,
}

/// Where keys come from.
#[derive(Debug, Clone)]
pub enum KeySource {
    /// These.
    Fixed(Vec<Key>),
    /// An address.
    Jwks(JwksConfig),
}

/// Checks tokens.
#[derive(Debug)]
pub struct Tokens {
    keys: Keys,
    config: TokenConfig,
    verified: Mutex<HashMap<[u8; 32], Verified>>,
}

#[derive(Debug)]
enum Keys {
    Fixed(Vec<Key>),
    Jwks(Jwks),
}

#[derive(Debug, Clone)]
struct Verified {
    subject: Arc<Subject>,
    generation: u64,
}

impl Tokens {
    /// A checker with its keys. A set of keys is fetched when the first token comes, by a task of `life`.
    ///
    /// # Errors
    /// There is no key, or no client to fetch any.
    pub fn new(config: &TokenConfig, life: &Lifecycle) -> Result<Self, TokenKeyError> {
        super::crypto::install();
        let keys = match &config.keys {
            KeySource::Fixed(keys) if keys.is_empty() => return Err(TokenKeyError::Missing),
            KeySource::Fixed(keys) => Keys::Fixed(keys.clone()),
            KeySource::Jwks(jwks) => Keys::Jwks(Jwks::new(jwks.clone(), life.clone())?),
        };
        Ok(Self { keys, config: config.clone(), verified: Mutex::default() })
    }

    /// Who a token's bearer is.
    ///
    /// # Errors
    /// Why the token is not accepted. What cannot be checked is not accepted.
    pub async fn verify(&self, token: &str) -> Result<Arc<Subject>, Refusal> {
        if token.len() > MAX_TOKEN {
            return Err(Refusal::Bad);
        }
        let digest: [u8; 32] = Sha256::digest(token).into();
        let head = head(token).ok_or(Refusal::Bad)?;
        let fetched: Arc<KeySet>;
        let (keys, generation) = match &self.keys {
            Keys::Fixed(keys) => (keys.as_slice(), 0),
            Keys::Jwks(jwks) => {
                fetched = jwks.keys(|key| key.fits(head.algorithm, head.key.as_deref())).await?;
                (fetched.keys.as_slice(), fetched.generation)
            }
        };
        let known = self.verified.lock().get(&digest).filter(|known| known.generation == generation).cloned();
        if let Some(known) = known {
            let ended = known.subject.expires.is_some_and(|expires| expires <= now());
            return if ended { Err(Refusal::Expired) } else { Ok(known.subject) };
        }
        let subject = Arc::new(self.check(token, &head, keys)?);
        let mut verified = self.verified.lock();
        if verified.len() >= REMEMBERED {
            verified.clear();
        }
        verified.insert(digest, Verified { subject: subject.clone(), generation });
        Ok(subject)
    }

    fn check(&self, token: &str, head: &Head, keys: &[Key]) -> Result<Subject, Refusal> {
        let mut refusal = Refusal::Bad;
        for key in keys.iter().filter(|key| key.fits(head.algorithm, head.key.as_deref())) {
            match jsonwebtoken::decode::<Map<String, Value>>(token, &key.key, &self.validation(head.algorithm)) {
                Ok(read) => return self.subject(read.claims),
                // With another key it may be right.
                Err(error) if matches!(error.kind(), ErrorKind::InvalidSignature) => {}
                Err(error) => {
                    refusal = match error.kind() {
                        ErrorKind::ExpiredSignature => Refusal::Expired,
                        ErrorKind::ImmatureSignature => Refusal::Immature,
                        ErrorKind::InvalidIssuer | ErrorKind::InvalidAudience => Refusal::Foreign,
                        _ => Refusal::Bad,
                    }
                }
            }
        }
        Err(refusal)
    }

    fn validation(&self, algorithm: Algorithm) -> Validation {
        let mut validation = Validation::new(algorithm);
        validation.required_spec_claims.clear();
        validation.validate_nbf = true;
        validation.leeway = self.config.leeway.as_secs();
        validation.validate_aud = !self.config.audiences.is_empty();
        if !self.config.audiences.is_empty() {
            validation.set_audience(&self.config.audiences);
            validation.required_spec_claims.insert("aud".to_owned());
        }
        if !self.config.issuers.is_empty() {
            validation.set_issuer(&self.config.issuers);
            validation.required_spec_claims.insert("iss".to_owned());
        }
        if self.config.requires_expiry {
            validation.required_spec_claims.insert("exp".to_owned());
        }
        validation
    }

    fn subject(&self, claims: Map<String, Value>) -> Result<Subject, Refusal> {
        let all = |path: &str| claim(&claims, path).map(texts).unwrap_or_default();
        let user = all(&self.config.user_claim).into_iter().next().filter(|name| !name.is_empty());
        let groups = all(&self.config.groups_claim).into_iter().map(Arc::from).collect();
        let expires = match claims.get("exp") {
            None => None,
            Some(value) => {
                let seconds = value.as_f64().filter(|seconds| *seconds >= 0.0).ok_or(Refusal::Bad)?;
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a float cast saturates")]
                Some((seconds as u64).saturating_add(self.config.leeway.as_secs()))
            }
        };
        let scope = Scope::read(&claims);
        Ok(Subject { user: user.map(Arc::from), anonymous: false, groups, claims, expires, scope })
    }
}

struct Head {
    algorithm: Algorithm,
    key: Option<String>,
}

/// The head of a token. None if it names no algorithm that signs, or demands what is not understood (RFC 7515, section
/// 4.1.11).
fn head(token: &str) -> Option<Head> {
    let (head, _) = token.split_once('.')?;
    let head: Map<String, Value> = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(head).ok()?).ok()?;
    if head.contains_key("crit") {
        return None;
    }
    let text = |name: &str| head.get(name).and_then(Value::as_str);
    Some(Head { algorithm: text("alg")?.parse().ok()?, key: text("kid").map(str::to_owned) })
}

#[cfg(test)]
#[path = "verify_tests.rs"]
mod tests;
