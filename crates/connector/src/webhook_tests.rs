#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{collections::VecDeque, sync::Arc, time::Duration};

use axum::{Router, extract::State, routing::post};
use http::{HeaderMap, StatusCode};
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

use super::*;

/// A status, and what `retry-after` says beside it.
type Answer = (u16, Option<&'static str>);

/// Answers with the statuses it is told, 200 when it is told none, and hands on every body.
#[derive(Clone)]
struct Receiver {
    statuses: Arc<Mutex<VecDeque<Answer>>>,
    bodies: mpsc::Sender<String>,
}

async fn receive(State(receiver): State<Receiver>, body: String) -> (StatusCode, HeaderMap) {
    let (status, retry_after) = receiver.statuses.lock().pop_front().unwrap_or((200, None));
    let mut headers = HeaderMap::new();
    if let Some(seconds) = retry_after {
        headers.insert("retry-after", seconds.parse().unwrap());
    }
    receiver.bodies.send(body).await.unwrap();
    (StatusCode::from_u16(status).unwrap(), headers)
}

struct Bench {
    queue: Arc<Queue<u32>>,
    bodies: mpsc::Receiver<String>,
    end: oneshot::Sender<()>,
    served: tokio::task::JoinHandle<()>,
}

async fn start(statuses: &[Answer], change: impl FnOnce(&mut CourierConfig)) -> Bench {
    let (sender, bodies) = mpsc::channel(1000);
    let receiver = Receiver { statuses: Arc::new(Mutex::new(statuses.iter().copied().collect())), bodies: sender };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    tokio::spawn(async move {
        axum::serve(listener, Router::new().route("/hook", post(receive)).with_state(receiver)).await
    });
    let mut config = CourierConfig { pause: Duration::from_millis(2), ..CourierConfig::new(url.parse().unwrap()) };
    change(&mut config);
    let queue = Arc::new(Queue::new(QueueBounds { events: 10, bytes: 1000 }));
    let (end, ended) = oneshot::channel();
    let (courier, shared) = (Courier::new("test", config).unwrap(), queue.clone());
    let served = tokio::spawn(async move {
        let compose = |events: &[u32]| Request { headers: HeaderMap::new(), body: format!("{events:?}") };
        courier.serve(&shared, compose, async { ended.await.unwrap_or_default() }).await;
    });
    Bench { queue, bodies, end, served }
}

impl Bench {
    async fn body(&mut self) -> String {
        tokio::time::timeout(Duration::from_secs(20), self.bodies.recv()).await.unwrap().unwrap()
    }

    /// Ends it, and says what became of the events.
    async fn end(self) -> Tally {
        self.end.send(()).unwrap();
        tokio::time::timeout(Duration::from_secs(20), self.served).await.unwrap().unwrap();
        self.queue.tally()
    }
}

#[tokio::test]
async fn a_request_that_fails_is_made_again_before_the_next() {
    let failures = [(500, None), (404, None), (302, None), (429, Some("0")), (503, Some("nonsense"))];
    let mut bench = start(&failures, |config| config.batch = 2).await;
    for event in 1..=3 {
        bench.queue.offer(event, 1);
    }
    let first = bench.body().await;
    assert!(first.starts_with("[1"), "{first}");
    for _ in 0..failures.len() {
        assert_eq!(bench.body().await, first);
    }
    let mut rest = String::new();
    while !rest.contains('3') && !first.contains('3') {
        rest = bench.body().await;
    }
    let tally = bench.end().await;
    assert_eq!((tally.delivered, tally.dropped, tally.given_up, tally.failed_requests), (3, 0, 0, 5));
}

#[tokio::test]
async fn a_receiver_that_takes_nothing_is_given_up_and_the_next_batch_is_tried() {
    let mut bench = start(&[(500, Some("30"))], |config| config.retry_for = Duration::from_secs(20)).await;
    bench.queue.offer(1, 1);
    assert_eq!(bench.body().await, "[1]");
    bench.queue.offer(2, 1);
    assert_eq!(bench.body().await, "[2]", "a pause longer than it is worth is not waited for");
    let tally = bench.end().await;
    assert_eq!((tally.delivered, tally.given_up), (1, 1));
}

#[tokio::test]
async fn a_full_queue_lets_go_of_the_oldest_and_counts() {
    let queue = Queue::new(QueueBounds { events: 3, bytes: 100 });
    (1..=5).for_each(|event| queue.offer(event, 10));
    assert_eq!(queue.tally().dropped, 2);
    queue.offer(6, 90);
    assert_eq!((queue.take(9), queue.tally().dropped), (vec![5, 6], 4));
    queue.offer(7, 101);
    assert_eq!((queue.take(9), queue.tally().dropped), (vec![], 5));
    queue.offer(8, 100);
    assert_eq!(queue.take(9), [8]);
}

#[tokio::test]
async fn a_batch_waits_for_others_but_not_for_ever() {
    let mut bench = start(&[], |config| config.linger = Duration::from_secs(3600)).await;
    bench.queue.offer(1, 1);
    bench.queue.offer(2, 1);
    let tally = bench.queue.tally();
    assert_eq!((tally.waiting, tally.delivered), (2, 0));
    bench.end.send(()).unwrap();
    let body = tokio::time::timeout(Duration::from_secs(20), bench.bodies.recv()).await.unwrap();
    assert_eq!(body.as_deref(), Some("[1, 2]"), "the end waits for nobody");
}

#[tokio::test]
async fn a_full_batch_goes_at_once() {
    let mut bench = start(&[], |config| (config.linger, config.batch) = (Duration::from_secs(3600), 2)).await;
    bench.queue.offer(1, 1);
    bench.queue.offer(2, 1);
    assert_eq!(bench.body().await, "[1, 2]");
    assert_eq!(bench.end().await.delivered, 2);
}

#[tokio::test]
async fn at_the_end_what_waits_is_still_sent_or_given_up_soon() {
    let mut bench = start(&[(500, None)], |config| config.pause = Duration::from_secs(3600)).await;
    for event in 1..=3 {
        bench.queue.offer(event, 1);
    }
    bench.body().await;
    let tally = bench.end().await;
    assert_eq!((tally.delivered, tally.given_up), (3, 0), "the pause is cut short");

    let mut bench =
        start(&[(500, None); 100], |config| (config.pause, config.batch) = (Duration::from_secs(3600), 1)).await;
    for event in 1..=3 {
        bench.queue.offer(event, 1);
    }
    bench.body().await;
    let tally = bench.end().await;
    assert_eq!((tally.delivered, tally.given_up, tally.waiting), (0, 3, 0));
    assert!(tally.failed_requests <= 4, "{tally:?}");
}
