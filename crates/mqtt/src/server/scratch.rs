//! The memory that packets are written to before they go to a socket: one per thread, none per connection.

use std::cell::RefCell;

use ratatosk_connector::websocket::{Opcode, header};

use super::wire::Framing;
use crate::proto::codec::Sink;

/// Room for the longest WebSocket header before the first packet.
const FRONT: usize = 10;
/// What a thread keeps between uses.
const KEEP: usize = 256 << 10;

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Packets for one socket. They go out as one WebSocket frame, where frames are needed.
#[derive(Debug)]
pub(super) struct Scratch {
    bytes: Vec<u8>,
}

impl Sink for Scratch {
    fn put(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }
}

impl Scratch {
    /// Borrows this thread's memory.
    pub(super) fn with<T>(body: impl FnOnce(&mut Self) -> T) -> T {
        let mut bytes = SCRATCH.with_borrow_mut(std::mem::take);
        bytes.resize(FRONT, 0);
        let mut scratch = Self { bytes };
        let result = body(&mut scratch);
        let Self { mut bytes } = scratch;
        bytes.clear();
        if bytes.capacity() <= KEEP {
            SCRATCH.set(bytes);
        }
        result
    }

    /// Bytes of the packets.
    pub(super) fn len(&self) -> usize {
        self.bytes.len() - FRONT
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The packets as they go on the wire.
    pub(super) fn framed(&mut self, framing: Framing) -> &[u8] {
        if framing == Framing::Mqtt {
            return self.bytes.get(FRONT..).unwrap_or_default();
        }
        let header = header(Opcode::Binary, self.len());
        let start = FRONT - header.as_slice().len();
        if let Some(place) = self.bytes.get_mut(start..FRONT) {
            place.copy_from_slice(header.as_slice());
        }
        self.bytes.get(start..).unwrap_or_default()
    }

    pub(super) fn clear(&mut self) {
        self.bytes.truncate(FRONT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_put_before_what_was_written() {
        Scratch::with(|scratch| {
            scratch.put(b"abc");
            assert_eq!(scratch.framed(Framing::Mqtt), b"abc");
            assert_eq!(scratch.framed(Framing::WebSocket), [0x82, 3, b'a', b'b', b'c']);
            scratch.clear();
            assert!(scratch.is_empty());
            scratch.put(&[7; 300]);
            let framed = scratch.framed(Framing::WebSocket);
            assert_eq!((framed.len(), framed.get(..4)), (304, Some(&[0x82, 126, 1, 44][..])));
        });
    }
}
