//! The JSON Schema of the configuration, seen as the shapes a value may have.
//!
//! Every check before deserialising (types, unknown keys, the typing of environment variables) and the
//! reference page read this view, so a key that a protocol adds to its section is covered everywhere.

use ratatosk_connector::config_types::{Secret, Size, TYPE_KEY};
use serde_json::Value;

use super::{
    path::{KeyPath, Step},
    raw::RawConfig,
};

/// The schema as a document.
pub(super) struct Schema {
    root: Value,
}

/// What a value may look like.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Shape<'a> {
    /// A table with known keys; `rest` is the schema of the others where any key may appear.
    Table(Table<'a>),
    /// A table whose other keys depend on the value of `tag`.
    Tagged { tag: &'a str, branches: Vec<(&'a str, Table<'a>)> },
    /// An array of one kind of element.
    Array(&'a Value),
    /// A string, perhaps with a syntax of its own.
    Text(Option<&'a str>),
    /// A string, or a table that says where to read it.
    Secret,
    /// A string or a number of bytes.
    Size,
    /// One of these strings.
    Choice(Vec<&'a str>),
    /// A whole number with its bounds.
    Integer { least: i64, most: Option<i64> },
    /// Any number.
    Number,
    /// `true` or `false`.
    Boolean,
    /// Anything.
    Any,
}

/// The keys of a table.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Table<'a> {
    pub(super) keys: Vec<(&'a str, &'a Value)>,
    pub(super) required: Vec<&'a str>,
    pub(super) rest: Option<&'a Value>,
}

impl<'a> Table<'a> {
    pub(super) fn get(&self, key: &str) -> Option<&'a Value> {
        self.keys.iter().find(|(name, _)| *name == key).map(|(_, node)| *node).or(self.rest)
    }
}

impl Schema {
    /// The schema of [`RawConfig`].
    pub(super) fn new() -> Self {
        Self { root: schemars::schema_for!(RawConfig).into() }
    }

    /// The whole document.
    pub(super) fn root(&self) -> &Value {
        &self.root
    }

    /// The shape that a node of the schema describes. `null` branches (optional keys) are left out.
    pub(super) fn shape<'a>(&'a self, node: &'a Value) -> Shape<'a> {
        let target = self.follow(node);
        let own_type = [node, target].into_iter().find_map(|at| at.get(TYPE_KEY)?.as_str());
        match own_type {
            Some(Secret::TYPE) => return Shape::Secret,
            Some(Size::TYPE) => return Shape::Size,
            Some(name) => return Shape::Text(Some(name)),
            None => {}
        }
        if let Some(branches) = ["oneOf", "anyOf"].iter().find_map(|key| target.get(key)?.as_array()) {
            return self.alternatives(branches);
        }
        if let Some(choices) = choices(target) {
            return Shape::Choice(choices);
        }
        self.plain(node, target)
    }

    fn plain<'a>(&'a self, node: &'a Value, target: &'a Value) -> Shape<'a> {
        match type_of(target) {
            Some("object") => Shape::Table(self.table(node)),
            Some("array") => target.get("items").map_or(Shape::Any, Shape::Array),
            Some("string") => Shape::Text(None),
            Some("boolean") => Shape::Boolean,
            Some("number") => Shape::Number,
            Some("integer") => Shape::Integer {
                least: target.get("minimum").and_then(Value::as_i64).unwrap_or(i64::MIN),
                most: target.get("maximum").and_then(Value::as_i64),
            },
            _ => Shape::Any,
        }
    }

    fn alternatives<'a>(&'a self, branches: &'a [Value]) -> Shape<'a> {
        let real: Vec<&Value> = branches.iter().filter(|branch| type_of(branch) != Some("null")).collect();
        if let [only] = real.as_slice() {
            return self.shape(only);
        }
        let words: Vec<&str> = real.iter().filter_map(|branch| choices(branch)).flatten().collect();
        if !words.is_empty() {
            return Shape::Choice(words);
        }
        let tagged: Vec<(&str, &str, Table<'a>)> = real
            .iter()
            .filter_map(|branch| {
                let table = self.table(branch);
                let (tag, word) =
                    table.keys.iter().find_map(|(key, node)| Some((*key, node.get("const")?.as_str()?)))?;
                Some((tag, word, table))
            })
            .collect();
        match tagged.first() {
            Some(&(tag, ..)) if tagged.len() == real.len() => {
                Shape::Tagged { tag, branches: tagged.into_iter().map(|(_, word, table)| (word, table)).collect() }
            }
            _ => Shape::Any,
        }
    }

    /// The keys of a node, of what it refers to, and of what it is composed of.
    fn table<'a>(&'a self, node: &'a Value) -> Table<'a> {
        let mut table = Table::default();
        let target = self.follow(node);
        let parts = [Some(node), (!std::ptr::eq(node, target)).then_some(target)].into_iter().flatten();
        for part in parts.clone() {
            table.keys.extend(entries(part, "properties"));
            table.required.extend(strings(part, "required"));
            if let Some(rest @ Value::Object(_)) = part.get("additionalProperties") {
                table.rest = Some(rest);
            }
        }
        for part in parts.filter_map(|part| part.get("allOf")?.as_array()).flatten() {
            let inner = self.table(part);
            table.keys.extend(inner.keys);
            table.required.extend(inner.required);
            table.rest = table.rest.or(inner.rest);
        }
        table
    }

    /// The node that a reference leads to.
    pub(super) fn follow<'a>(&'a self, mut node: &'a Value) -> &'a Value {
        // A schema that refers in a circle would be a fault of ours; the bound keeps it from hanging.
        for _ in 0..16 {
            let Some(target) = node
                .get("$ref")
                .and_then(Value::as_str)
                .and_then(|reference| self.root.pointer(reference.trim_start_matches('#')))
            else {
                return node;
            };
            node = target;
        }
        node
    }

    /// The schema of the value at a path, if the path is known. In a tagged table any branch may know it.
    pub(super) fn at<'a>(&'a self, path: &KeyPath) -> Option<&'a Value> {
        let mut node = &self.root;
        for step in &path.0 {
            node = match (step, self.shape(node)) {
                (Step::Key(key), Shape::Table(table)) => table.get(key)?,
                (Step::Key(key), Shape::Tagged { branches, .. }) => {
                    branches.iter().find_map(|(_, table)| table.get(key))?
                }
                (Step::Index(_), Shape::Array(items)) => items,
                _ => return None,
            };
        }
        Some(node)
    }
}

/// The type a node names, `null` aside.
fn type_of(node: &Value) -> Option<&str> {
    match node.get("type")? {
        Value::String(name) => Some(name),
        Value::Array(names) => names.iter().filter_map(Value::as_str).find(|name| *name != "null"),
        _ => None,
    }
}

/// The words of an `enum` or `const` of strings.
fn choices(node: &Value) -> Option<Vec<&str>> {
    if let Some(word) = node.get("const") {
        return word.as_str().map(|word| vec![word]);
    }
    Some(strings(node, "enum").collect()).filter(|words: &Vec<_>| !words.is_empty())
}

fn entries<'a>(node: &'a Value, key: &str) -> impl Iterator<Item = (&'a str, &'a Value)> {
    node.get(key).and_then(Value::as_object).into_iter().flatten().map(|(name, value)| (name.as_str(), value))
}

fn strings<'a>(node: &'a Value, key: &str) -> impl Iterator<Item = &'a str> {
    node.get(key).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}
