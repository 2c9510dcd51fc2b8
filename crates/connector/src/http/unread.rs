//! What a request's body still has when its answer is ready.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;

use crate::lifecycle::Lifecycle;

/// Bytes that are read for nothing.
const MOST: usize = 64 << 10;
/// How long they may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// A body of an HTTP/2 request, of which a little is read even if nobody wants it. A server may break off what comes after its
/// answer (RFC 9113 section 8.1), but curl 7.88 takes that as an error and never shows the answer.
pub(super) struct Unread<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
{
    body: Option<B>,
    life: Lifecycle,
}

impl<B> Unread<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
{
    pub(super) fn new(body: B, life: Lifecycle) -> Self {
        Self { body: Some(body), life }
    }
}

impl<B> Body for Unread<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match &mut self.body {
            Some(body) => Pin::new(body).poll_frame(context),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map(Body::size_hint).unwrap_or_default()
    }
}

impl<B> Drop for Unread<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
{
    fn drop(&mut self) {
        let Some(mut body) = self.body.take().filter(|body| !body.is_end_stream()) else { return };
        let read = async move {
            let mut left = MOST;
            while let Some(Ok(frame)) = body.frame().await {
                let length = frame.data_ref().map_or(0, Buf::remaining);
                left = match left.checked_sub(length) {
                    Some(left) => left,
                    None => return,
                };
            }
        };
        self.life.spawn("unread body", async move {
            let _ = tokio::time::timeout(PATIENCE, read).await; // past it, the peer is told to stop
        });
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use http_body_util::channel::Channel;

    use super::*;

    #[tokio::test]
    async fn a_little_that_nobody_wants_is_read_and_no_more() {
        let (mut sender, body) = Channel::<Bytes>::new(1);
        drop(Unread::new(body, Lifecycle::default()));
        for _ in 0..16 {
            sender.send_data(Bytes::from_static(&[0; MOST / 16])).await.unwrap();
        }
        let mut sent = 0;
        while sender.send_data(Bytes::from_static(&[0; MOST / 16])).await.is_ok() {
            sent += 1;
            assert!(sent < 4, "it would go on for ever");
        }
    }
}
