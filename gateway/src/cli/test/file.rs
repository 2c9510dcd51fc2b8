//! The file with test cases, as it is written.

use std::{collections::BTreeMap, path::Path};

use anyhow::Context as _;
use ratatosk::config::Sources;
use serde::{Deserialize, Deserializer, de::Error as _};
use toml::Value;

/// A file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TestFile {
    /// The configuration: a file, beside this one, or the configuration itself.
    config: Config,
    /// What is tested.
    pub(super) cases: Vec<Case>,
}

#[derive(Debug)]
enum Config {
    File(String),
    Table(toml::Table),
}

/// One case.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Case {
    /// What it shows.
    pub(super) name: String,
    /// The messages that come, in order: one table or several.
    #[serde(deserialize_with = "one_or_many")]
    pub(super) given: Vec<Given>,
    /// All that crosses for them: one table, several, or none.
    #[serde(deserialize_with = "one_or_many")]
    pub(super) expect: Vec<Expected>,
}

/// A message that comes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Given {
    /// The name of the upstream that it comes from; `local` for a client of ours.
    pub(super) from: String,
    /// Its channel: for a message from an upstream, as it is called there.
    pub(super) channel: String,
    /// Its payload: a text as it is, any other value as JSON.
    pub(super) payload: Option<Value>,
    /// The payload in base64, for bytes.
    pub(super) base64: Option<String>,
    #[serde(default)]
    pub(super) retained: bool,
    pub(super) qos: Option<u8>,
    pub(super) event: Option<String>,
    pub(super) content_type: Option<String>,
    #[serde(default)]
    pub(super) properties: BTreeMap<String, String>,
    pub(super) user: Option<String>,
    pub(super) client_id: Option<String>,
}

/// A message that crosses. Where and by which channel is always compared, of the rest what is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Expected {
    /// The name of the upstream that it goes to; `local` for our own channels.
    pub(super) at: String,
    /// Its channel: for a message to an upstream, as it is called there.
    pub(super) channel: String,
    /// Its payload: JSON is compared as JSON, anything else as text.
    pub(super) payload: Option<Value>,
    /// The payload in base64, for bytes.
    pub(super) base64: Option<String>,
    pub(super) retained: Option<bool>,
    pub(super) qos: Option<u8>,
    /// Its event; empty for none.
    pub(super) event: Option<String>,
    /// Properties that it has; an empty text for one that it has not.
    #[serde(default)]
    pub(super) properties: BTreeMap<String, String>,
    /// Of a dead letter: the reason.
    pub(super) reason: Option<String>,
    /// Of a dead letter: a part of the detail.
    pub(super) detail: Option<String>,
}

impl TestFile {
    /// Reads a file.
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        toml::from_str(&text).with_context(|| path.display().to_string())
    }

    /// The configuration that is tested, with nothing from the environment but secrets.
    pub(super) fn sources(&self, path: &Path) -> Sources {
        let env = Sources::new(None, Vec::new()).env;
        let env = env.into_iter().filter(|(name, _)| !name.starts_with(ratatosk::config::ENV_PREFIX)).collect();
        let sources = Sources { env, ..Sources::default() };
        match &self.config {
            Config::File(name) => {
                let beside = path.parent().unwrap_or_else(|| Path::new(""));
                Sources { file: Some(beside.join(name)), ..sources }
            }
            Config::Table(table) => {
                let origin = format!("{}: config", path.display());
                let json = |value: &Value| serde_json::to_value(value).unwrap_or_default();
                let given = table.iter().map(|(key, value)| (key.clone(), json(value), origin.clone()));
                Sources { given: given.collect(), ..sources }
            }
        }
    }
}

impl<'de> Deserialize<'de> for Config {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(name) => Ok(Self::File(name)),
            Value::Table(table) => Ok(Self::Table(table)),
            _ => Err(D::Error::custom("`config` is the name of a file, or a table")),
        }
    }
}

fn one_or_many<'de, T: for<'a> Deserialize<'a>, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    let value = match Value::deserialize(deserializer)? {
        Value::Array(values) => values,
        value => vec![value],
    };
    value.into_iter().map(|value| value.try_into().map_err(D::Error::custom)).collect()
}

/// A payload as it was written.
pub(super) fn payload(value: Option<&Value>, base64: Option<&str>) -> Result<Option<Vec<u8>>, String> {
    use base64::Engine as _;
    match (value, base64) {
        (Some(_), Some(_)) => Err("`payload` and `base64` say the same thing: write one of them".to_owned()),
        (Some(Value::String(text)), None) => Ok(Some(text.clone().into_bytes())),
        (Some(value), None) => serde_json::to_vec(value).map(Some).map_err(|error| error.to_string()),
        (None, Some(text)) => {
            let decoded = base64::engine::general_purpose::STANDARD.decode(text);
            decoded.map(Some).map_err(|error| format!("`base64`: {error}"))
        }
        (None, None) => Ok(None),
    }
}
