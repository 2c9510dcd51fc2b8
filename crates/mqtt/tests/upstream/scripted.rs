//! A broker of one connection at a time that a test scripts packet by packet.

use std::net::Ipv4Addr;

use bytes::BytesMut;
use ratatosk_mqtt::proto::codec::{Connack, Connect, Decoder, Packet, Version, encode};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::bench::within;

pub(crate) struct Server(TcpListener);

impl Server {
    pub(crate) async fn new() -> Self {
        Self(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap())
    }

    pub(crate) fn url(&self) -> String {
        format!("mqtt://{}", self.0.local_addr().unwrap())
    }

    pub(crate) async fn raw(&self) -> TcpStream {
        within(self.0.accept()).await.unwrap().0
    }

    /// The next connection, with its CONNECT read.
    pub(crate) async fn accept(&self) -> Connection {
        let stream = self.raw().await;
        let mut connection =
            Connection { stream, decoder: Decoder::server(1 << 20), input: BytesMut::new(), connect: None };
        let Some(Packet::Connect(connect)) = connection.next().await else { panic!("no CONNECT") };
        connection.connect = Some(*connect);
        connection
    }

    /// The next connection, let in.
    pub(crate) async fn welcome(&self, session_present: bool) -> Connection {
        let mut connection = self.accept().await;
        connection.try_send(&Packet::Connack(Box::new(Connack { session_present, ..Default::default() }))).await;
        connection
    }
}

pub(crate) struct Connection {
    pub(crate) stream: TcpStream,
    decoder: Decoder,
    input: BytesMut,
    connect: Option<Connect>,
}

impl Connection {
    pub(crate) fn connect(&self) -> &Connect {
        self.connect.as_ref().unwrap()
    }

    pub(crate) async fn send(&mut self, packet: &Packet) {
        let mut out = BytesMut::new();
        encode(packet, self.decoder.version().unwrap_or(Version::V5), &mut out).unwrap();
        self.stream.write_all(&out).await.unwrap();
    }

    /// Sends if the far side is still there.
    pub(crate) async fn try_send(&mut self, packet: &Packet) -> Option<()> {
        let mut out = BytesMut::new();
        encode(packet, self.decoder.version().unwrap_or(Version::V5), &mut out).unwrap();
        self.stream.write_all(&out).await.ok()
    }

    /// The next packet but pings, which are answered; `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<Packet> {
        loop {
            match self.decoder.decode(&mut self.input).unwrap() {
                Some(Packet::Pingreq) => drop(self.try_send(&Packet::Pingresp).await),
                Some(packet) => return Some(packet),
                None => {
                    self.input.reserve(4096);
                    if within(self.stream.read_buf(&mut self.input)).await.unwrap_or(0) == 0 {
                        return None;
                    }
                }
            }
        }
    }
}
