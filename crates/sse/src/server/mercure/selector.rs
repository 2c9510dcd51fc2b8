//! Topic selectors: exact names, URI templates (RFC 6570, Mercure 0.x), URL patterns (Mercure 1.0), and `*`.
//!
//! A selector is two things: a channel filter for the bus, which matches at least what the selector does, and the exact test that
//! is made of what the filter lets through. Patterns run on an engine that is linear in the topic, and their size is bounded.

use super::{template, urlpattern};
use ratatosk_core::Filter;
use regex::{Regex, RegexBuilder};

/// The longest selector, in bytes.
const MAX_BYTES: usize = 2048;
/// The most memory one compiled pattern may take.
const MAX_COMPILED: usize = 128 << 10;

/// Why a text selects no topics.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum SelectorError {
    #[error("a topic selector has 1 to {MAX_BYTES} bytes")]
    Length,
    #[error("a topic selector has no control characters")]
    Control,
    #[error("the topic selector {0:?} is not a valid pattern")]
    Pattern(String),
}

/// What some text selects.
#[derive(Debug, Clone)]
pub(super) struct Selector {
    text: String,
    test: Test,
    filter: Filter,
}

#[derive(Debug, Clone)]
enum Test {
    All,
    Exact,
    Pattern(Regex),
}

impl Selector {
    /// A `topic` parameter or a selector in a token (0.x): `*`, a name, or a URI template, which selects its own text too.
    pub(super) fn template(text: &str) -> Result<Self, SelectorError> {
        check(text)?;
        if text == "*" {
            return Ok(Self { text: text.to_owned(), test: Test::All, filter: filter(&["#".to_owned()], text)? });
        }
        // A text with braces that are no template is just a name.
        match template::compile(text) {
            Some(compiled) => {
                Self::pattern(text, &format!("{}|{}", compiled.regex, regex::escape(text)), &compiled.levels)
            }
            None => Self::exact(text),
        }
    }

    /// A `match` parameter (1.0): exactly this name.
    pub(super) fn exact(text: &str) -> Result<Self, SelectorError> {
        check(text)?;
        let levels: Vec<String> = text.split('/').map(literal_level).collect();
        Ok(Self { text: text.to_owned(), test: Test::Exact, filter: filter(&levels, text)? })
    }

    /// A `match_urlpattern` parameter (1.0).
    pub(super) fn url_pattern(text: &str) -> Result<Self, SelectorError> {
        check(text)?;
        let compiled = urlpattern::compile(text).ok_or_else(|| SelectorError::Pattern(text.to_owned()))?;
        Self::pattern(text, &compiled.regex, &compiled.levels)
    }

    fn pattern(text: &str, regex: &str, levels: &[String]) -> Result<Self, SelectorError> {
        let regex = RegexBuilder::new(&format!("^(?:{regex})$")).size_limit(MAX_COMPILED).build();
        let regex = regex.map_err(|_| SelectorError::Pattern(text.to_owned()))?;
        Ok(Self { text: text.to_owned(), test: Test::Pattern(regex), filter: filter(levels, text)? })
    }

    /// The selector as it was written.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Whether it selects a topic.
    pub(super) fn selects(&self, topic: &str) -> bool {
        match &self.test {
            Test::All => true,
            Test::Exact => topic == self.text,
            Test::Pattern(regex) => regex.is_match(topic),
        }
    }

    /// A filter that matches every channel it selects, and perhaps more.
    pub(super) fn filter(&self) -> &Filter {
        &self.filter
    }
}

/// A compiled pattern: an expression for the whole topic, and the levels of a filter that matches no less.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Compiled {
    pub(super) regex: String,
    pub(super) levels: Vec<String>,
}

/// Collects a filter's levels from the pieces of a pattern.
#[derive(Debug, Default)]
pub(super) struct Levels {
    done: Vec<String>,
    current: String,
    is_wild: bool,
    is_open: bool,
}

impl Levels {
    /// Text that stands for itself.
    pub(super) fn literal(&mut self, text: &str) {
        if self.is_open {
            return;
        }
        for character in text.chars() {
            if character == '/' { self.end_level() } else { self.current.push(character) }
        }
    }

    /// Something that never contains a slash.
    pub(super) fn wild(&mut self) {
        self.is_wild = true;
    }

    /// Something that may contain slashes, or swallow the one before it: the filter ends here, one level up.
    pub(super) fn open(&mut self) {
        if !std::mem::replace(&mut self.is_open, true) {
            self.done.push("#".to_owned());
        }
    }

    pub(super) fn finish(mut self) -> Vec<String> {
        if !self.is_open {
            self.end_level();
        }
        self.done
    }

    fn end_level(&mut self) {
        let level = std::mem::take(&mut self.current);
        self.done.push(if std::mem::take(&mut self.is_wild) { "+".to_owned() } else { literal_level(&level) });
    }
}

/// A level that would read as a wildcard is matched by one, and tested afterwards.
fn literal_level(level: &str) -> String {
    if level == "#" { "+".to_owned() } else { level.to_owned() }
}

fn filter(levels: &[String], text: &str) -> Result<Filter, SelectorError> {
    Filter::new(levels.join("/")).map_err(|_| SelectorError::Pattern(text.to_owned()))
}

fn check(text: &str) -> Result<(), SelectorError> {
    if text.is_empty() || text.len() > MAX_BYTES {
        return Err(SelectorError::Length);
    }
    if text.chars().any(char::is_control) { Err(SelectorError::Control) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use ratatosk_core::Channel;

    #[track_caller]
    fn check_selector(selector: &Selector, yes: &[&str], no: &[&str]) {
        for topic in yes {
            assert!(selector.selects(topic), "{} selects {topic}", selector.text);
            let channel = Channel::new(*topic).unwrap();
            assert!(selector.filter.matches(&channel), "{} lets {topic} through", selector.filter);
        }
        for topic in no {
            assert!(!selector.selects(topic), "{} does not select {topic}", selector.text);
        }
    }

    #[test]
    fn names_select_themselves() {
        let name = "https://example.com/a?b=c#d";
        check_selector(&Selector::template(name).unwrap(), &[name], &["https://example.com/a", "x"]);
        check_selector(&Selector::exact("a/{id}").unwrap(), &["a/{id}"], &["a/1"]);
        check_selector(&Selector::template("a/#/b").unwrap(), &["a/#/b"], &["a/x/b"]);
        check_selector(&Selector::template("a/+").unwrap(), &["a/+"], &["a/x"]);
        check_selector(&Selector::template("{not a template").unwrap(), &["{not a template"], &["x"]);
        check_selector(&Selector::template("*").unwrap(), &["a", "https://x/y"], &[]);
    }

    #[test]
    fn templates_select_their_expansions() {
        let books = Selector::template("https://example.com/books/{id}").unwrap();
        assert_eq!(books.filter().as_str(), "https://example.com/books/+");
        check_selector(
            &books,
            &[
                "https://example.com/books/1",
                "https://example.com/books/a%20b-._~",
                "https://example.com/books/",
                "https://example.com/books/{id}",
            ],
            &[
                "https://example.com/books/1/2",
                "https://example.com/books/a b",
                "https://example.com/books/a?b",
                "https://example.com/book/1",
            ],
        );
        let path = Selector::template("https://example.com/{+path}").unwrap();
        check_selector(&path, &["https://example.com/a/b?c#d", "https://example.com/"], &["https://example.org/a"]);
        let segments = Selector::template("/a{/x,y}").unwrap();
        check_selector(&segments, &["/a", "/a/1", "/a/1/2"], &["/b/1", "/a1"]);
        let query = Selector::template("/a{?q,r}").unwrap();
        check_selector(&query, &["/a", "/a?q=1", "/a?q=1&r=2", "/a?r=2"], &["/a?x=1", "/a&q=1"]);
        let dots = Selector::template("x{.a}{;b}{&c}").unwrap();
        check_selector(&dots, &["x.1;b=2&c=3", "x", "x;b"], &["x;d=2"]);
        let several = Selector::template("{a}/b-{c}/{d:3}").unwrap();
        assert_eq!(several.filter().as_str(), "+/+/+");
        check_selector(&several, &["1/b-2/345"], &["1/c-2/345", "1/b-2/3456"]);
    }

    #[test]
    fn url_patterns_select_urls() {
        let books = Selector::url_pattern("https://example.com/books/:id").unwrap();
        assert_eq!(books.filter().as_str(), "https://example.com/#");
        check_selector(
            &books,
            &["https://example.com/books/1", "https://example.com/books/1?x=y"],
            &["https://example.com/books/", "https://example.com/books/1/2"],
        );
        let any = Selector::url_pattern("https://*.example.com/*").unwrap();
        check_selector(&any, &["https://a.example.com/", "https://a.b.example.com/x/y"], &["https://example.org/x"]);
        let optional = Selector::url_pattern("/books/:id?").unwrap();
        check_selector(&optional, &["/books", "/books/1"], &["/books/1/2"]);
        let group = Selector::url_pattern("/books{/:id}?/end").unwrap();
        check_selector(&group, &["/books/end", "/books/7/end"], &["/books//end"]);
        let digits = Selector::url_pattern("/books/:id(\\d+)").unwrap();
        check_selector(&digits, &["/books/42"], &["/books/x"]);
        let many = Selector::url_pattern("/a/:rest+").unwrap();
        check_selector(&many, &["/a/b", "/a/b/c"], &["/a", "/a/"]);
        for bad in ["/a/(", "/a/{b", "/a/:", "/a/((?=x))", "/a/)"] {
            assert!(Selector::url_pattern(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn oversized_and_unprintable_ones_are_refused() {
        assert_eq!(Selector::template("").unwrap_err(), SelectorError::Length);
        assert_eq!(Selector::template(&"x".repeat(3000)).unwrap_err(), SelectorError::Length);
        assert_eq!(Selector::template("a\nb").unwrap_err(), SelectorError::Control);
        assert!(Selector::url_pattern("/a/((x{1000}){1000})").is_err());
    }
}
