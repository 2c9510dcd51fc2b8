//! The client side against a scripted server, through a real bridge and bus.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod support;

use ratatosk_connector::backoff::BackoffConfig;
use ratatosk_connector::config_types::{ClientTlsConfig, Secret};
use ratatosk_connector::rules::{Direction, Rule, RuleSet};
use ratatosk_connector::upstream::{Bridge, BridgeHandle, BridgeSpec, Mode, State};
use ratatosk_core::{
    Bus, Channel, Connector, Filter, Message, Origin, OutboxLimits, Publication, QueuePeer, Session, SessionConfig,
    SubscribeOptions,
};
use ratatosk_sse::client::{FactsCell, SseClient};
use ratatosk_sse::config::{SseMethod, SsePublishConfig, SsePublishPreset, SseUpstreamConfig, SseUpstreamFormat};
use std::sync::Arc;
use std::time::Duration;
use support::{Server, within};

struct Bench {
    bus: Bus,
    handle: BridgeHandle,
    facts: Arc<FactsCell>,
    peer: Arc<QueuePeer>,
    _session: Session,
}

type Pairs<'a> = &'a [(&'a str, &'a str)];

fn rules(direction: Direction, list: Pairs<'_>) -> RuleSet {
    RuleSet::new(list.iter().map(|(from, to)| Rule::new("r", direction, from, to).unwrap()))
}

impl Bench {
    fn new(url: &str, config: SseUpstreamConfig) -> Self {
        Self::with(url, config, &[("#", "far/#")], &[("out/#", "#")], Mode::Always)
    }

    fn with(url: &str, mut config: SseUpstreamConfig, inbound: Pairs<'_>, outbound: Pairs<'_>, mode: Mode) -> Self {
        config.proxy.get_or_insert("off".into());
        let bus = Bus::in_memory();
        let peer = QueuePeer::new(OutboxLimits::default());
        let session = bus.open_session(SessionConfig::client("c", Connector::register("test")), peer.clone());
        if mode == Mode::Always {
            session.subscribe(Filter::new("far/#").unwrap(), SubscribeOptions::default());
        }
        let quick = BackoffConfig {
            base: Duration::from_millis(15),
            cap: Duration::from_millis(15),
            stable: Duration::from_secs(60),
        };
        let spec = BridgeSpec {
            inbound: rules(Direction::In, inbound),
            outbound: rules(Direction::Out, outbound),
            mode,
            backoff: quick,
            ..BridgeSpec::new("far", Connector::register("sse"))
        };
        let client = SseClient::new(&url.parse().unwrap(), &config).unwrap();
        let facts = client.facts();
        let (handle, _task) = Bridge::spawn(&bus, spec, client);
        Self { bus, handle, facts, peer, _session: session }
    }

    /// Waits for that many messages.
    async fn messages(&self, count: usize) -> Vec<Arc<Message>> {
        let mut all = Vec::new();
        while all.len() < count {
            let more = within(self.peer.recv_many(count - all.len())).await.unwrap();
            all.extend(more.into_iter().map(|waiting| waiting.message));
        }
        all
    }

    async fn texts(&self, count: usize) -> Vec<String> {
        let text = |message: Arc<Message>| {
            format!("{}={}", message.channel.as_str(), String::from_utf8_lossy(&message.payload))
        };
        self.messages(count).await.into_iter().map(text).collect()
    }

    async fn state(&self, state: State) -> String {
        assert!(within(self.handle.reached(state)).await);
        self.handle.status().reason.to_string()
    }

    fn publish(&self, publication: Publication) {
        self.bus.publish(publication).unwrap();
    }

    /// Waits until nothing is left to send.
    async fn sent(&self) {
        within(async {
            while self.handle.queue_depth().messages > 0 {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

fn message(channel: &str, payload: &'static [u8]) -> Publication {
    Publication::new(Channel::new(channel).unwrap(), payload, Origin::gateway())
}

fn publishing(publish: SsePublishConfig) -> SseUpstreamConfig {
    SseUpstreamConfig { publish: Some(publish), ..SseUpstreamConfig::default() }
}

#[tokio::test]
async fn events_become_messages_and_a_reconnection_resumes() {
    let mut server = Server::start().await;
    let bench = Bench::new(&server.url("/s?x=1"), SseUpstreamConfig::default());
    let mut one = server.next().await;
    assert_eq!(one.request_line(), "GET /s?x=1 HTTP/1.1");
    assert_eq!((one.header("accept"), one.header("cache-control")), (Some("text/event-stream"), Some("no-store")));
    assert_eq!(one.header("last-event-id"), None);
    one.stream("retry: 20\n\nid: é1\nevent: tick\ndata: a\ndata: b\n\ndata: two\n\nid: 3\n\nid: 4\ndata: unfinished\n")
        .await;
    let messages = bench.messages(2).await;
    assert_eq!((messages[0].channel.as_str(), &messages[0].payload[..]), ("far/tick", &b"a\nb"[..]));
    assert_eq!((messages[0].event(), messages[0].properties()), (Some("tick"), &[("sse-id".into(), "é1".into())][..]));
    assert_eq!((messages[1].channel.as_str(), messages[1].event()), ("far/message", None));
    drop(one);
    let mut two = server.next().await;
    assert_eq!(two.header("last-event-id"), Some("3"));
    two.stream("data: again\n\n").await;
    assert_eq!(bench.texts(1).await, ["far/message=again"]);
    let facts = bench.facts.get();
    assert_eq!((&*facts.last_event_id, facts.retry, facts.events), ("3", Some(Duration::from_millis(20)), 3));
    assert_eq!((facts.http_version, facts.host.as_deref()), (Some("HTTP/1.1"), Some("127.0.0.1")));
}

#[tokio::test]
async fn a_cr_that_ends_an_event_delivers_it_at_once() {
    let mut server = Server::start().await;
    let bench = Bench::new(&server.url("/"), SseUpstreamConfig::default());
    let mut one = server.next().await;
    one.stream("data: now\r\r").await;
    assert_eq!(bench.texts(1).await, ["far/message=now"]);
}

#[tokio::test]
async fn what_is_for_good_stops_and_is_not_tried_again() {
    for (status, headers) in [
        ("204 No Content", ""),
        ("404 Not Found", "content-type: text/event-stream\r\n"),
        ("401 Unauthorized", ""),
        ("200 OK", "content-type: text/html\r\n"),
        ("200 OK", ""),
    ] {
        let mut server = Server::start().await;
        let bench = Bench::new(&server.url("/"), SseUpstreamConfig::default());
        server.next().await.answer(status, headers).await;
        let reason = bench.state(State::Refused).await;
        assert!(!reason.is_empty() && !server.is_asked(), "{status}");
        bench.handle.resume();
        server.next().await.stream("data: x\n\n").await;
        assert_eq!(bench.texts(1).await, ["far/message=x"], "an operator can start it again");
    }
}

#[tokio::test]
async fn what_may_pass_is_tried_again() {
    let mut server = Server::start().await;
    let bench = Bench::new(&server.url("/"), SseUpstreamConfig::default());
    for status in ["503 Service Unavailable", "429 Too Many Requests", "500 Internal Server Error", "502 Bad Gateway"] {
        server.next().await.answer(status, "").await;
    }
    drop(server.next().await); // closed without an answer
    let mut rubbish = server.next().await;
    rubbish.write("SMTP ready\r\n\r\n").await;
    drop(rubbish);
    let mut good = server.next().await;
    good.stream("data: x\n\n").await;
    assert_eq!(bench.texts(1).await, ["far/message=x"]);
    assert_eq!(bench.handle.status().state.label(), "up");
}

#[tokio::test]
async fn a_server_that_stalls_is_left() {
    let mut server = Server::start().await;
    let config = SseUpstreamConfig {
        connect_timeout: Duration::from_millis(200).into(),
        idle_timeout: Duration::from_millis(200).into(),
        ..SseUpstreamConfig::default()
    };
    let bench = Bench::new(&server.url("/"), config);
    let _stalls_before_the_answer = server.next().await;
    let mut stalls_after_it = server.next().await;
    stalls_after_it.stream("id: 1\ndata: x\n\n").await;
    let back = server.next().await;
    assert_eq!(back.header("last-event-id"), Some("1"));
    assert_eq!(bench.texts(1).await, ["far/message=x"]);
}

#[tokio::test]
async fn redirects_are_followed_but_not_in_circles() {
    let mut server = Server::start().await;
    let bench = Bench::new(&server.url("/a"), SseUpstreamConfig::default());
    server.next().await.answer("307 Temporary Redirect", "location: /b\r\n").await;
    let mut there = server.next().await;
    assert_eq!(there.request_line(), "GET /b HTTP/1.1");
    there.stream("data: x\n\n").await;
    assert_eq!(bench.texts(1).await, ["far/message=x"]);
    drop(there);
    for _ in 0..=10 {
        server.next().await.answer("302 Found", "location: /a\r\n").await;
    }
    assert!(bench.state(State::Refused).await.contains("too many redirects"));
}

#[tokio::test]
async fn secret_headers_do_not_follow_to_another_origin() {
    let (mut server, mut other) = (Server::start().await, Server::start().await);
    let headers = [("x-api-key".to_owned(), Secret::new("s3cret"))].into();
    let bench = Bench::new(&server.url("/"), SseUpstreamConfig { headers, ..SseUpstreamConfig::default() });
    let one = server.next().await;
    assert_eq!(one.header("x-api-key"), Some("s3cret"));
    one.answer("302 Found", &format!("location: {}\r\n", other.url("/"))).await;
    let reason = bench.state(State::Refused).await;
    assert!(reason.contains("another origin") && !reason.contains("s3cret"), "{reason}");
    assert!(!other.is_asked());
}

#[tokio::test]
async fn a_token_a_body_and_a_starting_id_are_sent() {
    let mut server = Server::start().await;
    let config = SseUpstreamConfig {
        method: SseMethod::Post,
        body: Some("{\"query\":1}".to_owned()),
        token: Some(Secret::new("t0ken")),
        headers: [("Content-Type".to_owned(), Secret::new("application/json"))].into(),
        last_event_id: Some("from-here".to_owned()),
        ..SseUpstreamConfig::default()
    };
    let bench = Bench::new(&server.url("/q"), config);
    let mut one = server.next().await;
    assert_eq!((one.request_line(), &one.body[..]), ("POST /q HTTP/1.1", &b"{\"query\":1}"[..]));
    assert_eq!(one.header("authorization"), Some("Bearer t0ken"));
    assert_eq!(one.header("content-type"), Some("application/json"));
    assert_eq!(one.header("last-event-id"), Some("from-here"));
    one.stream("data: x\n\n").await;
    assert_eq!(bench.texts(1).await, ["far/message=x"]);
    drop(one);
    assert_eq!(server.next().await.header("last-event-id"), Some("from-here"), "a stream without ids keeps its place");
}

#[tokio::test]
async fn a_compressed_stream_is_read() {
    // gzip of "id: 1\ndata: squeezed\n\n"
    const SQUEEZED: &[u8] = &[
        0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x03, 0xcb, 0x4c, 0xb1, 0x52, 0x30, 0xe4, 0x4a, 0x49,
        0x2c, 0x49, 0xb4, 0x52, 0x28, 0x2e, 0x2c, 0x4d, 0x4d, 0xad, 0x4a, 0x4d, 0xe1, 0xe2, 0x02, 0x00, 0x7b, 0xa9,
        0x3d, 0x2b, 0x16, 0x00, 0x00, 0x00,
    ];
    let mut server = Server::start().await;
    let bench = Bench::new(&server.url("/"), SseUpstreamConfig::default());
    let mut one = server.next().await;
    assert!(one.header("accept-encoding").unwrap().contains("gzip"));
    let head =
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-encoding: gzip\r\nconnection: close\r\n\r\n";
    one.write([head.as_bytes(), SQUEEZED].concat()).await;
    assert_eq!(bench.texts(1).await, ["far/message=squeezed"]);
}

#[tokio::test]
async fn endless_lines_and_events_end_the_connection() {
    let mut server = Server::start().await;
    let config = SseUpstreamConfig { max_event: "1 KiB".parse().unwrap(), ..SseUpstreamConfig::default() };
    let bench = Bench::new(&server.url("/"), config);
    let mut line = server.next().await;
    line.stream(&format!("data: {}", "x".repeat(2000))).await;
    assert!(bench.state(State::Down).await.contains("longer than 1024 bytes"));
    let mut event = server.next().await;
    event.stream(&"data: xxxxxxxxxxxxxxx\n".repeat(100)).await;
    let mut good = server.next().await;
    good.stream("data: fine\n\n").await;
    assert_eq!(bench.texts(1).await, ["far/message=fine"]);
}

#[tokio::test]
async fn a_proxy_is_asked_for_the_whole_url() {
    let mut proxy = Server::start().await;
    let config = SseUpstreamConfig { proxy: Some(proxy.url("").into()), ..SseUpstreamConfig::default() };
    let bench = Bench::new("sse+http://far.invalid/stream", config);
    let mut one = proxy.next().await;
    assert_eq!(one.request_line(), "GET http://far.invalid/stream HTTP/1.1");
    one.stream("data: x\n\n").await;
    assert_eq!(bench.texts(1).await, ["far/message=x"]);
}

#[tokio::test]
async fn nothing_is_asked_for_until_somebody_here_wants_it() {
    let mut server = Server::start().await;
    let mode = Mode::OnDemand { linger: Duration::ZERO };
    let config = SseUpstreamConfig { format: SseUpstreamFormat::Envelope, ..SseUpstreamConfig::default() };
    let bench = Bench::with(&server.url("/sse"), config, &[("a/#", "far/#")], &[], mode);
    bench.state(State::Up).await;
    assert!(!server.is_asked());
    bench._session.subscribe(Filter::new("far/x").unwrap(), SubscribeOptions::default());
    let mut one = server.next().await;
    assert_eq!(one.request_line(), "GET /sse?channel=a%2Fx HTTP/1.1");
    one.stream("id: 7\ndata: {\"channel\":\"a/x\",\"data\":\"hi\"}\n\n").await;
    assert_eq!(bench.texts(1).await, ["far/x=hi"]);
    bench._session.subscribe(Filter::new("far/y/+").unwrap(), SubscribeOptions::default());
    let mut two = server.next().await;
    assert_eq!(two.request_line(), "GET /sse?channel=a%2Fx&new_channel=a%2Fy%2F%2B HTTP/1.1");
    assert_eq!(two.header("last-event-id"), Some("7"));
    two.stream("id: 8\ndata: {\"channel\":\"a/y/1\",\"data\":\"hi\"}\n\n").await;
    assert_eq!(bench.texts(1).await, ["far/y/1=hi"]);
    drop(two);
    let mut three = server.next().await;
    assert_eq!(three.request_line(), "GET /sse?channel=a%2Fx&channel=a%2Fy%2F%2B HTTP/1.1");
    assert_eq!(three.header("last-event-id"), Some("8"));
    three.stream("").await;
    // Who comes when nobody was there begins anew.
    bench._session.unsubscribe(&Filter::new("far/x").unwrap());
    bench._session.unsubscribe(&Filter::new("far/y/+").unwrap());
    let mut rest = Vec::new();
    let _ = within(tokio::io::AsyncReadExt::read_to_end(&mut three.wire, &mut rest)).await; // it ends, however it does
    bench._session.subscribe(Filter::new("far/x").unwrap(), SubscribeOptions::default());
    let mut four = server.next().await;
    if four.request_line().contains("a%2Fy") {
        // Between the two.
        four = server.next().await;
    }
    assert_eq!((four.request_line(), four.header("last-event-id")), ("GET /sse?channel=a%2Fx HTTP/1.1", None));
}

#[tokio::test]
async fn an_envelope_that_passed_this_gateway_is_cut() {
    let mut server = Server::start().await;
    let config = SseUpstreamConfig { format: SseUpstreamFormat::Envelope, ..SseUpstreamConfig::default() };
    let bench = Bench::new(&server.url("/sse"), config);
    let mut one = server.next().await;
    let ours = bench.bus.gateway_id().to_string();
    one.stream(&format!(
        "data: {{\"channel\":\"a\",\"data\":\"loop\",\"hops\":[\"{ours}\"]}}\n\ndata: {{\"channel\":\"a\",\"data\":\"/wAN\",\"encoding\":\"base64\"}}\n\n"
    ))
    .await;
    assert_eq!(bench.messages(1).await[0].payload, &b"\xff\x00\x0d"[..]);
}

#[tokio::test]
async fn messages_go_out_as_the_template_says() {
    let mut server = Server::start().await;
    let publish = SsePublishConfig {
        url: Some(server.url("/in/{channel}?e={event}").into()),
        body: Some("{\"c\": {channel_json}, \"p\": {payload_json}}".to_owned()),
        token: Some(Secret::new("w")),
        headers: [("x-k".to_owned(), Secret::new("v"))].into(),
        ..SsePublishConfig::default()
    };
    let bench = Bench::with(&server.url("/"), publishing(publish), &[], &[("out/#", "#")], Mode::Always);
    bench.publish(message("out/a b/c", b"te\"xt").with_event("e&v"));
    let one = server.next().await;
    assert_eq!(one.request_line(), "POST /in/a%20b%2Fc?e=e%26v HTTP/1.1");
    assert_eq!(one.body, br#"{"c": "a b/c", "p": "te\"xt"}"#);
    assert_eq!(
        (one.header("content-type"), one.header("authorization"), one.header("x-k")),
        (Some("application/json"), Some("Bearer w"), Some("v"))
    );
    one.answer("202 Accepted", "").await;
    bench.publish(message("out/b", b"\xff"));
    let two = server.next().await;
    assert_eq!(two.body, br#"{"c": "b", "p": {"$b64":"/w=="}}"#);
    two.answer("200 OK", "").await;
    bench.sent().await;
    assert_eq!(bench.facts.get().published, 2);
}

#[tokio::test]
async fn order_and_messages_survive_a_server_that_is_busy_and_refused_ones_are_dropped() {
    let mut server = Server::start().await;
    let publish = SsePublishConfig { url: Some(server.url("/in").into()), ..SsePublishConfig::default() };
    let bench = Bench::with(&server.url("/"), publishing(publish), &[], &[("out/#", "#")], Mode::Always);
    for payload in [&b"1"[..], b"2", b"3", b"4"] {
        bench.publish(message("out/a", payload));
    }
    let mut seen = Vec::new();
    for status in ["503 Busy", "200 OK", "400 Bad", "429 Slow", "401 Who", "201 Created", "200 OK"] {
        let one = server.next().await;
        seen.extend(one.body.clone());
        one.answer(status, "").await;
    }
    bench.sent().await;
    assert_eq!(String::from_utf8(seen).unwrap(), "1123334");
    assert_eq!(bench.facts.get().published, 3);
}

#[tokio::test]
async fn the_mercure_preset_is_a_form_and_the_ratatosk_preset_a_mark() {
    let mut server = Server::start().await;
    let publish = SsePublishConfig { preset: SsePublishPreset::Mercure, private: true, ..SsePublishConfig::default() };
    let hub = Bench::with(
        &server.url("/.well-known/mercure?topic=x"),
        publishing(publish),
        &[],
        &[("out/#", "#")],
        Mode::Always,
    );
    hub.publish(message("out/books/1", b"a&b=c\n").with_event("upd"));
    let one = server.next().await;
    assert_eq!(one.request_line(), "POST /.well-known/mercure HTTP/1.1");
    assert_eq!(one.header("content-type"), Some("application/x-www-form-urlencoded"));
    assert_eq!(one.body, b"topic=books%2F1&data=a%26b%3Dc%0A&type=upd&private=on");
    one.answer("200 OK", "").await;
    hub.publish(message("out/binary", b"\xff"));
    hub.sent().await;
    assert_eq!(hub.facts.get().published, 1, "what is no text has no place in Mercure's form");

    let config = SseUpstreamConfig { format: SseUpstreamFormat::Envelope, ..SseUpstreamConfig::default() };
    let gateway = Bench::with(&server.url("/sse"), config, &[], &[("out/#", "#")], Mode::Always);
    gateway.publish(message("out/a/b", b"{}").retained(true));
    let one = server.next().await;
    assert_eq!(one.request_line(), "POST /publish?channel=a%2Fb&retain=true HTTP/1.1");
    let named = format!("{};1", gateway.bus.gateway_id());
    assert_eq!(one.header("ratatosk-hops"), Some(&*named), "the gateway, and its first message");
    assert_eq!((one.header("content-type"), &one.body[..]), (Some("application/json"), &b"{}"[..]));
}

#[tokio::test]
async fn a_publishing_failure_does_not_touch_the_stream() {
    let mut server = Server::start().await;
    let publish = SsePublishConfig { url: Some(server.url("/in").into()), ..SsePublishConfig::default() };
    let bench = Bench::new(&server.url("/"), publishing(publish));
    let mut stream = server.next().await;
    stream.stream("id: 5\ndata: x\n\n").await;
    assert_eq!(bench.texts(1).await, ["far/message=x"]);
    bench.publish(message("out/a", b"1"));
    for status in ["503 Busy", "403 Forbidden"] {
        let one = server.next().await;
        assert_eq!((one.request_line(), &one.body[..]), ("POST /in HTTP/1.1", &b"1"[..]));
        one.answer(status, "").await;
        // The stream was left alone.
        stream.write("id: 6\ndata: y\n\n").await;
        assert_eq!(bench.texts(1).await, ["far/message=y"]);
    }
    let again = server.next().await;
    let error = bench.facts.get().publish_error;
    assert!(error.is_some_and(|error| error.contains("403")));
    again.answer("200 OK", "").await;
    bench.sent().await;
    assert_eq!((bench.handle.status().connections, bench.facts.get().publish_error), (1, None));
}

#[tokio::test]
async fn a_stream_is_silent_whatever_goes_out_meanwhile() {
    let mut server = Server::start().await;
    let publish = SsePublishConfig { url: Some(server.url("/in").into()), ..SsePublishConfig::default() };
    let config = SseUpstreamConfig { idle_timeout: Duration::from_millis(200).into(), ..publishing(publish) };
    let bench = Bench::new(&server.url("/"), config);
    let mut stream = server.next().await;
    stream.stream("").await;
    bench.publish(message("out/a", b"1"));
    within(async {
        loop {
            let request = server.next().await;
            if request.request_line().starts_with("GET") {
                break;
            }
            request.answer("200 OK", "").await;
            bench.publish(message("out/a", b"1"));
        }
    })
    .await;
}

fn fixture(name: &str) -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn acceptor() -> tokio_rustls::TlsAcceptor {
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
    let _ = rustls::crypto::ring::default_provider().install_default();
    let certs = |name| CertificateDer::pem_file_iter(fixture(name)).unwrap().map(Result::unwrap);
    let mut roots = rustls::RootCertStore::empty();
    certs("ca.pem").for_each(|cert| roots.add(cert).unwrap());
    let verifier = rustls::server::WebPkiClientVerifier::builder(roots.into()).build().unwrap();
    let key = PrivateKeyDer::from_pem_file(fixture("server.key")).unwrap();
    let config = rustls::ServerConfig::builder().with_client_cert_verifier(verifier);
    Arc::new(config.with_single_cert(certs("server.pem").collect(), key).unwrap()).into()
}

#[tokio::test]
async fn a_client_certificate_opens_the_door_and_an_unknown_authority_closes_it() {
    let mut server = Server::start_tls(Some(acceptor())).await;
    let url = server.url("/").replace("http:", "sse+https:");
    let tls = ClientTlsConfig {
        ca: Some(fixture("ca.pem")),
        cert: Some(fixture("client.pem")),
        key: Some(fixture("client.key")),
    };
    let bench = Bench::new(&url, SseUpstreamConfig { tls, ..SseUpstreamConfig::default() });
    server.next().await.stream("data: x\n\n").await;
    assert_eq!(bench.texts(1).await, ["far/message=x"]);

    // The client's own certificate is no authority for the server's.
    let tls = ClientTlsConfig { ca: Some(fixture("client.pem")), ..ClientTlsConfig::default() };
    let stranger = Bench::new(&url, SseUpstreamConfig { tls, ..SseUpstreamConfig::default() });
    assert!(stranger.state(State::Refused).await.contains("certificate"));
}

#[tokio::test]
async fn being_stopped_ends_the_connection() {
    let mut server = Server::start().await;
    let bench = Bench::new(&server.url("/"), SseUpstreamConfig::default());
    let mut one = server.next().await;
    one.stream("data: x\n\n").await;
    assert_eq!(bench.texts(1).await, ["far/message=x"]);
    bench.handle.stop();
    bench.state(State::Stopped).await;
    let mut rest = Vec::new();
    within(tokio::io::AsyncReadExt::read_to_end(&mut one.wire, &mut rest)).await.unwrap();
    assert!(rest.is_empty());
}
