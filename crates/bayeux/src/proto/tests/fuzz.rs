//! The session machine, whatever befalls it.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::Scene;
use crate::proto::{Millis, handshake::Agreed, inbound::parse, queue::Pushed, session::Due};

/// What may befall a session.
#[derive(Debug, Clone)]
enum Step {
    Send(Vec<Value>),
    Push,
    Wait(Millis),
    Release,
    /// The reply that carries messages is lost on its way.
    Lose,
}

fn field() -> impl Strategy<Value = Value> {
    prop::sample::select(vec![
        Value::Null,
        json!(true),
        json!(-1),
        json!(1e300),
        json!("/a"),
        json!("/meta/**"),
        json!("/a/**"),
        json!("/b c/*"),
        json!(["/a", "/c"]),
        json!([1, null]),
        json!({"timeout": 0}),
        json!({"timeout": "x", "interval": -4}),
        json!({"ack": 1, "timesync": {"tc": 1}, "replay": {"/a": -2}}),
        json!({"ack": true, "binary": {}}),
        json!("eventsource"),
        json!("long-polling"),
        json!("\u{0}\u{2028}\""),
    ])
}

fn message() -> impl Strategy<Value = Value> {
    let channel = prop::sample::select(vec![
        "/meta/connect",
        "/meta/connect",
        "/meta/subscribe",
        "/meta/unsubscribe",
        "/meta/foo",
        "/a",
        "/a/*",
        "/service/x",
        "x",
        "",
    ]);
    let name = prop::sample::select(vec![
        "subscription",
        "data",
        "id",
        "ext",
        "advice",
        "connectionType",
        "timestamp",
        "clientId",
        "channel",
    ]);
    (channel, prop::collection::vec((name, field()), 0..4)).prop_map(|(channel, fields)| {
        let mut message = json!({"channel": channel, "id": 1});
        for (name, value) in fields {
            message[name] = value;
        }
        message
    })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => prop::collection::vec(message(), 1..3).prop_map(Step::Send),
        3 => Just(Step::Push),
        1 => (0_u64..40_000).prop_map(Step::Wait),
        1 => Just(Step::Release),
        1 => Just(Step::Lose),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Whatever is sent: every message gets one reply or is held, replies are JSON, and no message is lost,
    /// doubled or reordered unless the session ended.
    #[test]
    fn the_machine_keeps_its_promises(steps in prop::collection::vec(step(), 1..30)) {
        let mut scene = Scene::new(Agreed::default());
        let (mut next, mut seen, mut lose) = (0, Vec::new(), false);
        for step in steps {
            let mut out = Vec::new();
            match step {
                Step::Send(messages) => {
                    let count = messages.len();
                    let was_held = scene.session.is_held();
                    let outcome = scene.send(Value::Array(messages));
                    prop_assert_eq!(outcome.replies.len() + usize::from(outcome.effects.held), count);
                    prop_assert!(!outcome.effects.held || count == 1);
                    prop_assert!(!outcome.effects.superseded || was_held);
                    for reply in &outcome.replies {
                        let ok = reply["successful"].as_bool().unwrap();
                        prop_assert_eq!(ok, reply.get("error").is_none(), "{}", reply);
                    }
                    out = outcome.effects.messages;
                }
                Step::Push => {
                    prop_assert_eq!(scene.session.push((0, next)), Pushed::Queued(0));
                    next += 1;
                    if scene.session.should_answer() {
                        out = scene.answer().0;
                    }
                }
                Step::Wait(span) => {
                    scene.now += span;
                    match scene.session.on_deadline(scene.now) {
                        Due::Answer => out = scene.answer().0,
                        Due::Expire(_) => {
                            prop_assert!(!scene.session.is_held());
                            return Ok(());
                        }
                        Due::Later => prop_assert!(scene.session.deadline().is_some_and(|at| at > scene.now)),
                    }
                }
                Step::Release => scene.session.release(scene.now),
                Step::Lose => lose = true,
            }
            if lose && !out.is_empty() {
                lose = false;
                scene.session.put_back(out);
            } else {
                seen.extend(out.into_iter().map(|(_, n)| n));
            }
        }
        seen.extend(scene.session.take_waiting().into_iter().map(|(_, n)| n));
        prop_assert_eq!(seen, (0..next).collect::<Vec<_>>());
    }

    #[test]
    fn no_body_panics(body in any::<String>()) {
        let _ = parse(&body, 3);
    }
}
