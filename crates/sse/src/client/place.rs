//! The place in the stream, and whose place it is.

use ratatosk_core::{Filter, Qos};
use std::collections::BTreeMap;
use std::sync::Arc;

pub(super) type Wanted = Arc<BTreeMap<Filter, Qos>>;

/// The last event id that the bus has all before of. It is the place of what was asked for when it came: resumed from there,
/// another subscription would get old messages as new ones, and no last values.
#[derive(Debug)]
pub(super) struct Place {
    id: Arc<str>,
    /// `None`: the place was configured, for whatever is asked for first.
    of: Option<Wanted>,
}

impl Place {
    pub(super) fn configured(id: &str) -> Self {
        Self { id: id.into(), of: None }
    }

    /// Empty where there is none.
    pub(super) fn id(&self) -> &Arc<str> {
        &self.id
    }

    /// Whether this is to be resumed.
    pub(super) fn is_of(&self, filter: &Filter) -> bool {
        !self.id.is_empty() && self.of.as_ref().is_none_or(|of| of.contains_key(filter))
    }

    /// What is not asked for now has no place any more: who asks for it later was not there in between.
    pub(super) fn narrow(&mut self, wanted: &Wanted) {
        let Some(of) = &self.of else { return };
        let kept: BTreeMap<Filter, Qos> = of
            .iter()
            .filter(|(filter, _)| wanted.contains_key(*filter))
            .map(|(filter, qos)| (filter.clone(), *qos))
            .collect();
        if kept.is_empty() {
            self.id = "".into();
        }
        self.of = Some(Arc::new(kept));
    }

    /// The bus has all up to here of what is held.
    pub(super) fn moved(&mut self, id: &Arc<str>, held: &Wanted) {
        (self.id, self.of) = (id.clone(), Some(held.clone()));
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn wanted(filters: &[&str]) -> Wanted {
        Arc::new(filters.iter().map(|filter| (Filter::new(*filter).unwrap(), Qos::AtMostOnce)).collect())
    }

    #[test]
    fn a_place_is_of_what_was_held_without_a_gap() {
        let is_of = |place: &Place, filter: &str| place.is_of(&Filter::new(filter).unwrap());
        let mut place = Place::configured("1");
        assert!(is_of(&place, "a"));
        place.moved(&"2".into(), &wanted(&["a", "b"]));
        place.narrow(&wanted(&["b", "c"]));
        assert!(!is_of(&place, "a") && is_of(&place, "b") && !is_of(&place, "c"));
        place.narrow(&wanted(&[]));
        assert!(place.id().is_empty() && !is_of(&place, "b"));
        place.moved(&"3".into(), &wanted(&["b"]));
        assert!(is_of(&place, "b"));
        assert!(!is_of(&Place::configured(""), "a"));
    }
}
