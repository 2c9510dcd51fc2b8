//! The order in which a client sent its requests, where they came by several connections at once.
//!
//! Faye's client publishes by parallel POSTs, which overtake each other on their way. Both it and CometD's client
//! number their messages (in base 36 and base 10), so a request that has overtaken another can be told, and
//! be kept for a moment until the other is here.

/// Ids further apart than this are no numbering.
const WINDOW: u64 = 1000;
/// After so many gaps that nothing came to fill, the client's ids are taken for no numbering.
const PATIENCE: u8 = 3;

/// Whether a request may be processed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// It is next, or nothing can be said about it.
    Now,
    /// Requests that were sent before it are not here yet.
    Wait,
}

/// An id read as a number, in every base that it can be written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Number {
    decimal: Option<u64>,
    base36: Option<u64>,
}

impl Number {
    /// `raw` is a JSON number or string.
    fn read(raw: &str) -> Option<Self> {
        let text = raw.trim_matches('"');
        if text.is_empty() || text.len() > 10 || !text.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return None;
        }
        Some(Self { decimal: text.parse().ok(), base36: u64::from_str_radix(text, 36).ok() })
    }

    /// How many ids lie between, in the base where that is least.
    fn gap_after(self, last: Self) -> Option<u64> {
        let gap = |next: Option<u64>, last: Option<u64>| next?.checked_sub(last?.checked_add(1)?);
        match (gap(self.decimal, last.decimal), gap(self.base36, last.base36)) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }
}

/// What is known of a client's numbering.
#[derive(Debug, Clone, Copy, Default)]
pub struct Order {
    last: Option<Number>,
    misses: u8,
    /// An id with a letter was seen: the base is 36, and `20` does not follow `19`.
    letters: bool,
}

impl Order {
    /// Judges a request by its first message's id, raw.
    #[must_use]
    pub fn judge(&self, id: Option<&str>) -> Turn {
        if self.misses >= PATIENCE {
            return Turn::Now;
        }
        let gap = self.read(id).and_then(|number| number.gap_after(self.last?));
        match gap {
            Some(1..WINDOW) => Turn::Wait,
            _ => Turn::Now,
        }
    }

    fn read(&self, id: Option<&str>) -> Option<Number> {
        let number = id.and_then(Number::read)?;
        Some(if self.letters { Number { decimal: None, ..number } } else { number })
    }

    /// A message with this id was processed.
    pub fn passed(&mut self, id: Option<&str>) {
        let Some(number) = self.read(id) else { return };
        self.letters |= number.decimal.is_none();
        // A late one does not set the count back.
        if self.last.is_none_or(|last| number.gap_after(last).is_some_and(|gap| gap < WINDOW)) {
            if self.judge(id) == Turn::Now && self.misses < PATIENCE {
                self.misses = 0;
            }
            self.last = Some(number);
        }
    }

    /// What was waited for did not come.
    pub fn gave_up(&mut self) {
        self.misses = self.misses.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(ids: &[&str]) -> Order {
        let mut order = Order::default();
        ids.iter().for_each(|id| order.passed(Some(id)));
        order
    }

    #[test]
    fn the_next_number_in_either_base_may_go() {
        for (last, next) in
            [("\"9\"", "\"10\""), ("\"9\"", "\"a\""), ("\"z\"", "\"10\""), ("1", "2"), ("\"1z\"", "\"20\"")]
        {
            assert_eq!(after(&[last]).judge(Some(next)), Turn::Now, "{last} {next}");
        }
        for (last, next) in [("\"1\"", "\"3\""), ("\"9\"", "\"b\""), ("7", "12")] {
            assert_eq!(after(&[last]).judge(Some(next)), Turn::Wait, "{last} {next}");
        }
    }

    #[test]
    fn what_is_no_numbering_may_go() {
        for (last, next) in [("1", "5000"), ("9", "3"), ("9", "9"), ("\"x-1\"", "\"x-9\""), ("9", "\"\"")] {
            assert_eq!(after(&[last]).judge(Some(next)), Turn::Now, "{last} {next}");
        }
        assert_eq!(Order::default().judge(Some("7")), Turn::Now);
        assert_eq!(after(&["\"19\""]).judge(Some("\"20\"")), Turn::Now);
        assert_eq!(after(&["\"18\"", "\"a\"", "\"19\""]).judge(Some("\"20\"")), Turn::Wait, "base 36");
        assert_eq!(after(&["1"]).judge(None), Turn::Now);
    }

    #[test]
    fn a_gap_that_is_filled_opens_the_way() {
        let mut order = after(&["1"]);
        assert_eq!(order.judge(Some("4")), Turn::Wait);
        order.passed(Some("2"));
        order.passed(Some("3"));
        assert_eq!(order.judge(Some("4")), Turn::Now);
    }

    #[test]
    fn patience_ends() {
        let mut order = after(&["1"]);
        for next in ["3", "5", "7"] {
            assert_eq!(order.judge(Some(next)), Turn::Wait);
            order.gave_up();
            order.passed(Some(next));
        }
        assert_eq!(order.judge(Some("9")), Turn::Now);
    }

    #[test]
    fn a_late_message_does_not_set_the_count_back() {
        let order = after(&["5", "3"]);
        assert_eq!(order.judge(Some("6")), Turn::Now);
        assert_eq!(order.judge(Some("7")), Turn::Wait);
    }
}
