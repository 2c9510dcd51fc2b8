//! Keeps sessions in the engine's session store, behind the hot path: one task writes what has changed, a moment later.
//!
//! A record is written by compare-and-set. Whoever finds another revision there has lost the session to another
//! gateway. With a store that outlives the process, records also hold the messages that wait; without one they would
//! only be there twice.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use parking_lot::Mutex;
use ratatosk_core::{
    EndReason, Peer,
    engine::{EngineError, SessionRecord, StoreConflict},
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{Shared, client::Client, record::Snapshot, registry, state::State};
use crate::proto::session::Past;

/// The least time between two rounds: changes in between are written once.
const REST: Duration = Duration::from_millis(200);
/// A round rests this many times as long as it worked, so that saving takes a twentieth of one core at most.
const REST_RATIO: u32 = 19;

/// How a session stands with the store. Sessions that end with their connection have none.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// The revision of its record; 0 while there is none.
    revision: u64,
    /// When it ends and when its will is due, while its client is away.
    pub(super) ends: Option<SystemTime>,
    pub(super) will_due: Option<SystemTime>,
    /// Whether it is on the keeper's list.
    listed: bool,
}

impl Kept {
    /// What came from a record.
    pub(super) fn stored(revision: u64, ends: Option<SystemTime>, will_due: Option<SystemTime>) -> Self {
        Self { revision, ends, will_due, listed: false }
    }
}

pub(super) struct Keeper {
    list: Mutex<VecDeque<Arc<Client>>>,
    changed: Notify,
    restored: CancellationToken,
    /// Whether records outlive the process.
    durable: bool,
}

impl Keeper {
    pub(super) fn new(durable: bool) -> Self {
        Self { list: Mutex::default(), changed: Notify::new(), restored: CancellationToken::new(), durable }
    }

    /// Notes that a session has changed, or is gone.
    pub(super) fn note(&self, client: &Client, state: &mut State) {
        let Some(kept) = &mut state.kept else { return };
        if !kept.listed
            && let Some(client) = client.me.upgrade()
        {
            kept.listed = true;
            self.list.lock().push_back(client);
            self.changed.notify_one();
        }
    }

    /// Notes that the messages of a session have changed, which only a durable store is told of.
    pub(super) fn note_messages(&self, client: &Client, state: &mut State) {
        if self.durable {
            self.note(client, state);
        }
    }

    /// A connection is gone: while the gateway closes, the keeper waits for the last.
    pub(super) fn connection_closed(&self) {
        self.changed.notify_one();
    }

    /// Waits until the sessions of an earlier life are back.
    pub(super) async fn restored(&self) {
        self.restored.cancelled().await;
    }

    fn next(&self) -> Option<Arc<Client>> {
        self.list.lock().pop_front()
    }
}

/// Brings sessions back, then saves what changes until the gateway has closed.
pub(super) async fn run(shared: Arc<Shared>) {
    if let Err(error) = restore(&shared).await {
        tracing::error!(%error, "MQTT sessions of an earlier life could not be read");
    }
    shared.keeper.restored.cancel();
    let mut closing = std::pin::pin!(shared.life.closing());
    loop {
        let started = Instant::now();
        let saved = save_all(&shared).await;
        let is_closing = shared.life.is_closing();
        if is_closing && (!saved || shared.registry.counts().connected == 0) {
            return;
        }
        let rest = tokio::time::sleep(REST.max(started.elapsed() * REST_RATIO));
        if is_closing {
            shared.keeper.changed.notified().await;
            continue;
        }
        tokio::select! {
            () = async { shared.keeper.changed.notified().await; rest.await } => {}
            () = &mut closing => {}
        }
    }
}

/// Saves what is on the list, in order. False if the store failed.
async fn save_all(shared: &Shared) -> bool {
    while let Some(client) = shared.keeper.next() {
        if let Err(error) = save(shared, &client).await {
            tracing::warn!(%error, "MQTT sessions could not be saved; they will be tried again");
            shared.keeper.list.lock().push_front(client);
            shared.keeper.changed.notify_one();
            return false;
        }
    }
    true
}

enum Work {
    Put(u64, Box<Snapshot>),
    Remove(u64),
}

async fn save(shared: &Shared, client: &Client) -> Result<(), EngineError> {
    let (store, key) = (shared.bus.engine().sessions(), key(&client.id));
    let lost = match work(shared, client) {
        Some(Work::Put(revision, snapshot)) => match store.put(&key, revision, snapshot.encode()).await? {
            Ok(revision) => {
                if let Some(kept) = &mut client.state.lock().kept {
                    kept.revision = revision;
                }
                false
            }
            Err(_) => true,
        },
        // A record that is another's by now is not ours to remove.
        Some(Work::Remove(revision)) => store.remove(&key, revision).await?.is_err(),
        None => false,
    };
    if lost {
        tracing::info!(client = &*client.id, "another gateway has this session now");
        client.state.lock().kept = None;
        client.end(EndReason::TakenOver);
    }
    Ok(())
}

fn work(shared: &Shared, client: &Client) -> Option<Work> {
    let subscriptions = client.session.lock().as_ref().map(ratatosk_core::Session::subscriptions);
    let mut state = client.state.lock();
    let gone = state.gone;
    let expiry = state.machine.link().map(|link| link.session_expiry);
    let kept = state.kept.as_mut()?;
    kept.listed = false;
    let revision = kept.revision;
    if gone {
        state.kept = None;
        return (revision > 0).then_some(Work::Remove(revision));
    }
    let now = SystemTime::now();
    // While its client is here, a session lasts from now: this may be its last record.
    let ends = match expiry {
        Some(u32::MAX) => None,
        Some(seconds) => now.checked_add(Duration::from_secs(seconds.into())),
        None => kept.ends,
    };
    let will_due = kept.will_due;
    let will = state.will.as_deref().cloned().map(|will| {
        let delay = Duration::from_secs(will.delay.into());
        (will, will_due.or_else(|| now.checked_add(delay)).unwrap_or(now))
    });
    let snapshot = Snapshot {
        user: client.origin().user,
        ends,
        will,
        lost: state.lost,
        subscriptions: subscriptions.unwrap_or_default(),
        past: if shared.keeper.durable { state.machine.past() } else { Past::default() },
    };
    Some(Work::Put(revision, Box::new(snapshot)))
}

const PREFIX: &str = "mqtt/";

fn key(client_id: &str) -> String {
    format!("{PREFIX}{client_id}")
}

/// Brings the sessions of an earlier life back: their clients are away.
async fn restore(shared: &Arc<Shared>) -> Result<(), EngineError> {
    if !shared.keeper.durable {
        return Ok(());
    }
    for key in shared.bus.engine().sessions().list(PREFIX).await? {
        if let Some(client_id) = key.strip_prefix(PREFIX) {
            recall(shared, client_id).await?;
        }
    }
    Ok(())
}

/// Brings one session back from the store, if it is there and not here: another gateway may have had it.
pub(super) async fn recall(shared: &Arc<Shared>, client_id: &str) -> Result<(), EngineError> {
    if !shared.keeper.durable || shared.registry.knows(client_id) {
        return Ok(());
    }
    let (store, key) = (shared.bus.engine().sessions(), key(client_id));
    let mut found = store.load(&key).await?;
    while let Some(SessionRecord { revision, data }) = found {
        let snapshot = match Snapshot::decode(data.clone()) {
            Ok(snapshot) => snapshot,
            Err(error) => {
                tracing::error!(client = client_id, %error, "a stored session is not readable and stays unused");
                return Ok(());
            }
        };
        // Writing it makes it ours: another gateway that still has the session will find that it has lost it.
        match store.put(&key, revision, data).await? {
            Ok(revision) => {
                registry::bring_back(shared, client_id, snapshot, revision);
                return Ok(());
            }
            Err(StoreConflict(newer)) => found = newer,
        }
    }
    Ok(())
}
