//! Subscribers of one protocol, publishers of another.

use std::net::SocketAddr;

use super::{Client, Protocol};

/// See the module.
pub(crate) struct Across {
    pub(crate) from: Box<dyn Protocol>,
    pub(crate) to: Box<dyn Protocol>,
}

impl Protocol for Across {
    fn label(&self) -> String {
        format!("{} from {}", self.to.label(), self.from.label())
    }

    fn address(&self) -> SocketAddr {
        self.to.address()
    }

    fn publisher_address(&self) -> SocketAddr {
        self.from.publisher_address()
    }

    fn subscriber(&self, channels: &[u16]) -> Box<dyn Client> {
        self.to.subscriber(channels)
    }

    fn publisher(&self, channel: u16) -> Box<dyn Client> {
        self.from.publisher(channel)
    }

    fn resumer(&self, channel: u16, cursor: &str) -> Option<Box<dyn Client>> {
        self.to.resumer(channel, cursor)
    }
}
