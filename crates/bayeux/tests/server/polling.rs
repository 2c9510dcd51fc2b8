//! Long-polling and JSONP over HTTP, as it is on the wire.

use crate::support::{Pending, Seen, Server, handshake, until};
use ratatosk_core::Channel;
use serde_json::{Value, json};

#[tokio::test]
async fn a_handshake_agrees_and_travels_alone() {
    let server = Server::start(json!({})).await;
    let response =
        server.send(server.request(&json!([handshake(json!({"ack": true})), {"channel": "/x", "data": 1}]), "")).await;
    let messages = response.messages();
    assert_eq!(messages.len(), 1);
    assert!(messages[0]["clientId"].as_str().unwrap().len() >= 26, "128 bits in base 32");
    assert_eq!(messages[0]["advice"], json!({"reconnect": "retry", "interval": 0, "timeout": 30000}));
    assert_eq!(messages[0]["ext"]["ack"], true);
    assert_eq!(messages[0]["version"], "1.0");
    assert!(response.header("set-cookie").unwrap().starts_with("BAYEUX_BROWSER="));
    assert!(response.header("content-type").unwrap().starts_with("application/json"));
}

#[tokio::test]
async fn messages_reach_a_held_connect() {
    let server = Server::start(json!({})).await;
    let client = server.client(json!({})).await;
    client.subscribe(json!(["/a/*", "/deep/**"])).await;
    let held = client.hold().await;
    server.publish("a/b", r#"{"n":1}"#);
    let messages = held.response().await.messages();
    assert_eq!(messages[0], json!({"channel": "/a/b", "data": {"n": 1}}));
    assert_eq!(messages.last().unwrap()["channel"], "/meta/connect");
    server.publish("deep", "the parent is not meant");
    server.publish("deep/er/still", "text");
    assert_eq!(client.collect(1).await, [json!("text")]);
}

#[tokio::test]
async fn payloads_are_rendered_by_their_kind() {
    let server = Server::start(json!({})).await;
    let client = server.client(json!({})).await;
    client.subscribe(json!("/p")).await;
    for payload in [&b"21.5"[..], b"hello", b"", b"\xff\0", b"[1,\n2]"] {
        let origin = ratatosk_core::Origin::gateway();
        let publication = ratatosk_core::Publication::new(Channel::new("p").unwrap(), payload, origin);
        server.bus.publish(publication).unwrap();
    }
    assert_eq!(
        client.collect(5).await,
        [json!(21.5), json!("hello"), json!(""), json!({"$b64": "/wA="}), json!([1, 2])]
    );
}

/// The loss that CometD and Faye have.
#[tokio::test]
async fn a_message_for_a_poll_whose_peer_has_gone_is_not_lost() {
    let server = Server::start(json!({})).await;
    let client = server.client(json!({})).await;
    client.subscribe(json!("/a")).await;
    for round in 0..20 {
        drop(client.hold().await);
        server.publish("a", &round.to_string());
        assert_eq!(client.collect(1).await, [json!(round)]);
    }
}

#[tokio::test]
async fn a_superseded_connect_gets_an_error_at_once() {
    let server = Server::start(json!({})).await;
    let client = server.client(json!({})).await;
    client.subscribe(json!("/a")).await;
    let first = client.hold().await;
    let second = client.hold().await;
    // Whichever came second is the one that is held.
    let (status, other) = tokio::select! {
        first = first.response() => (first.status, None),
        second = second.response() => (second.status, Some(())),
    };
    assert!(status >= 400, "{status} {other:?}");
    server.publish("a", "1");
    assert_eq!(client.collect(1).await.len(), 1);
}

#[tokio::test]
async fn disconnecting_answers_the_held_connect() {
    let server = Server::start(json!({})).await;
    let seen = Seen::on(&server.bus);
    let client = server.client(json!({})).await;
    client.subscribe(json!("/a")).await;
    let held = client.hold().await;
    // The hold and the farewell travel by two connections: the answer says which came first.
    let reply = client.post(client.message("/meta/disconnect", json!({"id": "bye"}))).await.remove(0);
    assert_eq!((&reply["successful"], &reply["id"]), (&json!(true), &json!("bye")));
    let answer = held.response().await.messages().remove(0);
    let reconnect = &answer["advice"]["reconnect"];
    assert!(reconnect == "none" || answer["error"] == "402::session_unknown", "{answer}");
    assert_eq!(server.bayeux.sessions(), 0);
    let expected = [
        "created_client",
        "created_channel a",
        "client_subscribed a",
        "client_unsubscribed a",
        "destroyed_channel a",
        "destroyed_client disconnect",
    ];
    assert_eq!(seen.all(), expected);
}

#[tokio::test]
async fn a_session_that_does_not_connect_again_ends_by_timeout() {
    let server = Server::start(json!({"max_interval": "50ms"})).await;
    let seen = Seen::on(&server.bus);
    let client = server.client(json!({})).await;
    until("the session ends", || server.bayeux.sessions() == 0).await;
    assert_eq!(seen.all(), ["created_client", "destroyed_client timeout"]);
    let reply = client.post(client.connect(json!({"id": 7}))).await.remove(0);
    assert_eq!(reply["error"], "402::session_unknown");
    assert_eq!(reply["advice"], json!({"reconnect": "handshake", "interval": 0}));
    assert_eq!(reply["id"], 7);
}

#[tokio::test]
async fn a_connect_is_held_no_longer_than_the_timeout() {
    let server = Server::start(json!({"timeout": "60ms"})).await;
    let client = server.client(json!({})).await;
    let replies = client.post(client.connect(json!({}))).await;
    assert_eq!((replies.len(), &replies[0]["successful"]), (1, &json!(true)));
}

#[tokio::test]
async fn acknowledged_messages_come_again_until_they_are_acknowledged() {
    let server = Server::start(json!({})).await;
    let client = server.client(json!({"ack": true})).await;
    client.subscribe(json!("/a")).await;
    server.publish("a", "1");
    let first = client.post(client.connect(json!({"ext": {"ack": 1}}))).await;
    let again = client.post(client.connect(json!({"ext": {"ack": 1}}))).await;
    assert_eq!((&first[0]["data"], &again[0]["data"]), (&json!(1), &json!(1)));
    let batch = &again.last().unwrap()["ext"]["ack"];
    assert!(batch.as_u64() > first.last().unwrap()["ext"]["ack"].as_u64());
    server.publish("a", "2");
    let next = client.post(client.connect(json!({"ext": {"ack": batch}}))).await;
    assert_eq!((next.len(), &next[0]["data"]), (2, &json!(2)));
}

#[tokio::test]
async fn last_values_and_history_come_first() {
    let server = Server::start(json!({"connect_only": true})).await;
    server.retain("r/1", "\"kept\"");
    let client = server.client(json!({"replay": true})).await;
    client.subscribe(json!("/r/*")).await;
    assert_eq!(client.collect(1).await, [json!("kept")]);
    for n in 0..5 {
        server.publish("h", &n.to_string());
    }
    let replayed = async |place: Value| {
        let message = json!({"subscription": "/h", "ext": {"replay": {"/h": place}}});
        client.post(client.message("/meta/subscribe", message)).await;
        let messages = client.post(client.connect(json!({}))).await;
        client.post(client.message("/meta/unsubscribe", json!({"subscription": "/h"}))).await;
        messages.into_iter().filter(|message| message.get("data").is_some()).collect::<Vec<_>>()
    };
    let all = replayed(json!(-2)).await;
    assert_eq!(all.iter().map(|message| &message["data"]).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    let place = &all[2]["ext"]["replay"];
    let rest = replayed(place.clone()).await;
    assert_eq!(rest.iter().map(|message| &message["data"]).collect::<Vec<_>>(), [3, 4]);
}

#[tokio::test]
async fn forms_and_other_paths() {
    let server = Server::start(json!({})).await;
    let form: String = form_urlencoded::Serializer::new(String::new())
        .append_pair("message", &handshake(json!({})).to_string())
        .finish();
    for path in ["/bayeux", "/bayeux/", "/bayeux/handshake"] {
        for content_type in ["application/x-www-form-urlencoded", "text/plain;charset=UTF-8"] {
            let response = server.send(server.raw(path, content_type, &form, "")).await;
            assert_eq!((response.status, &response.messages()[0]["successful"]), (200, &json!(true)), "{path}");
        }
    }
}

#[tokio::test]
async fn callback_polling() {
    let server = Server::start(json!({})).await;
    let get = |query: String| format!("GET /bayeux?{query} HTTP/1.1\r\nHost: {}\r\n\r\n", server.address);
    let message: String = form_urlencoded::byte_serialize(handshake(json!({})).to_string().as_bytes()).collect();
    let response = server.send(get(format!("message={message}&jsonp=my.cb"))).await;
    assert!(response.body.starts_with("/**/my.cb([{") && response.body.ends_with("}]);"), "{}", response.body);
    assert_eq!(response.header("content-type"), Some("text/javascript;charset=UTF-8"));
    assert_eq!(response.header("x-content-type-options"), Some("nosniff"));
    for bad in [format!("message={message}&jsonp=alert(1)"), "jsonp=cb".to_owned(), "message=x".to_owned()] {
        assert_eq!(server.send(get(bad)).await.status, 400);
    }
}

#[tokio::test]
async fn what_waits_rides_with_other_replies_but_never_ahead_of_a_connects() {
    for connect_only in [false, true] {
        let server = Server::start(json!({"connect_only": connect_only})).await;
        let client = server.client(json!({})).await;
        client.subscribe(json!(["/a"])).await;
        let publish = |n: u32| client.post(client.message("/elsewhere", json!({"data": n})));
        let ridden = |replies: &[Value]| -> Vec<Value> {
            replies.iter().filter(|reply| reply["channel"] == "/a").map(|reply| reply["data"].clone()).collect()
        };
        server.publish("a", "1");
        server.retain("b", "2");
        // The subscription's reply brings what is retained, and what waits already before it.
        let mut got = ridden(&publish(1).await);
        while got.is_empty() && !connect_only {
            got = ridden(&publish(2).await);
        }
        assert_eq!(got, if connect_only { vec![] } else { vec![json!(1)] });
        if connect_only {
            assert_eq!(client.collect(1).await, [json!(1)]);
        }
        // A connect's reply with messages is under way as far as the server knows: nothing overtakes it.
        let held = client.hold().await;
        until("held", || server.bus.waiting() == 0).await;
        server.publish("a", "3");
        let replies = held.response().await.messages();
        server.publish("a", "4");
        assert_eq!(ridden(&publish(3).await), Vec::<Value>::new());
        let got: Vec<Value> = replies.iter().filter_map(|reply| reply.get("data").cloned()).collect();
        if got.is_empty() {
            assert_eq!(client.collect(2).await, [json!(3), json!(4)]);
        } else {
            assert_eq!((got, client.collect(1).await), (vec![json!(3)], vec![json!(4)]));
        }
    }
}

#[tokio::test]
async fn a_client_that_vanishes_at_any_step_leaves_no_session() {
    let server = Server::start(json!({"max_interval": "100ms", "timeout": "1h"})).await;
    let vanish = async |request: String| drop(Pending::open(&server, request).await);
    let whole = server.request(&json!([handshake(json!({}))]), "");
    // In the head, in the body, and before the answer.
    for cut in [4, whole.find("\r\n\r\n").unwrap(), whole.len() - 5, whole.len()] {
        vanish(whole[..cut].to_owned()).await;
    }
    let reply = server.post(handshake(json!({}))).await.remove(0);
    assert_eq!(reply["successful"], true, "it never connects");
    let first = server.post(handshake(json!({"ack": true}))).await.remove(0);
    let connect = json!({"channel": "/meta/connect", "clientId": first["clientId"], "connectionType": "long-polling"});
    vanish(server.request(&json!([connect]), "")).await;
    for step in ["subscribe", "publish", "hold", "batch", "disconnect"] {
        let client = server.client(json!({})).await;
        let subscribe = client.message("/meta/subscribe", json!({"subscription": "/a/*"}));
        let publish = client.message("/a/b", json!({"data": step}));
        let request = match step {
            "subscribe" => json!([subscribe]),
            "publish" => json!([publish]),
            "hold" => json!([client.connect(json!({}))]),
            "batch" => json!([subscribe, publish, client.connect(json!({}))]),
            _ => json!([client.message("/meta/disconnect", json!({}))]),
        };
        vanish(server.request(&request, "")).await;
    }
    until("every session to end", || server.bayeux.sessions() == 0).await;
    assert_eq!(server.bus.interest_counts(), (0, 0));
}

#[tokio::test]
async fn draining_tells_clients_to_come_back() {
    let server = Server::start(json!({})).await;
    let client = server.client(json!({})).await;
    client.subscribe(json!("/a")).await;
    let held = client.hold().await;
    // The connect is held once a publication reaches it; here its arrival is told by what happens to the next one.
    let probe = client.hold().await;
    let response = held.response().await;
    assert!(response.status == 500 || response.status == 200);
    server.life.close();
    let last = probe.response().await.messages().remove(0);
    assert_eq!(last["advice"]["reconnect"], "retry");
}

/// Requests for other paths on a polling connection reach the router, and polling goes on after them.
#[tokio::test]
async fn a_polling_connection_serves_other_paths_too() {
    let hello = |router: axum::Router| router.route("/hello", axum::routing::get(async || "hello"));
    let server = Server::layered(json!({}), hello).await;
    let mut connection = Pending::open(&server, server.request(&handshake(json!({})), "")).await;
    for _ in 0..3 {
        assert_eq!(connection.next().await.status, 200);
        connection.send(format!("GET /hello HTTP/1.1\r\nHost: {}\r\n\r\n", server.address)).await;
        assert_eq!(connection.next().await.body, "hello");
        connection.send(server.request(&handshake(json!({})), "")).await;
    }
}

/// A stream of HTTP/2 has no socket of its own: it is held and answered by its task.
#[tokio::test]
async fn polling_over_http2() {
    let server = Server::start(json!({})).await;
    let _ = rustls::crypto::ring::default_provider().install_default(); // another test may have done it
    let http = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
    let post = |message: Value| {
        let request = http.post(format!("http://{}/bayeux", server.address)).body(message.to_string());
        async move {
            let response = request.send().await.unwrap();
            assert_eq!(response.version(), http::Version::HTTP_2);
            serde_json::from_str::<Vec<Value>>(&response.text().await.unwrap()).unwrap()
        }
    };
    let id = post(handshake(json!({}))).await[0]["clientId"].clone();
    let connect = json!({"channel": "/meta/connect", "clientId": id, "connectionType": "long-polling"});
    assert_eq!(post(connect.clone()).await[0]["advice"]["reconnect"], "retry");
    assert_eq!(
        post(json!({"channel": "/meta/subscribe", "clientId": id, "subscription": "/a"})).await[0]["successful"],
        true
    );
    for round in 0..10 {
        // A poll that is given up, and a message once the server knows: the reset comes before the next request.
        let given_up = post(connect.clone());
        let _ = tokio::time::timeout(std::time::Duration::from_millis(5), given_up).await;
        post(json!({"channel": "/service/none", "clientId": id, "data": 1})).await;
        server.publish("a", &round.to_string());
        let mut data = Vec::new();
        while data.is_empty() {
            data.extend(post(connect.clone()).await.into_iter().filter_map(|message| message.get("data").cloned()));
        }
        assert_eq!(data, [json!(round)]);
    }
}
