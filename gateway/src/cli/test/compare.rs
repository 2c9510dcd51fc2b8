//! What came against what was expected.

use std::collections::BTreeMap;

use ratatosk::core::Publication;
use serde_json::Value;

use super::{
    file::{Expected, payload},
    simulate::Came,
};

/// One thing that is not as expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Finding {
    /// Nothing of the kind came.
    Missing(String),
    /// It came, and nobody expected it.
    Unexpected(String),
    /// It came otherwise: where, and what differs.
    Differs(String, Vec<Difference>),
}

/// What differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Difference {
    pub(super) what: String,
    pub(super) expected: String,
    pub(super) came: String,
}

/// Compares. Each message that came answers one expectation; those that fit are taken first.
pub(super) fn compare(expected: &[Expected], came: &[Came]) -> Vec<Finding> {
    let mut left: Vec<&Came> = came.iter().collect();
    let mut findings = Vec::new();
    let mut unmet = Vec::new();
    // First those that fit as they are, so that order matters only where nothing else tells messages apart.
    for expectation in expected {
        let fits = |came: &&Came| is_there(expectation, came) && differences(expectation, &came.publication).is_empty();
        match left.iter().position(fits) {
            Some(position) => drop(left.remove(position)),
            None => unmet.push(expectation),
        }
    }
    for expectation in unmet {
        let place = format!("{} `{}`", expectation.at, expectation.channel);
        match left.iter().position(|came| is_there(expectation, came)) {
            Some(position) => {
                let came = left.remove(position);
                findings.push(Finding::Differs(place, differences(expectation, &came.publication)));
            }
            None => findings.push(Finding::Missing(place)),
        }
    }
    findings.extend(left.into_iter().map(|came| {
        let publication = &came.publication;
        Finding::Unexpected(format!("{} `{}`  {}", came.at, publication.channel, shown(&publication.payload)))
    }));
    findings
}

fn is_there(expected: &Expected, came: &Came) -> bool {
    expected.at == came.at && *expected.channel == *came.publication.channel.as_str()
}

fn differences(expected: &Expected, came: &Publication) -> Vec<Difference> {
    let mut found = Vec::new();
    let mut compare = |what: &str, expected: Option<String>, came: String| {
        if let Some(expected) = expected.filter(|expected| *expected != came) {
            found.push(Difference { what: what.to_owned(), expected, came });
        }
    };
    // A payload that cannot be read was refused before.
    if let Ok(Some(wanted)) = payload(expected.payload.as_ref(), expected.base64.as_deref())
        && !same(&wanted, &came.payload)
    {
        compare("payload", Some(pretty(&wanted)), pretty(&came.payload));
    }
    compare("retained", expected.retained.map(|retained| retained.to_string()), came.retain.to_string());
    compare("qos", expected.qos.map(|qos| qos.to_string()), (came.qos as u8).to_string());
    let extras = came.extras.as_deref();
    let event = extras.and_then(|extras| extras.event.as_deref()).unwrap_or_default();
    compare("event", expected.event.clone(), event.to_owned());
    let properties: BTreeMap<&str, &str> =
        extras.iter().flat_map(|extras| &extras.properties).map(|(name, value)| (&**name, &**value)).collect();
    for (name, value) in &expected.properties {
        let there = properties.get(name.as_str()).copied().unwrap_or_default();
        compare(&format!("property {name}"), Some(value.clone()), there.to_owned());
    }
    let letter: Value = serde_json::from_slice(&came.payload).unwrap_or_default();
    let field = |name: &str| letter.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    compare("reason", expected.reason.clone(), field("reason"));
    let detail = field("detail");
    compare("detail", expected.detail.clone().filter(|part| !detail.contains(part.as_str())), detail);
    found
}

/// As JSON where both are some.
fn same(one: &[u8], other: &[u8]) -> bool {
    match (serde_json::from_slice::<Value>(one), serde_json::from_slice::<Value>(other)) {
        (Ok(one), Ok(other)) => alike(&one, &other),
        _ => one == other,
    }
}

/// Equal, but for the spelling of numbers: 70 is 70.0.
fn alike(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one == other || one.as_f64() == other.as_f64(),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| alike(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            let same = |(name, one)| other.get(name).is_some_and(|other| alike(one, other));
            one.len() == other.len() && one.iter().all(same)
        }
        (one, other) => one == other,
    }
}

/// A payload for people: JSON over several lines, other text as it is, bytes in hexadecimal.
fn pretty(payload: &[u8]) -> String {
    match serde_json::from_slice::<Value>(payload).and_then(|value| serde_json::to_string_pretty(&value)) {
        Ok(json) => json,
        Err(_) => shown(payload),
    }
}

fn shown(payload: &[u8]) -> String {
    std::str::from_utf8(payload)
        .map_or_else(|_| payload.iter().map(|byte| format!("{byte:02x} ")).collect(), str::to_owned)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use ratatosk::core::{Channel, Origin};

    use super::*;

    fn came(at: &str, channel: &str, payload: &str) -> Came {
        let publication = Publication::new(Channel::new(channel).unwrap(), payload.to_owned(), Origin::gateway());
        Came { at: at.to_owned(), publication }
    }

    fn expected(toml: &str) -> Expected {
        toml::from_str(toml).unwrap()
    }

    #[test]
    fn what_is_written_is_compared_and_nothing_else() {
        let came = [came("local", "a", r#"{"b": 2, "a": 1.0}"#)];
        for fits in [
            "at = 'local'\nchannel = 'a'",
            "at = 'local'\nchannel = 'a'\npayload = '{\"a\":1,\"b\":2}'",
            "at = 'local'\nchannel = 'a'\npayload = { a = 1, b = 2 }\nqos = 1\nretained = false\nevent = ''",
            "at = 'local'\nchannel = 'a'\nproperties = { none = '' }",
        ] {
            assert_eq!(compare(&[expected(fits)], &came), [], "{fits}");
        }
        for (other, what) in [
            ("payload = { a = 1 }", "payload"),
            ("payload = 'text'", "payload"),
            ("base64 = 'AA=='", "payload"),
            ("qos = 2", "qos"),
            ("retained = true", "retained"),
            ("event = 'x'", "event"),
            ("properties = { x = 'y' }", "property x"),
            ("reason = 'when'", "reason"),
            ("detail = 'y'", "detail"),
        ] {
            let findings = compare(&[expected(&format!("at = 'local'\nchannel = 'a'\n{other}"))], &came);
            assert!(
                matches!(&findings[..], [Finding::Differs(_, differences)] if differences.iter().any(|found| found.what == what)),
                "{other}: {findings:?}"
            );
        }
    }

    #[test]
    fn each_message_answers_one_expectation() {
        let two = [came("far", "a", "1"), came("far", "a", "2")];
        let expect = |payload: &str| expected(&format!("at = 'far'\nchannel = 'a'\npayload = '{payload}'"));
        assert_eq!(compare(&[expect("2"), expect("1")], &two), []);
        let findings = compare(&[expect("1")], &two);
        assert!(matches!(&findings[..], [Finding::Unexpected(text)] if text.ends_with('2')), "{findings:?}");
        let findings = compare(&[expect("1"), expect("1")], &two);
        assert!(matches!(&findings[..], [Finding::Differs(..)]), "{findings:?}");
        let elsewhere = expected("at = 'local'\nchannel = 'a'");
        assert!(matches!(&compare(&[elsewhere], &two)[..], [Finding::Missing(_), ..]));
    }
}
