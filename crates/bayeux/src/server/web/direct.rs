//! Serving a polling connection: requests are read from the bare socket, one after the other.

use std::{
    cell::RefCell,
    io,
    pin::{Pin, pin},
    sync::Arc,
    time::Duration,
};

use bytes::{Buf, BytesMut};
use futures_util::FutureExt;
use http::{HeaderMap, HeaderValue, header};
use ratatosk_connector::{
    access::Visitor,
    http::{Permit, Problem, Resume, Taken, plain::Reading, put_header, says_close},
};
use tokio::time::{Instant, Sleep};
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::{
    body,
    head::{self, Post},
    poll::{Refusal, prepare},
};
use crate::server::{direct::Direct, mount::Mount, process::admission};

/// Bytes read at once.
const READ: usize = 8 << 10;
/// How long a connection may be silent between two requests.
const IDLE: Duration = Duration::from_secs(120);
/// How long a request may take to arrive.
const ARRIVAL: Duration = Duration::from_secs(10);
/// The shortest time between two looks at it.
const TICK: Duration = Duration::from_secs(1);
/// How long a reset may take to come from a peer that had closed before our answer.
const RESET: Duration = Duration::from_secs(1);
/// Bytes of further requests that may wait while one is held.
const AHEAD: usize = 64 << 10;

thread_local! {
    /// One read buffer for each thread: an idle connection holds none.
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ].into());
}

/// Serves the connection from its first request on, which hyper has read.
///
/// Thousands of these wait at a time, so whatever is not needed while nothing happens (a request, its exchange, an
/// ending) is in a box that is there only as long as it is.
pub(super) fn serve(
    mount: Arc<Mount>,
    taken: Taken,
    visitor: Visitor,
    headers: HeaderMap,
    body: Vec<u8>,
) -> impl Future<Output = ()> + Send {
    let begun = Box::pin(begin(mount, taken, visitor, headers, body));
    begun.then(|(connection, resume)| connection.run(resume))
}

async fn begin(
    mount: Arc<Mount>,
    taken: Taken,
    visitor: Visitor,
    headers: HeaderMap,
    body: Vec<u8>,
) -> (Connection, Resume) {
    let resume = taken.resume();
    let connection = Connection {
        _counted: taken.permit(),
        direct: Arc::new(Direct::new(taken.socket)),
        buffer: BytesMut::from(&taken.read[..]),
        // One connection too many is let go as soon as it was told so.
        keep: !asks_to_close(&headers) && visitor.limited.is_none(),
        credentials: headers.get(header::AUTHORIZATION).cloned(),
        token: mount.access.cookie(&headers).map(Into::into),
        trusted: mount.origins.is_trusted_page(&headers),
        visitor,
        mount,
    };
    connection.exchange(&headers, &body).await;
    (connection, resume)
}

fn asks_to_close(headers: &HeaderMap) -> bool {
    headers.get(header::CONNECTION).is_some_and(|value| says_close(value.as_bytes()))
}

/// How a connection goes on.
enum Next {
    Request(Post),
    Foreign,
    /// The peer has closed.
    Closed,
    Over {
        reset: bool,
    },
}

struct Connection {
    _counted: Permit,
    direct: Arc<Direct>,
    mount: Arc<Mount>,
    buffer: BytesMut,
    keep: bool,
    /// What the first request was let in with. One with other credentials is judged anew, by the router's layers: a
    /// proxy can send the requests of many users over one connection.
    credentials: Option<HeaderValue>,
    /// The same of the token in a cookie.
    token: Option<Box<str>>,
    /// Whether the page that sent the first request may use that cookie.
    trusted: bool,
    /// What the first request was judged to be.
    visitor: Visitor,
}

/// What a connection waits for besides its socket, made once: a poll costs neither a timer nor a place in a list.
struct Ends<'a> {
    closing: Pin<&'a mut WaitForCancellationFutureOwned>,
    /// Rings when the client may have been silent for too long.
    patience: Pin<&'a mut Sleep>,
    /// When a request, or a part of one, was last read.
    heard: Instant,
    /// Whether part of a request has arrived.
    partial: bool,
    /// Whether the gateway closes.
    is_closing: bool,
}

impl Ends<'_> {
    fn heard(&mut self) {
        self.heard = Instant::now();
        self.partial = false;
    }

    /// Only part of a request is here.
    fn waits_for_more(&mut self) {
        if !self.partial {
            self.partial = true;
            self.heard = Instant::now();
            self.patience.as_mut().reset(self.heard + ARRIVAL);
        }
    }

    /// The timer has rung: whether the time is up. It is left running while requests come and go.
    fn is_over(&mut self, direct: &Direct) -> bool {
        let (now, limit) = (Instant::now(), if self.partial { ARRIVAL } else { IDLE });
        let since = match direct.answered() {
            _ if direct.is_held() => now,
            Some(answered) => self.heard.max(answered),
            None => self.heard,
        };
        let end = since + limit;
        self.patience.as_mut().reset(end.max(now + TICK));
        now >= end
    }
}

impl Connection {
    async fn run(mut self, resume: Resume) {
        let closing = pin!(self.mount.life.closing());
        let patience = pin!(tokio::time::sleep(IDLE));
        let mut ends = Ends { closing, patience, heard: Instant::now(), partial: false, is_closing: false };
        loop {
            match self.next(&mut ends).await {
                Next::Request(post) => {
                    ends.heard();
                    self.buffer.advance(post.start);
                    let body = self.buffer.split_to(post.length);
                    if self.buffer.is_empty() {
                        self.buffer = BytesMut::new(); // an idle connection holds no buffer
                    }
                    self.keep = post.keep;
                    Box::pin(self.exchange(&post.headers, &body)).await;
                }
                Next::Foreign => return Box::pin(self.give_back(resume)).await,
                Next::Closed => return Box::pin(self.hang_up()).await,
                Next::Over { reset } => return self.direct.close(reset),
            }
        }
    }

    /// Who closed before our last answer came says so by a reset, which may still be on its way.
    async fn hang_up(self) {
        if self.direct.hangs_up() {
            let _ = tokio::time::timeout(RESET, self.direct.socket().failed()).await;
        }
        self.direct.close(false);
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

    async fn next(&mut self, ends: &mut Ends<'_>) -> Next {
        loop {
            if !self.direct.flush() {
                return Next::Over { reset: true };
            }
            // Once the held request is answered there is only something to do if more has arrived, or nothing shall.
            let busy = !self.keep || !self.buffer.is_empty() || ends.is_closing;
            let held = self.direct.wait_for_answer(busy);
            if !held && !self.direct.has_pending() {
                if ends.is_closing {
                    return Next::Over { reset: false };
                }
                if !self.keep {
                    self.direct.socket().finish();
                } else if let Some(next) = self.parse() {
                    return next;
                } else if !self.buffer.is_empty() {
                    ends.waits_for_more();
                }
            }
            let direct = self.direct.clone();
            tokio::select! {
                readable = direct.socket().readable(), if !held || self.buffer.len() < AHEAD => {
                    match readable.and_then(|()| read(&direct, &mut self.buffer)) {
                        Ok(0) => return Next::Closed,
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
                () = &mut ends.patience => {
                    if ends.is_over(&direct) {
                        return Next::Over { reset: false };
                    }
                }
                () = &mut ends.closing, if !ends.is_closing => ends.is_closing = true,
            }
        }
    }

    fn parse(&self) -> Option<Next> {
        if self.buffer.is_empty() {
            return None;
        }
        let limit = self.mount.config.limits.body.as_usize();
        match head::read(&self.buffer, limit, self.token.is_some(), |path| self.mount.is_mounted(path)) {
            Reading::Partial => None,
            Reading::Odd => Some(Next::Foreign),
            Reading::Plain(post) if !self.is_same_visitor(&post.headers) => Some(Next::Foreign),
            Reading::Plain(post) if self.buffer.len() < post.start + post.length => None,
            Reading::Plain(post) => Some(Next::Request(post)),
        }
    }

    /// Whether a request shows what the first one has shown.
    fn is_same_visitor(&self, headers: &HeaderMap) -> bool {
        headers.get(header::AUTHORIZATION) == self.credentials.as_ref()
            && self.mount.access.cookie(headers) == self.token.as_deref()
            // A browser sends the requests of all pages over one connection, and the cookie with each: it counts for some of them.
            && (self.token.is_none() || self.mount.origins.is_trusted_page(headers) == self.trusted)
    }

    /// Processes one request, and answers it unless it is held.
    async fn exchange(&self, headers: &HeaderMap, body: &[u8]) {
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
        match prepare(mount, &self.visitor, headers, &texts, true, Some(direct)).await {
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
            put_header(&mut lines, name.as_str(), value.as_bytes());
        }
        if !self.keep {
            lines.extend_from_slice(b"Connection: close\r\n");
        }
        lines
    }
}

fn read(direct: &Direct, buffer: &mut BytesMut) -> io::Result<usize> {
    SCRATCH.with_borrow_mut(|scratch| {
        let read = direct.socket().try_read(scratch)?;
        buffer.extend_from_slice(scratch.get(..read).unwrap_or_default());
        Ok(read)
    })
}
