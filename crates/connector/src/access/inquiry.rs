//! Asking another server, and remembering what it said.

use std::{
    borrow::Cow,
    collections::HashMap,
    hash::Hash,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use serde::de::DeserializeOwned;

use crate::config_types::masked;

/// The longest answer that is read.
pub(super) const MAX_BYTES: usize = 64 << 10;
/// Answers that are remembered.
const REMEMBERED: usize = 4096;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    #[error(transparent)]
    Http(reqwest::Error),
    #[error("the answer is {0}")]
    Status(http::StatusCode),
    #[error("the answer has more than {0} bytes")]
    TooLong(usize),
    #[error("the answer is not understood: {0}")]
    Nonsense(#[from] serde_json::Error),
}

impl From<reqwest::Error> for AskError {
    /// The URL may hold a password.
    fn from(error: reqwest::Error) -> Self {
        Self::Http(error.without_url())
    }
}

/// Asks one server.
#[derive(Debug)]
pub(super) struct Asker {
    url: String,
    most: usize,
    client: reqwest::Client,
}

impl Asker {
    /// An asker whose answers may take so long, and have so many bytes.
    pub(super) fn new(url: String, timeout: Duration, most: usize) -> Result<Self, reqwest::Error> {
        let _ = rustls::crypto::ring::default_provider().install_default(); // an error: it is installed already
        let builder = reqwest::Client::builder().timeout(timeout).redirect(reqwest::redirect::Policy::none());
        Ok(Self { url, most, client: builder.build()? })
    }

    /// Where it asks, fit to be shown.
    pub(super) fn url(&self) -> Cow<'_, str> {
        masked(&self.url)
    }

    /// Asks by POST with JSON. `None` is a plain no: 401 or 403.
    pub(super) async fn ask<A: DeserializeOwned>(&self, question: String) -> Result<Option<A>, AskError> {
        let request = self.client.post(&self.url).header("content-type", "application/json").body(question);
        let mut answer = request.send().await?;
        match answer.status() {
            http::StatusCode::OK => {}
            http::StatusCode::UNAUTHORIZED | http::StatusCode::FORBIDDEN => return Ok(None),
            status => return Err(AskError::Status(status)),
        }
        let mut body = Vec::new();
        while let Some(piece) = answer.chunk().await? {
            body.extend_from_slice(&piece);
            if body.len() > self.most {
                return Err(AskError::TooLong(self.most));
            }
        }
        Ok(Some(serde_json::from_slice(&body)?))
    }
}

/// Answers by question, each for a while.
#[derive(Debug)]
pub(super) struct Remembered<K, V> {
    cache: Duration,
    known: Mutex<HashMap<K, (V, Instant)>>,
}

impl<K: Eq + Hash, V: Clone> Remembered<K, V> {
    /// A memory that holds an answer for so long; zero remembers nothing.
    pub(super) fn new(cache: Duration) -> Self {
        Self { cache, known: Mutex::default() }
    }

    pub(super) fn get(&self, key: &K) -> Option<V> {
        let known = self.known.lock();
        known.get(key).filter(|(_, until)| *until > Instant::now()).map(|(answer, _)| answer.clone())
    }

    pub(super) fn put(&self, key: K, answer: V) {
        if self.cache.is_zero() {
            return;
        }
        let mut known = self.known.lock();
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(key, (answer, Instant::now() + self.cache));
    }
}
