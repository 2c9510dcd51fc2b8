//! A peer that takes only part of its runs, and what monitor events keep to themselves.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::{Arc, Mutex};

use ratatosk_core::{
    Bus, Channel, Connector, Delivered, EndReason, Filter, MonitorEvent, MonitorHandler, Origin, OutboxLimits, Peer,
    Publication, QueuePeer, Run, SessionConfig, SubscribeOptions, monitor::Monitored,
};

/// Takes odd payloads only, and of those only the ones below 7, in two steps.
struct Odd(Arc<QueuePeer>);

impl Peer for Odd {
    fn deliver(&self, run: &mut Run<'_>) -> Delivered {
        let number = |payload: &[u8]| std::str::from_utf8(payload).unwrap().parse::<u32>().unwrap();
        let outcome = run.narrow(
            |message| number(&message.payload) % 2 == 1,
            |run| run.narrow(|message| number(&message.payload) < 7, |run| self.0.deliver(run)),
        );
        outcome.flatten().unwrap_or_default()
    }

    fn end(&self, reason: EndReason) {
        self.0.end(reason);
    }
}

async fn narrowed(channels: &[&str], bystander: &str) -> Vec<String> {
    let bus = Bus::in_memory();
    let queue = QueuePeer::new(OutboxLimits::default());
    let test = Connector::register("test");
    let session = bus.open_session(SessionConfig::client("odd", test), Arc::new(Odd(queue.clone())));
    session.subscribe(Filter::new("#").unwrap(), SubscribeOptions::default());
    // Makes the sets of the channels differ, or not.
    let other = bus.open_session(SessionConfig::client("other", test), QueuePeer::new(OutboxLimits::default()));
    other.subscribe(Filter::new(bystander).unwrap(), SubscribeOptions::default());
    // Published without a pause, so that the lane finds them all in one pass.
    for number in 0..10_usize {
        let channel = Channel::new(*channels.get(number % channels.len()).unwrap()).unwrap();
        bus.publish(Publication::new(channel, number.to_string(), Origin::gateway())).unwrap();
    }
    let taken = queue.recv_many(100).await.unwrap();
    taken.iter().map(|waiting| String::from_utf8(waiting.message.payload.to_vec()).unwrap()).collect()
}

#[tokio::test]
async fn a_run_is_narrowed_in_order_whether_its_sets_are_alike_or_not() {
    assert_eq!(narrowed(&["a"], "b").await, ["1", "3", "5"]);
    assert_eq!(narrowed(&["a", "b", "c"], "b").await, ["1", "3", "5"]);
}

#[derive(Default)]
struct Told(Mutex<Vec<String>>);

impl MonitorHandler for Told {
    fn handle(&self, event: &Monitored) {
        if let MonitorEvent::CreatedChannel { channel } | MonitorEvent::DestroyedChannel { channel } = &event.event {
            self.0.lock().unwrap().push(channel.as_str().to_owned());
        }
    }
}

#[tokio::test]
async fn hidden_filters_are_told_to_nobody() {
    let bus = Bus::in_memory();
    let told = Arc::new(Told::default());
    bus.monitor().add(told.clone());
    let queue = QueuePeer::new(OutboxLimits::default());
    let session = bus.open_session(SessionConfig::client("c", Connector::register("test")), queue.clone());
    for text in ["$~secret/#", "$open"] {
        session.subscribe(Filter::new(text).unwrap(), SubscribeOptions::default());
    }
    bus.publish(Publication::new(Channel::new("$~secret/a").unwrap(), "1", Origin::gateway())).unwrap();
    assert_eq!(queue.recv_many(1).await.unwrap().len(), 1);
    session.close(EndReason::Disconnect);
    assert_eq!(*told.0.lock().unwrap(), ["$open", "$open"]);
}
