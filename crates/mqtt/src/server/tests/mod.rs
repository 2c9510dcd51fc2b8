#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

mod connecting;
mod delivering;
mod faults;
mod kept;
mod sessions;
mod sharing;
mod sizes;
mod subscribing;
mod web;
mod wills;

use std::{num::NonZeroU16, sync::Arc, time::Duration};

use bytes::BytesMut;
use bytestring::ByteString;
use ratatosk_connector::lifecycle::Lifecycle;
use ratatosk_core::Bus;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::*;
use crate::{
    config::MqttConfig,
    proto::codec::{
        Ack, Connack, Connect, ConnectProperties, Decoder, Disconnect, MAX_PACKET, Packet, Publish, Qos, ReasonCode,
        Subscribe, SubscribeFilter, SubscribeOptions, Version, Will, encode,
    },
};

/// Longer than anything should take.
const PATIENCE: Duration = Duration::from_secs(20);

struct Broker {
    bus: Bus,
    life: Lifecycle,
    server: MqttServer,
    address: SocketAddr,
}

impl Broker {
    async fn start() -> Self {
        Self::with(MqttConfig::default(), Arc::new(Anonymous)).await
    }

    async fn configured(change: impl FnOnce(&mut MqttConfig)) -> Self {
        let mut config = MqttConfig::default();
        change(&mut config);
        Self::with(config, Arc::new(Anonymous)).await
    }

    async fn with(config: MqttConfig, auth: Arc<dyn Authenticate>) -> Self {
        Self::on(Bus::in_memory(), config, auth).await
    }

    async fn on(bus: Bus, mut config: MqttConfig, auth: Arc<dyn Authenticate>) -> Self {
        if config == MqttConfig::default() {
            config.sys_interval = ratatosk_connector::config_types::Duration::from_secs(0);
        }
        let life = Lifecycle::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = MqttServer::new(Settings::from(&config), bus.clone(), life.clone(), auth);
        let serving = server.clone();
        let listener = Listener::plain(listener, *crate::mapping::CONNECTOR, config.max_connections);
        life.spawn("mqtt", async move { serving.serve(listener).await });
        Self { bus, life, server, address }
    }

    /// A connection on which nothing was said.
    async fn dial(&self) -> Peer {
        let stream = TcpStream::connect(self.address).await.unwrap();
        Peer {
            stream,
            buffer: BytesMut::new(),
            decoder: Decoder::client(Version::V5, MAX_PACKET),
            version: Version::V5,
        }
    }

    /// A client that is let in.
    async fn join(&self, connect: Connect) -> (Peer, Connack) {
        let mut peer = self.dial().await;
        let connack = peer.connect(connect).await;
        assert_eq!(connack.reason, ReasonCode::SUCCESS);
        (peer, connack)
    }

    /// A clean client of MQTT 5.
    async fn client(&self, id: &str) -> Peer {
        self.join(hello(Version::V5, id)).await.0
    }
}

impl Broker {
    /// Stops as a gateway does, and waits until all is said and saved.
    async fn stop(self) {
        self.life.close();
        assert_eq!(self.life.wait(PATIENCE).await, 0);
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.life.close();
    }
}

/// A client of few words: it sends and expects packets.
struct Peer {
    stream: TcpStream,
    buffer: BytesMut,
    decoder: Decoder,
    version: Version,
}

impl Peer {
    async fn connect(&mut self, connect: Connect) -> Connack {
        self.version = connect.version;
        self.decoder = Decoder::client(self.version, MAX_PACKET);
        self.send(&Packet::Connect(Box::new(connect))).await;
        match self.next().await {
            Some(Packet::Connack(connack)) => *connack,
            other => panic!("no CONNACK but {other:?}"),
        }
    }

    async fn send(&mut self, packet: &Packet) {
        let mut bytes = Vec::new();
        encode(packet, self.version, &mut bytes).unwrap();
        self.raw(&bytes).await;
    }

    async fn raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// The next packet; `None` at the end of the stream.
    async fn next(&mut self) -> Option<Packet> {
        loop {
            if let Some(packet) = self.decoder.decode(&mut self.buffer).unwrap() {
                return Some(packet);
            }
            let read = tokio::time::timeout(PATIENCE, self.stream.read_buf(&mut self.buffer)).await;
            if read.expect("the server says nothing").unwrap_or(0) == 0 {
                return None;
            }
        }
    }

    async fn publication(&mut self) -> Publish {
        match self.next().await {
            Some(Packet::Publish(publish)) => *publish,
            other => panic!("no PUBLISH but {other:?}"),
        }
    }

    /// The topic of the next publication.
    async fn topic(&mut self) -> String {
        self.publication().await.topic.to_string()
    }

    /// Nothing was sent before the answer to a ping.
    async fn expect_silence(&mut self) {
        self.send(&Packet::Pingreq).await;
        assert_eq!(self.next().await, Some(Packet::Pingresp));
    }

    async fn subscribe_all(&mut self, filters: Vec<SubscribeFilter>, id: Option<u32>) -> Vec<ReasonCode> {
        let subscription_id = id.and_then(std::num::NonZeroU32::new);
        let packet_id = NonZeroU16::MIN;
        self.send(&Packet::Subscribe(Subscribe { packet_id, subscription_id, filters, user_properties: vec![] })).await;
        match self.next().await {
            Some(Packet::Suback(suback)) => suback.reasons,
            other => panic!("no SUBACK but {other:?}"),
        }
    }

    async fn subscribe(&mut self, filter: &str, qos: Qos) {
        let reasons = self.subscribe_all(vec![wish(filter, qos)], None).await;
        assert_eq!(reasons, [ReasonCode(qos.level())]);
    }

    async fn unsubscribe(&mut self, filter: &str) -> Vec<ReasonCode> {
        let filters = vec![filter.into()];
        let packet_id = NonZeroU16::MIN;
        let packet = crate::proto::codec::Unsubscribe { packet_id, filters, user_properties: vec![] };
        self.send(&Packet::Unsubscribe(packet)).await;
        match self.next().await {
            Some(Packet::Unsuback(unsuback)) => unsuback.reasons,
            other => panic!("no UNSUBACK but {other:?}"),
        }
    }

    async fn publish(&mut self, topic: &str, payload: &str) {
        self.send(&publish(topic, payload)).await;
    }

    /// Publishes with QoS 1 and gives the reason of PUBACK.
    async fn publish_acked(&mut self, topic: &str, payload: &str) -> ReasonCode {
        self.send(&note(topic, payload, Qos::AtLeastOnce, 77)).await;
        match self.next().await {
            Some(Packet::Puback(ack)) => ack.reason,
            other => panic!("no PUBACK but {other:?}"),
        }
    }

    async fn ack(&mut self, publish: &Publish) {
        let ack = Ack::new(publish.packet_id.unwrap(), ReasonCode::SUCCESS);
        self.send(&Packet::Puback(ack)).await;
    }

    async fn disconnect(mut self) {
        self.send(&Packet::Disconnect(Disconnect::default())).await;
        assert_eq!(self.next().await, None);
    }

    /// The server says why and closes.
    async fn expect_disconnect(&mut self, reason: ReasonCode) {
        match self.next().await {
            Some(Packet::Disconnect(disconnect)) => assert_eq!(disconnect.reason, reason),
            other => panic!("no DISCONNECT but {other:?}"),
        }
        assert_eq!(self.next().await, None);
    }
}

fn hello(version: Version, id: &str) -> Connect {
    Connect {
        version,
        bridge: false,
        clean_start: true,
        keep_alive: 0,
        client_id: ByteString::from(id),
        username: None,
        password: None,
        will: None,
        properties: ConnectProperties::default(),
    }
}

/// A client of MQTT 5 whose session lives on.
fn lasting(id: &str, clean_start: bool, seconds: u32) -> Connect {
    let mut connect = hello(Version::V5, id);
    connect.clean_start = clean_start;
    connect.properties.session_expiry = Some(seconds);
    connect
}

fn wish(filter: &str, qos: Qos) -> SubscribeFilter {
    SubscribeFilter { filter: filter.into(), options: SubscribeOptions { qos, ..SubscribeOptions::default() } }
}

fn publish(topic: &str, payload: &str) -> Packet {
    let publish = Publish { topic: topic.into(), payload: payload.to_owned().into(), ..Publish::default() };
    Packet::Publish(Box::new(publish))
}

fn retained(topic: &str, payload: &str) -> Packet {
    let Packet::Publish(mut publish) = publish(topic, payload) else { unreachable!() };
    publish.retain = true;
    Packet::Publish(publish)
}

fn note(topic: &str, payload: &str, qos: Qos, id: u16) -> Packet {
    let Packet::Publish(mut publish) = publish(topic, payload) else { unreachable!() };
    publish.qos = qos;
    publish.packet_id = NonZeroU16::new(id);
    Packet::Publish(publish)
}

fn will(topic: &str, delay: u32) -> Will {
    Will { topic: topic.into(), payload: "gone".into(), delay, ..Will::default() }
}
