//! WebSocket without I/O (RFC 6455, the server's side), for connections taken over from the HTTP listener.
//!
//! [`Handshake`] judges the upgrade request and writes the answer. [`Frames`] reads a client's frames from the
//! bytes of the socket; [`Messages`] joins them to whole messages. Frames to the client are not masked, so the
//! same bytes can be shared by any number of clients: [`put_frame`], [`header`], [`close`].

pub use self::{
    fault::WebSocketFault,
    frames::{Frame, Frames, Opcode},
    handshake::{Handshake, HandshakeError},
    messages::{Incoming, Messages},
    write::{Header, close, header, put_frame},
};

mod fault;
mod frames;
mod handshake;
mod messages;
mod write;
