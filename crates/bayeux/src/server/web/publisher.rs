//! Callers that may publish without a session, because they know the key.

use http::{HeaderMap, header};
use subtle::ConstantTimeEq;

use crate::{
    proto::inbound::{Inbound, text},
    server::mount::Mount,
};

/// Whether the request bears the key: as a bearer token, or in a message's `ext.key`.
pub(super) fn is_trusted(mount: &Mount, headers: &HeaderMap, batch: &[Inbound<'_>]) -> bool {
    let Some(key) = mount.config.publish_key.as_ref().filter(|key| !key.is_empty()) else { return false };
    let same = |given: &str| bool::from(given.as_bytes().ct_eq(key.expose().as_bytes()));
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    bearer.is_some_and(same)
        || (!batch.is_empty() && batch.iter().all(|one| one.ext().key.and_then(text).is_some_and(|key| same(&key))))
}
