//! What the admin API does with upstreams.

use ratatosk_admin::{Refused, UpstreamControl, UpstreamOrder};
use ratatosk_connector::upstream::State;
use serde_json::Value;

use super::{Source, Upstreams, leave};
use crate::config::{self, Upstream};

impl UpstreamControl for Upstreams {
    fn list(&self) -> Vec<Value> {
        self.describe_all()
    }

    fn get(&self, name: &str) -> Option<Value> {
        self.describe(name)
    }

    fn add(&self, section: Value) -> Result<String, Refused> {
        let beside: Vec<Upstream> = self.0.entries.lock().values().map(|entry| entry.upstream.clone()).collect();
        let name = section.get("name").and_then(Value::as_str).unwrap_or_default();
        if beside.iter().any(|other| &*other.name == name) {
            return Err(Refused::Conflict(format!("there is an upstream {name:?} already; remove it first")));
        }
        let upstream =
            config::load_upstream(section, &beside).map_err(|errors| Refused::Invalid(errors.to_string()))?;
        self.put(&upstream, Source::Api).map_err(|error| Refused::Invalid(format!("{error:#}")))?;
        Ok(upstream.name.to_string())
    }

    fn order(&self, name: &str, order: UpstreamOrder) -> Result<(), Refused> {
        let entries = self.0.entries.lock();
        let entry = entries.get(name).ok_or(Refused::Unknown)?;
        let (handle, state) = (entry.handle.clone(), entry.handle.status().state);
        let again = (entry.upstream.clone(), entry.source);
        drop(entries);
        tracing::info!(upstream = %name, ?order, "an operator's order");
        match order {
            UpstreamOrder::Pause => handle.pause(),
            // One that was drained is over: it begins anew.
            UpstreamOrder::Resume if state == State::Stopped => {
                let (upstream, source) = again;
                self.put(&upstream, source).map_err(|error| Refused::Invalid(format!("{error:#}")))?;
            }
            UpstreamOrder::Resume => handle.resume(),
            UpstreamOrder::Drain => {
                self.0.life.spawn("upstream draining", leave(handle));
            }
        }
        Ok(())
    }

    fn remove(&self, name: &str) -> Result<(), Refused> {
        if self.remove(name) { Ok(()) } else { Err(Refused::Unknown) }
    }
}
