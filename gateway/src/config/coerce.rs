//! Texts from the environment and from `--set`, given the type that their key has.

use serde_json::Value;

use super::{
    path::KeyPath,
    schema::{Schema, Shape},
};

/// Where a text comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coerce {
    /// A variable: text keys take it as it is.
    Environment,
    /// An argument: text keys also take a TOML string, in its quotes.
    Argument,
}

/// The value that a text stands for at a key. What does not fit stays a string, and is then found to be wrong.
pub(super) fn coerce(schema: &Schema, path: &KeyPath, text: &str, from: Coerce) -> Value {
    let toml = || toml_value(text);
    match schema.at(path).map(|node| schema.shape(node)) {
        Some(Shape::Text(_) | Shape::Choice(_) | Shape::Size) => match toml() {
            Some(value @ Value::String(_)) if from == Coerce::Argument => value,
            _ => Value::from(text),
        },
        // A password may look like anything; only a table can mean something else.
        Some(Shape::Secret) => match toml() {
            Some(value @ Value::Object(_)) => value,
            Some(value @ Value::String(_)) if from == Coerce::Argument => value,
            _ => Value::from(text),
        },
        Some(Shape::Array(items)) if !text.starts_with('[') && holds_text(schema, items) => {
            text.split(',').map(|element| Value::from(element.trim())).collect()
        }
        _ => toml().unwrap_or_else(|| Value::from(text)),
    }
}

fn holds_text(schema: &Schema, items: &Value) -> bool {
    matches!(schema.shape(items), Shape::Text(_) | Shape::Choice(_))
}

fn toml_value(text: &str) -> Option<Value> {
    text.parse::<toml::Value>().ok().map(from_toml)
}

fn from_toml(value: toml::Value) -> Value {
    match value {
        toml::Value::String(text) => Value::from(text),
        toml::Value::Integer(number) => Value::from(number),
        toml::Value::Float(number) => Value::from(number),
        toml::Value::Boolean(flag) => Value::from(flag),
        toml::Value::Datetime(time) => Value::from(time.to_string()),
        toml::Value::Array(elements) => elements.into_iter().map(from_toml).collect(),
        toml::Value::Table(table) => table.into_iter().map(|(key, value)| (key, from_toml(value))).collect(),
    }
}
