//! The Mercure hub with a plain `curl` as publisher and a page in headless Chromium as subscriber.

use ratatosk_tests::http::query;
use ratatosk_tests::{Gateway, Script};
use serde_json::json;
use tokio::process::Command;

const CONFIG: &str = r#"


[sse.mercure]
publisher_jwt_key = "!ChangeThisMercureHubJWTSecretKey!"
subscriber_jwt_key = "!ChangeThisMercureHubJWTSecretKey!"
anonymous = true
"#;
/// `{"mercure":{"publish":["*"]}}`, signed with the key above.
const PUBLISHER: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJtZXJjdXJlIjp7InB1Ymxpc2giOlsiKiJdfX0.a8cjcSRUAcHdnGNMKifA4BK5epRXxQI0UBp2XpNrBdw";
/// `{"mercure":{"subscribe":["https://example.com/users/{id}"]}}`, signed with the key above.
const SUBSCRIBER: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJtZXJjdXJlIjp7InN1YnNjcmliZSI6WyJodHRwczovL2V4YW1wbGUuY29tL3VzZXJzL3tpZH0iXX19.65dJfv6R3FCb9G9tUzuUuyAeCcn7OjpjPFyjAdlfq28";

fn hub(gateway: &Gateway, parameters: &[(&str, &str)]) -> String {
    gateway.url(&format!("/.well-known/mercure?{}", query(parameters)))
}

/// What the documentation tells a publisher to type.
async fn curl(gateway: &Gateway, form: &[&str]) -> String {
    let mut command = Command::new("curl");
    command.args(["-sS", "--fail-with-body", "-H", &format!("Authorization: Bearer {PUBLISHER}")]);
    for field in form {
        command.args(["--data-urlencode", field]);
    }
    let output = command.arg(gateway.url("/.well-known/mercure")).output().await.expect("curl");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said} {}", String::from_utf8_lossy(&output.stderr));
    said
}

#[tokio::test]
async fn a_page_sees_what_curl_publishes_and_so_do_devices_and_streams() {
    let gateway = Gateway::with(CONFIG).await;
    let url = hub(&gateway, &[("topic", "https://example.com/books/{id}")]);
    let mut page = Script::node("browser-eventsource.mjs", &json!({ "url": url }));
    page.expect("open").await;
    let mut stream = gateway.sse(&[("channel", "https://example.com/books/+")]).await;
    let id = curl(&gateway, &["topic=https://example.com/books/1", "data={\"title\":\"Edda\"}"]).await;
    let message = page.expect("message").await;
    assert_eq!((&message["data"], &message["id"]), (&json!("{\"title\":\"Edda\"}"), &json!(id)));
    let seen = stream.message().await;
    assert_eq!((seen.channel(), seen.data()), ("https://example.com/books/1", &json!({"title": "Edda"})));
    // The other way: what anybody publishes is an update.
    gateway.publish("https://example.com/books/2", "by HTTP").await;
    assert_eq!(page.expect("message").await["data"], "by HTTP");
    page.finish().await;
}

#[tokio::test]
async fn private_updates_reach_only_who_may_see_them() {
    let gateway = Gateway::with(CONFIG).await;
    let topic = ("topic", "https://example.com/users/{id}");
    let mut friend = Script::node(
        "browser-eventsource.mjs",
        &json!({ "url": hub(&gateway, &[topic, ("authorization", SUBSCRIBER)]) }),
    );
    let mut stranger = Script::node("browser-eventsource.mjs", &json!({ "url": hub(&gateway, &[topic]) }));
    friend.expect("open").await;
    stranger.expect("open").await;
    let mut everything = gateway.sse(&[("channel", "#")]).await;
    curl(&gateway, &["topic=https://example.com/users/7", "data=secret", "private=on"]).await;
    curl(&gateway, &["topic=https://example.com/users/7", "data=public"]).await;
    assert_eq!(friend.expect("message").await["data"], "secret");
    assert_eq!(friend.expect("message").await["data"], "public");
    assert_eq!(stranger.expect("message").await["data"], "public");
    assert_eq!(everything.message().await.payload(), b"public");
    friend.finish().await;
    stranger.finish().await;
}

#[tokio::test]
async fn a_page_comes_back_to_its_place() {
    let gateway = Gateway::with(&format!("{CONFIG}\n[sse]\nmax_lifetime = \"300ms\"\nretry = \"100ms\"")).await;
    let url = hub(&gateway, &[("topic", "*")]);
    let mut page = Script::node("browser-eventsource.mjs", &json!({ "url": url }));
    page.expect("open").await;
    for n in 0..60 {
        curl(&gateway, &["topic=n", &format!("data={n}")]).await;
    }
    for n in 0..60 {
        assert_eq!(page.expect("message").await["data"], n.to_string(), "each once and in order over reconnections");
    }
    page.finish().await;
}
