//! The session machine in scenes.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::sync::Arc;

use ratatosk_core::{Channel, EndReason, Filter, SlowPolicy};
use serde_json::{Value, json};

use super::{
    Carrier, Millis,
    connect::Answer,
    fault::Fault,
    handshake::Agreed,
    inbound::{Inbound, parse},
    machine::{Context, Effects, Host},
    payload::Payload,
    queue::{Item, Pushed},
    replay::Replay,
    reply::Replies,
    session::{Due, Session, Terms},
};

mod fuzz;

type Message = (u8, u32);

#[derive(Default)]
struct FakeHost {
    log: Vec<String>,
    deny: bool,
}

impl Host for FakeHost {
    fn subscribe(&mut self, filter: &Filter, replay: Option<Replay>) -> Result<(), Fault> {
        if self.deny || filter.as_str() == "denied" {
            return Err(Fault::SubscribeDenied("policy"));
        }
        self.log.push(replay.map_or(format!("sub {filter}"), |from| format!("sub {filter} {from:?}")));
        Ok(())
    }
    fn unsubscribe(&mut self, filter: &Filter) {
        self.log.push(format!("unsub {filter}"));
    }
    fn publish(&mut self, channel: Channel, payload: Payload, _: &Inbound<'_>) -> Result<(), Fault> {
        self.log.push(format!("pub {channel} {}", String::from_utf8_lossy(&payload.bytes)));
        if self.deny { Err(Fault::PublishDenied("policy")) } else { Ok(()) }
    }
    fn service(&mut self, channel: Channel, _: Payload, _: &Inbound<'_>) -> Result<(), Fault> {
        self.log.push(format!("service {channel}"));
        Ok(())
    }
}

struct Scene {
    session: Session<Message>,
    host: FakeHost,
    now: Millis,
}

struct Outcome {
    replies: Vec<Value>,
    effects: Effects<Message>,
}

impl Scene {
    fn new(agreed: Agreed) -> Self {
        let terms = Arc::new(Terms { max_subscriptions: 3, ..Terms::default() });
        Self { session: Session::new("c1".into(), terms, agreed, 1000), host: FakeHost::default(), now: 1000 }
    }

    /// With the first connect behind it.
    fn connected(agreed: Agreed) -> Self {
        let mut scene = Self::new(agreed);
        let first = scene.connect(json!({}));
        assert!(!first.effects.held);
        scene
    }

    fn send(&mut self, messages: Value) -> Outcome {
        self.send_by(messages, Carrier::Poll, true)
    }

    fn send_by(&mut self, messages: Value, carrier: Carrier, may_hold: bool) -> Outcome {
        let body = messages.to_string();
        let batch = parse(&body, 100).unwrap();
        let (mut replies, mut effects) = (Replies::default(), Effects::default());
        for message in &batch {
            let context = Context { now: self.now, wall: 7_000_000, alone: batch.len() == 1, carrier, may_hold };
            self.session.handle(message, &context, &mut self.host, &mut replies, &mut effects);
        }
        Outcome { replies: list(replies.as_bytes()), effects }
    }

    fn connect(&mut self, more: Value) -> Outcome {
        let mut message =
            json!({"channel": "/meta/connect", "clientId": "c1", "connectionType": "long-polling", "id": "9"});
        message.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.send(message)
    }

    fn answer(&mut self) -> (Vec<Message>, Value) {
        let Answer { messages, reply } = self.session.answer(self.now, 7_000_000).unwrap();
        (messages, list(&reply).remove(0))
    }
}

fn list(inside: &[u8]) -> Vec<Value> {
    serde_json::from_str(&format!("[{}]", std::str::from_utf8(inside).unwrap())).unwrap()
}

fn ack() -> Agreed {
    Agreed { ack: true, ..Agreed::default() }
}

#[test]
fn the_first_connect_is_answered_at_once_with_advice() {
    let outcome = Scene::new(Agreed::default()).connect(json!({}));
    assert_eq!(
        outcome.replies,
        [json!({"channel":"/meta/connect","id":"9","clientId":"c1","successful":true,
            "advice":{"reconnect":"retry","interval":0,"timeout":30000}})]
    );
}

#[test]
fn later_connects_are_held_for_the_timeout() {
    let mut scene = Scene::connected(Agreed::default());
    assert!(scene.connect(json!({})).effects.held);
    assert_eq!(scene.session.deadline(), Some(31_000));
    assert_eq!(scene.session.on_deadline(30_999), Due::Later);
    assert_eq!(scene.session.on_deadline(31_000), Due::Answer);
    scene.now = 31_000;
    let (messages, reply) = scene.answer();
    assert!(messages.is_empty());
    assert_eq!(reply, json!({"channel":"/meta/connect","id":"9","clientId":"c1","successful":true}));
    assert_eq!(scene.session.deadline(), Some(41_000), "interval 0 and max_interval 10 s");
    assert_eq!(scene.session.on_deadline(41_000), Due::Expire(EndReason::Timeout));
}

#[test]
fn a_connect_in_a_batch_is_never_held() {
    let mut scene = Scene::connected(Agreed::default());
    let outcome = scene.send(json!([
        {"channel":"/meta/connect","clientId":"c1","connectionType":"long-polling","id":1},
        {"channel":"/meta/subscribe","clientId":"c1","subscription":"/a","id":2},
    ]));
    assert!(!outcome.effects.held);
    assert_eq!(outcome.replies.len(), 2);
    assert_eq!(outcome.replies[1]["id"], 2);
}

#[test]
fn the_clients_advice_is_honoured_for_that_connect() {
    let mut scene = Scene::connected(Agreed::default());
    let at_once = scene.connect(json!({"advice":{"timeout":0}}));
    assert!(!at_once.effects.held);
    assert_eq!(at_once.replies[0]["advice"]["timeout"], 30_000, "advice is for the session");
    assert!(scene.connect(json!({"advice":{"timeout":500,"interval":5000}})).effects.held);
    assert_eq!(scene.session.deadline(), Some(1500));
    scene.now = 1500;
    scene.answer();
    assert_eq!(scene.session.deadline(), Some(1500 + 5000 + 10_000));
}

#[test]
fn a_message_answers_the_held_connect() {
    let mut scene = Scene::connected(Agreed::default());
    scene.connect(json!({}));
    assert!(!scene.session.should_answer());
    scene.session.push((0, 1));
    assert!(scene.session.should_answer());
    assert_eq!(scene.answer().0, [(0, 1)]);
    assert!(scene.session.answer(0, 0).is_none());
    scene.session.push((0, 2));
    let outcome = scene.connect(json!({}));
    assert!(!outcome.effects.held);
    assert_eq!(outcome.effects.messages, [(0, 2)]);
}

#[test]
fn a_second_connect_supersedes_the_first() {
    let mut scene = Scene::connected(Agreed::default());
    assert!(!scene.connect(json!({"id":"a"})).effects.superseded);
    let outcome = scene.connect(json!({"id":"b"}));
    assert!(outcome.effects.superseded && outcome.effects.held);
    assert_eq!(scene.answer().1["id"], "b");
}

#[test]
fn disconnect_answers_the_held_connect_with_reconnect_none() {
    let mut scene = Scene::connected(Agreed::default());
    scene.connect(json!({}));
    let outcome = scene.send(json!({"channel":"/meta/disconnect","clientId":"c1","id":"d"}));
    assert_eq!(outcome.effects.ended, Some(EndReason::Disconnect));
    assert_eq!(outcome.replies[0], json!({"channel":"/meta/disconnect","id":"d","clientId":"c1","successful":true}));
    assert_eq!(scene.answer().1["advice"]["reconnect"], "none");
    assert_eq!(scene.session.deadline(), None);
    let late = scene.connect(json!({}));
    assert_eq!(late.replies[0]["error"], "402::session_unknown");
    assert_eq!(late.replies[0]["advice"], json!({"reconnect":"handshake","interval":0}));
}

#[test]
fn a_lost_carrier_starts_the_grace_period() {
    let mut scene = Scene::connected(Agreed::default());
    scene.connect(json!({}));
    scene.session.release(5000);
    scene.session.push((0, 1));
    assert!(!scene.session.should_answer());
    assert_eq!(scene.session.deadline(), Some(15_000));
    assert_eq!(scene.connect(json!({})).effects.messages, [(0, 1)]);
}

#[test]
fn messages_that_could_not_be_written_come_first_again() {
    let mut scene = Scene::connected(Agreed::default());
    scene.connect(json!({}));
    scene.session.push((0, 1));
    let (lost, _) = scene.answer();
    scene.session.push((0, 2));
    scene.session.put_back(lost);
    assert_eq!(scene.connect(json!({})).effects.messages, [(0, 1), (0, 2)]);
}

#[test]
fn unacknowledged_batches_are_sent_again_at_once() {
    let mut scene = Scene::connected(ack());
    assert!(scene.connect(json!({"ext":{"ack":1}})).effects.held);
    scene.session.push((0, 1));
    assert_eq!(scene.answer().1["ext"]["ack"], 2);
    scene.session.push((0, 2));
    assert!(scene.session.take_waiting().is_empty(), "with ack, messages come by connect only");
    let again = scene.connect(json!({"ext":{"ack":1}}));
    assert_eq!(again.effects.messages, [(0, 1), (0, 2)]);
    assert_eq!(again.replies[0]["ext"]["ack"], 3);
    assert!(scene.connect(json!({"ext":{"ack":3}})).effects.held);
}

#[test]
fn a_socket_with_acks_gets_messages_by_connect_only() {
    let mut scene = Scene::connected(ack());
    assert!(!scene.session.can_stream());
    scene.session.push((0, 1));
    let connect = json!({"channel":"/meta/connect","clientId":"c1","connectionType":"websocket","ext":{"ack":1}});
    assert_eq!(scene.send_by(connect, Carrier::Socket, true).effects.messages, [(0, 1)]);
    assert!(Scene::connected(Agreed::default()).session.can_stream());
}

#[test]
fn event_source_connects_are_answered_at_once_with_the_timeout_as_interval() {
    let mut scene = Scene::connected(Agreed::default());
    let outcome = scene.connect(json!({"connectionType":"eventsource"}));
    assert_eq!(outcome.replies[0]["advice"], json!({"reconnect":"retry","interval":30000,"timeout":0}));
    assert!(!scene.connect(json!({"connectionType":"eventsource"})).effects.held);
    assert_eq!(scene.session.deadline(), Some(41_000));
}

#[test]
fn a_browser_with_too_many_sessions_is_told_so() {
    let mut scene = Scene::connected(Agreed::default());
    let connect = json!({"channel":"/meta/connect","clientId":"c1","connectionType":"long-polling"});
    let outcome = scene.send_by(connect, Carrier::Poll, false);
    assert!(!outcome.effects.held);
    let advice = &outcome.replies[0]["advice"];
    assert_eq!((&advice["multiple-clients"], &advice["interval"]), (&json!(true), &json!(2000)));
}

#[test]
fn subscribing_and_unsubscribing() {
    let mut scene = Scene::new(Agreed::default());
    let outcome = scene.send(json!([
        {"channel":"/meta/subscribe","clientId":"c1","subscription":["/a","/b/**","/service/x"],"id":1},
        {"channel":"/meta/subscribe","clientId":"c1","subscription":"/a","id":2,"ext":{"replay":{"/a":-2}}},
        {"channel":"/meta/unsubscribe","clientId":"c1","subscription":"/a","id":3},
        {"channel":"/meta/unsubscribe","clientId":"c1","subscription":"/never","id":4},
    ]));
    assert!(outcome.replies.iter().all(|reply| reply["successful"] == true));
    assert_eq!(outcome.replies[0]["subscription"], json!(["/a", "/b/**", "/service/x"]));
    assert_eq!(outcome.replies[1]["subscription"], "/a");
    assert_eq!(scene.host.log, ["sub a", "sub b/#", "sub a All", "unsub a"]);
}

#[test]
fn refused_subscriptions() {
    let mut scene = Scene::new(Agreed::default());
    for (subscription, error) in [
        (json!({"subscription":"/meta/**"}), "403:meta_channel:subscribe_denied"),
        (json!({"subscription":"a"}), "403::subscription_invalid"),
        (json!({"subscription":"/a/*/b"}), "403::subscription_invalid"),
        (json!({"subscription":7}), "403::subscription_invalid"),
        (json!({"subscription":["/a",7]}), "403::subscription_invalid"),
        (json!({"subscription":[]}), "403::subscription_missing"),
        (json!({}), "403::subscription_missing"),
        (json!({"subscription":["/ok","/denied"]}), "403:policy:subscribe_denied"),
        (json!({"subscription":["/a","/b","/c","/d"]}), "403:too_many_subscriptions:subscribe_denied"),
    ] {
        let mut message = json!({"channel":"/meta/subscribe","clientId":"c1"});
        message.as_object_mut().unwrap().extend(subscription.as_object().unwrap().clone());
        let outcome = scene.send(message);
        assert_eq!((&outcome.replies[0]["error"], &outcome.replies[0]["successful"]), (&json!(error), &json!(false)));
        assert!(scene.session.subscriptions().is_empty(), "{error}");
    }
    assert_eq!(scene.host.log, ["sub ok", "unsub ok"]);
}

#[test]
fn publishing() {
    let mut scene = Scene::new(Agreed::default());
    for (message, error) in [
        (json!({"channel":"/a","data":"x","id":"1"}), None),
        (json!({"channel":"/service/x","data":{}}), None),
        (json!({"channel":"/a"}), Some("402:data:Missing required parameter")),
        (json!({"channel":"/a/*","data":1}), Some("405::channel_invalid")),
        (json!({"channel":"/service/*","data":1}), Some("405::channel_invalid")),
        (json!({"channel":"a","data":1}), Some("405::channel_invalid")),
        (json!({"channel":"/meta/subscribe/x","data":1}), Some("403:meta_channel:publish_denied")),
        (json!({"channel":"/meta/connect/","data":1}), Some("403:meta_channel:publish_denied")),
        (json!({"data":1}), Some("400::channel_missing")),
        (json!({"channel":"/a","data":1,"id":{}}), Some("405::message_id_invalid")),
    ] {
        let outcome = scene.send(message.clone());
        assert_eq!(outcome.replies[0].get("error").and_then(Value::as_str), error, "{message}");
        assert!(outcome.replies[0].get("data").is_none() && outcome.replies[0].get("clientId").is_none());
    }
    assert_eq!(scene.host.log, ["pub a x", "service service/x"]);
    scene.host.deny = true;
    assert_eq!(scene.send(json!({"channel":"/a","data":1})).replies[0]["error"], "403:policy:publish_denied");
}

#[test]
fn timestamps_and_time_synchronisation() {
    let mut scene = Scene::connected(Agreed::default());
    scene.connect(json!({"timestamp":"x","ext":{"timesync":{"tc":10,"l":0,"o":0}}}));
    scene.now += 40;
    let reply = scene.answer().1;
    assert_eq!(reply["timestamp"], "Thu, 01 Jan 1970 01:56:40 GMT");
    assert_eq!(reply["ext"]["timesync"], json!({"tc":10,"ts":7_000_000,"p":40,"a":-6_999_990}));
}

#[test]
fn an_idle_session_ends_where_activity_is_asked_for() {
    let terms = Arc::new(Terms { max_inactivity: Some(60_000), ..Terms::default() });
    let mut session: Session<Message> = Session::new("c1".into(), terms, Agreed::default(), 0);
    session.connected = true;
    let (mut host, mut replies, mut effects) = (FakeHost::default(), Replies::default(), Effects::default());
    for now in [50_000, 59_000] {
        let batch = parse(r#"{"channel":"/meta/connect","clientId":"c1"}"#, 1).unwrap();
        session.handle(&batch[0], &Context { now, ..Context::default() }, &mut host, &mut replies, &mut effects);
    }
    assert_eq!(session.deadline(), Some(60_000));
    assert_eq!(session.on_deadline(60_000), Due::Expire(EndReason::Timeout));
}

#[test]
fn a_full_queue_follows_its_policy() {
    let mut terms = Terms::default();
    terms.queue.messages = 2;
    let mut session: Session<Message> = Session::new("c1".into(), Arc::new(terms.clone()), Agreed::default(), 0);
    assert_eq!([1, 2, 3].map(|n| session.push((0, n))), [Pushed::Queued(0), Pushed::Queued(0), Pushed::Full]);
    terms.queue.policy = SlowPolicy::DropOldest;
    let mut session: Session<Message> = Session::new("c1".into(), Arc::new(terms), Agreed::default(), 0);
    assert_eq!([1, 2, 3].map(|n| session.push((0, n))), [Pushed::Queued(0), Pushed::Queued(0), Pushed::Queued(1)]);
}

#[test]
fn weights_are_the_items_own() {
    assert_eq!((0_u8, 1_u32).weight(), 10);
}
