//! `overlapping = "each"`: a client's own list of subscriptions, to make a copy of a message for each that matches.

use std::sync::Arc;

use ratatosk_core::{Filter, Message, SubscribeOptions, peer::Grant};

use super::{parcel::Parcel, state::live};
use crate::proto::session::Item;

#[derive(Debug, Default)]
pub(super) struct Each {
    list: Vec<(Filter, Grant)>,
    /// The position that was delivered last: the same once more comes by a shared subscription.
    last: u64,
}

impl Each {
    pub(super) fn add(&mut self, filter: &Filter, options: &SubscribeOptions) {
        self.remove(filter);
        let grant = Grant {
            qos: options.qos,
            no_local: options.no_local,
            retain_as_published: options.retain_as_published,
            ids: options.id.map(|id| Arc::from([id])),
            share: None,
        };
        self.list.push((filter.clone(), grant));
    }

    pub(super) fn remove(&mut self, filter: &Filter) {
        self.list.retain(|(known, _)| known != filter);
    }

    /// Gives one item for each plain subscription that matches; the bus' own for a shared one.
    pub(super) fn copies(&mut self, message: &Arc<Message>, merged: &Grant, mut take: impl FnMut(Item<Parcel>)) {
        let again = self.last == message.seq;
        self.last = message.seq;
        let mut matched = false;
        for (_, grant) in self.list.iter().filter(|(filter, _)| !again && filter.matches(&message.channel)) {
            matched = true;
            take(live(message, grant));
        }
        if !matched {
            take(live(message, merged));
        }
    }
}
