//! Paths to keys.

use std::fmt;

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Step {
    /// Into a table.
    Key(String),
    /// Into an array, from zero.
    Index(usize),
}

/// An array index above this is a slip of the pen, and filling up to it would cost memory.
const HIGHEST_INDEX: usize = 9_999;

/// The way from the root of a configuration to a value.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct KeyPath(pub(super) Vec<Step>);

impl KeyPath {
    /// Steps given as literals: `KeyPath::keys(["http", "listen"])`.
    pub(super) fn keys<const N: usize>(keys: [&str; N]) -> Self {
        Self(keys.into_iter().map(|key| Step::Key(key.to_owned())).collect())
    }

    /// Reads `a.b[0].c` and `a.b.0.c`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut steps = Vec::new();
        for part in text.split('.') {
            let (name, mut rest) = part.split_at(part.find('[').unwrap_or(part.len()));
            match name.parse::<usize>() {
                Ok(index) if !steps.is_empty() => steps.push(index_step(index)?),
                _ if is_name(name) => steps.push(Step::Key(name.to_owned())),
                _ => return None,
            }
            while !rest.is_empty() {
                let (index, after) = rest.strip_prefix('[')?.split_once(']')?;
                steps.push(index_step(index.parse().ok()?)?);
                rest = after;
            }
        }
        Some(Self(steps))
    }

    /// Reads the part of an environment variable after its prefix: `UPSTREAMS__0__URL`.
    pub(super) fn parse_env(text: &str) -> Option<Self> {
        Self::parse(&text.to_ascii_lowercase().replace("__", "."))
    }

    /// The path to a key of this table.
    pub(super) fn key(&self, key: &str) -> Self {
        self.with(Step::Key(key.to_owned()))
    }

    /// The path to an element of this array.
    pub(super) fn index(&self, index: usize) -> Self {
        self.with(Step::Index(index))
    }

    fn with(&self, step: Step) -> Self {
        let mut steps = self.0.clone();
        steps.push(step);
        Self(steps)
    }

    /// Without its last step; `None` for the root.
    pub(super) fn parent(&self) -> Option<Self> {
        let (_, head) = self.0.split_last()?;
        Some(Self(head.to_vec()))
    }

    /// The first key: the section.
    pub(super) fn section(&self) -> &str {
        match self.0.first() {
            Some(Step::Key(key)) => key,
            _ => "",
        }
    }

    pub(super) fn starts_with(&self, other: &Self) -> bool {
        self.0.starts_with(&other.0)
    }

    /// The form the `config` crate reads: `a.b[0].c`.
    pub(super) fn expression(&self) -> String {
        let mut text = String::new();
        for step in &self.0 {
            match step {
                Step::Key(key) if text.is_empty() => text.push_str(key),
                Step::Key(key) => text.extend([".", key]),
                Step::Index(index) => text.push_str(&format!("[{index}]")),
            }
        }
        text
    }
}

fn index_step(index: usize) -> Option<Step> {
    (index <= HIGHEST_INDEX).then_some(Step::Index(index))
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

/// As messages write it: `http.listen`, `[[upstreams]] #2 .in #1 .from`. Elements are counted from one.
impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // An element is taken for a table if something in it is meant, or if it is one of the sections.
        let first = self.0.iter().position(|step| matches!(step, Step::Index(_)));
        let tables = first.filter(|at| *at == 1 || at.saturating_add(1) < self.0.len());
        if tables.is_some() {
            f.write_str("[[")?;
        }
        for (position, step) in self.0.iter().enumerate() {
            if tables == Some(position) {
                f.write_str("]]")?;
            }
            match step {
                Step::Index(index) => write!(f, " #{}", index.saturating_add(1))?,
                Step::Key(key) => {
                    let after_index = position > 0 && matches!(self.0.get(position - 1), Some(Step::Index(_)));
                    f.write_str(if after_index {
                        " ."
                    } else if position > 0 {
                        "."
                    } else {
                        ""
                    })?;
                    f.write_str(key)?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn reads_both_ways_of_writing_an_index() {
        let path = KeyPath::parse("upstreams[1].in[0].from").unwrap();
        assert_eq!(path, KeyPath::parse("upstreams.1.in.0.from").unwrap());
        assert_eq!(path, KeyPath::parse_env("UPSTREAMS__1__IN__0__FROM").unwrap());
        assert_eq!(path.expression(), "upstreams[1].in[0].from");
        assert_eq!(path.to_string(), "[[upstreams]] #2 .in #1 .from");
        assert_eq!(KeyPath::parse("http.listen").unwrap().to_string(), "http.listen");
        assert_eq!(KeyPath::parse("http.cors_origins[0]").unwrap().to_string(), "http.cors_origins #1");
        assert_eq!(KeyPath::parse("pusher.apps.0.key").unwrap().to_string(), "[[pusher.apps]] #1 .key");
    }

    #[test]
    fn refuses_what_is_no_path() {
        for text in ["", ".", "a..b", "a.", "[0]", "a[", "a[x]", "a[0]b", "a b", "a[99999999999]"] {
            assert!(KeyPath::parse(text).is_none(), "{text}");
        }
    }
}
