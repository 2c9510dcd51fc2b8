//! URL patterns (WHATWG URL Pattern Standard, constructor strings) as expressions: fixed text, `:name`, `*`, `{...}` groups, and
//! custom expressions in parentheses, each with the modifiers `?`, `*` and `+`.
//!
//! Mercure matches them with whole topics, so a pattern is compiled as one expression. In its host `:name` stops at a dot, in its
//! path at a slash. What stands after the last component that the pattern gives is free, as the standard says.

use super::selector::{Compiled, Levels};

struct Reader<'a> {
    rest: &'a str,
    /// Past the host: `:name` stops at slashes.
    in_path: bool,
    has_query: bool,
    levels: Levels,
}

/// Compiles a pattern; none where it is malformed.
pub(super) fn compile(text: &str) -> Option<Compiled> {
    let mut reader = Reader { rest: text, in_path: !text.contains("://"), has_query: false, levels: Levels::default() };
    let mut regex = String::new();
    if let Some((scheme, rest)) =
        text.split_once("://").filter(|(scheme, _)| scheme.bytes().all(|b| b.is_ascii_alphanumeric()))
    {
        regex = format!("{scheme}://");
        reader.levels.literal(&regex);
        reader.rest = rest;
    }
    regex.push_str(&reader.sequence(false)?);
    if !reader.has_query {
        regex.push_str("(?:\\?[^#]*)?(?:#.*)?");
    }
    // What is free at the end may hold slashes.
    reader.levels.open();
    Some(Compiled { regex, levels: reader.levels.finish() })
}

impl Reader<'_> {
    /// Reads up to the end, or to the `}` of the group it is in.
    fn sequence(&mut self, in_group: bool) -> Option<String> {
        let mut regex = String::new();
        // The slash before a part goes with it when it is left out or repeated.
        let mut slash = false;
        while let Some(character) = self.rest.chars().next() {
            self.rest = self.rest.get(character.len_utf8()..)?;
            let part = match character {
                '}' if in_group => return Some(regex + if slash { "/" } else { "" }),
                '}' | ')' => return None,
                '{' => {
                    self.levels.open();
                    let group = self.sequence(true)?;
                    regex.push_str(if std::mem::take(&mut slash) { "/" } else { "" });
                    let modifier = self.modifier();
                    regex.push_str(&format!("(?:{group}){modifier}"));
                    continue;
                }
                ':' if self.is_name_next() => self.named()?,
                ':' if self.in_path => return None,
                '(' => self.custom()?,
                '*' => ".*".to_owned(),
                _ => {
                    self.fixed(character, &mut regex, &mut slash)?;
                    continue;
                }
            };
            self.levels.open();
            let prefix = if std::mem::take(&mut slash) { "/" } else { "" };
            let modifier = self.modifier();
            regex.push_str(&match modifier {
                "" => format!("{prefix}(?:{part})"),
                modifier => format!("(?:{prefix}(?:{part})){modifier}"),
            });
        }
        (!in_group).then(|| regex + if slash { "/" } else { "" })
    }

    fn fixed(&mut self, character: char, regex: &mut String, slash: &mut bool) -> Option<()> {
        if std::mem::take(slash) {
            regex.push('/');
            self.levels.literal("/");
        }
        let character = if character == '\\' {
            let escaped = self.rest.chars().next()?;
            self.rest = self.rest.get(escaped.len_utf8()..)?;
            escaped
        } else {
            character
        };
        match character {
            '/' => {
                *slash = true;
                self.in_path = true;
            }
            _ => {
                self.has_query |= matches!(character, '?' | '#');
                let mut buffer = [0; 4];
                let text = character.encode_utf8(&mut buffer);
                regex.push_str(&regex::escape(text));
                self.levels.literal(text);
            }
        }
        Some(())
    }

    fn is_name_next(&self) -> bool {
        self.rest.starts_with(|c: char| c.is_alphabetic() || c == '_' || c == '$')
    }

    fn named(&mut self) -> Option<String> {
        let end = self.rest.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$')).unwrap_or(self.rest.len());
        self.rest = self.rest.get(end..)?;
        if let Some(rest) = self.rest.strip_prefix('(') {
            self.rest = rest;
            return self.custom();
        }
        Some(if self.in_path { "[^/?#]+" } else { "[^./:]+" }.to_owned())
    }

    /// Reads a custom expression up to its closing parenthesis.
    fn custom(&mut self) -> Option<String> {
        let (mut depth, mut escaped) = (1, false);
        for (at, character) in self.rest.char_indices() {
            match character {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '(' => depth += 1,
                ')' => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                let inside = self.rest.get(..at)?;
                self.rest = self.rest.get(at + 1..)?;
                return (!inside.is_empty() && inside.is_ascii()).then(|| inside.to_owned());
            }
        }
        None
    }

    fn modifier(&mut self) -> &'static str {
        for modifier in ["?", "*", "+"] {
            if let Some(rest) = self.rest.strip_prefix(modifier) {
                self.rest = rest;
                return modifier;
            }
        }
        ""
    }
}
