//! What the schema says about a key, in words: shared by the reference page and the default file.

use serde_json::Value;

use super::schema::{Schema, Shape, Table};

/// One key, ready to be written about.
pub(super) struct Described<'a> {
    /// Its name.
    pub(super) name: &'a str,
    /// Its schema.
    pub(super) node: &'a Value,
    /// What it may look like.
    pub(super) shape: Shape<'a>,
    /// Its doc comment, in one line.
    pub(super) about: String,
    /// The meaning of each word it may be, where they have one.
    pub(super) words: Vec<(&'a str, String)>,
    /// Whether it has to be there.
    pub(super) required: bool,
}

impl Described<'_> {
    /// Whether it is a table or an array of tables, which TOML writes under a header of its own.
    pub(super) fn has_header(&self, schema: &Schema) -> bool {
        match &self.shape {
            Shape::Table(table) => table.rest.is_none(),
            Shape::Array(items) => matches!(schema.shape(items), Shape::Table(_) | Shape::Tagged { .. }),
            _ => false,
        }
    }
}

/// Describes a key.
pub(super) fn describe<'a>(schema: &'a Schema, name: &'a str, node: &'a Value, required: bool) -> Described<'a> {
    let shape = schema.shape(node);
    let mut about = text(node.get("description"));
    if about.is_empty() {
        about = text(schema.follow(node).get("description"));
    }
    Described { name, node, shape, about, words: words(schema, node), required }
}

/// A value to show for a key that has no default.
pub(super) fn example(schema: &Schema, key: &Described<'_>) -> Value {
    let given = [key.node, schema.follow(key.node)]
        .into_iter()
        .find_map(|node| node.get("examples")?.as_array()?.first().cloned());
    if let Some(value) = given {
        return value;
    }
    match &key.shape {
        Shape::Choice(words) => words.first().copied().into(),
        Shape::Boolean => Value::from(false),
        Shape::Integer { least, .. } => Value::from((*least).max(0)),
        Shape::Number => Value::from(0),
        Shape::Size => Value::from("64 KiB"),
        Shape::Array(_) => Value::Array(Vec::new()),
        Shape::Table(table) => table_example(schema, table),
        Shape::Tagged { .. } => Value::Object(serde_json::Map::new()),
        Shape::Text(Some("file")) => Value::from(format!("/etc/ratatosk/{}.pem", key.name)),
        Shape::Text(_) | Shape::Secret | Shape::Any => Value::from("..."),
    }
}

/// The keys of a table that have a default or have to be there; if there are none, all.
fn table_example(schema: &Schema, table: &Table<'_>) -> Value {
    let keys: Vec<_> =
        table.keys.iter().map(|(name, node)| describe(schema, name, node, table.required.contains(name))).collect();
    let value = |key: &Described<'_>| default_of(key).cloned().unwrap_or_else(|| example(schema, key));
    let entry = |key: &Described<'_>| (key.name.to_owned(), value(key));
    let told: serde_json::Map<_, _> =
        keys.iter().filter(|key| key.required || default_of(key).is_some()).map(entry).collect();
    Value::Object(if told.is_empty() { keys.iter().map(entry).collect() } else { told })
}

/// Whether a value says nothing: no element, or a table without a value.
pub(super) fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(elements) => elements.is_empty(),
        Value::Object(map) => map.values().all(is_empty),
        _ => false,
    }
}

/// The default that the schema names, if it is more than "none".
pub(super) fn default_of<'a>(key: &Described<'a>) -> Option<&'a Value> {
    key.node.get("default").filter(|value| !value.is_null())
}

/// A value as it stands after a `=` in TOML.
pub(super) fn inline(value: &Value) -> String {
    match value {
        Value::String(text) => toml_edit::Value::from(text.as_str()).to_string(),
        Value::Array(elements) => format!("[{}]", elements.iter().map(inline).collect::<Vec<_>>().join(", ")),
        Value::Object(map) => {
            let entries = map.iter().filter(|(_, value)| !value.is_null());
            let entries: Vec<_> = entries.map(|(key, value)| format!("{key} = {}", inline(value))).collect();
            if entries.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", entries.join(", ")) }
        }
        Value::Null => "\"\"".to_owned(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

/// The description of every word of a choice.
fn words<'a>(schema: &'a Schema, node: &'a Value) -> Vec<(&'a str, String)> {
    let target = schema.follow(node);
    let branches = ["oneOf", "anyOf"].iter().find_map(|key| target.get(key)?.as_array());
    branches
        .into_iter()
        .flatten()
        .flat_map(|branch| match branch.get("const").and_then(Value::as_str) {
            Some(word) => vec![(word, text(branch.get("description")))],
            None if branch.get("$ref").is_some() => words(schema, branch),
            None => Vec::new(),
        })
        .filter(|(_, about)| !about.is_empty())
        .collect()
}

fn text(node: Option<&Value>) -> String {
    let text = node.and_then(Value::as_str).unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
