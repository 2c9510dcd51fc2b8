use ratatosk_connector::access::Rights;

use super::*;
use crate::proto::{
    codec::{Auth, Secret},
    session::{Exchange, Methods, Step},
};

#[tokio::test]
async fn every_version_on_one_port() {
    let broker = Broker::start().await;
    for version in [Version::V31, Version::V311, Version::V5] {
        let (mut peer, connack) = broker.join(hello(version, "c")).await;
        assert!(!connack.session_present);
        peer.expect_silence().await;
    }
}

#[tokio::test]
async fn an_assigned_identifier_is_told_and_unique() {
    let broker = Broker::start().await;
    let (_one, first) = broker.join(hello(Version::V5, "")).await;
    let (_two, second) = broker.join(hello(Version::V5, "")).await;
    let ids = [first, second].map(|connack| connack.properties.assigned_client_id.unwrap());
    assert_ne!(ids[0], ids[1]);
}

#[tokio::test]
async fn an_empty_identifier_without_clean_session_is_refused_before_mqtt_5() {
    let broker = Broker::start().await;
    let mut peer = broker.dial().await;
    let connack = peer.connect(Connect { clean_start: false, ..hello(Version::V311, "") }).await;
    assert_eq!(connack.reason, ReasonCode::CLIENT_ID_INVALID);
    assert_eq!(peer.next().await, None);
}

#[tokio::test]
async fn an_unknown_level_is_answered_and_closed() {
    let broker = Broker::start().await;
    let mut peer = broker.dial().await;
    peer.raw(b"\x10\x0d\x00\x04MQTT\x06\x02\x00\x00\x00\x01c").await;
    let Some(Packet::Connack(connack)) = peer.next().await else { panic!("no CONNACK") };
    assert_eq!(connack.reason, ReasonCode::UNSUPPORTED_VERSION);
    assert_eq!(peer.next().await, None);
}

#[tokio::test]
async fn a_client_that_says_nothing_is_closed() {
    let broker = Broker::configured(|config| {
        config.connect_timeout = ratatosk_connector::config_types::Duration::from_millis(20);
    })
    .await;
    assert_eq!(broker.dial().await.next().await, None);
}

#[tokio::test]
async fn silence_past_the_keep_alive_ends_the_connection() {
    let broker = Broker::start().await;
    let (mut peer, _) = broker.join(Connect { keep_alive: 1, ..hello(Version::V5, "c") }).await;
    peer.expect_disconnect(ReasonCode::KEEP_ALIVE_TIMEOUT).await;
}

#[tokio::test]
async fn the_gateway_says_goodbye() {
    let broker = Broker::start().await;
    let mut five = broker.client("five").await;
    let (mut old, _) = broker.join(hello(Version::V311, "old")).await;
    broker.life.close();
    five.expect_disconnect(ReasonCode::SHUTTING_DOWN).await;
    assert_eq!(old.next().await, None);
    assert_eq!(broker.life.wait(PATIENCE).await, 0, "every task ends");
}

#[tokio::test]
async fn packets_may_follow_connect_without_waiting() {
    let broker = Broker::start().await;
    let mut peer = broker.dial().await;
    let mut bytes = Vec::new();
    encode(&Packet::Connect(Box::new(hello(Version::V5, "c"))), Version::V5, &mut bytes).unwrap();
    encode(&Packet::Pingreq, Version::V5, &mut bytes).unwrap();
    peer.raw(&bytes).await;
    assert!(matches!(peer.next().await, Some(Packet::Connack(_))));
    assert_eq!(peer.next().await, Some(Packet::Pingresp));
}

/// Lets `anna` in with the password `right`, and knows one method: the answer must be twice the question.
struct Doorman;

struct Doubling;

impl Exchange for Doubling {
    fn step(&mut self, data: &[u8]) -> Step {
        match data {
            b"" => Step::Continue("21".into()),
            b"42" => Step::Done { user: "anna".into(), data: Some("fine".into()) },
            _ => Step::Refuse,
        }
    }
}

impl Methods for Doorman {
    fn begin(&self, method: &str) -> Option<Box<dyn Exchange>> {
        (method == "DOUBLE").then(|| Box::new(Doubling) as Box<dyn Exchange>)
    }
}

impl Authenticate for Doorman {
    fn authenticate<'a>(&'a self, credentials: Credentials<'a>) -> AuthFuture<'a> {
        let known = credentials.username == Some("anna") && credentials.password == Some(b"right");
        let rights = Rights::of_user("anna");
        Box::pin(std::future::ready(if known { Ok(rights) } else { Err(ReasonCode::BAD_CREDENTIALS) }))
    }

    fn methods(&self) -> Option<&dyn Methods> {
        Some(self)
    }

    fn may_publish(&self, rights: &Rights, channel: &ratatosk_core::Channel) -> bool {
        rights.user().is_some() && channel.as_str() != "forbidden"
    }

    fn may_subscribe(&self, _rights: &Rights, filter: &ratatosk_core::Filter) -> bool {
        filter.as_str() != "forbidden"
    }
}

#[tokio::test]
async fn passwords_and_permissions() {
    let broker = Broker::with(MqttConfig::default(), Arc::new(Doorman)).await;
    for (version, password, reason) in [
        (Version::V5, "wrong", ReasonCode::BAD_CREDENTIALS),
        (Version::V311, "wrong", ReasonCode::BAD_CREDENTIALS),
        (Version::V311, "right", ReasonCode::SUCCESS),
        (Version::V5, "right", ReasonCode::SUCCESS),
    ] {
        let mut peer = broker.dial().await;
        let mut connect = hello(version, "c");
        connect.username = Some("anna".into());
        connect.password = Some(Secret(password.into()));
        assert_eq!(peer.connect(connect).await.reason, reason);
        if reason.is_failure() {
            assert_eq!(peer.next().await, None);
        } else if version == Version::V5 {
            assert_eq!(peer.publish_acked("forbidden", "x").await, ReasonCode::NOT_AUTHORIZED);
            let wishes = vec![wish("forbidden", Qos::AtMostOnce), wish("fine", Qos::AtMostOnce)];
            assert_eq!(peer.subscribe_all(wishes, None).await, [ReasonCode::NOT_AUTHORIZED, ReasonCode::SUCCESS]);
        }
    }
}

fn enhanced(method: &str) -> Connect {
    let mut connect = hello(Version::V5, "c");
    connect.properties.auth_method = Some(method.into());
    connect
}

fn step(reason: ReasonCode, data: &'static str) -> Packet {
    let data = Some(Secret(data.into()));
    Packet::Auth(Auth { reason, method: Some("DOUBLE".into()), data, ..Auth::default() })
}

#[tokio::test]
async fn enhanced_authentication() {
    let broker = Broker::with(MqttConfig::default(), Arc::new(Doorman)).await;
    let unknown = broker.dial().await.connect(enhanced("UNKNOWN")).await;
    assert_eq!(unknown.reason, ReasonCode::BAD_AUTH_METHOD);
    let continues = ReasonCode::CONTINUE_AUTHENTICATION;
    for (answer, reason) in [("41", ReasonCode::NOT_AUTHORIZED), ("42", ReasonCode::SUCCESS)] {
        let mut peer = broker.dial().await;
        peer.send(&Packet::Connect(Box::new(enhanced("DOUBLE")))).await;
        assert_eq!(peer.next().await, Some(step(continues, "21")));
        peer.send(&step(continues, answer)).await;
        let Some(Packet::Connack(connack)) = peer.next().await else { panic!("no CONNACK") };
        assert_eq!(connack.reason, reason);
        if reason.is_failure() {
            continue;
        }
        assert_eq!(connack.properties.auth_data.as_deref(), Some(&b"fine"[..]));
        peer.send(&step(ReasonCode::REAUTHENTICATE, "")).await;
        assert_eq!(peer.next().await, Some(step(continues, "21")));
        peer.send(&step(continues, "42")).await;
        assert_eq!(peer.next().await, Some(step(ReasonCode::SUCCESS, "fine")));
        peer.send(&step(ReasonCode::REAUTHENTICATE, "7")).await;
        peer.expect_disconnect(ReasonCode::NOT_AUTHORIZED).await;
    }
}

#[tokio::test]
async fn an_unknown_method_is_refused_where_there_is_none() {
    let broker = Broker::start().await;
    let mut peer = broker.dial().await;
    assert_eq!(peer.connect(enhanced("DOUBLE")).await.reason, ReasonCode::BAD_AUTH_METHOD);
}

/// Everyone is who they say they are, and one name's way in can be ended.
struct Names(std::sync::Mutex<Vec<End>>);

impl Authenticate for Names {
    fn authenticate<'a>(&'a self, credentials: Credentials<'a>) -> AuthFuture<'a> {
        let rights = credentials.username.map_or_else(Rights::unrestricted, Rights::of_user);
        Box::pin(std::future::ready(Ok(rights)))
    }

    fn watch(&self, _rights: &Rights, end: End) -> Option<ratatosk_connector::access::Watch> {
        self.0.lock().unwrap().push(end);
        None
    }

    fn may_publish(&self, _rights: &Rights, channel: &ratatosk_core::Channel) -> bool {
        channel.as_str() != "forbidden"
    }
}

fn named(version: Version, id: &str, name: Option<&str>) -> Connect {
    let mut connect = hello(version, id);
    connect.username = name.map(Into::into);
    connect.clean_start = false;
    connect
}

#[tokio::test]
async fn a_users_session_is_for_that_user_alone() {
    let broker = Broker::with(MqttConfig::default(), Arc::new(Names(std::sync::Mutex::default()))).await;
    let (mut anna, _) = broker.join(named(Version::V5, "shared", Some("anna"))).await;
    for (version, name) in [(Version::V5, Some("bert")), (Version::V5, None), (Version::V311, Some("bert"))] {
        let connack = broker.dial().await.connect(named(version, "shared", name)).await;
        assert_eq!(connack.reason, ReasonCode::NOT_AUTHORIZED, "{version:?} {name:?}");
    }
    // She was not disturbed.
    anna.expect_silence().await;
}

#[tokio::test]
async fn what_let_a_client_in_ends_its_connection() {
    let names = Arc::new(Names(std::sync::Mutex::default()));
    let broker = Broker::with(MqttConfig::default(), names.clone()).await;
    let (mut peer, _) = broker.join(named(Version::V5, "c", Some("anna"))).await;
    let ends = std::mem::take(&mut *names.0.lock().unwrap());
    ends.into_iter().for_each(|end| end());
    let Some(Packet::Disconnect(disconnect)) = peer.next().await else { panic!("told why") };
    assert_eq!(disconnect.reason, ReasonCode::NOT_AUTHORIZED);
}

#[tokio::test]
async fn a_forbidden_will_is_told_at_once() {
    let broker = Broker::with(MqttConfig::default(), Arc::new(Names(std::sync::Mutex::default()))).await;
    for version in [Version::V5, Version::V311] {
        let mut connect = hello(version, "c");
        connect.will = Some(Will { topic: "forbidden".into(), ..Will::default() });
        let connack = broker.dial().await.connect(connect).await;
        assert_eq!(connack.reason, ReasonCode::NOT_AUTHORIZED, "{version:?}");
    }
}
