//! Where in its file a key stands.

use std::collections::HashMap;

use toml_edit::{Document, Item, TableLike, Value};
use yaml_rust2::{
    Event,
    parser::{MarkedEventReceiver, Parser},
    scanner::Marker,
};

use super::path::{KeyPath, Step};

/// The lines of the keys of a file, from one.
#[derive(Debug, Default)]
pub(super) struct Lines(HashMap<KeyPath, usize>);

impl Lines {
    /// The line of a key; for one that is not there, of the innermost table around it that is.
    pub(super) fn of(&self, path: &KeyPath) -> Option<usize> {
        let mut at = Some(path.clone());
        while let Some(path) = at {
            if let Some(line) = self.0.get(&path) {
                return Some(*line);
            }
            at = path.parent();
        }
        None
    }

    /// The keys of a TOML text.
    pub(super) fn of_toml(text: &str) -> Self {
        let mut lines = Self::default();
        if let Ok(document) = Document::parse(text) {
            let starts = LineStarts::new(text);
            lines.toml_table(document.as_table(), &KeyPath::default(), &starts);
        }
        lines
    }

    fn toml_table(&mut self, table: &dyn TableLike, path: &KeyPath, starts: &LineStarts) {
        for (name, item) in table.iter() {
            let at = path.key(name);
            let span = table.key(name).and_then(toml_edit::Key::span).or_else(|| item.span());
            self.put(&at, span, starts);
            self.toml_item(item, &at, starts);
        }
    }

    fn toml_item(&mut self, item: &Item, path: &KeyPath, starts: &LineStarts) {
        match item {
            Item::Table(table) => self.toml_table(table, path, starts),
            Item::ArrayOfTables(tables) => {
                for (index, table) in tables.iter().enumerate() {
                    let at = path.index(index);
                    self.put(&at, table.span(), starts);
                    self.toml_table(table, &at, starts);
                }
            }
            Item::Value(value) => self.toml_value(value, path, starts),
            Item::None => {}
        }
    }

    fn toml_value(&mut self, value: &Value, path: &KeyPath, starts: &LineStarts) {
        match value {
            Value::InlineTable(table) => self.toml_table(table, path, starts),
            Value::Array(array) => {
                for (index, element) in array.iter().enumerate() {
                    let at = path.index(index);
                    self.put(&at, element.span(), starts);
                    self.toml_value(element, &at, starts);
                }
            }
            _ => {}
        }
    }

    fn put(&mut self, path: &KeyPath, span: Option<std::ops::Range<usize>>, starts: &LineStarts) {
        if let Some(span) = span {
            self.0.insert(path.clone(), starts.line(span.start));
        }
    }

    /// The keys of a YAML text, or of JSON, which reads as YAML. What the reader does not understand has no line.
    pub(super) fn of_yaml(text: &str) -> Self {
        let mut receiver = YamlLines::default();
        // An error leaves the lines found so far.
        let _ = Parser::new_from_str(text).load(&mut receiver, false);
        receiver.lines
    }
}

/// Byte offsets at which lines begin.
struct LineStarts(Vec<usize>);

impl LineStarts {
    fn new(text: &str) -> Self {
        Self(text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at).collect())
    }

    fn line(&self, offset: usize) -> usize {
        self.0.partition_point(|newline| *newline < offset) + 1
    }
}

/// Follows the events of a YAML reader and notes where each key begins.
#[derive(Default)]
struct YamlLines {
    lines: Lines,
    open: Vec<Open>,
}

/// A collection that has not ended.
enum Open {
    /// In a mapping: the key whose value comes next, if one was read.
    Mapping(KeyPath, Option<String>),
    /// In a sequence: the index of the next element.
    Sequence(KeyPath, usize),
}

impl YamlLines {
    /// The path of the node that begins, or `None` when it is a key.
    fn place(&mut self, scalar: Option<&str>, line: usize) -> Option<KeyPath> {
        match self.open.last_mut() {
            None => Some(KeyPath::default()),
            Some(Open::Sequence(path, next)) => {
                let at = path.index(*next);
                *next += 1;
                self.lines.0.insert(at.clone(), line);
                Some(at)
            }
            Some(Open::Mapping(path, key @ None)) => {
                let name = scalar.unwrap_or_default();
                *key = Some(name.to_owned());
                self.lines.0.insert(path.key(name), line);
                None
            }
            Some(Open::Mapping(path, key @ Some(_))) => {
                let name = key.take().unwrap_or_default();
                Some(path.key(&name))
            }
        }
    }
}

impl MarkedEventReceiver for YamlLines {
    fn on_event(&mut self, event: Event, marker: Marker) {
        match event {
            Event::Scalar(text, ..) => drop(self.place(Some(&text), marker.line())),
            Event::Alias(_) => drop(self.place(None, marker.line())),
            Event::MappingStart(..) => {
                let at = self.place(None, marker.line()).unwrap_or_default();
                self.open.push(Open::Mapping(at, None));
            }
            Event::SequenceStart(..) => {
                let at = self.place(None, marker.line()).unwrap_or_default();
                self.open.push(Open::Sequence(at, 0));
            }
            Event::MappingEnd | Event::SequenceEnd => drop(self.open.pop()),
            _ => {}
        }
    }
}

/// Where overrides (environment, `--set`) put values.
#[derive(Debug, Default)]
pub(super) struct Overrides(Vec<(KeyPath, String)>);

impl Overrides {
    /// Notes that `origin` set the value at `path`, over whatever came before.
    pub(super) fn put(&mut self, path: KeyPath, origin: impl Into<String>) {
        self.0.push((path, origin.into()));
    }

    /// Who set this value, or the whole it is part of.
    pub(super) fn of(&self, path: &KeyPath) -> Option<&str> {
        self.0.iter().rev().find(|(set, _)| path.starts_with(set)).map(|(_, origin)| origin.as_str())
    }

    /// Who set something inside this value.
    pub(super) fn within(&self, path: &KeyPath) -> Option<&str> {
        let inside = |set: &KeyPath| set.starts_with(path) && matches!(path.0.last(), Some(Step::Index(_)));
        self.0.iter().rev().find(|(set, _)| inside(set)).map(|(_, origin)| origin.as_str())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn line(lines: &Lines, path: &str) -> Option<usize> {
        lines.of(&KeyPath::parse(path).unwrap())
    }

    #[test]
    fn finds_the_lines_of_toml() {
        let text = "# c\n[http]\nlisten = 1\n\n[[upstreams]]\nname = 'a'\n[[upstreams]]\nname = 'b'\nin = [\n  { from = 'x' },\n  { from = 'y' },\n]\n";
        let lines = Lines::of_toml(text);
        assert_eq!(line(&lines, "http.listen"), Some(3));
        assert_eq!(line(&lines, "upstreams[0].name"), Some(6));
        assert_eq!(line(&lines, "upstreams[1].in[1].from"), Some(11));
        assert_eq!(line(&lines, "upstreams[1].url"), Some(7));
        assert_eq!(line(&lines, "log.level"), None);
    }

    #[test]
    fn finds_the_lines_of_yaml_and_json() {
        let yaml = "http:\n  listen: 1\nupstreams:\n  - name: a\n  - name: b\n    in:\n      - from: x\n";
        let lines = Lines::of_yaml(yaml);
        assert_eq!(line(&lines, "http.listen"), Some(2));
        assert_eq!(line(&lines, "upstreams[1].in[0].from"), Some(7));
        let json = "{\n \"http\": {\n  \"listen\": 1\n },\n \"upstreams\": [\n  {\"name\": 1},\n  {\"name\": 2}\n ]\n}";
        let lines = Lines::of_yaml(json);
        assert_eq!(line(&lines, "http.listen"), Some(3));
        assert_eq!(line(&lines, "upstreams[1].name"), Some(7));
    }
}
