//! The catalogue's metrics as data points, cumulative since the start: a push that is lost leaves no hole.

use std::{
    pin::pin,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use prometheus::proto::{LabelPair, Metric as Sample, MetricFamily, MetricType};
use prost::Message as _;
use ratatosk_metrics::Exporter;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::{
    collector::{Collector, Outcome, Signal},
    wire::{
        Data, ExportMetrics, Gauge, Histogram, HistogramPoint, KeyValue, Metric, Number, NumberPoint, ResourceMetrics,
        ScopeMetrics, Source, Sum, Temporality, text,
    },
};

/// Pushes at the interval, and once more at the end.
pub(crate) async fn push(
    collector: Collector,
    source: Source,
    exporter: Arc<Exporter>,
    interval: Duration,
    closing: impl Future<Output = ()> + Send,
) {
    let start = nanos(SystemTime::now());
    let mut closing = pin!(closing);
    let mut clock = interval_at(Instant::now() + interval, interval);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let is_last = tokio::select! {
            _ = clock.tick() => false,
            () = &mut closing => true,
        };
        let request = request(&source, &exporter.gather(), Span { start, time: nanos(SystemTime::now()) });
        let result = match collector.post(Signal::Metrics, request.encode_to_vec()).await {
            Outcome::Taken { rejected: 0, .. } => "ok",
            Outcome::Taken { .. } | Outcome::Later { .. } | Outcome::Refused { .. } => "failed",
        };
        collector.count(Signal::Metrics, result, 1);
        if is_last {
            return;
        }
    }
}

/// Since when is counted, and when it was read.
#[derive(Clone, Copy)]
struct Span {
    start: u64,
    time: u64,
}

fn request(source: &Source, families: &[MetricFamily], span: Span) -> ExportMetrics {
    let metrics = families.iter().filter_map(|family| metric(family, span)).collect();
    let scopes = vec![ScopeMetrics { scope: Some(source.scope.clone()), metrics }];
    ExportMetrics { resources: vec![ResourceMetrics { resource: Some(source.resource.clone()), scopes }] }
}

fn metric(family: &MetricFamily, span: Span) -> Option<Metric> {
    let samples = family.get_metric();
    let numbers = |value: fn(&Sample) -> f64| {
        let point = |sample: &Sample| NumberPoint {
            start: span.start,
            time: span.time,
            value: Some(Number::Double(value(sample))),
            attributes: attributes(sample.get_label()),
        };
        samples.iter().map(point).collect()
    };
    let temporality = Temporality::Cumulative.into();
    let data = match family.get_field_type() {
        MetricType::COUNTER => {
            let points = numbers(|sample| sample.get_counter().get_value());
            Data::Sum(Sum { points, temporality, is_monotonic: true })
        }
        MetricType::GAUGE => Data::Gauge(Gauge { points: numbers(|sample| sample.get_gauge().get_value()) }),
        MetricType::HISTOGRAM => {
            let points = samples.iter().map(|sample| histogram(sample, span)).collect();
            Data::Histogram(Histogram { points, temporality })
        }
        // The catalogue has no others.
        _ => return None,
    };
    Some(Metric { name: family.name().to_owned(), description: family.help().to_owned(), data: Some(data) })
}

/// Prometheus counts what is below each bound, OTLP what is between two; the last count is of what is above all.
fn histogram(sample: &Sample, span: Span) -> HistogramPoint {
    let histogram = sample.get_histogram();
    let finite = histogram.get_bucket().iter().filter(|bucket| bucket.upper_bound().is_finite());
    let (mut below, mut bucket_counts, mut explicit_bounds) = (0, Vec::new(), Vec::new());
    for bucket in finite {
        bucket_counts.push(bucket.cumulative_count().saturating_sub(below));
        explicit_bounds.push(bucket.upper_bound());
        below = bucket.cumulative_count();
    }
    let count = histogram.get_sample_count();
    bucket_counts.push(count.saturating_sub(below));
    HistogramPoint {
        start: span.start,
        time: span.time,
        count,
        sum: Some(histogram.get_sample_sum()),
        bucket_counts,
        explicit_bounds,
        attributes: attributes(sample.get_label()),
    }
}

fn attributes(labels: &[LabelPair]) -> Vec<KeyValue> {
    labels.iter().map(|label| text(label.name(), label.value())).collect()
}

/// Nanoseconds since 1970.
pub(crate) fn nanos(time: SystemTime) -> u64 {
    u64::try_from(time.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos()).unwrap_or(u64::MAX)
}
