use super::*;

async fn watcher(broker: &Broker) -> Peer {
    let mut watcher = broker.client("watcher").await;
    watcher.subscribe("will/#", Qos::AtMostOnce).await;
    watcher
}

fn willing(topic: &str, delay: u32, expiry: u32) -> Connect {
    Connect { will: Some(will(topic, delay)), ..lasting("c", true, expiry) }
}

#[tokio::test]
async fn a_lost_client_leaves_its_will() {
    let broker = Broker::start().await;
    let mut watcher = watcher(&broker).await;
    let (peer, _) = broker.join(willing("will/a", 0, 0)).await;
    drop(peer);
    assert_eq!(watcher.topic().await, "will/a");
}

#[tokio::test]
async fn a_goodbye_voids_the_will_unless_it_asks_for_it() {
    let broker = Broker::start().await;
    let mut watcher = watcher(&broker).await;
    let (peer, _) = broker.join(willing("will/a", 0, 0)).await;
    peer.disconnect().await;
    let (mut peer, _) = broker.join(willing("will/b", 0, 0)).await;
    let with_will = Disconnect::new(ReasonCode::DISCONNECT_WITH_WILL);
    peer.send(&Packet::Disconnect(with_will)).await;
    assert_eq!(watcher.topic().await, "will/b");
}

#[tokio::test]
async fn a_delayed_will_is_published_at_once_when_the_session_ends() {
    let broker = Broker::start().await;
    let mut watcher = watcher(&broker).await;
    let (peer, _) = broker.join(willing("will/a", 1000, 0)).await;
    drop(peer);
    assert_eq!(watcher.topic().await, "will/a");
    let (peer, _) = broker.join(willing("will/b", 1000, 1)).await;
    drop(peer);
    assert_eq!(watcher.topic().await, "will/b");
}

#[tokio::test]
async fn a_delayed_will_waits_and_is_void_when_the_client_comes_back() {
    let broker = Broker::start().await;
    let mut watcher = watcher(&broker).await;
    let (peer, _) = broker.join(willing("will/a", 1, 1000)).await;
    drop(peer);
    while broker.server.sessions() != (1, 1) {
        tokio::task::yield_now().await;
    }
    let (peer, connack) = broker.join(Connect { clean_start: false, ..willing("will/b", 1, 1000) }).await;
    assert!(connack.session_present);
    drop(peer);
    assert_eq!(watcher.topic().await, "will/b");
    watcher.expect_silence().await;
}

#[tokio::test]
async fn a_take_over_publishes_the_will() {
    let broker = Broker::start().await;
    let mut watcher = watcher(&broker).await;
    let (_first, _) = broker.join(willing("will/a", 0, 1000)).await;
    let (_second, _) = broker.join(Connect { clean_start: false, ..willing("will/b", 0, 1000) }).await;
    assert_eq!(watcher.topic().await, "will/a");
    let (_third, _) = broker.join(willing("will/c", 1000, 1000)).await;
    assert_eq!(watcher.topic().await, "will/b");
    let (_fourth, _) = broker.join(willing("will/d", 0, 1000)).await;
    assert_eq!(watcher.topic().await, "will/c", "the session ended, so the delay did too");
}

#[tokio::test]
async fn a_will_can_be_retained() {
    let broker = Broker::start().await;
    let mut connect = willing("will/r", 0, 0);
    connect.will.as_mut().unwrap().retain = true;
    let mut watcher = watcher(&broker).await;
    let (peer, _) = broker.join(connect).await;
    drop(peer);
    assert!(!watcher.publication().await.retain);
    let mut late = broker.client("late").await;
    late.subscribe("will/#", Qos::AtMostOnce).await;
    assert!(late.publication().await.retain);
}

/// Everyone may come in, and another server is asked about what they publish.
struct Asking(ratatosk_connector::access::Access);

impl Authenticate for Asking {
    fn authenticate<'a>(&'a self, _: Credentials<'a>) -> AuthFuture<'a> {
        let rights = self.0.anonymous(*crate::mapping::CONNECTOR, None);
        Box::pin(std::future::ready(rights.map_err(|_| ReasonCode::NOT_AUTHORIZED)))
    }
}

#[tokio::test]
async fn a_will_is_published_as_the_publish_authorizer_has_made_it() {
    use ratatosk_connector::access::{Access, AccessConfig, PublisherConfig};
    let answer = || std::future::ready(r#"{"allow": true, "channel": "will/held", "payload": "***"}"#);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let router = axum::Router::new().fallback(answer);
    tokio::spawn(async move { axum::serve(listener, router).await });
    let publisher = PublisherConfig { url, timeout: PATIENCE, cache: Duration::ZERO, on: Vec::new(), payload: true };
    let config =
        AccessConfig { configured: true, anonymous: true, publisher: Some(publisher), ..AccessConfig::default() };
    let access = Access::inert(&config, ratatosk_core::Monitor::default()).unwrap();
    let broker = Broker::with(MqttConfig::default(), Arc::new(Asking(access))).await;
    let mut watcher = watcher(&broker).await;
    let (peer, _) = broker.join(willing("will/a", 0, 0)).await;
    drop(peer);
    let published = watcher.publication().await;
    assert_eq!((&*published.topic, &published.payload[..]), ("will/held", &b"***"[..]));
}
