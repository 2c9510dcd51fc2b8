//! Shared subscriptions whose chosen member cannot deliver: another gets the message.

use std::sync::Arc;

use super::Bus;
use crate::{lane::Targets, message::Message, peer::Share, session::SessionId};

impl Bus {
    /// Whether a member of the shared subscription beside this one is live.
    #[must_use]
    pub fn has_other_live(&self, share: &Share, member: SessionId) -> bool {
        self.0.interest.read().has_other_live(share, member)
    }

    /// Deals messages again that a member of a shared subscription was given and will not deliver: each to another member in
    /// turn, live ones first. Answers how many found one.
    ///
    /// They keep their positions, and so may come after later ones.
    pub fn deal_again(&self, share: &Share, member: SessionId, messages: Vec<Arc<Message>>) -> usize {
        let Some(members) = self.0.interest.read().shared(share) else { return 0 };
        let ordered = self.0.sequencer.lock();
        let mut dealt = 0;
        for message in messages {
            let Some(target) = members.choose_but(Some(member)) else { break };
            let lane = target.session.lane(self.0.lanes.len());
            self.0.push(lane, &message, Arc::new(Targets::new(vec![target.clone()])));
            dealt += 1;
        }
        drop(ordered);
        self.0.lanes.iter().for_each(|lane| lane.wake());
        dealt
    }
}
