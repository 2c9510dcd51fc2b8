//! Keys at an address (RFC 7517, section 5): fetched when needed, kept, and fetched again when a token names a new one.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use tokio::{sync::watch, time::Instant};

use super::key::{Key, TokenKeyError};
use crate::{access::Refusal, config_types::masked, lifecycle::Lifecycle};

/// The longest answer that is read.
const MAX_BYTES: usize = 256 << 10;
/// The most keys that are kept.
const MAX_KEYS: usize = 64;
/// For so long an attempt holds up tokens whose keys are known: an answer may say that one of them is withdrawn, but a server
/// that hangs must not stop everyone.
const PATIENCE: Duration = Duration::from_millis(500);

/// Where keys are, and how long they hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JwksConfig {
    /// The address.
    pub url: String,
    /// Keys older than this are fetched again when a token comes.
    pub refresh: Duration,
    /// For so long they are used when that fails.
    pub max_stale: Duration,
    /// How long an answer may take.
    pub timeout: Duration,
    /// The least time from the end of an attempt to the next, whatever tokens name.
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
    inner: Arc<Inner>,
    life: Lifecycle,
}

#[derive(Debug)]
struct Inner {
    config: JwksConfig,
    client: reqwest::Client,
    keys: ArcSwapOption<KeySet>,
    attempts: Mutex<Attempts>,
}

#[derive(Debug, Default)]
struct Attempts {
    last: Option<Attempt>,
    /// When the last one ended.
    ended: Option<Instant>,
}

/// One attempt to fetch the keys, for which everyone waits together.
#[derive(Debug, Clone)]
struct Attempt {
    begun: Instant,
    /// Closed when it is over.
    over: watch::Receiver<()>,
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
    pub(super) fn new(config: JwksConfig, life: Lifecycle) -> Result<Self, TokenKeyError> {
        let _ = rustls::crypto::ring::default_provider().install_default(); // an error: it is installed already
        let client = reqwest::Client::builder()
            .timeout(config.timeout)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|_| TokenKeyError::Client)?;
        let inner = Inner { config, client, keys: ArcSwapOption::empty(), attempts: Mutex::default() };
        Ok(Self { inner: Arc::new(inner), life })
    }

    /// The keys, fetched again if they are old, or if none of them `suits`.
    pub(super) async fn keys(&self, suits: impl Fn(&Key) -> bool) -> Result<Arc<KeySet>, Refusal> {
        let (keys, config) = (&self.inner.keys, &self.inner.config);
        let good = |set: &KeySet| set.fetched.elapsed() < config.refresh && set.keys.iter().any(&suits);
        let usable = |set: &Arc<KeySet>| set.fetched.elapsed() < config.refresh + config.max_stale;
        if let Some(set) = keys.load_full().filter(|set| good(set)) {
            return Ok(set);
        }
        if let Some(mut attempt) = self.attempt(good) {
            let would_do = keys.load_full().filter(usable).is_some_and(|set| set.keys.iter().any(&suits));
            // An error in either: it is over.
            if would_do {
                let _ = tokio::time::timeout_at(attempt.begun + PATIENCE, attempt.over.changed()).await;
            } else {
                let _ = attempt.over.changed().await;
            }
        }
        keys.load_full().filter(usable).ok_or(Refusal::Unavailable)
    }

    /// The attempt that is under way, or one that begins now. None if there is no need, or the last one was too recent.
    fn attempt(&self, good: impl Fn(&KeySet) -> bool) -> Option<Attempt> {
        let mut attempts = self.inner.attempts.lock();
        // Another may have fetched them meanwhile.
        if self.inner.keys.load().as_ref().is_some_and(|set| good(set)) {
            return None;
        }
        if let Some(last) = attempts.last.as_ref().filter(|last| last.over.has_changed().is_ok()) {
            return Some(last.clone());
        }
        if attempts.ended.is_some_and(|at| at.elapsed() < self.inner.config.cooldown) {
            return None;
        }
        let (done, over) = watch::channel(());
        let attempt = Attempt { begun: Instant::now(), over };
        attempts.last = Some(attempt.clone());
        // A task of its own: whoever asked may be gone before the answer is there, and it is for everyone.
        let (inner, closing) = (self.inner.clone(), self.life.closing());
        self.life.spawn("token keys", async move {
            tokio::select! {
                () = inner.refresh() => {}
                () = closing => {}
            }
            drop(done);
        });
        Some(attempt)
    }
}

impl Inner {
    async fn refresh(&self) {
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
        self.attempts.lock().ended = Some(Instant::now());
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
