//! The configuration: read from its layers, checked as a whole, and lowered to what the program uses.
//!
//! ```text
//! defaults < file < environment < --set  ──merge──▶  tree  ──walk──▶  RawConfig  ──resolve──▶  Resolved
//!                                                     every fault with its key and line
//! ```

mod coerce;
mod default_file;
mod describe;
mod fault;
mod layers;
mod locate;
mod mask;
mod path;
pub mod raw;
mod reference;
mod resolve;
mod resolved;
mod schema;
mod suggest;
mod walk;

pub use self::{
    default_file::default_file,
    fault::{ConfigErrors, Fault},
    layers::{DEFAULT_TOML, ENV_PREFIX, Sources},
    mask::{effective, effective_json},
    raw::RawConfig,
    reference::reference,
    resolved::{Auth, CorsOrigins, Http, Resolved, Tls, Upstream, UpstreamOptions, Webhook},
};
use self::{fault::Found, path::KeyPath, schema::Schema};

/// Reads and checks a configuration. Opens files, no sockets; call it again to re-read everything.
///
/// # Errors
/// All that is wrong, each fault with its key, what to do, and where it has one its file and line.
pub fn load(sources: &Sources) -> Result<Resolved, ConfigErrors> {
    let schema = Schema::new();
    let mut merged = layers::merge(sources, &schema)?;
    let walked = walk::walk(&schema, &mut merged.tree, &sources.env);
    let mut found = walked.found;
    let resolved = match serde_path_to_error::deserialize::<_, RawConfig>(&merged.tree) {
        Ok(raw) => resolve::resolve(raw, walked.damaged),
        // What the schema cannot say, a section's own `Deserialize` does.
        Err(error) => {
            let at = KeyPath::parse(&error.path().to_string()).unwrap_or_default();
            let problem = error.inner().to_string();
            Err(if found.is_empty() {
                vec![Found::new(at, problem, "see `ratatosk config --defaults`")]
            } else {
                vec![]
            })
        }
    };
    match resolved {
        Ok(resolved) if found.is_empty() && merged.faults.is_empty() => Ok(resolved),
        Ok(_) => Err(errors(merged.faults, found, &merged.origins)),
        Err(meaning) => {
            found.extend(meaning);
            Err(errors(merged.faults, found, &merged.origins))
        }
    }
}

/// Reads the certificates of a section again.
///
/// # Errors
/// All that is wrong with them.
pub(crate) fn load_tls(section: &raw::TlsSection) -> Result<Tls, ConfigErrors> {
    resolve::tls_again(section).map_err(|found| errors(Vec::new(), found, &layers::Origins::default()))
}

/// Checks one more upstream beside those that run, as an entry of a file that held them all would be checked.
///
/// # Errors
/// All that is wrong with it.
pub fn load_upstream(section: serde_json::Value, beside: &[Upstream]) -> Result<Upstream, ConfigErrors> {
    let schema = Schema::new();
    let origins = layers::Origins::default();
    let mut tree = serde_json::json!({ "upstreams": [section] });
    let walked = walk::walk(&schema, &mut tree, &[]);
    if !walked.found.is_empty() {
        return Err(errors(Vec::new(), walked.found, &origins));
    }
    let lowered = match serde_path_to_error::deserialize::<_, RawConfig>(&tree) {
        Ok(raw) => match raw.upstreams.into_iter().next() {
            Some(section) => {
                let beside = beside.iter().map(|upstream| upstream.section.clone()).collect();
                resolve::upstream_beside(beside, section, walked.damaged)
            }
            None => Err(vec![Found::new(KeyPath::default(), "this is no upstream", "")]),
        },
        Err(error) => {
            let at = KeyPath::parse(&error.path().to_string()).unwrap_or_default();
            Err(vec![Found::new(at, error.inner().to_string(), "")])
        }
    };
    lowered.map_err(|found| errors(Vec::new(), found, &origins))
}

fn errors(mut faults: Vec<Fault>, found: Vec<Found>, origins: &layers::Origins) -> ConfigErrors {
    faults.extend(found.into_iter().map(|found| Fault {
        origin: origins.of(&found.path),
        key: found.path.to_string(),
        problem: found.problem,
        advice: found.advice,
    }));
    ConfigErrors { faults }
}

/// The JSON Schema of a configuration file, for editors.
#[must_use]
pub fn json_schema() -> serde_json::Value {
    Schema::new().root().clone()
}
