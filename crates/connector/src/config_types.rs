//! The value types that configuration sections are made of, shared by every connector.
//!
//! Each type reads one spelling people use (`"15s"`, `"64 KiB"`, `"127.0.0.1:1883"`), writes it back the
//! same way, and carries an `x-type` in its JSON Schema. Before a configuration is deserialised, the
//! gateway walks it along that schema and reports every text that [`check`] refuses with its key and
//! line, so a section can use these types and need not think about messages.

mod duration;
mod listen;
mod names;
mod rate;
mod secret;
mod size;
mod upstream;
mod url;

pub use self::{
    duration::Duration,
    listen::Listen,
    names::{ChannelValue, FilterValue},
    rate::Rate,
    secret::Secret,
    size::Size,
    upstream::{BridgeRuleConfig, BufferConfig, BufferPolicy, ClientTlsConfig, UpstreamConfig, UpstreamMode},
    url::{UrlText, UrlValue, masked},
};

/// The schema key that names a value type to [`check`].
pub const TYPE_KEY: &str = "x-type";

/// What is wrong with a value, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}; {advice}")]
pub struct ValueError {
    /// What is wrong, for example `"15x" is not a duration`.
    pub problem: String,
    /// What to do, for example `write a number and a unit, such as "15s"`.
    pub advice: String,
}

impl ValueError {
    /// An error with its advice.
    pub fn new(problem: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { problem: problem.into(), advice: advice.into() }
    }
}

/// Checks a text against the value type that a schema's [`TYPE_KEY`] names. Types without a syntax
/// of their own (secrets, files) and unknown names accept every text.
///
/// # Errors
/// The text is not a value of that type.
pub fn check(type_name: &str, text: &str) -> Result<(), ValueError> {
    match type_name {
        Duration::TYPE => text.parse::<Duration>().map(drop),
        Size::TYPE => text.parse::<Size>().map(drop),
        Listen::TYPE => text.parse::<Listen>().map(drop),
        FilterValue::TYPE => text.parse::<FilterValue>().map(drop),
        ChannelValue::TYPE => text.parse::<ChannelValue>().map(drop),
        UrlValue::TYPE => text.parse::<UrlValue>().map(drop),
        Rate::TYPE => text.parse::<Rate>().map(drop),
        _ => Ok(()),
    }
}

/// What a value type wants, for "expected ..." in a message: `"a duration such as \"15s\""`.
#[must_use]
pub fn expectation(type_name: &str) -> &'static str {
    match type_name {
        Duration::TYPE => "a duration such as \"15s\"",
        Size::TYPE => "a size such as \"64 KiB\"",
        Listen::TYPE => "an address such as \"127.0.0.1:8080\", or \"off\"",
        FilterValue::TYPE => "a channel filter such as \"sensors/#\"",
        ChannelValue::TYPE => "a channel name such as \"sensors/kitchen\"",
        UrlValue::TYPE => "a URL such as \"mqtt://127.0.0.1:1883\"",
        Rate::TYPE => "a rate such as \"100/s\"",
        Secret::TYPE => "a string, { file = \"...\" } or { env = \"...\" }",
        _ => "a string",
    }
}

/// Serde and schema for a type that is written as a string and has `FromStr` and `Display`.
macro_rules! text_value {
    ($name:ident, $type_name:literal, $description:literal, $example:literal) => {
        impl $name {
            /// The name of this type in a schema's `x-type`.
            pub const TYPE: &'static str = $type_name;
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Display::fmt(self, f)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <String as serde::Deserialize>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }

        impl schemars::JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({
                    "type": "string",
                    "description": $description,
                    "examples": [$example],
                    "x-type": $type_name,
                })
            }
        }
    };
}
use text_value;
