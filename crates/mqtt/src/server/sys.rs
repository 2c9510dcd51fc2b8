//! `$SYS/broker/...`: what Mosquitto tells of itself, told of this gateway. Retained, and sent when it changes.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use ratatosk_core::{Channel, Connector, Origin, Publication, Qos, stats::DropReason};

use super::Shared;
use crate::mapping::CONNECTOR;

/// The windows of load averages.
const WINDOWS: [(&str, f64); 3] = [("1min", 60.0), ("5min", 300.0), ("15min", 900.0)];

pub(super) async fn run(shared: Arc<Shared>) {
    let mut reporter = Reporter { started: Instant::now(), told: HashMap::new(), loads: HashMap::new(), shared };
    let every = reporter.shared.settings.sys_interval;
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut closing = std::pin::pin!(reporter.shared.life.closing());
    loop {
        tokio::select! {
            _ = ticks.tick() => reporter.report(every).await,
            () = &mut closing => return,
        }
    }
}

struct Reporter {
    started: Instant,
    /// What each topic said last.
    told: HashMap<&'static str, String>,
    /// The count at the last report, and the averages.
    loads: HashMap<&'static str, (u64, [f64; 3])>,
    shared: Arc<Shared>,
}

impl Reporter {
    async fn report(&mut self, every: Duration) {
        self.shared.bus.admission().await;
        let (shared, stats) = (self.shared.clone(), self.shared.bus.stats().clone());
        let counts = shared.registry.counts();
        let wire = shared.counters.reading();
        let totals = stats.totals(*CONNECTOR);
        let dropped: u64 = DropReason::ALL.into_iter().map(|reason| stats.drops(*CONNECTOR, reason)).sum();
        let usage = shared.bus.engine().usage();
        let subscriptions = shared.bus.interest_counts().1;
        let all: u64 = Connector::all().map(|connector| stats.totals(connector).received).sum();
        self.tell("version", concat!("ratatosk version ", env!("CARGO_PKG_VERSION")));
        self.tell("uptime", format_args!("{} seconds", self.started.elapsed().as_secs()));
        let numbers = [
            ("clients/connected", counts.connected as u64),
            ("clients/active", counts.connected as u64),
            ("clients/disconnected", counts.away as u64),
            ("clients/inactive", counts.away as u64),
            ("clients/total", (counts.connected + counts.away) as u64),
            ("clients/maximum", wire.most),
            ("clients/expired", wire.expired),
            ("bytes/received", wire.bytes_in),
            ("bytes/sent", wire.bytes_out),
            ("messages/received", wire.packets_in),
            ("messages/sent", wire.packets_out),
            ("messages/stored", usage.retained_messages + usage.history_messages),
            ("store/messages/count", usage.retained_messages + usage.history_messages),
            ("store/messages/bytes", usage.history_bytes),
            ("publish/messages/received", totals.received),
            ("publish/messages/sent", totals.delivered),
            ("publish/messages/dropped", dropped),
            ("publish/bytes/received", totals.received_bytes),
            ("publish/bytes/sent", totals.delivered_bytes),
            ("retained messages/count", usage.retained_messages),
            ("subscriptions/count", subscriptions as u64),
            ("gateway/messages/received", all),
        ];
        for (topic, value) in numbers {
            self.tell(topic, value);
        }
        self.load("load/messages/received", wire.packets_in, every);
        self.load("load/messages/sent", wire.packets_out, every);
        self.load("load/bytes/received", wire.bytes_in, every);
        self.load("load/bytes/sent", wire.bytes_out, every);
        self.load("load/publish/received", totals.received, every);
        self.load("load/publish/sent", totals.delivered, every);
        self.load("load/publish/dropped", dropped, every);
    }

    fn tell(&mut self, topic: &'static str, value: impl std::fmt::Display) {
        let value = value.to_string();
        if self.told.get(topic) == Some(&value) {
            return;
        }
        self.publish(topic, &value);
        self.told.insert(topic, value);
    }

    /// Per-minute rates, averaged exponentially over 1, 5 and 15 minutes.
    fn load(&mut self, topic: &'static str, count: u64, every: Duration) {
        let (last, averages) = self.loads.entry(topic).or_insert((count, [0.0; 3]));
        let seconds = every.as_secs_f64().max(0.001);
        let rate = count.saturating_sub(*last) as f64 / seconds * 60.0;
        *last = count;
        let mut lines = Vec::with_capacity(WINDOWS.len());
        for ((name, window), average) in WINDOWS.into_iter().zip(averages.iter_mut()) {
            let before = format!("{average:.2}");
            *average = rate + (-seconds / window).exp() * (*average - rate);
            let now = format!("{average:.2}");
            if before != now {
                lines.push((name, now));
            }
        }
        for (name, value) in lines {
            self.publish(&format!("{topic}/{name}"), &value);
        }
    }

    fn publish(&self, topic: &str, value: &str) {
        let Ok(channel) = Channel::new(format!("$SYS/broker/{topic}")) else { return };
        // Nobody's session is to fill with figures that the next ones make void.
        let publication =
            Publication::new(channel, value.to_owned(), Origin::gateway()).retained(true).with_qos(Qos::AtMostOnce);
        let _ = self.shared.bus.publish(publication); // the gateway's own is never refused
    }
}
