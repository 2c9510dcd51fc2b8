//! Trace context that comes in the headers of a request.

use http::HeaderMap;
use ratatosk_core::{Properties, trace};

/// The context of a request that publishes, as properties of its messages; none where there is no such header.
#[must_use]
pub fn trace_context(headers: &HeaderMap) -> Properties {
    let value = |name: &&str| headers.get(*name)?.to_str().ok();
    trace::HEADERS.iter().filter_map(|name| Some(((*name).into(), value(name)?.into()))).collect()
}
