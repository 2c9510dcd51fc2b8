//! The client side by itself: joins a broker and prints what it publishes, with reconnection and all, without a gateway.
//!
//! `cargo run --example upstream -- mqtt://127.0.0.1:1883 'sensors/#'`

use ratatosk::{
    config::{self, Sources},
    connector::{lifecycle::Lifecycle, upstream::State},
    core::{Bus, Connector, EndReason, Filter, OutboxLimits, QueuePeer, SessionConfig, SubscribeOptions},
};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().unwrap_or_else(|| "mqtt://127.0.0.1:1883".to_owned());
    let filter = arguments.next().unwrap_or_else(|| "sensors/#".to_owned());

    // An upstream as a configuration file describes it, checked in the same way.
    let mut sources = Sources::new(None, Vec::new());
    let upstream = serde_json::json!([{ "name": "broker", "kind": "mqtt", "url": url, "in": [{ "from": filter }] }]);
    sources.given.push(("upstreams".to_owned(), upstream, "example".to_owned()));
    let resolved = config::load(&sources)?;
    let Some(upstream) = resolved.upstreams.first() else { anyhow::bail!("there is one upstream") };

    let (bus, life) = (Bus::in_memory(), Lifecycle::default());
    let queue = QueuePeer::new(OutboxLimits::default());
    let session = bus.open_session(SessionConfig::client("example", Connector::GATEWAY), queue.clone());
    session.subscribe(Filter::new(filter)?, SubscribeOptions::default());
    let handle = ratatosk::join(&bus, &life, upstream)?;
    println!("connected: {}", handle.reached(State::Up).await);
    loop {
        let messages = tokio::select! {
            messages = queue.recv_many(64) => messages.map_err(|ended: EndReason| anyhow::anyhow!("ended: {ended}"))?,
            _ = tokio::signal::ctrl_c() => break,
        };
        for waiting in messages {
            println!("{} {}", waiting.message.channel, String::from_utf8_lossy(&waiting.message.payload));
        }
    }
    handle.stop();
    handle.reached(State::Stopped).await;
    Ok(())
}
