//! Trace context that comes in the headers of a request.

use http::{HeaderMap, HeaderName};
use ratatosk_core::{Properties, trace};

static NAMES: [HeaderName; 2] =
    [HeaderName::from_static(trace::HEADERS[0]), HeaderName::from_static(trace::HEADERS[1])];

/// The context of a request that publishes, as properties of its messages; none where there is no such header.
#[must_use]
pub fn trace_context(headers: &HeaderMap) -> Properties {
    // To see that there is none takes less than to look each up.
    if !headers.keys().any(|name| NAMES.contains(name)) {
        return Properties::new();
    }
    let value = |name: &HeaderName| headers.get(name)?.to_str().ok();
    NAMES.iter().filter_map(|name| Some((name.as_str().into(), value(name)?.into()))).collect()
}
