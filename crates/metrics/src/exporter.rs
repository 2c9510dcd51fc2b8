//! From monitor events and counters to the Prometheus text format.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{Arc, OnceLock},
    time::UNIX_EPOCH,
};

use parking_lot::Mutex;
use prometheus::{
    Encoder, GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry, TextEncoder, core::Collector,
    proto::MetricFamily,
};
use ratatosk_core::{Bus, Connector, MonitorEvent, MonitorHandler, monitor::Monitored, stats::DropReason};

use crate::{
    catalogue::{self as name, CATALOGUE, Kind},
    latency::LatencyCollector,
    reading::Source,
};

/// Buckets of keep-alive round trips, in seconds.
const RTT_BUCKETS: [f64; 12] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

mod upstreams;

/// Metrics could not be registered or written.
#[derive(Debug, thiserror::Error)]
#[error("metrics: {0}")]
pub struct ExportError(#[from] prometheus::Error);

/// Fills the catalogue.
pub struct Exporter {
    registry: Registry,
    bus: Bus,
    counters: BTreeMap<&'static str, IntCounterVec>,
    gauges: BTreeMap<&'static str, GaugeVec>,
    histograms: BTreeMap<&'static str, HistogramVec>,
    /// Upstreams that were told of, and whether each was up before: the next time it comes up is a reconnect.
    known: Mutex<BTreeMap<Arc<str>, bool>>,
    source: OnceLock<Arc<dyn Source>>,
}

impl std::fmt::Debug for Exporter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exporter").finish_non_exhaustive()
    }
}

impl Exporter {
    /// An exporter of the bus; the caller adds it to the bus's monitor. `process` is whether the metrics of the process are
    /// among them.
    ///
    /// # Errors
    /// Two metrics of one name.
    pub fn new(bus: Bus, version: &str, process: bool) -> Result<Arc<Self>, ExportError> {
        let registry = Registry::new();
        let (mut counters, mut gauges, mut histograms) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        for entry in CATALOGUE.iter().filter(|entry| entry.name != name::DELIVERY_SECONDS) {
            let opts = Opts::new(entry.name, entry.help);
            match entry.kind {
                Kind::Counter => {
                    let family = IntCounterVec::new(opts, entry.labels)?;
                    counters.insert(entry.name, register(&registry, family)?);
                }
                Kind::Gauge => {
                    let family = GaugeVec::new(opts, entry.labels)?;
                    gauges.insert(entry.name, register(&registry, family)?);
                }
                Kind::Histogram => {
                    let opts = HistogramOpts::from(opts).buckets(RTT_BUCKETS.to_vec());
                    let family = HistogramVec::new(opts, entry.labels)?;
                    histograms.insert(entry.name, register(&registry, family)?);
                }
            }
        }
        registry.register(Box::new(LatencyCollector::new(bus.stats().clone())?))?;
        if process {
            registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
        }
        let known = Mutex::new(BTreeMap::new());
        let exporter = Self { registry, bus, counters, gauges, histograms, known, source: OnceLock::new() };
        exporter.begin(version);
        Ok(Arc::new(exporter))
    }

    /// Says where upstreams and certificates are read from at each scrape. Only the first call counts.
    pub fn read_from(&self, source: Arc<dyn Source>) {
        // A second source would be a mistake of the composition, and changes nothing.
        let _ = self.source.set(source);
    }

    /// Series that exist before anything happens, so that rates and alerts have a start.
    fn begin(&self, version: &str) {
        self.set(name::BUILD_INFO, &[version], 1.0);
        for result in ["complete", "partial", "epoch", "invalid"] {
            self.add(name::RESUMES, &[result], 0);
        }
        for result in ["ok", "failed"] {
            self.add(name::CONFIG_RELOADS, &[result], 0);
            self.add(name::CERTIFICATE_RELOADS, &[result], 0);
        }
        for (signal, result) in [("metrics", "ok"), ("metrics", "failed"), ("traces", "ok"), ("traces", "dropped")] {
            self.add(name::EXPORTS, &[signal, result], 0);
        }
        self.add(name::RELIEVED, &[], 0);
        for connector in Connector::all() {
            self.set(name::CONNECTIONS, &[connector.name()], 0.0);
            self.add(name::CONNECTIONS_OPENED, &[connector.name()], 0);
            self.add(name::CONNECTIONS_CLOSED, &[connector.name(), "closed"], 0);
            self.add(name::CONNECTIONS_CLOSED, &[connector.name(), "slow"], 0);
            self.add(name::AUTH, &[connector.name(), "allowed"], 0);
            self.add(name::AUTH, &[connector.name(), "denied"], 0);
        }
    }

    fn add(&self, metric: &str, labels: &[&str], count: u64) {
        if let Some(counter) =
            self.counters.get(metric).and_then(|family| family.get_metric_with_label_values(labels).ok())
        {
            counter.inc_by(count);
        }
    }

    /// Sets a counter that is kept elsewhere.
    fn total(&self, metric: &str, labels: &[&str], total: u64) {
        if let Some(counter) =
            self.counters.get(metric).and_then(|family| family.get_metric_with_label_values(labels).ok())
        {
            counter.reset();
            counter.inc_by(total);
        }
    }

    fn set(&self, metric: &str, labels: &[&str], value: f64) {
        if let Some(gauge) = self.gauges.get(metric).and_then(|family| family.get_metric_with_label_values(labels).ok())
        {
            gauge.set(value);
        }
    }

    fn step(&self, metric: &str, labels: &[&str], step: f64) {
        if let Some(gauge) = self.gauges.get(metric).and_then(|family| family.get_metric_with_label_values(labels).ok())
        {
            gauge.add(step);
        }
    }

    /// Copies what the bus counts by itself.
    #[expect(clippy::cast_precision_loss, reason = "gauges are floating point")]
    fn copy(&self) {
        let stats = self.bus.stats();
        for connector in Connector::all() {
            let (label, totals) = (connector.name(), stats.totals(connector));
            self.total(name::MESSAGES_RECEIVED, &[label], totals.received);
            self.total(name::RECEIVED_BYTES, &[label], totals.received_bytes);
            self.total(name::MESSAGES_DELIVERED, &[label], totals.delivered);
            self.total(name::DELIVERED_BYTES, &[label], totals.delivered_bytes);
            self.set(name::OUTBOX_MESSAGES, &[label], stats.outbox(connector) as f64);
            self.set(name::SESSIONS, &[label], self.bus.sessions_of(connector) as f64);
            for reason in DropReason::ALL {
                self.total(name::MESSAGES_DROPPED, &[label, reason.label()], stats.drops(connector, reason));
            }
        }
        for (from, to, field, count) in stats.losses() {
            self.total(name::MAPPING_LOSS, &[from, to, field], count);
        }
        let (channels, subscriptions) = self.bus.interest_counts();
        self.set(name::CHANNELS, &[], channels as f64);
        self.set(name::SUBSCRIPTIONS, &[], subscriptions as f64);
        self.set(name::LANE_MESSAGES, &[], self.bus.waiting() as f64);
        self.set(name::QUEUE_BYTES, &[], self.bus.backlog().bytes as f64);
        let usage = self.bus.engine().usage();
        self.set(name::HISTORY_MESSAGES, &[], usage.history_messages as f64);
        self.set(name::HISTORY_BYTES, &[], usage.history_bytes as f64);
        self.set(name::RETAINED_MESSAGES, &[], usage.retained_messages as f64);
        self.total(name::HISTORY_TRIMMED, &[], usage.history_trimmed);
    }

    /// Everything there is to tell now, as it stands before it is written in a format.
    #[must_use]
    pub fn gather(&self) -> Vec<MetricFamily> {
        self.copy();
        self.copy_upstreams();
        self.registry.gather()
    }

    /// The scrape: text format, version 0.0.4. Every metric of the catalogue is at least declared.
    ///
    /// # Errors
    /// Encoding failed.
    pub fn render(&self) -> Result<String, ExportError> {
        let families = self.gather();
        let mut out = Vec::new();
        TextEncoder::new().encode(&families, &mut out)?;
        let mut text = String::from_utf8_lossy(&out).into_owned();
        for entry in CATALOGUE.iter().filter(|entry| families.iter().all(|family| family.name() != entry.name)) {
            let kind = match entry.kind {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
                Kind::Histogram => "histogram",
            };
            let _ = write!(text, "# HELP {0} {1}\n# TYPE {0} {kind}\n", entry.name, entry.help); // a String takes all
        }
        Ok(text)
    }

    fn upstream_status(&self, upstream: &Arc<str>, up: bool) {
        self.set(name::UPSTREAM_UP, &[upstream], f64::from(u8::from(up)));
        let mut known = self.known.lock();
        let was_up_once = known.entry(upstream.clone()).or_insert(false);
        match up {
            true if *was_up_once => self.add(name::UPSTREAM_RECONNECTS, &[upstream], 1),
            true => *was_up_once = true,
            false => self.add(name::UPSTREAM_DOWNS, &[upstream], 1),
        }
    }
}

fn register<C: Collector + Clone + 'static>(registry: &Registry, family: C) -> Result<C, ExportError> {
    registry.register(Box::new(family.clone()))?;
    Ok(family)
}

impl MonitorHandler for Exporter {
    fn handle(&self, monitored: &Monitored) {
        match &monitored.event {
            MonitorEvent::ConnectionOpened { connector } => {
                self.step(name::CONNECTIONS, &[connector.name()], 1.0);
                self.add(name::CONNECTIONS_OPENED, &[connector.name()], 1);
            }
            MonitorEvent::ConnectionClosed { connector, reason } => {
                self.step(name::CONNECTIONS, &[connector.name()], -1.0);
                self.add(name::CONNECTIONS_CLOSED, &[connector.name(), reason.label()], 1);
            }
            MonitorEvent::CreatedClient { connector, .. } => self.add(name::SESSIONS_CREATED, &[connector.name()], 1),
            MonitorEvent::DestroyedClient { connector, reason, .. } => {
                self.add(name::SESSIONS_DESTROYED, &[connector.name(), reason.label()], 1);
            }
            MonitorEvent::UpstreamStatus { upstream, up, .. } => self.upstream_status(upstream, *up),
            MonitorEvent::UpstreamPing { upstream, round_trip } => {
                let family = self.histograms.get(name::UPSTREAM_RTT);
                if let Some(histogram) = family.and_then(|f| f.get_metric_with_label_values(&[&**upstream]).ok()) {
                    histogram.observe(round_trip.as_secs_f64());
                }
            }
            MonitorEvent::UpstreamMessage { upstream } => {
                let at = monitored.at.duration_since(UNIX_EPOCH).unwrap_or_default();
                self.set(name::UPSTREAM_LAST_MESSAGE, &[upstream], at.as_secs_f64());
            }
            MonitorEvent::Resumed { result } => self.add(name::RESUMES, &[result], 1),
            MonitorEvent::Authenticated { connector, allowed } => {
                let result = if *allowed { "allowed" } else { "denied" };
                self.add(name::AUTH, &[connector.name(), result], 1);
            }
            MonitorEvent::ProtocolFault { connector, fault } => {
                self.add(name::PROTOCOL_FAULTS, &[connector.name(), fault], 1);
            }
            MonitorEvent::Limited { connector, limit } => self.add(name::LIMITED, &[connector.name(), limit], 1),
            MonitorEvent::Relieved { sessions } => self.add(name::RELIEVED, &[], *sessions as u64),
            MonitorEvent::CertificatesReloaded { ok } => {
                self.add(name::CERTIFICATE_RELOADS, &[if *ok { "ok" } else { "failed" }], 1);
            }
            MonitorEvent::ConfigReloaded { ok } => {
                self.add(name::CONFIG_RELOADS, &[if *ok { "ok" } else { "failed" }], 1);
            }
            MonitorEvent::Exported { signal, result, count } => self.add(name::EXPORTS, &[signal, result], *count),
            _ => {}
        }
    }
}
