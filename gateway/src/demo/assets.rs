//! The page and the stock clients, in the binary.

/// A file that is served.
pub(super) struct Asset {
    /// Below `/demo/`.
    pub(super) path: &'static str,
    pub(super) bytes: &'static [u8],
}

macro_rules! assets {
    ($($path:literal),* $(,)?) => {
        &[$(Asset {
            path: $path,
            bytes: include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/assets/", $path)),
        }),*]
    };
}

/// The page at `/`.
pub(super) const PAGE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/assets/demo/index.html"));

/// Everything that the page loads.
pub(super) const ASSETS: &[Asset] = assets![
    "demo/demo.css",
    "demo/demo.js",
    "demo/clients.js",
    "demo/flow.js",
    "demo/panes.js",
    "vendor/mqtt-5.16.0/mqtt.min.js",
    "vendor/pusher-js-8.6.0/pusher.min.js",
    "vendor/cometd-9.0.0/cometd.js",
    "vendor/cometd-9.0.0/AckExtension.js",
    "vendor/cometd-9.0.0/BinaryExtension.js",
    "vendor/cometd-9.0.0/CallbackPollingTransport.js",
    "vendor/cometd-9.0.0/Client.js",
    "vendor/cometd-9.0.0/Extension.js",
    "vendor/cometd-9.0.0/LongPollingTransport.js",
    "vendor/cometd-9.0.0/ReloadExtension.js",
    "vendor/cometd-9.0.0/RequestTransport.js",
    "vendor/cometd-9.0.0/TimeStampExtension.js",
    "vendor/cometd-9.0.0/TimeSyncExtension.js",
    "vendor/cometd-9.0.0/Transport.js",
    "vendor/cometd-9.0.0/TransportRegistry.js",
    "vendor/cometd-9.0.0/WebSocketTransport.js",
    "vendor/cometd-9.0.0/Z85.js",
];

impl Asset {
    /// Its media type.
    pub(super) fn mime(&self) -> &'static str {
        if self.path.ends_with(".css") { "text/css; charset=utf-8" } else { "text/javascript; charset=utf-8" }
    }

    /// How long browsers keep it: the stock clients have their version in the path.
    pub(super) fn caching(&self) -> &'static str {
        if self.path.starts_with("vendor/") { "public, max-age=31536000, immutable" } else { "no-cache" }
    }
}
