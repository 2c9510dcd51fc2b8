//! One attempt: open the stream, read it to its end, send what waits meanwhile.

use super::SseClient;
use super::answer::{self, MAX_PAUSE};
use super::courier::Courier;
use super::inbound::{self, Read};
use super::place::Wanted;
use super::publish::Sent;
use crate::proto::parser::{Event, Parser};
use futures_util::future::join_all;
use http::HeaderValue;
use ratatosk_connector::upstream::{Ended, Port, Taken, WantedFilters, hops};
use ratatosk_core::stats::DropReason;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// An open stream.
struct Stream {
    response: reqwest::Response,
    parser: Parser,
    /// When something came last, or the answer did.
    heard: Instant,
    /// The gateway at the far end, if it is one.
    passed: Vec<Arc<str>>,
}

/// What happens next within an attempt.
enum Step {
    Chunk(Result<Option<bytes::Bytes>, Ended>),
    Wanted,
    Ready,
    Sent(Sent),
    Leave,
}

/// What the supervisor may ask for at any time.
struct Orders {
    leave: Pin<Box<dyn Future<Output = ()> + Send>>,
    filters: WantedFilters,
}

pub(super) async fn run(client: &mut SseClient, port: &mut Port) -> Ended {
    let mut orders = Orders { leave: Box::pin(port.leave()), filters: port.wanted() };
    let mut courier = Courier::default();
    let mut told = false;
    loop {
        let wanted = orders.filters.now();
        client.place.narrow(&wanted);
        client.facts.change(|facts| facts.last_event_id = client.place.id().clone());
        let mut stream = match open_unless_told_to_leave(client, &mut orders, &wanted).await {
            Ok(stream) => stream,
            Err(ended) => return ended,
        };
        if !std::mem::replace(&mut told, true) {
            port.up();
        }
        for filter in wanted.keys() {
            port.subscribed(filter);
        }
        if let Some(ended) = serve(client, port, &mut orders, &mut stream, wanted, &mut courier).await {
            return ended;
        }
    }
}

async fn open_unless_told_to_leave(
    client: &mut SseClient,
    orders: &mut Orders,
    wanted: &Wanted,
) -> Result<Option<Stream>, Ended> {
    if wanted.is_empty() {
        return Ok(None);
    }
    tokio::select! {
        () = &mut orders.leave => Err(Ended::asked()),
        stream = open(client, wanted) => stream.map(Some),
    }
}

async fn open(client: &mut SseClient, wanted: &Wanted) -> Result<Stream, Ended> {
    let settings = &client.settings;
    let mut url = settings.url.clone();
    if settings.adds_filters {
        let resumes = !client.place.id().is_empty();
        let key = |filter| if resumes && !client.place.is_of(filter) { "new_channel" } else { "channel" };
        url.query_pairs_mut().extend_pairs(wanted.keys().map(|filter| (key(filter), filter.as_str())));
    }
    let mut request = client.http.request(settings.method.clone(), url).headers(settings.headers.clone());
    if let Some(body) = &settings.body {
        request = request.body(body.clone());
    }
    if !client.place.id().is_empty() {
        // UTF-8 as it is, which header values allow.
        if let Ok(value) = HeaderValue::from_bytes(client.place.id().as_bytes()) {
            request = request.header("last-event-id", value);
        }
    }
    let limit = settings.connect_timeout;
    let answer = tokio::time::timeout(limit, request.send()).await;
    let answer = answer.map_err(|_| Ended::lost(format_args!("no answer within {limit:?}")))?;
    let response = answer.map_err(|error| answer::failure(&error))?;
    answer::judge(response.status(), response.headers())?;
    note(client, &response);
    let passed = response.headers().get(hops::NAME).and_then(|value| value.to_str().ok()).map(hops::parse);
    let parser = Parser::new(client.settings.limits, client.place.id());
    Ok(Stream { response, parser, heard: Instant::now(), passed: passed.unwrap_or_default() })
}

fn note(client: &SseClient, response: &reqwest::Response) {
    let text = |name| {
        response.headers().get(name).map(|value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    let version = if response.version() == http::Version::HTTP_2 { "HTTP/2.0" } else { "HTTP/1.1" };
    let (host, server) = (response.url().host_str().map(str::to_owned), text(http::header::SERVER));
    tracing::info!(version, host, server, resumes = !client.place.id().is_empty(), "event stream is open");
    client.facts.change(|facts| {
        facts.http_version = Some(version);
        facts.server = server;
        facts.host = host;
    });
}

/// Serves the stream until something ends the attempt, or (`None`) other subscriptions are wanted of the server.
async fn serve(
    client: &mut SseClient,
    port: &mut Port,
    orders: &mut Orders,
    stream: &mut Option<Stream>,
    mut held: Wanted,
    courier: &mut Courier,
) -> Option<Ended> {
    loop {
        match next(port, orders, stream, courier, client.settings.idle_timeout).await {
            Step::Leave => {
                courier.settle(client, port).await;
                return Some(Ended::asked());
            }
            Step::Wanted => {
                let now = orders.filters.now();
                held.keys().filter(|filter| !now.contains_key(*filter)).for_each(|filter| port.unsubscribed(filter));
                if now != held && (client.settings.adds_filters || now.is_empty() != held.is_empty()) {
                    return None;
                }
                // A stream that brings everything needs not be asked.
                now.keys().for_each(|filter| port.subscribed(filter));
                held = now;
            }
            Step::Ready => courier.send(client, port),
            Step::Sent(sent) => {
                if let Some(ended) = courier.returned(client, port, sent, stream.is_some()) {
                    return Some(ended);
                }
            }
            Step::Chunk(Ok(Some(chunk))) => {
                let stream = stream.as_mut()?;
                if let Err(ended) = take(client, port, stream, &held, &chunk).await {
                    return Some(ended);
                }
            }
            Step::Chunk(Ok(None)) => {
                return Some(Ended::lost("the server ended the stream").after(pause(client.retry)));
            }
            Step::Chunk(Err(ended)) => return Some(ended.after(pause(client.retry))),
        }
    }
}

async fn next(
    port: &Port,
    orders: &mut Orders,
    stream: &mut Option<Stream>,
    courier: &mut Courier,
    idle: Duration,
) -> Step {
    tokio::select! {
        biased;
        () = &mut orders.leave => Step::Leave,
        sent = courier.turn(port) => sent.map_or(Step::Ready, Step::Sent),
        () = orders.filters.changed() => Step::Wanted,
        chunk = chunk(stream, idle) => Step::Chunk(chunk),
    }
}

async fn chunk(stream: &mut Option<Stream>, idle: Duration) -> Result<Option<bytes::Bytes>, Ended> {
    let Some(stream) = stream else { return std::future::pending().await };
    // What else happens meanwhile begins no new wait.
    match tokio::time::timeout_at(stream.heard + idle, stream.response.chunk()).await {
        Ok(Ok(chunk)) => {
            stream.heard = Instant::now();
            Ok(chunk)
        }
        Ok(Err(error)) => Err(Ended::lost(format_args!("the stream broke: {}", answer::chain(&error)))),
        Err(_) => Err(Ended::lost(format_args!("the stream was silent for {idle:?}"))),
    }
}

/// Hands the events of a piece to the bus. The place in the stream moves on only when the bus has them for good.
async fn take(
    client: &mut SseClient,
    port: &Port,
    stream: &mut Stream,
    held: &Wanted,
    chunk: &[u8],
) -> Result<(), Ended> {
    let mut events: Vec<Event> = Vec::new();
    let result = stream.parser.feed(chunk, &mut |event| events.push(event));
    client.retry = stream.parser.retry().or(client.retry);
    let count = u64::try_from(events.len()).unwrap_or(u64::MAX);
    let mut pending = Vec::new();
    for event in events {
        match inbound::read(&client.settings, event, &stream.passed) {
            Read::Message(message) => {
                // Asked for each: one chunk can hold more events than a rule's programs take.
                port.admission().await;
                if let Taken::Pending(end) = port.deliver(*message) {
                    pending.push(end);
                }
            }
            Read::Notice(true) => {
                tracing::warn!(upstream = %port.upstream(), "the far gateway says that messages are missing")
            }
            Read::Notice(false) => {}
            Read::Unusable => port.lost(DropReason::Unmappable),
        }
    }
    join_all(pending).await;
    let id = stream.parser.last_event_id();
    if count > 0 || id != client.place.id() {
        client.place.moved(id, held);
    }
    let (id, retry) = (id.clone(), client.retry);
    client.facts.change(|facts| {
        facts.last_event_id = id;
        facts.retry = retry;
        facts.events += count;
    });
    result.map_err(Ended::lost)
}

/// The reconnection time that the server asked for, within reason, and up to a quarter more so that its clients spread.
fn pause(retry: Option<Duration>) -> Duration {
    let retry = retry.unwrap_or_default().min(MAX_PAUSE);
    retry + retry.mul_f64(fastrand::f64() / 4.0)
}
