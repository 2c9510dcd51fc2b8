//! Service channels: who is answered, and who hears of it.

use std::sync::Arc;

use crate::support::Server;
use bytes::Bytes;
use ratatosk_bayeux::server::{ServiceCall, ServiceHandler};
use ratatosk_core::{Channel, Connector, Filter, OutboxLimits, QueuePeer, SessionConfig, SubscribeOptions};
use serde_json::json;

struct Echo;

impl ServiceHandler for Echo {
    fn call(&self, call: &ServiceCall) -> Vec<Bytes> {
        vec![call.payload.clone()]
    }
}

#[tokio::test]
async fn services_answer_their_caller_alone() {
    let server = Server::start(json!({"connect_only": true})).await;
    server.bayeux.serve(Channel::new("service/echo").unwrap(), Arc::new(Echo));
    let (caller, other) = (server.client(json!({})).await, server.client(json!({})).await);
    other.subscribe(json!(["/service/echo", "/all"])).await;
    let call = caller.message("/service/echo", json!({"data": {"q": 1}}));
    assert_eq!(caller.post(call).await[0]["successful"], true);
    assert_eq!(caller.collect(1).await, [json!({"q": 1})]);
    server.publish("all", "1");
    assert_eq!(other.collect(1).await, [json!(1)]);
}

#[tokio::test]
async fn publications_to_services_reach_bridges_and_no_client() {
    let server = Server::start(json!({})).await;
    let everything = || Filter::new("$service/#").unwrap();
    let open = |is_client: bool| {
        let queue = QueuePeer::new(OutboxLimits::default());
        let config = SessionConfig { is_client, ..SessionConfig::client("x", Connector::register("elsewhere")) };
        let session = server.bus.open_session(config, queue.clone());
        session.subscribe(everything(), SubscribeOptions::default());
        (session, queue)
    };
    let ((_bridge, taken), (_client, refused)) = (open(false), open(true));
    let (caller, other) = (server.client(json!({})).await, server.client(json!({})).await);
    other.subscribe(json!(["/$service/**", "/service/echo", "/all"])).await;
    let call = caller.message("/service/echo", json!({"data": {"q": 1}}));
    assert_eq!(caller.post(call).await[0]["successful"], true);
    let message = taken.recv_many(1).await.unwrap().remove(0).message;
    assert_eq!((message.channel.as_str(), &message.payload[..]), ("$service/echo", &br#"{"q":1}"#[..]));
    let forged = caller.message("/$service/echo", json!({"data": 1}));
    assert_eq!(caller.post(forged).await[0]["successful"], false);
    server.publish("all", "1");
    assert_eq!(other.collect(1).await, [json!(1)]);
    assert_eq!(refused.depth().0, 0);
}
