//! The floor: what fan-out costs when a program does nothing else. One thread, one epoll, sockets, and one `write` per
//! delivery of a frame that comes ready-made from the generator. Its CPU time per delivery is what every server is
//! divided by.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};

use anyhow::{Context, Result};
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::sockopt::set_tcp_nodelay;
use rustix::net::{SocketFlags, accept_with};

use crate::proto::floor::{HELLO, RECORD};

const LISTENER: u64 = u64::MAX;

/// Serves until killed.
pub(crate) fn serve(listener: TcpListener, join: bool) -> Result<()> {
    Server::new(listener, join)?.run()
}

struct Server {
    listener: TcpListener,
    epoll: OwnedFd,
    /// Index is the epoll token; `None` after the peer has gone.
    conns: Vec<Option<Conn>>,
    /// Subscribed connections per channel.
    channels: Vec<Vec<usize>>,
    buffer: Vec<u8>,
    /// Write all frames that wait for a subscriber at once: for information, how far joining can go.
    join: bool,
}

struct Conn {
    socket: TcpStream,
    /// An incomplete request or record.
    input: Vec<u8>,
    /// What the socket would not take.
    backlog: Vec<u8>,
    publisher: bool,
}

impl Server {
    fn new(listener: TcpListener, join: bool) -> Result<Self> {
        listener.set_nonblocking(true)?;
        // Accepted sockets inherit it.
        set_tcp_nodelay(&listener, true)?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, &listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
        let buffer = vec![0; 256 * 1024];
        Ok(Self { listener, epoll, conns: Vec::new(), channels: Vec::new(), buffer, join })
    }

    fn run(&mut self) -> Result<()> {
        let mut events = Vec::with_capacity(512);
        loop {
            match epoll::wait(&self.epoll, spare_capacity(&mut events), None) {
                Err(Errno::INTR) => continue,
                other => other.context("waiting for events")?,
            };
            for event in events.drain(..) {
                // The event is a packed struct: fields are copied before use.
                let (token, flags) = (event.data.u64(), event.flags);
                if token == LISTENER {
                    self.accept()?;
                } else if let Ok(index) = usize::try_from(token) {
                    if flags.contains(EventFlags::OUT) {
                        self.flush(index);
                    }
                    if flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR) {
                        self.read(index);
                    }
                }
            }
        }
    }

    fn accept(&mut self) -> Result<()> {
        loop {
            let socket = match accept_with(&self.listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
                Ok(socket) => TcpStream::from(socket),
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::CONNABORTED | Errno::INTR) => continue,
                Err(e) => return Err(e).context("accepting"),
            };
            let token = EventData::new_u64(self.conns.len() as u64);
            epoll::add(&self.epoll, &socket, token, EventFlags::IN)?;
            self.conns.push(Some(Conn { socket, input: Vec::new(), backlog: Vec::new(), publisher: false }));
        }
    }

    fn read(&mut self, index: usize) {
        let Some(conn) = self.conns.get_mut(index).and_then(Option::as_mut) else { return };
        let read = match (&conn.socket).read(&mut self.buffer) {
            Ok(0) => return self.drop_conn(index),
            Ok(read) => read,
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => return,
            Err(_) => return self.drop_conn(index),
        };
        conn.input.extend_from_slice(self.buffer.get(..read).unwrap_or_default());
        if !conn.publisher && conn.input.first() == Some(&b'P') {
            conn.publisher = true;
            conn.input.remove(0);
        }
        let publisher = conn.publisher;
        let input = std::mem::take(&mut conn.input);
        let used = if publisher { self.publish(&input) } else { self.subscribe(index, &input) };
        let Some(conn) = self.conns.get_mut(index).and_then(Option::as_mut) else { return };
        match used {
            // An idle subscriber keeps no buffer.
            Some(used) if used == input.len() => {}
            Some(used) => conn.input.extend_from_slice(input.get(used..).unwrap_or_default()),
            None => self.drop_conn(index),
        }
    }

    /// Takes whole requests; `None` when one makes no sense.
    fn subscribe(&mut self, index: usize, input: &[u8]) -> Option<usize> {
        let mut used = 0;
        while let Some(hello) = input.get(used..used + HELLO) {
            let channel = number(hello.get(1..5)?)?;
            let request = number(hello.get(5..9)?)?.max(HELLO);
            let answer = number(hello.get(9..13)?)?;
            if input.len() < used + request {
                break;
            }
            used += request;
            if self.channels.len() <= channel {
                self.channels.resize(channel + 1, Vec::new());
            }
            self.channels.get_mut(channel)?.push(index);
            if answer > 0 {
                self.send(index, &vec![b'.'; answer]);
            }
        }
        Some(used)
    }

    /// Takes whole records and writes their frames to the subscribers.
    fn publish(&mut self, input: &[u8]) -> Option<usize> {
        let mut used = 0;
        let mut joined: Vec<(usize, Vec<u8>)> = Vec::new();
        while let Some(record) = input.get(used..used + RECORD) {
            let channel = number(record.get(..4)?)?;
            let end = used + RECORD + number(record.get(4..)?)?;
            let Some(frame) = input.get(used + RECORD..end) else { break };
            used = end;
            if !self.join {
                self.fan_out(channel, frame);
            } else if let Some((_, frames)) = joined.iter_mut().find(|(c, _)| *c == channel) {
                frames.extend_from_slice(frame);
            } else {
                joined.push((channel, frame.to_vec()));
            }
        }
        for (channel, frames) in joined {
            self.fan_out(channel, &frames);
        }
        Some(used)
    }

    fn fan_out(&mut self, channel: usize, frame: &[u8]) {
        let subscribers = self.channels.get_mut(channel).map(std::mem::take).unwrap_or_default();
        for &index in &subscribers {
            self.send(index, frame);
        }
        if let Some(slot) = self.channels.get_mut(channel) {
            *slot = subscribers;
        }
    }

    fn send(&mut self, index: usize, frame: &[u8]) {
        let Some(conn) = self.conns.get_mut(index).and_then(Option::as_mut) else { return };
        if !conn.backlog.is_empty() {
            conn.backlog.extend_from_slice(frame);
            return;
        }
        let written = match (&conn.socket).write(frame) {
            Ok(written) => written,
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => 0,
            // The read side learns of it and drops the connection.
            Err(_) => return,
        };
        if let Some(rest) = frame.get(written..).filter(|rest| !rest.is_empty()) {
            conn.backlog.extend_from_slice(rest);
            self.watch(index, EventFlags::IN | EventFlags::OUT);
        }
    }

    fn flush(&mut self, index: usize) {
        let Some(conn) = self.conns.get_mut(index).and_then(Option::as_mut) else { return };
        match (&conn.socket).write(&conn.backlog) {
            Ok(written) => drop(conn.backlog.drain(..written)),
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => return,
            Err(_) => return,
        }
        if conn.backlog.is_empty() {
            conn.backlog = Vec::new();
            self.watch(index, EventFlags::IN);
        }
    }

    fn watch(&self, index: usize, flags: EventFlags) {
        if let Some(conn) = self.conns.get(index).and_then(Option::as_ref) {
            // Failure means the socket is gone, which the next read reports.
            let _ = epoll::modify(&self.epoll, &conn.socket, EventData::new_u64(index as u64), flags);
        }
    }

    /// Closing takes the socket out of the epoll set; the scan of the channels is paid at the end of a run only.
    fn drop_conn(&mut self, index: usize) {
        if let Some(slot) = self.conns.get_mut(index) {
            *slot = None;
        }
        for subscribers in &mut self.channels {
            subscribers.retain(|&i| i != index);
        }
    }
}

fn number(hex: &[u8]) -> Option<usize> {
    usize::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use std::time::Duration;

    use super::*;
    use crate::engine::load::{Load, Pace, Plan};
    use crate::proto::floor::Floor;

    fn deliver_all(join: bool, pace: Pace, frame: usize) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        // The thread ends with the test process.
        std::thread::spawn(move || serve(listener, join).unwrap());
        let floor = Floor { address, frame, request: 150, answer: 90 };
        let subscribers = (0..12).map(|i| vec![i % 3, 3]).collect();
        let plan = Plan { channels: 4, subscribers, publishers: 2, payload: 80, pace };
        let mut load = Load::connect(&floor, &plan).unwrap();
        load.begin().unwrap();
        load.drive(Duration::from_millis(50)).unwrap();
        load.settle().unwrap();
        let recorder = &load.recorder;
        assert!(recorder.published() > 4, "{} published", recorder.published());
        assert!(recorder.deliveries > 0);
        assert_eq!((recorder.missing(), recorder.disordered), (0, 0));
        load.pool.check().unwrap();
    }

    #[test]
    fn delivers_everything_in_a_closed_loop() {
        deliver_all(false, Pace::Closed { inflight: 4 }, 120);
    }

    #[test]
    fn delivers_everything_at_a_pace() {
        deliver_all(false, Pace::Paced { per_second: 500.0 }, 120);
    }

    #[test]
    fn delivers_everything_with_joined_writes() {
        deliver_all(true, Pace::Closed { inflight: 16 }, 120);
    }

    #[test]
    fn delivers_frames_larger_than_the_sockets_take() {
        deliver_all(false, Pace::Closed { inflight: 4 }, 3_000_000);
    }
}
