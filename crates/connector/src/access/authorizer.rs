//! Another server is asked who a client is: it allows, denies, or says who the client is to us.

use std::{net::IpAddr, sync::Arc, time::Duration};

use ratatosk_core::{Connector, Filter};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::{
    Credentials, Refusal, Scope, Subject,
    inquiry::{Asker, MAX_BYTES, Remembered},
    jwt::TokenKeyError,
    rights::now,
};

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

#[derive(Debug)]
pub(super) struct Authorizer {
    asker: Asker,
    known: Remembered<Result<Arc<Subject>, Refusal>>,
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

impl Authorizer {
    pub(super) fn new(config: AuthorizerConfig) -> Result<Self, TokenKeyError> {
        let asker = Asker::new(config.url, config.timeout, MAX_BYTES).map_err(|_| TokenKeyError::Client)?;
        Ok(Self { asker, known: Remembered::new(config.cache) })
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
        let judged = match self.known.get(&digest) {
            Some(judged) => judged,
            None => match self.asker.ask(question).await {
                Ok(answer) => {
                    let (answer, bytes) = answer.unzip();
                    let judged = subject(answer, user);
                    self.known.put(digest, judged.clone(), bytes.unwrap_or_default());
                    judged
                }
                Err(error) => {
                    tracing::warn!(url = %self.asker.url(), %error, "the authorizer could not be asked");
                    return Err(Refusal::Unavailable);
                }
            },
        };
        judged.and_then(|subject| match subject.expires {
            Some(expires) if expires <= now() => Err(Refusal::Expired),
            _ => Ok(subject),
        })
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
