//! Bridge rules: which channels cross an upstream, and under which name on the other side.
//!
//! A rule is `from -> to`: `from` is a filter, `to` has the same wildcards in the same order, and what each
//! wildcard stood for is kept. `sensors/# -> factory/#` turns `sensors/a/b` into `factory/a/b`; the fixed
//! parts are rewritten, so prefixes can be added, removed or replaced, and levels kept in place
//! (`dev/+/up/# -> in/+/#`). A rule is a bijection between the names it takes and the names it makes, which is
//! what lets response topics travel backwards.
//!
//! Rules see canonical names on both sides: the protocol's own spelling is the connector's business.
//!
//! A rule may also have a [`Treatment`]: a condition and a transformation in jq, properties, overrides, a rate, a place for
//! what fails. Rules without one cost nothing for it.

mod analysis;
mod counts;
mod levels;
mod rate;
mod reply;
mod rewrite;
mod rule;
mod template;
mod treatment;

pub use analysis::{Conflict, LoopGuard, RuleRef, Unguarded, UpstreamRules, analyse};
pub use counts::Counts;
pub use reply::ReplyMap;
pub use rule::{Direction, Rule, RuleError, RuleOptions, RuleSet};
pub use template::TemplateError;
pub use treatment::{Failure, Scene, Treatment, TreatmentBuilder, TreatmentError, Verdict};

use ratatosk_core::Filter;

/// The fewest filters that match everything the given ones match: those that another one covers are left out.
///
/// A peer that is subscribed to overlapping filters may send a message once per filter (MQTT 5.0 section 3.3.4).
#[must_use]
pub fn cover(filters: impl IntoIterator<Item = Filter>) -> Vec<Filter> {
    let mut kept: Vec<Filter> = Vec::new();
    for filter in filters {
        if kept.iter().any(|wide| wide.covers(&filter)) {
            continue;
        }
        kept.retain(|narrow| !filter.covers(narrow));
        kept.push(filter);
    }
    kept
}
