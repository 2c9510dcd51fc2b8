//! The session store: standing that outlives a connection, changed by compare-and-set.
//!
//! Between nodes, two gateways can hold the same client id for a moment; the revision decides who wins.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use parking_lot::Mutex;

use super::EngineFuture;

/// A stored session: its bytes are the connector's own, the revision the store's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRecord {
    /// Changes with every write; 0 stands for "there is none".
    pub revision: u64,
    /// What the connector wrote.
    pub data: Bytes,
}

/// The record was not the expected one; this is what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreConflict(pub Option<SessionRecord>);

/// Stores sessions by connector and client id.
pub trait SessionStore: Send + Sync {
    /// Reads one.
    fn load<'a>(&'a self, key: &'a str) -> EngineFuture<'a, Option<SessionRecord>>;

    /// Writes one if its revision is still `expected` (0: if there is none), and tells the new revision.
    fn put<'a>(&'a self, key: &'a str, expected: u64, data: Bytes) -> EngineFuture<'a, Result<u64, StoreConflict>>;

    /// Removes one if its revision is still `expected`.
    fn remove<'a>(&'a self, key: &'a str, expected: u64) -> EngineFuture<'a, Result<(), StoreConflict>>;

    /// The keys that begin so and that are this gateway's to bring back when it starts.
    fn list<'a>(&'a self, prefix: &'a str) -> EngineFuture<'a, Vec<Arc<str>>>;

    /// Whether records outlive the process. Where they do not, a connector need not write again what it holds itself.
    fn is_durable(&self) -> bool;
}

/// Sessions in memory: they outlive a connection, not the process.
#[derive(Debug, Default)]
pub struct MemorySessions(Mutex<HashMap<Arc<str>, SessionRecord>>);

impl MemorySessions {
    fn change(&self, key: &str, expected: u64, data: Option<Bytes>) -> Result<u64, StoreConflict> {
        let mut sessions = self.0.lock();
        let current = sessions.get(key).cloned();
        let revision = current.as_ref().map_or(0, |record| record.revision);
        if revision != expected {
            return Err(StoreConflict(current));
        }
        match data {
            Some(data) => {
                sessions.insert(key.into(), SessionRecord { revision: revision + 1, data });
                Ok(revision + 1)
            }
            None => {
                sessions.remove(key);
                Ok(0)
            }
        }
    }
}

impl SessionStore for MemorySessions {
    fn load<'a>(&'a self, key: &'a str) -> EngineFuture<'a, Option<SessionRecord>> {
        let found = self.0.lock().get(key).cloned();
        Box::pin(std::future::ready(Ok(found)))
    }

    fn put<'a>(&'a self, key: &'a str, expected: u64, data: Bytes) -> EngineFuture<'a, Result<u64, StoreConflict>> {
        Box::pin(std::future::ready(Ok(self.change(key, expected, Some(data)))))
    }

    fn remove<'a>(&'a self, key: &'a str, expected: u64) -> EngineFuture<'a, Result<(), StoreConflict>> {
        Box::pin(std::future::ready(Ok(self.change(key, expected, None).map(|_| ()))))
    }

    fn list<'a>(&'a self, prefix: &'a str) -> EngineFuture<'a, Vec<Arc<str>>> {
        let found = self.0.lock().keys().filter(|key| key.starts_with(prefix)).cloned().collect();
        Box::pin(std::future::ready(Ok(found)))
    }

    fn is_durable(&self) -> bool {
        false
    }
}
