//! A server that says what Salesforce says (its Streaming API guide, "Error Codes" and "Message Durability").

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use axum::{Json, Router, extract::State as Shared, http::HeaderMap, response::IntoResponse, routing::post};
use ratatosk_connector::upstream::State;
use ratatosk_core::{Bus, MonitorEvent, MonitorHandler, monitor::Monitored};
use serde_json::{Value, json};

use crate::support::{Listener, bridge, until};

#[derive(Default)]
struct Script {
    seen: Mutex<Vec<Value>>,
    /// Events that the next connects carry.
    events: Mutex<VecDeque<Value>>,
    /// Connect replies that come instead of success.
    failures: Mutex<VecDeque<Value>>,
    handshakes: Mutex<usize>,
    tokens: Mutex<Vec<String>>,
    given: Mutex<usize>,
}

async fn cometd(
    Shared(script): Shared<Arc<Script>>,
    headers: HeaderMap,
    Json(batch): Json<Vec<Value>>,
) -> impl IntoResponse {
    let token = headers.get("authorization").map_or("", |value| value.to_str().unwrap()).to_owned();
    script.tokens.lock().unwrap().push(token);
    let mut replies = Vec::new();
    for message in batch {
        script.seen.lock().unwrap().push(message.clone());
        let (channel, id) = (message["channel"].clone(), message["id"].clone());
        let mut reply = json!({"channel": channel, "id": id, "successful": true});
        match channel.as_str().unwrap() {
            "/meta/handshake" => {
                *script.handshakes.lock().unwrap() += 1;
                reply["clientId"] = json!(format!("c{}", script.handshakes.lock().unwrap()));
                reply["ext"] = json!({"replay": true, "payload.format": true});
                reply["supportedConnectionTypes"] = json!(["long-polling"]);
            }
            "/meta/connect" => {
                if let Some(failure) = script.failures.lock().unwrap().pop_front() {
                    reply.as_object_mut().unwrap().extend(failure.as_object().unwrap().clone());
                } else {
                    replies.extend(script.events.lock().unwrap().drain(..));
                    reply["advice"] = json!({"reconnect": "retry", "interval": 5, "timeout": 110_000});
                }
            }
            "/meta/subscribe" if message["ext"]["replay"]["/theirs/**"] == 41 => {
                reply["successful"] = json!(false);
                reply["error"] = json!("400::The replayId {41} you provided was invalid.");
            }
            _ => {}
        }
        replies.push(reply);
    }
    Json(replies)
}

async fn token(Shared(script): Shared<Arc<Script>>, body: String) -> impl IntoResponse {
    assert!(body.contains("grant_type=client_credentials") && body.contains("client_secret=s"), "{body}");
    let mut given = script.given.lock().unwrap();
    *given += 1;
    Json(json!({"access_token": format!("token{given}"), "token_type": "Bearer"}))
}

async fn start() -> (Arc<Script>, String) {
    let script = Arc::new(Script::default());
    let router =
        Router::new().route("/cometd/60.0", post(cometd)).route("/token", post(token)).with_state(script.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move { axum::serve(listener, router).await });
    (script, address)
}

impl Script {
    fn event(&self, id: u64) {
        let event =
            json!({"channel": "/theirs/x", "clientId": "c", "data": {"event": {"replayId": id}, "payload": {"n": id}}});
        self.events.lock().unwrap().push_back(event);
    }

    fn replays(&self) -> Vec<Value> {
        let seen = self.seen.lock().unwrap();
        let subscribes = seen.iter().filter(|message| message["channel"] == "/meta/subscribe");
        subscribes.map(|message| message["ext"]["replay"]["/theirs/**"].clone()).collect()
    }
}

#[tokio::test]
async fn an_unknown_session_begins_again_after_the_last_message() {
    let (script, address) = start().await;
    let bus = Bus::in_memory();
    let here = Listener::on(&bus, "from/#");
    let options = json!({"transport": "long-polling", "replay": {}});
    let _handle = bridge(&bus, &format!("bayeux+http://{address}/cometd/60.0"), options);
    script.event(17);
    assert_eq!(here.next().await.channel.as_str(), "from/x");
    let unknown = json!({"successful": false, "error": "403::Unknown client", "advice": {"reconnect": "handshake", "interval": 0}});
    script.failures.lock().unwrap().push_back(unknown);
    until("it subscribes again", || script.replays().len() >= 2).await;
    assert_eq!(script.replays(), [json!(-1), json!(17)]);
    script.event(18);
    assert!(String::from_utf8_lossy(&here.next().await.payload).contains("18"));
}

#[derive(Default)]
struct Refusals(Mutex<Vec<String>>);

impl MonitorHandler for Refusals {
    fn handle(&self, event: &Monitored) {
        if let MonitorEvent::SubscriptionDisconnected { reason, .. } = &event.event {
            self.0.lock().unwrap().push(reason.to_string());
        }
    }
}

#[tokio::test]
async fn an_expired_place_is_reported_and_the_policy_followed() {
    let (script, address) = start().await;
    let bus = Bus::in_memory();
    let refusals = Arc::new(Refusals::default());
    bus.monitor().add(refusals.clone());
    let here = Listener::on(&bus, "from/#");
    let options = json!({"transport": "long-polling", "replay": {"from": "new", "on_expired": "all"}});
    let handle = bridge(&bus, &format!("bayeux+http://{address}/cometd/60.0"), options);
    script.event(41);
    here.next().await;
    script.failures.lock().unwrap().push_back(json!({"successful": false, "error": "403::Unknown client"}));
    until("it falls back", || script.replays().len() >= 3).await;
    assert_eq!(script.replays(), [json!(-1), json!(41), json!(-2)]);
    until("the gap is reported", || refusals.0.lock().unwrap().iter().any(|reason| reason.contains("replayId"))).await;
    until("and the subscription is live", || handle.status().subscriptions == 1).await;
}

#[tokio::test]
async fn a_refused_token_is_refreshed() {
    let (script, address) = start().await;
    let bus = Bus::in_memory();
    let oauth = json!({"token_url": format!("http://{address}/token"), "client_id": "i", "client_secret": "s"});
    let options = json!({"transport": "long-polling", "oauth": oauth});
    let handle = bridge(&bus, &format!("bayeux+http://{address}/cometd/60.0"), options);
    until("it is up", || handle.status().state == State::Up).await;
    let expired = json!({"successful": false, "error": "401::Authentication invalid", "advice": {"reconnect": "none"}});
    script.failures.lock().unwrap().push_back(expired);
    until("the new token is used", || script.tokens.lock().unwrap().iter().any(|token| token == "Bearer token2")).await;
    until("it is up again", || handle.status().state == State::Up).await;
}

#[tokio::test]
async fn a_server_that_wants_us_gone_is_left_alone() {
    let (script, address) = start().await;
    let bus = Bus::in_memory();
    script
        .failures
        .lock()
        .unwrap()
        .push_back(json!({"successful": false, "error": "403::Denied", "advice": {"reconnect": "none"}}));
    let options = json!({"transport": "long-polling"});
    let handle = bridge(&bus, &format!("bayeux+http://{address}/cometd/60.0"), options);
    until("it is refused", || handle.status().reason.contains("403::Denied")).await;
    assert_eq!(*script.handshakes.lock().unwrap(), 1);
}
