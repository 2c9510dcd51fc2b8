#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]
use axum::{Json, Router, http::StatusCode, routing::post};
use parking_lot::Mutex;
use ratatosk_core::{Connector, Origin};
use serde_json::{Value, json};

use super::*;
use crate::access::Subject;

type Answers = Arc<Mutex<(u16, String)>>;
type Questions = Arc<Mutex<Vec<Value>>>;

/// A server that answers what it is told to, and keeps what it was asked.
async fn start(change: impl FnOnce(&mut PublisherConfig)) -> (PublishAuthorizer, Answers, Questions) {
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
    let mut config =
        PublisherConfig { url, timeout: Duration::from_secs(10), cache: Duration::ZERO, on: Vec::new(), payload: true };
    change(&mut config);
    *answers.lock() = (200, r#"{"allow":true}"#.to_owned());
    (PublishAuthorizer::new(config).unwrap(), answers, questions)
}

fn who() -> Identity {
    let subject = Subject { user: Some("joe".into()), groups: vec!["staff".into()], ..Subject::default() };
    Identity { subject: Arc::new(subject), connector: Connector::GATEWAY, address: "10.1.1.1".parse().ok() }
}

fn message(payload: impl Into<Bytes>) -> Publication {
    Publication::new(Channel::new("a/b").unwrap(), payload, Origin::gateway()).with_event("e")
}

#[tokio::test]
async fn it_is_told_who_publishes_what_and_allows_denies_and_changes() {
    let (authorizer, answers, questions) = start(|_| {}).await;
    let same = authorizer.judge(&who(), message(r#"{"n":1}"#)).await.unwrap();
    assert_eq!((same.channel.as_str(), &same.payload[..]), ("a/b", &br#"{"n":1}"#[..]));
    let asked = questions.lock().pop().unwrap();
    let expected = json!({
        "connector": "gateway", "address": "10.1.1.1", "user": "joe", "groups": ["staff"], "channel": "a/b", "qos": 1,
        "retain": false, "event": "e", "properties": [], "payload": {"n": 1}
    });
    assert_eq!(asked, expected);
    authorizer.judge(&who(), message("text")).await.unwrap();
    authorizer.judge(&who(), message(vec![0xff, 0])).await.unwrap();
    let asked: Vec<Value> = questions.lock().drain(..).collect();
    assert_eq!((&asked[0]["payload"], &asked[1]["base64"]), (&json!("text"), &json!("/wA=")));
    *answers.lock() = (
        200,
        r#"{"allow":true,"channel":"moderated/b","payload":{"n": 1.0,"by":"joe"},"event":"","retain":true}"#.to_owned(),
    );
    let mut device = message("1");
    // As MQTT 5 says it.
    device.extras_mut().properties =
        [("event", "e"), ("unit", "C")].map(|(name, value)| (name.into(), value.into())).into();
    let changed = authorizer.judge(&who(), device).await.unwrap();
    assert_eq!((changed.channel.as_str(), changed.retain), ("moderated/b", true));
    assert_eq!(&changed.payload[..], br#"{"n": 1.0,"by":"joe"}"#, "as it was written");
    let extras = changed.extras.unwrap();
    assert_eq!((extras.event, extras.properties), (None, vec![("unit".into(), "C".into())]));
    for (body, payload) in
        [(r#"{"allow":true,"payload":"te\"xt"}"#, "te\"xt"), (r#"{"allow":true,"base64":"aGk="}"#, "hi")]
    {
        *answers.lock() = (200, body.to_owned());
        assert_eq!(authorizer.judge(&who(), message("1")).await.unwrap().payload, payload);
    }
    for (status, body, reason) in
        [(200, r#"{"allow":false}"#, None), (200, r#"{"allow":false,"reason":"rude"}"#, Some("rude")), (403, "", None)]
    {
        *answers.lock() = (status, body.to_owned());
        let denied = authorizer.judge(&who(), message("1")).await.unwrap_err();
        assert_eq!(denied, Disapproved::Denied(reason.map(Arc::from)));
    }
}

#[tokio::test]
async fn json_is_shown_as_it_is_written() {
    let (authorizer, ..) = start(|_| {}).await;
    let deep = format!("{}1{}", "[".repeat(200), "]".repeat(200));
    for json in [
        r#"{"text":"bad","text":"fine"}"#,
        r#"{"text":"bad","x":1e999}"#,
        r#""\ud800""#,
        "1.00",
        "{ \"a\":\n1 }",
        &deep,
    ] {
        let question = authorizer.question(&who(), &message(json.to_owned())).unwrap();
        assert!(question.ends_with(&format!(r#","payload":{json}}}"#)), "{question}");
    }
}

#[tokio::test]
async fn whatever_is_no_clear_yes_lets_nothing_through() {
    let (authorizer, answers, _) = start(|config| config.cache = Duration::from_secs(3600)).await;
    for (status, body) in [
        (500, r#"{"allow":true}"#),
        (204, ""),
        (302, ""),
        (200, ""),
        (200, "yes"),
        (200, r#"{"alow":true}"#),
        (200, r#"{"allow":true,"channel":""}"#),
        (200, r#"{"allow":true,"payload":1,"base64":"AA=="}"#),
        (200, r#"{"allow":true,"base64":"?"}"#),
    ] {
        *answers.lock() = (status, body.to_owned());
        let judged = authorizer.judge(&who(), message("1")).await;
        assert_eq!(judged.unwrap_err(), Disapproved::Unavailable, "{status} {body}");
    }
    *answers.lock() = (200, r#"{"allow":true}"#.to_owned());
    assert!(authorizer.judge(&who(), message("1")).await.is_ok(), "failures are not remembered");
}

#[tokio::test]
async fn a_server_that_is_slow_or_down_lets_nothing_through() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = format!("http://{}/", listener.local_addr().unwrap());
    for url in [silent, "http://127.0.0.1:1/".to_owned()] {
        let (timeout, cache) = (Duration::from_millis(200), Duration::ZERO);
        let config = PublisherConfig { url, timeout, cache, on: Vec::new(), payload: true };
        let judged = PublishAuthorizer::new(config).unwrap().judge(&who(), message("1")).await;
        assert_eq!(judged.unwrap_err(), Disapproved::Unavailable);
    }
}

#[tokio::test]
async fn the_same_question_is_asked_once_and_other_channels_not_at_all() {
    let (authorizer, _, questions) = start(|config| {
        (config.cache, config.payload) = (Duration::from_secs(3600), false);
        config.on = vec!["a/#".parse().unwrap()];
    })
    .await;
    for payload in ["1", "2", "3"] {
        let judged = authorizer.judge(&who(), message(payload)).await.unwrap();
        assert_eq!(judged.payload, payload, "the payload is none of its business");
    }
    assert_eq!(questions.lock().len(), 1);
    assert!(questions.lock()[0].get("payload").is_none());
    let concerns = |name: &str| authorizer.concerns(&Channel::new(name).unwrap());
    assert_eq!((concerns("a/x"), concerns("b")), (true, false));
}
