//! The effective configuration, as it may be shown.

use serde_json::Value;

use super::Resolved;

/// Key names whose values are never shown, whatever their type says.
const SECRET_KEYS: [&str; 5] = ["password", "secret", "token", "_key", "authorization"];

/// The configuration in force as TOML, with every secret masked.
///
/// # Errors
/// A section cannot be written as TOML; none of ours is like that.
pub fn effective(resolved: &Resolved) -> Result<String, toml::ser::Error> {
    toml::to_string_pretty(&effective_json(resolved))
}

/// The same as JSON.
#[must_use]
pub fn effective_json(resolved: &Resolved) -> Value {
    // Secrets and URLs mask themselves while they are serialised; this is the second lock on that door. A section that
    // could not be written as JSON would be a fault of its type; none of ours is like that.
    let mut tree = serde_json::to_value(resolved.raw.as_ref()).unwrap_or_default();
    tidy(&mut tree);
    tree
}

/// Masks by name, and takes out keys without a value, which TOML cannot write.
fn tidy(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, value| !value.is_null());
            for (key, value) in map.iter_mut() {
                let lower = key.to_ascii_lowercase();
                let secret = SECRET_KEYS.iter().any(|name| lower == *name || lower.ends_with(name));
                match value {
                    Value::String(text) if secret => "***".clone_into(text),
                    other => tidy(other),
                }
            }
        }
        Value::Array(elements) => elements.iter_mut().for_each(tidy),
        _ => {}
    }
}
