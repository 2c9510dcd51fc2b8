//! The threads that programs run on: few, begun when there is work, ended when there is none for a while.
//!
//! A thread that is stuck where no step is counted (in a search through a large text, say) cannot be stopped. Whoever waits
//! for it gives it up by its [`Ticket`]; another takes its place, and it ends when it comes back. When too many are stuck, no
//! work is taken until one does.

use std::{
    cell::Cell,
    collections::VecDeque,
    num::NonZero,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, LazyLock,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use parking_lot::{Condvar, Mutex};

/// The stack of a thread. It is address space: what is not touched costs nothing.
pub(crate) const STACK: usize = 256 << 20;
/// A thread that has used more of it ends, so that the memory goes back.
const KEPT: usize = 1 << 20;
/// At most so many threads.
const MOST: usize = 4;
/// At most so many that are stuck.
const MOST_STUCK: usize = 8;
/// How long a thread may be silent over one job before it is given up. A run's budget of processor time is far smaller.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// A thread without work ends after this time.
const IDLE: Duration = Duration::from_secs(10);

/// All threads are stuck, or none can be begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no thread is free to run the program: others do not end")]
pub struct NoWorker;

/// Why a job's result did not come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotDone {
    /// Nobody does it.
    #[error(transparent)]
    NoWorker(#[from] NoWorker),
    /// It was given up.
    #[error("it does not end, and cannot be stopped")]
    Stuck,
}

/// The right to run programs: only who is on one of these threads has it.
#[derive(Debug)]
pub struct Worker {
    retire: Cell<bool>,
}

impl Worker {
    fn new() -> Self {
        Self { retire: Cell::new(false) }
    }

    /// Tells how much stack a run has used, and whether it was cut off.
    pub(crate) fn used(&self, stack: usize, cut: bool) {
        if cut || stack > KEPT {
            self.retire.set(true);
        }
    }
}

type Job = Box<dyn FnOnce(&Worker) + Send>;

/// A job that was taken.
#[derive(Debug, Clone)]
pub struct Ticket(Arc<TicketState>);

#[derive(Debug, Default)]
struct TicketState {
    begun: AtomicBool,
    ended: AtomicBool,
    abandoned: AtomicBool,
}

impl Ticket {
    /// Whether a thread has begun with it.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.0.begun.load(Ordering::Acquire)
    }

    /// Gives up the thread that does not come back from this job.
    pub fn abandon(&self) {
        let mut state = POOL.state.lock();
        if self.0.ended.load(Ordering::Acquire) || self.0.abandoned.swap(true, Ordering::AcqRel) || !self.has_begun() {
            return;
        }
        tracing::error!("a jq program does not end and cannot be stopped: its thread is given up");
        state.threads = state.threads.saturating_sub(1);
        state.stuck += 1;
        if !state.jobs.is_empty() && !state.begin_thread() && state.threads == 0 {
            // Nobody will ever do these; whoever waits for them sees that they are gone.
            state.jobs.clear();
        }
    }
}

#[derive(Default)]
struct State {
    jobs: VecDeque<(Job, Ticket)>,
    threads: usize,
    idle: usize,
    stuck: usize,
}

#[derive(Default)]
struct Pool {
    state: Mutex<State>,
    arrived: Condvar,
}

static POOL: LazyLock<Pool> = LazyLock::new(Pool::default);

impl State {
    /// Whether one more could be begun.
    fn begin_thread(&mut self) -> bool {
        let most = thread::available_parallelism().map_or(1, NonZero::get).min(MOST);
        if self.threads >= most || self.stuck >= MOST_STUCK {
            return false;
        }
        let begun = thread::Builder::new().name("jq".to_owned()).stack_size(STACK).spawn(serve).is_ok();
        self.threads += usize::from(begun);
        begun
    }
}

/// Has a job done by one of the threads, after those that came before. A job that nobody will do is dropped.
///
/// # Errors
/// There is no thread for it.
pub fn submit(job: impl FnOnce(&Worker) + Send + 'static) -> Result<Ticket, NoWorker> {
    let ticket = Ticket(Arc::default());
    let mut state = POOL.state.lock();
    if state.idle <= state.jobs.len() && !state.begin_thread() && state.threads == 0 {
        return Err(NoWorker);
    }
    state.jobs.push_back((Box::new(job), ticket.clone()));
    drop(state);
    POOL.arrived.notify_one();
    Ok(ticket)
}

/// Has a job done and waits for it, for programs that have nothing else to do. A thread that does not come back for
/// [`PATIENCE`] is given up. Never call it on an asynchronous task.
///
/// # Errors
/// There is no thread for it, or it was given up.
pub fn wait_for<T: Send + 'static>(job: impl FnOnce(&Worker) -> T + Send + 'static) -> Result<T, NotDone> {
    wait_at_most(PATIENCE, job)
}

fn wait_at_most<T: Send + 'static>(
    limit: Duration,
    job: impl FnOnce(&Worker) -> T + Send + 'static,
) -> Result<T, NotDone> {
    let (sender, result) = mpsc::sync_channel(1);
    let ticket = submit(move |worker| {
        // Nobody listens any more where this thread was given up.
        let _ = sender.send(job(worker));
    })?;
    loop {
        match result.recv_timeout(limit) {
            Ok(result) => return Ok(result),
            Err(mpsc::RecvTimeoutError::Disconnected) => return Err(NoWorker.into()),
            // Others are served first, and whoever waits for them gives them up.
            Err(mpsc::RecvTimeoutError::Timeout) if !ticket.has_begun() => {}
            Err(mpsc::RecvTimeoutError::Timeout) => {
                ticket.abandon();
                return Err(NotDone::Stuck);
            }
        }
    }
}

fn serve() {
    let worker = Worker::new();
    while let Some((job, ticket)) = next() {
        if catch_unwind(AssertUnwindSafe(|| job(&worker))).is_err() {
            tracing::error!("a job of a jq thread panicked");
        }
        let state = POOL.state.lock();
        ticket.0.ended.store(true, Ordering::Release);
        if ticket.0.abandoned.load(Ordering::Acquire) {
            return leave_stuck(state);
        }
        if worker.retire.get() {
            return leave(state);
        }
    }
}

type Guard<'a> = parking_lot::MutexGuard<'a, State>;

/// The next job; `None` when there was none for a while.
fn next() -> Option<(Job, Ticket)> {
    let mut state = POOL.state.lock();
    loop {
        if let Some((job, ticket)) = state.jobs.pop_front() {
            ticket.0.begun.store(true, Ordering::Release);
            return Some((job, ticket));
        }
        state.idle += 1;
        let waited = POOL.arrived.wait_for(&mut state, IDLE);
        state.idle -= 1;
        if waited.timed_out() && state.jobs.is_empty() {
            state.threads = state.threads.saturating_sub(1);
            return None;
        }
    }
}

/// A thread that was used up makes room for a fresh one.
fn leave(mut state: Guard<'_>) {
    state.threads = state.threads.saturating_sub(1);
    if !state.jobs.is_empty() && !state.begin_thread() && state.threads == 0 {
        state.jobs.clear();
    }
}

/// A thread that was given up has come back after all.
fn leave_stuck(mut state: Guard<'_>) {
    state.stuck = state.stuck.saturating_sub(1);
    tracing::info!("a thread that was given up has come back");
}

/// Does something that recurses deeply, on a thread of its own; `None` if there can be none, or if it panicked.
pub(crate) fn on_deep_stack<T: Send>(work: impl FnOnce() -> T + Send) -> Option<T> {
    thread::scope(|scope| {
        let handle = thread::Builder::new().name("jq compiler".to_owned()).stack_size(STACK).spawn_scoped(scope, work);
        handle.ok()?.join().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_that_does_not_end_is_given_up_and_others_are_done() {
        let (release, released) = mpsc::sync_channel::<()>(1);
        let stuck = wait_at_most(Duration::from_millis(20), move |_| released.recv().is_err());
        assert_eq!(stuck, Err(NotDone::Stuck));
        assert_eq!(wait_for(|_| 7), Ok(7));
        drop(release);
    }
}
