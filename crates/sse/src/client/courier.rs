//! What is on its way to the publish URL: one message at a time, so that they keep their order.

use super::SseClient;
use super::publish::{self, Sent};
use ratatosk_connector::backoff::{Backoff, BackoffConfig};
use ratatosk_connector::upstream::{Ended, Port, Token};
use std::pin::Pin;
use std::time::Duration;
use tokio::time::Instant;

/// How long a request under way may go on when the upstream is told to leave.
const LAST_REQUEST: Duration = Duration::from_secs(2);

type Sending = Pin<Box<dyn Future<Output = Sent> + Send>>;

/// Sends messages during one attempt.
pub(super) struct Courier {
    sending: Option<Sending>,
    /// The message to be sent again, and when.
    again: Option<(Token, Instant)>,
    backoff: Backoff,
}

impl Default for Courier {
    fn default() -> Self {
        Self { sending: None, again: None, backoff: Backoff::new(BackoffConfig::default()) }
    }
}

impl Courier {
    /// Resolves when the request under way was answered, or else (`None`) when there is something to send, and it is time to.
    pub(super) async fn turn(&mut self, port: &Port) -> Option<Sent> {
        if let Some(sending) = &mut self.sending {
            return Some(sending.await);
        }
        match self.again {
            Some((_, at)) => tokio::time::sleep_until(at).await,
            None => port.ready().await,
        }
        None
    }

    /// Sends what is next.
    pub(super) fn send(&mut self, client: &SseClient, port: &Port) {
        let again = self.again.take().and_then(|(token, _)| port.in_flight(token));
        if let Some(outbound) = again.or_else(|| port.take()) {
            let (http, settings) = (client.http.clone(), client.settings.clone());
            self.sending = Some(Box::pin(publish::send(http, settings, port.gateway_id().clone(), outbound)));
        }
    }

    /// Books what became of a message. A publish URL that takes none now is no reason to leave a stream that is open; where
    /// none is, the supervisor tells the operator, and waits.
    pub(super) fn returned(&mut self, client: &SseClient, port: &Port, sent: Sent, has_stream: bool) -> Option<Ended> {
        self.sending = None;
        if let Sent::Lost(token, ended) = sent {
            if !has_stream {
                return Some(ended);
            }
            let pause = self.backoff.delay(fastrand::f64()).max(ended.not_before());
            self.again = Some((token, Instant::now() + pause));
            let reason = ended.reason().to_string();
            client.facts.change(|facts| {
                // Said once, and again only when the reason is another.
                if facts.publish_error.as_ref() != Some(&reason) {
                    tracing::warn!(upstream = %port.upstream(), reason, "the server does not take what is published");
                    facts.publish_error = Some(reason);
                }
            });
            return None;
        }
        self.backoff.reset();
        book(client, port, &sent);
        None
    }

    /// A request under way gets a moment, so that its message is not sent twice after a pause.
    pub(super) async fn settle(&mut self, client: &SseClient, port: &Port) {
        if let Some(sending) = &mut self.sending
            && let Ok(sent) = tokio::time::timeout(LAST_REQUEST, sending).await
        {
            book(client, port, &sent);
        }
    }
}

fn book(client: &SseClient, port: &Port, sent: &Sent) {
    match sent {
        Sent::Done(token) => {
            port.done(*token);
            client.facts.change(|facts| (facts.published, facts.publish_error) = (facts.published + 1, None));
        }
        Sent::Failed(token, reason) => port.failed(*token, *reason),
        Sent::Lost(..) => {}
    }
}
