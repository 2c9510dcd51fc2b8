//! The part that all scenarios share: sockets, pacing, counting.

pub(crate) mod latency;
pub(crate) mod load;
pub(crate) mod pool;
pub(crate) mod record;
pub(crate) mod socket;
