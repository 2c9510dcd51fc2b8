//! How names are hashed. Clients choose them, so the seed is random; each message is looked up by them, so it is to be fast.

pub(crate) use ahash::RandomState;

pub(crate) type HashMap<K, V> = std::collections::HashMap<K, V, RandomState>;
pub(crate) type IndexMap<K, V> = indexmap::IndexMap<K, V, RandomState>;
/// One that many threads read and change at once.
pub(crate) type SharedMap<K, V> = papaya::HashMap<K, V, RandomState>;
