//! Texts with `{placeholders}`.

/// Why a text is not a template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// A name that means nothing here.
    #[error("{{{0}}} is not known here, only {1}")]
    Unknown(String, String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Place(String),
}

/// A checked template. Braces that do not hold a plain name are text, so JSON needs no escapes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template(Vec<Part>);

impl Template {
    /// Reads a template with these placeholders.
    pub(super) fn new(text: &str, places: &[&str]) -> Result<Self, TemplateError> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, name, after)) = next_place(rest) {
            if !places.contains(&name) {
                let known: Vec<String> = places.iter().map(|place| format!("{{{place}}}")).collect();
                return Err(TemplateError::Unknown(name.to_owned(), known.join(", ")));
            }
            parts.push(Part::Text(before.to_owned()));
            parts.push(Part::Place(name.to_owned()));
            rest = after;
        }
        parts.push(Part::Text(rest.to_owned()));
        Ok(Self(parts))
    }

    /// Whether one of these placeholders stands in it.
    pub(super) fn mentions(&self, places: &[&str]) -> bool {
        self.0.iter().any(|part| matches!(part, Part::Place(name) if places.contains(&name.as_str())))
    }

    /// Fills it in: `value` appends what stands for a placeholder.
    pub(super) fn fill(&self, mut value: impl FnMut(&str, &mut Vec<u8>)) -> Vec<u8> {
        let mut out = Vec::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => out.extend_from_slice(text.as_bytes()),
                Part::Place(name) => value(name, &mut out),
            }
        }
        out
    }
}

/// Splits at the first `{name}`.
fn next_place(text: &str) -> Option<(&str, &str, &str)> {
    let mut from = 0;
    loop {
        let open = from + text.get(from..)?.find('{')?;
        let (before, inside) = (text.get(..open)?, text.get(open + 1..)?);
        let length = inside.bytes().take_while(|byte| byte.is_ascii_lowercase() || *byte == b'_').count();
        if length > 0 && inside.as_bytes().get(length) == Some(&b'}') {
            return Some((before, inside.get(..length)?, inside.get(length + 1..)?));
        }
        from = open + 1;
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn fill(text: &str) -> String {
        let template = Template::new(text, &["a", "b_c"]).unwrap();
        String::from_utf8(template.fill(|name, out| out.extend(name.to_uppercase().bytes()))).unwrap()
    }

    #[test]
    fn placeholders_are_filled_and_other_braces_kept() {
        assert_eq!(fill("x{a}y{b_c}{a}"), "xAyB_CA");
        assert_eq!(fill(r#"{"text": {a}, "n": {}}"#), r#"{"text": A, "n": {}}"#);
        assert_eq!(fill("{{a}}"), "{A}");
        assert_eq!(fill("{a"), "{a");
        assert_eq!(fill("{é}{A}"), "{é}{A}");
        assert_eq!(fill(""), "");
    }

    #[test]
    fn unknown_names_are_refused() {
        let error = Template::new("/{chanel}", &["channel"]).unwrap_err();
        assert_eq!(error.to_string(), "{chanel} is not known here, only {channel}");
    }
}
