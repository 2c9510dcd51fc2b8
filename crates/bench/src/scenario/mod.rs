//! The scenarios: each makes a plan, has the engine run it against server and floor, and prints rows.

mod churn;
mod connect;
mod idle;
mod resume;
mod standard;
mod traffic;

use anyhow::{Context, Result, bail};

use crate::access::Tokens;
use crate::args::{BenchArgs, Kind, Scenario};
use crate::cores::Cores;
use crate::engine::load::{Load, Pace, Plan};
use crate::meter::Processes;
use crate::proto::{Protocol, across, bayeux, mqtt, pusher, sse};
use crate::report::{Printer, Row};
use crate::server::{FloorProcess, Server};

/// Everything a scenario works with.
pub(crate) struct Bench {
    args: BenchArgs,
    cores: Cores,
    server: Server,
    floor: Option<FloorProcess>,
    /// The floor that joins waiting frames, when asked for.
    joined: Option<FloorProcess>,
    printer: Printer,
    /// Connections a process may have here.
    limit: usize,
    app: pusher::App,
    /// What connections show, where the server judges.
    tokens: Option<Tokens>,
    failed: bool,
}

impl Bench {
    pub(crate) fn new(args: BenchArgs, limit: usize) -> Result<Self> {
        let app = pusher::App::parse(&args.pusher_app)?;
        let cores = Cores::choose(args.server_core, args.generator_core)?;
        let floor = if args.no_floor { None } else { Some(FloorProcess::start(cores, false)?) };
        let joined = if args.join { Some(FloorProcess::start(cores, true)?) } else { None };
        let server = Server::from_args(&args, cores)?;
        let printer = Printer::new(args.json);
        let tokens = args.rules.map(|_| Tokens::default());
        Ok(Self { args, cores, server, floor, joined, printer, limit, app, tokens, failed: false })
    }

    /// Runs what the arguments ask for; answers whether every figure could be taken.
    pub(crate) fn run(&mut self) -> Result<bool> {
        if self.args.scenario == Scenario::All {
            self.standard()?;
            return Ok(!self.failed);
        }
        for protocol in self.chosen() {
            self.server.await_listening(protocol.address())?;
            self.server.await_listening(protocol.publisher_address())?;
            self.attempt(self.args.scenario, protocol.as_ref());
        }
        Ok(!self.failed)
    }

    /// Runs one scenario; a failure is told and remembered, the others go on.
    fn attempt(&mut self, scenario: Scenario, protocol: &dyn Protocol) {
        let result = match scenario {
            Scenario::Fanout => self.fanout(protocol),
            Scenario::Many => self.many(protocol),
            Scenario::Rooms => self.rooms(protocol),
            Scenario::Flat => self.flat(protocol),
            Scenario::Idle => self.idle(protocol),
            Scenario::Connect => self.connect(protocol),
            Scenario::Resume => self.resume(protocol),
            Scenario::Churn => self.churn(protocol),
            Scenario::All | Scenario::Floor => Ok(()),
        };
        if let Err(error) = result {
            self.failed = true;
            eprintln!("{scenario:?} over {}: {error:#}\n{}", protocol.label(), self.server.log());
        }
    }

    fn chosen(&self) -> Vec<Box<dyn Protocol>> {
        let kinds = if self.args.protocol.is_empty() { vec![Kind::Sse] } else { self.args.protocol.clone() };
        let levels = if self.args.qos.is_empty() { vec![0] } else { self.args.qos.clone() };
        let mut chosen = Vec::new();
        for kind in kinds {
            match kind {
                Kind::Mqtt | Kind::MqttWs => chosen.extend(levels.iter().map(|&qos| self.protocol(kind, qos))),
                _ => chosen.push(self.protocol(kind, 0)),
            }
        }
        chosen
    }

    /// Subscribers of this kind, with publishers of theirs or of the kind that was asked for.
    fn protocol(&self, kind: Kind, qos: u8) -> Box<dyn Protocol> {
        let to = self.plain(kind, qos);
        match self.args.publish_protocol.filter(|from| *from != kind) {
            Some(from) => Box::new(across::Across { from: self.plain(from, qos), to }),
            None => to,
        }
    }

    fn plain(&self, kind: Kind, qos: u8) -> Box<dyn Protocol> {
        let (http, mqtt, tokens) = (self.server.http, self.server.mqtt, self.tokens.clone());
        match kind {
            Kind::Sse => Box::new(sse::Sse {
                address: http,
                subscribe_path: self.args.subscribe_path.clone(),
                publish_path: self.args.publish_path.clone(),
                tokens,
            }),
            Kind::Mqtt => Box::new(mqtt::Mqtt::tcp(mqtt, qos, self.args.mqtt_version).with(tokens)),
            Kind::MqttWs => Box::new(mqtt::Mqtt::websocket(http, qos, self.args.mqtt_version).with(tokens)),
            Kind::Pusher => Box::new(pusher::Pusher { address: http, client_events: false, app: self.app.clone() }),
            Kind::PusherClient => {
                Box::new(pusher::Pusher { address: http, client_events: true, app: self.app.clone() })
            }
            Kind::Bayeux => Box::new(bayeux::Bayeux { address: http, websocket: false, tokens }),
            Kind::BayeuxWs => Box::new(bayeux::Bayeux { address: http, websocket: true, tokens }),
        }
    }

    fn print(&mut self, mut row: Row) -> Result<()> {
        row.bar = crate::bars::bar(row.scenario, &row.protocol, row.mode);
        self.printer.print(&row)
    }

    /// At most `count` connections, and a note when that is fewer than asked for.
    fn clamp(&self, count: usize) -> (usize, Option<String>) {
        if count <= self.limit {
            return (count, None);
        }
        let note = format!("{count} connections asked for; the limit of open files here allows {}", self.limit);
        (self.limit, Some(note))
    }

    fn server_processes(&self) -> Result<Processes> {
        Ok(self.server.processes()?.clone())
    }
}

/// Sends one message through; the error says why it did not arrive.
fn probe(protocol: &dyn Protocol) -> Result<()> {
    let plan = Plan {
        channels: 1,
        subscribers: vec![vec![0]],
        publishers: 1,
        payload: 64,
        pace: Pace::Paced { per_second: 0.001 },
    };
    let mut load = Load::connect(protocol, &plan).context("no such server")?;
    load.begin()?;
    load.drive(std::time::Duration::from_millis(50))?;
    load.settle()?;
    if load.recorder.missing() > 0 {
        bail!("a message did not arrive");
    }
    Ok(())
}
