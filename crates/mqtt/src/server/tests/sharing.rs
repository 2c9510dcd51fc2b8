//! Shared subscriptions when a member leaves: its messages go to one that is there.

use super::*;

/// A client that takes one unacknowledged message at a time, in the group.
async fn member(broker: &Broker, id: &str, expiry: u32, window: u16) -> Peer {
    let mut connect = lasting(id, true, expiry);
    connect.properties.receive_maximum = NonZeroU16::new(window);
    let (mut peer, _) = broker.join(connect).await;
    peer.subscribe("$share/g/t/#", Qos::ExactlyOnce).await;
    peer
}

async fn publish_all(broker: &Broker, qos: Qos, numbers: std::ops::Range<u16>) {
    let mut sender = broker.client("sender").await;
    for number in numbers {
        sender.send(&note("t/x", &number.to_string(), qos, number + 1)).await;
        assert!(matches!(sender.next().await, Some(Packet::Puback(_) | Packet::Pubrec(_))));
    }
}

/// The payloads of the next publications, each acknowledged to the end.
async fn numbers(peer: &mut Peer, count: usize) -> Vec<u16> {
    let (mut got, mut open) = (Vec::new(), count);
    while open > 0 {
        match peer.next().await {
            Some(Packet::Publish(publish)) => {
                assert!(!publish.dup);
                got.push(std::str::from_utf8(&publish.payload).unwrap().parse().unwrap());
                if publish.qos == Qos::AtLeastOnce {
                    peer.ack(&publish).await;
                    open -= 1;
                } else {
                    peer.send(&Packet::Pubrec(Ack::new(publish.packet_id.unwrap(), ReasonCode::SUCCESS))).await;
                }
            }
            Some(Packet::Pubrel(ack)) => {
                peer.send(&Packet::Pubcomp(ack)).await;
                open -= 1;
            }
            other => panic!("unexpected {other:?}"),
        }
    }
    got
}

#[tokio::test]
async fn what_a_member_has_not_acknowledged_goes_to_another_when_its_session_ends() {
    let broker = Broker::start().await;
    let mut leaving = member(&broker, "leaving", 0, 1).await;
    publish_all(&broker, Qos::AtLeastOnce, 0..10).await;
    assert_eq!(leaving.publication().await.payload, "0");
    let mut staying = member(&broker, "staying", 0, 100).await;
    drop(leaving);
    assert_eq!(numbers(&mut staying, 10).await, (0..10).collect::<Vec<_>>());
    staying.expect_silence().await;
}

#[tokio::test]
async fn a_member_that_is_taken_over_clean_leaves_its_messages_to_others() {
    let broker = Broker::start().await;
    let mut first = member(&broker, "c", 1000, 1).await;
    publish_all(&broker, Qos::AtLeastOnce, 0..5).await;
    assert_eq!(first.publication().await.payload, "0");
    let mut other = member(&broker, "other", 0, 100).await;
    let _again = broker.join(lasting("c", true, 0)).await;
    assert_eq!(numbers(&mut other, 5).await, [0, 1, 2, 3, 4]);
}

#[tokio::test]
async fn what_was_begun_with_qos_2_stays_with_its_client() {
    let broker = Broker::start().await;
    let mut leaving = member(&broker, "leaving", 0, 1).await;
    publish_all(&broker, Qos::ExactlyOnce, 0..4).await;
    assert_eq!(leaving.publication().await.payload, "0");
    let mut staying = member(&broker, "staying", 0, 100).await;
    drop(leaving);
    assert_eq!(numbers(&mut staying, 3).await, [1, 2, 3]);
    staying.expect_silence().await;
}

#[tokio::test]
async fn a_member_that_is_away_keeps_what_it_was_sent_and_leaves_the_rest_to_who_is_there() {
    let broker = Broker::start().await;
    let mut away = member(&broker, "away", 1000, 1).await;
    publish_all(&broker, Qos::AtLeastOnce, 0..4).await;
    assert_eq!(away.publication().await.payload, "0");
    let mut there = member(&broker, "there", 0, 100).await;
    drop(away);
    assert_eq!(numbers(&mut there, 3).await, [1, 2, 3]);
    publish_all(&broker, Qos::AtLeastOnce, 4..8).await;
    assert_eq!(numbers(&mut there, 4).await, [4, 5, 6, 7]);
    let (mut back, connack) = broker.join(lasting("away", false, 1000)).await;
    assert!(connack.session_present);
    let again = back.publication().await;
    assert_eq!((again.payload, again.dup), ("0".into(), true));
    back.expect_silence().await;
}

#[tokio::test]
async fn with_nobody_there_messages_wait_for_a_member_that_is_away() {
    let broker = Broker::start().await;
    let away = member(&broker, "away", 1000, 100).await;
    away.disconnect().await;
    let mut last = member(&broker, "last", 0, 1).await;
    publish_all(&broker, Qos::AtLeastOnce, 0..3).await;
    assert_eq!(last.publication().await.payload, "0");
    drop(last);
    let alone = async {
        while broker.server.sessions() != (0, 1) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, alone).await.unwrap();
    publish_all(&broker, Qos::AtLeastOnce, 3..4).await;
    let (mut back, _) = broker.join(lasting("away", false, 1000)).await;
    assert_eq!(numbers(&mut back, 4).await, [0, 1, 2, 3]);
}
