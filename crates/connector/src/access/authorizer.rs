//! Another server is asked who a client is: it allows, denies, or says who the client is to us.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use ratatosk_core::{Connector, Filter};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::{Credentials, Refusal, Scope, Subject, jwt::TokenKeyError, rights::now};

/// The longest answer that is read.
const MAX_BYTES: usize = 64 << 10;
/// Answers that are remembered.
const REMEMBERED: usize = 4096;

/// Where to ask, and for how long an answer holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorizerConfig {
    /// The address.
    pub url: String,
    /// How long an answer may take.
    pub timeout: Duration,
    /// For how long the same credentials from the same address are answered the same; zero asks every time.
    pub cache: Duration,
}

/// What was answered, and until when it holds.
type Known = (Result<Arc<Subject>, Refusal>, Instant);

#[derive(Debug)]
pub(super) struct Authorizer {
    config: AuthorizerConfig,
    client: reqwest::Client,
    known: Mutex<HashMap<[u8; 32], Known>>,
}

/// What the server answers. Fields that it leaves out leave the client as it says it is.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    allow: bool,
    user: Option<String>,
    #[serde(default)]
    groups: Vec<String>,
    #[serde(default)]
    claims: Map<String, Value>,
    publish: Option<Vec<Filter>>,
    subscribe: Option<Vec<Filter>>,
    presence: Option<Vec<Filter>>,
    expires_in: Option<u64>,
}

#[derive(Debug, thiserror::Error)]
enum AskError {
    #[error(transparent)]
    Http(#[from] reqwest::Error),
    #[error("the answer is {0}")]
    Status(http::StatusCode),
    #[error("the answer has more than {MAX_BYTES} bytes")]
    TooLong,
    #[error("the answer is not understood: {0}")]
    Nonsense(#[from] serde_json::Error),
}

impl Authorizer {
    pub(super) fn new(config: AuthorizerConfig) -> Result<Self, TokenKeyError> {
        let _ = rustls::crypto::ring::default_provider().install_default(); // an error: it is installed already
        let client = reqwest::Client::builder()
            .timeout(config.timeout)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|_| TokenKeyError::Client)?;
        Ok(Self { config, client, known: Mutex::default() })
    }

    /// Asks. Whatever is no clear yes is a no: a server that is slow, down or answers nonsense lets nobody in.
    pub(super) async fn judge(
        &self,
        connector: Connector,
        address: Option<IpAddr>,
        credentials: Credentials<'_>,
    ) -> Result<Arc<Subject>, Refusal> {
        let (user, question) = question(connector, address, credentials);
        let question = question.to_string();
        let digest: [u8; 32] = Sha256::digest(&question).into();
        let known = self.known.lock().get(&digest).filter(|(_, until)| *until > Instant::now()).cloned();
        let judged = match known {
            Some((judged, _)) => judged,
            None => match self.ask(question).await {
                Ok(answer) => self.remember(digest, subject(answer, user)),
                Err(error) => {
                    tracing::warn!(url = self.config.url, %error, "the authorizer could not be asked");
                    return Err(Refusal::Unavailable);
                }
            },
        };
        judged.and_then(|subject| match subject.expires {
            Some(expires) if expires <= now() => Err(Refusal::Expired),
            _ => Ok(subject),
        })
    }

    async fn ask(&self, question: String) -> Result<Option<Answer>, AskError> {
        let request = self.client.post(&self.config.url).header("content-type", "application/json").body(question);
        let mut answer = request.send().await?;
        match answer.status() {
            http::StatusCode::OK => {}
            http::StatusCode::UNAUTHORIZED | http::StatusCode::FORBIDDEN => return Ok(None),
            status => return Err(AskError::Status(status)),
        }
        let mut body = Vec::new();
        while let Some(piece) = answer.chunk().await? {
            body.extend_from_slice(&piece);
            if body.len() > MAX_BYTES {
                return Err(AskError::TooLong);
            }
        }
        Ok(Some(serde_json::from_slice(&body)?))
    }

    fn remember(&self, digest: [u8; 32], judged: Result<Arc<Subject>, Refusal>) -> Result<Arc<Subject>, Refusal> {
        if !self.config.cache.is_zero() {
            let mut known = self.known.lock();
            if known.len() >= REMEMBERED {
                known.clear();
            }
            known.insert(digest, (judged.clone(), Instant::now() + self.config.cache));
        }
        judged
    }
}

/// The question, and who the client says it is.
fn question(connector: Connector, address: Option<IpAddr>, credentials: Credentials<'_>) -> (Option<String>, Value) {
    let from = json!({ "connector": connector.name(), "address": address });
    let (user, shown) = match credentials {
        Credentials::Nothing => (None, json!({})),
        Credentials::Password { user, password } => {
            (Some(user.to_owned()), json!({ "user": user, "password": String::from_utf8_lossy(password) }))
        }
        Credentials::Token(token) => (None, json!({ "token": token })),
        Credentials::Certificate(subject) => {
            let name = subject.user.as_deref().unwrap_or_default();
            (Some(name.to_owned()), json!({ "certificate": name }))
        }
    };
    let fields = [from, shown].into_iter().filter_map(|part| part.as_object().cloned()).flatten();
    let question = Value::Object(fields.collect());
    (user, question)
}

fn subject(answer: Option<Answer>, user: Option<String>) -> Result<Arc<Subject>, Refusal> {
    let answer = answer.filter(|answer| answer.allow).ok_or(Refusal::Bad)?;
    let scope = Scope { publish: answer.publish, subscribe: answer.subscribe, presence: answer.presence };
    Ok(Arc::new(Subject {
        user: answer.user.or(user).filter(|name| !name.is_empty()).map(Arc::from),
        anonymous: false,
        groups: answer.groups.into_iter().map(Arc::from).collect(),
        claims: answer.claims,
        expires: answer.expires_in.map(|seconds| now().saturating_add(seconds)),
        scope: (scope != Scope::default()).then_some(scope),
    }))
}

#[cfg(test)]
#[path = "authorizer_tests.rs"]
mod tests;
