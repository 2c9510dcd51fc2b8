//! A bridge in the place of another.

use super::*;
use crate::rules::TreatmentBuilder;

/// A bridge with these rules in the place of another, which ends first.
fn in_place_of(old: Bench, spec: BridgeSpec) -> Bench {
    let (attempts, attempted) = mpsc::channel(1000);
    let (work, todo) = mpsc::channel(1000);
    let (handle, task) = Bridge::new(&old.bus, spec, Scripted { attempts, work: todo });
    handle.succeed(&old.handle);
    let Bench { bus, handle: old_handle, task: old_task, events, .. } = old;
    let task = tokio::spawn(async move {
        old_handle.finish_programs().await;
        old_handle.stop();
        old_task.await.unwrap();
        task.await;
    });
    Bench { bus, handle, task, work, attempts: attempted, events }
}

fn lost(bench: &Bench) -> u64 {
    bench.bus.stats().drops(Connector::register("mqtt"), DropReason::QueueFull)
}

#[tokio::test]
async fn what_was_not_acknowledged_is_sent_by_the_bridge_in_its_place() {
    let rules = || spec(&[], &[("x/#", "y/#")]);
    let old = Bench::new(rules());
    old.run(Port::up).await;
    for n in 1..=4 {
        old.publish(&format!("x/{n}"), "");
    }
    let first = within(async {
        loop {
            if let Some(out) = old.run(|port| port.take()).await {
                return out.token;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(old.taken(2).await, ["y/2=", "y/3="]);
    old.run(move |port| port.done(first)).await;
    old.end(Ended::refused("bad user name or password")).await;
    assert!(within(old.handle.reached(State::Refused)).await);
    let new = in_place_of(old, rules());
    new.publish("x/5", "");
    new.run(Port::up).await;
    assert_eq!(new.taken(4).await, ["y/2=", "y/3=", "y/4=", "y/5="]);
    // One that has not run hands on what it was to take over.
    let third = in_place_of(in_place_of(new, rules()), rules());
    third.publish("x/6", "");
    third.run(Port::up).await;
    assert_eq!(third.taken(5).await, ["y/2=", "y/3=", "y/4=", "y/5=", "y/6="]);
    assert_eq!(lost(&third), 0);
    third.handle.stop();
    let Bench { handle, task, bus, .. } = third;
    within(task).await.unwrap();
    assert_eq!(handle.queue_depth().messages, 0);
    assert_eq!(bus.stats().drops(Connector::register("mqtt"), DropReason::QueueFull), 5);
}

#[tokio::test]
async fn what_waits_for_programs_is_made_and_sent_by_the_bridge_in_its_place() {
    let rules = || {
        let builder = TreatmentBuilder { transform: Some(". + 1".to_owned()), ..TreatmentBuilder::default() };
        let rule = Rule::new("r", Direction::Out, "x", "y").unwrap().with_treatment(builder.build().unwrap());
        BridgeSpec { outbound: RuleSet::new([rule]), ..spec(&[], &[]) }
    };
    let old = Bench::new(rules());
    for n in 0..500 {
        old.publish("x", &n.to_string());
    }
    let new = in_place_of(old, rules());
    new.run(Port::up).await;
    let expected: Vec<String> = (1..=500).map(|n| format!("y={n}")).collect();
    assert_eq!(new.taken(500).await, expected);
    assert_eq!(lost(&new), 0);
}
