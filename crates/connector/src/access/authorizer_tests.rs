#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
use axum::{Json, Router, http::StatusCode, routing::post};

use parking_lot::Mutex;

use super::*;

type Answers = Arc<Mutex<(u16, String)>>;
type Questions = Arc<Mutex<Vec<Value>>>;

/// An authorizer that answers what it is told to, and keeps what it was asked.
async fn start(cache: Duration) -> (Authorizer, Answers, Questions) {
    let (answers, questions) = (Answers::default(), Questions::default());
    let (shared, asked) = (answers.clone(), questions.clone());
    let handler = move |Json(question): Json<Value>| {
        asked.lock().push(question);
        let (status, body) = shared.lock().clone();
        async move { (StatusCode::from_u16(status).unwrap(), body) }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/", post(handler))).await });
    let authorizer = Authorizer::new(AuthorizerConfig { url, timeout: Duration::from_secs(10), cache }).unwrap();
    (authorizer, answers, questions)
}

async fn judge(authorizer: &Authorizer, user: &str) -> Result<Arc<Subject>, Refusal> {
    let credentials = Credentials::Password { user, password: b"secret" };
    authorizer.judge(Connector::GATEWAY, "10.1.1.1".parse().ok(), credentials).await
}

#[tokio::test]
async fn it_allows_denies_and_says_who_somebody_is() {
    let (authorizer, answers, questions) = start(Duration::ZERO).await;
    *answers.lock() = (200, json!({"allow": true}).to_string());
    let joe = judge(&authorizer, "joe").await.unwrap();
    assert_eq!((joe.user.as_deref(), joe.anonymous, joe.scope.as_ref()), (Some("joe"), false, None));
    let expected = json!({"connector": "gateway", "address": "10.1.1.1", "user": "joe", "password": "secret"});
    assert_eq!(questions.lock().pop(), Some(expected));
    *answers.lock() = (
        200,
        json!({"allow": true, "user": "u-7", "groups": ["a"], "claims": {"site": "n"}, "publish": ["x/#"], "expires_in": 60})
            .to_string(),
    );
    let rewritten = judge(&authorizer, "joe").await.unwrap();
    assert_eq!(rewritten.user.as_deref(), Some("u-7"));
    assert_eq!(rewritten.groups, [Arc::from("a")]);
    assert!(rewritten.scope.is_some() && rewritten.expires.unwrap() > now());
    for (status, body) in [(200, r#"{"allow":false}"#), (401, ""), (403, "no")] {
        *answers.lock() = (status, body.to_owned());
        assert_eq!(judge(&authorizer, "joe").await, Err(Refusal::Bad), "{status}");
    }
}

#[tokio::test]
async fn whatever_is_no_clear_yes_lets_nobody_in() {
    let (authorizer, answers, _) = start(Duration::from_secs(3600)).await;
    for (status, body) in [
        (500, r#"{"allow":true}"#.to_owned()),
        (302, String::new()),
        (204, String::new()),
        (200, String::new()),
        (200, "true".to_owned()),
        (200, r#"{"alow":true}"#.to_owned()),
        (200, r#"{"allow":"yes"}"#.to_owned()),
        (200, r#"{"allow":true,"publish":["a/#/b"]}"#.to_owned()),
        (200, format!(r#"{{"allow":true,"user":"{}"}}"#, "x".repeat(MAX_BYTES))),
    ] {
        *answers.lock() = (status, body);
        assert_eq!(judge(&authorizer, "joe").await, Err(Refusal::Unavailable), "{status}");
    }
    // Failures are not remembered.
    *answers.lock() = (200, r#"{"allow":true}"#.to_owned());
    assert!(judge(&authorizer, "joe").await.is_ok());
}

#[tokio::test]
async fn answers_are_remembered_per_credentials() {
    let (authorizer, answers, questions) = start(Duration::from_secs(3600)).await;
    *answers.lock() = (200, r#"{"allow":true}"#.to_owned());
    for _ in 0..3 {
        assert!(judge(&authorizer, "joe").await.is_ok());
    }
    *answers.lock() = (403, String::new());
    assert!(judge(&authorizer, "joe").await.is_ok());
    for _ in 0..3 {
        assert!(judge(&authorizer, "eve").await.is_err());
    }
    assert_eq!(questions.lock().len(), 2);
}

#[tokio::test]
async fn a_server_that_accepts_and_says_nothing_is_given_up() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let config = AuthorizerConfig { url, timeout: Duration::from_millis(200), cache: Duration::ZERO };
    let authorizer = Authorizer::new(config).unwrap();
    assert_eq!(judge(&authorizer, "joe").await, Err(Refusal::Unavailable));
    drop(listener);
}
