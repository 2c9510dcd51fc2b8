//! `all`: the set of figures that the project publishes, for every protocol the server speaks.

use anyhow::Result;

use super::{Bench, probe};
use crate::args::{Kind, Scenario};

/// What is measured for each protocol.
const SET: &[(Kind, u8, &[Scenario])] = &[
    (
        Kind::Sse,
        0,
        &[Scenario::Fanout, Scenario::Many, Scenario::Connect, Scenario::Idle, Scenario::Flat, Scenario::Resume],
    ),
    (Kind::Mqtt, 0, &[Scenario::Fanout, Scenario::Many, Scenario::Connect, Scenario::Idle]),
    (Kind::Mqtt, 1, &[Scenario::Fanout]),
    (Kind::MqttWs, 0, &[Scenario::Fanout, Scenario::Connect, Scenario::Idle]),
    (Kind::Pusher, 0, &[Scenario::Fanout, Scenario::Many, Scenario::Connect, Scenario::Idle]),
    (Kind::PusherClient, 0, &[Scenario::Fanout]),
    (Kind::BayeuxWs, 0, &[Scenario::Fanout, Scenario::Connect, Scenario::Idle]),
    (Kind::Bayeux, 0, &[Scenario::Fanout, Scenario::Rooms, Scenario::Connect, Scenario::Idle]),
];

impl Bench {
    pub(super) fn standard(&mut self) -> Result<()> {
        for &(kind, qos, scenarios) in SET {
            let wanted = self.args.protocol.is_empty() || self.args.protocol.contains(&kind);
            let level = self.args.qos.is_empty() || self.args.qos.contains(&qos);
            if !wanted || !level {
                continue;
            }
            let protocol = self.protocol(kind, qos);
            let there = self.server.await_listening(protocol.address()).and_then(|()| probe(protocol.as_ref()));
            if let Err(error) = there {
                eprintln!("{} is left out: {error:#}", protocol.label());
                self.failed |= !self.args.protocol.is_empty();
                continue;
            }
            for &scenario in scenarios {
                self.attempt(scenario, protocol.as_ref());
            }
        }
        Ok(())
    }
}
