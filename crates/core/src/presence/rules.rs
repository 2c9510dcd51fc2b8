//! Rosters when other rules are put in force.

use crate::{bus::Bus, rule::Rules};

impl Bus {
    /// Enters and takes out whoever is subscribed already, and publishes, or clears, the rosters whose rule has changed its
    /// mind about them.
    pub(crate) fn rosters_follow(&self, before: &Rules) {
        let now = self.rules();
        if !before.any_presence() && !now.any_presence() {
            return;
        }
        let presence = self.presence();
        let changed = presence.find(|channel| before.of(channel).presence != now.of(channel).presence);
        self.client_cores().iter().for_each(|core| core.follow_rules(self));
        presence.news.again(changed);
    }
}
