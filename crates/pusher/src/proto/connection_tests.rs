#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const ID: SocketId = SocketId(12, 34);

fn policy() -> Policy {
    Policy::new("demo", "demo-key", "demo-secret")
}

fn connection() -> Connection {
    Connection::new(&policy(), ID, 0)
}

fn auth(parts: &[&str]) -> String {
    let mut all = vec!["12.34"];
    all.extend(parts);
    format!("demo-key:{}", sign::sign_parts("demo-secret", &all))
}

fn send(connection: &mut Connection, policy: &Policy, event: &str, data: &Value) -> Vec<Action> {
    let mut out = Vec::new();
    connection.on_text(policy, &json!({"event": event, "data": data}).to_string(), 0, &mut out);
    out
}

fn subscribe(connection: &mut Connection, data: &Value) -> Vec<Action> {
    send(connection, &policy(), "pusher:subscribe", data)
}

fn trigger(connection: &mut Connection, policy: &Policy, channel: &str, event: &str, now: u64) -> Action {
    let mut out = Vec::new();
    let frame = json!({"event": event, "channel": channel, "data": {"a": 1}, "user_id": "spoofed"}).to_string();
    connection.on_text(policy, &frame, now, &mut out);
    assert_eq!(out.len(), 1);
    out.remove(0)
}

fn joined(actions: &[Action]) -> (&str, Option<&str>) {
    match actions {
        [Action::Subscribe { channel, member, .. }] => (channel, member.as_ref().map(|m| m.user_id.as_str())),
        other => panic!("not subscribed: {other:?}"),
    }
}

/// The event names of the frames, with the code of an error.
fn told(actions: &[Action]) -> Vec<(String, Value)> {
    actions
        .iter()
        .map(|action| match action {
            Action::Send(text) => {
                let frame: Value = serde_json::from_str(text).unwrap();
                (frame["event"].as_str().unwrap().to_owned(), frame["data"]["code"].clone())
            }
            other => panic!("not a frame: {other:?}"),
        })
        .collect()
}

fn is_refused(actions: &[Action]) -> bool {
    told(actions) == [("pusher:subscription_error".to_owned(), Value::Null), ("pusher:error".to_owned(), Value::Null)]
}

#[test]
fn public_channels_take_no_signature() {
    let mut connection = connection();
    assert_eq!(joined(&subscribe(&mut connection, &json!({"channel": "room", "auth": ""}))), ("room", None));
    let again = subscribe(&mut connection, &json!({"channel": "room"}));
    assert!(matches!(again.as_slice(), [Action::Confirm { .. }]));
    let left = send(&mut connection, &policy(), "pusher:unsubscribe", &json!({"channel": "room"}));
    assert!(matches!(left.as_slice(), [Action::Unsubscribe { .. }]));
    assert_eq!(send(&mut connection, &policy(), "pusher:unsubscribe", &json!({"channel": "room"})), []);
}

#[test]
fn private_channels_take_a_signature_over_exact_bytes() {
    for channel in ["private-x", "private-encrypted-x", "private-cache-x"] {
        let mut connection = connection();
        assert!(is_refused(&subscribe(&mut connection, &json!({"channel": channel}))));
        for bad in ["demo-key:", "demo-key:zz", ":", "x", "other:00", &auth(&["private-y"])] {
            assert!(is_refused(&subscribe(&mut connection, &json!({"channel": channel, "auth": bad}))), "{bad}");
        }
        let good = auth(&[channel]);
        let wrong_key = good.replace("demo-key", "other-key");
        assert!(is_refused(&subscribe(&mut connection, &json!({"channel": channel, "auth": wrong_key}))));
        joined(&subscribe(&mut connection, &json!({"channel": channel, "auth": good})));
    }
    let data = r#"{ "user_id" : 1 }"#;
    let mut connection = connection();
    let auth = auth(&["private-x", data]);
    let other = json!({"channel": "private-x", "auth": auth, "channel_data": r#"{"user_id":1}"#});
    assert!(is_refused(&subscribe(&mut connection, &other)));
    assert!(is_refused(&subscribe(&mut connection, &json!({"channel": "private-x", "auth": auth}))));
    joined(&subscribe(&mut connection, &json!({"channel": "private-x", "auth": auth, "channel_data": data})));
}

#[test]
fn presence_takes_who_it_is_from_the_data_or_the_sign_in() {
    let mut connection = connection();
    let anonymous = auth(&["presence-x"]);
    assert!(is_refused(&subscribe(&mut connection, &json!({"channel": "presence-x", "auth": anonymous}))));
    for data in ["{}", "x", r#"{"user_id":""}"#] {
        let request = json!({"channel": "presence-x", "auth": auth(&["presence-x", data]), "channel_data": data});
        assert!(is_refused(&subscribe(&mut connection, &request)), "{data}");
    }
    let data = r#"{"user_id":10}"#;
    let request = json!({"channel": "presence-x", "auth": auth(&["presence-x", data]), "channel_data": data});
    assert_eq!(joined(&subscribe(&mut connection, &request)), ("presence-x", Some("10")));
    sign_in(&mut connection, r#"{"id":"ann"}"#);
    let request = json!({"channel": "presence-y", "auth": auth(&["presence-y"])});
    assert_eq!(joined(&subscribe(&mut connection, &request)), ("presence-y", Some("ann")));
    let request = json!({"channel": "presence-z", "auth": auth(&["presence-z", data]), "channel_data": data});
    assert_eq!(joined(&subscribe(&mut connection, &request)), ("presence-z", Some("10")));
}

fn sign_in(connection: &mut Connection, user_data: &str) -> Vec<Action> {
    let auth = format!("demo-key:{}", sign::sign("demo-secret", format!("12.34::user::{user_data}").as_bytes()));
    send(connection, &policy(), "pusher:signin", &json!({"auth": auth, "user_data": user_data}))
}

#[test]
fn signing_in_opens_the_users_own_channel_alone() {
    let mut connection = connection();
    assert!(is_refused(&subscribe(&mut connection, &json!({"channel": "#server-to-user-ann", "auth": ""}))));
    let done = sign_in(&mut connection, r#"{"id":"ann","watchlist":["bob"]}"#);
    assert!(matches!(done.as_slice(), [Action::Send(_), Action::SignedIn { user, .. }] if user.watchlist == ["bob"]));
    joined(&subscribe(&mut connection, &json!({"channel": "#server-to-user-ann", "auth": ""})));
    assert!(is_refused(&subscribe(&mut connection, &json!({"channel": "#server-to-user-bob"}))));
    assert!(matches!(
        sign_in(&mut connection, r#"{"id":"ann"}"#).as_slice(),
        [Action::Send(_), Action::SignedIn { .. }]
    ));
    assert_eq!(told(&sign_in(&mut connection, r#"{"id":"bob"}"#)), [("pusher:error".into(), json!(4009))]);
    let forged = json!({"auth": "demo-key:00", "user_data": "{\"id\":\"bob\"}"});
    let refused = send(&mut connection, &policy(), "pusher:signin", &forged);
    assert_eq!(told(&refused), [("pusher:error".into(), json!(4009))]);
    assert_eq!(connection.user().unwrap().member.user_id, "ann");
}

#[test]
fn a_long_watchlist_is_cut_and_said_so() {
    let ids: Vec<String> = (0..101).map(|n| format!("u{n}")).collect();
    let done = sign_in(&mut connection(), &json!({"id": "ann", "watchlist": ids}).to_string());
    assert_eq!(
        told(done.get(..2).unwrap()),
        [("pusher:signin_success".into(), Value::Null), ("pusher:error".into(), json!(4302))]
    );
    assert!(matches!(done.get(2), Some(Action::SignedIn { user, .. }) if user.watchlist.len() == 100));
}

fn in_presence() -> Connection {
    let mut connection = connection();
    let data = r#"{"user_id":7}"#;
    let request = json!({"channel": "presence-x", "auth": auth(&["presence-x", data]), "channel_data": data});
    joined(&subscribe(&mut connection, &request));
    joined(&subscribe(&mut connection, &json!({"channel": "private-x", "auth": auth(&["private-x"])})));
    joined(&subscribe(&mut connection, &json!({"channel": "room"})));
    connection
}

#[test]
fn client_events_follow_all_their_rules() {
    let mut connection = in_presence();
    let sent = trigger(&mut connection, &policy(), "presence-x", "client-a", 0);
    let Action::Publish(event) = sent else { panic!("{sent:?}") };
    assert_eq!((event.user_id.as_deref(), &event.data), (Some("7"), &Data::Json("{\"a\":1}".into())));
    let sent = trigger(&mut connection, &policy(), "private-x", "client-a", 0);
    assert!(matches!(sent, Action::Publish(event) if event.user_id.is_none()));
    for (channel, event, code) in [
        ("room", "client-a", json!(4301)),
        ("private-other", "client-a", Value::Null),
        ("bad name", "client-a", Value::Null),
        ("private-x", "my-client-a", Value::Null),
        ("private-x", "pusher:subscription_error", Value::Null),
        ("private-x", &format!("client-{}", "x".repeat(200)), json!(4301)),
    ] {
        let refused = trigger(&mut connection, &policy(), channel, event, 0);
        assert_eq!(told(&[refused]), [("pusher:error".into(), code)], "{channel} {event}");
    }
    let off = Policy { client_events: false, ..policy() };
    let refused = trigger(&mut connection, &off, "private-x", "client-a", 0);
    assert_eq!(told(&[refused]), [("pusher:error".into(), json!(4301))]);
    let small = Policy { limits: super::super::policy::Limits { event_bytes: 6, ..Default::default() }, ..policy() };
    let refused = trigger(&mut connection, &small, "private-x", "client-a", 0);
    assert_eq!(told(&[refused]), [("pusher:error".into(), json!(4301))]);
}

#[test]
fn the_eleventh_client_event_of_a_second_is_refused() {
    let mut connection = in_presence();
    for _ in 0..10 {
        let sent = trigger(&mut connection, &policy(), "private-x", "client-a", 5);
        assert!(matches!(sent, Action::Publish(_)));
    }
    let refused = trigger(&mut connection, &policy(), "private-x", "client-a", 5);
    assert_eq!(told(&[refused]), [("pusher:error".into(), json!(4301))]);
    assert!(matches!(trigger(&mut connection, &policy(), "private-x", "client-a", 1005), Action::Publish(_)));
}

#[test]
fn silence_is_answered_by_a_ping_and_then_the_end() {
    let (policy, mut connection, mut out) = (policy(), connection(), Vec::new());
    assert_eq!(connection.deadline(&policy), 120_000);
    connection.on_deadline(&policy, 119_999, &mut out);
    assert_eq!(out, []);
    connection.on_deadline(&policy, 120_000, &mut out);
    assert_eq!(out, [Action::Send(frame::ping().to_owned())]);
    out.clear();
    assert_eq!(connection.deadline(&policy), 150_000);
    connection.on_text(&policy, r#"{"event":"pusher:pong"}"#, 140_000, &mut out);
    assert_eq!((out.as_slice(), connection.deadline(&policy)), (&[][..], 260_000));
    connection.on_deadline(&policy, 260_000, &mut out);
    out.clear();
    connection.on_deadline(&policy, 290_000, &mut out);
    assert_eq!(out.last(), Some(&Action::Close(Close::NoPong)));
    assert_eq!(told(out.get(..1).unwrap()), [("pusher:error".into(), json!(4201))]);
}

#[test]
fn authorized_connections_end_when_nobody_authorized_them() {
    let policy = Policy { authorized_connections: true, ..policy() };
    let (mut idle, mut private, mut out) = (connection(), connection(), Vec::new());
    joined(&subscribe(&mut private, &json!({"channel": "private-x", "auth": auth(&["private-x"])})));
    joined(&subscribe(&mut idle, &json!({"channel": "room"})));
    assert_eq!((idle.deadline(&policy), private.deadline(&policy)), (30_000, 120_000));
    idle.on_deadline(&policy, 30_000, &mut out);
    assert_eq!(out.last(), Some(&Action::Close(Close::Unauthorized)));
}

#[test]
fn a_connection_holds_only_so_many_channels() {
    let mut policy = policy();
    policy.limits.connection_channels = 2;
    let mut connection = connection();
    for (channel, ok) in [("a", true), ("b", true), ("c", false), ("a", true)] {
        let actions = send(&mut connection, &policy, "pusher:subscribe", &json!({"channel": channel}));
        assert_eq!(!is_refused_any(&actions), ok, "{channel}");
    }
}

fn is_refused_any(actions: &[Action]) -> bool {
    matches!(actions, [Action::Send(_), Action::Send(_)])
}

#[test]
fn malformed_frames_are_answered_and_change_nothing() {
    let mut connection = connection();
    for frame in [
        "",
        "{",
        "null",
        "[]",
        "{\"event\":5}",
        "{\"event\":\"pusher:subscribe\"}",
        "{\"event\":\"pusher:subscribe\",\"data\":{}}",
        "{\"event\":\"pusher:subscribe\",\"data\":\"{\"}",
        "{\"event\":\"pusher:signin\",\"data\":{\"auth\":1}}",
        "{\"event\":\"client-x\"}",
        "{\"event\":\"pusher:unsubscribe\",\"data\":7}",
        "{\"event\":\"nonsense\",\"data\":7}",
    ] {
        let mut out = Vec::new();
        connection.on_text(&policy(), frame, 0, &mut out);
        assert_eq!(told(&out), [("pusher:error".into(), Value::Null)], "{frame}");
    }
    let mut out = Vec::new();
    connection.on_binary(0, &mut out);
    assert_eq!(told(&out), [("pusher:error".into(), Value::Null)]);
    assert_eq!(connection.held().count(), 0);
}

proptest! {
    #[test]
    fn whatever_comes_it_never_closes_and_every_frame_is_json(
        frames in proptest::collection::vec(
            "(\\{\"event\":\"(pusher:(subscribe|unsubscribe|signin|ping|pong|x)|client-a|.{0,5})\",\"channel\":\"(private-|presence-)?[a-c ]\",\"data\":(\\{\"channel\":\"(private-|presence-|cache-|#server-to-user-)?[a-c ]{0,2}\",\"auth\":\"[a:]{0,3}\"\\}|\"\\\\\\\\u[0-9a-f]{4}\"|1|null|\\[\\])\\}|\\PC{0,40})",
            0..20,
        ),
    ) {
        let mut connection = connection();
        for (frame, now) in frames.iter().zip(0u64..) {
            let mut out = Vec::new();
            connection.on_text(&policy(), frame, now * 50, &mut out);
            for action in out {
                match action {
                    Action::Send(text) => prop_assert!(serde_json::from_str::<Value>(&text).is_ok(), "{text}"),
                    Action::Close(_) | Action::SignedIn { .. } | Action::Publish(_) => prop_assert!(false, "{frame}"),
                    _ => {}
                }
            }
        }
        for (name, held) in connection.held() {
            prop_assert_eq!(Kind::of(name, 164), Ok(held.kind));
            prop_assert!(!held.kind.is_signed());
        }
    }
}
