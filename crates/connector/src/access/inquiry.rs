//! Asking another server, and remembering what it said.

use std::{
    borrow::Cow,
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use serde::de::DeserializeOwned;

use crate::config_types::masked;

/// The longest answer that is read.
pub(super) const MAX_BYTES: usize = 64 << 10;
/// Answers that are remembered.
const REMEMBERED: usize = 4096;
/// Bytes of all of them as they were read.
const REMEMBERED_BYTES: usize = 16 << 20;
/// The largest that is remembered: few that are larger can come again.
const LARGEST: usize = 64 << 10;

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

    /// Asks by POST with JSON: the answer, and how many bytes it has. `None` is a plain no: 401 or 403.
    pub(super) async fn ask<A: DeserializeOwned>(&self, question: String) -> Result<Option<(A, usize)>, AskError> {
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
        Ok(Some((serde_json::from_slice(&body)?, body.len())))
    }
}

/// What a question is known by.
pub(super) type Digest = [u8; 32];

/// Answers by question, each for a while.
#[derive(Debug)]
pub(super) struct Remembered<V> {
    cache: Duration,
    answers: Mutex<Answers<V>>,
}

#[derive(Debug)]
struct Answers<V> {
    known: HashMap<Digest, (V, usize)>,
    /// When each ends, the first first.
    ends: VecDeque<(Instant, Digest)>,
    bytes: usize,
}

impl<V: Clone> Remembered<V> {
    /// A memory that holds an answer for so long; zero remembers nothing.
    pub(super) fn new(cache: Duration) -> Self {
        let answers = Answers { known: HashMap::new(), ends: VecDeque::new(), bytes: 0 };
        Self { cache, answers: Mutex::new(answers) }
    }

    pub(super) fn get(&self, key: &Digest) -> Option<V> {
        if self.cache.is_zero() {
            return None;
        }
        let mut answers = self.answers.lock();
        answers.forget_until(Instant::now());
        answers.known.get(key).map(|(answer, _)| answer.clone())
    }

    /// Remembers an answer of so many bytes, in the place of older ones if there are too many.
    pub(super) fn put(&self, key: Digest, answer: V, bytes: usize) {
        if self.cache.is_zero() || bytes > LARGEST {
            return;
        }
        let now = Instant::now();
        let mut answers = self.answers.lock();
        answers.forget_until(now);
        // Two may have asked the same at once: the answer stays as long as the first holds.
        if answers.known.contains_key(&key) {
            return;
        }
        while answers.known.len() >= REMEMBERED || answers.bytes + bytes > REMEMBERED_BYTES {
            answers.forget_first();
        }
        answers.bytes += bytes;
        answers.known.insert(key, (answer, bytes));
        answers.ends.push_back((now + self.cache, key));
    }
}

impl<V> Answers<V> {
    fn forget_until(&mut self, now: Instant) {
        while self.ends.front().is_some_and(|(end, _)| *end <= now) {
            self.forget_first();
        }
    }

    fn forget_first(&mut self) {
        let known = self.ends.pop_front().and_then(|(_, key)| self.known.remove(&key));
        self.bytes -= known.map_or(0, |(_, bytes)| bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: usize) -> Digest {
        let mut key = Digest::default();
        key.iter_mut().zip(n.to_be_bytes()).for_each(|(to, from)| *to = from);
        key
    }

    fn held(remembered: &Remembered<usize>) -> (usize, usize, usize) {
        let answers = remembered.answers.lock();
        (answers.known.len(), answers.ends.len(), answers.bytes)
    }

    #[test]
    fn the_latest_answers_are_remembered_by_number_and_by_size() {
        let hour = Duration::from_secs(3600);
        let remembered = Remembered::new(hour);
        (0..REMEMBERED * 2).for_each(|n| remembered.put(key(n), n, 1));
        assert_eq!(held(&remembered), (REMEMBERED, REMEMBERED, REMEMBERED));
        assert_eq!((remembered.get(&key(0)), remembered.get(&key(REMEMBERED))), (None, Some(REMEMBERED)));
        let remembered = Remembered::new(hour);
        (0..REMEMBERED).for_each(|n| remembered.put(key(n), n, LARGEST));
        let most = REMEMBERED_BYTES / LARGEST;
        assert_eq!(held(&remembered), (most, most, REMEMBERED_BYTES));
        assert_eq!(remembered.get(&key(REMEMBERED - 1)), Some(REMEMBERED - 1));
        remembered.put(key(REMEMBERED), 0, LARGEST + 1);
        assert_eq!(remembered.get(&key(REMEMBERED)), None, "it is too large");
    }

    #[test]
    fn what_has_ended_is_forgotten_though_there_is_room() {
        let remembered = Remembered::new(Duration::from_nanos(1));
        (0..10).for_each(|n| remembered.put(key(n), n, 1));
        while remembered.get(&key(9)).is_some() {}
        assert_eq!(held(&remembered), (0, 0, 0));
    }
}
