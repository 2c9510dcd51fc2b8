//! Connections under one epoll: the generator's only loop.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::fd::OwnedFd;

use super::socket;
use crate::proto::{Client, Fault, Happening, Io};

/// Who wants to know what the clients learn.
pub(crate) trait Watcher {
    /// Connection `conn` has news; `now` is the pool's clock in nanoseconds.
    fn happened(&mut self, conn: usize, what: Happening, now: u64);
}

/// A set of client connections.
pub(crate) struct Pool {
    epoll: OwnedFd,
    conns: Vec<Conn>,
    buffer: Vec<u8>,
    ready: Vec<epoll::Event>,
    news: Vec<Happening>,
    start: Instant,
    /// Bytes received so far by the connections that count.
    pub(crate) received: u64,
    /// How many connections, from the first, count in `received`.
    pub(crate) counted: usize,
    /// Bytes sent so far.
    pub(crate) sent: u64,
    /// Connections that ended, and why the first did.
    pub(crate) faults: Faults,
}

/// Connections lost.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults {
    pub(crate) count: usize,
    pub(crate) first: Option<String>,
}

struct Conn {
    socket: Option<TcpStream>,
    client: Box<dyn Client>,
    out: Vec<u8>,
    connected: bool,
    /// Whether epoll reports writability.
    wants_out: bool,
}

impl Pool {
    /// An empty pool that takes `batch` ready sockets per turn and reads up to `chunk` bytes from each.
    pub(crate) fn new(batch: usize, chunk: usize) -> Result<Self> {
        Ok(Self {
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            conns: Vec::new(),
            buffer: vec![0; chunk],
            ready: Vec::with_capacity(batch),
            news: Vec::new(),
            start: Instant::now(),
            received: 0,
            counted: usize::MAX,
            sent: 0,
            faults: Faults::default(),
        })
    }

    /// Shares the clock of another pool.
    pub(crate) fn with_clock(mut self, other: &Self) -> Self {
        self.start = other.start;
        self
    }

    /// Nanoseconds on the pool's clock.
    pub(crate) fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Begins to connect; returns the connection's number, counted from 0.
    pub(crate) fn connect(&mut self, address: std::net::SocketAddr, client: Box<dyn Client>) -> Result<usize> {
        let id = self.conns.len();
        let socket = socket::connect(address, id).with_context(|| format!("connecting to {address}"))?;
        epoll::add(&self.epoll, &socket, EventData::new_u64(id as u64), EventFlags::IN | EventFlags::OUT)?;
        self.conns.push(Conn { socket: Some(socket), client, out: Vec::new(), connected: false, wants_out: true });
        Ok(id)
    }

    /// Number of connections ever begun.
    pub(crate) fn len(&self) -> usize {
        self.conns.len()
    }

    /// Queues a publication; [`Pool::flush`] sends it.
    pub(crate) fn publish(&mut self, conn: usize, channel: u16, payload: &[u8]) -> Result<()> {
        let conn = self.conns.get_mut(conn).context("no such connection")?;
        conn.client.publish(channel, payload, &mut conn.out)?;
        Ok(())
    }

    /// Sends what is queued on a connection.
    pub(crate) fn flush(&mut self, id: usize) {
        if let Err(fault) = self.try_flush(id) {
            self.fail(id, &fault);
        }
    }

    /// Waits up to `timeout` for sockets to become ready and serves each once.
    pub(crate) fn turn(&mut self, timeout: Duration, watcher: &mut dyn Watcher) -> Result<()> {
        let timeout = Timespec::try_from(timeout)?;
        let mut ready = std::mem::take(&mut self.ready);
        match epoll::wait(&self.epoll, spare_capacity(&mut ready), Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(e).context("waiting for events"),
        }
        for event in ready.drain(..) {
            let Ok(id) = usize::try_from(event.data.u64()) else { continue };
            if let Err(fault) = self.serve(id, event.flags) {
                self.fail(id, &fault);
            }
            if !self.news.is_empty() {
                let now = self.now();
                for what in self.news.drain(..) {
                    watcher.happened(id, what, now);
                }
            }
        }
        self.ready = ready;
        Ok(())
    }

    /// An error if any connection was lost.
    pub(crate) fn check(&self) -> Result<()> {
        match &self.faults.first {
            None => Ok(()),
            Some(first) => bail!("{} connections failed, the first with: {first}", self.faults.count),
        }
    }

    fn serve(&mut self, id: usize, flags: EventFlags) -> Result<(), String> {
        let Some(conn) = self.conns.get_mut(id) else { return Ok(()) };
        let Some(socket) = &conn.socket else { return Ok(()) };
        if flags.contains(EventFlags::OUT) {
            if !conn.connected {
                if let Some(e) = socket.take_error().map_err(|e| e.to_string())? {
                    return Err(e.to_string());
                }
                conn.connected = true;
                let mut io = Io { out: &mut conn.out, news: &mut self.news };
                conn.client.open(&mut io).map_err(|e| e.to_string())?;
            }
            self.try_flush(id)?;
        }
        if flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR) {
            self.read(id)?;
        }
        Ok(())
    }

    fn read(&mut self, id: usize) -> Result<(), String> {
        let Some(conn) = self.conns.get_mut(id) else { return Ok(()) };
        let Some(socket) = &mut conn.socket else { return Ok(()) };
        let read = match socket.read(&mut self.buffer) {
            Ok(0) => return Err("closed by the server".to_owned()),
            Ok(read) => read,
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => return Ok(()),
            Err(e) => return Err(e.to_string()),
        };
        if id < self.counted {
            self.received += read as u64;
        }
        let mut io = Io { out: &mut conn.out, news: &mut self.news };
        let input = self.buffer.get(..read).unwrap_or_default();
        conn.client.receive(input, &mut io).map_err(|e: Fault| e.to_string())?;
        if conn.out.is_empty() { Ok(()) } else { self.try_flush(id) }
    }

    fn try_flush(&mut self, id: usize) -> Result<(), String> {
        let Some(conn) = self.conns.get_mut(id) else { return Ok(()) };
        let Some(socket) = &mut conn.socket else { return Ok(()) };
        if !conn.connected {
            return Ok(());
        }
        if !conn.out.is_empty() {
            let written = match socket.write(&conn.out) {
                Ok(written) => written,
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => 0,
                Err(e) => return Err(e.to_string()),
            };
            self.sent += written as u64;
            if written == conn.out.len() {
                conn.out.clear();
            } else {
                conn.out.drain(..written);
            }
        }
        let wants_out = !conn.out.is_empty();
        if wants_out != conn.wants_out {
            let flags = if wants_out { EventFlags::IN | EventFlags::OUT } else { EventFlags::IN };
            epoll::modify(&self.epoll, &*socket, EventData::new_u64(id as u64), flags).map_err(|e| e.to_string())?;
            conn.wants_out = wants_out;
        }
        Ok(())
    }

    fn fail(&mut self, id: usize, why: &str) {
        if let Some(conn) = self.conns.get_mut(id) {
            conn.socket = None;
        }
        self.faults.count += 1;
        self.faults.first.get_or_insert_with(|| why.to_owned());
    }
}
