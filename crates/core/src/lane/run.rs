//! What one session gets of a pass, and the bytes that sessions with the same part of it share.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use smallvec::SmallVec;

use super::{Entry, Target};
use crate::{
    hash::HashMap,
    message::{Form, Message},
    peer::{Encode, Frames, Grant},
};

/// Joined runs above this are written frame by frame instead of copied.
const JOIN_LIMIT: usize = 64 << 10;

/// Which message of the pass, and which target of its set.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pick {
    pub(super) entry: u32,
    pub(super) target: u32,
}

pub(super) fn target_of<'a>(entries: &[&'a Entry], pick: Pick) -> Option<&'a Target> {
    entries.get(pick.entry as usize)?.targets.list.get(pick.target as usize)
}

#[derive(Clone, Copy)]
pub(super) enum Picks<'a> {
    /// Every message of the pass, under one grant.
    All(&'a Grant),
    Some(&'a [Pick]),
    /// Some messages of the pass, under one grant.
    Few(&'a Grant, &'a [u32]),
}

/// The messages of one pass for one session, in order.
pub struct Run<'a> {
    pub(super) entries: &'a [&'a Entry],
    pub(super) picks: Picks<'a>,
    pub(super) joins: &'a mut Joins,
}

impl std::fmt::Debug for Run<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Run").field("len", &self.len()).finish_non_exhaustive()
    }
}

impl<'a> Run<'a> {
    /// How many messages; never zero.
    #[must_use]
    pub fn len(&self) -> usize {
        match self.picks {
            Picks::All(_) => self.entries.len(),
            Picks::Some(picks) => picks.len(),
            Picks::Few(_, entries) => entries.len(),
        }
    }

    /// A run always holds a message; here for the lint that expects it beside `len`.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The messages, each with how this session takes it.
    pub fn iter(&self) -> impl Iterator<Item = (&'a Arc<Message>, &'a Grant)> + use<'a> {
        let (entries, picks) = (self.entries, self.picks);
        (0..self.len()).filter_map(move |at| match picks {
            Picks::All(grant) => Some((&entries.get(at)?.message, grant)),
            Picks::Some(picks) => {
                let pick = *picks.get(at)?;
                let target = target_of(entries, pick)?;
                Some((&entries.get(pick.entry as usize)?.message, &target.grant))
            }
            Picks::Few(grant, few) => Some((&entries.get(*few.get(at)? as usize)?.message, grant)),
        })
    }

    /// Hands `then` the part of the run that `keep` accepts; `None` if that is nothing. Sessions with the same part
    /// share its bytes, as with a whole run.
    pub fn narrow<R>(&mut self, keep: impl Fn(&Message) -> bool, then: impl FnOnce(&mut Run<'_>) -> R) -> Option<R> {
        let kept: SmallVec<[bool; 32]> = self.iter().map(|(message, _)| keep(message)).collect();
        let count = kept.iter().filter(|kept| **kept).count();
        if count == 0 {
            return None;
        }
        if count == kept.len() {
            return Some(then(self));
        }
        let (entries, joins) = (self.entries, &mut *self.joins);
        match self.picks {
            Picks::All(grant) => {
                let few: SmallVec<[u32; 32]> = (0..).zip(&kept).filter(|(_, kept)| **kept).map(|(at, _)| at).collect();
                Some(then(&mut Run { entries, picks: Picks::Few(grant, &few), joins }))
            }
            Picks::Some(picks) => {
                let few: SmallVec<[Pick; 32]> =
                    picks.iter().zip(&kept).filter(|(_, kept)| **kept).map(|(pick, _)| *pick).collect();
                Some(then(&mut Run { entries, picks: Picks::Some(&few), joins }))
            }
            Picks::Few(grant, picks) => {
                let few: SmallVec<[u32; 32]> =
                    picks.iter().zip(&kept).filter(|(_, kept)| **kept).map(|(at, _)| *at).collect();
                Some(then(&mut Run { entries, picks: Picks::Few(grant, &few), joins }))
            }
        }
    }

    pub(crate) fn join(&mut self, form: Form, encode: Encode<'_>) -> Frames {
        let mut messages = self.iter().map(|(message, _)| message);
        if let (Some(only), None) = (messages.next(), messages.next()) {
            return Frames::Joined(only.form(form, |message| encode(message)));
        }
        let which: SmallVec<[u32; 32]> = match self.picks {
            Picks::All(_) => SmallVec::new(),
            Picks::Some(picks) => picks.iter().map(|pick| pick.entry).collect(),
            Picks::Few(_, entries) => entries.iter().copied().collect(),
        };
        if let Some(known) = self.joins.get(form, &which) {
            return Frames::Joined(known);
        }
        let frames: Vec<Bytes> = self.iter().map(|(message, _)| message.form(form, |m| encode(m))).collect();
        let total: usize = frames.iter().map(Bytes::len).sum();
        if total > JOIN_LIMIT {
            return Frames::Each(frames);
        }
        let mut joined = BytesMut::with_capacity(total);
        frames.iter().for_each(|frame| joined.extend_from_slice(frame));
        Frames::Joined(self.joins.keep(form, which, joined.freeze()))
    }
}

type Which = SmallVec<[u32; 32]>;

/// The joined bytes of this pass's runs.
#[derive(Default)]
pub(super) struct Joins {
    /// Of the whole pass: one entry per form, so a search is quicker than a hash.
    whole: SmallVec<[(Form, Bytes); 4]>,
    parts: HashMap<(Form, Which), Bytes>,
}

impl Joins {
    pub(super) fn clear(&mut self) {
        self.whole.clear();
        self.parts.clear();
    }

    /// The empty list of picks stands for the whole pass. The key is rebuilt in inline storage: a run of up
    /// to 32 messages allocates nothing.
    fn get(&self, form: Form, which: &Which) -> Option<Bytes> {
        if which.is_empty() {
            return self.whole.iter().find(|(known, _)| *known == form).map(|(_, joined)| joined.clone());
        }
        self.parts.get(&(form, which.clone())).cloned()
    }

    fn keep(&mut self, form: Form, which: Which, joined: Bytes) -> Bytes {
        if which.is_empty() {
            self.whole.push((form, joined.clone()));
        } else {
            self.parts.insert((form, which), joined.clone());
        }
        joined
    }
}
