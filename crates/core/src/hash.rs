//! How names are hashed in what all sessions share. Clients choose them, so the seed is random; each message is looked up by
//! them, so it is to be fast. What each session has for itself keeps the standard library's maps, which are smaller when empty.

pub(crate) use ahash::RandomState;

/// For what the gateway numbers itself: nobody can choose such keys, so that they need no seed of their own.
pub(crate) type NumberState = std::hash::BuildHasherDefault<ahash::AHasher>;

pub(crate) type HashMap<K, V> = std::collections::HashMap<K, V, RandomState>;
/// One that many threads read and change at once.
pub(crate) type SharedMap<K, V> = papaya::HashMap<K, V, RandomState>;
