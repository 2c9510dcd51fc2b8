//! `websocket`: text frames, each a JSON array, on a socket taken over from the listener.

use std::sync::{Arc, LazyLock};

use axum::{extract::Request, response::Response};
use bytes::{Bytes, BytesMut};
use http::StatusCode;
use ratatosk_connector::{
    access::Visitor,
    http::{Requester, Taken},
    websocket::{Handshake, Incoming, Messages, Opcode, close, put_frame},
};
use ratatosk_core::{EndReason, Form};

use super::refused;
use crate::{
    proto::{Carrier, inbound::parse},
    server::{
        admit, cookie,
        judged::Judged,
        link::{Connection, Wire},
        mount::Mount,
        process::{Caller, Outcome, admission, process},
    },
};

static FORMS: LazyLock<[Form; 2]> =
    LazyLock::new(|| [Form::register("bayeux.websocket"), Form::register("bayeux.websocket.full")]);

/// The forms of messages as text frames.
pub(crate) fn forms() -> &'static [Form; 2] {
    &FORMS
}

/// A text frame.
pub(crate) fn text_frame(array: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(array.len() + 10);
    put_frame(&mut out, Opcode::Text, array);
    out.into()
}

pub(super) async fn answer(mount: &Arc<Mount>, request: Request) -> Response {
    let handshake = match Handshake::new(request.method(), request.headers(), &["bayeux"]) {
        Ok(handshake) => handshake,
        Err(error) => return refused(StatusCode::BAD_REQUEST, error.to_string()),
    };
    let Some(takeover) = Requester::of(request.extensions()).and_then(Requester::takeover) else {
        return refused(StatusCode::BAD_REQUEST, "WebSocket needs HTTP/1.1");
    };
    let visitor = Visitor::of(request.extensions());
    let answer = handshake.answer();
    let browser = cookie::of(request.headers()).map(Into::into);
    let mount = mount.clone();
    takeover.take(move |taken| serve(mount, taken, answer, browser, visitor)).await
}

async fn serve(mount: Arc<Mount>, taken: Taken, answer: Vec<u8>, browser: Option<Box<str>>, visitor: Visitor) {
    let _counted = taken.permit();
    let Taken { socket, read, .. } = taken;
    if socket.write_all(&answer).await.is_err() {
        return;
    }
    let mut buffer = BytesMut::from(&read[..]);
    drop((answer, read)); // `read` is hyper's buffer: 8 KiB even where nothing is in it
    let connection = Connection::open(&mount, socket, Wire::WebSocket);
    let limit = mount.config.limits.body.as_usize();
    let mut reader = Reader { connection: &connection, messages: Messages::new(limit), browser, visitor };
    let reason = tokio::select! {
        reason = connection.stream().serve() => reason,
        reason = reader.run(&mut buffer) => reason,
        () = mount.life.closing() => EndReason::Drain,
    };
    connection.close(reason, &last_words(reason));
}

fn last_words(reason: EndReason) -> Bytes {
    match reason {
        EndReason::Closed | EndReason::Io => Bytes::new(),
        EndReason::Disconnect => close(1000, "").into(),
        EndReason::Drain => close(1001, "going away").into(),
        EndReason::Limit => close(1009, "too large").into(),
        EndReason::Expired => close(1008, "token expired").into(),
        EndReason::Slow => close(1008, "too slow").into(),
        reason => close(1002, reason.label()).into(),
    }
}

struct Reader<'a> {
    connection: &'a Connection,
    messages: Messages,
    /// The cookie that came with the upgrade. None is given with its answer: a client that shakes hands by HTTP meanwhile, as
    /// Faye's does, would lose the one of its session to it.
    browser: Option<Box<str>>,
    visitor: Visitor,
}

impl Reader<'_> {
    async fn run(&mut self, buffer: &mut BytesMut) -> EndReason {
        loop {
            while !buffer.is_empty() {
                match self.messages.next(buffer) {
                    Ok(Some(incoming)) => {
                        if let Err(reason) = self.take(incoming).await {
                            return reason;
                        }
                    }
                    Ok(None) => break,
                    Err(fault) => {
                        self.connection.stream().finish(&close(fault.code(), "").into());
                        return EndReason::Protocol;
                    }
                }
            }
            if buffer.is_empty() {
                *buffer = BytesMut::new(); // an idle connection holds no buffer
            }
            match self.connection.read(buffer).await {
                Ok(0) => return EndReason::Closed,
                Ok(_) => {}
                Err(_) => return EndReason::Io,
            }
        }
    }

    async fn take(&self, incoming: Incoming) -> Result<(), EndReason> {
        let stream = self.connection.stream();
        match incoming {
            Incoming::Text(text) => self.speak(&text).await,
            Incoming::Binary(_) => Err(EndReason::Protocol),
            Incoming::Ping(payload) => {
                let mut pong = Vec::with_capacity(payload.len() + 2);
                put_frame(&mut pong, Opcode::Pong, &payload);
                stream.send(pong.into());
                Ok(())
            }
            Incoming::Pong(_) => Ok(()),
            Incoming::Close { code } => {
                stream.finish(&close(code.unwrap_or(1000), "").into());
                Err(EndReason::Closed)
            }
        }
    }

    async fn speak(&self, text: &[u8]) -> Result<(), EndReason> {
        let mount = &self.connection.mount;
        let text = std::str::from_utf8(text).map_err(|_| EndReason::Protocol)?;
        let batch = match parse(text, mount.config.limits.batch) {
            Ok(batch) => batch,
            Err(error) => {
                // CometD closes, Faye stays silent: a client that sends no JSON has to be told.
                self.connection.stream().finish(&close(1007, &error.to_string()).into());
                return Err(EndReason::Protocol);
            }
        };
        if batch.is_empty() {
            // Faye's clients up to 1.2 keep the socket alive by this.
            self.connection.stream().send(text_frame(b"[]"));
            return Ok(());
        }
        let judged = admit::judge(mount, &self.visitor, &batch).await;
        let caller = Caller {
            judged: &judged,
            carrier: Carrier::Socket,
            browser: self.browser.as_deref(),
            link: Some(&self.connection.link),
            direct: None,
            rides: false,
            trusted: false,
        };
        let said = Judged::ask(mount, &batch).await;
        let mut outcome = process(mount, &batch, &caller, &said);
        self.reply(&mut outcome);
        admission(mount).await;
        Ok(())
    }

    fn reply(&self, outcome: &mut Outcome) {
        let body = outcome.body();
        if body.len() > 2 {
            self.connection.stream().send(text_frame(&body));
        }
        outcome.flush();
    }
}
