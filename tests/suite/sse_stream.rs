//! The event stream as `curl -N` shows it: what stands in it, byte for byte.

use ratatosk_tests::Gateway;
use ratatosk_tests::wait::within;
use serde_json::json;

#[tokio::test]
async fn a_published_message_arrives_with_its_channel_id_and_time() {
    let gateway = Gateway::start().await;
    let mut stream = gateway.sse(&[("channel", "sensors/#")]).await;
    let before = now_ms();
    let id = gateway.publish("sensors/kitchen/temp", r#"{"c":21.5}"#).await;
    let message = stream.message().await;
    assert_eq!(message.channel(), "sensors/kitchen/temp");
    assert_eq!(message.id, id);
    assert_eq!(message.data(), &json!({"c": 21.5}));
    let time = message.json["time"].as_u64().expect("milliseconds since 1970");
    assert!((before..=now_ms()).contains(&time), "{time} is when it was published");
    assert!(!message.retained());
}

fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    u64::try_from(since.as_millis()).expect("before the year 584556019")
}

#[tokio::test]
async fn curl_shows_the_stream() {
    let gateway = Gateway::start().await;
    let mut command = tokio::process::Command::new("curl");
    command.args(["-sN", &gateway.url("/sse?channel=sensors/%23")]);
    let curl = ratatosk_tests::process::Process::spawn("curl", command);
    curl.wait_for("retry:").await;
    let target = gateway.url("/publish?channel=sensors/kitchen/temp");
    let answer = tokio::process::Command::new("curl")
        .args(["-s", "-d", r#"{"c":21.5}"#, &target])
        .output()
        .await
        .expect("curl runs");
    let answer: serde_json::Value = serde_json::from_slice(&answer.stdout).expect("JSON");
    let id = answer["id"].as_str().expect("an id");
    assert!(curl.wait_for("data:").await.contains(r#""channel":"sensors/kitchen/temp""#));
    curl.wait_for(&format!("id: {id}")).await;
}

#[tokio::test]
async fn the_stream_begins_with_retry_and_a_comment() {
    let gateway = Gateway::start().await;
    let mut stream = gateway.sse(&[("channel", "a")]).await;
    let (mut retry, mut comments) = (None, 0);
    while retry.is_none() || comments == 0 {
        let block = stream.block().await.expect("the stream goes on");
        assert_eq!(block.data, None, "nothing that EventSource would dispatch comes first: {block:?}");
        retry = retry.or(block.retry);
        comments += block.comments.len();
    }
    assert!(retry.is_some_and(|retry| retry > 0));
}

#[tokio::test]
async fn the_response_says_what_proxies_and_browsers_must_know() {
    let gateway = Gateway::start().await;
    let stream = gateway.sse_with(&[("channel", "a")], &[("Origin", "http://page.example")]).await;
    let cache = stream.head.header("cache-control").unwrap_or_default().to_owned();
    assert!(cache.contains("no-store") && cache.contains("no-transform"), "Cache-Control: {cache}");
    assert_eq!(stream.head.header("x-accel-buffering"), Some("no"));
    assert_eq!(stream.head.header("access-control-allow-origin"), Some("*"));
    assert_eq!(stream.head.header("access-control-allow-credentials"), None, "credentials need a named origin");
}

#[tokio::test]
async fn only_a_named_origin_gets_credentials() {
    let gateway = Gateway::with("[http]\ncors_origins = [\"http://page.example\"]").await;
    let known = gateway.sse_with(&[("channel", "a")], &[("Origin", "http://page.example")]).await;
    assert_eq!(known.head.header("access-control-allow-origin"), Some("http://page.example"));
    assert_eq!(known.head.header("access-control-allow-credentials"), Some("true"));
    let target = "/sse?channel=a";
    let mut connection = ratatosk_tests::http::HttpConn::open(gateway.http).await;
    connection.send("GET", target, &[("Origin", "http://evil.example")], b"").await;
    let head = connection.head().await;
    assert_eq!(head.header("access-control-allow-origin"), None, "a stranger may not read: {head:?}");
}

#[tokio::test]
async fn a_silent_stream_gets_heartbeat_comments() {
    let gateway = Gateway::with("[sse]\nheartbeat = \"50ms\"").await;
    let mut stream = gateway.sse(&[("channel", "a")]).await;
    for _ in 0..4 {
        stream.quiet().await;
    }
    gateway.publish("a", "still here").await;
    assert_eq!(stream.message().await.payload(), b"still here");
}

/// Payloads that are text or binary (not JSON) and break naive event streams.
fn corpus() -> Vec<Vec<u8>> {
    let mut corpus: Vec<Vec<u8>> = [
        "",
        "\n",
        "\r",
        "\r\n",
        "\n\n\n",
        "a\rb",
        "a\r\nb",
        "a\n\rb\n",
        "\r\r\n\n",
        " leading",
        "trailing ",
        ":comment",
        "data: x",
        "id: 1",
        "\u{feff}bom",
        "nul\0inside",
        "\0",
        "tab\t",
        "\u{2028}\u{2029}",
        "\u{85}",
        "z\u{fc}rich \u{1f40d}",
        "\"quotes\" and \\ and /",
        "{not json",
        "retry: 1\n\nevent: x",
        "\u{1}\u{1f}\u{7f}",
    ]
    .iter()
    .map(|text| text.as_bytes().to_vec())
    .collect();
    corpus.extend([
        vec![0xff],
        vec![0xc3, 0x28],
        vec![0xed, 0xa0, 0x80],
        b"ok\xf0\x9f\x90".to_vec(),
        (0..=255).collect(),
    ]);
    corpus.push(vec![b'x'; 256 * 1024]);
    corpus.push([0xfe, b'\n', 0x00].repeat(50_000));
    corpus
}

#[tokio::test]
async fn every_payload_arrives_byte_exact_in_an_envelope() {
    let gateway = Gateway::start().await;
    let mut stream = gateway.sse(&[("channel", "corpus")]).await;
    for payload in corpus() {
        gateway.publish("corpus", &payload).await;
        let message = stream.message().await;
        let got = message.payload();
        assert!(got == payload, "sent {:?}, got {:?}", preview(&payload), preview(&got));
        assert_eq!(
            message.json["encoding"].is_null(),
            std::str::from_utf8(&payload).is_ok(),
            "base64 only where it must be"
        );
    }
}

fn preview(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(40)]).escape_debug().to_string()
}

#[tokio::test]
async fn json_stays_json() {
    let gateway = Gateway::start().await;
    let mut stream = gateway.sse(&[("channel", "json")]).await;
    for text in [
        "21.5",
        "true",
        "null",
        "[]",
        r#"{"a":{"b":[1,2,{"c":null}]}}"#,
        "{\n  \"pretty\": [\r\n 1 ]\n}",
        r#"["line\nbreak","\u0000"]"#,
    ] {
        gateway.publish("json", text).await;
        let message = stream.message().await;
        let expected: serde_json::Value = serde_json::from_str(text).expect("JSON");
        assert_eq!(message.data(), &expected, "{text:?}");
        assert!(message.json["encoding"].is_null());
    }
    // Numbers beyond what a double can hold pass as they were written.
    gateway.publish("json", r#"{"big":12345678901234567890123,"fine":0.10000000000000000001}"#).await;
    let event = stream.event().await;
    let data = event.data.expect("data");
    assert!(data.contains("12345678901234567890123") && data.contains("0.10000000000000000001"), "{data}");
}

#[tokio::test]
async fn raw_format_is_the_payload_line_by_line() {
    let gateway = Gateway::start().await;
    let mut stream = gateway.sse(&[("channel", "raw/#"), ("format", "raw")]).await;
    // What EventSource gives back: CR and CRLF end lines as LF does.
    for (payload, seen) in [
        ("plain", "plain"),
        ("", ""),
        ("a\nb", "a\nb"),
        ("a\r\nb", "a\nb"),
        ("a\rb", "a\nb"),
        ("a\n\nb\n", "a\n\nb\n"),
        (" space", " space"),
        ("{\"c\":21.5}", "{\"c\":21.5}"),
        ("nul\0", "nul\0"),
        ("\u{feff}bom", "\u{feff}bom"),
    ] {
        let id = gateway.publish("raw/x", payload).await;
        let event = stream.event().await;
        assert_eq!((event.data.as_deref(), event.id.as_deref()), (Some(seen), Some(id.as_str())), "{payload:?}");
        assert_eq!(event.event, None);
    }
}

#[tokio::test]
async fn one_stream_follows_many_filters_and_gets_one_copy() {
    let gateway = Gateway::start().await;
    let filters = [("channel", "a/+/c"), ("channel", "a/#"), ("channel", "exact"), ("channel", "a/b/c")];
    let mut stream = gateway.sse(&filters).await;
    for channel in ["a/b/c", "a", "elsewhere", "exact", "exact/below", "a/x/y/z", "a//c"] {
        gateway.publish(channel, channel).await;
    }
    for expected in ["a/b/c", "a", "exact", "a/x/y/z", "a//c"] {
        let message = stream.message().await;
        assert_eq!((message.channel(), message.payload()), (expected, expected.as_bytes().to_vec()));
    }
}

#[tokio::test]
async fn wildcards_follow_the_mqtt_rules() {
    let gateway = Gateway::start().await;
    let mut all = gateway.sse(&[("channel", "#")]).await;
    let mut dollar = gateway.sse(&[("channel", "$app/#")]).await;
    let mut plus = gateway.sse(&[("channel", "+/+")]).await;
    for channel in ["$app/state", "a", "/", "a/b", "home/salon température", "v1.2/data"] {
        gateway.publish(channel, channel).await;
    }
    for expected in ["a", "/", "a/b", "home/salon température", "v1.2/data"] {
        assert_eq!(all.message().await.channel(), expected, "# does not match names that begin with $");
    }
    assert_eq!(dollar.message().await.channel(), "$app/state");
    for expected in ["/", "a/b", "home/salon température", "v1.2/data"] {
        assert_eq!(plus.message().await.channel(), expected);
    }
}

#[tokio::test]
async fn retained_messages_come_first() {
    let gateway = Gateway::start().await;
    for (channel, payload) in [("lamp/1", "on"), ("lamp/2", "off"), ("lamp/1", "dim")] {
        gateway.publish_with(&[("channel", channel), ("retain", "true")], payload).await;
    }
    gateway.publish("lamp/3", "not retained").await;
    let mut stream = gateway.sse(&[("channel", "lamp/+")]).await;
    gateway.publish("lamp/3", "live").await;
    let mut first = [stream.message().await, stream.message().await];
    first.sort_by(|a, b| a.channel().cmp(b.channel()));
    let seen: Vec<_> = first.iter().map(|message| (message.channel(), message.payload(), message.retained())).collect();
    assert_eq!(seen, [("lamp/1", b"dim".to_vec(), true), ("lamp/2", b"off".to_vec(), true)]);
    let live = stream.message().await;
    assert_eq!((live.payload(), live.retained()), (b"live".to_vec(), false));
}

#[tokio::test]
async fn an_empty_retained_payload_clears_the_value() {
    let gateway = Gateway::start().await;
    let retain = [("channel", "lamp/1"), ("retain", "true")];
    gateway.publish_with(&retain, "on").await;
    let mut watching = gateway.sse(&[("channel", "lamp/1")]).await;
    assert!(watching.message().await.retained());
    gateway.publish_with(&retain, "").await;
    assert_eq!(watching.message().await.payload(), b"", "who watches is told");
    let mut later = gateway.sse(&[("channel", "lamp/1")]).await;
    gateway.publish("lamp/1", "live").await;
    assert_eq!(later.message().await.payload(), b"live");
}

#[tokio::test]
async fn a_rule_may_keep_the_last_message_of_a_channel() {
    let gateway = Gateway::with("[[channels]]\nmatch = \"price/#\"\nlast_value = \"always\"").await;
    gateway.publish("price/eur", "one").await;
    gateway.publish("price/eur", "two").await;
    let mut stream = gateway.sse(&[("channel", "price/#")]).await;
    let message = stream.message().await;
    assert_eq!((message.payload(), message.retained()), (b"two".to_vec(), true));
}

#[tokio::test]
async fn an_event_name_stands_in_the_envelope() {
    let gateway = Gateway::start().await;
    let mut stream = gateway.sse(&[("channel", "orders")]).await;
    gateway.publish_with(&[("channel", "orders"), ("event", "created")], "7").await;
    let event = stream.event().await;
    assert_eq!(event.event, None, "EventSource's onmessage sees it");
    assert_eq!(event.json()["event"], "created");
}

#[tokio::test]
async fn two_hundred_streams_see_the_same_order() {
    let gateway = Gateway::start().await;
    let mut streams = Vec::new();
    for _ in 0..200 {
        streams.push(gateway.sse(&[("channel", "flood")]).await);
    }
    gateway.publish_all("flood", (0..50).map(|n| n.to_string())).await;
    for stream in &mut streams {
        for n in 0..50 {
            assert_eq!(within("a message", stream.message()).await.data(), &json!(n));
        }
    }
}
