//! Memory: measured against a ceiling, and what is done before it is reached.
//!
//! From 75 % of the ceiling new sessions are refused, and the subscribers with the longest queues meet the policy of their
//! outbox until less is taken. From 88 % publishers wait too, so that nothing grows while room is made, and what they may add from
//! one look to the next is a part of what is left. Clients that keep up notice nothing.

use std::{
    sync::atomic::{AtomicU8, Ordering},
    time::{Duration, Instant},
};

use ratatosk_core::{Bus, MonitorEvent, Relief};

use super::Limits;
use crate::lifecycle::Lifecycle;

/// Percent of the ceiling from which new sessions are refused and queues are relieved, below which that ends again, and from
/// which publishers wait.
const HIGH: usize = 75;
/// See [`HIGH`].
const LOW: usize = 68;
/// See [`HIGH`].
const HOLD: usize = 88;
/// How often memory is looked at: while there is plenty, near the ceiling, and after room was made, which shows only when the
/// allocator has given it back.
const CALM: Duration = Duration::from_millis(100);
/// See [`CALM`].
const ALERT: Duration = Duration::from_millis(10);
/// See [`CALM`].
const SETTLE: Duration = Duration::from_millis(50);
/// Of what is left below the ceiling, publishers may take one part in so many before somebody looks again.
const PART_OF_LEFT: usize = 4;
/// What some publishers take who are let through nevertheless, as one part in so many of the ceiling.
const LET_THROUGH: usize = 256;
/// Looking may take one part in so many of the time.
const SHARE: u32 = 10;
/// How often the queues of all sessions are added up.
const ADD_UP: Duration = Duration::from_millis(250);
/// How long publishers wait at most before some are let through: what fills memory may be nobody's queue.
const LONGEST_HOLD: Duration = Duration::from_secs(1);

/// How near memory is to its ceiling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Pressure {
    /// Far from it, or there is none.
    #[default]
    None,
    /// New sessions are refused.
    High,
    /// Publishers wait, too.
    Hold,
}

/// What was seen last, for operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MemoryReading {
    /// The ceiling, in bytes; `None` if there is none.
    pub ceiling: Option<usize>,
    /// How near memory is to it.
    pub pressure: Pressure,
}

/// The last look.
#[derive(Debug, Default)]
pub(super) struct Memory {
    pressure: AtomicU8,
}

impl Memory {
    pub(super) fn pressure(&self) -> Pressure {
        match self.pressure.load(Ordering::Relaxed) {
            0 => Pressure::None,
            1 => Pressure::High,
            _ => Pressure::Hold,
        }
    }

    fn set(&self, pressure: Pressure) {
        let before = self.pressure();
        self.pressure.store(pressure as u8, Ordering::Relaxed);
        match (before, pressure) {
            (Pressure::None, Pressure::None) => {}
            (Pressure::None, _) => tracing::warn!("memory is near its ceiling: new sessions are refused"),
            (_, Pressure::None) => tracing::info!("memory is far from its ceiling again"),
            _ => {}
        }
    }
}

impl Limits {
    /// Watches memory and queues until the gateway closes.
    pub fn watch_memory(&self, bus: Bus, life: &Lifecycle) {
        let (limits, closing) = (self.clone(), life.closing());
        life.spawn("memory", async move {
            let watch = async {
                let mut keeper = Keeper::default();
                loop {
                    let begun = Instant::now();
                    let rest = keeper.look(&limits, &bus);
                    tokio::select! {
                        () = tokio::time::sleep(rest.max(begun.elapsed() * SHARE)) => {}
                        () = bus.allowance_spent() => {}
                    }
                }
            };
            tokio::select! {
                () = watch => {}
                () = closing => bus.allow(None),
            }
        });
    }

    /// Whether there was any.
    fn tell_relief(&self, relief: Relief) -> bool {
        let sessions = relief.sessions;
        if sessions > 0 {
            self.0.monitor.emit(MonitorEvent::Relieved { sessions });
        }
        sessions > 0
    }

    /// What was seen last.
    #[must_use]
    pub fn memory(&self) -> MemoryReading {
        MemoryReading { ceiling: self.0.config.load().memory, pressure: self.pressure() }
    }
}

#[derive(Debug, Default)]
struct Keeper {
    added_up: Option<Instant>,
    held: Option<Instant>,
    relieved: Option<Instant>,
}

impl Keeper {
    /// Looks once. Says when to look again.
    fn look(&mut self, limits: &Limits, bus: &Bus) -> Duration {
        let config = limits.0.config.load();
        if let Some(most) = config.queue_bytes {
            self.add_up(most, limits, bus);
        }
        let seen = config.memory.and_then(|ceiling| Some((ceiling, resident()?)));
        let Some((ceiling, resident)) = seen else {
            limits.0.memory.set(Pressure::None);
            bus.allow(None);
            return ADD_UP;
        };
        let pressure = judge(limits.pressure(), ceiling, resident);
        limits.0.memory.set(pressure);
        let left = ceiling.saturating_sub(resident) / PART_OF_LEFT;
        bus.allow(Some(if self.holds(pressure) { 0 } else { left.max(ceiling / LET_THROUGH) }));
        if resident >= part(ceiling, HIGH) {
            // What was given up shows after a moment, and a look that publishers asked for may come before that.
            if self.relieved.is_none_or(|at| at.elapsed() >= SETTLE) {
                let relief = bus.relieve_memory(resident - part(ceiling, LOW));
                self.relieved = limits.tell_relief(relief).then(Instant::now);
            }
            return if self.relieved.is_some() { SETTLE } else { ALERT };
        }
        if resident >= part(ceiling, LOW / 2) { ALERT } else { CALM }
    }

    fn add_up(&mut self, most: usize, limits: &Limits, bus: &Bus) {
        if self.added_up.is_some_and(|at| at.elapsed() < ADD_UP) {
            return;
        }
        self.added_up = Some(Instant::now());
        let waiting = bus.backlog().bytes;
        if waiting > most {
            limits.tell_relief(bus.relieve(waiting - part(most, HIGH)));
        }
    }

    /// Whether publishers wait.
    fn holds(&mut self, pressure: Pressure) -> bool {
        let since = self.held.get_or_insert_with(Instant::now);
        let wanted = pressure == Pressure::Hold && since.elapsed() < LONGEST_HOLD;
        if !wanted {
            self.held = None;
        }
        wanted
    }
}

/// It takes less to stay under pressure than to come under it.
fn judge(before: Pressure, ceiling: usize, resident: usize) -> Pressure {
    match () {
        () if resident >= part(ceiling, HOLD) => Pressure::Hold,
        () if resident >= part(ceiling, HIGH) => Pressure::High,
        () if resident >= part(ceiling, LOW) => before.min(Pressure::High),
        () => Pressure::None,
    }
}

fn part(whole: usize, percent: usize) -> usize {
    whole / 100 * percent
}

/// Bytes of the process that are in memory; `None` where the system does not tell.
fn resident() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<usize>().ok()? << 10)
}

#[cfg(test)]
impl Limits {
    /// As if memory was that near its ceiling.
    pub(crate) fn press(&self, pressure: Pressure) {
        self.0.memory.set(pressure);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pressure_ends_later_than_it_begins() {
        let judge = |before, resident| judge(before, 1000, resident);
        assert_eq!(judge(Pressure::None, 749), Pressure::None);
        assert_eq!(judge(Pressure::None, 750), Pressure::High);
        assert_eq!(judge(Pressure::High, 879), Pressure::High);
        assert_eq!(judge(Pressure::High, 880), Pressure::Hold);
        assert_eq!(judge(Pressure::Hold, 700), Pressure::High);
        assert_eq!(judge(Pressure::High, 679), Pressure::None);
    }

    #[test]
    fn the_process_knows_its_own_size() {
        if cfg!(target_os = "linux") {
            assert!(resident().is_some_and(|bytes| bytes > 100_000));
        }
    }
}
