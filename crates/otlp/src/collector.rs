//! The far collector: one request, what its answer means, and telling when it begins and ceases to fail.

use std::{
    fmt::Write as _,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use prost::Message;
use ratatosk_core::{Monitor, MonitorEvent};
use url::Url;

use crate::{OtlpConfig, wire};

/// How long a request may take, and so how long a push can hold up the end.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest answer that is read.
const MAX_ANSWER: usize = 64 << 10;
/// The longest time that a collector can ask for before it is tried again.
const MAX_PAUSE: Duration = Duration::from_secs(300);

/// The client side cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum CollectorError {
    /// No HTTP client.
    #[error("otlp: no HTTP client: {0}")]
    Client(#[from] reqwest::Error),
    /// A header's value cannot be sent.
    #[error("otlp.headers.{0}: the value cannot be sent in a header")]
    Header(HeaderName),
}

/// What is pushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signal {
    Metrics,
    Traces,
}

impl Signal {
    fn name(self) -> &'static str {
        match self {
            Self::Metrics => "metrics",
            Self::Traces => "traces",
        }
    }
}

/// What became of a push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The collector has it, but for this many data points or spans.
    Taken { rejected: u64, why: String },
    /// It takes none now; it may say for how long.
    Later { pause: Option<Duration>, why: String },
    /// It will never take this.
    Refused { why: String },
}

#[derive(Debug, Clone)]
pub(crate) struct Collector(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    client: reqwest::Client,
    urls: [Url; 2],
    headers: HeaderMap,
    monitor: Monitor,
    failing: [AtomicBool; 2],
}

impl Collector {
    pub(crate) fn new(config: &OtlpConfig, monitor: Monitor) -> Result<Self, CollectorError> {
        let _ = rustls::crypto::ring::default_provider().install_default(); // an error: it is installed already
        let client =
            reqwest::Client::builder().timeout(PATIENCE).redirect(reqwest::redirect::Policy::none()).build()?;
        let mut headers = HeaderMap::new();
        for (name, secret) in &config.headers {
            let mut value = HeaderValue::from_str(secret.expose()).map_err(|_| CollectorError::Header(name.clone()))?;
            value.set_sensitive(true);
            headers.insert(name.clone(), value);
        }
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        let url = |signal: Signal| {
            let mut url = config.endpoint.clone();
            url.set_path(&format!("{}/v1/{}", url.path().trim_end_matches('/'), signal.name()));
            url
        };
        let urls = [url(Signal::Metrics), url(Signal::Traces)];
        Ok(Self(Arc::new(Inner { client, urls, headers, monitor, failing: Default::default() })))
    }

    /// Sends one request.
    pub(crate) async fn post(&self, signal: Signal, body: Vec<u8>) -> Outcome {
        let inner = &*self.0;
        let [metrics, traces] = &inner.urls;
        let url = if signal == Signal::Metrics { metrics } else { traces };
        let request = inner.client.post(url.clone()).headers(inner.headers.clone()).body(body);
        let outcome = match request.send().await {
            Ok(response) => judge(response).await,
            Err(error) => Outcome::Later { pause: None, why: chain(&error.without_url()) },
        };
        self.tell(signal, &outcome);
        outcome
    }

    /// Counts what became of pushes or spans.
    pub(crate) fn count(&self, signal: Signal, result: &'static str, count: u64) {
        if count > 0 {
            self.0.monitor.emit(MonitorEvent::Exported { signal: signal.name(), result, count });
        }
    }

    /// One line when it begins to fail, and one when that is over.
    fn tell(&self, signal: Signal, outcome: &Outcome) {
        let [metrics, traces] = &self.0.failing;
        let failing = if signal == Signal::Metrics { metrics } else { traces };
        let why = match outcome {
            Outcome::Taken { rejected: 0, .. } => None,
            Outcome::Taken { why, .. } | Outcome::Later { why, .. } | Outcome::Refused { why } => Some(why),
        };
        match (why, failing.swap(why.is_some(), Ordering::Relaxed)) {
            (Some(why), false) => {
                tracing::warn!(signal = signal.name(), reason = why, "the OTLP collector does not take all");
            }
            (None, true) => tracing::info!(signal = signal.name(), "the OTLP collector takes everything again"),
            _ => {}
        }
    }
}

/// OTLP/HTTP, "Failures": which answers ask for another try.
async fn judge(mut response: reqwest::Response) -> Outcome {
    let status = response.status();
    if !status.is_success() {
        let why = format!("status {status}");
        return match status {
            StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => Outcome::Later { pause: retry_after(response.headers()), why },
            _ => Outcome::Refused { why },
        };
    }
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        if body.len() + chunk.len() > MAX_ANSWER {
            break;
        }
        body.extend_from_slice(&chunk);
    }
    // An answer that cannot be read (some collectors answer in JSON) has a status that says enough.
    let partial = wire::Answer::decode(body.as_slice()).unwrap_or_default().partial_success.unwrap_or_default();
    Outcome::Taken { rejected: u64::try_from(partial.rejected).unwrap_or(0), why: partial.error_message }
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(MAX_PAUSE))
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let (mut text, mut cause) = (error.to_string(), error.source());
    while let Some(error) = cause {
        let _ = write!(text, ": {error}"); // a String takes all
        cause = error.source();
    }
    text
}
