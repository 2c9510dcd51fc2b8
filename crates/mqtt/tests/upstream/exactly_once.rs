//! QoS 1 and 2 over connections that break all the time: none lost, and none twice with QoS 2.

use std::collections::HashMap;

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

/// A hundred cuts at random places, both directions at once.
#[tokio::test(flavor = "multi_thread")]
async fn a_broker_with_perfect_memory_and_a_bad_network() {
    const COUNT: u32 = 2000;
    for (seed, version) in [(1, MqttVersion::V5), (2, MqttVersion::V311), (3, MqttVersion::V5)] {
        let server = Server::new().await;
        let up = Upstream::new(&server.url(), &kept("gw", version), spec(&[("in/#", "in/#")], &[("out/#", "out/#")]));
        let mut seen = up.subscribe("in/#");
        let broker = tokio::spawn(Durable::new(seed, 100, COUNT, COUNT as usize).run(server));
        for n in 0..COUNT {
            let (channel, qos) = if n % 2 == 0 { ("out/2", Level::ExactlyOnce) } else { ("out/1", Level::AtLeastOnce) };
            up.publish(channel, &format!("{n} {channel}"), qos);
        }
        let broker = tokio::time::timeout(LONG, broker).await.unwrap().unwrap();
        let twice = collect(&mut seen, COUNT).await;
        assert!(twice.iter().all(|n| n % 2 == 1), "QoS 2 came in twice: {twice:?}");
        assert!(up.handle.status().connections > 20, "too few cuts to prove anything");
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

/// Takes messages until each number below `count` has come; yields those that came again.
async fn collect(seen: &mut Subscriber, count: u32) -> Vec<u32> {
    let mut times = vec![0u32; count as usize];
    let mut missing = count;
    let mut twice = Vec::new();
    while missing > 0 {
        let message = seen.next().await;
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

/// Publishes 20,000 messages through a Mosquitto that is killed ten times on the way.
#[tokio::test(flavor = "multi_thread")]
async fn a_mosquitto_that_is_killed_ten_times() {
    const COUNT: u32 = 20_000;
    for version in [MqttVersion::V5, MqttVersion::V311] {
        let mut broker = Mosquitto::with(
            "allow_anonymous true\npersistence true\npersistence_location {dir}/\nautosave_on_changes true\nautosave_interval 1\nmax_queued_messages 0\nmax_inflight_messages 100\n",
            "",
        );
        let to = Upstream::new(&broker.url(), &kept("to", version), spec(&[], &[("x/#", "x/#")]));
        let from = Upstream::new(&broker.url(), &kept("from", version), spec(&[("x/#", "y/#")], &[]));
        let mut seen = from.subscribe("y/#");
        eventually("subscribed", || from.handle.status().subscriptions == 1).await;
        let mut random = fastrand::Rng::with_seed(7);
        let started = std::time::Instant::now();
        let mut killed = 0;
        for n in 0..COUNT {
            to.publish(
                if n % 2 == 0 { "x/2" } else { "x/1" },
                &n.to_string(),
                if n % 2 == 0 { Level::ExactlyOnce } else { Level::AtLeastOnce },
            );
            let depth = || to.handle.queue_depth().messages;
            if depth() > 500 {
                eventually("room", || depth() < 300).await;
            }
            if n % (COUNT / 11) == COUNT / 11 - 1 && killed < 10 {
                tokio::time::sleep(std::time::Duration::from_micros(random.u64(0..20_000))).await;
                tokio::task::block_in_place(|| {
                    broker.kill();
                    broker.start_again();
                });
                killed += 1;
            }
        }
        eventually("all sent", || to.handle.queue_depth().messages == 0).await;
        let mut times = vec![0u32; COUNT as usize];
        let mut last = std::time::Instant::now();
        let mut got = 0;
        while got < COUNT && last.elapsed().as_secs() < 10 {
            match seen.try_next() {
                Some(m) => {
                    let n = number(std::str::from_utf8(&m.payload).unwrap()) as usize;
                    times[n] += 1;
                    if times[n] == 1 {
                        got += 1
                    }
                    last = std::time::Instant::now();
                }
                None => tokio::time::sleep(std::time::Duration::from_millis(5)).await,
            }
        }
        let lost: Vec<usize> = (0..COUNT as usize).filter(|n| times[*n] == 0).collect();
        let twice2: Vec<usize> = (0..COUNT as usize).filter(|n| times[*n] > 1 && n % 2 == 0).collect();
        let twice1: Vec<usize> = (0..COUNT as usize).filter(|n| times[*n] > 1 && n % 2 == 1).collect();
        eprintln!(
            "{version:?}: killed {killed}, {:?}, connections {} {}, lost {} {lost:?}, twice qos2 {} {twice2:?}, twice qos1 {}",
            started.elapsed(),
            to.handle.status().connections,
            from.handle.status().connections,
            lost.len(),
            twice2.len(),
            twice1.len()
        );
    }
}
