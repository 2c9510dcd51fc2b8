//! QoS 1 and 2 over connections that break all the time: none lost, and none twice with QoS 2.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use ratatosk_core::Qos as Level;
use ratatosk_mqtt::{
    config::{MqttUpstreamConfig, MqttVersion},
    proto::codec::Qos,
};

use crate::{
    bench::{LONG, Subscriber, Upstream, eventually, spec},
    durable::Durable,
    mosquitto::Mosquitto,
    scripted::Server,
};

fn kept(client_id: &str, version: MqttVersion) -> MqttUpstreamConfig {
    MqttUpstreamConfig { clean_session: false, client_id: Some(client_id.into()), version, ..Default::default() }
}

/// Sixty cuts at random places, both directions at once.
#[tokio::test(flavor = "multi_thread")]
async fn a_broker_with_perfect_memory_and_a_bad_network() {
    const COUNT: u32 = 1000;
    for (seed, version) in [(1, MqttVersion::V5), (2, MqttVersion::V311), (3, MqttVersion::V5)] {
        let server = Server::new().await;
        let up = Upstream::new(&server.url(), &kept("gw", version), spec(&[("in/#", "in/#")], &[("out/#", "out/#")]));
        let mut seen = up.subscribe("in/#");
        let broker = tokio::spawn(Durable::new(seed, 60, COUNT, COUNT as usize).run(server));
        for n in 0..COUNT {
            let (channel, qos) = if n % 2 == 0 { ("out/2", Level::ExactlyOnce) } else { ("out/1", Level::AtLeastOnce) };
            up.publish(channel, &format!("{n} {channel}"), qos);
        }
        let broker = tokio::time::timeout(LONG, broker).await.unwrap().unwrap();
        let twice = collect(&mut seen, COUNT - 1).await;
        let exact: Vec<u32> = twice.into_iter().filter(|n| n % 2 == 0).collect();
        assert!(exact.is_empty(), "QoS 2 came in twice: {exact:?}");
        assert!(up.handle.status().connections > 10, "too few cuts to prove anything");
        let mut times: HashMap<&str, u32> = HashMap::new();
        broker.taken.iter().for_each(|(_, payload)| *times.entry(payload).or_default() += 1);
        assert_eq!(times.len(), COUNT as usize, "something was lost on the way out");
        for (qos, payload) in &broker.taken {
            assert!(*qos == Qos::AtLeastOnce || times[payload.as_str()] == 1, "{payload} went out twice with QoS 2");
        }
        let exact: Vec<u32> =
            broker.taken.iter().filter(|(qos, _)| *qos == Qos::ExactlyOnce).map(|(_, p)| number(p)).collect();
        assert!(exact.is_sorted(), "QoS 2 went out of order");
    }
}

fn number(payload: &str) -> u32 {
    payload.split(' ').next().unwrap().parse().unwrap()
}

/// Takes messages until each number up to `last` has come, `last` itself at the end; yields those that came again.
async fn collect(seen: &mut Subscriber, last: u32) -> Vec<u32> {
    let mut times = vec![0u32; last as usize + 1];
    let mut missing = last + 1;
    let mut twice = Vec::new();
    while missing > 0 {
        let Ok(message) = tokio::time::timeout(LONG / 2, seen.next()).await else {
            let lost: Vec<usize> = (0..times.len()).filter(|n| times[*n] == 0).take(20).collect();
            panic!("{missing} of {} do not come, such as {lost:?}", times.len());
        };
        let n = number(std::str::from_utf8(&message.payload).unwrap());
        times[n as usize] += 1;
        match times[n as usize] {
            1 => missing -= 1,
            _ => twice.push(n),
        }
    }
    while let Some(message) = seen.try_next() {
        twice.push(number(std::str::from_utf8(&message.payload).unwrap()));
    }
    twice
}

/// Mosquitto acknowledges first and saves later: when it is killed in between, it has forgotten what it acknowledged.
/// `settle` is made for that.
#[tokio::test(flavor = "multi_thread")]
async fn a_mosquitto_that_is_killed_ten_times_during_20000_messages() {
    for (version, count) in [(MqttVersion::V5, 20_000), (MqttVersion::V311, 4_000)] {
        let broker = Arc::new(Mutex::new(Mosquitto::with(SAVES, "")));
        tokio::task::block_in_place(|| broker.lock().unwrap().kill_and_start_again());
        let saver = save_often(broker.clone());
        let url = broker.lock().unwrap().url();
        let config = |name| MqttUpstreamConfig {
            settle: "250ms".parse().unwrap(),
            max_inflight: Some(1000),
            ..kept(name, version)
        };
        let to = Upstream::new(&url, &config("to"), spec(&[], &[("x/#", "x/#")]));
        let from = Upstream::new(&url, &config("from"), spec(&[("x/#", "y/#")], &[]));
        let mut seen = from.subscribe("y/#");
        eventually("subscribed", || from.handle.status().subscriptions == 1).await;
        let mut random = fastrand::Rng::with_seed(7);
        let depth = || to.handle.queue_depth().messages;
        for n in 0..count {
            let (channel, qos) = if n % 2 == 0 { ("x/2", Level::ExactlyOnce) } else { ("x/1", Level::AtLeastOnce) };
            to.publish(channel, &n.to_string(), qos);
            if depth() > 3000 {
                eventually("room in the queue", || depth() < 2000).await;
            }
            if (n + 1) % (count / 11) == 0 && n + 1 < count / 11 * 11 {
                // Somewhere in its work, not where the last message left it.
                tokio::time::sleep(Duration::from_micros(random.u64(0..20_000))).await;
                let connections = || to.handle.status().connections.min(from.handle.status().connections);
                let before = connections();
                tokio::task::block_in_place(|| broker.lock().unwrap().kill_and_start_again());
                eventually("joined again", || connections() > before).await;
            }
        }
        eventually("all sent", || depth() == 0).await;
        to.publish("x/2", &count.to_string(), Level::ExactlyOnce);
        let twice = collect(&mut seen, count).await;
        let exact: Vec<u32> = twice.into_iter().filter(|n| n % 2 == 0).collect();
        assert!(exact.is_empty(), "{version:?}: QoS 2 came in twice: {exact:?}");
        assert!(to.handle.status().connections > 10 && from.handle.status().connections > 10);
        saver.abort();
    }
}

/// Mosquitto's `autosave_on_changes` does not count what happens to messages in flight, so it is told to save.
fn save_often(broker: Arc<Mutex<Mosquitto>>) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_millis(10)).await;
            // Not while it is being started: the signal would end it before its handler is in place.
            if let Ok(broker) = broker.try_lock() {
                broker.save();
            }
        }
    })
}

const SAVES: &str = "allow_anonymous true
persistence true
persistence_location {dir}/
autosave_on_changes true
autosave_interval 1
max_queued_messages 0
max_inflight_messages 1000
";
