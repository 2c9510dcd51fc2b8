//! Values that are used and never shown.

use std::{borrow::Cow, fmt};

/// A password, key or token. `Debug`, `Display` and `Serialize` write `***`; only [`Secret::expose`]
/// gives the text.
///
/// In a configuration it is a string, `{ file = "/run/secrets/x" }` or `{ env = "NAME" }`; the gateway
/// reads the latter two before it deserialises, so this type only ever sees a string.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret(String);

impl Secret {
    /// What stands in place of a secret wherever one would be printed.
    pub const MASK: &'static str = "***";
    /// The name of this type in a schema's `x-type`.
    pub const TYPE: &'static str = "secret";

    /// Takes a secret text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one place that needs it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::MASK)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::MASK)
    }
}

impl serde::Serialize for Secret {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(Self::MASK)
    }
}

impl<'de> serde::Deserialize<'de> for Secret {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self)
    }
}

impl schemars::JsonSchema for Secret {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let source = |name: &str| {
            serde_json::json!({
                "type": "object",
                "properties": { (name): { "type": "string" } },
                "required": [name],
                "additionalProperties": false,
            })
        };
        schemars::json_schema!({
            "description": "A secret: the text, `{ file = \"...\" }` to read it from, or `{ env = \"...\" }`, the variable that holds it.",
            "anyOf": [{ "type": "string" }, source("file"), source("env")],
            "x-type": Secret::TYPE,
        })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn never_shows_itself() {
        let secret: Secret = serde_json::from_str("\"hunter2\"").unwrap();
        assert_eq!(secret.expose(), "hunter2");
        let shown = format!("{secret} {secret:?} {}", serde_json::to_string(&secret).unwrap());
        assert_eq!(shown, "*** *** \"***\"");
    }
}
