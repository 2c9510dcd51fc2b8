#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]
use super::*;
use proptest::prelude::*;
use ratatosk_core::{Bus, Origin, Publication, QueuePeer, SessionConfig, SubscribeOptions};

/// Messages as a bus makes them.
async fn messages(count: usize) -> Vec<Arc<Message>> {
    let bus = Bus::in_memory();
    let peer =
        QueuePeer::new(ratatosk_core::OutboxLimits { messages: count + 1, bytes: 1 << 30, ..Default::default() });
    let config = SessionConfig::client("t", ratatosk_core::Connector::GATEWAY);
    let session = bus.open_session(config, peer.clone());
    session.subscribe("#".parse().unwrap(), SubscribeOptions::default());
    for n in 0..count {
        let channel = Channel::new("c").unwrap();
        bus.publish(Publication::new(channel, n.to_string(), Origin::gateway())).unwrap();
    }
    let mut all = Vec::new();
    while all.len() < count {
        all.extend(peer.recv_many(count).await.unwrap().into_iter().map(|waiting| waiting.message));
    }
    all
}

fn outbound(message: &Arc<Message>) -> Outbound {
    Outbound {
        token: Token::default(),
        channel: message.channel.clone(),
        message: message.clone(),
        qos: Qos::AtLeastOnce,
        retain: false,
        reply_to: None,
        rule: None,
    }
}

fn payloads(queue: &Queue, now: Instant) -> Vec<String> {
    std::iter::from_fn(|| queue.take(now).next)
        .map(|out| String::from_utf8_lossy(&out.message.payload).into_owned())
        .collect()
}

fn limits(messages: usize, when_full: WhenFull) -> QueueLimits {
    QueueLimits { messages, bytes: 1 << 20, age: Some(Duration::from_secs(60)), when_full }
}

#[tokio::test]
async fn a_full_queue_follows_its_policy_and_counts() {
    let (all, now) = (messages(5).await, Instant::now());
    let oldest = Queue::new(limits(3, WhenFull::DropOldest));
    assert_eq!(all.iter().map(|m| oldest.push(outbound(m), now)).sum::<u64>(), 2);
    assert_eq!(payloads(&oldest, now), ["2", "3", "4"]);
    let newest = Queue::new(limits(3, WhenFull::DropNewest));
    assert_eq!(all.iter().map(|m| newest.push(outbound(m), now)).sum::<u64>(), 2);
    assert_eq!(payloads(&newest, now), ["0", "1", "2"]);
}

#[tokio::test]
async fn what_is_in_flight_is_never_dropped_for_room() {
    let (all, now) = (messages(3).await, Instant::now());
    let queue = Queue::new(limits(2, WhenFull::DropOldest));
    queue.push(outbound(&all[0]), now);
    queue.push(outbound(&all[1]), now);
    let tokens: Vec<Token> = (0..2).map(|_| queue.take(now).next.unwrap().token).collect();
    assert_eq!(queue.push(outbound(&all[2]), now), 1);
    assert!(queue.in_flight(tokens[0]).is_some());
    assert!(queue.done(tokens[0]).is_some() && queue.done(tokens[0]).is_none());
    assert_eq!(queue.push(outbound(&all[2]), now), 0);
    assert_eq!(queue.depth(now).in_flight, 1);
}

#[tokio::test]
async fn a_message_larger_than_the_queue_drops_nobody_else() {
    let (all, now) = (messages(2).await, Instant::now());
    let small = QueueLimits { bytes: all[0].weight() + 10, ..limits(10, WhenFull::DropOldest) };
    let queue = Queue::new(small);
    queue.push(outbound(&all[0]), now);
    let bus = Bus::in_memory();
    let peer = QueuePeer::new(Default::default());
    let session = bus.open_session(SessionConfig::client("t", ratatosk_core::Connector::GATEWAY), peer.clone());
    session.subscribe("#".parse().unwrap(), SubscribeOptions::default());
    bus.publish(Publication::new(Channel::new("c").unwrap(), vec![0; 4096], Origin::gateway())).unwrap();
    let large = peer.recv_many(1).await.unwrap().remove(0).message;
    assert_eq!(queue.push(outbound(&large), now), 1);
    assert_eq!(payloads(&queue, now), ["0"]);
}

#[tokio::test]
async fn what_is_too_old_is_not_sent() {
    let (all, now) = (messages(2).await, Instant::now());
    let queue = Queue::new(limits(5, WhenFull::DropOldest));
    queue.push(outbound(&all[0]), now);
    queue.push(outbound(&all[1]), now + Duration::from_secs(30));
    let later = now + Duration::from_secs(61);
    assert_eq!(queue.depth(later).oldest, Some(Duration::from_secs(61)));
    let taken = queue.take(later);
    assert_eq!((taken.expired, taken.next.map(|out| out.message.seq)), (1, Some(all[1].seq)));
}

#[tokio::test]
async fn older_messages_go_in_front() {
    let (all, now) = (messages(4).await, Instant::now());
    let queue = Queue::new(limits(9, WhenFull::DropOldest));
    queue.push(outbound(&all[2]), now);
    queue.push(outbound(&all[3]), now);
    assert_eq!(queue.push_old(vec![outbound(&all[0]), outbound(&all[1])], now), 0);
    assert_eq!(payloads(&queue, now), ["0", "1", "2", "3"]);
    queue.rewind(|_| false);
    assert_eq!(payloads(&queue, now), ["0", "1", "2", "3"]);
}

proptest! {
    /// Whatever is taken, acknowledged and rewound: order is kept, and nothing is lost before it is done.
    #[test]
    fn order_survives_reconnects(steps in prop::collection::vec(0u8..5, 1..200)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let all = runtime.block_on(messages(40));
        let now = Instant::now();
        let queue = Queue::new(limits(1000, WhenFull::DropOldest));
        let (mut pushed, mut done, mut flight): (usize, Vec<u64>, Vec<(Token, u64)>) = (0, Vec::new(), Vec::new());
        for step in steps {
            match step {
                0 | 1 if pushed < all.len() => {
                    queue.push(outbound(&all[pushed]), now);
                    pushed += 1;
                }
                2 => if let Some(out) = queue.take(now).next {
                    prop_assert!(flight.last().is_none_or(|(_, seq)| *seq < out.message.seq));
                    flight.push((out.token, out.message.seq));
                },
                3 if !flight.is_empty() => {
                    let (token, seq) = flight.remove(flight.len() / 2);
                    prop_assert!(queue.done(token).is_some());
                    done.push(seq);
                }
                4 => {
                    let keep = flight.first().copied();
                    queue.rewind(|token| keep.is_some_and(|(kept, _)| kept == token));
                    flight.truncate(1);
                }
                _ => {}
            }
        }
        queue.rewind(|_| false);
        let left: Vec<u64> = std::iter::from_fn(|| queue.take(now).next).map(|out| out.message.seq).collect();
        prop_assert!(left.is_sorted());
        let mut every: Vec<u64> = done.into_iter().chain(left).collect();
        every.sort_unstable();
        let expected: Vec<u64> = all.iter().take(pushed).map(|message| message.seq).collect();
        prop_assert_eq!(every, expected);
    }
}
