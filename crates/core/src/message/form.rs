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

/// The forms of one message. Most messages have one: the others have a place only once there are several.
#[derive(Debug, Default)]
pub(super) struct Forms {
    first: OnceLock<(Form, Bytes)>,
    others: OnceLock<Box<[OnceLock<Bytes>; MAX_FORMS]>>,
}

impl Forms {
    pub(super) fn get_or_encode(&self, form: Form, encode: impl FnOnce() -> Bytes) -> Bytes {
        let mut encode = Some(encode);
        let mut encoded = || encode.take().map(|encode| encode()).unwrap_or_default();
        let (first, bytes) = self.first.get_or_init(|| (form, encoded()));
        if *first == form {
            return bytes.clone();
        }
        match self.others.get_or_init(Box::default).get(usize::from(form.0)) {
            Some(slot) => slot.get_or_init(encoded).clone(),
            None => encoded(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_is_encoded_once_whichever_comes_first() {
        let (forms, mut encoded) = (Forms::default(), Vec::new());
        for form in [3, 0, 3, 15, 0, 15] {
            let bytes = forms.get_or_encode(Form(form), || {
                encoded.push(form);
                vec![form].into()
            });
            assert_eq!(bytes[..], [form]);
        }
        assert_eq!(encoded, [3, 0, 15]);
        // There are more forms than places: those are encoded each time.
        for _ in 0..2 {
            assert_eq!(forms.get_or_encode(Form(200), || vec![200].into())[..], [200]);
        }
    }
}
