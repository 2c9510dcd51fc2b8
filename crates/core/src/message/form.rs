//! The wire-form cache: a message's bytes in one protocol's form, made once and shared.

use std::sync::{
    OnceLock,
    atomic::{AtomicU8, Ordering},
};

use bytes::Bytes;

/// How many wire forms all protocols together may register; a form past that is encoded anew each time.
const MAX_FORMS: usize = 16;

static REGISTERED: AtomicU8 = AtomicU8::new(0);

/// One way to write a message. A protocol registers each of its forms once, at start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Form(u8);

impl Form {
    /// A new form; the name is for readers of the code alone.
    pub fn register(_name: &'static str) -> Self {
        Self(REGISTERED.fetch_add(1, Ordering::Relaxed))
    }
}

/// The forms of one message. Nothing is allocated until the first form is asked for.
#[derive(Debug, Default)]
pub(super) struct Forms(OnceLock<Box<[OnceLock<Bytes>; MAX_FORMS]>>);

impl Forms {
    pub(super) fn get_or_encode(&self, form: Form, encode: impl FnOnce() -> Bytes) -> Bytes {
        let slots = self.0.get_or_init(Box::default);
        match slots.get(usize::from(form.0)) {
            Some(slot) => slot.get_or_init(encode).clone(),
            None => encode(),
        }
    }
}
