//! Which message a far server ends the connection for.
//!
//! A server that cannot refuse one message (MQTT before version 5 has no word for it, a WebSocket closes at one that is too large)
//! ends the connection instead. A message that does so whenever it comes would be sent first again by every connection, and nothing
//! behind it would ever cross. It is found by sending one message at a time.

use super::queue::Token;

/// So many connections in a row that ended with one message alone under way are no coincidence. A bad network manages a few.
const TIMES: u32 = 20;
/// Fewer are enough where it is far larger than all that the server has ever taken.
const TIMES_LARGE: u32 = 3;

/// Watches how connections end. It outlives them: keep it where the client side keeps what it must not forget.
#[derive(Debug, Default)]
pub struct PoisonWatch {
    /// The oldest message that was under way when the last connection ended.
    suspect: Option<Token>,
    /// How many connections ended with it alone under way.
    times: u32,
    /// The newest message that was under way then: up to it, messages go one at a time.
    last: Option<Token>,
    /// The size of the largest message that the peer has spoken about.
    largest: usize,
}

impl PoisonWatch {
    /// Whether nothing may be sent while a message is under way.
    #[must_use]
    pub fn is_careful(&self) -> bool {
        self.last.is_some()
    }

    /// The peer has spoken about a message, of this size on the wire.
    pub fn answered(&mut self, token: Token, size: usize) {
        self.largest = self.largest.max(size);
        self.settled(token);
    }

    /// The peer ended the connection, and had not spoken about these, which it was sent by that connection (with
    /// their sizes on the wire). Yields the one that it will never take.
    pub fn ended(&mut self, under_way: impl IntoIterator<Item = (Token, usize)>) -> Option<Token> {
        let (first, last) = ends(under_way)?;
        let again = self.suspect.replace(first.0) == Some(first.0);
        if !again {
            self.times = 0;
        }
        if !self.is_careful() {
            // Twice nothing came of it.
            self.last = again.then_some(last.0);
            return None;
        }
        if first.0 != last.0 {
            return None;
        }
        self.times += 1;
        let is_large = self.largest > 0 && first.1 > 2 * self.largest;
        let enough = if is_large { TIMES_LARGE } else { TIMES };
        (self.times >= enough).then(|| self.found(first.0))
    }

    /// The peer said that it does not take one of these, for its size, and not which. Yields it where it is the only one.
    pub fn too_large(&mut self, under_way: impl IntoIterator<Item = (Token, usize)>) -> Option<Token> {
        let ((first, _), (last, _)) = ends(under_way)?;
        if first == last {
            return Some(self.found(first));
        }
        (self.suspect, self.times) = (Some(first), 0);
        self.last = self.last.max(Some(last));
        None
    }

    fn found(&mut self, token: Token) -> Token {
        self.settled(token);
        token
    }

    fn settled(&mut self, token: Token) {
        if self.suspect == Some(token) {
            (self.suspect, self.times) = (None, 0);
        }
        if self.last.is_some_and(|last| token >= last) {
            self.last = None;
        }
    }
}

type Sized = (Token, usize);

/// The oldest and the newest.
fn ends(messages: impl IntoIterator<Item = Sized>) -> Option<(Sized, Sized)> {
    messages.into_iter().fold(None, |ends, message| match ends {
        None => Some((message, message)),
        Some((first, last)) => Some((message.min(first), message.max(last))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Messages of one size.
    fn messages(numbers: impl IntoIterator<Item = u64>) -> Vec<(Token, usize)> {
        numbers.into_iter().map(|number| (Token(number), 100)).collect()
    }

    fn answered(watch: &mut PoisonWatch, numbers: impl IntoIterator<Item = u64>) {
        messages(numbers).into_iter().for_each(|(token, size)| watch.answered(token, size));
    }

    #[test]
    fn the_one_that_ends_every_connection_is_found_and_no_other() {
        let mut watch = PoisonWatch::default();
        assert_eq!(watch.ended(messages(3..9)), None);
        assert!(!watch.is_careful(), "one end says nothing");
        assert_eq!(watch.ended(messages(3..12)), None);
        assert!(watch.is_careful());
        answered(&mut watch, 3..5);
        for _ in 1..TIMES {
            assert_eq!(watch.ended(messages([5])), None);
        }
        assert_eq!(watch.ended(messages([5])), Some(Token(5)));
        answered(&mut watch, 6..11);
        assert!(watch.is_careful(), "another may be among them");
        answered(&mut watch, [11]);
        assert!(!watch.is_careful());
    }

    #[test]
    fn a_far_larger_one_is_found_sooner() {
        let mut watch = PoisonWatch::default();
        answered(&mut watch, [1]);
        let large = [(Token(2), 1000)];
        for _ in 0..TIMES_LARGE + 1 {
            assert_eq!(watch.ended(large), None);
        }
        assert_eq!(watch.ended(large), Some(Token(2)));
    }

    #[test]
    fn a_connection_that_breaks_as_it_likes_costs_no_message() {
        let mut watch = PoisonWatch::default();
        for number in 0..100 {
            assert_eq!(watch.ended(messages(number..number + 5)), None);
            assert_eq!(watch.ended([]), None);
            answered(&mut watch, [number]);
        }
        assert!(!watch.is_careful());
        // Answered in the end, whatever the beginning looked like.
        for number in 200..220 {
            for _ in 0..TIMES {
                assert_eq!(watch.ended(messages([number])), None);
            }
            answered(&mut watch, [number]);
        }
    }

    #[test]
    fn a_server_that_names_the_cause_is_believed_at_once() {
        let mut watch = PoisonWatch::default();
        assert_eq!(watch.too_large(messages([1, 2, 3])), None);
        answered(&mut watch, [1]);
        assert!(watch.is_careful());
        assert_eq!(watch.too_large(messages([2])), Some(Token(2)));
        answered(&mut watch, [3]);
        assert!(!watch.is_careful());
        assert_eq!(watch.too_large(messages([4])), Some(Token(4)));
        assert_eq!(watch.too_large([]), None);
    }
}
