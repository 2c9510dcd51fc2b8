//! Who is who: the sessions by client identifier, and what happens when connections come and go.
//!
//! Lock order: the registry, then a client's session, then its state. Wills are published and sessions closed outside both.

use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering},
    time::{Duration, SystemTime},
};

use parking_lot::Mutex;
use ratatosk_connector::access::Rights;
use ratatosk_connector::upstream::hops;
use ratatosk_core::EndReason;

use super::{
    Shared,
    agenda::Due,
    client::Client,
    keeper::Kept,
    parcel::Orphans,
    record::Snapshot,
    state::{PeerGateway, State},
    wire::{End, Wire},
};
use crate::{
    mapping,
    proto::{
        codec::{Disconnect, Packet, ReasonCode, Version, Will, encode},
        session::{Machine, Opening},
    },
};

pub(super) struct Registry {
    clients: Mutex<Clients>,
    max_away: usize,
}

#[derive(Default)]
struct Clients {
    by_id: HashMap<Arc<str>, Arc<Client>>,
    away: usize,
}

/// How many sessions there are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Counts {
    pub(super) connected: usize,
    pub(super) away: usize,
}

impl Registry {
    pub(super) fn new(max_away: usize) -> Self {
        Self { clients: Mutex::default(), max_away }
    }

    pub(super) fn len(&self) -> usize {
        self.clients.lock().by_id.len()
    }

    pub(super) fn knows(&self, client_id: &str) -> bool {
        self.clients.lock().by_id.contains_key(client_id)
    }

    pub(super) fn counts(&self) -> Counts {
        let clients = self.clients.lock();
        Counts { connected: clients.by_id.len() - clients.away, away: clients.away }
    }
}

/// What a change of connection leaves to be done without locks.
#[derive(Default)]
struct Aftermath {
    will: Option<(Arc<Client>, Box<Will>)>,
    closed: Option<(Arc<Client>, EndReason)>,
    orphans: Option<(Arc<Client>, Orphans)>,
}

impl Aftermath {
    fn settle(self, shared: &Shared) {
        if let Some((client, will)) = self.will {
            publish_will(shared, &client, *will);
        }
        if let Some((client, reason)) = self.closed {
            client.close_session(reason);
        }
        if let Some((client, orphans)) = self.orphans {
            orphans.deal(&client);
        }
    }

    /// The session is over: what it owed to shared subscriptions goes to others, and its record is removed.
    fn close(&mut self, client: &Arc<Client>, state: &mut State, reason: EndReason) {
        state.gone = true;
        client.live.store(false, Ordering::Relaxed);
        client.shared.keeper.note(client, state);
        self.withdraw(client, state);
        self.closed = Some((client.clone(), reason));
    }

    fn withdraw(&mut self, client: &Arc<Client>, state: &mut State) {
        let mut orphans = Orphans::default();
        state.withdraw_shared(client, &mut orphans);
        self.orphans = Some((client.clone(), orphans));
    }
}

/// A connection takes the session of its client: an old one, unless it wants to start clean, or a new one.
/// CONNACK is the first that is written.
pub(super) fn attach(
    shared: &Arc<Shared>,
    opening: Opening,
    rights: &Rights,
    wire: &Arc<Wire>,
    auth_data: Option<bytes::Bytes>,
) -> Result<Arc<Client>, ReasonCode> {
    let mut aftermath = Aftermath::default();
    let mut clients = shared.registry.clients.lock();
    let known = clients.by_id.get(&*opening.client_id).cloned();
    if known.as_ref().is_some_and(|client| !client.is_of(rights)) {
        return Err(ReasonCode::NOT_AUTHORIZED);
    }
    let (client, present) = match known {
        // An identifier is no proof: a session from before somebody was known is not taken over but ended.
        Some(client) if !opening.clean_start && client.origin().user.as_ref() == rights.user() => {
            let mut state = client.state.lock();
            if state.wire.is_none() {
                clients.away -= 1;
            }
            let will = take_over(shared, &mut state);
            // A delayed will is cancelled by the client's return (MQTT 5, 3.1.3-9).
            aftermath.will = will.filter(|will| will.delay == 0).map(|will| (client.clone(), will));
            drop(state);
            let mut orphans = Orphans::default();
            client.narrow(rights, &mut orphans);
            aftermath.orphans = Some((client.clone(), orphans));
            client.set_present(true);
            (client, true)
        }
        known => {
            if opening.link.session_expiry > 0 && clients.away >= shared.registry.max_away {
                return Err(ReasonCode::QUOTA_EXCEEDED);
            }
            if let Some(old) = known {
                let mut state = old.state.lock();
                if state.wire.is_none() {
                    clients.away -= 1;
                }
                aftermath.will = take_over(shared, &mut state).map(|will| (old.clone(), will));
                aftermath.close(&old, &mut state, EndReason::TakenOver);
                drop(state);
            }
            let client = Client::open(shared, Arc::from(&*opening.client_id), rights.user().cloned());
            clients.by_id.insert(client.id.clone(), client.clone());
            (client, false)
        }
    };
    begin(shared, &client, opening, present, wire, auth_data);
    shared.counters.connected(clients.by_id.len() - clients.away);
    drop(clients);
    aftermath.settle(shared);
    Ok(client)
}

/// Tells the present connection, if there is one, that another has taken its session.
fn take_over(shared: &Shared, state: &mut State) -> Option<Box<Will>> {
    if let Some(wire) = state.wire.clone() {
        say_disconnect(shared, state, ReasonCode::SESSION_TAKEN_OVER);
        wire.end(End::silent(EndReason::TakenOver));
        state.machine.disconnect();
        state.wire = None;
    }
    state.epoch += 1;
    state.will.take()
}

fn begin(
    shared: &Arc<Shared>,
    client: &Client,
    opening: Opening,
    present: bool,
    wire: &Arc<Wire>,
    auth_data: Option<bytes::Bytes>,
) {
    let mut connack = opening.connack(&shared.settings.offer, present);
    connack.properties.auth_data = auth_data;
    let version = opening.link.version;
    let mut state = client.state.lock();
    let lost = std::mem::take(&mut state.lost);
    if lost > 0 && version.is_v5() && opening.link.problem_info {
        connack.properties.user_properties.push(("dropped".into(), lost.to_string().into()));
    }
    state.epoch += 1;
    state.outlet = super::outlet::Outlet::default();
    state.forget_backfill();
    state.will = opening.will.map(Box::new);
    let peer = opening.user_properties.iter().find(|(name, _)| name == hops::NAME);
    state.peer = peer.map(|(_, id)| Box::new(PeerGateway { id: (**id).into() }));
    if opening.link.session_expiry > 0 {
        let kept = state.kept.get_or_insert_default();
        (kept.ends, kept.will_due) = (None, None);
        shared.keeper.note(client, &mut state);
    }
    state.machine.connect(opening.link);
    state.wire = Some(wire.clone());
    let mut bytes = Vec::new();
    let sent = match encode(&Packet::Connack(Box::new(connack)), version, &mut bytes) {
        Ok(()) => state.answer(shared, &bytes, 1).and_then(|()| state.flush(shared)),
        Err(_) => Ok(true),
    };
    if sent.is_err() {
        wire.end(End::silent(EndReason::Io));
    }
    client.live.store(true, Ordering::Relaxed);
}

/// A connection is over. Its session stays for as long as was agreed; its will is published, unless the client
/// said goodbye.
pub(super) fn detach(shared: &Shared, client: &Arc<Client>, wire: &Arc<Wire>, end: End, goodbye: bool) {
    let mut aftermath = Aftermath::default();
    let mut clients = shared.registry.clients.lock();
    let mut state = client.state.lock();
    if !state.is_on(wire) {
        return;
    }
    if let Some(code) = end.code {
        say_disconnect(shared, &mut state, code);
    }
    let link = state.machine.disconnect();
    client.live.store(false, Ordering::Relaxed);
    state.wire = None;
    state.outlet = super::outlet::Outlet::default();
    state.forget_backfill();
    state.epoch += 1;
    let expiry = link.map_or(0, |link| link.session_expiry).min(shared.settings.offer.session_expiry_max);
    let will = state.will.take().filter(|_| !goodbye);
    if expiry == 0 {
        clients.by_id.remove(&client.id);
        aftermath.will = will.map(|will| (client.clone(), will));
        aftermath.close(client, &mut state, end.reason);
    } else {
        clients.away += 1;
        let due = |seconds: u32| SystemTime::now().checked_add(Duration::from_secs(seconds.into()));
        let will_due = will.as_ref().and_then(|will| due(will.delay));
        let kept = state.kept.get_or_insert_default();
        (kept.ends, kept.will_due) = (due(expiry).filter(|_| expiry < u32::MAX), will_due);
        match will {
            Some(will) if will.delay > 0 => {
                if will.delay < expiry {
                    shared.agenda.add(Duration::from_secs(will.delay.into()), client, state.epoch, Due::Will);
                }
                state.will = Some(will);
            }
            will => aftermath.will = will.map(|will| (client.clone(), will)),
        }
        if expiry < u32::MAX {
            shared.agenda.add(Duration::from_secs(expiry.into()), client, state.epoch, Due::Expiry);
        }
        aftermath.withdraw(client, &mut state);
        shared.keeper.note(client, &mut state);
    }
    drop(state);
    // Under the registry's lock, so that a client that is back already is not taken for gone.
    if expiry > 0 {
        client.set_present(false);
    }
    drop(clients);
    aftermath.settle(shared);
    shared.keeper.connection_closed();
}

/// A will or a session is due, if the client has not come back.
pub(super) fn due(shared: &Shared, client: &Arc<Client>, epoch: u64, due: Due) {
    let mut aftermath = Aftermath::default();
    let mut clients = shared.registry.clients.lock();
    let mut state = client.state.lock();
    if state.epoch != epoch {
        return;
    }
    aftermath.will = state.will.take().map(|will| (client.clone(), will));
    if due == Due::Expiry {
        state.epoch += 1;
        clients.by_id.remove(&client.id);
        clients.away -= 1;
        shared.counters.session_expired();
        aftermath.close(client, &mut state, EndReason::Closed);
    } else {
        shared.keeper.note(client, &mut state);
    }
    drop(state);
    drop(clients);
    aftermath.settle(shared);
}

/// Ends the session of a client that is away.
pub(super) fn forget(client: &Client, reason: EndReason) {
    let shared = &client.shared;
    let mut clients = shared.registry.clients.lock();
    let mut state = client.state.lock();
    if let Some(wire) = &state.wire {
        return wire.end(End::from(reason));
    }
    let is_known = clients.by_id.get(&client.id).is_some_and(|known| std::ptr::eq(&**known, client));
    if !is_known {
        return;
    }
    state.epoch += 1;
    let will = state.will.take();
    let Some(known) = clients.by_id.remove(&client.id) else { return };
    clients.away -= 1;
    let mut aftermath = Aftermath { will: will.map(|will| (known.clone(), will)), ..Aftermath::default() };
    aftermath.close(&known, &mut state, reason);
    drop(state);
    drop(clients);
    aftermath.settle(shared);
}

/// A session comes back from the store: its client is away.
pub(super) fn bring_back(shared: &Arc<Shared>, client_id: &str, snapshot: Snapshot, revision: u64) {
    let mut clients = shared.registry.clients.lock();
    if clients.by_id.contains_key(client_id) {
        return;
    }
    let Snapshot { user, ends, will, lost, subscriptions, past } = snapshot;
    let client = Client::open(shared, Arc::from(client_id), user);
    let mut state = client.state.lock();
    if let Some(each) = &mut state.each {
        subscriptions.iter().filter(|(_, options)| options.group.is_none()).for_each(|(filter, o)| each.add(filter, o));
    }
    state.machine = Machine::resume(shared.settings.bounds, past);
    state.lost = lost;
    let left = |at: SystemTime| at.duration_since(SystemTime::now()).unwrap_or_default();
    let will_due = will.as_ref().map(|(_, due)| *due);
    state.will = will.map(|(will, _)| Box::new(will));
    state.kept = Some(Box::new(Kept::stored(revision, ends, will_due)));
    let epoch = state.epoch;
    drop(state);
    if let Some(session) = &*client.session.lock() {
        session.subscribe_all(subscriptions, &mut 0);
    }
    if let Some(due) = will_due {
        shared.agenda.add(left(due), &client, epoch, Due::Will);
    }
    if let Some(ends) = ends {
        shared.agenda.add(left(ends), &client, epoch, Due::Expiry);
    }
    clients.away += 1;
    clients.by_id.insert(client.id.clone(), client.clone());
}

/// When the gateway closes: every connection is told, and sessions end with the process.
pub(super) async fn say_goodbye(shared: Arc<Shared>) {
    shared.life.closing().await;
    let clients: Vec<_> = shared.registry.clients.lock().by_id.values().cloned().collect();
    for client in clients {
        let wire = client.state.lock().wire.clone();
        if let Some(wire) = wire {
            wire.end(End::from(EndReason::Drain));
        }
    }
}

/// DISCONNECT, where the version has one for servers and nothing is half written.
fn say_disconnect(shared: &Shared, state: &mut State, code: ReasonCode) {
    let version = state.machine.link().map(|link| link.version);
    if version != Some(Version::V5) || !state.outlet.is_between_packets() {
        return;
    }
    let mut bytes = Vec::new();
    if encode(&Packet::Disconnect(Disconnect::new(code)), Version::V5, &mut bytes).is_ok() {
        let _ = state.answer(shared, &bytes, 1); // the client is told if it still listens
    }
}

fn publish_will(shared: &Shared, client: &Client, will: Will) {
    let Some(channel) = mapping::names::published(&will.topic) else { return };
    let origin = client.origin();
    // Refused wills are counted by the bus; there is nobody left to tell.
    let _ = shared.bus.publish(mapping::of_will(will, channel, origin));
}
