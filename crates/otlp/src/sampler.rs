//! Which messages are traced.

use std::num::NonZero;

use ratatosk_core::trace::{Span, TraceParent, Tracer};

/// Follows the decision of whoever sent a context, and picks a share of the messages that come without one.
#[derive(Debug)]
pub(crate) struct Sampler {
    share: f64,
}

impl Sampler {
    pub(crate) fn new(share: f64) -> Self {
        Self { share }
    }
}

impl Tracer for Sampler {
    fn begin(&self, parent: Option<TraceParent>) -> Option<Span> {
        let picked = parent.map_or_else(|| fastrand::f64() < self.share, |parent| parent.sampled);
        picked.then(|| Span {
            trace: parent.map_or_else(
                || NonZero::new(fastrand::u128(..)).unwrap_or(NonZero::<u128>::MIN),
                |parent| parent.trace,
            ),
            id: span_id(),
            parent: parent.map(|parent| parent.span),
        })
    }
}

/// An id that no other span of a trace has, but for an accident.
pub(crate) fn span_id() -> NonZero<u64> {
    NonZero::new(fastrand::u64(..)).unwrap_or(NonZero::<u64>::MIN)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn a_sender_decides_and_the_share_where_there_is_none() {
        let parent = |flags: &str| {
            format!("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-{flags}").parse::<TraceParent>().unwrap()
        };
        for share in [0.0, 1.0] {
            let sampler = Sampler::new(share);
            let span = sampler.begin(Some(parent("01"))).unwrap();
            assert_eq!((span.trace, span.parent), (parent("01").trace, Some(parent("01").span)));
            assert_eq!(sampler.begin(Some(parent("00"))), None);
            assert_eq!(sampler.begin(None).is_some(), share > 0.5);
        }
    }
}
