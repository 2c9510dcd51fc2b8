//! One list of rules for all protocols: the same people are allowed and refused the same things by each of them.

use std::process::Command;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ratatosk_tests::bayeux::{Bayeux, NODE};
use ratatosk_tests::gateway::binary;
use ratatosk_tests::http::{fetch, query};
use ratatosk_tests::mqtt::{Client, Endpoint, Mqtt};
use ratatosk_tests::ports::free_port;
use ratatosk_tests::pusher::{Kind, Pusher};
use ratatosk_tests::tls::Certificates;
use ratatosk_tests::{Gateway, Script, SseStream, mosquitto};
use serde_json::{Value, json};

const SECRET: &str = "a shared secret of thirty-two bytes and more";

const CONFIG: &str = r##"
[auth.jwt]
secret = "a shared secret of thirty-two bytes and more"
issuers = ["tests"]
audiences = ["gateway"]
leeway = "0s"

[[auth.users]]
name = "ann"
password = "plain:squirrel"
groups = ["staff"]

[[auth.users]]
name = "root"
password = "plain:eagle"

[[auth.rules]]
who = { users = ["root"] }
may = ["publish", "subscribe", "presence"]
on = ["#"]

[[auth.rules]]
may = ["publish", "subscribe"]
on = ["lab/secret/#"]
effect = "deny"

[[auth.rules]]
who = { groups = ["staff"] }
may = ["publish", "subscribe"]
on = ["lab/#"]

[[auth.rules]]
may = ["publish", "subscribe"]
on = ["users/{user}/#"]

[[auth.rules]]
may = ["subscribe"]
on = ["public/#"]

[[pusher.apps]]
id = "demo"
key = "demo-key"
secret = "demo-secret"
client_events = true

[[pusher.mounts]]
channel = "users/#"
as = "private-users.*"

[[pusher.mounts]]
channel = "lab/#"
as = "private-lab.*"

[[pusher.mounts]]
channel = "public/#"
as = "private-public.*"

[[pusher.mounts]]
channel = "other/#"
as = "private-other.*"
"##;

/// The channel; whether joe may publish and subscribe; whether ann may.
const TABLE: [(&str, [bool; 2], [bool; 2]); 6] = [
    ("users/joe/x", [true, true], [false, false]),
    ("users/ann/x", [false, false], [true, true]),
    ("lab/x", [false, false], [true, true]),
    ("lab/secret/x", [false, false], [false, false]),
    ("public/x", [false, true], [false, true]),
    ("other/x", [false, false], [false, false]),
];

/// Filters that go further than what is allowed: refused, not narrowed.
const TOO_WIDE: [&str; 4] = ["#", "users/#", "lab/#", "+/x"];

/// The two people of the table: joe comes with a token, ann with a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Person {
    Joe,
    Ann,
}

impl Person {
    const BOTH: [Self; 2] = [Self::Joe, Self::Ann];

    fn rows(self) -> impl Iterator<Item = (&'static str, bool, bool)> {
        TABLE.into_iter().map(move |(channel, joe, ann)| {
            let [publishes, subscribes] = if self == Self::Joe { joe } else { ann };
            (channel, publishes, subscribes)
        })
    }

    fn authorization(self) -> String {
        match self {
            Self::Joe => format!("Bearer {}", token("joe", "1h", &[])),
            Self::Ann => format!("Basic {}", STANDARD.encode("ann:squirrel")),
        }
    }
}

/// A token as `ratatosk token` makes it.
fn token(user: &str, ttl: &str, more: &[&str]) -> String {
    let mut command = Command::new(binary());
    command.args([
        "token",
        "--secret",
        SECRET,
        "--issuer",
        "tests",
        "--audience",
        "gateway",
        "--user",
        user,
        "--ttl",
        ttl,
    ]);
    let output = command.args(more).output().expect("the binary runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text").trim().to_owned()
}

async fn gateway(more: &str) -> Gateway {
    Gateway::setup().config(CONFIG).config(more).start().await
}

/// Somebody who sees all, to see what was let through.
async fn observer(gateway: &Gateway) -> SseStream {
    let root = format!("Basic {}", STANDARD.encode("root:eagle"));
    let mut stream = gateway.sse_with(&[("channel", "#")], &[("Authorization", &root)]).await;
    stream.block().await.expect("a stream");
    stream
}

/// What the observer sees next is this person's publication, or, if it may not publish, root's mark.
async fn expect(gateway: &Gateway, observer: &mut SseStream, channel: &str, allowed: bool, context: &str) {
    if allowed {
        assert_eq!(observer.message().await.channel(), channel, "{context}");
        return;
    }
    let root = format!("Basic {}", STANDARD.encode("root:eagle"));
    let target = format!("/publish{}", query(&[("channel", "mark")]));
    let answer = fetch(gateway.http, "POST", &target, &[("Authorization", &root)], b"1").await;
    assert_eq!(answer.head.status, 200);
    assert_eq!(observer.message().await.channel(), "mark", "{context}");
}

#[tokio::test]
async fn mqtt_clients_are_held_to_the_rules() {
    let gateway = gateway("").await;
    let endpoint = Endpoint::of(&gateway).await;
    let mut observer = observer(&gateway).await;
    for (person, version) in Person::BOTH.into_iter().flat_map(|person| [(person, 5), (person, 4)]) {
        let options = match person {
            Person::Joe => json!({"version": version, "username": "jwt", "password": token("joe", "1h", &[])}),
            Person::Ann => json!({"version": version, "username": "ann", "password": "squirrel"}),
        };
        let mut client = Mqtt::connect(Client::Paho, endpoint, options).await;
        let refused = if version == 5 { 0x87 } else { 0x80 };
        for (channel, publishes, subscribes) in person.rows() {
            let context = format!("{person:?} {channel} over MQTT {version}");
            let codes = client.subscribe(channel, 1).await;
            assert_eq!(codes, json!([if subscribes { 1 } else { refused }]), "{context}");
            let told = client.publish_with(channel, "1", json!({"qos": 1})).await;
            // Before version 5, a refusal cannot be told.
            assert_eq!(told["code"] == 0x87, version == 5 && !publishes, "{context}: {told}");
            expect(&gateway, &mut observer, channel, publishes, &context).await;
        }
        for wide in TOO_WIDE {
            assert_eq!(client.subscribe(wide, 0).await, json!([refused]), "{person:?} {wide}");
        }
        client.disconnect().await;
    }
}

#[tokio::test]
async fn bayeux_clients_are_held_to_the_rules() {
    let gateway = gateway("[bayeux]\ntimeout = \"400ms\"").await;
    let mut observer = observer(&gateway).await;
    for (person, kind) in Person::BOTH.into_iter().flat_map(|person| [(person, NODE[0]), (person, NODE[1])]) {
        let ext = match person {
            Person::Joe => json!({"token": token("joe", "1h", &[])}),
            Person::Ann => json!({"authentication": {"user": "ann", "password": "squirrel"}}),
        };
        let options = json!({"handshake": {"ext": ext}});
        let mut client = Bayeux::connect_with(kind, &gateway.url("/bayeux"), options).await;
        for (channel, publishes, subscribes) in person.rows() {
            let context = format!("{person:?} {channel} over {kind:?}");
            let command = json!({"do": "subscribe", "channel": format!("/{channel}")});
            let reply = client.script.ask(&command, "subscribed").await;
            assert_eq!(reply["successful"], subscribes, "{context}: {reply}");
            let denied = |reply: &Value, what: &str| reply["error"] == format!("403:not_allowed:{what}");
            assert!(subscribes || denied(&reply, "subscribe_denied"), "{context}: {reply}");
            let reply = client.publish(&format!("/{channel}"), json!(1)).await;
            assert_eq!(reply["successful"], publishes, "{context}: {reply}");
            assert!(publishes || denied(&reply, "publish_denied"), "{context}: {reply}");
            expect(&gateway, &mut observer, channel, publishes, &context).await;
        }
        let command = json!({"do": "subscribe", "channel": "/users/**"});
        assert_eq!(client.script.ask(&command, "subscribed").await["successful"], false);
        client.disconnect().await;
    }
}

#[tokio::test]
async fn event_streams_and_http_publishers_are_held_to_the_rules() {
    let gateway = gateway("").await;
    let mut observer = observer(&gateway).await;
    for person in Person::BOTH {
        let authorization = person.authorization();
        let cookie = format!("theme=dark; ratatosk_token={}", token("joe", "1h", &[]));
        let mut shown = vec![("Authorization", authorization.as_str())];
        if person == Person::Joe {
            shown.push(("Cookie", cookie.as_str()));
        }
        for header in shown {
            for (channel, publishes, subscribes) in person.rows() {
                let context = format!("{person:?} {channel} by {}", header.0);
                let target = format!("/sse{}", query(&[("channel", channel)]));
                if subscribes {
                    SseStream::open(gateway.http, &target, &[header]).await;
                } else {
                    fetch(gateway.http, "GET", &target, &[header], b"").await.assert_problem(403);
                }
                let target = format!("/publish{}", query(&[("channel", channel)]));
                let answer = fetch(gateway.http, "POST", &target, &[header], b"1").await;
                if publishes {
                    assert_eq!(answer.head.status, 200, "{context}");
                } else {
                    let problem = answer.assert_problem(403);
                    assert_eq!(problem["type"], "urn:ratatosk:problem:publish-denied", "{context}");
                }
                expect(&gateway, &mut observer, channel, publishes, &context).await;
            }
            for wide in TOO_WIDE {
                // One filter too many refuses the whole stream.
                let target = format!("/sse{}", query(&[("channel", "public/x"), ("channel", wide)]));
                fetch(gateway.http, "GET", &target, &[header], b"").await.assert_problem(403);
            }
        }
    }
}

#[tokio::test]
async fn pusher_clients_are_held_to_the_rules_on_what_they_share() {
    let gateway = gateway("").await;
    let mut observer = observer(&gateway).await;
    for (person, name) in [(Person::Joe, "joe"), (Person::Ann, "ann")] {
        let options = json!({"userId": name, "watchlist": ["nobody"]});
        let mut client = Pusher::connect_with(Kind::Node, gateway.http, options).await;
        // What is told of the watchlist comes after the sign-in.
        client.script.ask(&json!({"do": "signin"}), "watchlist").await;
        for (channel, publishes, subscribes) in person.rows() {
            let context = format!("{person:?} {channel}");
            let written = format!("private-{}", channel.replace('/', "."));
            if !subscribes {
                client.script.send(&json!({"do": "subscribe", "channel": written})).await;
                let error = client.event_named("pusher:subscription_error").await;
                assert_eq!((&error["channel"], &error["data"]["status"]), (&json!(written), &json!(403)), "{context}");
                continue;
            }
            client.subscribe(&written).await;
            client.trigger(&written, "client-note", json!({"n": 1})).await;
            while !publishes && client.script.expect("fault").await["code"] != 4301 {}
            expect(&gateway, &mut observer, channel, publishes, &context).await;
        }
    }
    // The application's own channels are its own business: its signature is enough. A public one is everybody's.
    let mut stranger = Pusher::connect(Kind::Node, &gateway, "nobody").await;
    stranger.subscribe("private-chat").await;
    stranger.script.send(&json!({"do": "subscribe", "channel": "chat"})).await;
    assert_eq!(stranger.event_named("pusher:subscription_error").await["channel"], "chat");
}

#[tokio::test]
async fn strangers_and_forgers_are_turned_away_in_each_protocols_words() {
    let gateway = gateway("").await;
    let endpoint = Endpoint::of(&gateway).await;
    let good = token("joe", "1h", &[]);
    let forged = format!("{}x", good.trim_end_matches('x'));
    let foreign = token("joe", "1h", &["--claim", "aud=another"]);
    let early = token("joe", "1h", &["--claim", "nbf=99999999999"]);
    let expired = token("joe", "1h", &["--claim", "exp=1000000000"]);
    for (token, code) in
        [(None, 0x87), (Some(&forged), 0x86), (Some(&foreign), 0x86), (Some(&early), 0x86), (Some(&expired), 0x87)]
    {
        for (version, code) in [(5, code), (4, if code == 0x87 { 5 } else { 4 })] {
            let mut options = json!({"version": version});
            if let Some(token) = token {
                options["username"] = json!("jwt");
                options["password"] = json!(token);
            }
            let mut client = Mqtt::launch(Client::Paho, endpoint, options);
            let connected = client.script.expect("connected").await;
            // paho tells version 3's codes as those of version 5.
            let same = if version == 4 { if code == 5 { 0x87 } else { 0x86 } } else { code };
            assert_eq!(connected["code"], same, "{token:?} over {version}");
        }
        let headers: Vec<(&str, String)> =
            token.iter().map(|token| ("Authorization", format!("Bearer {token}"))).collect();
        let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let answer = fetch(gateway.http, "GET", "/sse?channel=public/x", &headers, b"").await;
        answer.assert_problem(401);
        assert!(
            answer.head.headers.iter().any(|(name, value)| name == "www-authenticate" && value.starts_with("Bearer"))
        );
        fetch(gateway.http, "POST", "/publish?channel=public/x", &headers, b"1").await.assert_problem(401);
        let mut shake =
            json!({"channel": "/meta/handshake", "version": "1.0", "supportedConnectionTypes": ["long-polling"]});
        if let Some(token) = token {
            shake["ext"] = json!({ "token": token });
        }
        let answer = fetch(
            gateway.http,
            "POST",
            "/bayeux",
            &[("Content-Type", "application/json")],
            shake.to_string().as_bytes(),
        )
        .await;
        let reply = answer.json()[0].clone();
        let error = reply["error"].as_str().unwrap_or_default();
        assert!(error.starts_with("403:") && error.ends_with(":handshake_denied"), "{reply}");
        assert_eq!((&reply["successful"], &reply["advice"]["reconnect"]), (&json!(false), &json!("none")), "{reply}");
    }
    // The token of a page's cookie counts for our own pages only.
    let cookie = format!("ratatosk_token={good}");
    let page = |origin: &'static str| {
        [("Cookie", cookie.as_str()), ("Origin", origin)].map(|(name, value)| (name, value.to_owned()))
    };
    for (origin, status) in [("https://evil.example", 401), ("", 200)] {
        let own = format!("http://{}", gateway.http);
        let mut headers = page(origin).to_vec();
        if origin.is_empty() {
            headers[1].1 = own;
        }
        let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let answer = fetch(gateway.http, "POST", "/publish?channel=users/joe/x", &headers, b"1").await;
        assert_eq!(answer.head.status, status, "{origin}");
    }
    assert!(gateway.process.lines().iter().all(|line| !line.text.contains(&good)), "a token is in the log");
}

#[tokio::test]
async fn an_expired_token_ends_what_it_opened_and_a_new_one_goes_on() {
    let gateway = gateway("[sse]\ntoken_warning = \"1h\"\n[bayeux]\ntimeout = \"30s\"").await;
    let endpoint = Endpoint::of(&gateway).await;
    let (short, long) = (token("joe", "20s", &[]), token("joe", "30m", &[]));
    let bearer = |token: &str| format!("Bearer {token}");
    let channel = [("channel", "users/joe/x")];
    let mut ends = gateway.sse_with(&channel, &[("Authorization", &bearer(&short))]).await;
    let mut stays = gateway.sse_with(&channel, &[("Authorization", &bearer(&short))]).await;
    let mut device =
        Mqtt::connect(Client::Paho, endpoint, json!({"username": "joe", "password": short, "version": 5})).await;
    let options = json!({"handshake": {"ext": {"token": short}}, "timeout": 30_000});
    let mut page = Bayeux::connect_with(NODE[0], &gateway.url("/bayeux"), options).await;
    let warning = stays.event().await;
    assert_eq!(warning.event.as_deref(), Some("token-expiring"));
    assert!(warning.json()["seconds"].as_u64().is_some_and(|seconds| seconds <= 20));
    let stream = warning.json()["stream"].as_str().expect("the stream's id").to_owned();
    let target = format!("/sse/token{}", query(&[("stream", &stream)]));
    // Not with another's token, nor with one that does not allow what the stream follows.
    let other = bearer(&token("eve", "30m", &[]));
    fetch(gateway.http, "POST", &target, &[("Authorization", &other)], b"").await.assert_problem(404);
    let narrow = bearer(&token("joe", "30m", &["--subscribe", "public/#"]));
    fetch(gateway.http, "POST", &target, &[("Authorization", &narrow)], b"").await.assert_problem(403);
    let changed = fetch(gateway.http, "POST", &target, &[("Authorization", &bearer(&long))], b"").await;
    assert_eq!(changed.head.status, 200);
    assert!(changed.json()["expires_in"].as_u64().is_some_and(|seconds| seconds > 60));
    let again = stays.event().await;
    assert!(again.json()["seconds"].as_u64().is_some_and(|seconds| seconds > 60), "{again:?}");
    // The others end, each told in its own way.
    assert_eq!(ends.event().await.event.as_deref(), Some("token-expiring"));
    while ends.block().await.is_some() {}
    assert_eq!(device.script.expect("disconnected").await["code"], 0x87);
    loop {
        let connect = page.script.expect("connect").await;
        if connect["advice"]["reconnect"] == "handshake" {
            break;
        }
    }
    // CometD's client shakes hands again, with the same token.
    assert_eq!(page.script.expect("handshake").await["successful"], false);
    // The stream with the new token lives on.
    let target = format!("/publish{}", query(&channel));
    let answer = fetch(gateway.http, "POST", &target, &[("Authorization", &bearer(&long))], b"1").await;
    assert_eq!(answer.head.status, 200);
    assert_eq!(stays.message().await.channel(), "users/joe/x");
}

#[tokio::test]
async fn a_browsers_eventsource_comes_in_by_a_ticket_once() {
    let gateway = gateway("").await;
    let bearer = format!("Bearer {}", token("joe", "1h", &[]));
    fetch(gateway.http, "POST", "/sse/ticket", &[], b"").await.assert_problem(401);
    let answer = fetch(gateway.http, "POST", "/sse/ticket", &[("Authorization", &bearer)], b"").await;
    assert_eq!((answer.head.status, answer.head.header("cache-control")), (200, Some("no-store")));
    let ticket = answer.json()["ticket"].as_str().expect("a ticket").to_owned();
    assert_eq!(answer.json()["expires_in"], 30);
    let url = gateway.url(&format!("/sse{}", query(&[("channel", "users/joe/x"), ("ticket", &ticket)])));
    let mut page = Script::node("browser-eventsource.mjs", &json!({ "url": url }));
    page.expect("open").await;
    let target = format!("/publish{}", query(&[("channel", "users/joe/x")]));
    fetch(gateway.http, "POST", &target, &[("Authorization", &bearer)], b"\"hello\"").await;
    let message = page.expect("message").await;
    assert!(message["data"].as_str().is_some_and(|data| data.contains("\"hello\"")), "{message}");
    // Used up, for this page and for whoever has read its address.
    page.send(&json!({"open": [url]})).await;
    let closed = page.expect("closed").await;
    assert_eq!((&closed["name"], &closed["state"]), (&json!(url), &json!(2)));
    page.finish().await;
    let other = fetch(gateway.http, "POST", "/sse/ticket", &[("Authorization", &bearer)], b"").await;
    let other = other.json()["ticket"].as_str().expect("a ticket").to_owned();
    // It buys no other ticket.
    let target = format!("/sse/ticket{}", query(&[("ticket", &other)]));
    fetch(gateway.http, "POST", &target, &[], b"").await.assert_problem(401);
    let target = format!("/sse{}", query(&[("channel", "users/ann/x"), ("ticket", &other)]));
    fetch(gateway.http, "GET", &target, &[], b"").await.assert_problem(403);
    let log = gateway.process.lines();
    assert!(
        log.iter().all(|line| !line.text.contains(&ticket) && !line.text.contains(&other)),
        "a ticket is in the log"
    );
}

#[tokio::test]
async fn other_rules_are_put_in_force_while_it_runs() {
    let gateway = gateway("").await;
    let bearer = format!("Bearer {}", token("joe", "1h", &[]));
    let publish = async |channel: &str| {
        let target = format!("/publish{}", query(&[("channel", channel)]));
        fetch(gateway.http, "POST", &target, &[("Authorization", &bearer)], b"1").await.head.status
    };
    assert_eq!((publish("users/joe/x").await, publish("news").await), (200, 403));
    let rule = "[[auth.rules]]\nmay = [\"publish\"]\non = [\"news\"]\n";
    assert!(!gateway.reload(&format!("[auth.jwt]\nsecret = \"short\"\n{rule}")).await);
    assert_eq!(publish("users/joe/x").await, 200, "what is wrong is not taken");
    let tokens = format!("[auth.jwt]\nsecret = \"{SECRET}\"\nissuers = [\"tests\"]\naudiences = [\"gateway\"]\n");
    assert!(gateway.reload(&format!("{tokens}{rule}")).await);
    assert_eq!((publish("users/joe/x").await, publish("news").await), (403, 200));
}

/// A browser at a page of this port, with every client in it.
fn browser(gateway: &Gateway, page: u16, person: &str, cookie: Option<&str>) -> Script {
    let mut options = json!({
        "url": gateway.url("").trim_end_matches('/'),
        "pagePort": page,
        "channel": "lab/x",
        "pusherChannel": "private-lab.x",
        "key": "demo-key",
        "secret": "demo-secret",
        "userId": person,
    });
    if let Some(token) = cookie {
        options["cookie"] = json!(token);
        options["token"] = json!(token);
    }
    Script::node("browser-access.mjs", &options)
}

const CLIENTS: [&str; 4] = ["eventsource", "pusher", "mqtt", "cometd"];

#[tokio::test]
async fn a_browser_reads_by_every_client_what_a_device_with_a_certificate_says_and_one_without_rights_by_none() {
    let pages = [free_port(), free_port(), free_port()];
    let origins = pages.map(|port| format!("\"http://127.0.0.1:{port}\"")).join(", ");
    let certificates = Certificates::new();
    certificates.issue("device", "/OU=staff/CN=device-7", "extendedKeyUsage=clientAuth\n", 2);
    let [ca, cert, key] = ["ca.crt", "server.crt", "server.key"].map(|name| certificates.text(name));
    let tls = format!("[tls]\ncert = \"{cert}\"\nkey = \"{key}\"\nclient_auth = \"optional\"\nclient_ca = \"{ca}\"\n");
    let doors = format!("[http]\ncors_origins = [{origins}]\n[mqtt]\ntls_listen = \"127.0.0.1:0\"\n{tls}");
    let gateway = gateway(&doors).await;
    let port = gateway.listener("mqtts").await.port();
    // Ann is staff, by her token too; eve has a good token and no rights; nobody has none.
    let (ann, eve) = (token("ann", "1h", &["--group", "staff"]), token("eve", "1h", &[]));
    let mut reader = browser(&gateway, pages[0], "ann", Some(&ann));
    for client in CLIENTS {
        let told = reader.expect(client).await;
        assert_eq!(told["allowed"], true, "{client}: {told}");
    }
    // The device shows its certificate, and nothing else.
    let [cert, key] = ["device.crt", "device.key"].map(|name| certificates.text(name));
    let shown = ["-q", "1", "-V", "5", "--cafile", &ca, "--cert", &cert, "--key", &key];
    mosquitto::publish(port, "lab/x", r#"{"c":21.5}"#, &shown).await;
    let mut heard: Vec<String> = Vec::new();
    for _ in CLIENTS {
        let message = reader.expect("message").await;
        assert_eq!(message["data"], json!({"c": 21.5}), "{message}");
        heard.push(message["client"].as_str().unwrap_or_default().to_owned());
    }
    heard.sort_unstable();
    assert_eq!(heard, ["cometd", "eventsource", "mqtt", "pusher"]);
    for (page, person, cookie) in [(pages[1], "eve", Some(eve.as_str())), (pages[2], "nobody", None)] {
        let mut stranger = browser(&gateway, page, person, cookie);
        for client in CLIENTS {
            let told = stranger.expect(client).await;
            assert_eq!(told["allowed"], false, "{person} by {client}: {told}");
        }
        mosquitto::publish(port, "lab/x", "2", &shown).await;
        assert_eq!(reader.expect("message").await["data"], 2, "who may read reads on");
        for _ in 1..CLIENTS.len() {
            reader.expect("message").await;
        }
        assert!(stranger.all("message").is_empty(), "{person} heard something");
    }
}
