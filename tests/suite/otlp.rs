//! Metrics and traces, pushed to a collector that decodes them with the standard's own messages.

use ratatosk_tests::http::fetch;
use ratatosk_tests::mosquitto::{Subscriber, publish};
use ratatosk_tests::wait::eventually;
use ratatosk_tests::{Gateway, Mosquitto, Script};
use serde_json::{Value, json};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
/// `{"mercure":{"publish":["*"]}}`, signed with the key of the hub below.
const PUBLISHER: &str = "Bearer eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJtZXJjdXJlIjp7InB1Ymxpc2giOlsiKiJdfX0.a8cjcSRUAcHdnGNMKifA4BK5epRXxQI0UBp2XpNrBdw";
const HUB: &str = "[sse.mercure]\npublisher_jwt_key = \"!ChangeThisMercureHubJWTSecretKey!\"\nsubscriber_jwt_key = \"!ChangeThisMercureHubJWTSecretKey!\"\n";
const SPAN: &str = "b7ad6b7169203331";

/// A collector, and a gateway that pushes to it.
async fn start(more: &str) -> (Gateway, Script) {
    let mut collector = Script::python("otlp_receiver.py", &json!({}));
    let port = &collector.expect("listening").await["port"];
    let config = format!("[otlp]\nendpoint = \"http://127.0.0.1:{port}\"\n{more}\n");
    (Gateway::with(&config).await, collector)
}

/// The metrics of a push, by name.
fn metric<'a>(push: &'a Value, name: &str) -> &'a Value {
    let metrics = push["body"]["resourceMetrics"][0]["scopeMetrics"][0]["metrics"].as_array().expect("metrics");
    metrics.iter().find(|metric| metric["name"] == name).unwrap_or_else(|| panic!("no {name} in {push}"))
}

/// The value of a list of attributes.
fn attribute<'a>(list: &'a Value, key: &str) -> &'a Value {
    let found = list.as_array().into_iter().flatten().find(|attribute| attribute["key"] == key);
    let value = found.map(|attribute| &attribute["value"]);
    value.and_then(|value| value.as_object()?.values().next()).unwrap_or(&Value::Null)
}

fn hex(base64: &Value) -> String {
    use base64::Engine as _;
    hex::encode(base64::engine::general_purpose::STANDARD.decode(base64.as_str().unwrap_or_default()).expect("base64"))
}

/// All spans that have come so far.
fn spans(collector: &Script) -> Vec<Value> {
    let pushes = collector.all("traces");
    let spans =
        pushes.iter().flat_map(|push| push["body"]["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().cloned());
    spans.flatten().collect()
}

async fn span(collector: &Script, name: &str) -> Value {
    eventually(format!("a span {name:?}"), async || {
        assert!(collector.all("error").is_empty(), "{:?}", collector.all("error"));
        spans(collector).into_iter().find(|span| span["name"] == name)
    })
    .await
}

#[tokio::test]
async fn metrics_are_pushed_as_the_scrape_shows_them() {
    let (gateway, mut collector) =
        start("metrics_interval = \"200ms\"\ntraces_sample = 0\nheaders = { authorization = \"Bearer s3cret\" }\nattributes = { \"deployment.environment\" = \"test\" }").await;
    let mut stream = gateway.sse(&[("channel", "a")]).await;
    gateway.publish("a", "1").await;
    stream.message().await;
    let push = loop {
        let push = collector.expect("metrics").await;
        if metric(&push, "ratatosk_messages_delivered_total").to_string().contains("\"asDouble\":1.0") {
            break push;
        }
    };
    assert_eq!(push["headers"]["authorization"], "Bearer s3cret");
    let resource = &push["body"]["resourceMetrics"][0]["resource"]["attributes"];
    assert_eq!(attribute(resource, "service.name"), "ratatosk");
    assert_eq!(attribute(resource, "deployment.environment"), "test");
    assert!(
        attribute(resource, "service.instance.id").is_string() && attribute(resource, "service.version").is_string()
    );

    let scrape = gateway.metrics().await;
    let delivered = &metric(&push, "ratatosk_messages_delivered_total")["sum"];
    assert_eq!(delivered["aggregationTemporality"], "AGGREGATION_TEMPORALITY_CUMULATIVE");
    assert_eq!(delivered["isMonotonic"], true);
    let points = delivered["dataPoints"].as_array().expect("points");
    let sse = points.iter().find(|point| attribute(&point["attributes"], "connector") == "sse").expect("a point");
    assert_eq!(sse["asDouble"].as_f64(), scrape.sum("ratatosk_messages_delivered_total", &[("connector", "sse")]));
    assert!(metric(&push, "ratatosk_sessions")["gauge"]["dataPoints"].is_array());
    let latency = &metric(&push, "ratatosk_delivery_seconds")["histogram"]["dataPoints"][0];
    assert_eq!(latency["count"], "1");
    let counts = latency["bucketCounts"].as_array().expect("counts");
    assert_eq!(counts.len(), latency["explicitBounds"].as_array().expect("bounds").len() + 1);
    assert_eq!(counts.iter().filter(|count| **count == "1").count(), 1, "each delivery is in one bucket: {latency}");

    // Every metric that has a value in the scrape is in the push.
    for name in scrape.text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()) {
        let has_value = scrape.text.lines().any(|line| line.starts_with(name));
        assert!(!has_value || push.to_string().contains(&format!("\"{name}\"")), "{name}");
    }
    gateway
        .metric("ratatosk_otlp_exports_total", &[("signal", "metrics"), ("result", "ok")], |count| count > 0.5)
        .await;
    let log: String = gateway.process.lines().into_iter().map(|line| line.text).collect();
    assert!(!log.contains("s3cret"));
}

#[tokio::test]
async fn a_trace_goes_from_a_publisher_through_the_gateway_to_its_subscribers() {
    let (gateway, collector) = start(&format!("traces_sample = 0.000000001\n{HUB}")).await;
    let port = gateway.mqtt().await.port();
    let mut stream = gateway.sse(&[("channel", "traced/#")]).await;
    let mut device = Subscriber::start(port, "traced/#", &["-V", "mqttv5"]).await;

    // By HTTP: the header is the context.
    let theirs = format!("00-{TRACE}-{SPAN}-01");
    let headers = [("traceparent", theirs.as_str()), ("tracestate", "vendor=1")];
    let published = fetch(gateway.http, "POST", "/publish?channel=traced/http", &headers, b"1").await;
    assert_eq!(published.head.status, 200);
    let received = span(&collector, "http receive").await;
    assert_eq!((hex(&received["traceId"]), hex(&received["parentSpanId"])), (TRACE.to_owned(), SPAN.to_owned()));
    assert_eq!(attribute(&received["attributes"], "messaging.destination.name"), "traced/http");
    assert_eq!((&received["kind"], &received["flags"]), (&json!("SPAN_KIND_CONSUMER"), &json!(1)));
    let ours = hex(&received["spanId"]);
    for name in ["sse deliver", "mqtt deliver"] {
        let delivered = span(&collector, name).await;
        assert_eq!((hex(&delivered["traceId"]), hex(&delivered["parentSpanId"])), (TRACE.to_owned(), ours.clone()));
        assert_eq!(attribute(&delivered["attributes"], "messaging.batch.message_count"), "1");
        let nanos = |key: &str| delivered[key].as_str().and_then(|text| text.parse::<u64>().ok()).expect("a time");
        assert!(nanos("startTimeUnixNano") <= nanos("endTimeUnixNano"), "{delivered}");
    }
    // Subscribers are told our span, so that theirs hang below it.
    let context = format!("00-{TRACE}-{ours}-01");
    let message = stream.message().await;
    assert_eq!(message.json["properties"], json!([["traceparent", context], ["tracestate", "vendor=1"]]));
    let at_device = device.next().await;
    assert!(at_device.properties.iter().any(|text| text.contains(&context)), "{at_device:?}");

    // By MQTT 5: the user property is.
    let other = TRACE.replace("0af", "1bf");
    let theirs = format!("00-{other}-{SPAN}-01");
    let property = ["-V", "mqttv5", "-D", "publish", "user-property", "traceparent", &theirs];
    publish(port, "traced/mqtt", "2", &property).await;
    let received = span(&collector, "mqtt receive").await;
    assert_eq!(hex(&received["traceId"]), other);
    assert!(attribute(&received["attributes"], "messaging.client.id").is_string());
    let context = format!("00-{other}-{}-01", hex(&received["spanId"]));
    assert_eq!(stream.message().await.json["properties"], json!([["traceparent", context]]));
    device.next().await;

    // By Mercure's form: the header again.
    let form = [
        ("Content-Type", "application/x-www-form-urlencoded"),
        ("traceparent", theirs.as_str()),
        ("Authorization", PUBLISHER),
    ];
    let posted = fetch(gateway.http, "POST", "/.well-known/mercure", &form, b"topic=traced/hub&data=5").await;
    assert_eq!(posted.head.status, 200, "{}", String::from_utf8_lossy(&posted.body));
    let properties = stream.message().await.json["properties"].to_string();
    assert!(properties.contains(&format!("00-{other}-")) && !properties.contains(SPAN), "{properties}");
    device.next().await;

    // A sender that does not record its trace is not overruled, and its context goes on as it is.
    let untraced = format!("00-{}-{SPAN}-00", TRACE.replace("0af", "2cf"));
    fetch(gateway.http, "POST", "/publish?channel=traced/not", &[("traceparent", &untraced)], b"3").await;
    assert_eq!(stream.message().await.json["properties"], json!([["traceparent", untraced]]));
    // Nothing of what came without a context was picked by so small a share.
    gateway.publish("traced/plain", "4").await;
    assert_eq!(stream.message().await.json.get("properties"), None);
    gateway.metric("ratatosk_otlp_exports_total", &[("signal", "traces"), ("result", "ok")], |count| count > 8.5).await;
    assert_eq!(spans(&collector).len(), 9, "{:#?}", spans(&collector));
}

#[tokio::test]
async fn a_trace_passes_a_bridge() {
    let (gateway, collector) = start("traces_sample = 1").await;
    let broker = Mosquitto::start().await;
    let there = Gateway::with(&format!(
        "[[upstreams]]\nname = \"line\"\nkind = \"mqtt\"\nurl = \"{}\"\nin = [{{ from = \"traced/#\" }}]\n",
        broker.url()
    ))
    .await;
    there.metric("ratatosk_upstream_subscriptions", &[], |count| count > 0.5).await;
    let mut at_broker = broker.subscribe("traced/#", &["-V", "mqttv5"]).await;
    let mut stream = there.sse(&[("channel", "traced/#")]).await;
    let url = broker.url();
    let section = json!({ "name": "out", "kind": "mqtt", "url": url, "out": [{ "from": "traced/#" }] });
    assert_eq!(gateway.call("POST", "/api/upstreams", Some(&section)).await.head.status, 201);
    gateway.metric("ratatosk_upstream_up", &[], |up| up > 0.5).await;
    gateway.publish("traced/x", "1").await;
    let received = span(&collector, "http receive").await;
    let context = format!("00-{}-{}-01", hex(&received["traceId"]), hex(&received["spanId"]));
    let seen = at_broker.next().await;
    assert!(seen.properties.iter().any(|text| text.contains(&context)), "{seen:?}");
    let properties = stream.message().await.json["properties"].to_string();
    assert!(properties.contains(&context), "a gateway without [otlp] hands it on: {properties}");
}

#[tokio::test]
async fn a_collector_that_is_busy_or_away_costs_no_message_and_is_told_once() {
    let (mut gateway, mut collector) = start("metrics_interval = \"0s\"\ntraces_sample = 1").await;
    let refusal = json!({ "do": "answer", "status": 503, "times": 2, "retryAfter": "0" });
    collector.ask(&refusal, "told").await;
    let mut stream = gateway.sse(&[("channel", "a")]).await;
    for n in 0..100 {
        gateway.publish("a", n.to_string()).await;
        assert_eq!(stream.message().await.data(), &json!(n));
    }
    // What was refused comes again, whole.
    let ok = [("signal", "traces"), ("result", "ok")];
    gateway.metric("ratatosk_otlp_exports_total", &ok, |count| count > 199.5).await;
    assert_eq!(collector.all("refused").len(), 2);
    assert_eq!(spans(&collector).len(), 200, "a receive and a delivery for each message, each once");
    assert!(collector.all("metrics").is_empty(), "an interval of 0s is never");
    // What will never be taken is dropped and counted.
    collector.ask(&json!({ "do": "answer", "status": 400, "times": 1 }), "told").await;
    gateway.publish("a", "last").await;
    gateway
        .metric("ratatosk_otlp_exports_total", &[("signal", "traces"), ("result", "dropped")], |count| count > 0.5)
        .await;
    let warnings = gateway.process.lines().iter().filter(|line| line.text.contains("does not take all")).count();
    assert!((1..=2).contains(&warnings), "{warnings}");
    // What is queued at the end is sent before it.
    gateway.publish("a", "at the end").await;
    gateway.process.signal(rustix::process::Signal::INT);
    assert!(gateway.process.exit().await.success());
    eventually("the last spans", async || (spans(&collector).len() >= 202).then_some(())).await;
}

#[tokio::test]
async fn what_cannot_be_is_found_at_check() {
    let directory = tempfile::TempDir::new().expect("a directory");
    let file = directory.path().join("bad.toml");
    let config =
        "[otlp]\nendpoint = \"grpc://127.0.0.1:4317\"\ntraces_sample = 2\nheaders = { \"bad header\" = \"x\" }\n";
    std::fs::write(&file, config).expect("a file to write");
    let output =
        std::process::Command::new(ratatosk_tests::gateway::binary()).args(["check", "--config"]).arg(&file).output();
    let output = output.expect("the binary");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{text}");
    for key in ["otlp.endpoint", "otlp.traces_sample", "otlp.headers"] {
        assert!(text.contains(key), "{text}");
    }
}
