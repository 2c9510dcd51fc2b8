//! Traces over the gateway: W3C Trace Context, Level 1 (<https://www.w3.org/TR/trace-context/>).
//!
//! A message's context is its property [`PROPERTY`], whatever protocol it came by: an MQTT 5 user property or an HTTP
//! header of that name. It goes with the message unaltered, unless a [`Tracer`] picks the message: then the property
//! names the gateway's own span, so that what subscribers do with the message hangs below it.

use std::{fmt, num::NonZero, str::FromStr, sync::Arc};

use crate::message::Publication;

/// The name of the property.
pub const PROPERTY: &str = "traceparent";

/// The headers that carry a context over HTTP: the property, and what vendors add to it (section 3.3).
pub const HEADERS: [&str; 2] = [PROPERTY, "tracestate"];

/// A trace context: `00-TRACE-SPAN-FLAGS` in lower-case hex.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceParent {
    /// The trace.
    pub trace: NonZero<u128>,
    /// The sender's span.
    pub span: NonZero<u64>,
    /// Whether the sender records this trace.
    pub sampled: bool,
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace, self.span, u8::from(self.sampled))
    }
}

/// The text is no trace context.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a trace context reads 00-TRACE-SPAN-FLAGS")]
pub struct TraceParentError;

impl FromStr for TraceParent {
    type Err = TraceParentError;

    /// Section 3.2: a higher version is read as far as this one goes; `ff`, zeros and upper case are invalid.
    fn from_str(text: &str) -> Result<Self, TraceParentError> {
        let mut parts = text.split('-');
        let mut part = |digits: usize| {
            let part = parts.next().filter(|part| part.len() == digits)?;
            part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')).then_some(part)
        };
        let found = (part(2), part(32), part(16), part(2));
        let (Some(version), Some(trace), Some(span), Some(flags)) = found else { return Err(TraceParentError) };
        if version == "ff" || (version == "00" && parts.next().is_some()) {
            return Err(TraceParentError);
        }
        let flags = u8::from_str_radix(flags, 16).map_err(|_| TraceParentError)?;
        Ok(Self {
            trace: u128::from_str_radix(trace, 16).ok().and_then(NonZero::new).ok_or(TraceParentError)?,
            span: u64::from_str_radix(span, 16).ok().and_then(NonZero::new).ok_or(TraceParentError)?,
            sampled: flags & 1 == 1,
        })
    }
}

/// The gateway's span of a message that is traced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The trace it belongs to.
    pub trace: NonZero<u128>,
    /// Its own id.
    pub id: NonZero<u64>,
    /// The span of whoever published the message.
    pub parent: Option<NonZero<u64>>,
}

/// Decides which messages are traced.
pub trait Tracer: Send + Sync + 'static {
    /// Called once for each publication of a client or an upstream, with the context it came with. It must be quick.
    fn begin(&self, parent: Option<TraceParent>) -> Option<Span>;
}

/// Asks the tracer about a publication, and marks one that it picks.
pub(crate) fn begin(tracer: &dyn Tracer, publication: &mut Publication) -> Option<Box<Span>> {
    let properties = publication.extras.as_deref().map_or(&[][..], |extras| &extras.properties);
    let context = properties.iter().find(|(name, _)| &**name == PROPERTY).and_then(|(_, text)| text.parse().ok());
    let span = tracer.begin(context)?;
    let ours: Arc<str> = TraceParent { trace: span.trace, span: span.id, sampled: true }.to_string().into();
    let properties = &mut publication.extras_mut().properties;
    match properties.iter_mut().find(|(name, _)| &**name == PROPERTY) {
        Some((_, theirs)) => *theirs = ours,
        None => properties.push((PROPERTY.into(), ours)),
    }
    Some(Box::new(span))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use crate::{Channel, Origin};

    const THEIRS: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn contexts_read_back_what_they_write_and_nothing_else_is_one() {
        let context: TraceParent = THEIRS.parse().unwrap();
        assert_eq!((context.to_string().as_str(), context.sampled), (THEIRS, true));
        let later: TraceParent = THEIRS.replacen("00", "cc", 1).replace("-01", "-02-more").parse().unwrap();
        assert_eq!((later.trace, later.sampled), (context.trace, false));
        for bad in [
            "",
            "00",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b716920333-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-é",
            "00-+af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ] {
            assert_eq!(bad.parse::<TraceParent>(), Err(TraceParentError), "{bad}");
        }
    }

    /// Follows the sender's decision, and picks nothing by itself.
    struct Follower;

    impl Tracer for Follower {
        fn begin(&self, parent: Option<TraceParent>) -> Option<Span> {
            let parent = parent.filter(|parent| parent.sampled)?;
            Some(Span { trace: parent.trace, id: NonZero::new(7).unwrap(), parent: Some(parent.span) })
        }
    }

    #[test]
    fn a_message_that_is_picked_names_our_span_in_its_place() {
        let mut publication = Publication::new(Channel::new("a").unwrap(), "x", Origin::gateway());
        assert_eq!(begin(&Follower, &mut publication), None);
        assert!(publication.extras.is_none(), "what is not picked is not touched");
        let pairs = [("first", "1"), (PROPERTY, THEIRS), ("last", "2")];
        publication.extras_mut().properties = pairs.map(|(name, value)| (name.into(), value.into())).to_vec();
        let span = begin(&Follower, &mut publication).unwrap();
        assert_eq!(span.parent.map(NonZero::get), Some(0xb7ad_6b71_6920_3331));
        let properties = &publication.extras_mut().properties;
        let ours = "00-0af7651916cd43dd8448eb211c80319c-0000000000000007-01";
        assert_eq!(properties.iter().map(|(_, value)| &**value).collect::<Vec<_>>(), ["1", ours, "2"]);
    }
}
