//! The Bayeux session machine against a model of what it promises: whatever a client sends, and whenever its connections break, every
//! message that was queued reaches it in order, once without the acknowledgement extension and at least once with it.

use std::sync::Arc;

use ratatosk_bayeux::proto::{
    Carrier, Millis,
    connect::Answer,
    fault::Fault,
    handshake::negotiate,
    inbound::{Inbound, parse},
    machine::{Context, Effects, Host},
    payload::Payload,
    queue::{Item, Limits, Pushed},
    replay::Replay,
    reply::Replies,
    session::{Due, Session, Terms},
};
use ratatosk_core::{Channel, EndReason, Filter, SlowPolicy};
use serde_json::Value;

/// The most that waits for a session here: little, so that the policies are met.
const ROOM: usize = 8;

/// Runs one script. Every byte sequence is one.
///
/// # Panics
/// When a promise is broken.
pub fn run(data: &[u8]) {
    let mut script = Script(data);
    let Some(mut world) = World::begin(&mut script) else { return };
    while let Some(step) = script.byte() {
        world.step(step, &mut script);
        if world.session.ended().is_some() {
            return world.after_the_end();
        }
        world.check();
    }
    world.drain();
}

/// What is left of the input.
struct Script<'a>(&'a [u8]);

impl<'a> Script<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn pick<T: Copy>(&mut self, list: &[T]) -> T {
        list[usize::from(self.byte().unwrap_or(0)) % list.len()]
    }

    fn text(&mut self) -> &'a str {
        let length = usize::from(self.byte().unwrap_or(0)).min(self.0.len());
        let (text, rest) = self.0.split_at(length);
        self.0 = rest;
        std::str::from_utf8(text).unwrap_or("{\"channel\":\"/\\ud800\"}")
    }
}

/// A message that waits: its channel and its number.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Note(u8, u32);

impl Item for Note {
    fn weight(&self) -> usize {
        10
    }

    fn same_channel(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

/// A bus that refuses one name and takes all others.
#[derive(Default)]
struct FakeBus {
    filters: Vec<Filter>,
}

impl Host for FakeBus {
    fn subscribe(&mut self, filter: &Filter, _: Option<Replay>) -> Result<(), Fault> {
        if filter.as_str() == "denied" {
            return Err(Fault::SubscribeDenied("policy"));
        }
        if !self.filters.contains(filter) {
            self.filters.push(filter.clone());
        }
        Ok(())
    }

    fn unsubscribe(&mut self, filter: &Filter) {
        let before = self.filters.len();
        self.filters.retain(|known| known != filter);
        assert_eq!(self.filters.len() + 1, before, "left what it had not joined: {filter}");
    }

    fn publish(&mut self, _: Channel, _: Payload, _: &Inbound<'_>) -> Result<(), Fault> {
        Ok(())
    }

    fn service(&mut self, _: Channel, _: Payload, _: &Inbound<'_>) -> Result<(), Fault> {
        Ok(())
    }
}

struct World {
    session: Session<Note>,
    bus: FakeBus,
    now: Millis,
    acks: bool,
    /// Whether the client does its part of the acknowledgement extension.
    strict: bool,
    policy: SlowPolicy,
    pushed: u32,
    /// Numbers in the order in which the client saw them.
    seen: Vec<u32>,
    /// The last batch the client saw.
    batch: u64,
}

const NAMES: [&str; 10] = ["/a", "/a/*", "/a/**", "/a b", "/denied", "/service/x", "/meta/x", "a", "/b/c", "/~zz"];

impl World {
    fn begin(script: &mut Script<'_>) -> Option<Self> {
        let policy = script.pick(&[SlowPolicy::Disconnect, SlowPolicy::DropOldest, SlowPolicy::Conflate]);
        let terms = Terms {
            queue: Limits { messages: ROOM, bytes: 10_000, policy },
            max_subscriptions: 3,
            max_inactivity: (script.byte()? & 1 == 1).then_some(60_000),
            ..Terms::default()
        };
        let acks = script.byte()? & 1 == 1;
        let body = format!(
            r#"{{"channel":"/meta/handshake","version":"1.0","supportedConnectionTypes":["long-polling"],"ext":{{"ack":{acks}}}}}"#
        );
        let batch = parse(&body, 1).ok()?;
        let agreed = negotiate(batch.first()?, &terms).ok()?;
        assert_eq!(agreed.ack, acks);
        let session = Session::new("id".into(), Arc::new(terms), agreed, 1000);
        Some(Self {
            session,
            bus: FakeBus::default(),
            now: 1000,
            acks,
            strict: true,
            policy,
            pushed: 0,
            seen: Vec::new(),
            batch: 0,
        })
    }

    fn step(&mut self, step: u8, script: &mut Script<'_>) {
        match step % 10 {
            0 => self.connect(script),
            1 | 2 => {
                let channel = if step % 10 == 1 { "/meta/subscribe" } else { "/meta/unsubscribe" };
                let name = script.pick(&NAMES);
                self.send(&format!(r#"{{"channel":"{channel}","subscription":"{name}","id":1}}"#), script);
            }
            3 => {
                let name = script.pick(&NAMES);
                self.send(&format!(r#"{{"channel":"{name}","data":{{"n":1}},"id":"x"}}"#), script);
            }
            4 => self.push(script.byte().unwrap_or(0) % 3),
            5 => self.push(0),
            6 => self.wait(u64::from(script.byte().unwrap_or(0)) * 200),
            7 => self.session.release(self.now),
            8 => {
                let taken = self.session.take_waiting();
                self.carry(taken, script.byte().unwrap_or(0) & 1 == 0);
            }
            _ if script.byte().unwrap_or(0) < 16 => self.send(r#"{"channel":"/meta/disconnect"}"#, script),
            _ => {
                let text = script.text();
                self.strict = false;
                self.send(text, script);
            }
        }
    }

    fn connect(&mut self, script: &mut Script<'_>) {
        let flags = script.byte().unwrap_or(0);
        let ack = match flags & 3 {
            0 if !self.acks => String::new(),
            0 | 1 => format!(r#","ext":{{"ack":{}}}"#, self.batch),
            2 => format!(r#","ext":{{"ack":{}}}"#, self.batch.saturating_sub(1)),
            _ => r#","ext":{"ack":1e9},"advice":{"timeout":-1,"interval":1e300}"#.to_owned(),
        };
        // A client that acknowledges what it has not seen, or forgets to acknowledge, has itself to blame.
        self.strict &= flags & 3 != 3;
        self.send(&format!(r#"{{"channel":"/meta/connect","connectionType":"long-polling"{ack}}}"#), script);
    }

    /// Sends a body and carries what it is answered.
    fn send(&mut self, body: &str, script: &mut Script<'_>) {
        let flags = script.byte().unwrap_or(0);
        let Ok(batch) = parse(body, 4) else { return };
        let (mut replies, mut effects) = (Replies::default(), Effects::default());
        let was_held = self.session.is_held();
        for message in &batch {
            let carrier = if flags & 1 == 0 { Carrier::Poll } else { Carrier::Socket };
            let context = Context {
                now: self.now,
                wall: 7_000_000,
                alone: batch.len() == 1 && flags & 2 == 0,
                carrier,
                may_hold: flags & 4 == 0,
            };
            self.session.handle(message, &context, &mut self.bus, &mut replies, &mut effects);
        }
        let list = array(replies.as_bytes());
        assert_eq!(list.len() + usize::from(effects.held), batch.len(), "one reply each: {body}");
        assert!(!effects.superseded || was_held);
        for reply in &list {
            let succeeded = reply["successful"].as_bool().expect("every reply says how it went");
            assert_eq!(succeeded, reply.get("error").is_none(), "{reply}");
            if flags & 8 == 0 {
                self.saw(reply);
            }
        }
        self.carry(effects.messages, flags & 8 == 0);
    }

    fn push(&mut self, channel: u8) {
        let number = self.pushed;
        self.pushed += 1;
        match self.session.push(Note(channel, number)) {
            Pushed::Queued(dropped) => assert!(dropped == 0 || self.policy != SlowPolicy::Disconnect),
            Pushed::Full => {
                assert_eq!(self.policy, SlowPolicy::Disconnect);
                return self.session.end(EndReason::Slow);
            }
        }
        if self.session.should_answer() {
            self.answer(true);
        }
    }

    fn answer(&mut self, arrives: bool) {
        let Some(Answer { messages, reply }) = self.session.answer(self.now, 7_000_000) else { return };
        let list = array(&reply);
        assert_eq!(list.len(), 1);
        if arrives {
            list.iter().for_each(|reply| self.saw(reply));
        }
        self.carry(messages, arrives);
    }

    /// The client takes messages, or the connection breaks under them.
    fn carry(&mut self, messages: Vec<Note>, arrives: bool) {
        if arrives {
            self.seen.extend(messages.iter().map(|note| note.1));
        } else {
            self.session.put_back(messages);
        }
    }

    fn saw(&mut self, reply: &Value) {
        if let Some(batch) = reply["ext"]["ack"].as_u64() {
            self.batch = batch;
        }
    }

    fn wait(&mut self, span: Millis) {
        self.now += span;
        match self.session.on_deadline(self.now) {
            Due::Answer => self.answer(true),
            Due::Expire(reason) => self.session.end(reason),
            Due::Later => assert!(self.session.deadline().is_some_and(|at| at > self.now)),
        }
    }

    /// What holds at every moment.
    fn check(&self) {
        // What was put back may be over the bound, by what was under way.
        assert!(self.session.waiting() <= 2 * ROOM, "{} wait", self.session.waiting());
        assert!(self.session.subscriptions().len() <= 3);
        assert_eq!(self.session.subscriptions().len(), self.bus.filters.len(), "the bus knows what the session knows");
        assert!(self.session.deadline().is_some());
        if !self.acks {
            assert!(self.seen.is_sorted_by(|a, b| a < b), "in order, each once: {:?}", self.seen);
        }
    }

    fn after_the_end(&mut self) {
        assert_eq!(self.session.deadline(), None);
        let mut script = Script(&[]);
        self.send(r#"{"channel":"/a","data":1}"#, &mut script);
        let (mut replies, mut effects) = (Replies::default(), Effects::<Note>::default());
        let batch = parse(r#"{"channel":"/meta/connect"}"#, 1).expect("JSON");
        let context = Context { now: self.now, ..Context::default() };
        for message in &batch {
            self.session.handle(message, &context, &mut self.bus, &mut replies, &mut effects);
        }
        assert_eq!(array(replies.as_bytes())[0]["error"], "402::session_unknown");
    }

    /// At last the client comes for all that waits, and has then seen everything that was not dropped.
    fn drain(mut self) {
        for _ in 0..3 {
            let body = format!(
                r#"{{"channel":"/meta/connect","connectionType":"long-polling","ext":{{"ack":{}}}}}"#,
                self.batch
            );
            self.send(&body, &mut Script(&[]));
            if self.session.is_held() {
                self.answer(true);
            }
        }
        assert_eq!(self.session.waiting(), 0);
        if self.policy == SlowPolicy::Disconnect && (self.strict || !self.acks) {
            let mut seen = self.seen;
            if self.acks {
                seen.sort_unstable();
                seen.dedup();
            }
            assert_eq!(seen, (0..self.pushed).collect::<Vec<_>>(), "none is lost");
        }
    }
}

fn array(inside: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(inside).expect("replies are text");
    serde_json::from_str(&format!("[{text}]")).expect("replies are JSON")
}
