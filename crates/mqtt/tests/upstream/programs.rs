//! Inbound rules with a program, over a connection that brings more than the program keeps up with.

use ratatosk_connector::{
    rules::{Direction, Rule, RuleSet, TreatmentBuilder},
    upstream::BridgeSpec,
};
use ratatosk_core::{Connector, stats::DropReason};
use ratatosk_mqtt::{
    config::MqttUpstreamConfig,
    proto::codec::{Packet, Publish, Qos, Version, encode},
};
use tokio::io::AsyncWriteExt;

use crate::{
    bench::{Upstream, spec},
    scripted::Server,
};

/// One read can hold more small messages than wait for a program; what is acknowledged is not dropped for that.
#[tokio::test]
async fn a_burst_in_one_read_loses_nothing() {
    const BURST: u16 = 12_000;
    let treatment = TreatmentBuilder { transform: Some(".".into()), ..Default::default() }.build().unwrap();
    let rule = Rule::new("r", Direction::In, "a", "a").unwrap().with_treatment(treatment);
    let plain = Rule::new("r", Direction::In, "b", "b").unwrap();
    let server = Server::new().await;
    let spec = BridgeSpec { inbound: RuleSet::new([rule, plain]), ..spec(&[], &[]) };
    let up = Upstream::new(&server.url(), &MqttUpstreamConfig::default(), spec);
    let mut seen = up.subscribe("#");
    let mut connection = server.welcome(false).await;
    connection.next().await; // SUBSCRIBE
    // The read buffer grows with this one, and stays so.
    let large = Publish { topic: "b".into(), payload: vec![b'x'; 1 << 20].into(), ..Default::default() };
    connection.send(&Packet::Publish(Box::new(large))).await;
    assert_eq!(seen.next().await.channel.as_str(), "b");
    let mut burst = bytes::BytesMut::new();
    for id in 1..=BURST {
        let packet_id = std::num::NonZeroU16::new(id);
        let qos = Qos::AtLeastOnce;
        let small = Publish { topic: "a".into(), qos, packet_id, payload: "1".into(), ..Default::default() };
        encode(&Packet::Publish(Box::new(small)), Version::V5, &mut burst).unwrap();
    }
    connection.stream.write_all(&burst).await.unwrap();
    for id in 1..=BURST {
        let Some(Packet::Puback(ack)) = connection.next().await else { panic!("no PUBACK for {id}") };
        assert_eq!(ack.packet_id.get(), id);
    }
    for _ in 0..BURST {
        assert_eq!(seen.text().await, "a 1");
    }
    assert_eq!(up.bus.stats().drops(Connector::register("mqtt"), DropReason::QueueFull), 0);
}
