//! Who is where: one roster per channel, told in order, published in batches.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::sync::Arc;

use parking_lot::Mutex;
use ratatosk_core::{
    Bus, Channel, ChannelRule, Connector, EndReason, Filter, Member, Origin, OutboxLimits, Publication, PublishError,
    QueuePeer, Rules, Session, SessionConfig, SessionId, SlowPolicy, SubscribeOptions,
    presence::{Full, RosterWatcher},
};
use serde_json::Value;

fn channel(text: &str) -> Channel {
    Channel::new(text).unwrap()
}

/// Rules by which the channels of a filter have rosters.
fn rosters(filter: &str) -> Rules {
    let rule = ChannelRule { matches: Filter::new(filter).unwrap(), presence: true, ..ChannelRule::default() };
    Rules::new(vec![rule], ChannelRule::default())
}

/// A bus where `rooms/#` has rosters.
fn bus() -> Bus {
    let bus = Bus::in_memory();
    bus.set_rules(rosters("rooms/#"));
    bus
}

fn open(bus: &Bus, connector: &'static str, user: Option<&str>) -> (Session, Arc<QueuePeer>) {
    let limits = OutboxLimits { messages: 10_000, bytes: usize::MAX, policy: SlowPolicy::Disconnect };
    let queue = QueuePeer::new(limits);
    let config =
        SessionConfig { user: user.map(Arc::from), ..SessionConfig::client("id", Connector::register(connector)) };
    (bus.open_session(config, queue.clone()), queue)
}

fn join(session: &Session, filter: &str) {
    session.subscribe(Filter::new(filter).unwrap(), SubscribeOptions::default());
}

fn users(bus: &Bus, name: &str) -> Vec<String> {
    bus.presence().users(&channel(name)).iter().map(|present| present.user.to_string()).collect()
}

#[derive(Default)]
struct Heard(Mutex<Vec<String>>);

impl RosterWatcher for Heard {
    fn came(&self, channel: &Channel, member: &Member, _: SessionId) {
        self.0.lock().push(format!("+{} {channel}", member.user));
    }
    fn left(&self, channel: &Channel, user: &str, _: SessionId) {
        self.0.lock().push(format!("-{user} {channel}"));
    }
}

#[tokio::test]
async fn a_user_is_there_once_from_the_first_session_to_the_last() {
    let bus = bus();
    let heard = Arc::new(Heard::default());
    bus.presence().watch(heard.clone());
    let (phone, _) = open(&bus, "mqtt", Some("anna"));
    let (page, _) = open(&bus, "sse", Some("anna"));
    join(&phone, "rooms/1");
    join(&page, "rooms/1");
    join(&page, "rooms/1");
    let present = bus.presence().users(&channel("rooms/1"));
    assert_eq!(present.len(), 1);
    let names: Vec<&str> = present[0].connectors.iter().map(|connector| connector.name()).collect();
    assert_eq!(names, ["mqtt", "sse"]);
    phone.close(EndReason::Io);
    assert_eq!(users(&bus, "rooms/1"), ["anna"]);
    page.unsubscribe(&Filter::new("rooms/1").unwrap());
    assert_eq!(users(&bus, "rooms/1"), Vec::<String>::new());
    assert_eq!(*heard.0.lock(), ["+anna rooms/1", "-anna rooms/1"]);
    assert!(bus.presence().channels(None, 10).is_empty());
}

#[tokio::test]
async fn onlookers_are_not_present() {
    let bus = bus();
    let (wildcard, _) = open(&bus, "mqtt", Some("anna"));
    join(&wildcard, "rooms/+");
    let (anonymous, _) = open(&bus, "mqtt", None);
    join(&anonymous, "rooms/1");
    let (elsewhere, _) = open(&bus, "mqtt", Some("bob"));
    join(&elsewhere, "halls/1");
    let (worker, _) = open(&bus, "mqtt", Some("worker"));
    let shared = SubscribeOptions { group: Some("g".into()), ..SubscribeOptions::default() };
    worker.subscribe(Filter::new("rooms/1").unwrap(), shared);
    assert!(bus.presence().channels(None, 10).is_empty());
}

#[tokio::test]
async fn a_session_without_its_connection_is_not_present() {
    let bus = bus();
    let (device, _) = open(&bus, "mqtt", None);
    device.appear_as_client();
    join(&device, "rooms/1");
    device.set_present(false);
    assert!(users(&bus, "rooms/1").is_empty());
    join(&device, "rooms/2");
    assert!(users(&bus, "rooms/2").is_empty());
    device.set_present(true);
    assert_eq!((users(&bus, "rooms/1"), users(&bus, "rooms/2")), (vec!["id".into()], vec!["id".into()]));
    assert_eq!(bus.presence().channels(Some(&channel("rooms/1")), 10), [(channel("rooms/2"), 1)]);
}

#[tokio::test]
async fn a_roster_has_a_bound_that_known_users_do_not_count_against() {
    let bus = bus();
    let sessions: Vec<_> = (0..4).map(|_| open(&bus, "pusher", None).0).collect();
    let enter = |session: &Session, user: &str| session.join(&channel("desk"), &Member::new(user), 2, |_| ());
    assert_eq!(enter(&sessions[0], "a"), Ok(()));
    assert_eq!(enter(&sessions[1], "b"), Ok(()));
    assert_eq!(enter(&sessions[2], "c"), Err(Full));
    assert_eq!(enter(&sessions[2], "a"), Ok(()));
    assert_eq!(enter(&sessions[2], "b"), Ok(()), "another user in place of the first");
    let mut sessions = sessions;
    sessions.drain(..2).for_each(drop);
    assert_eq!(users(&bus, "desk"), ["b"]);
    assert_eq!(bus.presence().channels(None, 10), [(channel("desk"), 1)]);
}

#[tokio::test]
async fn the_roster_is_published_in_batches_and_kept() {
    let bus = bus();
    let (_watch, queue) = open(&bus, "sse", None);
    join(&_watch, "$presence/rooms/1");
    let crowd: Vec<_> = (0..50).map(|n| open(&bus, "mqtt", Some(&format!("u{n:02}"))).0).collect();
    crowd.iter().for_each(|session| join(session, "rooms/1"));
    let (blip, _) = open(&bus, "mqtt", Some("blip"));
    join(&blip, "rooms/1");
    drop(blip);
    let next = async || -> Value {
        let waiting = queue.recv_many(1).await.unwrap();
        serde_json::from_slice(&waiting[0].message.payload).unwrap()
    };
    let first = next().await;
    assert_eq!((&first["count"], first["joined"].as_array().map(Vec::len)), (&50.into(), Some(50)));
    assert_eq!((&first["channel"], &first["users"][0]["user"]), (&"rooms/1".into(), &"u00".into()));
    assert_eq!(first["users"][0]["connectors"], serde_json::json!(["mqtt"]));
    drop(crowd);
    let second = next().await;
    assert_eq!((&second["count"], second["left"].as_array().map(Vec::len)), (&0.into(), Some(50)));
    assert_eq!(queue.depth().0, 0, "one message for each crowd");
    let kept = bus.last_values(&Filter::new("$presence/#").unwrap()).await.unwrap();
    assert_eq!(kept.len(), 1);
    assert!(kept[0].expires.is_some(), "an empty roster is not kept for ever");
}

#[tokio::test]
async fn rosters_follow_the_rules_that_are_put_in_force() {
    let bus = bus();
    let (watch, queue) = open(&bus, "sse", None);
    join(&watch, "$presence/#");
    let (anna, _) = open(&bus, "mqtt", Some("anna"));
    ["rooms/1", "halls/1", "halls/+"].iter().for_each(|filter| join(&anna, filter));
    let (away, _) = open(&bus, "mqtt", Some("away"));
    join(&away, "halls/1");
    join(&away, "rooms/1");
    away.set_present(false);
    // One whose protocol has rosters of its own stays in them, whatever the rules say.
    let (page, _) = open(&bus, "pusher", None);
    page.join(&channel("rooms/1"), &Member::new("page"), 10, |_| ()).unwrap();
    join(&page, "rooms/1");
    let next = async || queue.recv_many(1).await.unwrap().remove(0).message;
    let told = next().await;
    assert_eq!(told.channel.as_str(), "$presence/rooms/1");

    bus.set_rules(rosters("halls/#"));
    assert_eq!((users(&bus, "rooms/1"), users(&bus, "halls/1")), (vec!["page".into()], vec!["anna".into()]));
    let mut heard = [next().await, next().await];
    heard.sort_by(|a, b| a.channel.cmp(&b.channel));
    let halls: Value = serde_json::from_slice(&heard[0].payload).unwrap();
    assert_eq!((heard[0].channel.as_str(), &halls["count"]), ("$presence/halls/1", &1.into()));
    assert_eq!((heard[1].channel.as_str(), heard[1].payload.len()), ("$presence/rooms/1", 0), "no longer kept up");
    let kept = bus.last_values(&Filter::new("$presence/#").unwrap()).await.unwrap();
    assert_eq!(kept.iter().map(|message| message.channel.as_str()).collect::<Vec<_>>(), ["$presence/halls/1"]);

    // Who comes back is where the rules of now have it, and who left is nowhere.
    away.set_present(true);
    assert_eq!(users(&bus, "halls/1"), ["anna", "away"]);
    anna.close(EndReason::Disconnect);
    bus.set_rules(rosters("#"));
    assert_eq!(
        (users(&bus, "rooms/1"), users(&bus, "halls/1")),
        (vec!["away".into(), "page".into()], vec!["away".into()])
    );
}

#[tokio::test]
async fn what_is_told_of_a_user_is_what_the_first_session_says_that_says_anything() {
    let bus = bus();
    let (phone, _) = open(&bus, "mqtt", Some("anna"));
    join(&phone, "rooms/1");
    for info in [r#"{"name":"A"}"#, r#"{"name":"B"}"#] {
        let (page, _) = open(&bus, "pusher", None);
        let member = Member { user: "anna".into(), info: Some(info.into()) };
        page.join(&channel("rooms/1"), &member, 10, |_| ()).unwrap();
        assert_eq!(bus.presence().users(&channel("rooms/1"))[0].info.as_deref(), Some(r#"{"name":"A"}"#));
    }
}

#[tokio::test]
async fn the_gateways_names_and_reserved_ones_are_out_of_reach() {
    let bus = Bus::in_memory();
    let (owner, other) = (Connector::register("owner"), Connector::register("other"));
    bus.reserve("$mine", owner);
    let publish = |connector: Connector, name: &str| {
        bus.publish(Publication::new(channel(name), "x", Origin::connector(connector))).map(|receipt| receipt.matched)
    };
    assert_eq!(publish(other, "$presence/rooms/1"), Err(PublishError::Reserved));
    assert_eq!(publish(other, "$mine/x"), Err(PublishError::Reserved));
    assert_eq!(publish(other, "$minerals/x"), Ok(false));
    let (spy, _) = open(&bus, "other", None);
    join(&spy, "$mine/#");
    assert_eq!(publish(owner, "$mine/x"), Ok(false), "nobody else hears it");
    let (own, _) = open(&bus, "owner", None);
    join(&own, "$mine/x");
    assert_eq!(publish(owner, "$mine/x"), Ok(true));
}
