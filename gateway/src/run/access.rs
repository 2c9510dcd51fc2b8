//! Who may come in: users with passwords, for every protocol that hands over a name and a password.

use std::{collections::HashMap, sync::Arc};

use argon2::{Argon2, PasswordHash, PasswordVerifier};
use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use parking_lot::Mutex;
use ratatosk_connector::http::Problem;
use ratatosk_core::{Bus, Connector, MonitorEvent};
use ratatosk_mqtt::{
    proto::codec::ReasonCode,
    server::{AuthFuture, Authenticate, Credentials, Identity},
};
use sha2::{Digest, Sha256};

use crate::config::{Auth, PasswordCheck};

/// Verified name and password pairs that are remembered: an argon2 check takes tens of milliseconds on purpose,
/// which a polling HTTP client must not pay for every request.
const REMEMBERED: usize = 4096;

/// The list of users, and whether others are let in.
#[derive(Clone)]
pub(super) struct Access(Arc<Inner>);

struct Inner {
    bus: Bus,
    open: bool,
    users: HashMap<String, PasswordCheck>,
    /// Digests of pairs that were verified, never the passwords.
    verified: Mutex<HashMap<[u8; 32], Arc<str>>>,
}

impl Access {
    pub(super) fn new(auth: &Auth, bus: &Bus) -> Self {
        let users = auth.users.iter().map(|user| (user.name.clone(), user.password.clone())).collect();
        let open = auth.anonymous || !auth.configured;
        Self(Arc::new(Inner { bus: bus.clone(), open, users, verified: Mutex::default() }))
    }

    /// Judges a name and a password; without a name, whether anybody may come in.
    async fn judge(&self, connector: Connector, name: Option<&str>, password: &[u8]) -> Option<Identity> {
        let identity = match name {
            None => self.0.open.then(Identity::default),
            // With no users at all, a name is only a name.
            Some(_) if self.0.open && self.0.users.is_empty() => Some(Identity::default()),
            Some(name) => self.verify(name, password).await.map(|user| Identity { user: Some(user) }),
        };
        let allowed = identity.is_some();
        self.0.bus.monitor().emit(MonitorEvent::Authenticated { connector, allowed });
        identity
    }

    async fn verify(&self, name: &str, password: &[u8]) -> Option<Arc<str>> {
        let digest: [u8; 32] = Sha256::new()
            .chain_update(u64::try_from(name.len()).unwrap_or(u64::MAX).to_be_bytes())
            .chain_update(name)
            .chain_update(password)
            .finalize()
            .into();
        if let Some(user) = self.0.verified.lock().get(&digest) {
            return Some(user.clone());
        }
        let check = self.0.users.get(name)?.clone();
        let password = password.to_vec();
        // A blocking task: hashing would hold up everything else on this thread.
        let fits = tokio::task::spawn_blocking(move || fits(&check, &password)).await.unwrap_or(false);
        if !fits {
            return None;
        }
        let user: Arc<str> = name.into();
        let mut verified = self.0.verified.lock();
        if verified.len() >= REMEMBERED {
            verified.clear();
        }
        verified.insert(digest, user.clone());
        Some(user)
    }
}

fn fits(check: &PasswordCheck, password: &[u8]) -> bool {
    match check {
        PasswordCheck::Argon2(hash) => PasswordHash::new(hash.expose())
            .is_ok_and(|hash| Argon2::default().verify_password(password, &hash).is_ok()),
        // Digests are compared, so that the time taken tells nothing about the password.
        PasswordCheck::Plain(plain) => Sha256::digest(plain.expose()) == Sha256::digest(password),
    }
}

impl Authenticate for Access {
    fn authenticate<'a>(&'a self, credentials: Credentials<'a>) -> AuthFuture<'a> {
        Box::pin(async move {
            let connector = Connector::register("mqtt");
            let password = credentials.password.unwrap_or_default();
            let judged = self.judge(connector, credentials.username, password).await;
            judged.ok_or(if credentials.username.is_some() {
                ReasonCode::BAD_CREDENTIALS
            } else {
                ReasonCode::NOT_AUTHORIZED
            })
        })
    }
}

/// Lets HTTP requests in by Basic authentication (RFC 7617). Pusher's paths have their own: keys and signatures.
pub(super) async fn guard(State(access): State<Access>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    if access.0.open && !request.headers().contains_key(header::AUTHORIZATION)
        || path.starts_with("/app/")
        || path.starts_with("/apps/")
    {
        return next.run(request).await;
    }
    let credentials = basic(request.headers());
    let judged = match &credentials {
        Some((name, password)) => access.judge(Connector::register("http"), Some(name), password.as_bytes()).await,
        // Another scheme is another layer's business, where anybody may come in.
        None => access.judge(Connector::register("http"), None, b"").await,
    };
    if judged.is_some() {
        return next.run(request).await;
    }
    let problem = Problem::new(
        StatusCode::UNAUTHORIZED,
        "not-authorized",
        "Name and password are needed",
        "send them by HTTP Basic authentication",
    );
    let challenge = [(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"ratatosk\""))];
    (challenge, problem).into_response()
}

fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    let text = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, encoded) = text.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    decoded.split_once(':').map(|(name, password)| (name.to_owned(), password.to_owned()))
}
