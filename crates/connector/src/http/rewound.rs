//! A connection that comes to hyper with bytes that were read already.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
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

impl Bare for Socket {
    fn into_socket(self, read: Bytes) -> (Socket, Bytes) {
        (self, read)
    }
}

/// A stream with what was read from it.
pub(super) struct Rewound<S> {
    stream: S,
    read: Bytes,
}

impl<S> Rewound<S> {
    pub(super) fn new(stream: S, read: Bytes) -> Self {
        Self { stream, read }
    }
}

impl<S: Bare> Bare for Rewound<S> {
    fn into_socket(self, read: Bytes) -> (Socket, Bytes) {
        if self.read.is_empty() {
            return self.stream.into_socket(read);
        }
        let mut all = BytesMut::from(read);
        all.extend_from_slice(&self.read);
        self.stream.into_socket(all.freeze())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Rewound<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.read.is_empty() {
            return Pin::new(&mut self.stream).poll_read(context, buf);
        }
        let count = self.read.len().min(buf.remaining());
        buf.put_slice(&self.read.split_to(count));
        if self.read.is_empty() {
            self.read = Bytes::new(); // gives the memory back
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Rewound<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
