//! A scrape in the Prometheus text format.

use std::collections::BTreeMap;

/// One line of a scrape.
#[derive(Clone, Debug)]
pub struct Sample {
    /// The metric's name with its suffix (`_bucket`, `_sum`, `_count`).
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its value.
    pub value: f64,
}

/// All of a scrape.
#[derive(Clone, Debug)]
pub struct Scrape {
    /// The text as served.
    pub text: String,
    /// The samples in order.
    pub samples: Vec<Sample>,
}

impl Scrape {
    /// Reads the text format.
    ///
    /// # Panics
    /// On a line that is not in the format.
    #[must_use]
    pub fn parse(text: String) -> Self {
        let samples = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(sample).collect();
        Self { text, samples }
    }

    /// The sum of all samples of `name` whose labels include `labels`; `None` when there is none.
    #[must_use]
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let wanted = |sample: &&Sample| {
            sample.name == name
                && labels.iter().all(|(key, value)| sample.labels.get(*key).is_some_and(|have| have == value))
        };
        let mut matching = self.samples.iter().filter(wanted).peekable();
        matching.peek()?;
        Some(matching.map(|sample| sample.value).sum())
    }

    /// Whether the scrape declares a metric of that name (`# TYPE`).
    #[must_use]
    pub fn declares(&self, name: &str) -> bool {
        self.text
            .lines()
            .any(|line| line.strip_prefix("# TYPE ").is_some_and(|rest| rest.split(' ').next() == Some(name)))
    }
}

fn sample(line: &str) -> Sample {
    let (head, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("not a sample: {line}"));
    let (name, labels) = match head.split_once('{') {
        None => (head, BTreeMap::new()),
        Some((name, rest)) => (name, labels(rest.strip_suffix('}').unwrap_or_else(|| panic!("not a sample: {line}")))),
    };
    let value = value.parse().unwrap_or_else(|_| panic!("not a value: {line}"));
    Sample { name: name.to_owned(), labels, value }
}

fn labels(text: &str) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    let mut rest = text.trim_end_matches(',');
    while let Some((key, after)) = rest.split_once("=\"") {
        let mut value = String::new();
        let mut chars = after.char_indices();
        rest = "";
        while let Some((at, char)) = chars.next() {
            match char {
                '\\' => value.extend(chars.next().map(|(_, escaped)| if escaped == 'n' { '\n' } else { escaped })),
                '"' => {
                    rest = after[at + 1..].trim_start_matches(',');
                    break;
                }
                _ => value.push(char),
            }
        }
        labels.insert(key.to_owned(), value);
    }
    labels
}
