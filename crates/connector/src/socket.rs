//! A connection's socket, shared by the lane that writes and the task that reads.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll, ready},
};

use parking_lot::Mutex;
use tokio::{
    io::{AsyncRead, AsyncWrite, Interest, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::rustls::ServerConnection;

use crate::listener::Transport;

/// Bytes of ciphertext that a TLS connection may hold back for a socket that is not ready.
const TLS_BUFFER: usize = 64 << 10;

/// A TCP connection, plain or under TLS. All operations are non-blocking and may be called from any task.
#[derive(Debug)]
pub enum Socket {
    /// Plain.
    Tcp(TcpStream),
    /// Under TLS: the handshake is done.
    Tls(Box<TlsSocket>),
}

/// A TLS connection that is driven without a task of its own.
#[derive(Debug)]
pub struct TlsSocket {
    tcp: TcpStream,
    session: Mutex<ServerConnection>,
}

impl From<TcpStream> for Socket {
    fn from(tcp: TcpStream) -> Self {
        Self::Tcp(tcp)
    }
}

impl From<tokio_rustls::server::TlsStream<TcpStream>> for Socket {
    fn from(stream: tokio_rustls::server::TlsStream<TcpStream>) -> Self {
        let (tcp, mut session) = stream.into_inner();
        session.set_buffer_limit(Some(TLS_BUFFER));
        Self::Tls(Box::new(TlsSocket { tcp, session: Mutex::new(session) }))
    }
}

impl From<Transport> for Socket {
    fn from(transport: Transport) -> Self {
        match transport {
            Transport::Tcp(tcp) => tcp.into(),
            Transport::Tls(stream) => (*stream).into(),
        }
    }
}

/// `try_read` and `try_write` of the TCP stream as the blocking traits that rustls drives.
struct Raw<'a>(&'a TcpStream);

impl io::Read for Raw<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buf)
    }
}

impl io::Write for Raw<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.try_write(buf)
    }

    fn write_vectored(&mut self, bufs: &[io::IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(bufs)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// `TcpStream::try_read`, but a read that leaves room in the buffer has emptied the socket, and counts as one that would
/// block next: that saves the system call that would find nothing. (Tokio's `AsyncRead` does the same.) The readiness is
/// the one from before the read, so bytes that come meanwhile are not overlooked.
fn read_once(tcp: &TcpStream, buf: &mut [u8]) -> io::Result<usize> {
    let (mut some, room) = (None, buf.len());
    let result = tcp.try_io(Interest::READABLE, || {
        let read = io::Read::read(&mut &*socket2::SockRef::from(tcp), buf)?;
        if cfg!(unix) && read > 0 && read < room {
            some = Some(read);
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(read)
    });
    some.map_or(result, Ok)
}

/// `TcpStream::try_write`, but what the reactor knows of the socket is only asked when it takes nothing: it is written to far more
/// often than it is full, and each look at another piece of memory is dear where thousands of sockets take turns.
fn write_once(tcp: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    let written = io::Write::write(&mut &*socket2::SockRef::from(tcp), bytes);
    if is_blocked(&written) { tcp.try_write(bytes) } else { written }
}

fn is_blocked<T>(result: &io::Result<T>) -> bool {
    result.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
}

impl TlsSocket {
    /// Sends what the TLS session holds; `WouldBlock` if the socket takes no more.
    fn push_out(&self, session: &mut ServerConnection) -> io::Result<()> {
        while session.wants_write() {
            session.write_tls(&mut Raw(&self.tcp))?;
        }
        Ok(())
    }

    fn try_write_vectored(&self, slices: &[io::IoSlice<'_>]) -> io::Result<usize> {
        let mut session = self.session.lock();
        self.push_out(&mut session)?;
        let taken = io::Write::write_vectored(&mut session.writer(), slices)?;
        let pushed = self.push_out(&mut session);
        if is_blocked(&pushed) { Ok(taken) } else { pushed.map(|()| taken) }
    }

    fn try_flush(&self) -> io::Result<()> {
        self.push_out(&mut self.session.lock())
    }

    fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        let mut session = self.session.lock();
        loop {
            let plain = io::Read::read(&mut session.reader(), buf);
            if !is_blocked(&plain) {
                return plain;
            }
            if session.read_tls(&mut Raw(&self.tcp))? == 0 {
                return Ok(0);
            }
            session.process_new_packets().map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            let answered = self.push_out(&mut session);
            if !is_blocked(&answered) {
                answered?;
            }
        }
    }
}

impl Socket {
    fn tcp(&self) -> &TcpStream {
        match self {
            Self::Tcp(tcp) => tcp,
            Self::Tls(tls) => &tls.tcp,
        }
    }

    /// Writes what fits now.
    ///
    /// # Errors
    /// `WouldBlock` if nothing fits; anything else ends the connection.
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(tcp) => write_once(tcp, bytes),
            Self::Tls(tls) => tls.try_write_vectored(&[io::IoSlice::new(bytes)]),
        }
    }

    /// Writes what fits now of several pieces, in order.
    ///
    /// # Errors
    /// As [`Socket::try_write`].
    pub fn try_write_vectored(&self, slices: &[io::IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Tcp(tcp) => tcp.try_write_vectored(slices),
            Self::Tls(tls) => tls.try_write_vectored(slices),
        }
    }

    /// Sends what the socket itself holds back (TLS records); plain TCP holds nothing back.
    ///
    /// # Errors
    /// `WouldBlock` if some of it is still there.
    pub fn try_flush(&self) -> io::Result<()> {
        match self {
            Self::Tcp(_) => Ok(()),
            Self::Tls(tls) => tls.try_flush(),
        }
    }

    /// Reads what is there now; zero is the end of the stream.
    ///
    /// # Errors
    /// `WouldBlock` if nothing is there.
    pub fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(tcp) => read_once(tcp, buf),
            Self::Tls(tls) => tls.try_read(buf),
        }
    }

    /// Waits until [`Socket::try_read`] may find something. One task at a time may wait: a future that leaves the waiting to
    /// the reactor's own slot is smaller by what idle connections are many of.
    ///
    /// # Errors
    /// The connection is gone.
    pub async fn readable(&self) -> io::Result<()> {
        std::future::poll_fn(|context| self.poll_readable(context)).await
    }

    /// Waits until [`Socket::try_write`] may take something; one task at a time, too.
    ///
    /// # Errors
    /// The connection is gone.
    pub async fn writable(&self) -> io::Result<()> {
        std::future::poll_fn(|context| self.poll_writable(context)).await
    }

    /// [`Socket::readable`] for a future written by hand.
    ///
    /// # Errors
    /// The connection is gone.
    pub fn poll_readable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.tcp().poll_read_ready(context)
    }

    /// [`Socket::writable`] for a future written by hand.
    ///
    /// # Errors
    /// The connection is gone.
    pub fn poll_writable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.tcp().poll_write_ready(context)
    }

    /// Waits until the connection has failed: after the far end has closed, until it resets what came too late.
    pub async fn failed(&self) {
        let _ = self.tcp().ready(Interest::ERROR).await; // either way it is over
    }

    /// An error that the connection met since this was last asked: a reset after the far end had closed.
    #[must_use]
    pub fn take_error(&self) -> Option<io::Error> {
        self.tcp().take_error().ok().flatten()
    }

    /// Writes all of it, waiting as needed: for the few bytes of a handshake, not for the hot path.
    ///
    /// # Errors
    /// The connection is gone.
    pub async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.try_write(bytes) {
                Ok(taken) => bytes = bytes.get(taken..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.writable().await?,
                Err(error) => return Err(error),
            }
        }
        while is_blocked(&self.try_flush()) {
            self.writable().await?;
        }
        self.try_flush()
    }

    /// Reads something, waiting as needed; zero is the end of the stream.
    ///
    /// # Errors
    /// The connection is gone.
    pub async fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            let result = self.try_read(buf);
            if !is_blocked(&result) {
                return result;
            }
            self.readable().await?;
        }
    }

    /// Says that nothing more will be written: what is on its way still arrives.
    pub fn finish(&self) {
        if let Self::Tls(tls) = self {
            tls.session.lock().send_close_notify();
            let _ = tls.try_flush(); // the peer sees the end of the stream in any case
        }
        let _ = socket2::SockRef::from(self.tcp()).shutdown(std::net::Shutdown::Write);
    }

    /// The far address.
    #[must_use]
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.tcp().peer_addr().ok()
    }
}

/// For a connection that goes back to the HTTP library.
impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Tcp(tcp) => Pin::new(tcp).poll_read(context, buf),
            Self::Tls(tls) => loop {
                let result = tls.try_read(buf.initialize_unfilled());
                if !is_blocked(&result) {
                    buf.advance(result?);
                    return Poll::Ready(Ok(()));
                }
                ready!(tls.tcp.poll_read_ready(context))?;
            },
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[io::IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Tcp(tcp) => Pin::new(tcp).poll_write_vectored(context, slices),
            Self::Tls(tls) => loop {
                let result = tls.try_write_vectored(slices);
                if !is_blocked(&result) {
                    return Poll::Ready(result);
                }
                ready!(tls.tcp.poll_write_ready(context))?;
            },
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let result = self.try_flush();
            if !is_blocked(&result) {
                return Poll::Ready(result);
            }
            ready!(self.poll_writable(context))?;
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.finish();
        Poll::Ready(Ok(()))
    }
}
