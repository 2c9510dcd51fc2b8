//! A connection that comes back to hyper with bytes that were read already.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::server::TlsStream;

use crate::socket::Socket;

/// A stream that hyper can serve and that can be taken from it again.
pub(super) trait Bare: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// The socket, and all that was read from it and not used; `read` is what hyper has of that.
    fn into_socket(self, read: Bytes) -> (Socket, Bytes);
}

impl Bare for TcpStream {
    fn into_socket(self, read: Bytes) -> (Socket, Bytes) {
        (self.into(), read)
    }
}

impl Bare for TlsStream<TcpStream> {
    fn into_socket(self, read: Bytes) -> (Socket, Bytes) {
        (self.into(), read)
    }
}

/// A socket with what was read from it.
pub(super) struct Rewound {
    socket: Socket,
    read: Bytes,
}

impl Rewound {
    pub(super) fn new(socket: Socket, read: Bytes) -> Self {
        Self { socket, read }
    }
}

impl Bare for Rewound {
    fn into_socket(self, read: Bytes) -> (Socket, Bytes) {
        if self.read.is_empty() {
            return (self.socket, read);
        }
        let mut all = BytesMut::from(read);
        all.extend_from_slice(&self.read);
        (self.socket, all.freeze())
    }
}

impl AsyncRead for Rewound {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.read.is_empty() {
            let count = self.read.len().min(buf.remaining());
            buf.put_slice(self.read.get(..count).unwrap_or_default());
            self.read.advance(count);
            return Poll::Ready(Ok(()));
        }
        loop {
            match self.socket.try_read(buf.initialize_unfilled()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready!(self.socket.poll_readable(context))?,
                result => {
                    buf.advance(result?);
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }
}

impl AsyncWrite for Rewound {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            match self.socket.try_write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready!(self.socket.poll_writable(context))?,
                result => return Poll::Ready(result),
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            match self.socket.try_flush() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready!(self.socket.poll_writable(context))?,
                result => return Poll::Ready(result),
            }
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.finish();
        Poll::Ready(Ok(()))
    }
}
