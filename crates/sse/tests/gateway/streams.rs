//! Event streams as a stock client reads them, over HTTP/1.1 and HTTP/2.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use crate::harness::{Gateway, Reader, within};
use base64::Engine as _;
use ratatosk_core::{Channel, Origin, Publication};
use ratatosk_sse::config::{MercureConfig, SseConfig};
use ratatosk_sse::proto::parser::Event;
use serde_json::Value;

async fn plain() -> Gateway {
    Gateway::start(SseConfig::default()).await
}

fn http2() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().http2_prior_knowledge().build().unwrap()
}

trait Client {
    fn stream(&self, query: &str) -> reqwest::RequestBuilder;
    fn put(&self, channel: &str, payload: impl AsRef<[u8]>) -> u64;
    fn retain(&self, channel: &str, payload: &str);
}

impl Client for Gateway {
    fn stream(&self, query: &str) -> reqwest::RequestBuilder {
        self.http.get(format!("{}/sse?{query}", self.base))
    }

    fn put(&self, channel: &str, payload: impl AsRef<[u8]>) -> u64 {
        let payload = payload.as_ref().to_vec();
        self.bus
            .publish(Publication::new(Channel::new(channel).unwrap(), payload, Origin::gateway()))
            .unwrap()
            .seq
            .unwrap()
    }

    fn retain(&self, channel: &str, payload: &str) {
        let publication = Publication::new(Channel::new(channel).unwrap(), payload.to_owned(), Origin::gateway());
        self.bus.publish(publication.retained(true)).unwrap();
    }
}

fn envelope(event: &Event) -> Value {
    serde_json::from_str(&event.data).unwrap()
}

#[tokio::test]
async fn the_payload_corpus_arrives_byte_exact() {
    let gateway = plain().await;
    let big = "x\r\n\0é\"\\".repeat(150_000);
    let corpus: Vec<Vec<u8>> = [
        &b""[..],
        b"\r",
        b"\n",
        b"\r\n",
        b"\n\n\n",
        b"\0",
        b"\xef\xbb\xbfbom",
        b"\xff\xfe",
        b"a\xe2\x82",
        b"{\"a\":\r\n1}",
        b"[1.0,1e300]",
        b" ",
        b"data: forged\n\nevent: x",
        "\u{2028}\u{2029}".as_bytes(),
        big.as_bytes(),
    ]
    .iter()
    .map(|payload| payload.to_vec())
    .collect();
    let mut readers = vec![
        Reader::open(gateway.stream("channel=%23")).await,
        Reader::open(http2().get(format!("{}/sse?channel=%23", gateway.base))).await,
    ];
    for payload in &corpus {
        gateway.put("a", payload);
    }
    for reader in &mut readers {
        for payload in &corpus {
            let got = envelope(&reader.next().await.unwrap());
            let bytes = match (&got["data"], got["encoding"].as_str()) {
                (Value::String(text), Some("base64")) => {
                    base64::engine::general_purpose::STANDARD.decode(text).unwrap()
                }
                (Value::String(text), None) => text.clone().into_bytes(),
                (json, None) => {
                    assert_eq!(json, &serde_json::from_slice::<Value>(payload).unwrap());
                    continue;
                }
                other => unreachable!("{other:?}"),
            };
            assert!(bytes == *payload, "{} bytes", payload.len());
        }
    }
}

#[tokio::test]
async fn a_stream_resumes_over_any_mix_of_filters() {
    let gateway = plain().await;
    let query = "channel=a/%23&channel=b";
    let mut first = Reader::open(gateway.stream(query)).await;
    let ends: Vec<u64> = (0..30).map(|n| gateway.put(["a/x", "b", "c"][n % 3], n.to_string())).collect();
    let ten = first.datas(10).await;
    assert_eq!(ten.len(), 10);
    let cursor = first.last_event_id().to_owned();
    drop(first);
    gateway.put("b", "late");
    let mut again = Reader::open(gateway.stream(query).header("last-event-id", &cursor)).await;
    let resume = again.next().await.unwrap();
    assert_eq!(
        (resume.event_type(), &envelope(&resume)["recovered"], &envelope(&resume)["replayed"]),
        ("resume", &true.into(), &11.into())
    );
    let rest: Vec<Value> =
        again.datas(11).await.iter().map(|data| serde_json::from_str::<Value>(data).unwrap()["data"].clone()).collect();
    assert_eq!(rest[10], "late");
    assert!(ends.len() == 30 && rest[9] == 28);
    // The same by query, for a page's first connection; and a cursor from another life.
    let mut by_query = Reader::open(gateway.stream(&format!("{query}&last_event_id={cursor}"))).await;
    assert_eq!(envelope(&by_query.next().await.unwrap())["replayed"], 11);
    for foreign in ["other.3", "rubbish", "é", "<script>"] {
        let mut reader = Reader::open(gateway.stream(query).header("last-event-id", foreign.as_bytes())).await;
        let resume = envelope(&reader.next().await.unwrap());
        assert_eq!((&resume["requested"], &resume["recovered"]), (&foreign.into(), &false.into()));
    }
}

#[tokio::test]
async fn a_channel_that_joins_a_resumed_stream_begins_with_its_last_value() {
    let gateway = plain().await;
    let mut first = Reader::open(gateway.stream("channel=a")).await;
    gateway.put("a", "1");
    first.datas(1).await;
    let cursor = first.last_event_id().to_owned();
    gateway.put("b", "old");
    gateway.retain("b", "kept");
    gateway.put("b", "old");
    gateway.put("a", "2");
    let request = gateway.stream("channel=a&new_channel=b").header("last-event-id", &cursor);
    let mut again = Reader::open(request).await;
    let resume = envelope(&again.next().await.unwrap());
    assert_eq!((&resume["recovered"], &resume["replayed"]), (&true.into(), &1.into()));
    let (kept, missed) = (envelope(&again.next().await.unwrap()), envelope(&again.next().await.unwrap()));
    assert_eq!((&kept["data"], &kept["retained"], &missed["data"]), (&"kept".into(), &true.into(), &2.into()));
    gateway.put("b", "live");
    assert_eq!(envelope(&again.next().await.unwrap())["data"], "live");
}

#[tokio::test]
async fn a_stream_cut_before_its_first_message_keeps_its_place() {
    let gateway = plain().await;
    gateway.put("a", "before");
    let mut page = Reader::open(gateway.stream("channel=%23")).await;
    gateway.retain("other", "x"); // something to wait for, so that the beginning has been read
    page.next().await.unwrap();
    let place = page.last_event_id().to_owned();
    drop(page);
    gateway.put("a", "while away");
    let mut again = Reader::open(gateway.stream("channel=%23").header("last-event-id", place)).await;
    assert_eq!(envelope(&again.next().await.unwrap())["recovered"], true);
    assert_eq!(envelope(&again.next().await.unwrap())["data"], "while away");
}

#[tokio::test]
async fn a_stream_may_begin_with_all_that_is_kept() {
    let gateway = plain().await;
    gateway.put("a", "1");
    gateway.put("a", "2");
    let mut page = Reader::open(gateway.stream("channel=a&resume=earliest")).await;
    let resume = envelope(&page.next().await.unwrap());
    assert_eq!((&resume["requested"], &resume["replayed"]), (&"earliest".into(), &2.into()));
    assert_eq!(
        (envelope(&page.next().await.unwrap())["data"].clone(), envelope(&page.next().await.unwrap())["data"].clone()),
        (1.into(), 2.into())
    );
    // A browser that reconnects repeats the query, and its cursor wins.
    let cursor = page.last_event_id().to_owned();
    gateway.put("a", "3");
    let mut again = Reader::open(gateway.stream("channel=a&resume=earliest").header("last-event-id", cursor)).await;
    assert_eq!(envelope(&again.next().await.unwrap())["replayed"], 1);
    assert_eq!(envelope(&again.next().await.unwrap())["data"], 3);
}

#[tokio::test]
async fn last_values_come_first_unless_not_wanted_and_move_no_cursor() {
    let gateway = plain().await;
    gateway.retain("a/1", "kept");
    gateway.put("a/2", "not kept");
    let mut page = Reader::open(gateway.stream("channel=a/%23")).await;
    let first = page.next().await.unwrap();
    assert_eq!((&envelope(&first)["data"], &envelope(&first)["retained"]), (&"kept".into(), &true.into()));
    // The message's own position is before that of "not kept", which a reader that resumes here must not be sent.
    assert_ne!(envelope(&first)["id"], *first.id);
    let mut resumed = Reader::open(gateway.stream("channel=a/%23").header("last-event-id", first.id.to_string())).await;
    assert_eq!(envelope(&resumed.next().await.unwrap())["replayed"], 0);
    let mut without = Reader::open(gateway.stream("channel=a/%23&last_value=false")).await;
    gateway.put("a/3", "live");
    assert_eq!(envelope(&page.next().await.unwrap())["data"], "live");
    assert_eq!(envelope(&without.next().await.unwrap())["data"], "live");
}

#[tokio::test]
async fn event_names_become_types_on_request() {
    let gateway = plain().await;
    let mut named = Reader::open(gateway.stream("channel=a&events=named")).await;
    let mut raw = Reader::open(gateway.stream("channel=a&events=named&format=raw")).await;
    let mut unnamed = Reader::open(gateway.stream("channel=a")).await;
    let publication =
        Publication::new(Channel::new("a").unwrap(), "1\n2", Origin::gateway()).with_event("tick\nid: forged");
    gateway.bus.publish(publication).unwrap();
    let event = named.next().await.unwrap();
    assert_eq!((event.event_type(), &envelope(&event)["event"]), ("tick%0Aid: forged", &"tick\nid: forged".into()));
    assert_eq!(unnamed.next().await.unwrap().event_type(), "message");
    let event = raw.next().await.unwrap();
    assert_eq!((event.event_type(), event.data.as_str()), ("tick%0Aid: forged", "1\n2"));
}

#[tokio::test]
async fn a_paced_stream_gets_the_latest_of_each_channel() {
    let gateway = plain().await;
    let mut page = Reader::open(gateway.stream("channel=a/%23&conflate=true&max_rate=20/s")).await;
    for n in 0..500 {
        gateway.put(if n % 2 == 0 { "a/even" } else { "a/odd" }, n.to_string());
    }
    let mut seen = Vec::new();
    let mut finals = [false; 2];
    while finals != [true; 2] {
        let event = page.next().await.unwrap();
        assert_eq!(event.event_type(), "message", "conflation was asked for and is no loss");
        let number = envelope(&event)["data"].as_u64().unwrap();
        seen.push(number);
        finals = [finals[0] || number == 498, finals[1] || number == 499];
    }
    assert!(seen.len() < 100, "{} of 500 messages came", seen.len());
}

#[tokio::test]
async fn a_paced_stream_without_conflation_is_told_what_it_missed() {
    let gateway =
        Gateway::start(serde_json::from_value(serde_json::json!({"outbox": {"messages": 10}})).unwrap()).await;
    let mut page = Reader::open(gateway.stream("channel=a&max_rate=20/s")).await;
    for n in 0..100 {
        gateway.put("a", n.to_string());
    }
    let (mut got, mut lost) = (0, 0);
    while got + lost < 100 {
        let event = page.next().await.unwrap();
        match event.event_type() {
            "lost" => lost += envelope(&event)["lost"].as_u64().unwrap(),
            _ => got += 1,
        }
    }
    assert!(lost > 50 && got + lost == 100, "{got} came, {lost} were lost");
}

#[tokio::test]
async fn long_lists_of_filters_come_in_a_body() {
    let gateway = plain().await;
    let form: Vec<(&str, String)> = (0..1000).map(|n| ("channel", format!("some/longer/name/{n}"))).collect();
    for method in ["POST", "QUERY"] {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let mut page =
            Reader::open(gateway.http.request(method, format!("{}/sse?format=raw", gateway.base)).form(&form)).await;
        gateway.put("some/longer/name/999", "x");
        assert_eq!(page.datas(1).await, ["x"]);
    }
}

#[tokio::test]
async fn faults_have_a_status_and_a_kind() {
    let gateway = plain().await;
    let get = |query: &str| gateway.stream(query);
    let long = format!("channel={}", "x".repeat(20_000));
    let cases = [
        (get(""), 400, "no-channel"),
        (get("channel=a/%23/b"), 400, "bad-filter"),
        (get("channel=a&max_rate=fast"), 400, "bad-option"),
        (get(&long), 414, "query-too-long"),
        (gateway.http.put(format!("{}/sse?channel=a", gateway.base)), 405, "bad-method"),
        (gateway.http.post(format!("{}/sse", gateway.base)).body("x".repeat(300 << 10)), 413, "body-too-large"),
        (gateway.http.post(format!("{}/publish", gateway.base)), 400, "no-channel"),
        (gateway.http.post(format!("{}/publish?channel=a/%23", gateway.base)), 400, "bad-channel"),
        (gateway.http.post(format!("{}/publish?channel=a&retain=maybe", gateway.base)), 400, "bad-option"),
        (
            gateway.http.post(format!("{}/publish?channel=a", gateway.base)).body("x".repeat(2 << 20)),
            413,
            "body-too-large",
        ),
        (gateway.http.post(format!("{}/publish?channel=$monitor/x", gateway.base)), 403, "reserved-channel"),
        (
            gateway
                .http
                .post(format!("{}/publish?channel=a", gateway.base))
                .header("ratatosk-hops", format!("x,{}", gateway.bus.gateway_id())),
            508,
            "loop",
        ),
    ];
    for (at, (request, status, kind)) in cases.into_iter().enumerate() {
        let answer = within(request.send()).await.unwrap();
        assert_eq!(answer.status(), status, "case {at}");
        let problem: Value = answer.json().await.unwrap();
        assert!(problem["type"].as_str().unwrap().ends_with(kind), "case {at}: {problem}");
    }
    let head = within(gateway.http.head(format!("{}/sse?channel=a", gateway.base)).send()).await.unwrap();
    assert_eq!(head.status(), 200);
    assert_eq!(head.headers()["content-type"], "text/event-stream; charset=utf-8");
}

#[tokio::test]
async fn the_headers_keep_proxies_and_caches_away() {
    let gateway = plain().await;
    let page = Reader::open(gateway.stream("channel=a").header("origin", "https://named.example")).await;
    for (name, value) in [
        ("content-type", "text/event-stream; charset=utf-8"),
        ("cache-control", "no-store, no-transform"),
        ("x-accel-buffering", "no"),
        ("access-control-allow-origin", "https://named.example"),
        ("access-control-allow-credentials", "true"),
        ("ratatosk-hops", &**gateway.bus.gateway_id()),
    ] {
        assert_eq!(page.header(name), Some(value), "{name}");
    }
}

#[tokio::test]
async fn a_stream_ends_at_its_lifetime_and_says_when_to_come_back() {
    let config = serde_json::json!({"max_lifetime": "50ms", "retry": "80ms"});
    let gateway = Gateway::start(serde_json::from_value(config).unwrap()).await;
    for http in [gateway.http.clone(), http2()] {
        let mut page = Reader::open(http.get(format!("{}/sse?channel=a", gateway.base))).await;
        assert_eq!(page.next().await, None);
        let retry = page.retry().unwrap().as_millis();
        assert!((40..=120).contains(&retry), "{retry}");
    }
}

#[tokio::test]
async fn draining_ends_streams_in_good_order() {
    let gateway = plain().await;
    let mut pages = vec![
        Reader::open(gateway.stream("channel=a")).await,
        Reader::open(http2().get(format!("{}/sse?channel=a", gateway.base))).await,
        Reader::open(gateway.stream("channel=a&max_rate=10/s")).await,
    ];
    gateway.put("a", "last words");
    for page in &mut pages {
        assert_eq!(envelope(&page.next().await.unwrap())["data"], "last words");
    }
    gateway.life.close();
    for page in &mut pages {
        assert_eq!(page.next().await, None);
    }
}

/// The shared harness can also make a hub; here it must not.
#[tokio::test]
async fn without_a_table_there_is_no_hub() {
    let gateway = plain().await;
    assert!(SseConfig::default().mercure.is_none() && serde_json::from_str::<MercureConfig>("{}").is_err());
    let answer = gateway.http.get(format!("{}/.well-known/mercure?topic=a", gateway.base)).send().await.unwrap();
    assert_eq!(answer.status(), 404);
    let (_session, _peer) = gateway.other_protocol("x");
}
