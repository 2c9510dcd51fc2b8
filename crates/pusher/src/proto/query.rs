//! The query string of a request: decoded pairs in the order they came.

/// The pairs of a query string.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Decodes `k=v&k=v`.
    #[must_use]
    pub fn parse(query: &str) -> Self {
        Self(form_urlencoded::parse(query.as_bytes()).into_owned().collect())
    }

    /// The pairs without any decoding: some SDKs sign and send values as they are.
    #[must_use]
    pub fn raw(query: &str) -> Self {
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        let split = |pair: &str| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (key.to_owned(), value.to_owned())
        };
        Self(pairs.map(split).collect())
    }

    /// The first value of a key, whatever its case.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(name, _)| name.eq_ignore_ascii_case(key)).map(|(_, value)| value.as_str())
    }

    /// What is signed of it: keys in lower case and sorted, values as they are, without the signature.
    #[must_use]
    pub fn canonical(&self) -> String {
        let lower = self.0.iter().map(|(key, value)| (key.to_lowercase(), value.as_str()));
        let mut pairs: Vec<(String, &str)> = lower.filter(|(key, _)| key != "auth_signature").collect();
        pairs.sort_by(|a, b| a.0.cmp(&b.0));
        let pairs: Vec<String> = pairs.into_iter().map(|(key, value)| format!("{key}={value}")).collect();
        pairs.join("&")
    }
}
