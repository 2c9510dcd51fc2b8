//! Publications that a broker will not take, and cannot or does not refuse by themselves.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use ratatosk_core::{Qos as Level, stats::DropReason};
use ratatosk_mqtt::{
    config::{MqttUpstreamConfig, MqttVersion},
    proto::codec::{Ack, Disconnect, Packet, Qos, ReasonCode},
};

use crate::{
    bench::{Upstream, eventually, spec},
    scripted::Server,
};

const POISON: &str = "poison";

/// A broker that ends the connection at `POISON`, after these last words, and takes all else.
async fn take(server: Server, kept: bool, last_words: Option<ReasonCode>, arrived: Arc<Mutex<BTreeSet<String>>>) {
    for count in 0.. {
        let mut connection = server.welcome(kept && count > 0).await;
        while let Some(packet) = connection.next().await {
            let answer = match packet {
                Packet::Publish(publish) if publish.payload.starts_with(POISON.as_bytes()) => {
                    if let Some(reason) = last_words {
                        connection.try_send(&Packet::Disconnect(Disconnect::new(reason))).await;
                    }
                    break;
                }
                Packet::Publish(publish) => {
                    arrived.lock().unwrap().insert(String::from_utf8_lossy(&publish.payload).into_owned());
                    let ack = Ack::new(publish.packet_id.unwrap(), ReasonCode::SUCCESS);
                    if publish.qos == Qos::ExactlyOnce { Packet::Pubrec(ack) } else { Packet::Puback(ack) }
                }
                Packet::Pubrel(ack) => Packet::Pubcomp(Ack::new(ack.packet_id, ReasonCode::SUCCESS)),
                _ => continue,
            };
            connection.try_send(&answer).await;
        }
    }
}

/// Yields the bridge once nothing waits any more.
async fn meets(config: MqttUpstreamConfig, size: usize, last_words: Option<ReasonCode>) -> Upstream {
    let (server, arrived) = (Server::new().await, Arc::default());
    let up = Upstream::new(&server.url(), &config, spec(&[], &[("#", "#")]));
    let broker = tokio::spawn(take(server, !config.clean_session, last_words, Arc::clone(&arrived)));
    for n in 0..30 {
        let level = if n % 3 == 0 { Level::ExactlyOnce } else { Level::AtLeastOnce };
        let payload = if n % 10 == 5 { format!("{POISON:size$}") } else { n.to_string() };
        up.publish("a", &payload, level);
    }
    let done = || arrived.lock().unwrap().len() == 27 && up.handle.queue_depth().messages == 0;
    eventually("all but three have crossed", done).await;
    broker.abort();
    up
}

fn dropped(up: &Upstream, reason: DropReason) -> u64 {
    up.bus.stats().drops(ratatosk_core::Connector::register("mqtt"), reason)
}

#[tokio::test]
async fn a_broker_without_words_for_it_is_not_sent_it_for_ever() {
    let config = MqttUpstreamConfig { version: MqttVersion::V311, ..Default::default() };
    let up = meets(config, 1000, None).await;
    assert_eq!(dropped(&up, DropReason::Denied), 3);
}

#[tokio::test]
async fn nor_on_a_session_that_it_keeps() {
    let config = MqttUpstreamConfig {
        version: MqttVersion::V311,
        clean_session: false,
        client_id: Some("gw".into()),
        ..Default::default()
    };
    let up = meets(config, 1000, None).await;
    assert_eq!(dropped(&up, DropReason::Denied), 3);
}

#[tokio::test]
async fn nor_one_that_is_no_larger_than_others() {
    let up = meets(MqttUpstreamConfig::default(), 0, None).await;
    assert_eq!(dropped(&up, DropReason::Denied), 3);
}

#[tokio::test]
async fn a_broker_that_says_so_is_believed() {
    let up = meets(MqttUpstreamConfig::default(), 0, Some(ReasonCode::PACKET_TOO_LARGE)).await;
    assert_eq!(dropped(&up, DropReason::TooLarge), 3);
}
