//! Series of upstreams, which come and go while the gateway runs, of webhooks and of certificates.

use std::{collections::BTreeSet, sync::Arc};

use super::Exporter;
use crate::{
    catalogue::{self as name, CATALOGUE},
    reading::{UpstreamReading, WebhookReading},
};

impl Exporter {
    /// Sets what is read at each scrape, and ends the series of what is gone.
    pub(super) fn copy_upstreams(&self) {
        let Some(source) = self.source.get() else { return };
        let readings = source.upstreams();
        // Rules come and go with their upstreams: their series are set anew.
        for family in [name::RULE_MESSAGES, name::RULE_DEAD_LETTERS].iter().filter_map(|name| self.counters.get(name)) {
            family.reset();
        }
        readings.iter().for_each(|reading| self.upstream(reading));
        let there: BTreeSet<&Arc<str>> = readings.iter().map(|reading| &reading.upstream).collect();
        let mut known = self.known.lock();
        let gone: Vec<Arc<str>> = known.keys().filter(|name| !there.contains(name)).cloned().collect();
        for upstream in gone {
            known.remove(&upstream);
            self.forget_upstream(&upstream);
        }
        drop(known);
        let memory = source.memory();
        #[expect(clippy::cast_precision_loss, reason = "gauges are floating point")]
        self.set(name::MEMORY_CEILING, &[], memory.ceiling.unwrap_or_default() as f64);
        self.set(name::MEMORY_PRESSURE, &[], f64::from(memory.pressure));
        source.webhooks().iter().for_each(|reading| self.webhook(reading));
        if let Some(family) = self.gauges.get(name::CERTIFICATE_EXPIRY) {
            family.reset();
        }
        for (certificate, ends) in source.certificates() {
            #[expect(clippy::cast_precision_loss, reason = "gauges are floating point")]
            self.set(name::CERTIFICATE_EXPIRY, &[&certificate], ends as f64);
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "gauges are floating point")]
    fn upstream(&self, reading: &UpstreamReading) {
        let label: &[&str] = &[&reading.upstream];
        let flag = |flag: bool| f64::from(u8::from(flag));
        self.set(name::UPSTREAM_UP, label, flag(reading.up));
        self.set(name::UPSTREAM_REFUSED, label, flag(reading.refused));
        self.set(name::UPSTREAM_SUBSCRIPTIONS, label, reading.subscriptions as f64);
        self.set(name::UPSTREAM_QUEUE_MESSAGES, label, reading.queue_messages as f64);
        self.set(name::UPSTREAM_QUEUE_BYTES, label, reading.queue_bytes as f64);
        self.set(name::UPSTREAM_QUEUE_OLDEST, label, reading.queue_oldest.as_secs_f64());
        self.total(name::UPSTREAM_ACK_STALLS, label, reading.ack_stalls);
        // Series that events raise begin at zero, so that a first increase is seen as one.
        self.add(name::UPSTREAM_RECONNECTS, label, 0);
        self.add(name::UPSTREAM_DOWNS, label, 0);
        for rule in &reading.rules {
            for (result, count) in rule.messages {
                self.total(name::RULE_MESSAGES, &[&reading.upstream, &rule.rule, result], count);
            }
            self.total(name::RULE_DEAD_LETTERS, &[&reading.upstream, &rule.rule], rule.dead_letters);
        }
        self.known.lock().entry(reading.upstream.clone()).or_insert(false);
    }

    #[expect(clippy::cast_precision_loss, reason = "gauges are floating point")]
    fn webhook(&self, reading: &WebhookReading) {
        for (result, count) in reading.events {
            self.total(name::WEBHOOK_EVENTS, &[&reading.webhook, result], count);
        }
        self.total(name::WEBHOOK_FAILURES, &[&reading.webhook], reading.failed_requests);
        self.set(name::WEBHOOK_QUEUE, &[&reading.webhook], reading.waiting as f64);
    }

    fn forget_upstream(&self, upstream: &str) {
        for entry in CATALOGUE.iter().filter(|entry| entry.labels == ["upstream"]) {
            // A series that never was cannot be removed, which is as well.
            if let Some(family) = self.gauges.get(entry.name) {
                let _ = family.remove_label_values(&[upstream]);
            }
            if let Some(family) = self.counters.get(entry.name) {
                let _ = family.remove_label_values(&[upstream]);
            }
            if let Some(family) = self.histograms.get(entry.name) {
                let _ = family.remove_label_values(&[upstream]);
            }
        }
    }
}
