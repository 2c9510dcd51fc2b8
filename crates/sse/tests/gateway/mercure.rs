//! The Mercure hub as publishers and subscribers see it.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use crate::harness::{Gateway, Reader, within};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ratatosk_core::{Channel, Origin, Publication};
use ratatosk_sse::config::{MercureConfig, SseConfig};
use serde_json::{Value, json};

const PUBLISHER: &str = "!ChangeThisMercureHubJWTSecretKey!";
const SUBSCRIBER: &str = "another key, for subscribers this time";
const HUB: &str = "/.well-known/mercure";

async fn hub(options: &Value) -> Gateway {
    let mut mercure = json!({"publisher_jwt_key": PUBLISHER, "subscriber_jwt_key": SUBSCRIBER, "anonymous": true});
    mercure.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
    let mercure: MercureConfig = serde_json::from_value(mercure).unwrap();
    Gateway::start(SseConfig { mercure: Some(mercure), ..SseConfig::default() }).await
}

fn token(key: &str, claims: &Value) -> String {
    let text = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","typ":"JWT"}"#),
        URL_SAFE_NO_PAD.encode(claims.to_string())
    );
    let tag = ring::hmac::sign(&ring::hmac::Key::new(ring::hmac::HMAC_SHA256, key.as_bytes()), text.as_bytes());
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(tag.as_ref()))
}

fn publisher(selectors: &[&str]) -> String {
    token(PUBLISHER, &json!({"mercure": {"publish": selectors}, "sub": "site"}))
}

fn subscriber(selectors: &[&str]) -> String {
    token(SUBSCRIBER, &json!({"mercure": {"subscribe": selectors, "payload": {"name": "ann"}}}))
}

trait AsPublisher {
    async fn publish(&self, form: &[(&str, &str)]) -> String;
    fn subscribe(&self, query: &[(&str, &str)]) -> reqwest::RequestBuilder;
}

impl AsPublisher for Gateway {
    async fn publish(&self, form: &[(&str, &str)]) -> String {
        let request = self.http.post(format!("{}{HUB}", self.base)).bearer_auth(publisher(&["*"])).form(form);
        let answer = within(request.send()).await.unwrap();
        assert_eq!(answer.status(), 200);
        answer.text().await.unwrap()
    }

    fn subscribe(&self, query: &[(&str, &str)]) -> reqwest::RequestBuilder {
        self.http.get(format!("{}{HUB}", self.base)).query(query)
    }
}

#[tokio::test]
async fn what_a_site_publishes_reaches_every_protocol_and_back() {
    let gateway = hub(&json!({})).await;
    let (_session, device) = gateway.other_protocol("#");
    let mut page = Reader::open(gateway.subscribe(&[("topic", "https://example.com/books/{id}")])).await;
    assert_eq!(page.header("content-type"), Some("text/event-stream; charset=utf-8"));
    assert_eq!(page.header("link"), Some("</.well-known/mercure>; rel=\"mercure\""));
    let id = gateway
        .publish(&[
            ("topic", "https://example.com/books/1"),
            ("data", "{\"a\":1}\r\nline 2"),
            ("type", "changed"),
            ("retry", "77"),
        ])
        .await;
    let event = page.next().await.unwrap();
    assert_eq!(
        (event.data.as_str(), event.event.as_deref(), &*event.id),
        ("{\"a\":1}\nline 2", Some("changed"), id.as_str())
    );
    assert_eq!(page.retry().unwrap().as_millis(), 77);
    let seen = within(device.recv_many(1)).await.unwrap();
    assert_eq!(seen[0].message.channel.as_str(), "https://example.com/books/1");
    assert_eq!((&seen[0].message.payload[..], seen[0].message.event()), (&b"{\"a\":1}\r\nline 2"[..], Some("changed")));
    assert_eq!(seen[0].message.origin.user.as_deref(), Some("site"));

    let from_device =
        Publication::new(Channel::new("https://example.com/books/2").unwrap(), "from a device", Origin::gateway());
    gateway.bus.publish(from_device).unwrap();
    assert_eq!(page.datas(1).await, ["from a device"]);
}

#[tokio::test]
async fn private_updates_are_for_those_who_may_see_them() {
    let gateway = hub(&json!({})).await;
    let (_session, device) = gateway.other_protocol("#");
    let everything = [("topic", "*")];
    let mut anonymous = Reader::open(gateway.subscribe(&everything)).await;
    let mut stranger = Reader::open(gateway.subscribe(&everything).bearer_auth(subscriber(&["other/{x}"]))).await;
    let mut friend = Reader::open(gateway.subscribe(&everything).bearer_auth(subscriber(&["user/{x}"]))).await;
    let with_query = [("topic", "user/7"), ("authorization", &subscriber(&["*"]))];
    let mut by_query = Reader::open(gateway.subscribe(&with_query)).await;
    let cookie = format!("mercureAuthorization={}", subscriber(&["user/7"]));
    let mut by_cookie = Reader::open(gateway.subscribe(&[("topic", "user/7")]).header("cookie", cookie)).await;
    gateway.publish(&[("topic", "user/7"), ("data", "secret"), ("private", "on")]).await;
    gateway.publish(&[("topic", "user/7"), ("data", "public")]).await;
    assert_eq!(friend.datas(2).await, ["secret", "public"]);
    assert_eq!(by_query.datas(2).await, ["secret", "public"]);
    assert_eq!(by_cookie.datas(2).await, ["secret", "public"]);
    assert_eq!(anonymous.datas(1).await, ["public"]);
    assert_eq!(stranger.datas(1).await, ["public"]);
    assert_eq!(within(device.recv_many(2)).await.unwrap().len(), 1, "wildcards of other protocols do not reach it");
    // Neither does history.
    let mut late = Reader::open(gateway.subscribe(&[("topic", "*"), ("lastEventID", "earliest")])).await;
    assert_eq!(late.datas(1).await, ["public"]);
    let early = [("topic", "user/{x}"), ("lastEventID", "earliest")];
    let mut late = Reader::open(gateway.subscribe(&early).bearer_auth(subscriber(&["user/{x}"]))).await;
    assert_eq!(late.datas(2).await, ["secret", "public"]);
}

#[tokio::test]
async fn an_update_with_alternate_topics_is_shown_once() {
    let gateway = hub(&json!({})).await;
    let mut all = Reader::open(gateway.subscribe(&[("topic", "*")])).await;
    let mut both = Reader::open(gateway.subscribe(&[("topic", "b"), ("topic", "c")])).await;
    let mut one = Reader::open(gateway.subscribe(&[("topic", "c")])).await;
    let mut none = Reader::open(gateway.subscribe(&[("topic", "d")])).await;
    gateway.publish(&[("topic", "a"), ("topic", "b"), ("topic", "c"), ("data", "1")]).await;
    gateway.publish(&[("topic", "d"), ("topic", "c"), ("data", "2")]).await;
    assert_eq!(all.datas(2).await, ["1", "2"]);
    assert_eq!(both.datas(2).await, ["1", "2"]);
    assert_eq!(one.datas(2).await, ["1", "2"]);
    assert_eq!(none.datas(1).await, ["2"]);
}

#[tokio::test]
async fn a_subscriber_comes_back_to_its_place() {
    let gateway = hub(&json!({})).await;
    let first = gateway.publish(&[("topic", "a"), ("data", "1")]).await;
    let named = gateway.publish(&[("topic", "a"), ("data", "2"), ("id", "urn:x:2")]).await;
    assert_eq!(named, "urn:x:2");
    gateway.publish(&[("topic", "a"), ("data", "3")]).await;
    let topic = [("topic", "a")];
    let mut by_position = Reader::open(gateway.subscribe(&topic).header("last-event-id", &first)).await;
    assert_eq!(by_position.header("last-event-id"), Some(&*first));
    let two = by_position.next().await.unwrap();
    assert_eq!((two.data.as_str(), &*two.id), ("2", "urn:x:2"));
    assert_eq!(by_position.datas(1).await, ["3"]);
    let mut by_name = Reader::open(gateway.subscribe(&topic).header("last-event-id", "urn:x:2")).await;
    assert_eq!(by_name.header("last-event-id"), Some("urn:x:2"));
    assert_eq!(by_name.datas(1).await, ["3"]);
    let mut unknown = Reader::open(gateway.subscribe(&[("topic", "a"), ("lastEventID", "urn:never-seen")])).await;
    assert_eq!(unknown.header("mercure-last-event-id"), Some("earliest"));
    assert_eq!(unknown.datas(3).await, ["1", "2", "3"]);
    // What is live follows what was missed.
    gateway.publish(&[("topic", "a"), ("data", "4")]).await;
    assert_eq!(unknown.datas(1).await, ["4"]);
    let last = unknown.last_event_id().to_owned();
    let fresh = Reader::open(gateway.subscribe(&topic)).await;
    assert_eq!(fresh.header("last-event-id"), None);
    gateway.publish(&[("topic", "a"), ("data", "5")]).await;
    let mut again = Reader::open(gateway.subscribe(&topic).header("last-event-id", last)).await;
    assert_eq!(again.datas(1).await, ["5"]);
}

#[tokio::test]
async fn matchers_of_version_1_and_long_lists_work() {
    let gateway = hub(&json!({})).await;
    let mut exact = Reader::open(gateway.subscribe(&[("match", "a/{id}")])).await;
    let mut pattern = Reader::open(gateway.subscribe(&[("match_urlpattern", "https://example.com/:kind/1")])).await;
    let form = (0..100)
        .map(|n| (if n % 2 == 0 { "topic" } else { "match" }, format!("https://example.com/{n}/1")))
        .collect::<Vec<_>>();
    let request = gateway
        .http
        .request(reqwest::Method::from_bytes(b"QUERY").unwrap(), format!("{}{HUB}", gateway.base))
        .form(&form);
    let mut long = Reader::open(request).await;
    gateway.publish(&[("topic", "a/1"), ("data", "no")]).await;
    gateway.publish(&[("topic", "a/{id}"), ("data", "yes")]).await;
    gateway.publish(&[("topic", "https://example.com/99/1"), ("data", "url")]).await;
    assert_eq!(exact.datas(1).await, ["yes"]);
    assert_eq!(pattern.datas(1).await, ["url"]);
    assert_eq!(long.datas(1).await, ["url"]);
    for (query, kind) in [
        ("matches=x", "bad-option"),
        ("", "no-topic"),
        ("topic=", "bad-selector"),
        ("match_urlpattern=%7B", "bad-selector"),
    ] {
        let answer = within(gateway.http.get(format!("{}{HUB}?{query}", gateway.base)).send()).await.unwrap();
        assert_eq!(answer.status(), 400, "{query}");
        assert!(answer.json::<Value>().await.unwrap()["type"].as_str().unwrap().ends_with(kind), "{query}");
    }
}

#[tokio::test]
async fn who_may_not_publish_is_told_why() {
    let gateway = hub(&json!({"anonymous": false})).await;
    let url = format!("{}{HUB}", gateway.base);
    let post = |token: Option<String>, form: &[(&str, &str)]| {
        let request = gateway.http.post(&url).form(form);
        token.map_or(request.try_clone().unwrap(), |token| request.bearer_auth(token))
    };
    let good = [("topic", "a")];
    let cases = [
        (post(None, &good), 401, "no-token"),
        (post(Some("x.y.z".to_owned()), &good), 401, "bad-token"),
        (post(Some(subscriber(&["*"])), &good), 401, "bad-token"),
        (post(Some(token(PUBLISHER, &json!({"exp": 1000}))), &good), 401, "bad-token"),
        (post(Some(token(PUBLISHER, &json!({"mercure": {}}))), &good), 403, "not-allowed"),
        (post(Some(publisher(&[])), &[("topic", "a"), ("private", "on")]), 403, "not-allowed"),
        (post(Some(publisher(&["a"])), &[("topic", "a"), ("topic", "b"), ("private", "on")]), 403, "not-allowed"),
        (post(Some(publisher(&["*"])), &[("data", "x")]), 400, "bad-update"),
        (post(Some(publisher(&["*"])), &[("topic", "/.well-known/mercure/subscriptions/a/b")]), 400, "bad-update"),
        (post(Some(publisher(&["*"])), &[("topic", "a"), ("data", &"x".repeat(2 << 20))]), 413, "body-too-large"),
        (gateway.http.get(&url).query(&good), 401, "no-token"),
        (gateway.http.put(&url), 405, "bad-method"),
        (
            gateway
                .http
                .post(&url)
                .form(&good)
                .header("cookie", format!("mercureAuthorization={}", publisher(&["*"])))
                .header("origin", "https://evil.example"),
            403,
            "origin-not-allowed",
        ),
    ];
    for (at, (request, status, kind)) in cases.into_iter().enumerate() {
        let answer = within(request.send()).await.unwrap();
        assert_eq!(answer.status(), status, "case {at}");
        assert_eq!(answer.headers().contains_key("www-authenticate"), status == 401, "case {at}");
        assert!(answer.json::<Value>().await.unwrap()["type"].as_str().unwrap().ends_with(kind), "case {at}");
    }
    assert_eq!(
        post(Some(publisher(&[])), &good).send().await.unwrap().status(),
        200,
        "an empty list allows public updates"
    );
    let trusted =
        gateway.http.post(&url).form(&good).header("cookie", format!("mercureAuthorization={}", publisher(&["*"])));
    let answer = trusted.header("origin", "https://named.example").send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["access-control-allow-credentials"], "true");
}

#[tokio::test]
async fn a_stream_ends_with_its_token() {
    let gateway = hub(&json!({})).await;
    let now = jsonwebtoken::get_current_timestamp();
    // Within the clocks' tolerance: accepted, and over at once.
    let nearly = token(SUBSCRIBER, &json!({"exp": now - 3}));
    let mut page = Reader::open(gateway.subscribe(&[("topic", "a")]).bearer_auth(nearly)).await;
    assert_eq!(page.next().await, None);
}

#[tokio::test]
async fn subscriptions_are_listed_and_told() {
    let gateway = hub(&json!({"subscriptions": true})).await;
    let list = format!("{}{HUB}/subscriptions", gateway.base);
    let may_list =
        subscriber(&["/.well-known/mercure/subscriptions{/topic}{/subscriber}", "/.well-known/mercure/subscriptions"]);
    let watch = [("topic", "/.well-known/mercure/subscriptions{/topic}{/subscriber}")];
    let mut watcher = Reader::open(gateway.subscribe(&watch).bearer_auth(&may_list)).await;
    let own: Value = serde_json::from_str(&watcher.next().await.unwrap().data).unwrap();
    assert_eq!((&own["active"], &own["payload"]), (&json!(true), &json!({"name": "ann"})));
    let page = Reader::open(gateway.subscribe(&[("topic", "a b/{id}")])).await;
    let told: Value = serde_json::from_str(&watcher.next().await.unwrap().data).unwrap();
    assert_eq!(
        (&told["type"], &told["topic"], &told["active"]),
        (&json!("Subscription"), &json!("a b/{id}"), &json!(true))
    );
    let id = told["id"].as_str().unwrap();
    assert!(id.starts_with("/.well-known/mercure/subscriptions/a%20b%2F%7Bid%7D/urn%3Auuid%3A"), "{id}");

    let get = |url: String| gateway.http.get(url).bearer_auth(&may_list);
    let all: Value = get(list.clone()).send().await.unwrap().json().await.unwrap();
    assert_eq!((all["subscriptions"].as_array().unwrap().len(), &all["type"]), (2, &json!("Subscriptions")));
    let of_topic: Value = get(format!("{list}/a%20b%2F%7Bid%7D")).send().await.unwrap().json().await.unwrap();
    assert_eq!(of_topic["subscriptions"][0]["id"], told["id"]);
    let one: Value = get(format!("{}{id}", gateway.base)).send().await.unwrap().json().await.unwrap();
    assert_eq!(one["subscriber"], told["subscriber"]);
    assert_eq!(get(format!("{list}/x/y")).send().await.unwrap().status(), 404);
    assert_eq!(gateway.http.get(&list).send().await.unwrap().status(), 401);
    assert_eq!(gateway.http.get(&list).bearer_auth(subscriber(&["x"])).send().await.unwrap().status(), 403);

    drop(page);
    let gone: Value = serde_json::from_str(&watcher.next().await.unwrap().data).unwrap();
    assert_eq!((&gone["id"], &gone["active"]), (&told["id"], &json!(false)));
    // The snapshot says where the stream goes on.
    let cursor = all["lastEventID"].as_str().unwrap();
    let since = gateway.subscribe(&watch).bearer_auth(&may_list).header("last-event-id", cursor);
    let first: Value = serde_json::from_str(&Reader::open(since).await.next().await.unwrap().data).unwrap();
    assert_eq!(first["id"], told["id"]);
}

#[tokio::test]
async fn it_works_over_http_2() {
    let gateway = hub(&json!({})).await;
    let http2 = reqwest::Client::builder().no_proxy().http2_prior_knowledge().build().unwrap();
    let url = format!("{}{HUB}", gateway.base);
    gateway.publish(&[("topic", "a"), ("data", "0")]).await;
    let mut streams = Vec::new();
    for _ in 0..10 {
        let request = http2.get(&url).query(&[("topic", "a"), ("lastEventID", "earliest")]);
        streams.push(Reader::open(request).await);
    }
    gateway.publish(&[("topic", "a"), ("topic", "b"), ("data", "1")]).await;
    for stream in &mut streams {
        assert_eq!(stream.datas(2).await, ["0", "1"]);
    }
    gateway.life.close();
    for stream in &mut streams {
        assert_eq!(stream.next().await, None);
    }
}

#[tokio::test]
async fn head_and_preflight_are_answered() {
    let gateway = hub(&json!({})).await;
    let url = format!("{}{HUB}?topic=a", gateway.base);
    let head = within(gateway.http.head(&url).send()).await.unwrap();
    assert_eq!(
        (head.status().as_u16(), &head.headers()["content-type"]),
        (200, &"text/event-stream; charset=utf-8".parse().unwrap())
    );
    let options = gateway
        .http
        .request(reqwest::Method::OPTIONS, &url)
        .header("origin", "https://named.example")
        .send()
        .await
        .unwrap();
    assert_eq!(options.status(), 204);
    assert_eq!(options.headers()["access-control-allow-origin"], "https://named.example");
}
