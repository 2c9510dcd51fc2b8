//! Delivery to one receiver: one request at a time, so that what it hears is in order; a request that fails is made again.

use std::{
    future::Future,
    pin::{Pin, pin},
    time::Duration,
};

use http::HeaderMap;
use tokio::time::Instant;
use url::Url;

use super::queue::Queue;

/// How long the last requests may take once the process ends.
const HURRY: Duration = Duration::from_secs(2);
/// The longest pause that a receiver can ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// How a receiver is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CourierConfig {
    /// Where to.
    pub url: Url,
    /// How long one request may take.
    pub timeout: Duration,
    /// The most events in one request.
    pub batch: usize,
    /// How long the first event of a batch waits for others.
    pub linger: Duration,
    /// The pause after the first failure; it doubles with each, up to a minute, and the half of it is drawn.
    pub pause: Duration,
    /// For how long a request is made again. After that its events are given up.
    pub retry_for: Duration,
}

impl CourierConfig {
    /// Ten seconds for a request, a hundred events in one, five minutes of retries.
    #[must_use]
    pub fn new(url: Url) -> Self {
        Self {
            url,
            timeout: Duration::from_secs(10),
            batch: 100,
            linger: Duration::ZERO,
            pause: Duration::from_secs(1),
            retry_for: Duration::from_secs(300),
        }
    }
}

/// A request, but for its address.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: String,
}

/// Serves one receiver.
#[derive(Debug)]
pub struct Courier {
    name: String,
    config: CourierConfig,
    client: reqwest::Client,
}

impl Courier {
    /// `name` is what the log calls the receiver.
    ///
    /// # Errors
    /// The TLS configuration cannot be made.
    pub fn new(name: impl Into<String>, config: CourierConfig) -> Result<Self, reqwest::Error> {
        // Another part of the process may have installed it already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .timeout(config.timeout)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("ratatosk/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { name: name.into(), config, client })
    }

    /// Delivers what comes into the queue until `ending` resolves, and what is in it then: each request is still tried twice,
    /// and when the receiver takes nothing the rest is given up. `compose` makes a request anew for each try.
    pub async fn serve<E>(
        &self,
        queue: &Queue<E>,
        compose: impl Fn(&[E]) -> Request,
        ending: impl Future<Output = ()>,
    ) {
        let mut ending = Ending { signal: pin!(ending), reached: false };
        loop {
            self.gather(queue, &mut ending).await;
            let events = queue.take(self.config.batch);
            if events.is_empty() {
                if ending.reached {
                    return;
                }
                continue;
            }
            if self.deliver(queue, &events, &compose, &mut ending).await {
                queue.count_delivered(events.len());
                continue;
            }
            queue.count_given_up(events.len());
            if ending.reached {
                return queue.count_given_up(queue.take(usize::MAX).len());
            }
        }
    }

    /// Waits for an event, and a moment for others.
    async fn gather<E>(&self, queue: &Queue<E>, ending: &mut Ending<'_, impl Future<Output = ()>>) {
        ending.or(queue.has(1)).await;
        if !self.config.linger.is_zero() {
            let more = tokio::time::timeout(self.config.linger, queue.has(self.config.batch));
            ending
                .or(async {
                    let _ = more.await;
                })
                .await;
        }
    }

    /// Tries until the receiver has them; false: they are given up.
    async fn deliver<E>(
        &self,
        queue: &Queue<E>,
        events: &[E],
        compose: &impl Fn(&[E]) -> Request,
        ending: &mut Ending<'_, impl Future<Output = ()>>,
    ) -> bool {
        let begun = Instant::now();
        let mut last_tries = 2;
        for tries in 0.. {
            let answer = self.post(compose(events), ending).await;
            let (why, asked) = match answer {
                Ok(Answer { status, .. }) if status.is_success() => return true,
                Ok(Answer { status, retry_after }) => (format!("status {status}"), retry_after),
                Err(why) => (why, None),
            };
            queue.count_failed_request();
            if ending.reached {
                last_tries -= 1;
            }
            let pause = self.pause(tries, asked);
            let host = self.config.url.host_str();
            if last_tries == 0 || begun.elapsed() + pause > self.config.retry_for {
                tracing::warn!(webhook = self.name, host, events = events.len(), why, "webhook given up");
                return false;
            }
            tracing::debug!(webhook = self.name, host, tries, why, "webhook failed");
            if !ending.reached {
                ending.or(tokio::time::sleep(pause)).await;
            }
        }
        false
    }

    async fn post(
        &self,
        request: Request,
        ending: &mut Ending<'_, impl Future<Output = ()>>,
    ) -> Result<Answer, String> {
        let Request { headers, body } = request;
        let mut sent = pin!(async {
            let answer = self.client.post(self.config.url.clone()).headers(headers).body(body).send().await;
            let answer = answer.map_err(|error| error.without_url().to_string())?;
            Ok(Answer { status: answer.status(), retry_after: retry_after(answer.headers()) })
        });
        if let Some(answer) = ending.or(&mut sent).await {
            return answer;
        }
        // The end comes in the middle of a request, or before it.
        tokio::time::timeout(HURRY, sent).await.unwrap_or_else(|_| Err("no answer before the end".to_owned()))
    }

    /// As long as the receiver asked for, and no shorter than without that. The half of it is drawn, so that many gateways
    /// that lost the same receiver do not come back in step.
    fn pause(&self, tries: u32, asked: Option<Duration>) -> Duration {
        let whole = self.config.pause.saturating_mul(1 << tries.min(16)).min(LONGEST_PAUSE);
        whole.mul_f64(0.5 + fastrand::f64() / 2.0).max(asked.unwrap_or_default())
    }
}

struct Answer {
    status: http::StatusCode,
    retry_after: Option<Duration>,
}

/// RFC 9110, section 10.2.3, in seconds.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(http::header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(LONGEST_PAUSE))
}

/// The end of the process, and whether it has begun.
struct Ending<'a, F> {
    signal: Pin<&'a mut F>,
    reached: bool,
}

impl<F: Future<Output = ()>> Ending<'_, F> {
    /// Does something unless the end comes first; `None` then, and at once when it has come before.
    async fn or<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        if self.reached {
            return None;
        }
        tokio::select! {
            biased;
            done = work => Some(done),
            () = &mut self.signal => {
                self.reached = true;
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn a_receiver_may_ask_for_a_longer_pause_and_not_for_none() {
        let courier = Courier::new("test", CourierConfig::new("http://localhost/".parse().unwrap())).unwrap();
        let own = courier.config.pause;
        for asked in [None, Some(Duration::ZERO)] {
            assert!(courier.pause(0, asked) >= own / 2 && courier.pause(2, asked) >= own * 2, "{asked:?}");
        }
        assert_eq!(courier.pause(0, Some(LONGEST_PAUSE)), LONGEST_PAUSE);
    }
}
