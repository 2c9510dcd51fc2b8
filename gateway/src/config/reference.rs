//! The reference of all keys, from the schema.

/// All keys as a page of Markdown.
#[must_use]
pub fn reference() -> String {
    String::new()
}
