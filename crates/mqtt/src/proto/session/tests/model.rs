//! A client that checks everything it is sent, over connections that break at any point.

use std::collections::BTreeMap;

use proptest::{collection::vec, prelude::*};

use super::*;

#[derive(Debug, Clone)]
enum Act {
    Deliver {
        qos: Qos,
        room: bool,
    },
    /// The client reads all that was sent and answers.
    Read,
    /// The client answers this many of its unanswered publications, in order.
    Answer(usize),
    Pump(u64),
    /// The connection breaks: what was not read is lost, and so are answers not yet given.
    Break {
        window: u16,
        version: Version,
    },
}

fn act() -> impl Strategy<Value = Act> {
    let qos = prop_oneof![Just(Qos::AtMostOnce), Just(Qos::AtLeastOnce), Just(Qos::ExactlyOnce)];
    let version = prop_oneof![Just(Version::V311), Just(Version::V5)];
    prop_oneof![
        6 => (qos, any::<bool>()).prop_map(|(qos, room)| Act::Deliver { qos, room }),
        4 => Just(Act::Read),
        4 => (0usize..6).prop_map(Act::Answer),
        3 => (1u64..400).prop_map(Act::Pump),
        1 => (1u16..5, version).prop_map(|(window, version)| Act::Break { window, version }),
    ]
}

#[derive(Default)]
struct Client {
    /// Answers it owes, in order.
    owed: Vec<Packet>,
    /// QoS 2 publications it has, but which are not released: their numbers.
    held: BTreeMap<u16, usize>,
    /// Unanswered publications on this connection.
    open: usize,
    /// Numbers of the messages it got, per QoS.
    got: [Vec<usize>; 3],
}

impl Client {
    fn read(&mut self, packets: Vec<Packet>, window: usize, fresh: bool) {
        for packet in packets {
            match packet {
                Packet::Publish(publish) => self.publish(&publish, window, fresh),
                Packet::Pubrel(ack) => {
                    self.held.remove(&ack.packet_id.get());
                    self.owed.push(Packet::Pubcomp(ok(ack.packet_id.get())));
                }
                other => panic!("unexpected {other:?}"),
            }
        }
    }

    fn publish(&mut self, publish: &Publish, window: usize, fresh: bool) {
        let number: usize = std::str::from_utf8(&publish.payload).unwrap().parse().unwrap();
        let got = &mut self.got[usize::from(publish.qos.level())];
        assert!(!(fresh && publish.dup), "DUP on a first connection");
        let Some(id) = publish.packet_id else { return got.push(number) };
        self.open += 1;
        assert!(self.open <= window, "{} publications for a window of {window}", self.open);
        match publish.qos {
            Qos::AtLeastOnce => {
                assert!(publish.dup || !got.contains(&number), "repeated without DUP");
                if !got.contains(&number) {
                    got.push(number);
                }
                self.owed.push(Packet::Puback(ok(id.get())));
            }
            _ => {
                if let Some(held) = self.held.insert(id.get(), number) {
                    assert!(held == number && publish.dup, "identifier reused before its release");
                } else {
                    assert!(!got.contains(&number), "QoS 2 delivered twice");
                    got.push(number);
                }
                self.owed.push(Packet::Pubrec(ok(id.get())));
            }
        }
    }

    fn answer(&mut self, machine: &mut Machine<Note>, count: usize, out: &mut Vec<u8>) {
        for packet in self.owed.drain(..count.min(self.owed.len())) {
            if !matches!(packet, Packet::Pubrec(_)) {
                self.open = self.open.saturating_sub(1);
            }
            machine.receive(packet, out).unwrap();
        }
    }
}

fn run(acts: &[Act]) -> Result<(), TestCaseError> {
    let mut machine = machine(Link { window: 3, ..v5() });
    let (mut client, mut out, mut tally) = (Client::default(), Vec::new(), Tally::default());
    let (mut window, mut fresh, mut sent) = (3, true, [vec![], vec![], vec![]]);
    let finish = [Act::Pump(u64::MAX), Act::Read, Act::Answer(100)];
    let rounds = 2 * acts.len() + 4;
    let all = acts.iter().chain(std::iter::repeat_n(&finish, rounds).flatten());
    for (number, act) in all.enumerate() {
        match act {
            Act::Deliver { qos, room } => {
                sent[usize::from(qos.level())].push(number);
                let item = item(Note::new("topic", number.to_string()), *qos);
                machine.deliver(item, at(0), *room, &mut out, &mut tally);
            }
            Act::Read => {
                let packets = read(machine.link().unwrap().version, &std::mem::take(&mut out));
                client.read(packets, window, fresh);
            }
            Act::Answer(count) => client.answer(&mut machine, *count, &mut out),
            Act::Pump(room) => machine.pump(at(0), *room, &mut out, &mut tally),
            Act::Break { window: next, version } => {
                (window, fresh) = (usize::from(*next), false);
                (client.open, client.owed) = (0, Vec::new());
                out.clear();
                machine.disconnect();
                machine.connect(Link { window: *next, ..Link::new(*version, 0) });
            }
        }
    }
    prop_assert_eq!(machine.depth(), (0, 0));
    prop_assert_eq!(&client.got[1], &sent[1], "QoS 1: all, in order");
    prop_assert_eq!(&client.got[2], &sent[2], "QoS 2: all, once, in order");
    if fresh {
        prop_assert_eq!(&client.got[0], &sent[0], "QoS 0: all on an unbroken connection");
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn nothing_is_lost_repeated_or_out_of_order(acts in vec(act(), 0..60)) {
        run(&acts)?;
    }
}
