//! Scenarios with traffic: `fanout`, `many`, `rooms`, `flat`.

use anyhow::Result;

use super::Bench;
use crate::engine::load::{Load, Measured, Pace, Plan};
use crate::proto::Protocol;
use crate::proto::floor::Floor;
use crate::report::{Row, median};
use crate::server::FloorProcess;

const CHANNELS: u16 = 100;
const PAYLOAD: usize = 200;

impl Bench {
    /// Subscribers on one channel.
    pub(super) fn fanout(&mut self, protocol: &dyn Protocol) -> Result<()> {
        let (count, note) = self.clamp(self.args.subscribers.unwrap_or(1000));
        let plan = self.plan(1, vec![vec![0]; count], 1, PAYLOAD);
        self.both(protocol, "fanout", plan, 20.0, note.as_ref())
    }

    /// As many publishers as channels, and subscribers spread over the channels.
    pub(super) fn many(&mut self, protocol: &dyn Protocol) -> Result<()> {
        let (count, note) = self.clamp(self.args.subscribers.unwrap_or(1000));
        let subscribers = (0..count).map(|i| vec![spread(i)]).collect();
        let plan = self.plan(CHANNELS, subscribers, usize::from(CHANNELS), PAYLOAD);
        self.both(protocol, "many", plan, 500.0, note.as_ref())
    }

    /// Every subscriber on 10 of the channels, short messages at a fixed rate.
    pub(super) fn rooms(&mut self, protocol: &dyn Protocol) -> Result<()> {
        let (count, note) = self.clamp(self.args.subscribers.unwrap_or(1000));
        let subscribers = (0..count).map(|i| (0..10).map(|k| spread(i + 10 * k)).collect()).collect();
        let mut plan = self.plan(CHANNELS, subscribers, 10, 50);
        plan.pace = Pace::Paced { per_second: self.args.rate.unwrap_or(900.0) };
        self.compare(protocol, "rooms", &plan, note.as_ref())
    }

    /// The same fan-out with more and more subscribers.
    pub(super) fn flat(&mut self, protocol: &dyn Protocol) -> Result<()> {
        for asked in [100, 1000, 5000, 20_000] {
            let (count, note) = self.clamp(asked);
            let mut plan = self.plan(1, vec![vec![0]; count], 1, PAYLOAD);
            plan.pace = Pace::Closed { inflight: self.args.inflight };
            self.compare(protocol, "flat", &plan, note.as_ref())?;
        }
        Ok(())
    }

    fn plan(&self, channels: u16, subscribers: Vec<Vec<u16>>, publishers: usize, payload: usize) -> Plan {
        let payload = self.args.payload.unwrap_or(payload);
        Plan { channels, subscribers, publishers, payload, pace: Pace::Closed { inflight: self.args.inflight } }
    }

    fn both(
        &mut self,
        protocol: &dyn Protocol,
        scenario: &'static str,
        mut plan: Plan,
        per_second: f64,
        note: Option<&String>,
    ) -> Result<()> {
        if self.args.mode.closed() {
            self.compare(protocol, scenario, &plan, note)?;
        }
        if self.args.mode.paced() {
            plan.pace = Pace::Paced { per_second: self.args.rate.unwrap_or(per_second) };
            self.compare(protocol, scenario, &plan, note)?;
        }
        Ok(())
    }

    /// Measures server and floor in turn, as often as asked, and prints the medians.
    fn compare(
        &mut self,
        protocol: &dyn Protocol,
        scenario: &'static str,
        plan: &Plan,
        note: Option<&String>,
    ) -> Result<()> {
        let mut runs = Vec::new();
        for _ in 0..self.args.runs.max(1) {
            let server = Load::connect(protocol, plan)?.measure(self.args.timing(), &self.server_processes()?)?;
            let on = |floor: &Option<FloorProcess>| {
                floor.as_ref().map(|floor| self.on_floor(floor, plan, &server)).transpose()
            };
            let (floor, joined) = (on(&self.floor)?, on(&self.joined)?);
            runs.push(Run { server, floor, joined });
        }
        let mode = if matches!(plan.pace, Pace::Closed { .. }) { "closed" } else { "paced" };
        let mut row = summary(&runs);
        row.scenario = scenario;
        row.protocol = protocol.label();
        row.mode = mode;
        row.n = plan.subscribers.len();
        row.note = notes(note, &runs);
        self.print(row)
    }

    fn on_floor(&self, floor: &FloorProcess, plan: &Plan, server: &Measured) -> Result<Measured> {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a mean frame size")]
        let frame = server.frame.round() as usize;
        let protocol = Floor { address: floor.address, frame, request: 100, answer: 100 };
        // One connection brings the floor all its frames: taking publications in is the server's work, not the floor's.
        let plan = &Plan { publishers: 1, ..plan.clone() };
        Load::connect(&protocol, plan)?.measure(self.args.timing(), &floor.processes)
    }
}

/// Channel of the i-th subscription.
fn spread(index: usize) -> u16 {
    u16::try_from(index % usize::from(CHANNELS)).unwrap_or_default()
}

struct Run {
    server: Measured,
    floor: Option<Measured>,
    joined: Option<Measured>,
}

impl Run {
    /// How much others used the cores: generator and floor have one thread each, which waits for nobody else.
    fn disturbed(&self) -> f64 {
        let floor = self.floor.as_ref().map_or(0.0, |floor| floor.server_waited.max(floor.generator_waited));
        floor.max(self.server.generator_waited)
    }
}

fn summary(runs: &[Run]) -> Row {
    let of = |figure: &dyn Fn(&Run) -> Option<f64>| median(runs.iter().filter_map(figure).collect());
    let cost = |measured: &Option<Measured>| measured.as_ref().and_then(Measured::cost);
    let worst = |figure: &dyn Fn(&Measured) -> Option<u64>| runs.iter().filter_map(|r| figure(&r.server)).max();
    Row {
        per_second: of(&|run| Some(run.server.rate())),
        cpu_us: of(&|run| run.server.cost()),
        floor_us: of(&|run| cost(&run.floor)),
        joined_floor_us: of(&|run| cost(&run.joined)),
        ratio: of(&|run| Some(run.server.cost()? / cost(&run.floor)?)),
        p50_us: worst(&|m| m.p50),
        p99_us: worst(&|m| m.p99),
        lost: Some(runs.iter().map(|r| r.server.lost).sum()),
        disordered: Some(runs.iter().map(|r| r.server.disordered).sum()),
        server_busy: of(&|run| Some(run.server.cpu_us / run.server.seconds / 1e4)),
        generator_busy: of(&|run| Some(run.server.generator_us / run.server.seconds / 1e4)),
        ..Row::default()
    }
}

fn notes(given: Option<&String>, runs: &[Run]) -> Option<String> {
    let mut notes: Vec<String> = given.into_iter().cloned().collect();
    let disordered: u64 = runs.iter().map(|r| r.server.disordered).sum();
    if disordered > 0 {
        notes.push(format!("{disordered} deliveries were out of order"));
    }
    if let Some(faults) = runs.iter().map(|r| &r.server.faults).find(|f| f.count > 0) {
        let first = faults.first.as_deref().unwrap_or_default();
        notes.push(format!("{} connections were lost, the first with: {first}", faults.count));
    }
    let lost: u64 = runs.iter().filter_map(|r| r.floor.as_ref()).map(|f| f.lost).sum();
    if lost > 0 {
        notes.push(format!("the floor itself lost {lost}: its figure is no good"));
    }
    if let Some(joined) = median(runs.iter().filter_map(|r| r.joined.as_ref()?.cost()).collect()) {
        notes.push(format!("floor with joined writes: {joined:.3} µs"));
    }
    let waited = runs.iter().map(Run::disturbed).fold(0.0, f64::max);
    if waited > 0.2 {
        notes.push(format!("something else is using the cores (waited {:.0} % of the time)", waited * 100.0));
    }
    if runs.iter().any(|r| r.server.published == 0) {
        notes.push("nothing was published in the window: saturated".to_owned());
    }
    (!notes.is_empty()).then(|| notes.join("; "))
}
