//! The command line of `ratatosk bench`.

use std::net::SocketAddr;
use std::time::Duration;

use clap::{Args, ValueEnum};
use url::Url;

/// Measures a server from outside: CPU per delivery against the floor, latency, loss, memory per connection.
#[derive(Args, Clone, Debug)]
pub struct BenchArgs {
    /// What to measure
    #[arg(value_enum, default_value = "all")]
    pub scenario: Scenario,
    /// Protocols, separated by commas [default: sse; for `all` every one that the server speaks]
    #[arg(long, short, value_enum, value_delimiter = ',')]
    pub protocol: Vec<Kind>,
    /// Publish by another protocol than the subscribers': what translation costs
    #[arg(long, value_enum)]
    pub publish_protocol: Option<Kind>,
    /// Have the started server judge by a list of so many access rules, and every connection show a token of its own
    #[arg(long, value_name = "NUMBER", conflicts_with_all = ["url", "server_cmd", "peer"])]
    pub rules: Option<usize>,
    /// MQTT quality of service, for publishing and subscribing [default: 0; for `all` 0 and 1]
    #[arg(long, value_delimiter = ',', value_parser = clap::value_parser!(u8).range(0..=2))]
    pub qos: Vec<u8>,
    /// MQTT protocol level: 4 is 3.1.1, 5 is 5.0
    #[arg(long, default_value = "4", value_parser = clap::value_parser!(u8).range(4..=5))]
    pub mqtt_version: u8,
    /// Keep messages in flight, publish at a fixed rate, or one after the other
    #[arg(long, value_enum, default_value = "both")]
    pub mode: Mode,
    /// Subscribers [default: 1000]
    #[arg(long, short = 'n')]
    pub subscribers: Option<usize>,
    /// Connections of `idle`, `connect` and `churn` [default: 10000, 3000 and 10000]
    #[arg(long)]
    pub connections: Option<usize>,
    /// Messages per second in total when paced [default: 20; `many` 500; `rooms` 900]
    #[arg(long)]
    pub rate: Option<f64>,
    /// Messages in flight per channel when closed
    #[arg(long, default_value = "16")]
    pub inflight: u32,
    /// Payload length in bytes [default: 200; `rooms` 50]
    #[arg(long)]
    pub payload: Option<usize>,
    /// Seconds measured per figure [default: 4; `all` 2]
    #[arg(long)]
    pub seconds: Option<f64>,
    /// Seconds before the measuring begins [default: 1; `all` 0.5]
    #[arg(long)]
    pub warmup: Option<f64>,
    /// Repetitions; the median counts
    #[arg(long, default_value = "1")]
    pub runs: usize,
    /// Print JSON lines instead of a table
    #[arg(long)]
    pub json: bool,
    /// Measure the floor with waiting frames joined into one write, too
    #[arg(long)]
    pub join: bool,
    /// Leave the floor out: no ratios
    #[arg(long)]
    pub no_floor: bool,
    /// A running server, `http://HOST:PORT` or `mqtt://HOST:PORT` (may be given for both), instead of starting one
    #[arg(long)]
    pub url: Vec<Url>,
    /// Process id of the running server, for CPU and memory
    #[arg(long, requires = "url")]
    pub pid: Option<u32>,
    /// Command that starts the server, split at spaces; `{http}`, `{mqtt}` and `{admin}` become free addresses
    #[arg(long, conflicts_with = "url")]
    pub server_cmd: Option<String>,
    /// Start a well-known server found on this machine instead, for comparison
    #[arg(long, value_enum, conflicts_with_all = ["url", "server_cmd"])]
    pub peer: Option<Peer>,
    /// Configuration for the server started by default (`serve --set KEY=VALUE`)
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// SSE: path to subscribe at
    #[arg(long, default_value = "/sse?channel={channel}")]
    pub subscribe_path: String,
    /// SSE: path to publish at
    #[arg(long, default_value = "/publish?channel={channel}")]
    pub publish_path: String,
    /// Pusher: the app, as ID:KEY:SECRET
    #[arg(long, default_value = "demo:demo-key:demo-secret")]
    pub pusher_app: String,
    /// Core the server and the floor run on [default: the first allowed one]
    #[arg(long)]
    pub server_core: Option<usize>,
    /// Core the generator runs on [default: the second allowed one]
    #[arg(long)]
    pub generator_core: Option<usize>,
    /// Where the floor listens
    #[arg(long, hide = true, default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
}

/// A pattern of traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// The project's standard set
    All,
    /// 1,000 subscribers on one channel
    Fanout,
    /// 100 publishers, 100 channels, 10 subscribers each
    Many,
    /// 1,000 subscribers on 10 of 100 channels each, short messages
    Rooms,
    /// Memory of connections that do nothing
    Idle,
    /// CPU per connection and subscription
    Connect,
    /// Cost per delivery from 100 to 20,000 subscribers
    Flat,
    /// Latency of live subscribers while 1,000 others catch up on 1,000 messages each (SSE)
    Resume,
    /// How long new connections wait while 10,000 others disconnect at once
    Churn,
    /// The floor itself, started by the others
    #[value(hide = true)]
    Floor,
}

/// A protocol and its way of publishing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// Server-sent events, published by POST
    Sse,
    /// MQTT over TCP
    Mqtt,
    /// MQTT over WebSocket
    MqttWs,
    /// Pusher, published by the HTTP API
    Pusher,
    /// Pusher, published as client events
    PusherClient,
    /// Bayeux over long-polling
    Bayeux,
    /// Bayeux over WebSocket
    BayeuxWs,
}

/// How messages follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// A new message when the oldest in flight has reached every subscriber
    Closed,
    /// A fixed rate
    Paced,
    /// Closed, then paced
    Both,
}

impl Mode {
    pub(crate) fn closed(self) -> bool {
        self != Self::Paced
    }

    pub(crate) fn paced(self) -> bool {
        self != Self::Closed
    }
}

/// A server to compare with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Peer {
    /// nginx with the nchan module (SSE)
    Nchan,
    /// Mosquitto (MQTT over TCP and WebSocket)
    Mosquitto,
}

impl BenchArgs {
    pub(crate) fn timing(&self) -> crate::engine::load::Timing {
        // The whole set shall not take longer than one waits for it.
        let (warmup, window) = if self.scenario == Scenario::All { (0.5, 2.0) } else { (1.0, 4.0) };
        let span = |given: Option<f64>, default: f64| {
            Duration::try_from_secs_f64(given.unwrap_or(default)).unwrap_or_default()
        };
        crate::engine::load::Timing { warmup: span(self.warmup, warmup), window: span(self.seconds, window) }
    }
}
