//! Publications with QoS 1 and 2 that the client has not acknowledged to the end.

use std::{
    collections::{HashMap, VecDeque},
    hash::{BuildHasherDefault, Hasher},
    num::NonZeroU16,
};

use super::{Fault, outgoing::Item};
use crate::proto::codec::Qos;

/// How far a publication has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// PUBLISH is sent; PUBACK or PUBREC is awaited.
    Published,
    /// PUBREL is sent; PUBCOMP is awaited.
    Released,
}

#[derive(Debug)]
struct Flight<M> {
    /// When it took off, to keep the order on a new connection.
    order: u64,
    stage: Stage,
    /// Whether it was (re)sent as PUBLISH on the present connection, and so counts against the window.
    counted: bool,
    /// Gone once the client has it.
    item: Option<Item<M>>,
}

/// What is to be sent again on a new connection, in the original order.
#[derive(Debug)]
pub(super) enum Resend<M> {
    Publish(NonZeroU16, Item<M>),
    Release(NonZeroU16),
    /// The window is full.
    Later,
    Nothing,
}

/// Packet identifiers are ours and given in sequence: one multiplication spreads them.
#[derive(Debug, Default)]
struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u16(u16::from(*byte));
        }
    }

    fn write_u16(&mut self, number: u16) {
        self.0 = (self.0 ^ u64::from(number)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}

#[derive(Debug)]
pub(super) struct Flights<M> {
    by_id: HashMap<NonZeroU16, Flight<M>, BuildHasherDefault<IdHasher>>,
    last: u16,
    started: u64,
    outstanding: usize,
    /// What is not yet sent again on the present connection, in order.
    unsent: VecDeque<NonZeroU16>,
}

impl<M> Default for Flights<M> {
    fn default() -> Self {
        Self { by_id: HashMap::default(), last: 0, started: 0, outstanding: 0, unsent: VecDeque::new() }
    }
}

impl<M: Clone> Flights<M> {
    /// How many publications are on their way.
    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether one more may be sent under this window.
    pub(super) fn open(&self, window: u16) -> bool {
        let free = self.by_id.len() < usize::from(u16::MAX);
        self.outstanding < usize::from(window) && self.unsent.is_empty() && free
    }

    pub(super) fn has_unsent(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// Takes off: gives the packet identifier. The caller has asked [`Flights::open`].
    pub(super) fn start(&mut self, item: Item<M>) -> NonZeroU16 {
        let id = self.free_id();
        self.started += 1;
        let order = self.started;
        self.by_id.insert(id, Flight { order, stage: Stage::Published, counted: true, item: Some(item) });
        self.outstanding += 1;
        id
    }

    fn free_id(&mut self) -> NonZeroU16 {
        loop {
            self.last = self.last.checked_add(1).unwrap_or(1);
            if let Some(id) = NonZeroU16::new(self.last).filter(|id| !self.by_id.contains_key(id)) {
                return id;
            }
        }
    }

    /// PUBACK. What is not known is ignored: it may answer an earlier connection.
    pub(super) fn acked(&mut self, id: NonZeroU16) -> Result<(), Fault> {
        let Some(flight) = self.by_id.get(&id) else { return Ok(()) };
        if flight.item.as_ref().is_none_or(|item| item.qos == Qos::ExactlyOnce) {
            return Err(Fault::WrongAck);
        }
        self.finish(id);
        Ok(())
    }

    /// PUBREC: the client has the message; from now on only PUBREL is sent for it. False if there is no such.
    pub(super) fn received(&mut self, id: NonZeroU16) -> Result<bool, Fault> {
        let Some(flight) = self.by_id.get_mut(&id) else { return Ok(false) };
        if flight.item.as_ref().is_some_and(|item| item.qos != Qos::ExactlyOnce) {
            return Err(Fault::WrongAck);
        }
        flight.stage = Stage::Released;
        flight.item = None;
        Ok(true)
    }

    /// PUBCOMP. What is not known is ignored.
    pub(super) fn completed(&mut self, id: NonZeroU16) -> Result<(), Fault> {
        match self.by_id.get(&id).map(|flight| flight.stage) {
            Some(Stage::Released) => self.finish(id),
            Some(Stage::Published) => return Err(Fault::WrongAck),
            None => {}
        }
        Ok(())
    }

    /// It is over: acknowledged, refused by PUBREC (MQTT 5, 4.3.3-9), or not to be sent again.
    pub(super) fn finish(&mut self, id: NonZeroU16) {
        if let Some(flight) = self.by_id.remove(&id)
            && flight.counted
        {
            self.outstanding = self.outstanding.saturating_sub(1);
        }
    }

    /// What is on its way, in order; without an item once the client has it.
    pub(super) fn list(&self) -> Vec<(NonZeroU16, Option<Item<M>>)> {
        let mut list: Vec<_> = self.by_id.iter().collect();
        list.sort_unstable_by_key(|(_, flight)| flight.order);
        list.into_iter().map(|(id, flight)| (*id, flight.item.clone())).collect()
    }

    /// The flights of an earlier life, all of them to be sent again.
    pub(super) fn resume(list: Vec<(NonZeroU16, Option<Item<M>>)>) -> Self {
        let mut flights = Self::default();
        for (id, item) in list {
            flights.started += 1;
            flights.last = id.get();
            let stage = if item.is_some() { Stage::Published } else { Stage::Released };
            flights.by_id.insert(id, Flight { order: flights.started, stage, counted: false, item });
        }
        flights.ground();
        flights
    }

    /// Takes out QoS 1 publications that `which` names, in the order they took off. One of QoS 2 stays: it is completed with
    /// the client that it was begun with, or not at all (MQTT 5, 4.8.2-4, 4.8.2-5).
    pub(super) fn withdraw(&mut self, which: impl Fn(&M) -> bool) -> Vec<M> {
        let ours = |flight: &Flight<M>| {
            flight.item.as_ref().is_some_and(|item| item.qos == Qos::AtLeastOnce && which(&item.message))
        };
        let mut ids: Vec<_> =
            self.by_id.iter().filter(|(_, flight)| ours(flight)).map(|(id, f)| (f.order, *id)).collect();
        ids.sort_unstable();
        let take = |(_, id)| {
            let flight = self.by_id.remove(&id)?;
            self.outstanding = self.outstanding.saturating_sub(usize::from(flight.counted));
            flight.item.map(|item| item.message)
        };
        let taken = ids.into_iter().filter_map(take).collect();
        self.unsent.retain(|id| self.by_id.contains_key(id));
        taken
    }

    /// The connection is gone: everything will be sent again on the next, in the order it took off.
    pub(super) fn ground(&mut self) {
        let mut ids: Vec<_> = self.by_id.iter().map(|(id, flight)| (flight.order, *id)).collect();
        ids.sort_unstable();
        self.unsent = ids.into_iter().map(|(_, id)| id).collect();
        self.by_id.values_mut().for_each(|flight| flight.counted = false);
        self.by_id.shrink_to_fit();
        self.outstanding = 0;
    }

    /// The next thing to send again.
    pub(super) fn resend(&mut self, window: u16) -> Resend<M> {
        while let Some(id) = self.unsent.front().copied() {
            let next = match self.by_id.get_mut(&id) {
                Some(Flight { stage: Stage::Released, .. }) => Resend::Release(id),
                Some(flight) => {
                    if self.outstanding >= usize::from(window) {
                        return Resend::Later;
                    }
                    let Some(item) = flight.item.clone() else { return Resend::Nothing };
                    flight.counted = true;
                    self.outstanding += 1;
                    Resend::Publish(id, item)
                }
                None => Resend::Nothing,
            };
            self.unsent.pop_front();
            if self.unsent.is_empty() {
                self.unsent = VecDeque::new();
            }
            if !matches!(next, Resend::Nothing) {
                return next;
            }
        }
        Resend::Nothing
    }
}
