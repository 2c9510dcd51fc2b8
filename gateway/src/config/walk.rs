//! The first check: a merged configuration against the schema. It finds every fault, takes what is wrong out of
//! the tree (so that the second check, of meaning, can run on the rest), and reads secrets from where they are.

use std::{collections::BTreeSet, path::Path};

use ratatosk_connector::config_types::{self, Secret, Size, ValueError};
use serde_json::{Map, Value};

use super::{
    fault::Found,
    path::KeyPath,
    schema::{Schema, Shape, Table},
    suggest::nearest,
};

/// What the walk found.
pub(super) struct Walked {
    /// The faults, in the order of the tree.
    pub(super) found: Vec<Found>,
    /// The sections that lost a value; what is said about their meaning could be wrong.
    pub(super) damaged: BTreeSet<String>,
}

/// Checks `tree` and repairs it by removal.
pub(super) fn walk(schema: &Schema, tree: &mut Value, env: &[(String, String)]) -> Walked {
    let mut walker = Walker { schema, env, walked: Walked { found: Vec::new(), damaged: BTreeSet::new() } };
    walker.node(schema.root(), tree, &KeyPath::default());
    walker.walked
}

struct Walker<'a> {
    schema: &'a Schema,
    env: &'a [(String, String)],
    walked: Walked,
}

impl<'a> Walker<'a> {
    /// Whether the value may stay.
    fn node(&mut self, node: &'a Value, value: &mut Value, path: &KeyPath) -> bool {
        match (self.schema.shape(node), &mut *value) {
            (Shape::Table(table), Value::Object(map)) => self.table(&table, map, path),
            (Shape::Tagged { tag, branches }, Value::Object(map)) => self.tagged(tag, &branches, map, path),
            (Shape::Array(items), Value::Array(elements)) => self.array(items, elements, path),
            (Shape::Secret, _) => self.secret(value, path),
            (Shape::Text(Some(name)), Value::String(text)) => {
                let checked = if name == "file" { check_file(text) } else { config_types::check(name, text) };
                self.checked(checked, path)
            }
            (Shape::Size, Value::String(text)) => {
                let checked = config_types::check(Size::TYPE, text);
                self.checked(checked, path)
            }
            (Shape::Size, Value::Number(number)) if number.is_u64() => true,
            (Shape::Choice(words), Value::String(text)) if words.contains(&text.as_str()) => true,
            (Shape::Choice(words), Value::String(text)) => self.wrong_word(&words, text, path),
            (Shape::Integer { least, most }, Value::Number(number)) if number.is_i64() || number.is_u64() => {
                let in_bounds = number.as_i64().is_some_and(|n| n >= least && most.is_none_or(|most| n <= most));
                in_bounds || self.out_of_bounds(number, least, most, path)
            }
            (Shape::Text(None), Value::String(_))
            | (Shape::Number, Value::Number(_))
            | (Shape::Boolean, Value::Bool(_))
            | (Shape::Any, _) => true,
            (shape, value) => self.wrong_type(&shape, value, path),
        }
    }

    fn table(&mut self, table: &Table<'a>, map: &mut Map<String, Value>, path: &KeyPath) -> bool {
        let keys: Vec<String> = map.keys().cloned().collect();
        let mut whole = true;
        for key in &keys {
            let at = path.key(key);
            let keep = match (table.get(key), map.get_mut(key)) {
                (Some(node), Some(value)) => self.node(node, value, &at),
                _ => {
                    self.unknown(table, key, at);
                    map.remove(key);
                    continue;
                }
            };
            if !keep {
                self.walked.damaged.insert(at.section().to_owned());
                map.remove(key);
                whole = whole && !table.required.contains(&key.as_str());
            }
        }
        // What was there and wrong is not missing.
        let missing = table.required.iter().copied().filter(|key| !keys.iter().any(|there| there == key));
        for key in missing {
            let node = table.get(key).unwrap_or(&Value::Null);
            let wants = expectation(&self.schema.shape(node));
            whole = false;
            self.fault(path.key(key), "this key is missing", format!("add it: {wants}"));
        }
        whole
    }

    fn tagged(
        &mut self,
        tag: &'a str,
        branches: &[(&'a str, Table<'a>)],
        map: &mut Map<String, Value>,
        path: &KeyPath,
    ) -> bool {
        let words: Vec<&str> = branches.iter().map(|(word, _)| *word).collect();
        match map.get(tag) {
            Some(Value::String(word)) => match branches.iter().find(|(known, _)| known == word) {
                Some((_, table)) => self.table(table, map, path),
                None => self.wrong_word(&words, &word.clone(), &path.key(tag)),
            },
            Some(other) => {
                let other = other.clone();
                self.wrong_type(&Shape::Choice(words), &other, &path.key(tag))
            }
            None => {
                self.fault(path.key(tag), "this key is missing", format!("add it: {}", one_of(&words)));
                false
            }
        }
    }

    fn array(&mut self, items: &'a Value, elements: &mut Vec<Value>, path: &KeyPath) -> bool {
        let mut index = 0;
        elements.retain_mut(|element| {
            let at = path.index(index);
            index += 1;
            let keep = self.node(items, element, &at);
            if !keep {
                self.walked.damaged.insert(at.section().to_owned());
            }
            keep
        });
        true
    }

    /// Replaces `{ file = ... }` and `{ env = ... }` by what they hold.
    fn secret(&mut self, value: &mut Value, path: &KeyPath) -> bool {
        let read = match &*value {
            // A configuration that `ratatosk config` printed, fed back.
            Value::String(text) if text == Secret::MASK => {
                Err(ValueError::new("this is what stands in place of a secret", "write the secret itself"))
            }
            Value::String(_) => return true,
            Value::Object(map) if map.len() == 1 => {
                match (map.get("file").and_then(Value::as_str), map.get("env").and_then(Value::as_str)) {
                    (Some(file), _) => read_secret(Path::new(file)),
                    (_, Some(name)) => self.secret_from_env(name),
                    _ => return self.wrong_type(&Shape::Secret, value, path),
                }
            }
            _ => return self.wrong_type(&Shape::Secret, value, path),
        };
        match read {
            Ok(text) => {
                *value = Value::String(text);
                true
            }
            Err(error) => self.checked(Err(error), path),
        }
    }

    fn secret_from_env(&self, name: &str) -> Result<String, ValueError> {
        self.env.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone()).ok_or_else(|| {
            ValueError::new(format!("the environment variable {name} is not set"), "set it, or name another")
        })
    }

    fn checked(&mut self, result: Result<(), ValueError>, path: &KeyPath) -> bool {
        match result {
            Ok(()) => true,
            Err(error) => {
                self.walked.found.push(Found::value(path.clone(), error));
                false
            }
        }
    }

    fn wrong_type(&mut self, shape: &Shape<'_>, value: &Value, path: &KeyPath) -> bool {
        let problem = format!("expected {}, got {}", expectation(shape), got(shape, value));
        let advice = match (shape, value) {
            (Shape::Text(Some("duration")), Value::Number(n)) => format!("write the unit too, as in \"{n}s\""),
            (Shape::Text(_) | Shape::Choice(_), Value::Number(_) | Value::Bool(_)) => {
                format!("put it in quotes: \"{value}\"")
            }
            (Shape::Array(_), Value::String(_)) => "put it in brackets: [\"...\"]".to_owned(),
            (Shape::Boolean, _) => "write true or false, without quotes".to_owned(),
            (Shape::Integer { .. } | Shape::Number, Value::String(_)) => "write the number without quotes".to_owned(),
            _ => "write it in that form".to_owned(),
        };
        self.fault(path.clone(), problem, advice);
        false
    }

    fn wrong_word(&mut self, words: &[&str], text: &str, path: &KeyPath) -> bool {
        let advice = match nearest(text, words.iter().copied()) {
            Some(word) => format!("did you mean \"{word}\"? Known: {}", one_of(words)),
            None => format!("write {}", one_of(words)),
        };
        self.fault(path.clone(), format!("{text:?} is not known here"), advice);
        false
    }

    fn out_of_bounds(&mut self, number: &serde_json::Number, least: i64, most: Option<i64>, path: &KeyPath) -> bool {
        let advice = match most {
            Some(most) => format!("write a number from {least} to {most}"),
            None => format!("write a number from {least} up"),
        };
        self.fault(path.clone(), format!("{number} is out of range"), advice);
        false
    }

    fn unknown(&mut self, table: &Table<'a>, key: &str, at: KeyPath) {
        let known = || table.keys.iter().map(|(name, _)| *name);
        let advice = match nearest(key, known()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("known keys here: {}", known().collect::<Vec<_>>().join(", ")),
        };
        self.fault(at, "unknown key", advice);
    }

    fn fault(&mut self, path: KeyPath, problem: impl Into<String>, advice: impl Into<String>) {
        self.walked.found.push(Found::new(path, problem, advice));
    }
}

/// What a shape wants, in words.
pub(super) fn expectation(shape: &Shape<'_>) -> String {
    match shape {
        Shape::Table(_) | Shape::Tagged { .. } => "a table".to_owned(),
        Shape::Array(_) => "an array".to_owned(),
        Shape::Text(Some(name)) => config_types::expectation(name).to_owned(),
        Shape::Text(None) => "a string".to_owned(),
        Shape::Secret => config_types::expectation(Secret::TYPE).to_owned(),
        Shape::Size => config_types::expectation(Size::TYPE).to_owned(),
        Shape::Choice(words) => one_of(words),
        Shape::Integer { .. } => "a whole number".to_owned(),
        Shape::Number => "a number".to_owned(),
        Shape::Boolean => "true or false".to_owned(),
        Shape::Any => "a value".to_owned(),
    }
}

fn got(shape: &Shape<'_>, value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::Array(_) => "an array".to_owned(),
        Value::Object(_) => "a table".to_owned(),
        _ if *shape == Shape::Secret => "something else".to_owned(),
        Value::Bool(flag) => format!("{flag}"),
        Value::Number(number) => format!("the number {number}"),
        Value::String(text) if text.chars().count() <= 60 => format!("the string {text:?}"),
        Value::String(_) => "a long string".to_owned(),
    }
}

fn one_of(words: &[&str]) -> String {
    words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(" or ")
}

fn check_file(text: &str) -> Result<(), ValueError> {
    read_file(Path::new(text)).map(drop)
}

fn read_secret(path: &Path) -> Result<String, ValueError> {
    let bytes = read_file(path)?;
    let text = String::from_utf8(bytes)
        .map_err(|_| ValueError::new(format!("{} is not UTF-8 text", path.display()), "write the secret as text"))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

/// Secrets and PEM files are small; a path that leads to something else is not read to its end.
fn read_file(path: &Path) -> Result<Vec<u8>, ValueError> {
    const LARGEST: u64 = 1 << 20;
    let wrong = |problem: String| {
        ValueError::new(
            format!("cannot read {}: {problem}", path.display()),
            "name a file that exists and that this user may read",
        )
    };
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(|error| wrong(error.to_string()))?;
    let read = std::io::Read::read_to_end(&mut std::io::Read::take(file, LARGEST + 1), &mut bytes);
    read.map_err(|error| wrong(error.to_string()))?;
    if bytes.len() as u64 > LARGEST {
        return Err(wrong("it is larger than 1 MiB".to_owned()));
    }
    Ok(bytes)
}
