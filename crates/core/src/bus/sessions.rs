//! Looking for sessions, for operators.

use std::sync::Arc;

use super::{Bus, view::info};
use crate::{
    channel::Filter,
    message::Connector,
    session::{SessionCore, SessionInfo},
};

/// Which sessions are looked for; what is not said does not matter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionQuery {
    /// Those with a greater number than this.
    pub after: u64,
    /// Those of this connector.
    pub connector: Option<Connector>,
    /// Those with this in their client id or user, whatever its case.
    pub text: Option<String>,
    /// Those subscribed to exactly this filter.
    pub filter: Option<Filter>,
}

impl SessionQuery {
    fn fits(&self, core: &SessionCore) -> bool {
        let has = |text: &str| {
            let held = |value: &Arc<str>| value.to_lowercase().contains(text);
            held(&core.config.client_id) || core.config.user.as_ref().is_some_and(held)
        };
        core.config.is_client
            && core.id.0 > self.after
            && self.connector.is_none_or(|connector| core.config.connector == connector)
            && self.text.as_ref().is_none_or(|text| has(&text.to_lowercase()))
            && self
                .filter
                .as_ref()
                .is_none_or(|wanted| core.subscriptions.lock().filters().any(|filter| filter == wanted))
    }
}

impl Bus {
    /// The first sessions by number that a query fits, at most `limit`.
    #[must_use]
    pub fn find_sessions(&self, query: &SessionQuery, limit: usize) -> Vec<SessionInfo> {
        let sessions = self.0.sessions.pin();
        let mut cores: Vec<_> = sessions.values().filter(|core| query.fits(core)).cloned().collect();
        cores.sort_unstable_by_key(|core| core.id);
        cores.truncate(limit);
        cores.iter().map(|core| info(core)).collect()
    }
}
