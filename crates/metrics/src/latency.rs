//! The delivery latencies that the bus keeps, as a Prometheus histogram.

use std::sync::Arc;

use prometheus::{
    Opts,
    core::{Collector, Desc, Describer},
    proto,
};
use ratatosk_core::{
    Connector,
    stats::{LATENCY_BOUNDS, LatencyReading, Stats},
};

use crate::catalogue::{CATALOGUE, DELIVERY_SECONDS};

/// Reads the latencies at each scrape, so that the hot path touches nothing but its own counters.
pub(crate) struct LatencyCollector {
    stats: Arc<Stats>,
    desc: Desc,
    help: &'static str,
}

impl LatencyCollector {
    pub(crate) fn new(stats: Arc<Stats>) -> Result<Self, prometheus::Error> {
        let help = CATALOGUE.iter().find(|entry| entry.name == DELIVERY_SECONDS).map_or("", |entry| entry.help);
        let labels = vec!["from".to_owned(), "to".to_owned()];
        let desc = Opts::new(DELIVERY_SECONDS, help).variable_labels(labels).describe()?;
        Ok(Self { stats, desc, help })
    }
}

impl Collector for LatencyCollector {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<proto::MetricFamily> {
        let pairs = Connector::all().flat_map(|from| Connector::all().map(move |to| (from, to)));
        let metrics: Vec<proto::Metric> =
            pairs.filter_map(|(from, to)| Some(metric(from, to, &self.stats.latency_reading(from, to)?))).collect();
        if metrics.is_empty() {
            return Vec::new();
        }
        let mut family = proto::MetricFamily::default();
        family.set_name(DELIVERY_SECONDS.to_owned());
        family.set_help(self.help.to_owned());
        family.set_field_type(proto::MetricType::HISTOGRAM);
        family.set_metric(metrics);
        vec![family]
    }
}

fn metric(from: Connector, to: Connector, reading: &LatencyReading) -> proto::Metric {
    let mut histogram = proto::Histogram::default();
    let mut cumulative = 0;
    let mut buckets = Vec::with_capacity(LATENCY_BOUNDS.len());
    for (bound, count) in LATENCY_BOUNDS.iter().zip(&reading.buckets) {
        cumulative += count;
        let mut bucket = proto::Bucket::default();
        bucket.set_upper_bound(*bound);
        bucket.set_cumulative_count(cumulative);
        buckets.push(bucket);
    }
    histogram.set_bucket(buckets);
    histogram.set_sample_count(reading.buckets.iter().sum());
    histogram.set_sample_sum(reading.sum);
    let mut metric = proto::Metric::default();
    metric.set_label(vec![label("from", from.name()), label("to", to.name())]);
    metric.set_histogram(histogram);
    metric
}

fn label(name: &str, value: &str) -> proto::LabelPair {
    let mut pair = proto::LabelPair::default();
    pair.set_name(name.to_owned());
    pair.set_value(value.to_owned());
    pair
}
