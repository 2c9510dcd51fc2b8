//! A connection as others see it: something to send frames to, and to end.

use std::sync::Arc;

use ratatosk_connector::stream::StreamPeer;
use ratatosk_core::{EndReason, Message, Peer, SessionId};

use super::{http_peer::HttpPeer, packet::Packet};
use crate::proto::socket_id::SocketId;

/// How frames reach a connection.
#[derive(Debug, Clone)]
pub(super) enum Link {
    /// Over its WebSocket.
    Socket(Arc<StreamPeer>),
    /// Over one of the HTTP fallbacks.
    Http(Arc<HttpPeer>),
}

/// One connection.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) socket_id: SocketId,
    pub(super) session: SessionId,
    pub(super) link: Link,
}

impl Client {
    /// Sends a frame of the protocol's own, in order with the messages.
    pub(super) fn send(&self, packet: &Packet) {
        match &self.link {
            Link::Socket(peer) => peer.send(packet.websocket()),
            Link::Http(peer) => peer.send(packet),
        }
    }

    /// Sends a frame that nobody else gets.
    pub(super) fn tell(&self, text: &str) {
        self.send(&Packet::new(text));
    }

    /// Keeps everything back until [`Client::release`].
    pub(super) fn hold(&self) {
        match &self.link {
            Link::Socket(peer) => peer.hold(),
            Link::Http(peer) => peer.hold(),
        }
    }

    /// Lets everything flow: what was sent while held, then `kept`, then `last`, then what is live.
    pub(super) fn release(&self, kept: Vec<Arc<Message>>, last: Option<Packet>) {
        match &self.link {
            Link::Socket(peer) => {
                let tail = last.map(|packet| packet.websocket()).unwrap_or_default();
                peer.release(bytes::Bytes::new(), kept, tail);
            }
            Link::Http(peer) => peer.release(&kept, last.as_ref()),
        }
    }

    /// Asks its task to end it.
    pub(super) fn end(&self, reason: EndReason) {
        match &self.link {
            Link::Socket(peer) => peer.end(reason),
            Link::Http(peer) => peer.end(reason),
        }
    }
}
