//! What one session is subscribed to.

use std::{cmp::Ordering, sync::Arc};

use super::SubscribeOptions;
use crate::channel::Filter;

/// By filter and, for shared subscriptions, group; in that order. Most sessions have one or two: a table would be larger, and
/// slower to fill.
#[derive(Debug, Default)]
pub(crate) struct Subscriptions(Vec<(Filter, SubscribeOptions)>);

impl Subscriptions {
    /// Adds one, or replaces the one to the same filter in the same group.
    pub(super) fn insert(&mut self, filter: Filter, options: SubscribeOptions) {
        match self.find(&filter, options.group.as_ref()) {
            Ok(at) => {
                if let Some(place) = self.0.get_mut(at) {
                    place.1 = options;
                }
            }
            Err(at) => {
                if self.0.is_empty() {
                    self.0.reserve_exact(1);
                }
                self.0.insert(at, (filter, options));
            }
        }
    }

    /// Whether it was there.
    pub(super) fn remove(&mut self, filter: &Filter, group: Option<&Arc<str>>) -> bool {
        self.find(filter, group).is_ok_and(|at| {
            self.0.remove(at);
            true
        })
    }

    pub(crate) fn contains(&self, filter: &Filter, group: Option<&Arc<str>>) -> bool {
        self.find(filter, group).is_ok()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &(Filter, SubscribeOptions)> {
        self.0.iter()
    }

    pub(crate) fn filters(&self) -> impl Iterator<Item = &Filter> {
        self.0.iter().map(|(filter, _)| filter)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    fn find(&self, filter: &Filter, group: Option<&Arc<str>>) -> Result<usize, usize> {
        let of = |known: &Filter, options: &SubscribeOptions| -> Ordering {
            known.as_str().cmp(filter.as_str()).then_with(|| options.group.as_ref().cmp(&group))
        };
        self.0.binary_search_by(|(known, options)| of(known, options))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn a_filter_is_held_once_in_each_group() {
        let filter = |text: &str| Filter::new(text).unwrap();
        let of = |group: Option<&str>, id| SubscribeOptions { group: group.map(Into::into), id, ..Default::default() };
        let mut held = Subscriptions::default();
        for (name, group, id) in
            [("b", None, 1), ("a/+", None, 2), ("b", Some("g"), 3), ("c", None, 4), ("b", None, 5), ("b", Some("f"), 6)]
        {
            held.insert(filter(name), of(group, Some(id)));
        }
        let ids: Vec<_> = held.iter().map(|(filter, options)| (filter.as_str(), options.id.unwrap())).collect();
        assert_eq!(ids, [("a/+", 2), ("b", 5), ("b", 6), ("b", 3), ("c", 4)]);
        let group: Arc<str> = "g".into();
        assert!(held.contains(&filter("b"), Some(&group)) && !held.contains(&filter("a/+"), Some(&group)));
        assert!(held.remove(&filter("b"), Some(&group)) && !held.remove(&filter("b"), Some(&group)));
        assert!(held.remove(&filter("b"), None) && !held.remove(&filter("d"), None));
        assert_eq!((held.len(), held.filters().map(Filter::as_str).collect::<String>()), (3, "a/+bc".into()));
    }
}
