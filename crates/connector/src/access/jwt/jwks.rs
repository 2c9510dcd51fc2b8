//! Keys at an address (RFC 7517, section 5): fetched when needed, kept, and fetched again when a token names a new one.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwapOption;
use tokio::{sync::Mutex, time::Instant};

use super::key::{Key, TokenKeyError};
use crate::{access::Refusal, config_types::masked};

/// The longest answer that is read.
const MAX_BYTES: usize = 256 << 10;
/// The most keys that are kept.
const MAX_KEYS: usize = 64;

/// Where keys are, and how long they hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JwksConfig {
    /// The address.
    pub url: String,
    /// Keys older than this are fetched again before they are used.
    pub refresh: Duration,
    /// For so long they are used when that fails.
    pub max_stale: Duration,
    /// How long an answer may take.
    pub timeout: Duration,
    /// The least time between two attempts, whatever tokens name.
    pub cooldown: Duration,
}

/// The keys as they were fetched.
#[derive(Debug)]
pub(super) struct KeySet {
    pub(super) keys: Vec<Key>,
    fetched: Instant,
    /// Changes with the keys, so that what was verified with older ones is verified again.
    pub(super) generation: u64,
}

#[derive(Debug)]
pub(super) struct Jwks {
    config: JwksConfig,
    client: reqwest::Client,
    keys: ArcSwapOption<KeySet>,
    /// When the last attempt was made. Held while one is made: everyone waits for the same.
    attempted: Mutex<Option<Instant>>,
}

#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error(transparent)]
    Http(reqwest::Error),
    #[error("the answer is {0}")]
    Status(http::StatusCode),
    #[error("the answer has more than {MAX_BYTES} bytes")]
    TooLong,
    #[error("the answer is no set of keys")]
    NotASet,
    #[error("the answer has no key that can check a signature")]
    NoKey,
}

impl From<reqwest::Error> for FetchError {
    /// The URL may hold a password.
    fn from(error: reqwest::Error) -> Self {
        Self::Http(error.without_url())
    }
}

impl Jwks {
    pub(super) fn new(config: JwksConfig) -> Result<Self, TokenKeyError> {
        let _ = rustls::crypto::ring::default_provider().install_default(); // an error: it is installed already
        let client = reqwest::Client::builder()
            .timeout(config.timeout)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|_| TokenKeyError::Client)?;
        Ok(Self { config, client, keys: ArcSwapOption::empty(), attempted: Mutex::default() })
    }

    /// The keys, fetched again if they are old, or if none of them `suits`.
    pub(super) async fn keys(&self, suits: impl Fn(&Key) -> bool) -> Result<Arc<KeySet>, Refusal> {
        let good = |set: &KeySet| set.fetched.elapsed() < self.config.refresh && set.keys.iter().any(&suits);
        if let Some(set) = self.keys.load_full().filter(|set| good(set)) {
            return Ok(set);
        }
        self.refresh(good).await;
        let known = self.keys.load_full();
        known
            .filter(|set| set.fetched.elapsed() < self.config.refresh + self.config.max_stale)
            .ok_or(Refusal::Unavailable)
    }

    async fn refresh(&self, good: impl Fn(&KeySet) -> bool) {
        let mut attempted = self.attempted.lock().await;
        // Another may have fetched them while this one waited.
        if self.keys.load().as_ref().is_some_and(|set| good(set))
            || attempted.is_some_and(|at| at.elapsed() < self.config.cooldown)
        {
            return;
        }
        *attempted = Some(Instant::now());
        match self.fetch().await {
            Ok(keys) => {
                let generation = self.keys.load().as_ref().map_or(0, |set| set.generation + 1);
                self.keys.store(Some(Arc::new(KeySet { keys, fetched: Instant::now(), generation })));
            }
            Err(error) => {
                let kept = self.keys.load().is_some();
                tracing::warn!(url = %masked(&self.config.url), %error, kept, "keys of tokens could not be fetched");
            }
        }
    }

    async fn fetch(&self) -> Result<Vec<Key>, FetchError> {
        let mut answer = self.client.get(&self.config.url).header("accept", "application/json").send().await?;
        if answer.status() != http::StatusCode::OK {
            return Err(FetchError::Status(answer.status()));
        }
        let mut body = Vec::new();
        while let Some(piece) = answer.chunk().await? {
            body.extend_from_slice(&piece);
            if body.len() > MAX_BYTES {
                return Err(FetchError::TooLong);
            }
        }
        let set: serde_json::Value = serde_json::from_slice(&body).map_err(|_| FetchError::NotASet)?;
        let listed = set.get("keys").and_then(serde_json::Value::as_array).ok_or(FetchError::NotASet)?;
        let keys: Vec<Key> = listed.iter().filter_map(Key::of_set).take(MAX_KEYS).collect();
        if keys.is_empty() { Err(FetchError::NoKey) } else { Ok(keys) }
    }
}
