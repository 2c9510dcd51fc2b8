//! Keeping the subscriptions at the broker as the bridge wants them.

use std::{
    collections::{BTreeMap, HashMap},
    num::NonZeroU16,
};

use bytestring::ByteString;
use ratatosk_connector::upstream::Port;
use ratatosk_core::{Filter, Qos};

use super::session::Session;
use crate::{
    mapping::{from_core, names},
    proto::codec::{Packet, ReasonCode, RetainHandling, Subscribe, SubscribeFilter, SubscribeOptions, Unsubscribe},
};

/// Filters per packet: some brokers take no more (AWS IoT: 8).
const PER_PACKET: usize = 8;
/// Requests that wait for their answer; the next follow then.
const OUTSTANDING: usize = 32;

#[derive(Debug)]
enum Request {
    Subscribe(Vec<Filter>),
    Unsubscribe(Vec<Filter>),
}

/// The subscriptions of one connection.
#[derive(Debug)]
pub(super) struct Subscriptions {
    /// Asked for on this connection, with the quality of service asked for.
    held: BTreeMap<Filter, Qos>,
    waiting: HashMap<NonZeroU16, Request>,
    share: Option<String>,
    v5: bool,
    /// Whether the broker resumed a session that may know the subscriptions already.
    resumed: bool,
}

impl Subscriptions {
    pub(super) fn new(share: Option<String>, v5: bool, resumed: bool) -> Self {
        Self { held: BTreeMap::new(), waiting: HashMap::new(), share, v5, resumed }
    }

    /// The packets that bring the broker closer to what is wanted; empty when it is there, or when answers are awaited.
    pub(super) fn step(
        &mut self,
        wanted: &BTreeMap<Filter, Qos>,
        session: &mut Session,
        port: &mut Port,
    ) -> Vec<Packet> {
        let mut packets = Vec::new();
        let missing = wanted.iter().filter(|(filter, qos)| self.held.get(*filter) != Some(*qos));
        let missing: Vec<(Filter, Qos)> = missing.map(|(filter, qos)| (filter.clone(), *qos)).collect();
        for chunk in missing.chunks(PER_PACKET) {
            packets.extend(self.subscribe(chunk, session, port));
        }
        // Only then: what replaces a subscription is in force before it goes.
        let surplus: Vec<Filter> = self.held.keys().filter(|filter| !wanted.contains_key(*filter)).cloned().collect();
        for chunk in surplus.chunks(PER_PACKET) {
            packets.extend(self.unsubscribe(chunk, session));
        }
        packets
    }

    /// Whether no answer is awaited.
    pub(super) fn is_quiet(&self) -> bool {
        self.waiting.is_empty()
    }

    fn subscribe(&mut self, chunk: &[(Filter, Qos)], session: &mut Session, port: &mut Port) -> Option<Packet> {
        let id = self.request_id(session)?;
        let mut asked = Vec::new();
        let mut filters = Vec::new();
        for (filter, qos) in chunk {
            self.held.insert(filter.clone(), *qos);
            match self.path(filter) {
                Some(path) => {
                    filters.push(SubscribeFilter { filter: path, options: self.options(*qos) });
                    asked.push(filter.clone());
                }
                None => port.refused(filter, "MQTT has no such filter"),
            }
        }
        if filters.is_empty() {
            return None;
        }
        session.requested(id);
        self.waiting.insert(id, Request::Subscribe(asked));
        Some(Packet::Subscribe(Subscribe {
            packet_id: id,
            subscription_id: None,
            filters,
            user_properties: Vec::new(),
        }))
    }

    fn unsubscribe(&mut self, chunk: &[Filter], session: &mut Session) -> Option<Packet> {
        let id = self.request_id(session)?;
        for filter in chunk {
            self.held.remove(filter);
        }
        let filters: Vec<ByteString> = chunk.iter().filter_map(|filter| self.path(filter)).collect();
        if filters.is_empty() {
            return None;
        }
        session.requested(id);
        self.waiting.insert(id, Request::Unsubscribe(chunk.to_vec()));
        Some(Packet::Unsubscribe(Unsubscribe { packet_id: id, filters, user_properties: Vec::new() }))
    }

    fn request_id(&self, session: &mut Session) -> Option<NonZeroU16> {
        if self.waiting.len() >= OUTSTANDING { None } else { session.free_id() }
    }

    fn options(&self, qos: Qos) -> SubscribeOptions {
        let shared = self.share.is_some();
        // MQTT 5.0 section 3.8.3.1; before MQTT 5 only the quality of service is written.
        SubscribeOptions {
            qos: from_core(qos),
            no_local: self.v5 && !shared,
            retain_as_published: self.v5,
            retain_handling: if self.resumed { RetainHandling::IfNew } else { RetainHandling::Always },
        }
    }

    fn path(&self, filter: &Filter) -> Option<ByteString> {
        let path = names::of_filter(filter)?;
        Some(match &self.share {
            Some(name) => format!("$share/{name}/{path}").into(),
            None => path.into(),
        })
    }

    /// SUBACK came. False if it answers nothing, or not everything it should.
    pub(super) fn suback(&mut self, id: NonZeroU16, reasons: &[ReasonCode], port: &mut Port) -> bool {
        let Some(Request::Subscribe(filters)) = self.waiting.remove(&id) else { return false };
        if filters.len() != reasons.len() {
            return false;
        }
        for (filter, reason) in filters.iter().zip(reasons) {
            if reason.is_failure() {
                port.refused(filter, reason.text());
            } else if self.held.contains_key(filter) {
                port.subscribed(filter);
            }
        }
        true
    }

    /// UNSUBACK came.
    pub(super) fn unsuback(&mut self, id: NonZeroU16, port: &mut Port) -> bool {
        let Some(Request::Unsubscribe(filters)) = self.waiting.remove(&id) else { return false };
        filters.iter().filter(|filter| !self.held.contains_key(*filter)).for_each(|filter| port.unsubscribed(filter));
        true
    }
}
