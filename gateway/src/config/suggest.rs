//! The nearest known word.

/// How alike two words must be before one is offered for the other.
const ALIKE: f64 = 0.7;

/// The known word that `text` most likely was meant to be, if one is near enough.
pub(super) fn nearest<'a>(text: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |word: &str| word.to_ascii_lowercase().replace('-', "_");
    let text = plain(text);
    known
        .map(|word| (strsim::jaro_winkler(&text, &plain(word)), word))
        .filter(|(alike, _)| *alike >= ALIKE)
        .max_by(|left, right| left.0.total_cmp(&right.0))
        .map(|(_, word)| word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offers_the_likely_word_only() {
        let known = ["listen", "tls_listen", "cors_origins"];
        assert_eq!(nearest("lisen", known.into_iter()), Some("listen"));
        assert_eq!(nearest("corsOrigins", known.into_iter()), Some("cors_origins"));
        assert_eq!(nearest("cors-origins", known.into_iter()), Some("cors_origins"));
        assert_eq!(nearest("zzz", known.into_iter()), None);
    }
}
