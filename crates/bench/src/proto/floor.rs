//! How the generator speaks to the floor (see [`crate::floor`]): shaped like a real server's traffic, without its work.
//!
//! A subscriber sends `S`, channel, length of its request, length of the answer (4 hex digits each) and padding up to
//! the length of the request; the answer is as many dots. A publisher sends `P` and then records: channel (4 hex digits),
//! length (8), the ready frame.

use std::net::SocketAddr;

use super::{Client, Fault, Happening, Io, Protocol};
use crate::stamp::Scanner;

/// Length of a subscriber's fixed part.
pub(crate) const HELLO: usize = 13;
/// Length of a record's fixed part.
pub(crate) const RECORD: usize = 12;

/// The floor, dressed with the sizes that were measured on the real server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Floor {
    pub(crate) address: SocketAddr,
    /// Bytes of one delivery.
    pub(crate) frame: usize,
    /// Bytes a subscriber sends until it is subscribed.
    pub(crate) request: usize,
    /// Bytes a subscriber receives until it is subscribed.
    pub(crate) answer: usize,
}

impl Protocol for Floor {
    fn label(&self) -> String {
        "floor".to_owned()
    }

    fn address(&self) -> SocketAddr {
        self.address
    }

    fn subscriber(&self, channels: &[u16]) -> Box<dyn Client> {
        Box::new(Subscriber {
            channels: channels.to_vec(),
            request: self.request.clamp(HELLO, 0xffff),
            answer: self.answer.clamp(1, 0xffff),
            waiting: 0,
            scanner: Scanner::default(),
        })
    }

    fn publisher(&self, _channel: u16) -> Box<dyn Client> {
        Box::new(Publisher { frame: self.frame })
    }
}

#[derive(Debug)]
struct Subscriber {
    channels: Vec<u16>,
    request: usize,
    answer: usize,
    /// Answer bytes still to come.
    waiting: usize,
    scanner: Scanner,
}

impl Client for Subscriber {
    fn open(&mut self, io: &mut Io<'_>) -> Result<(), Fault> {
        for (index, channel) in self.channels.iter().enumerate() {
            // Only the first subscription of a connection stands for the handshake.
            let (request, answer) = if index == 0 { (self.request, self.answer) } else { (HELLO, 0) };
            let end = io.out.len() + request;
            io.out.extend_from_slice(format!("S{channel:04x}{request:04x}{answer:04x}").as_bytes());
            io.out.resize(end, b'.');
        }
        self.waiting = self.answer;
        Ok(())
    }

    fn receive(&mut self, input: &[u8], io: &mut Io<'_>) -> Result<(), Fault> {
        let answer = input.len().min(self.waiting);
        if answer > 0 {
            self.waiting -= answer;
            if self.waiting == 0 {
                io.news.push(Happening::Ready);
            }
        }
        let rest = input.get(answer..).unwrap_or_default();
        self.scanner.scan(rest, |stamp| io.news.push(Happening::Delivery(stamp)));
        Ok(())
    }
}

#[derive(Debug)]
struct Publisher {
    frame: usize,
}

impl Client for Publisher {
    fn open(&mut self, io: &mut Io<'_>) -> Result<(), Fault> {
        io.out.push(b'P');
        io.news.push(Happening::Ready);
        Ok(())
    }

    fn receive(&mut self, input: &[u8], _io: &mut Io<'_>) -> Result<(), Fault> {
        Err(Fault::answer(input))
    }

    fn publish(&mut self, channel: u16, payload: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
        let frame = self.frame.max(payload.len());
        out.extend_from_slice(format!("{channel:04x}{frame:08x}").as_bytes());
        let end = out.len() + frame;
        out.extend_from_slice(payload);
        out.resize(end, b'.');
        Ok(())
    }
}
