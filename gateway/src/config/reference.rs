//! The reference page of all keys, from the schema.

use std::fmt::Write as _;

use serde_json::Value;

use super::{
    describe::{Described, default_of, describe, inline},
    schema::{Schema, Shape, Table},
    walk::expectation,
};

const INTRODUCTION: &str = "\
# Configuration reference

<!-- Made from the code by `ratatosk config --reference`; a test compares it. Change the doc comments, not this page. -->

Layers, the later one wins: built-in defaults (`ratatosk config --defaults` prints them with comments), a file
(`--config FILE`: TOML, or YAML and JSON by extension), environment variables, `--set` arguments.

| layer | `http.listen` | an element of an array |
| --- | --- | --- |
| file | `[http]`, then `listen = \"127.0.0.1:9000\"` | `[[upstreams]]`, then `url = \"mqtt://broker\"` |
| environment | `RATATOSK__HTTP__LISTEN=127.0.0.1:9000` | `RATATOSK__UPSTREAMS__0__URL=mqtt://broker` |
| argument | `--set http.listen=127.0.0.1:9000` | `--set 'upstreams[0].url=mqtt://broker'` |

An array in a later layer replaces the earlier one as a whole, a table is merged. Arguments and variables may hold
any TOML value (`--set 'http.cors_origins=[\"https://example.org\"]'`); a variable that is empty counts as not set.
Relative file names start at the working directory. `ratatosk check` finds all faults, each with its key, its line and
what to do. `ratatosk config` shows what is in force, without secrets. `ratatosk config --schema` prints a JSON Schema
for editors.

Durations are strings with a unit (`\"250ms\"`, `\"15s\"`, `\"1m 30s\"`), sizes too (`\"64 KiB\"`, `\"4 MiB\"`) or plain
bytes. A secret is a string, `{ file = \"/run/secrets/x\" }` or `{ env = \"NAME\" }`.
";

/// All keys as a page of Markdown.
#[must_use]
pub fn reference() -> String {
    let schema = Schema::new();
    let mut page = Page { schema: &schema, text: INTRODUCTION.to_owned() };
    if let Shape::Table(table) = schema.shape(schema.root()) {
        for key in keys(&schema, &table) {
            page.section(&key, key.name, 2);
        }
    }
    page.text
}

struct Page<'a> {
    schema: &'a Schema,
    text: String,
}

impl<'a> Page<'a> {
    fn section(&mut self, key: &Described<'a>, path: &str, depth: usize) {
        match &key.shape {
            Shape::Table(table) => {
                self.head(depth, &format!("[{path}]"), &key.about);
                self.table(table, path, depth, &[]);
            }
            Shape::Array(items) => self.array(key, items, path, depth),
            _ => {}
        }
    }

    fn array(&mut self, key: &Described<'a>, items: &'a Value, path: &str, depth: usize) {
        self.head(depth, &format!("[[{path}]]"), &key.about);
        match self.schema.shape(items) {
            Shape::Table(table) => self.table(&table, path, depth, &[]),
            Shape::Tagged { tag, branches } => self.tagged(tag, &branches, path, depth),
            _ => {}
        }
    }

    /// The keys that all branches have, then those that only one has.
    fn tagged(&mut self, tag: &str, branches: &[(&'a str, Table<'a>)], path: &str, depth: usize) {
        let Some((_, first)) = branches.first() else { return };
        let common = common_keys(branches, first);
        let own: Vec<&str> = first.keys.iter().map(|(name, _)| *name).filter(|name| !common.contains(name)).collect();
        self.table(first, path, depth, &own);
        for (word, table) in branches {
            self.head(depth + 1, &format!("[[{path}]] {tag} = \"{word}\""), "");
            self.table(table, path, depth + 1, &common);
        }
    }

    /// The rows of a table, then the tables inside it. Keys in `except` are left out.
    fn table(&mut self, table: &Table<'a>, path: &str, depth: usize, except: &[&str]) {
        let keys: Vec<_> = keys(self.schema, table).filter(|key| !except.contains(&key.name)).collect();
        let (inner, rows): (Vec<_>, Vec<_>) = keys.into_iter().partition(|key| key.has_header(self.schema));
        if !rows.is_empty() {
            self.text.push_str("\n| key | value | default | meaning |\n| --- | --- | --- | --- |\n");
        }
        for key in &rows {
            let default = default_of(key).map(|value| format!("`{}`", inline(value)));
            let default = default.unwrap_or_else(|| if key.required { "required" } else { "none" }.to_owned());
            let words: String = key.words.iter().map(|(word, about)| format!(" `\"{word}\"`: {about}")).collect();
            let row = format!("`{}` | {} | {default} | {}{words}", key.name, self.value(&key.shape), key.about);
            let _ = writeln!(self.text, "| {row} |");
        }
        for key in &inner {
            self.section(key, &format!("{path}.{}", key.name), depth + 1);
        }
    }

    /// What a key may be. Arrays say of what, and words have their meaning beside them.
    fn value(&self, shape: &Shape<'a>) -> String {
        match shape {
            Shape::Array(items) => format!("an array, each element {}", expectation(&self.schema.shape(items))),
            Shape::Choice(words) if words.len() > 4 => {
                words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
            }
            Shape::Table(table) => match table.rest {
                Some(rest) => format!("a table, each value {}", expectation(&self.schema.shape(rest))),
                None => "a table".to_owned(),
            },
            shape => expectation(shape),
        }
    }

    fn head(&mut self, depth: usize, title: &str, about: &str) {
        let _ = writeln!(self.text, "\n{} `{title}`", "#".repeat(depth));
        if !about.is_empty() {
            let _ = writeln!(self.text, "\n{about}");
        }
    }
}

/// The names that every branch of a tagged table knows with the same schema.
pub(super) fn common_keys<'a>(branches: &[(&'a str, Table<'a>)], first: &Table<'a>) -> Vec<&'a str> {
    let same = |name: &str, node: &Value| branches.iter().all(|(_, table)| table.get(name) == Some(node));
    first.keys.iter().filter(|(name, node)| same(name, node)).map(|(name, _)| *name).collect()
}

/// The keys of a table, described, in the order they are declared.
pub(super) fn keys<'a>(schema: &'a Schema, table: &Table<'a>) -> impl Iterator<Item = Described<'a>> {
    table.keys.iter().map(|(name, node)| describe(schema, name, node, table.required.contains(name)))
}
