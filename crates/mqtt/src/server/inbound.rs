//! Bytes from a socket to packets. Memory is held only while a packet is incomplete.

use std::{cell::RefCell, io, sync::Arc};

use bytes::BytesMut;
use ratatosk_connector::websocket::{self, Frames, Opcode, WebSocketFault, put_frame};
use ratatosk_core::EndReason;

use super::wire::{End, Wire};
use crate::proto::codec::{DecodeError, Decoder, Packet, Version};

/// Bytes of one read.
const READ: usize = 64 << 10;
/// An incomplete packet below this is copied out of the read it came with.
const SMALL: usize = 4096;

thread_local! {
    static READ_BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

pub(super) struct Inbound {
    decoder: Decoder,
    buffer: BytesMut,
    frames: Option<Box<Framed>>,
    /// Bytes of the last read: what its slices keep alive.
    pub(super) read: usize,
}

/// What a WebSocket connection has beside.
struct Framed {
    frames: Frames,
    /// An incomplete frame.
    buffer: BytesMut,
}

/// What a read came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Read {
    Some,
    /// Something that is dealt with already.
    Done,
    /// Nothing is there now.
    Blocked,
}

impl Inbound {
    /// `already` is what was read with an HTTP request.
    pub(super) fn new(wire: &Wire, max_packet: u32, already: &[u8]) -> Result<Self, End> {
        let frames =
            wire.frames(max_packet).map(|frames| Box::new(Framed { frames: *frames, buffer: BytesMut::new() }));
        let mut inbound = Self { decoder: Decoder::server(max_packet), buffer: BytesMut::new(), frames, read: 0 };
        inbound.take(wire, already)?;
        Ok(inbound)
    }

    /// Reads what is there, once. `early` may deal with whole packets at its beginning, and says how many bytes they are.
    pub(super) fn read(&mut self, wire: &Wire, early: impl FnOnce(&[u8]) -> usize) -> Result<Read, End> {
        READ_BUFFER.with_borrow_mut(|buffer| {
            buffer.resize(READ, 0);
            match wire.socket.try_read(buffer) {
                Ok(0) => Err(End::silent(EndReason::Closed)),
                Ok(count) => {
                    let bytes = buffer.get(..count).unwrap_or_default();
                    let is_start = self.frames.is_none() && self.buffer.is_empty();
                    let dealt_with = if is_start { early(bytes) } else { 0 };
                    match bytes.get(dealt_with..) {
                        None | Some([]) => return Ok(Read::Done),
                        Some(rest) => self.take(wire, rest)?,
                    }
                    Ok(Read::Some)
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Read::Blocked),
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Err(End::silent(EndReason::Closed)),
                Err(_) => Err(End::silent(EndReason::Io)),
            }
        })
    }

    /// The version that the client speaks, once it has said so.
    pub(super) fn version(&self) -> Option<Version> {
        self.decoder.version()
    }

    /// The next packet of what was read.
    pub(super) fn next(&mut self) -> Result<Option<Packet>, DecodeError> {
        let packet = self.decoder.decode(&mut self.buffer)?;
        if packet.is_none() {
            if self.buffer.is_empty() {
                self.buffer = BytesMut::new();
            } else if self.buffer.len() < SMALL && self.buffer.len() * 2 < self.read {
                self.buffer = BytesMut::from(&self.buffer[..]);
            }
        }
        Ok(packet)
    }

    /// Waits for the next packet: only while the client is not in yet.
    pub(super) async fn wait(&mut self, wire: &Arc<Wire>) -> Result<Result<Packet, DecodeError>, End> {
        loop {
            match self.next() {
                Ok(Some(packet)) => return Ok(Ok(packet)),
                Ok(None) => {}
                Err(error) => return Ok(Err(error)),
            }
            if let Some(end) = wire.ended() {
                return Err(end);
            }
            if self.read(wire, |_| 0)? == Read::Blocked && wire.socket.readable().await.is_err() {
                return Err(End::silent(EndReason::Io));
            }
        }
    }

    fn take(&mut self, wire: &Wire, bytes: &[u8]) -> Result<(), End> {
        self.read = bytes.len();
        let Some(framed) = &mut self.frames else {
            append(&mut self.buffer, bytes);
            return Ok(());
        };
        append(&mut framed.buffer, bytes);
        while let Some(frame) = framed.frames.next(&mut framed.buffer).map_err(|fault| refuse(wire, fault))? {
            match frame.opcode {
                Opcode::Binary | Opcode::Continuation => append(&mut self.buffer, &frame.payload),
                Opcode::Ping => {
                    let mut pong = Vec::new();
                    put_frame(&mut pong, Opcode::Pong, &frame.payload);
                    wire.control(&pong);
                }
                Opcode::Pong => {}
                Opcode::Close => {
                    // Not at once: a DISCONNECT that came in front of it is to be heard, since it voids the will. The last
                    // words will be the answer.
                    wire.end(End::silent(EndReason::Closed));
                    return Ok(());
                }
                // MQTT is bytes; anything else closes the connection (MQTT 5, 6.0.0-1).
                Opcode::Text => {
                    wire.control(&websocket::close(1003, "MQTT is binary"));
                    return Err(End::silent(EndReason::Protocol).because("websocket_text"));
                }
            }
        }
        if framed.buffer.is_empty() {
            framed.buffer = BytesMut::new();
        }
        Ok(())
    }
}

fn append(buffer: &mut BytesMut, bytes: &[u8]) {
    if buffer.is_empty() {
        *buffer = BytesMut::from(bytes);
    } else {
        buffer.extend_from_slice(bytes);
    }
}

fn refuse(wire: &Wire, fault: WebSocketFault) -> End {
    wire.control(&websocket::close(fault.code(), ""));
    End::silent(EndReason::Protocol).because("websocket_frame")
}
