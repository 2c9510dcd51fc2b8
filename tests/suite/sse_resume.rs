//! `Last-Event-ID`: after a broken connection nothing is missing, or the gateway says how much is.

use ratatosk_tests::proxy::Proxy;
use ratatosk_tests::sse::{Block, SseStream};
use ratatosk_tests::wait::eventually;
use ratatosk_tests::{Gateway, Script};
use serde_json::{Value, json};

const LONG_HISTORY: &str =
    "[[channels]]\nmatch = \"#\"\nhistory = { messages = 20000, age = \"10m\", bytes = \"64 MiB\" }";
const SHORT_HISTORY: &str =
    "[[channels]]\nmatch = \"#\"\nhistory = { messages = 10, age = \"10m\", bytes = \"1 MiB\" }";

/// The `resume` event that must be the first with data.
async fn resume(stream: &mut SseStream) -> Value {
    let event: Block = stream.event().await;
    assert_eq!(event.event.as_deref(), Some("resume"), "{event:?}");
    event.json()
}

#[tokio::test]
async fn the_cursor_works_from_the_header_and_from_the_query() {
    let gateway = Gateway::start().await;
    let mut ids = Vec::new();
    for n in 0..6 {
        ids.push(gateway.publish(["a", "b/x", "c"][n % 3], n.to_string()).await);
    }
    let filters = [("channel", "a"), ("channel", "b/#")];
    for (earlier, way) in ["header", "lastEventID", "last_event_id"].into_iter().enumerate() {
        let mut stream = match way {
            "header" => gateway.sse_with(&filters, &[("Last-Event-ID", &ids[1])]).await,
            name => gateway.sse(&[filters[0], filters[1], (name, &ids[1])]).await,
        };
        let resume = resume(&mut stream).await;
        assert_eq!(
            (&resume["requested"], &resume["recovered"], &resume["replayed"]),
            (&json!(ids[1]), &json!(true), &json!(2 + earlier)),
            "{way}: {resume}"
        );
        for expected in [3, 4] {
            let message = stream.message().await;
            assert_eq!((message.data(), &message.id), (&json!(expected), &ids[expected]), "{way}");
        }
        // The live messages of the ways tried before are replayed as well.
        for _ in 0..earlier {
            assert_eq!(stream.message().await.payload(), b"live", "{way}");
        }
        let id = gateway.publish("b/y", "live").await;
        assert_eq!(stream.message().await.id, id, "{way}");
    }
}

#[tokio::test]
async fn the_newest_cursor_has_missed_nothing() {
    let gateway = Gateway::start().await;
    let id = gateway.publish("a", "1").await;
    let mut stream = gateway.sse_with(&[("channel", "a")], &[("Last-Event-ID", &id)]).await;
    let resume = resume(&mut stream).await;
    assert_eq!((&resume["recovered"], &resume["replayed"]), (&json!(true), &json!(0)), "{resume}");
}

#[tokio::test]
async fn a_short_history_says_so_and_how_much_is_missing() {
    let gateway = Gateway::with(SHORT_HISTORY).await;
    let first = gateway.publish("a", "0").await;
    gateway.publish_all("a", (1..=50).map(|n| n.to_string())).await;
    let mut stream = gateway.sse_with(&[("channel", "a")], &[("Last-Event-ID", &first)]).await;
    let resume = resume(&mut stream).await;
    assert_eq!((&resume["recovered"], &resume["replayed"]), (&json!(false), &json!(10)), "{resume}");
    assert_eq!(resume["missing"], json!(40), "how much is missing: {resume}");
    assert!(resume["oldest"].is_string(), "from where on history can tell: {resume}");
    for n in 41..=50 {
        assert_eq!(stream.message().await.data(), &json!(n));
    }
    let recovered = gateway.metrics().await.sum("ratatosk_resume_total", &[]);
    assert_eq!(recovered, Some(1.0));
}

#[tokio::test]
async fn messages_of_other_channels_are_not_missed() {
    let gateway = Gateway::with(SHORT_HISTORY).await;
    let id = gateway.publish("mine", "0").await;
    gateway.publish("mine", "1").await;
    gateway.publish_all("other", (0..50).map(|n| n.to_string())).await;
    let mut stream = gateway.sse_with(&[("channel", "mine")], &[("Last-Event-ID", &id)]).await;
    let resume = resume(&mut stream).await;
    assert_eq!((&resume["recovered"], &resume["replayed"]), (&json!(true), &json!(1)), "{resume}");
}

#[tokio::test]
async fn an_unknown_cursor_is_answered_truthfully_and_never_with_an_error() {
    let gateway = Gateway::start().await;
    let id = gateway.publish("a", "0").await;
    let (epoch, sequence) = id.split_once('.').expect("EPOCH.SEQ");
    let ahead = format!("{epoch}.{}", sequence.parse::<u64>().expect("a number") + 1_000_000);
    let huge = format!("{epoch}.99999999999999999999999999");
    let long = "x".repeat(5000);
    for cursor in
        ["garbage", "0000.1", &ahead, &huge, "1.2.3", ".", "-1", &format!("{epoch}."), "%0a", &long, "emoji-\u{1f40d}"]
    {
        let mut stream = gateway.sse(&[("channel", "a"), ("last_event_id", cursor)]).await;
        let resume = resume(&mut stream).await;
        assert_eq!(resume["recovered"], json!(false), "{cursor}: {resume}");
        let id = gateway.publish("a", "live").await;
        while stream.message().await.id != id {}
    }
}

#[tokio::test]
async fn a_restarted_gateway_does_not_claim_to_remember() {
    let mut gateway = Gateway::setup().fixed_ports().start().await;
    let id = gateway.publish("a", "before").await;
    gateway.kill().await;
    gateway.start_again().await;
    gateway.publish("a", "after").await;
    let mut stream = gateway.sse_with(&[("channel", "a")], &[("Last-Event-ID", &id)]).await;
    assert_eq!(resume(&mut stream).await["recovered"], json!(false));
}

#[tokio::test]
async fn a_stream_that_was_cut_before_its_first_message_misses_none() {
    let gateway = Gateway::start().await;
    let proxy = Proxy::to(gateway.http).await;
    // A browser's: the npm client forgets ids that come without data, where the HTML Standard keeps them.
    let url = format!("http://{}/sse?channel=a", proxy.address);
    let mut client = Script::node("browser-eventsource.mjs", &json!({"url": url}));
    client.expect("open").await;
    gateway.metric("ratatosk_subscriptions", &[], |count| count > 0.5).await;
    proxy.cut();
    client.expect("closed").await;
    gateway.publish("a", "while away").await;
    proxy.mend();
    let message = client.expect("message").await;
    let envelope: Value = serde_json::from_str(message["data"].as_str().expect("text")).expect("an envelope");
    assert_eq!(envelope["data"], "while away");
    client.finish().await;
}

#[tokio::test]
async fn an_eventsource_cut_during_ten_thousand_messages_gets_each_once_in_order() {
    let gateway = Gateway::with(LONG_HISTORY).await;
    let (seen, resumes) = follow_with_a_cut(&gateway, 10_000, 5_000, 10_000).await;
    assert_eq!(seen, (0..10_000).collect::<Vec<u64>>());
    let last = resumes.last().expect("it reconnected");
    assert!(resumes.iter().all(|resume| resume["recovered"] == json!(true)), "{resumes:?}");
    assert!(last["replayed"].as_u64().is_some_and(|replayed| replayed > 0), "{last}");
}

#[tokio::test]
async fn an_eventsource_cut_for_too_long_is_told_how_much_it_missed() {
    let gateway = Gateway::with(SHORT_HISTORY).await;
    let (seen, resumes) = follow_with_a_cut(&gateway, 2_000, 500, 1_500).await;
    let missing: u64 = resumes.iter().map(|resume| resume["missing"].as_u64().unwrap_or(0)).sum();
    assert!(resumes.iter().any(|resume| resume["recovered"] == json!(false)), "{resumes:?}");
    assert_eq!(u64::try_from(seen.len()).expect("fits") + missing, 2_000, "seen and missing add up: {resumes:?}");
    assert!(missing >= 900, "{missing}");
    assert!(seen.is_sorted_by(|a, b| a < b), "in order and once");
}

/// Publishes `count` messages, cuts the client's connection when it has seen `cut_at`, and mends it when `mend_at` are published.
/// Returns the numbers the client saw and the `resume` events it got.
async fn follow_with_a_cut(gateway: &Gateway, count: u64, cut_at: u64, mend_at: u64) -> (Vec<u64>, Vec<Value>) {
    let proxy = Proxy::to(gateway.http).await;
    let url = format!("http://{}/sse?channel=stream/%23", proxy.address);
    let mut client = Script::node("eventsource.mjs", &json!({"url": url, "last": count - 1, "report": cut_at}));
    client.expect("open").await;
    gateway.metric("ratatosk_subscriptions", &[], |count| count > 0.5).await;
    let numbers = |range: std::ops::Range<u64>| range.map(|n| format!(r#"{{"n":{n}}}"#));
    gateway.publish_all("stream/numbers", numbers(0..cut_at + 1)).await;
    client.expect("reached").await;
    proxy.cut();
    client.expect("closed").await;
    gateway.publish_all("stream/numbers", numbers(cut_at + 1..mend_at)).await;
    let before = proxy.accepted();
    proxy.mend();
    eventually("the client to come back by itself", async || (proxy.accepted() > before).then_some(())).await;
    gateway.metric("ratatosk_resume_total", &[], |count| count > 0.5).await;
    gateway.publish_all("stream/numbers", numbers(mend_at..count)).await;
    let summary = client.expect("done").await;
    client.finish().await;
    let seen = summary["seen"].as_array().expect("numbers").iter().map(|n| n.as_u64().expect("a number")).collect();
    (seen, summary["resumes"].as_array().expect("events").clone())
}
