//! A queue that grows by pieces.
//!
//! A ring buffer that is full takes another of twice its size, and a thousand sessions that wait for the same messages do so at
//! the same moment: memory would double at once. Pieces are added one by one, are never copied, and go as they are emptied.

use std::collections::VecDeque;

/// Slots of one piece.
const PIECE: usize = 64;

/// Slots in order; one in the middle may be emptied.
#[derive(Debug)]
pub(super) struct Slots<T> {
    /// All but the last are full.
    pieces: VecDeque<Vec<Option<T>>>,
    /// The slots of the first piece that are gone already.
    gone: usize,
    len: usize,
}

impl<T> Slots<T> {
    pub(super) const fn new() -> Self {
        Self { pieces: VecDeque::new(), gone: 0, len: 0 }
    }

    /// Slots, emptied ones included.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn push_back(&mut self, item: T) {
        match self.pieces.back_mut().filter(|piece| piece.len() < PIECE) {
            Some(piece) => piece.push(Some(item)),
            None => self.pieces.push_back(vec![Some(item)]),
        }
        self.len += 1;
    }

    /// The first slot, which is `Some(None)` if it was emptied before.
    pub(super) fn pop_front(&mut self) -> Option<Option<T>> {
        let piece = self.pieces.front_mut()?;
        let slot = piece.get_mut(self.gone)?.take();
        self.gone += 1;
        self.len -= 1;
        if self.gone == piece.len() {
            self.pieces.pop_front();
            self.gone = 0;
        }
        Some(slot)
    }

    /// What is in the first slot.
    pub(super) fn front(&self) -> Option<Option<&T>> {
        Some(self.pieces.front()?.get(self.gone)?.as_ref())
    }

    /// Empties a slot, counted from the first.
    pub(super) fn take(&mut self, at: usize) -> Option<T> {
        let at = at + self.gone;
        self.pieces.get_mut(at / PIECE)?.get_mut(at % PIECE)?.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_keep_their_order_and_places() {
        let mut slots = Slots::new();
        let mut expected = VecDeque::new();
        let mut next = 0;
        for round in 0..200 {
            for _ in 0..round % 7 + 1 {
                slots.push_back(next);
                expected.push_back(Some(next));
                next += 1;
            }
            let at = round * 31 % expected.len().max(1);
            assert_eq!(slots.take(at), expected.get_mut(at).and_then(Option::take));
            for _ in 0..round % 5 {
                assert_eq!(slots.front().map(|slot| slot.copied()), expected.front().copied());
                assert_eq!(slots.pop_front(), expected.pop_front());
            }
            assert_eq!(slots.len(), expected.len());
        }
        while let Some(slot) = expected.pop_front() {
            assert_eq!(slots.pop_front(), Some(slot));
        }
        assert_eq!((slots.len(), slots.pop_front(), slots.take(0), slots.pieces.len()), (0, None, None, 0));
    }
}
