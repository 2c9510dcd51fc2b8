//! SUBSCRIBE and UNSUBSCRIBE.

use std::{num::NonZeroU32, sync::Arc};

use ratatosk_core::{Filter, Message, MonitorEvent, SubscribeOptions, stats::DropReason};

use super::{connection::Connection, parcel::Parcel};
use crate::{
    mapping::{self, CONNECTOR},
    proto::{
        codec::{
            Packet, ReasonCode, RetainHandling, Suback, Subscribe, SubscribeFilter, Unsuback, Unsubscribe, encode,
            parse_filter,
        },
        session::Item,
    },
};

/// A subscription that was made, and whether its retained messages are wanted.
struct Made {
    filter: Filter,
    options: SubscribeOptions,
    retained: bool,
    /// Later messages come live.
    cut: u64,
}

impl Connection {
    /// Subscribes filter by filter, answers with SUBACK, and has retained messages follow it.
    pub(super) async fn subscribe(&mut self, subscribe: Subscribe, answers: &mut Vec<u8>) {
        self.client.state.lock().subscribing = true;
        let mut reasons = Vec::with_capacity(subscribe.filters.len());
        for filter in &subscribe.filters {
            match self.subscribe_one(filter, subscribe.subscription_id) {
                Ok(made) => {
                    reasons.push(ReasonCode(filter.options.qos.level()));
                    if made.retained {
                        self.show_retained(made).await;
                    }
                }
                Err(reason) => {
                    self.count_refused(reason);
                    reasons.push(reason);
                }
            }
        }
        let suback = Suback { packet_id: subscribe.packet_id, reasons, properties: None };
        let _ = encode(&Packet::Suback(suback), self.version, answers); // always expressible
    }

    fn count_refused(&self, reason: ReasonCode) {
        let fault = match reason {
            ReasonCode::FILTER_INVALID => "filter_invalid",
            ReasonCode::NOT_AUTHORIZED => "filter_not_authorized",
            _ => "filter_refused",
        };
        self.shared.bus.monitor().emit(MonitorEvent::ProtocolFault { connector: *CONNECTOR, fault });
    }

    fn subscribe_one(&self, asked: &SubscribeFilter, id: Option<NonZeroU32>) -> Result<Made, ReasonCode> {
        let parsed = parse_filter(&asked.filter).map_err(|fault| fault.reason())?;
        let filter = mapping::names::filter(parsed.filter).ok_or(ReasonCode::FILTER_INVALID)?;
        if !self.shared.auth.may_subscribe(&self.rights, &filter) {
            return Err(ReasonCode::NOT_AUTHORIZED);
        }
        let options = SubscribeOptions {
            qos: mapping::to_core(asked.options.qos),
            no_local: asked.options.no_local || (self.bridge && parsed.group.is_none()),
            retain_as_published: asked.options.retain_as_published || self.bridge,
            id: id.map(NonZeroU32::get),
            group: parsed.group.map(Arc::from),
        };
        let session = self.client.session.lock();
        let session = session.as_ref().ok_or(ReasonCode::UNSPECIFIED)?;
        if session.subscription_count() >= self.shared.settings.max_subscriptions {
            return Err(ReasonCode::QUOTA_EXCEEDED);
        }
        if let (None, Some(each)) = (&options.group, &mut self.client.state.lock().each) {
            each.add(&filter, &options);
        }
        let subscribed = session.subscribe(filter.clone(), options.clone());
        let wanted = match asked.options.retain_handling {
            RetainHandling::Always => true,
            RetainHandling::IfNew => subscribed.new,
            RetainHandling::Never => false,
        };
        // A shared subscription is shown none (MQTT 5, 4.8.2).
        let retained = wanted && options.group.is_none();
        Ok(Made { filter, options, retained, cut: subscribed.cut })
    }

    async fn show_retained(&mut self, made: Made) {
        let Ok(values) = self.shared.bus.last_values(&made.filter).await else {
            tracing::warn!(client = &*self.client.id, "retained messages could not be read");
            return;
        };
        if values.is_empty() {
            return;
        }
        let ids = made.options.id.map(|id| Arc::from([id]));
        let values = values.into_iter().filter(|message| message.seq <= made.cut && self.is_for(&made, message));
        let mut state = self.client.state.lock();
        let items: Vec<_> = values
            .filter_map(|message| state.marked(&self.shared, &message))
            .map(|message| Item {
                qos: mapping::from_core(message.qos.min(made.options.qos)),
                message: Parcel { message, share: None },
                retain: true,
                ids: ids.clone(),
            })
            .collect();
        let refused = state.push_backfill(items.into_iter());
        drop(state);
        if refused > 0 {
            self.shared.bus.stats().dropped(*CONNECTOR, DropReason::Slow, refused);
        }
    }

    fn is_for(&self, made: &Made, message: &Message) -> bool {
        !(made.options.no_local && message.origin.session == self.client.member())
    }

    /// Unsubscribes filter by filter and answers with UNSUBACK.
    pub(super) fn unsubscribe(&mut self, unsubscribe: Unsubscribe, answers: &mut Vec<u8>) {
        let reasons = unsubscribe.filters.iter().map(|filter| self.unsubscribe_one(filter)).collect();
        let unsuback = Unsuback { packet_id: unsubscribe.packet_id, reasons, properties: None };
        let _ = encode(&Packet::Unsuback(unsuback), self.version, answers); // always expressible
    }

    fn unsubscribe_one(&self, filter: &str) -> ReasonCode {
        let Ok(parsed) = parse_filter(filter) else { return ReasonCode::FILTER_INVALID };
        let Some(filter) = mapping::names::filter(parsed.filter) else { return ReasonCode::FILTER_INVALID };
        let group: Option<Arc<str>> = parsed.group.map(Arc::from);
        if let (None, Some(each)) = (&group, &mut self.client.state.lock().each) {
            each.remove(&filter);
        }
        let session = self.client.session.lock();
        match session.as_ref().is_some_and(|session| session.unsubscribe_group(&filter, group.as_ref())) {
            true => ReasonCode::SUCCESS,
            false => ReasonCode::NO_SUBSCRIPTION_EXISTED,
        }
    }
}
