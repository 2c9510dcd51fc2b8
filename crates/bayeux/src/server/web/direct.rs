//! Serving a polling connection: requests are read from the bare socket, one after the other.

use std::{io, sync::Arc, time::Duration};

use bytes::{Buf, BytesMut};
use http::{HeaderMap, HeaderValue, header};
use ratatosk_connector::http::{Problem, Resume, Taken};

use super::{
    body,
    head::{self, Head, Post},
    poll::{Refusal, prepare},
};
use crate::server::{direct::Direct, mount::Mount, process::admission};

/// Bytes read at once.
const READ: usize = 8 << 10;
/// How long a connection may be silent between two requests.
const IDLE: Duration = Duration::from_secs(120);
/// How long a request may take to arrive.
const ARRIVAL: Duration = Duration::from_secs(10);
/// Bytes of further requests that may wait while one is held.
const AHEAD: usize = 64 << 10;

/// Serves the connection from its first request on, which hyper has read.
pub(super) async fn serve(mount: Arc<Mount>, taken: Taken, headers: HeaderMap, body: Vec<u8>) {
    let (_counted, resume) = (taken.permit(), taken.resume());
    let connection = Connection {
        direct: Arc::new(Direct::new(taken.socket)),
        mount,
        buffer: BytesMut::from(&taken.read[..]),
        keep: !asks_to_close(&headers),
        credentials: headers.get(header::AUTHORIZATION).cloned(),
    };
    connection.exchange(&headers, body).await;
    drop((headers, taken.read));
    connection.run(resume).await;
}

fn asks_to_close(headers: &HeaderMap) -> bool {
    headers.get(header::CONNECTION).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"close"))
}

/// How a connection goes on.
enum Next {
    Request(Post),
    Foreign,
    Over { reset: bool },
}

struct Connection {
    direct: Arc<Direct>,
    mount: Arc<Mount>,
    buffer: BytesMut,
    keep: bool,
    /// What the first request was let in with. One with other credentials is judged anew, by the router's layers: a
    /// proxy can send the requests of many users over one connection.
    credentials: Option<HeaderValue>,
}

impl Connection {
    async fn run(mut self, resume: Resume) {
        loop {
            match self.next().await {
                Next::Request(post) => {
                    self.buffer.advance(post.start);
                    let body = self.buffer.split_to(post.length).to_vec();
                    if self.buffer.is_empty() {
                        self.buffer = BytesMut::new(); // an idle connection holds no buffer
                    }
                    self.keep = post.keep;
                    self.exchange(&post.headers, body).await;
                }
                Next::Foreign => return self.give_back(resume).await,
                Next::Over { reset } => return self.direct.close(reset),
            }
        }
    }

    async fn give_back(self, resume: Resume) {
        let mut direct = self.direct;
        // The lane that wrote the last answer lets go of the connection in a moment.
        loop {
            match Arc::try_unwrap(direct) {
                Ok(last) => return resume.give_back(last.into_socket(), self.buffer.freeze()),
                Err(shared) => direct = shared,
            }
            tokio::task::yield_now().await;
        }
    }

    async fn next(&mut self) -> Next {
        let mut closing = std::pin::pin!(self.mount.life.closing());
        loop {
            if !self.direct.flush() {
                return Next::Over { reset: true };
            }
            if !self.direct.wait_for_answer() && !self.direct.has_pending() {
                if !self.keep {
                    self.direct.socket().finish();
                } else if let Some(next) = self.parse() {
                    return next;
                }
            }
            let (held, limit) = (self.direct.is_held(), if self.buffer.is_empty() { IDLE } else { ARRIVAL });
            let direct = self.direct.clone();
            tokio::select! {
                readable = direct.socket().readable(), if !held || self.buffer.len() < AHEAD => {
                    match readable.and_then(|()| read(&direct, &mut self.buffer)) {
                        Ok(0) => return Next::Over { reset: false },
                        Ok(_) => {}
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        Err(_) => return Next::Over { reset: true },
                    }
                }
                writable = direct.socket().writable(), if direct.has_pending() => {
                    if writable.is_err() {
                        return Next::Over { reset: true };
                    }
                }
                () = direct.woken() => {}
                () = tokio::time::sleep(limit), if !held => {
                    if !direct.is_held() {
                        return Next::Over { reset: false };
                    }
                }
                () = &mut closing, if !held => return Next::Over { reset: false },
            }
        }
    }

    fn parse(&self) -> Option<Next> {
        if self.buffer.is_empty() {
            return None;
        }
        let limit = self.mount.config.limits.body.as_usize();
        match head::read(&self.buffer, limit, |path| self.mount.is_mounted(path)) {
            Head::Partial => None,
            Head::Foreign => Some(Next::Foreign),
            Head::Post(post) if post.headers.get(header::AUTHORIZATION) != self.credentials.as_ref() => {
                Some(Next::Foreign)
            }
            Head::Post(post) if self.buffer.len() < post.start + post.length => None,
            Head::Post(post) => Some(Next::Request(post)),
        }
    }

    /// Processes one request, and answers it unless it is held.
    async fn exchange(&self, headers: &HeaderMap, body: Vec<u8>) {
        let (mount, direct) = (&self.mount, &self.direct);
        direct.begin(self.lines(headers));
        if !mount.origins.allows(headers) {
            let problem =
                Refusal::Status(http::StatusCode::FORBIDDEN, "this page's origin is not in http.cors_origins".into());
            return self.refuse(&problem.into());
        }
        let texts = match body::texts(headers, body) {
            Ok(texts) => texts,
            Err(error) => return self.refuse(&Refusal::Status(error.status(), error.to_string()).into()),
        };
        match prepare(mount, headers, &texts, true, Some(direct)).await {
            Ok(mut outcome) => {
                admission(mount).await;
                if !outcome.parked {
                    let body = outcome.body();
                    let cookie = outcome.cookie.take();
                    direct.answer(&[&body], cookie.as_deref(), outcome.into_carried());
                }
            }
            Err(refusal) => self.refuse(&refusal.into()),
        }
    }

    fn refuse(&self, problem: &Problem) {
        let status = problem.status;
        let line = format!("{} {}", status.as_u16(), status.canonical_reason().unwrap_or("Error"));
        self.direct.refuse(&line, "application/problem+json", problem.to_json().as_bytes());
    }

    fn lines(&self, headers: &HeaderMap) -> Vec<u8> {
        let mut lines = Vec::new();
        for (name, value) in self.mount.origins.answer(headers) {
            lines.extend_from_slice(name.as_str().as_bytes());
            lines.extend_from_slice(b": ");
            lines.extend_from_slice(value.as_bytes());
            lines.extend_from_slice(b"\r\n");
        }
        if !self.keep {
            lines.extend_from_slice(b"Connection: close\r\n");
        }
        lines
    }
}

/// The buffer between the socket and `buffer` lives on the stack and not in the task.
fn read(direct: &Direct, buffer: &mut BytesMut) -> io::Result<usize> {
    let mut chunk = [0; READ];
    let read = direct.socket().try_read(&mut chunk)?;
    buffer.extend_from_slice(chunk.get(..read).unwrap_or_default());
    Ok(read)
}
