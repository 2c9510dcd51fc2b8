//! `ratatosk demo`: a gateway with its defaults, a simulated sensor fleet that publishes over real MQTT, and a page with
//! four stock browser clients that show it live.

mod assets;
mod fleet;
mod ports;
mod routes;
mod sign;

use std::process::ExitCode;

use serde_json::json;

use crate::{
    config::{ConfigErrors, Resolved, Sources},
    run::{Addresses, Extras, Gateway, run_with},
};

/// Everything in the demo happens below this channel.
const ROOT: &str = "demo";
/// What the channels are called on Pusher: private, because only there clients may trigger events.
const PUSHER_ROOT: &str = "private-demo";

/// Reads the configuration of a demo: the sources', with what the page needs over it.
///
/// # Errors
/// All that is wrong with it.
pub fn load(sources: &mut Sources) -> Result<Resolved, ConfigErrors> {
    let mount = json!([{ "channel": format!("{ROOT}/#"), "as": format!("{PUSHER_ROOT}.*") }]);
    sources.given.push(("pusher.mounts".to_owned(), mount, "demo".to_owned()));
    // The page shows who sent what, which the gateway tells on `$monitor`.
    sources.given.push(("monitor.messages".to_owned(), json!(true), "demo".to_owned()));
    sources.given.push(("monitor.sample".to_owned(), json!(1), "demo".to_owned()));
    crate::config::load(sources)
}

/// Runs the demo until a signal ends it. `ready` is called with the addresses when the page can be opened.
///
/// # Errors
/// As [`crate::run`]. A default port that is taken is no error: another is found.
pub async fn run(mut resolved: Resolved, sources: Sources, ready: impl FnOnce(Addresses)) -> anyhow::Result<ExitCode> {
    ports::make_way(&mut resolved);
    let extras = Extras { routes: routes::router(&resolved), ..Extras::default() };
    let accompany = |gateway: &Gateway| {
        if let Some(mqtt) = gateway.addresses().mqtt {
            fleet::start(gateway, mqtt)?;
        }
        ready(gateway.addresses());
        Ok(())
    };
    run_with(resolved, sources, extras, accompany).await
}
