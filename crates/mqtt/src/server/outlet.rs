//! What one socket could not take yet, in bytes. Messages wait elsewhere, where they can still be dropped.

use std::{collections::VecDeque, io};

use bytes::Bytes;
use ratatosk_core::peer::Frames;

use super::wire::Wire;

#[derive(Debug, Default)]
pub(super) struct Outlet {
    pending: VecDeque<Bytes>,
    bytes: usize,
    /// The socket itself holds something back (TLS records).
    unflushed: bool,
    /// Whether the first of `pending` is the rest of something whose beginning was written.
    cut: bool,
}

impl Outlet {
    /// Whether the socket took everything so far.
    pub(super) fn is_clear(&self) -> bool {
        self.pending.is_empty() && !self.unflushed
    }

    /// Bytes that wait.
    pub(super) fn len(&self) -> usize {
        self.bytes
    }

    /// Whether a packet may follow: nothing is half written.
    pub(super) fn is_between_packets(&self) -> bool {
        !self.cut
    }

    /// Writes, or keeps a copy of what the socket does not take.
    pub(super) fn write(&mut self, wire: &Wire, bytes: &[u8]) -> io::Result<()> {
        let taken = if self.pending.is_empty() { try_write(wire, bytes)? } else { 0 };
        if let Some(rest) = bytes.get(taken..).filter(|rest| !rest.is_empty()) {
            self.keep(Bytes::copy_from_slice(rest), taken > 0);
        }
        self.flush_socket(wire)
    }

    /// Writes frames that are shared with other sockets; what is not taken keeps sharing them. Answers their length.
    pub(super) fn write_frames(&mut self, wire: &Wire, frames: Frames) -> io::Result<u64> {
        let frames = match frames {
            Frames::Joined(joined) => return self.write_shared(wire, joined),
            Frames::Each(frames) => frames,
        };
        let mut total = 0;
        for frame in frames {
            total += self.write_shared(wire, frame)?;
        }
        Ok(total)
    }

    fn write_shared(&mut self, wire: &Wire, mut bytes: Bytes) -> io::Result<u64> {
        let len = bytes.len() as u64;
        let taken = if self.pending.is_empty() { try_write(wire, &bytes)? } else { 0 };
        if taken < bytes.len() {
            self.keep(bytes.split_off(taken), taken > 0);
        }
        self.flush_socket(wire)?;
        Ok(len)
    }

    /// Writes what waits. True once nothing does.
    pub(super) fn flush(&mut self, wire: &Wire) -> io::Result<bool> {
        while let Some(front) = self.pending.front_mut() {
            let taken = try_write(wire, front)?;
            if taken == 0 {
                return Ok(false);
            }
            self.bytes -= taken;
            if taken < front.len() {
                self.cut = true;
                drop(front.split_to(taken));
                continue;
            }
            self.cut = false;
            self.pending.pop_front();
        }
        self.pending = VecDeque::new(); // what has caught up gives its memory back
        self.flush_socket(wire)?;
        Ok(!self.unflushed)
    }

    fn keep(&mut self, rest: Bytes, cut: bool) {
        self.cut |= cut && self.pending.is_empty();
        self.bytes += rest.len();
        self.pending.push_back(rest);
    }

    fn flush_socket(&mut self, wire: &Wire) -> io::Result<()> {
        self.unflushed = match wire.socket.try_flush() {
            Ok(()) => false,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => true,
            Err(error) => return Err(error),
        };
        Ok(())
    }
}

/// As many bytes as the socket takes now, perhaps none.
fn try_write(wire: &Wire, bytes: &[u8]) -> io::Result<usize> {
    match wire.socket.try_write(bytes) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
        result => result,
    }
}
