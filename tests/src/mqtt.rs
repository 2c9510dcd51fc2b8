//! Stock MQTT clients behind one vocabulary, so that a behaviour is written once and shown by each of them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use std::net::SocketAddr;

use crate::{Gateway, Mosquitto, Script};

/// Where a broker is.
#[derive(Clone, Copy, Debug)]
pub struct Endpoint {
    /// MQTT over TCP.
    pub tcp: SocketAddr,
    /// The HTTP listener that has MQTT over WebSocket at `/mqtt`.
    pub http: SocketAddr,
}

impl Endpoint {
    /// The gateway's.
    pub async fn of(gateway: &Gateway) -> Self {
        Self { tcp: gateway.mqtt().await, http: gateway.http }
    }

    /// A Mosquitto's (which has no WebSocket listener).
    #[must_use]
    pub fn broker(broker: &Mosquitto) -> Self {
        let tcp = SocketAddr::from(([127, 0, 0, 1], broker.port));
        Self { tcp, http: tcp }
    }
}

/// Which client, and how it connects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    /// paho-mqtt (Python) over TCP.
    Paho,
    /// paho-mqtt (Python) over WebSocket.
    PahoWebSocket,
    /// MQTT.js in Node over TCP.
    Js,
    /// MQTT.js in Node over WebSocket.
    JsWebSocket,
    /// MQTT.js in headless Chromium, over WebSocket.
    Browser,
}

/// A message as a client saw it.
#[derive(Clone, Debug)]
pub struct Seen {
    /// All that the client told.
    pub json: Value,
}

impl Seen {
    /// The topic.
    ///
    /// # Panics
    /// When the client did not tell.
    #[must_use]
    pub fn topic(&self) -> &str {
        self.json["topic"].as_str().expect("a topic")
    }

    /// The payload.
    ///
    /// # Panics
    /// When the client did not tell.
    #[must_use]
    pub fn payload(&self) -> Vec<u8> {
        STANDARD.decode(self.json["payload"].as_str().expect("a payload")).expect("base64")
    }

    /// The payload as a number, for bursts.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    pub fn number(&self) -> u64 {
        String::from_utf8(self.payload()).ok().and_then(|text| text.parse().ok()).expect("a number")
    }
}

/// A running client.
pub struct Mqtt {
    /// Its script.
    pub script: Script,
}

impl Mqtt {
    /// Starts a client with these options (`version`, `clientId`, `clean`, `will`, ...) without waiting for anything.
    #[must_use]
    pub fn launch(client: Client, endpoint: Endpoint, options: Value) -> Self {
        let Endpoint { tcp: mqtt, http } = endpoint;
        let mut argument = options;
        let merge = |argument: &mut Value, more: Value| {
            let more = more.as_object().expect("an object").clone();
            argument.as_object_mut().expect("an object").extend(more);
        };
        let script = match client {
            Client::Paho | Client::PahoWebSocket => {
                let websocket = client == Client::PahoWebSocket;
                let port = if websocket { http.port() } else { mqtt.port() };
                if argument["port"].is_null() {
                    merge(&mut argument, json!({"port": port}));
                }
                merge(&mut argument, json!({"websocket": websocket}));
                Script::python("mqtt_client.py", &argument)
            }
            Client::Js => {
                if argument["url"].is_null() {
                    merge(&mut argument, json!({"url": format!("mqtt://{mqtt}")}));
                }
                Script::node("mqtt.mjs", &argument)
            }
            Client::JsWebSocket | Client::Browser => {
                merge(&mut argument, json!({"url": format!("ws://{http}/mqtt")}));
                Script::node(if client == Client::Browser { "browser-mqtt.mjs" } else { "mqtt.mjs" }, &argument)
            }
        };
        Self { script }
    }

    /// Starts a client and waits until it is connected.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn connect(client: Client, endpoint: Endpoint, options: Value) -> Self {
        Self::connect_telling(client, endpoint, options).await.0
    }

    /// The same, with what the client told about the CONNACK.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn connect_telling(client: Client, endpoint: Endpoint, options: Value) -> (Self, Value) {
        let mut mqtt = Self::launch(client, endpoint, options);
        let connected = mqtt.script.expect("connected").await;
        assert_eq!(connected["code"], 0, "{client:?}: {connected}");
        (mqtt, connected)
    }

    /// Subscribes, and returns the codes of the SUBACK.
    pub async fn subscribe(&mut self, filter: &str, qos: u8) -> Value {
        self.subscribe_with(json!({"topic": filter, "qos": qos})).await
    }

    /// Subscribes with options (`nl`, `rap`, `rh`, `properties`), and returns the codes of the SUBACK.
    pub async fn subscribe_with(&mut self, mut command: Value) -> Value {
        command["do"] = json!("subscribe");
        self.script.ask(&command, "subscribed").await["codes"].clone()
    }

    /// Publishes and waits until the client calls it done (QoS 1 and 2: acknowledged).
    pub async fn publish(&mut self, topic: &str, payload: impl AsRef<[u8]>, qos: u8) {
        self.publish_with(topic, payload, json!({"qos": qos})).await;
    }

    /// Publishes with options (`qos`, `retain`, `properties`), and returns what the client told of the end.
    pub async fn publish_with(&mut self, topic: &str, payload: impl AsRef<[u8]>, mut command: Value) -> Value {
        command["do"] = json!("publish");
        command["topic"] = json!(topic);
        command["payload"] = json!(STANDARD.encode(payload));
        self.script.ask(&command, "published").await
    }

    /// Waits for the next message.
    pub async fn message(&mut self) -> Seen {
        Seen { json: self.script.expect("message").await }
    }

    /// Sends DISCONNECT and ends.
    pub async fn disconnect(self) {
        self.script.finish().await;
    }

    /// Breaks the connection without a DISCONNECT.
    pub async fn die(&mut self) {
        self.script.send(&json!({"do": "die"})).await;
    }
}
