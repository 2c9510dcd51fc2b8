//! One task for the deadlines of all sessions of a mount.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::{
    proto::{Millis, deadlines::Deadlines},
    server::{live::Live, mount::Mount},
};

/// Alarms served before other tasks may run.
const PASS: usize = 256;
/// How long it sleeps when there is no deadline at all.
const LONG: Duration = Duration::from_secs(3600);

#[derive(Debug, Default)]
pub(crate) struct Sweeper {
    deadlines: Mutex<Deadlines<Weak<Live>>>,
    earlier: Notify,
}

impl Sweeper {
    pub(crate) fn set(&self, at: Millis, live: Weak<Live>) {
        if self.deadlines.lock().set(at, live) {
            self.earlier.notify_one();
        }
    }

    /// Rings alarms until the task is dropped.
    pub(crate) async fn run(mount: Arc<Mount>) {
        let sweeper = &mount.sweeper;
        loop {
            let next = sweeper.deadlines.lock().next();
            let until = next.map_or_else(|| std::time::Instant::now() + LONG, |at| mount.clock.at(at));
            tokio::select! {
                () = tokio::time::sleep_until(until.into()) => {}
                () = sweeper.earlier.notified() => continue,
            }
            loop {
                let due = sweeper.deadlines.lock().due(mount.clock.now(), PASS);
                let rung = due.len();
                for (at, live) in due {
                    if let Some(live) = live.upgrade() {
                        live.ring(at);
                    }
                }
                if rung < PASS {
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
    }
}
