//! Colour on a terminal: JSON by its tokens.

use std::io::{self, IsTerminal as _, Write};

use serde_json::Value;

/// When to use colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(in crate::cli) enum ColorChoice {
    /// On a terminal, unless NO_COLOR is set
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

impl ColorChoice {
    pub(in crate::cli) fn is_on(self) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            // https://no-color.org: any value but the empty one switches colour off.
            Self::Auto => io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty()),
        }
    }
}

/// The sixteen colours of every terminal theme.
#[derive(Debug, Clone, Copy)]
pub(super) enum Ink {
    Channel,
    Key,
    Text,
    Number,
    Word,
    Faint,
}

impl Ink {
    fn code(self) -> &'static str {
        match self {
            Self::Channel => "1;36",
            Self::Key => "34",
            Self::Text => "32",
            Self::Number => "33",
            Self::Word => "35",
            Self::Faint => "2",
        }
    }
}

/// A writer that may colour.
pub(super) struct Painter<'a, W> {
    pub(super) out: &'a mut W,
    pub(super) colour: bool,
}

impl<W: Write> Painter<'_, W> {
    /// Text in a colour.
    pub(super) fn ink(&mut self, ink: Ink, text: &str) -> io::Result<()> {
        match self.colour {
            true => write!(self.out, "\x1b[{}m{text}\x1b[0m", ink.code()),
            false => self.out.write_all(text.as_bytes()),
        }
    }

    /// Text as it is.
    pub(super) fn plain(&mut self, text: &str) -> io::Result<()> {
        self.out.write_all(text.as_bytes())
    }

    /// A JSON value; over several lines, indented by two, if `depth` is given.
    pub(super) fn json(&mut self, value: &Value, depth: Option<usize>) -> io::Result<()> {
        match value {
            Value::Object(map) if !map.is_empty() => {
                let items = map.iter().map(|(key, value)| (Some(key.as_str()), value));
                self.members(('{', '}'), items, depth)
            }
            Value::Array(list) if !list.is_empty() => {
                self.members(('[', ']'), list.iter().map(|value| (None, value)), depth)
            }
            Value::String(_) => self.ink(Ink::Text, &value.to_string()),
            Value::Number(_) => self.ink(Ink::Number, &value.to_string()),
            Value::Null | Value::Bool(_) => self.ink(Ink::Word, &value.to_string()),
            Value::Object(_) | Value::Array(_) => self.plain(&value.to_string()),
        }
    }

    fn members<'v>(
        &mut self,
        (open, close): (char, char),
        items: impl Iterator<Item = (Option<&'v str>, &'v Value)>,
        depth: Option<usize>,
    ) -> io::Result<()> {
        write!(self.out, "{open}")?;
        let inner = depth.map(|depth| depth + 1);
        for (index, (key, value)) in items.enumerate() {
            if index > 0 {
                self.plain(",")?;
            }
            self.line(inner)?;
            if let Some(key) = key {
                self.ink(Ink::Key, &Value::from(key).to_string())?;
                self.plain(if depth.is_some() { ": " } else { ":" })?;
            }
            self.json(value, inner)?;
        }
        self.line(depth)?;
        write!(self.out, "{close}")
    }

    fn line(&mut self, depth: Option<usize>) -> io::Result<()> {
        depth.map_or(Ok(()), |depth| write!(self.out, "\n{:1$}", "", depth * 2))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn painted(json: &str, colour: bool, depth: Option<usize>) -> String {
        let mut out = Vec::new();
        Painter { out: &mut out, colour }.json(&serde_json::from_str(json).unwrap(), depth).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn without_colour_it_is_the_json_itself() {
        let json = r#"{"a":[1,"x\n",null,{}],"b":{"c":-1.5e3,"d":[]}}"#;
        assert_eq!(painted(json, false, None).replace("-1500.0", "-1.5e3"), json);
        let pretty = serde_json::to_string_pretty(&serde_json::from_str::<Value>(json).unwrap()).unwrap();
        assert_eq!(painted(json, false, Some(0)), pretty);
    }

    #[test]
    fn colours_are_ended() {
        let text = painted(r#"{"a":"b"}"#, true, None);
        assert_eq!(text, "{\x1b[34m\"a\"\x1b[0m:\x1b[32m\"b\"\x1b[0m}");
    }
}
