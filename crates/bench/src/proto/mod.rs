//! The protocols as a load generator speaks them: one small file each, all behind [`Protocol`] and [`Client`].

pub(crate) mod across;
pub(crate) mod bayeux;
pub(crate) mod floor;
pub(crate) mod http;
pub(crate) mod mqtt;
pub(crate) mod pusher;
pub(crate) mod sse;
pub(crate) mod tail;
pub(crate) mod ws;

use std::net::SocketAddr;

use crate::stamp::Stamp;

/// What a client learned from the bytes it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Happening {
    /// The handshake is over: a subscriber is subscribed, a publisher may publish.
    Ready,
    /// A message arrived.
    Delivery(Stamp),
    /// The server confirmed a publication.
    Published,
}

/// Where a client puts its answers and its news.
#[derive(Debug)]
pub(crate) struct Io<'a> {
    /// Bytes for the server.
    pub(crate) out: &'a mut Vec<u8>,
    /// News for the engine.
    pub(crate) news: &'a mut Vec<Happening>,
}

impl Io<'_> {
    /// Reports every stamp in `bytes`, which holds whole messages only.
    pub(crate) fn deliveries(&mut self, bytes: &[u8]) {
        crate::stamp::scan_slice(bytes, |stamp| self.news.push(Happening::Delivery(stamp)));
    }
}

/// Why a connection is of no use any more.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// The server answered something else than it should.
    #[error("unexpected answer: {0}")]
    Unexpected(String),
    /// This client cannot do what was asked.
    #[error("{0} is not supported by this client")]
    Unsupported(&'static str),
}

impl Fault {
    /// An unexpected answer, shortened to its readable beginning.
    pub(crate) fn answer(bytes: &[u8]) -> Self {
        let head = bytes.get(..bytes.len().min(160)).unwrap_or_default();
        Self::Unexpected(String::from_utf8_lossy(head).escape_debug().to_string())
    }
}

/// One connection's state machine: bytes in, bytes and news out.
pub(crate) trait Client {
    /// The connection is up: the first bytes to send.
    fn open(&mut self, io: &mut Io<'_>) -> Result<(), Fault>;
    /// Bytes have come.
    fn receive(&mut self, input: &[u8], io: &mut Io<'_>) -> Result<(), Fault>;
    /// Encodes a publication.
    fn publish(&mut self, _channel: u16, _payload: &[u8], _out: &mut Vec<u8>) -> Result<(), Fault> {
        Err(Fault::Unsupported("publishing"))
    }
}

/// A protocol against one server.
pub(crate) trait Protocol {
    /// Name for the table.
    fn label(&self) -> String;
    /// Where clients connect to.
    fn address(&self) -> SocketAddr;
    /// Where publishers connect to.
    fn publisher_address(&self) -> SocketAddr {
        self.address()
    }
    /// A client that subscribes to these channels.
    fn subscriber(&self, channels: &[u16]) -> Box<dyn Client>;
    /// A client that publishes; `channel` is the first it will publish on.
    fn publisher(&self, channel: u16) -> Box<dyn Client>;
    /// A subscriber that resumes after `cursor`, where the protocol has cursors.
    fn resumer(&self, _channel: u16, _cursor: &str) -> Option<Box<dyn Client>> {
        None
    }
}

/// The canonical name of a channel.
pub(crate) fn channel_name(index: u16) -> String {
    format!("bench/{index}")
}
