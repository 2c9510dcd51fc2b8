//! What `ratatosk sub` and `ratatosk pub` have in common: a far server, joined on a bus of their own.

mod args;
mod news;

use std::{sync::Arc, time::Duration};

use ratatosk::{
    config::{ConfigErrors, Upstream},
    connector::{lifecycle::Lifecycle, upstream::BridgeHandle},
    core::{Bus, Channel, Filter},
};
use serde_json::{Value, json};
use tokio::sync::mpsc;

pub(super) use self::{
    args::ClientArgs,
    news::{News, Teller, complain},
};

/// How long a goodbye may take.
const GOODBYE: Duration = Duration::from_secs(2);

/// Where messages from the far server appear on our bus: below this, so that no name of theirs is reserved here.
const IN: &str = "in/";
/// Where we publish what goes to the far server's channel.
const OUT: &str = "out";

/// A far server, joined.
pub(super) struct Client {
    pub(super) bus: Bus,
    pub(super) handle: BridgeHandle,
    /// What happens to the connection.
    pub(super) news: mpsc::Receiver<News>,
    life: Lifecycle,
}

impl Client {
    /// Joins; the runtime must be running. `before` is done with the bus first: who subscribes then misses nothing, however
    /// soon the far server's first message is here.
    pub(super) fn join<T>(upstream: &Upstream, before: impl FnOnce(&Bus) -> T) -> anyhow::Result<(Self, T)> {
        let (bus, life) = (Bus::in_memory(), Lifecycle::default());
        let news = news::listen(bus.monitor());
        let done = before(&bus);
        let handle = ratatosk::join(&bus, &life, upstream)?;
        Ok((Self { bus, handle, news, life }, done))
    }

    /// Says goodbye.
    pub(super) async fn leave(self) {
        self.handle.stop();
        self.life.close();
        self.life.wait(GOODBYE).await;
        self.bus.close();
    }
}

/// Rules that bring what matches these filters.
pub(super) fn bring<'a>(filters: impl IntoIterator<Item = &'a str>) -> Value {
    filters.into_iter().map(|filter| json!({ "from": filter, "to": format!("{IN}{filter}") })).collect()
}

/// The filter of everything that was brought.
pub(super) fn brought() -> Option<Filter> {
    Filter::new(format!("{IN}#")).ok()
}

/// What a channel that was brought is called over there.
pub(super) fn far_name(channel: &Channel) -> &str {
    channel.as_str().strip_prefix(IN).unwrap_or(channel.as_str())
}

/// A rule that sends what is published on [`outlet`] to a channel over there.
pub(super) fn send(channel: &str) -> Value {
    json!([{ "from": OUT, "to": channel }])
}

/// The channel to publish on.
pub(super) fn outlet() -> anyhow::Result<Channel> {
    Ok(Channel::new(OUT)?)
}

/// Checks the one upstream that a command line describes, as a configuration is checked.
pub(super) fn resolve(sources: &ratatosk::config::Sources) -> Result<Option<Upstream>, ConfigErrors> {
    Ok(ratatosk::config::load(sources)?.upstreams.into_iter().next())
}

/// A runtime for a client.
pub(super) fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()
}

/// The reason that the far server refuses us for, once it does.
pub(super) async fn refusal(handle: &BridgeHandle) -> Arc<str> {
    if handle.reached(ratatosk::connector::upstream::State::Refused).await {
        return handle.status().reason;
    }
    std::future::pending().await
}
