//! Which of the publications are traced.

use std::sync::Arc;

use super::{Bus, Inner};
use crate::{
    message::{Connector, Publication},
    trace::{self, Span, Tracer},
};

impl Bus {
    /// Has a tracer decide, message by message, which are traced; the monitor tells of these. Only the first call counts.
    pub fn trace_with(&self, tracer: Arc<dyn Tracer>) {
        // A second tracer would be a mistake of the composition, and changes nothing.
        let _ = self.0.tracer.set(tracer);
    }
}

impl Inner {
    /// The span of a publication, if there is a tracer and it picks this one. What is the gateway's own, or a connector's
    /// (some names are secret), is nobody's trace.
    pub(super) fn begin_span(&self, publication: &mut Publication) -> Option<Box<Span>> {
        let tracer = self.tracer.get()?;
        let is_own = publication.channel.is_reserved() || publication.origin.connector == Connector::GATEWAY;
        if is_own { None } else { trace::begin(&**tracer, publication) }
    }
}
