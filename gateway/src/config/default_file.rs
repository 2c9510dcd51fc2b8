//! The commented default file, from the schema and the defaults of the sections.
//!
//! Comments begin with `# `. A key that has no default is there all the same, behind a `#` without a space.

use std::fmt::Write as _;

use ratatosk_pusher::config::DEMO_SECRET;
use serde_json::Value;

use super::{
    RawConfig,
    describe::{Described, default_of, example, inline, is_empty},
    reference::{common_keys, keys},
    schema::{Schema, Shape, Table},
};

const INTRODUCTION: &str = "\
# The defaults of Ratatosk. A file needs only what it changes; `ratatosk check --config FILE` says what is wrong in it.
# Keys behind a `#` without a space have no default. Made from the code; a test compares it.
";
const WIDTH: usize = 100;

/// The text of `default.toml` as it should be.
///
/// # Errors
/// A section's defaults cannot be serialised; none of ours is like that.
pub fn default_file() -> Result<String, serde_json::Error> {
    let schema = Schema::new();
    let mut defaults = serde_json::to_value(RawConfig::default())?;
    // This secret is public and has to be in the file; all others mask themselves.
    if let Some(secret) = defaults.pointer_mut("/pusher/apps/0/secret") {
        *secret = Value::from(DEMO_SECRET);
    }
    let mut file = File { schema: &schema, text: INTRODUCTION.to_owned() };
    if let Shape::Table(table) = schema.shape(schema.root()) {
        for key in keys(&schema, &table) {
            file.section(&key, key.name, defaults.get(key.name).filter(|value| !value.is_null()));
        }
    }
    Ok(file.text)
}

/// Where an upstream of a kind could be.
fn example_url(kind: &str) -> &'static str {
    match kind {
        "sse" => "sse+http://127.0.0.1:8080/sse",
        "bayeux" => "bayeux+http://127.0.0.1:8080/bayeux",
        "pusher" => "pusher+ws://127.0.0.1:6001/app/demo-key",
        _ => "mqtt://127.0.0.1:1883",
    }
}

struct File<'a> {
    schema: &'a Schema,
    text: String,
}

impl<'a> File<'a> {
    /// A table or an array of tables; without a value all its lines are behind a `#`.
    fn section(&mut self, key: &Described<'a>, path: &str, value: Option<&Value>) {
        self.text.push('\n');
        self.comment(&key.about);
        match &key.shape {
            Shape::Table(table) => {
                self.line(value.is_some(), &format!("[{path}]"));
                self.table(table, path, value, &[]);
            }
            Shape::Array(items) => {
                let elements = value.and_then(Value::as_array).filter(|elements| !elements.is_empty());
                match (elements, self.schema.shape(items)) {
                    (Some(elements), Shape::Table(table)) => {
                        for element in elements {
                            self.line(true, &format!("[[{path}]]"));
                            self.element(&table, Some(element), &[]);
                        }
                    }
                    (None, Shape::Table(table)) => {
                        self.line(false, &format!("[[{path}]]"));
                        self.element(&table, None, &[]);
                    }
                    (_, Shape::Tagged { tag, branches }) => self.tagged(tag, &branches, path),
                    _ => {}
                }
            }
            _ => {}
        }
    }

    /// The plain keys, then the tables inside.
    fn table(&mut self, table: &Table<'a>, path: &str, value: Option<&Value>, except: &[&str]) {
        let keys: Vec<_> = keys(self.schema, table).filter(|key| !except.contains(&key.name)).collect();
        let (inner, plain): (Vec<_>, Vec<_>) = keys.into_iter().partition(|key| key.has_header(self.schema));
        for key in &plain {
            self.key(key, value);
        }
        for key in &inner {
            let inner_value = value.and_then(|value| value.get(key.name)).filter(|value| !value.is_null());
            self.section(key, &format!("{path}.{}", key.name), inner_value);
        }
    }

    /// An element of an array of tables: tables inside are written in one line.
    fn element(&mut self, table: &Table<'a>, value: Option<&Value>, except: &[&str]) {
        for key in keys(self.schema, table).filter(|key| !except.contains(&key.name)) {
            self.key(&key, value);
        }
    }

    /// One example for each kind; what all kinds share is explained in the first.
    fn tagged(&mut self, tag: &str, branches: &[(&'a str, Table<'a>)], path: &str) {
        let Some((_, first)) = branches.first() else { return };
        let common = common_keys(branches, first);
        for (index, (word, table)) in branches.iter().enumerate() {
            if index > 0 {
                self.text.push('\n');
            }
            self.line(false, &format!("[[{path}]]"));
            self.line(false, &format!("{tag} = \"{word}\""));
            for key in keys(self.schema, table).filter(|key| key.name != tag) {
                if key.name == "url" {
                    if index == 0 {
                        self.comment(&key.about);
                    }
                    self.line(false, &format!("url = \"{}\"", example_url(word)));
                } else if index == 0 || !common.contains(&key.name) {
                    self.key(&key, None);
                } else if key.required || key.name == "in" {
                    self.line(false, &format!("{} = {}", key.name, inline(&example(self.schema, &key))));
                }
            }
        }
    }

    fn key(&mut self, key: &Described<'a>, table: Option<&Value>) {
        self.comment(&key.about);
        for (word, about) in &key.words {
            self.comment(&format!("  \"{word}\": {about}"));
        }
        let value = table.and_then(|table| table.get(key.name)).filter(|value| !value.is_null());
        let shown = match (value, default_of(key)) {
            (Some(value), _) => inline(value),
            (None, Some(default)) if !is_empty(default) => inline(default),
            _ => inline(&example(self.schema, key)),
        };
        self.line(value.is_some(), &format!("{} = {shown}", key.name));
    }

    fn line(&mut self, in_force: bool, line: &str) {
        let _ = writeln!(self.text, "{}{line}", if in_force { "" } else { "#" });
    }

    /// Comment lines of at most [`WIDTH`] characters.
    fn comment(&mut self, text: &str) {
        let indent: String = text.chars().take_while(|letter| *letter == ' ').collect();
        let mut line = String::new();
        for word in text.split_whitespace() {
            if !line.is_empty() && line.chars().count() + word.chars().count() >= WIDTH {
                let _ = writeln!(self.text, "# {indent}{line}");
                line.clear();
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        if !line.is_empty() {
            let _ = writeln!(self.text, "# {indent}{line}");
        }
    }
}
