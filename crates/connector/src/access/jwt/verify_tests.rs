#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use axum::{Router, routing::get};
use futures_util::FutureExt;
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _},
};
use serde_json::json;

use super::super::{SigningKey, sign};
use super::*;

const SECRET: &[u8] = b"a shared secret of thirty-two bytes and more";

fn config(keys: KeySource) -> TokenConfig {
    TokenConfig {
        keys,
        issuers: vec!["us".into()],
        audiences: vec!["gateway".into()],
        leeway: Duration::from_secs(5),
        requires_expiry: true,
        user_claim: "sub".into(),
        groups_claim: "realm.groups".into(),
    }
}

fn fixed(key: Key) -> Tokens {
    Tokens::new(&config(KeySource::Fixed(vec![key])), &Lifecycle::default()).unwrap()
}

/// Good claims, with some changed; `null` takes one away.
fn claims(changes: Value) -> Map<String, Value> {
    let good = json!({"sub": "joe", "iss": "us", "aud": "gateway", "exp": now() + 60, "realm": {"groups": ["a", "b"]}});
    let mut good = good.as_object().unwrap().clone();
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            good.remove(name);
        } else {
            good.insert(name.clone(), value.clone());
        }
    }
    good
}

fn token(changes: Value) -> String {
    sign(&claims(changes), &SigningKey::secret(SECRET), None).unwrap()
}

fn pem(label: &str, der: &[u8]) -> String {
    let body = base64::engine::general_purpose::STANDARD.encode(der);
    format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
}

/// An Ed25519 pair: the private and the public key in PEM form (RFC 8410), and the public key of a set.
fn ed25519(id: &str) -> (String, String, Value) {
    let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
    let pair = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap();
    let public = pair.public_key().as_ref().to_vec();
    let mut spki = vec![0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
    spki.extend_from_slice(&public);
    let set = json!({"kty": "OKP", "crv": "Ed25519", "kid": id, "x": URL_SAFE_NO_PAD.encode(&public)});
    (pem("PRIVATE KEY", pkcs8.as_ref()), pem("PUBLIC KEY", &spki), set)
}

/// A P-256 pair: the private key in PEM form, and the public key of a set.
fn p256(id: &str) -> (String, Value) {
    let (algorithm, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random).unwrap();
    let (x, y) = pair.public_key().as_ref().get(1..).unwrap().split_at(32);
    let encode = |part: &[u8]| URL_SAFE_NO_PAD.encode(part);
    let set = json!({"kty": "EC", "crv": "P-256", "kid": id, "x": encode(x), "y": encode(y)});
    (pem("PRIVATE KEY", pkcs8.as_ref()), set)
}

#[tokio::test]
async fn a_good_token_says_who_its_bearer_is() {
    let tokens = fixed(Key::secret(SECRET).unwrap());
    let token = token(json!({"ratatosk": {"publish": ["a/#"]}}));
    for _ in 0..2 {
        let subject = tokens.verify(&token).await.unwrap();
        assert_eq!(subject.user.as_deref(), Some("joe"));
        assert_eq!(subject.groups, [Arc::from("a"), Arc::from("b")]);
        assert!(!subject.anonymous && subject.scope.is_some());
        assert!(subject.expires.unwrap() >= now() + 60);
    }
    assert_eq!(tokens.verified.lock().len(), 1);
}

#[tokio::test]
async fn what_a_token_says_of_itself_is_held_against_it() {
    let tokens = fixed(Key::secret(SECRET).unwrap());
    for (changes, refusal) in [
        (json!({"exp": now() - 6}), Refusal::Expired),
        (json!({"nbf": now() + 60}), Refusal::Immature),
        (json!({"aud": "another"}), Refusal::Foreign),
        (json!({"aud": ["another", "third"]}), Refusal::Foreign),
        (json!({"aud": null}), Refusal::Bad),
        (json!({"iss": "them"}), Refusal::Foreign),
        (json!({"iss": null}), Refusal::Bad),
        (json!({"exp": null}), Refusal::Bad),
        (json!({"exp": "tomorrow"}), Refusal::Bad),
    ] {
        let refused = tokens.verify(&token(changes.clone())).await;
        assert_eq!(refused, Err(refusal), "{changes}");
    }
    // Within the leeway.
    assert!(tokens.verify(&token(json!({"exp": now() - 2}))).await.is_ok());
    assert!(tokens.verify(&token(json!({"nbf": now() + 3, "aud": ["x", "gateway"]}))).await.is_ok());
}

#[tokio::test]
async fn forged_tokens_are_not_accepted() {
    let tokens = fixed(Key::secret(SECRET).unwrap());
    let good = token(json!({}));
    let parts: Vec<&str> = good.split('.').collect();
    let [head, body, signature] = parts.as_slice() else { unreachable!() };
    let encode = |json: Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let other = sign(&claims(json!({})), &SigningKey::secret(b"another secret of thirty-two bytes!!"), None).unwrap();
    let changed = encode(Value::Object(claims(json!({"sub": "root"}))));
    for forged in [
        other,
        format!("{head}.{changed}.{signature}"),
        format!("{head}.{body}."),
        format!("{}.{body}.", encode(json!({"alg": "none"}))),
        format!("{}.{body}.{signature}", encode(json!({"alg": "NONE", "typ": "JWT"}))),
        format!("{}.{body}.{signature}", encode(json!({"alg": "RS256"}))),
        format!("{}.{body}.{signature}", encode(json!({"alg": "HS256", "crit": ["b64"], "b64": false}))),
        format!("{head}.{body}"),
        format!("{head}.{body}.{signature}.x"),
        String::new(),
        "..".into(),
        format!("ey{}", "x".repeat(MAX_TOKEN)),
    ] {
        assert_eq!(tokens.verify(&forged).await, Err(Refusal::Bad), "{forged}");
    }
    assert!(tokens.verified.lock().is_empty());
}

#[tokio::test]
async fn a_public_key_is_never_taken_for_a_shared_secret() {
    let (private, public, _) = ed25519("k");
    let tokens = fixed(Key::pem(public.as_bytes()).unwrap());
    let signed = sign(&claims(json!({})), &SigningKey::pem(private.as_bytes()).unwrap(), None).unwrap();
    assert!(tokens.verify(&signed).await.is_ok());
    // The classic: the attacker knows the public key, and signs with it as if it were a secret.
    let spki = base64::engine::general_purpose::STANDARD.decode(public.lines().nth(1).unwrap()).unwrap();
    for secret in [public.as_bytes(), public.trim().as_bytes(), spki.get(12..).unwrap(), &spki] {
        let confused = sign(&claims(json!({})), &SigningKey::secret(secret), None).unwrap();
        assert_eq!(tokens.verify(&confused).await, Err(Refusal::Bad));
    }
}

#[test]
fn keys_are_what_they_should_be() {
    assert_eq!(Key::secret(b"short").unwrap_err(), TokenKeyError::Short);
    let (private, public, _) = ed25519("k");
    assert_eq!(Key::pem(private.as_bytes()).unwrap_err(), TokenKeyError::Pem);
    assert_eq!(Key::pem(b"nonsense").unwrap_err(), TokenKeyError::Pem);
    assert_eq!(SigningKey::pem(public.as_bytes()).unwrap_err(), super::super::SignError::Key);
    // A secret that can be fetched is none; encryption keys and unknown types check nothing.
    for useless in [
        json!({"kty": "oct", "k": URL_SAFE_NO_PAD.encode(SECRET)}),
        json!({"kty": "oct", "k": URL_SAFE_NO_PAD.encode(SECRET), "alg": "HS256"}),
        json!({"kty": "new"}),
        json!({"kty": "OKP", "crv": "Ed25519", "x": "AAAA", "use": "enc"}),
        json!({"kty": "OKP", "crv": "Ed25519", "x": "AAAA", "alg": "HS256"}),
        json!("text"),
    ] {
        assert!(Key::of_set(&useless).is_none(), "{useless}");
    }
}

/// A server whose answer can be changed, and which counts its questions.
struct Server {
    url: String,
    answer: Arc<Mutex<(u16, String)>>,
    asked: Arc<AtomicUsize>,
    hangs: Arc<AtomicBool>,
}

impl Server {
    async fn start(answer: Value) -> Self {
        let answer = Arc::new(Mutex::new((200, answer.to_string())));
        let asked = Arc::new(AtomicUsize::new(0));
        let hangs = Arc::new(AtomicBool::new(false));
        let (shared, counter, silent) = (answer.clone(), asked.clone(), hangs.clone());
        let handler = move || {
            counter.fetch_add(1, Ordering::SeqCst);
            let (status, body) = shared.lock().clone();
            let silent = silent.load(Ordering::SeqCst);
            async move {
                if silent {
                    std::future::pending::<()>().await;
                }
                (http::StatusCode::from_u16(status).unwrap(), body)
            }
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/keys", listener.local_addr().unwrap());
        let router = Router::new().route("/keys", get(handler));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, answer, asked, hangs }
    }

    fn config(&self, refresh: Duration, max_stale: Duration, cooldown: Duration) -> TokenConfig {
        let timeout = Duration::from_secs(5);
        config(KeySource::Jwks(JwksConfig { url: self.url.clone(), refresh, max_stale, timeout, cooldown }))
    }

    fn answers(&self, status: u16, body: impl ToString) {
        *self.answer.lock() = (status, body.to_string());
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn keys_are_fetched_once_and_again_when_a_token_names_a_new_one() {
    let ((first, _, first_key), (second, second_key)) = (ed25519("one"), p256("two"));
    let server = Server::start(json!({"keys": [first_key, {"kty": "oct", "k": "AAAA"}, 7]})).await;
    let tokens = Tokens::new(&server.config(HOUR, HOUR, Duration::ZERO), &Lifecycle::default()).unwrap();
    let by = |pem: &str, id: &str, user: &str| {
        sign(&claims(json!({"sub": user})), &SigningKey::pem(pem.as_bytes()).unwrap(), Some(id)).unwrap()
    };
    for user in ["joe", "ann"] {
        assert!(tokens.verify(&by(&first, "one", user)).await.is_ok());
    }
    assert_eq!(server.asked(), 1);
    server.answers(200, json!({ "keys": [second_key] }));
    assert!(tokens.verify(&by(&second, "two", "joe")).await.is_ok());
    assert_eq!(server.asked(), 2);
    // What the withdrawn key has signed is no longer good, though it was verified before.
    assert_eq!(tokens.verify(&by(&first, "one", "joe")).await, Err(Refusal::Bad));
    // A signature by one key under the name of the other.
    assert_eq!(tokens.verify(&by(&first, "two", "joe")).await, Err(Refusal::Bad));
}

#[tokio::test]
async fn unknown_keys_do_not_make_a_flood_of_questions() {
    let (private, _, key) = ed25519("one");
    let server = Server::start(json!({ "keys": [key] })).await;
    let tokens = Tokens::new(&server.config(HOUR, HOUR, HOUR), &Lifecycle::default()).unwrap();
    let signer = SigningKey::pem(private.as_bytes()).unwrap();
    for n in 0..20 {
        let forged = sign(&claims(json!({})), &signer, Some(&format!("unknown-{n}"))).unwrap();
        assert_eq!(tokens.verify(&forged).await, Err(Refusal::Bad));
    }
    assert!(tokens.verify(&sign(&claims(json!({})), &signer, Some("one")).unwrap()).await.is_ok());
    assert_eq!(server.asked(), 1);
}

#[tokio::test]
async fn a_server_that_fails_or_lies_closes_the_door_in_the_end() {
    let (private, _, key) = ed25519("one");
    let signed = sign(&claims(json!({})), &SigningKey::pem(private.as_bytes()).unwrap(), Some("one")).unwrap();
    let lies = [
        (500, json!({ "keys": [key] }).to_string()),
        (302, String::new()),
        (200, "<html>".to_owned()),
        (200, json!([key]).to_string()),
        (200, json!({"keys": []}).to_string()),
        (200, json!({"keys": [{"kty": "oct", "k": URL_SAFE_NO_PAD.encode(SECRET), "kid": "one"}]}).to_string()),
        (200, format!("{{\"keys\": [{}\"x\"]}}", "1, ".repeat(MAX_LIE))),
    ];
    for (status, body) in &lies {
        let server = Server::start(json!({ "keys": [key] })).await;
        server.answers(*status, body);
        let tokens = Tokens::new(&server.config(HOUR, HOUR, Duration::ZERO), &Lifecycle::default()).unwrap();
        assert_eq!(tokens.verify(&signed).await, Err(Refusal::Unavailable), "{status}");
        // It comes to its senses.
        server.answers(200, json!({ "keys": [key] }));
        assert!(tokens.verify(&signed).await.is_ok());
    }
    for (max_stale, expected) in [(HOUR, true), (Duration::ZERO, false)] {
        let server = Server::start(json!({ "keys": [key] })).await;
        // Every question is asked anew, and what is known may be used for `max_stale`.
        let tokens =
            Tokens::new(&server.config(Duration::ZERO, max_stale, Duration::ZERO), &Lifecycle::default()).unwrap();
        let first = tokens.verify(&signed).await;
        assert_eq!(first.is_ok(), expected);
        server.answers(500, "");
        assert_eq!(tokens.verify(&signed).await.is_ok(), expected);
    }
}

const MAX_LIE: usize = 200_000;

#[tokio::test]
async fn a_server_that_hangs_stops_nobody_whose_key_is_known() {
    let (private, _, key) = ed25519("one");
    let signer = SigningKey::pem(private.as_bytes()).unwrap();
    let by = |id: &str| sign(&claims(json!({})), &signer, Some(id)).unwrap();
    let server = Server::start(json!({ "keys": [key] })).await;
    let mut config = server.config(Duration::ZERO, HOUR, Duration::ZERO);
    if let KeySource::Jwks(jwks) = &mut config.keys {
        jwks.timeout = HOUR;
    }
    let tokens = Tokens::new(&config, &Lifecycle::default()).unwrap();
    assert!(tokens.verify(&by("one")).await.is_ok());
    server.hangs.store(true, Ordering::SeqCst);
    for _ in 0..3 {
        assert!(tokens.verify(&by("one")).await.is_ok());
    }
    assert!(server.asked() <= 2, "all of them share an attempt");
}

#[tokio::test]
async fn an_attempt_outlives_who_began_it() {
    let (private, _, key) = ed25519("one");
    let signed = sign(&claims(json!({})), &SigningKey::pem(private.as_bytes()).unwrap(), Some("one")).unwrap();
    let server = Server::start(json!({ "keys": [key] })).await;
    let tokens = Tokens::new(&server.config(HOUR, HOUR, HOUR), &Lifecycle::default()).unwrap();
    assert!(tokens.verify(&signed).now_or_never().is_none(), "it goes before there is an answer");
    assert!(tokens.verify(&signed).await.is_ok());
    assert_eq!(server.asked(), 1);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_told_from_a_bad_token() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = Server {
        url: format!("http://{}/keys", listener.local_addr().unwrap()),
        answer: Arc::default(),
        asked: Arc::default(),
        hangs: Arc::default(),
    };
    drop(listener);
    let (private, ..) = ed25519("one");
    let signed = sign(&claims(json!({})), &SigningKey::pem(private.as_bytes()).unwrap(), None).unwrap();
    let tokens = Tokens::new(&server.config(HOUR, HOUR, Duration::ZERO), &Lifecycle::default()).unwrap();
    assert_eq!(tokens.verify(&signed).await, Err(Refusal::Unavailable));
    assert_eq!(tokens.verify("nonsense").await, Err(Refusal::Bad));
}
