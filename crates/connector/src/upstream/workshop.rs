//! Messages that wait for a rule's programs, and the task that has them run in order.
//!
//! One workshop serves one direction of one bridge, and has one batch at a time on the threads for programs
//! ([`ratatosk_jq::submit`]): order is kept, and an upstream whose programs are slow holds up no other. A program that is over
//! its budget ends by itself; a thread that does not come back at all is given up after [`PATIENCE`], and the rest of the
//! batch goes to another.

use std::{
    collections::VecDeque,
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use parking_lot::Mutex;
use ratatosk_core::{Channel, Message, Publication, engine::EngineError};
use ratatosk_jq::{PATIENCE, Ticket, submit};
use tokio::sync::{Notify, mpsc, oneshot};

use super::queue::{QueueLimits, WhenFull};
use crate::rules::{Failure, Rule, Scene, Verdict};

/// So many are given to a thread at once.
const BATCH: usize = 64;

/// A message that a program is to be run on.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) rule: Rule,
    /// The channel it came by.
    pub(super) channel: Channel,
    /// It as it would cross.
    pub(super) publication: Publication,
    pub(super) then: Then,
}

/// What follows.
#[derive(Debug)]
pub(super) enum Then {
    /// It goes to the bus, and whoever has sent it is told when it is there.
    Publish(oneshot::Sender<Result<(), EngineError>>),
    /// It goes to the peer, in the place of this message.
    Send { message: Arc<Message>, reply_to: Option<Channel> },
}

impl Job {
    /// What it weighs against a bound in bytes.
    fn weight(&self) -> usize {
        match &self.then {
            Then::Publish(_) => self.publication.payload.len(),
            Then::Send { message, .. } => message.weight(),
        }
    }
}

/// The queue of one direction.
#[derive(Debug)]
pub(super) struct Workshop {
    upstream: Arc<str>,
    limits: QueueLimits,
    waiting: Mutex<Waiting>,
    /// Messages that wait or are at work.
    open: AtomicUsize,
    arrived: Notify,
    moved: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    jobs: VecDeque<Job>,
    bytes: usize,
}

impl Workshop {
    /// A workshop where at most so much waits; what is at work does not count.
    pub(super) fn new(upstream: Arc<str>, limits: QueueLimits) -> Self {
        Self {
            upstream,
            limits,
            waiting: Mutex::default(),
            open: AtomicUsize::new(0),
            arrived: Notify::new(),
            moved: Notify::new(),
        }
    }

    /// Takes a message and says how many were dropped for it, itself included. One message may go over the bound in
    /// bytes, so that after [`Workshop::room`] there is room for any; how large one may be, its protocol says.
    pub(super) fn put(&self, job: Job) -> u64 {
        let mut waiting = self.waiting.lock();
        let mut dropped = 0;
        while !waiting.has_room(&self.limits) {
            let makes_room = self.limits.when_full == WhenFull::DropOldest;
            let Some(oldest) = (if makes_room { waiting.jobs.pop_front() } else { None }) else {
                return dropped + 1;
            };
            waiting.bytes -= oldest.weight();
            self.open.fetch_sub(1, Ordering::Release);
            dropped += 1;
        }
        waiting.bytes += job.weight();
        waiting.jobs.push_back(job);
        self.open.fetch_add(1, Ordering::Relaxed);
        drop(waiting);
        self.arrived.notify_one();
        dropped
    }

    /// Puts messages that are older than all that wait in front, in order, as far as there is room; says how many
    /// found none.
    pub(super) fn put_old(&self, jobs: Vec<Job>) -> u64 {
        let mut waiting = self.waiting.lock();
        let mut dropped = 0;
        for job in jobs.into_iter().rev() {
            if !waiting.has_room(&self.limits) {
                dropped += 1;
                continue;
            }
            waiting.bytes += job.weight();
            waiting.jobs.push_front(job);
            self.open.fetch_add(1, Ordering::Relaxed);
        }
        drop(waiting);
        self.arrived.notify_one();
        dropped
    }

    /// Resolves when at most half of it is full.
    pub(super) async fn room(&self) {
        self.until(|| {
            let waiting = self.waiting.lock();
            waiting.jobs.len() <= self.limits.messages / 2 && waiting.bytes <= self.limits.bytes / 2
        })
        .await;
    }

    /// How many messages wait or are at work.
    pub(super) fn open(&self) -> usize {
        self.open.load(Ordering::Acquire)
    }

    /// Resolves when nothing waits and nothing is at work.
    pub(super) async fn idle(&self) {
        self.until(|| self.open() == 0).await;
    }

    async fn until(&self, reached: impl Fn() -> bool) {
        if reached() {
            return;
        }
        loop {
            let moved = self.moved.notified();
            tokio::pin!(moved);
            // Enabled before the look, so that a change in between is not missed.
            moved.as_mut().enable();
            if reached() {
                return;
            }
            moved.await;
        }
    }

    /// Has programs run for ever; `finish` does what follows from each verdict, in order.
    pub(super) async fn run<F: Future<Output = ()>>(&self, finish: impl Fn(Job, Verdict) -> F) {
        loop {
            let arrived = self.arrived.notified();
            let batch = self.take();
            if batch.is_empty() {
                arrived.await;
                continue;
            }
            self.moved.notify_waiters();
            self.process(batch, &finish).await;
        }
    }

    fn take(&self) -> VecDeque<Job> {
        let mut waiting = self.waiting.lock();
        let count = waiting.jobs.len().min(BATCH);
        let batch: VecDeque<Job> = waiting.jobs.drain(..count).collect();
        waiting.bytes -= batch.iter().map(Job::weight).sum::<usize>();
        batch
    }

    async fn process<F: Future<Output = ()>>(&self, mut batch: VecDeque<Job>, finish: &impl Fn(Job, Verdict) -> F) {
        while !batch.is_empty() {
            let mut given = self.give(&batch);
            // As many as the thread does; when it is lost over one, the rest goes to another.
            while let Some(job) = batch.pop_front() {
                let (verdict, lost) = match given.next(&job).await {
                    Ok(verdict) => (verdict, false),
                    Err(failure) => (Verdict::Failed(failure), true),
                };
                finish(job, verdict).await;
                self.open.fetch_sub(1, Ordering::Release);
                self.moved.notify_waiters();
                if lost {
                    break;
                }
            }
        }
    }

    fn give(&self, batch: &VecDeque<Job>) -> Given {
        let (sender, verdicts) = mpsc::channel(batch.len().max(1));
        let work: Vec<Work> = batch.iter().map(Work::of).collect();
        let upstream = self.upstream.clone();
        let ticket = submit(move |worker| {
            for work in work {
                let scene = Scene { upstream: &upstream, channel: &work.channel, publication: &work.publication };
                let Some(treatment) = work.rule.treatment() else { continue };
                let verdict = treatment.judge(&scene, Some(worker), Instant::now());
                // There is room for all; nobody listens when this thread was given up.
                if sender.try_send(verdict).is_err() {
                    return;
                }
            }
        });
        Given { ticket: ticket.ok(), verdicts }
    }
}

impl Waiting {
    fn has_room(&self, limits: &QueueLimits) -> bool {
        self.jobs.len() < limits.messages && self.bytes < limits.bytes
    }
}

/// What a thread needs of a job.
struct Work {
    rule: Rule,
    channel: Channel,
    publication: Publication,
}

impl Work {
    fn of(job: &Job) -> Self {
        Self { rule: job.rule.clone(), channel: job.channel.clone(), publication: job.publication.clone() }
    }
}

/// A batch that a thread was given.
struct Given {
    ticket: Option<Ticket>,
    verdicts: mpsc::Receiver<Verdict>,
}

impl Given {
    /// The next verdict, or why there is none.
    async fn next(&mut self, job: &Job) -> Result<Verdict, Failure> {
        let failure = |detail: &str| match job.rule.treatment() {
            Some(treatment) => treatment.fail(detail),
            None => Failure { reason: "transform", detail: detail.to_owned() },
        };
        loop {
            match tokio::time::timeout(PATIENCE, self.verdicts.recv()).await {
                Ok(Some(verdict)) => return Ok(verdict),
                Ok(None) => return Err(failure("no thread is free to run the program: others do not end")),
                // Others are served first; each of them is bounded too.
                Err(_) if self.ticket.as_ref().is_some_and(|ticket| !ticket.has_begun()) => {}
                Err(_) => {
                    if let Some(ticket) = &self.ticket {
                        ticket.abandon();
                    }
                    return Err(failure("it does not end, and cannot be stopped"));
                }
            }
        }
    }
}
