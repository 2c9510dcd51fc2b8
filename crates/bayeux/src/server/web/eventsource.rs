//! `eventsource`: Faye's event stream at `<mount>/<clientId>`. Messages come by it, requests go by POST.

use std::sync::{Arc, LazyLock};

use axum::{extract::Request, response::Response};
use bytes::{Bytes, BytesMut};
use http::{StatusCode, header};
use ratatosk_connector::http::{Requester, Taken, put_header};
use ratatosk_core::{EndReason, Form};

use super::refused;
use crate::server::{
    cookie,
    link::{Connection, Wire},
    live::Live,
    mount::Mount,
};

static FORMS: LazyLock<[Form; 2]> =
    LazyLock::new(|| [Form::register("bayeux.eventsource"), Form::register("bayeux.eventsource.full")]);

/// The forms of messages as events.
pub(crate) fn forms() -> &'static [Form; 2] {
    &FORMS
}

/// An event. A line break in JSON is white space, and so is the blank that takes its place.
pub(crate) fn event(array: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(array.len() + 10);
    out.extend_from_slice(b"data: ");
    out.extend(array.iter().map(|byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { *byte }));
    out.extend_from_slice(b"\r\n\r\n");
    out.into()
}

pub(super) fn is_asked_for(request: &Request) -> bool {
    let accept = request.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok());
    accept.is_some_and(|accept| accept.contains("text/event-stream"))
}

pub(super) async fn answer(mount: &Arc<Mount>, request: Request) -> Response {
    let id = request.uri().path().rsplit('/').next().unwrap_or_default();
    let browser = cookie::of(request.headers());
    let live =
        mount.directory.get(id).filter(|live| cookie::may_speak(mount.cookie().mode, browser, live.browser.as_deref()));
    let Some(live) = live else { return refused(StatusCode::NOT_FOUND, "no such session") };
    let head = head(mount, &request);
    let Some(takeover) = Requester::of(request.extensions()).and_then(Requester::takeover) else {
        return refused(StatusCode::NOT_FOUND, "this event stream needs HTTP/1.1");
    };
    let mount = mount.clone();
    takeover.take(move |taken| serve(mount, live, taken, head)).await
}

fn head(mount: &Mount, request: &Request) -> Vec<u8> {
    let mut head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store, no-transform\r\n\
        X-Accel-Buffering: no\r\nConnection: close\r\n"
        .to_vec();
    for (name, value) in mount.origins.answer(request.headers()) {
        put_header(&mut head, name.as_str(), value.as_bytes());
    }
    head.extend_from_slice(b"\r\nretry: 5000\r\n\r\n");
    head
}

async fn serve(mount: Arc<Mount>, live: Arc<Live>, taken: Taken, head: Vec<u8>) {
    let _counted = taken.permit();
    let Taken { socket, read, .. } = taken;
    drop(read); // hyper's buffer, 8 KiB even where nothing is in it
    if socket.write_all(&head).await.is_err() {
        return;
    }
    let connection = Connection::open(&mount, socket, Wire::EventSource);
    {
        let mut inner = live.lock();
        if inner.session.ended().is_some() {
            return connection.close(EndReason::Closed, &Bytes::new());
        }
        live.attach(&mut inner, &connection.link);
        live.flush(&mut inner);
    }
    drop(live);
    let gone = async {
        let mut ignored = BytesMut::new();
        loop {
            match connection.read(&mut ignored).await {
                Ok(0) => return EndReason::Closed,
                Ok(_) => ignored.clear(),
                Err(_) => return EndReason::Io,
            }
        }
    };
    let reason = tokio::select! {
        reason = connection.stream().serve() => reason,
        reason = gone => reason,
        () = mount.life.closing() => EndReason::Drain,
    };
    connection.close(reason, &Bytes::new());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line() {
        assert_eq!(event(b"[{\"a\":\r\n1}]"), "data: [{\"a\":  1}]\r\n\r\n");
    }
}
