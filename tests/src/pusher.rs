//! pusher-js and the official server SDKs behind one vocabulary.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::{Gateway, Script};

/// Where pusher-js runs, and over what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// In Node over WebSocket.
    Node,
    /// In headless Chromium, from a page of another origin, over WebSocket.
    Browser,
    /// In Node over the HTTP fallback `xhr_streaming`.
    Streaming,
    /// In Node over the HTTP fallback `xhr_polling`.
    Polling,
    /// In headless Chromium over `xhr_streaming`.
    BrowserStreaming,
    /// In headless Chromium over `xhr_polling`.
    BrowserPolling,
}

impl Kind {
    /// The one transport that the client may use.
    fn transport(self) -> &'static str {
        match self {
            Self::Node | Self::Browser => "ws",
            Self::Streaming | Self::BrowserStreaming => "xhr_streaming",
            Self::Polling | Self::BrowserPolling => "xhr_polling",
        }
    }

    fn script(self) -> &'static str {
        match self {
            Self::Node | Self::Streaming | Self::Polling => "pusher.mjs",
            Self::Browser | Self::BrowserStreaming | Self::BrowserPolling => "browser-pusher.mjs",
        }
    }
}

/// An application whose id is a number, which the PyPI SDK insists on; otherwise the demo application.
pub const NUMBERED_APP: &str =
    "[[pusher.apps]]\nid = \"4242\"\nkey = \"demo-key\"\nsecret = \"demo-secret\"\nclient_events = true\n";

/// The arguments every script gets: the gateway's address and the demo application's credentials.
fn credentials(address: SocketAddr) -> Value {
    json!({"host": "127.0.0.1", "port": address.port(), "appId": "demo", "key": "demo-key", "secret": "demo-secret"})
}

fn with(mut base: Value, more: &Value) -> Value {
    base.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    base
}

/// A running pusher-js.
pub struct Pusher {
    /// Its script.
    pub script: Script,
    /// Its socket id.
    pub socket_id: String,
}

impl Pusher {
    /// Starts a client without waiting for anything.
    #[must_use]
    pub fn launch(kind: Kind, address: SocketAddr, options: &Value) -> Script {
        let arguments = with(with(credentials(address), &json!({"transports": [kind.transport()]})), options);
        Script::node(kind.script(), &arguments)
    }

    /// Starts a client as this user and waits until it is connected.
    ///
    /// # Panics
    /// When it never is.
    pub async fn connect(kind: Kind, gateway: &Gateway, user: &str) -> Self {
        Self::connect_with(kind, gateway.http, json!({"userId": user})).await
    }

    /// The same with any options (`userId`, `userInfo`, `watchlist`, `channelData`, `activityTimeout`, `forgeFor`).
    ///
    /// # Panics
    /// When it never is connected.
    pub async fn connect_with(kind: Kind, address: SocketAddr, options: Value) -> Self {
        let mut script = Self::launch(kind, address, &options);
        let connected = script.expect("connected").await;
        assert_eq!(connected["transport"], kind.transport(), "{connected}");
        let socket_id = connected["socketId"].as_str().expect("a socket id").to_owned();
        Self { script, socket_id }
    }

    /// Subscribes, and returns what the client says of success (`members`, `me`, `count`).
    pub async fn subscribe(&mut self, channel: &str) -> Value {
        self.subscribe_with(channel, &[]).await
    }

    /// The same, reporting `metadata` for events of these names.
    pub async fn subscribe_with(&mut self, channel: &str, names: &[&str]) -> Value {
        self.script.send(&json!({"do": "subscribe", "channel": channel, "names": names})).await;
        loop {
            let subscribed = self.script.expect("subscribed").await;
            if subscribed["channel"] == channel {
                return subscribed;
            }
        }
    }

    /// Unsubscribes.
    pub async fn unsubscribe(&mut self, channel: &str) {
        self.script.send(&json!({"do": "unsubscribe", "channel": channel})).await;
    }

    /// Triggers a client event.
    ///
    /// # Panics
    /// When the client does not send it.
    pub async fn trigger(&mut self, channel: &str, name: &str, data: Value) {
        let command = json!({"do": "trigger", "channel": channel, "name": name, "data": data});
        let triggered = self.script.ask(&command, "triggered").await;
        assert_eq!(triggered["sent"], true);
    }

    /// Waits for the next event of a channel that is not the protocol's own.
    pub async fn event(&mut self) -> Value {
        loop {
            let event = self.script.expect("event").await;
            if !event["name"].as_str().unwrap_or_default().starts_with("pusher:") {
                return event;
            }
        }
    }

    /// Waits for the next event of this name.
    pub async fn event_named(&mut self, name: &str) -> Value {
        loop {
            let event = self.script.expect("event").await;
            if event["name"] == name {
                return event;
            }
        }
    }
}

/// A running server SDK.
pub struct Sdk {
    script: Script,
    /// Where the npm SDK's process receives webhooks.
    pub webhook_url: String,
}

impl Sdk {
    /// The npm SDK, and its HTTP server for webhooks. It may be started before the gateway whose address it gets by `point`.
    ///
    /// # Panics
    /// When it cannot be started.
    pub async fn receiver() -> Self {
        let mut script = Script::node("pusher-server.mjs", &json!({"key": "demo-key", "secret": "demo-secret"}));
        let webhook_url = script.expect("ready").await["url"].as_str().expect("a URL").to_owned();
        Self { script, webhook_url }
    }

    /// Says where the gateway is.
    pub async fn point(&mut self, gateway: &Gateway) {
        self.script.ask(&with(credentials(gateway.http), &json!({"do": "point"})), "pointed").await;
    }

    /// The npm SDK for this gateway.
    pub async fn npm(gateway: &Gateway) -> Self {
        let mut sdk = Self::receiver().await;
        sdk.point(gateway).await;
        sdk
    }

    /// The npm and the PyPI SDK for a gateway with [`NUMBERED_APP`].
    pub async fn both(gateway: &Gateway) -> [Self; 2] {
        let arguments = with(credentials(gateway.http), &json!({"appId": "4242", "do": "point"}));
        let mut npm = Self::receiver().await;
        npm.script.ask(&arguments, "pointed").await;
        let pypi = Self { script: Script::python("pusher_server.py", &arguments), webhook_url: String::new() };
        [npm, pypi]
    }

    /// Calls the SDK and returns its answer.
    pub async fn call(&mut self, command: Value) -> Value {
        self.script.ask(&command, "done").await
    }

    /// Calls the npm SDK and insists on success; returns the body.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn ok(&mut self, command: Value) -> Value {
        let done = self.call(command.clone()).await;
        assert!(done["status"] == 200 || done["ok"] == true, "{command}: {done}");
        done["body"].clone()
    }

    /// Triggers an event on a channel.
    pub async fn trigger(&mut self, channel: &str, name: &str, data: Value) {
        self.ok(json!({"do": "trigger", "channel": channel, "name": name, "data": data})).await;
    }

    /// Waits for the next webhook event, whose signature was right.
    ///
    /// # Panics
    /// When a webhook with a wrong signature came.
    pub async fn webhook(&mut self) -> Value {
        let event = self.script.expect("webhook").await;
        assert!(self.script.all("forged").is_empty(), "a webhook with a wrong signature");
        event
    }

    /// All webhook events so far.
    #[must_use]
    pub fn webhooks(&self) -> Vec<Value> {
        self.script.all("webhook")
    }

    /// Answers the next webhooks with 500.
    pub async fn fail_webhooks(&mut self, times: u32) {
        self.script.send(&json!({"do": "fail", "times": times})).await;
    }

    /// Waits for a webhook that was answered with 500, and returns its body.
    pub async fn failed_webhook(&mut self) -> Value {
        self.script.expect("failed").await["body"].clone()
    }
}
