//! Publishing to channels that carry only so many messages a second.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use super::{Bus, Receipt};
use crate::{
    engine::Stored,
    message::{Message, Publication},
    pace::{Paces, Pacing},
    stats::DropReason,
};

impl Bus {
    pub(crate) fn pacing(&self) -> &Pacing {
        &self.0.pacing
    }

    /// Publishes now, or when the channel's time has come: then the receipt tells no position.
    pub(super) fn publish_paced(&self, publication: Publication, gap: Duration) -> Receipt {
        let inner = &*self.0;
        let (connector, bytes) = (publication.origin.connector, publication.payload.len());
        let channel = publication.channel.clone();
        let receipt = match inner.pacing.offer(publication, gap, Instant::now()) {
            Paces::Now(publication) => self.place_now(publication),
            Paces::Later { replaced } => {
                if let Some(replaced) = replaced {
                    inner.stats.dropped(replaced.origin.connector, DropReason::Conflated, 1);
                }
                let matched = !inner.route(&channel).matched.is_empty();
                Receipt { seq: None, matched, stored: Stored::Done }
            }
        };
        inner.stats.received(connector, bytes);
        receipt
    }

    /// Publishes what has waited, unless it has become too old.
    pub(crate) fn publish_now(&self, publication: Publication) {
        if publication.expiry.is_some_and(|left| left.is_zero()) {
            return self.0.stats.dropped(publication.origin.connector, DropReason::Expired, 1);
        }
        drop(self.place_now(publication));
    }

    fn place_now(&self, mut publication: Publication) -> Receipt {
        let span = self.0.begin_span(&mut publication);
        let message = Message::new(publication, (SystemTime::now(), Instant::now())).spanned(span);
        self.0.place(Arc::new(message))
    }
}
