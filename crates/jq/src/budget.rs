//! What one run may spend, and how it is stopped.

use std::{
    cell::Cell,
    fmt,
    panic::resume_unwind,
    time::{Duration, Instant},
};

use jaq_core::{DataT, Lut, data::HasLut};
use jaq_json::Val;
use rustix::time::{ClockId, clock_gettime};

/// The bounds of one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Terms evaluated.
    pub steps: u64,
    /// Processor time.
    pub time: Duration,
    /// Values that it may yield.
    pub outputs: usize,
    /// Bytes of all of them together.
    pub bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { steps: 1_000_000, time: Duration::from_millis(250), outputs: 1000, bytes: 4 << 20 }
    }
}

/// Which bound a run has hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overrun {
    /// [`Limits::steps`].
    Steps,
    /// [`Limits::time`].
    Time,
    /// It calls itself too deeply.
    Depth,
    /// It makes more than memory is meant for.
    Memory,
}

impl fmt::Display for Overrun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Steps => "it takes too many steps: does it loop?",
            Self::Time => "it takes too long: does it loop?",
            Self::Depth => "it calls itself too deeply: does it ever end?",
            Self::Memory => "it takes too much memory: does it loop?",
        })
    }
}

/// How much of its thread's stack a program may use by recursion. What is left of it ([`super::pool::STACK`]) is for letting go
/// of deep values, which recurses without steps.
const DEPTH: usize = 64 << 20;
/// The clock is looked at every so many steps.
const GLANCE: u64 = 16;

/// So many bytes of texts and arrays a run may make by operators, whether it keeps them or not.
const MADE: usize = 64 << 20;

/// What is left of a run's budget.
#[derive(Debug)]
pub(crate) struct Budget {
    left: Cell<u64>,
    room: Cell<usize>,
    base: usize,
    time: Duration,
    began: Instant,
    began_cpu: Duration,
    deepest: Cell<usize>,
}

impl Budget {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            left: Cell::new(limits.steps),
            room: Cell::new(MADE),
            base: address(),
            time: limits.time,
            began: Instant::now(),
            began_cpu: cpu_time(),
            deepest: Cell::new(0),
        }
    }

    /// One step. It does not return when the budget is spent: the stack is unwound with an [`Overrun`] as payload, which is no
    /// error that a program could catch and go on after.
    pub(crate) fn step(&self) {
        let left = self.left.get();
        if left == 0 {
            resume_unwind(Box::new(Overrun::Steps));
        }
        self.left.set(left - 1);
        let deep = self.base.abs_diff(address());
        if deep > self.deepest.get() {
            self.deepest.set(deep);
            if deep > DEPTH {
                resume_unwind(Box::new(Overrun::Depth));
            }
        }
        // The processor's time is dear to ask for, and never more than the time on the wall.
        if left.is_multiple_of(GLANCE)
            && self.began.elapsed() > self.time
            && cpu_time().saturating_sub(self.began_cpu) > self.time
        {
            resume_unwind(Box::new(Overrun::Time));
        }
    }

    /// So many bytes are about to be made. Like [`Budget::step`], it does not return when that is too much.
    pub(crate) fn make(&self, bytes: usize) {
        match self.room.get().checked_sub(bytes) {
            Some(left) => self.room.set(left),
            None => resume_unwind(Box::new(Overrun::Memory)),
        }
    }

    /// How much stack was used at most.
    pub(crate) fn deepest(&self) -> usize {
        self.deepest.get()
    }
}

/// Where the stack stands, near enough.
#[inline(never)]
fn address() -> usize {
    let here = 0u8;
    std::hint::black_box(&raw const here).addr()
}

fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// The kind of data that programs run on: JSON values, and a table of terms that counts.
#[derive(Debug)]
pub(crate) struct Bounded;

impl DataT for Bounded {
    type V<'a> = Val;
    type Data<'a> = Meter<'a>;
}

/// The table of terms, with the budget of one run.
#[derive(Clone, Copy)]
pub(crate) struct Meter<'a> {
    pub(crate) lut: &'a Lut<Bounded>,
    pub(crate) budget: &'a Budget,
}

impl<'a> HasLut<'a, Bounded> for Meter<'a> {
    fn lut(&self) -> &'a Lut<Bounded> {
        self.budget.step();
        self.lut
    }
}
