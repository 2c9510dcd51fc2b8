//! What a session delivers: a message, and whom else it may go to.

use std::{sync::Arc, time::Instant};

use ratatosk_core::{Message, peer::Share};

use super::client::Client;
use crate::proto::{
    codec::{Template, TemplateKind},
    session::Outgoing,
};

/// A message on its way to one client.
#[derive(Debug, Clone)]
pub(super) struct Parcel {
    pub(super) message: Arc<Message>,
    /// The shared subscription that it was dealt by.
    pub(super) share: Option<Arc<Share>>,
}

impl Outgoing for Parcel {
    fn template(&self, kind: TemplateKind) -> Option<Template> {
        self.message.template(kind)
    }

    fn topic(&self) -> &str {
        Outgoing::topic(&self.message)
    }

    fn expires_in(&self, now: Instant) -> Option<u32> {
        self.message.expires_in(now)
    }

    fn weight(&self) -> usize {
        Outgoing::weight(&self.message)
    }
}

/// Parcels of shared subscriptions that one client will not deliver; other members are to have them.
#[derive(Debug, Default)]
pub(super) struct Orphans(Vec<(Arc<Share>, Arc<Message>)>);

impl Orphans {
    pub(super) fn push(&mut self, share: &Arc<Share>, message: &Arc<Message>) {
        self.0.push((share.clone(), message.clone()));
    }

    pub(super) fn extend(&mut self, parcels: Vec<Parcel>) {
        self.0.extend(parcels.into_iter().filter_map(|parcel| Some((parcel.share?, parcel.message))));
    }

    /// Gives them to other members, in order. To be called without locks.
    pub(super) fn deal(self, client: &Client) {
        let Some(member) = client.member() else { return };
        let mut rest = self.0;
        while let Some((share, _)) = rest.first() {
            let share = share.clone();
            let (ours, others): (Vec<_>, Vec<_>) = rest.into_iter().partition(|(of, _)| *of == share);
            let messages = ours.into_iter().map(|(_, message)| message).collect();
            client.shared.bus.deal_again(&share, member, messages);
            rest = others;
        }
    }
}
