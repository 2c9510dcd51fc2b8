//! Stock Bayeux clients behind one vocabulary: CometD's and Faye's, in Node and in headless Chromium.

use serde_json::{Value, json};

use crate::Script;

/// Which client runs where, over which transport.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// `cometd` or `faye`.
    pub client: &'static str,
    /// Bayeux's name of the transport.
    pub transport: &'static str,
    /// In a page of another origin, instead of Node.
    pub browser: bool,
}

/// Each client over each transport, in Node.
pub const NODE: [Kind; 4] = [
    Kind { client: "cometd", transport: "long-polling", browser: false },
    Kind { client: "cometd", transport: "websocket", browser: false },
    Kind { client: "faye", transport: "long-polling", browser: false },
    Kind { client: "faye", transport: "websocket", browser: false },
];

/// Each client over each transport, in a page of another origin.
pub const BROWSER: [Kind; 6] = [
    Kind { client: "cometd", transport: "long-polling", browser: true },
    Kind { client: "cometd", transport: "websocket", browser: true },
    Kind { client: "cometd", transport: "callback-polling", browser: true },
    Kind { client: "faye", transport: "cross-origin-long-polling", browser: true },
    Kind { client: "faye", transport: "websocket", browser: true },
    Kind { client: "faye", transport: "callback-polling", browser: true },
];

/// A running client.
pub struct Bayeux {
    /// Its script.
    pub script: Script,
    kind: Kind,
}

impl Bayeux {
    /// Starts a client at this URL and waits until its session stands.
    ///
    /// # Panics
    /// When the handshake is refused.
    pub async fn connect(kind: Kind, url: &str) -> Self {
        Self::connect_with(kind, url, json!({})).await
    }

    /// The same with more options (`extensions`, `handshake`).
    ///
    /// # Panics
    /// When the handshake is refused.
    pub async fn connect_with(kind: Kind, url: &str, mut options: Value) -> Self {
        let Kind { client, transport, browser } = kind;
        let more = json!({"client": client, "transport": transport, "url": url});
        options.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        let script = Script::node(if browser { "browser-bayeux.mjs" } else { "bayeux.mjs" }, &options);
        let mut bayeux = Self { script, kind };
        let handshake = bayeux.script.expect("handshake").await;
        assert_eq!(handshake["successful"], true, "{kind:?}: {handshake}");
        bayeux
    }

    /// Subscribes, and waits for the server's word.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn subscribe(&mut self, channel: &str) {
        let reply = self.script.ask(&json!({"do": "subscribe", "channel": channel}), "subscribed").await;
        assert_eq!(reply["successful"], true, "{:?}: {reply}", self.kind);
    }

    /// Unsubscribes, and waits for the client's word.
    pub async fn unsubscribe(&mut self, channel: &str) {
        self.script.ask(&json!({"do": "unsubscribe", "channel": channel}), "unsubscribed").await;
    }

    /// Publishes, and returns the server's reply.
    pub async fn publish(&mut self, channel: &str, data: Value) -> Value {
        self.script.ask(&json!({"do": "publish", "channel": channel, "data": data}), "published").await
    }

    /// Waits for the next message: its channel and data.
    pub async fn message(&mut self) -> (String, Value) {
        let message = self.script.expect("message").await;
        (message["channel"].as_str().unwrap_or_default().to_owned(), message["data"].clone())
    }

    /// Disconnects and waits until the server has said yes.
    pub async fn disconnect(mut self) {
        self.script.ask(&json!({"do": "disconnect"}), "disconnected").await;
        self.script.finish().await;
    }
}
