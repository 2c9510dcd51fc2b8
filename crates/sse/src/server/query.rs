//! What a client asks for: filters and options, from the query and the headers.

use std::borrow::Cow;

use http::HeaderMap;
use ratatosk_connector::http::Problem;
use ratatosk_core::Filter;

use super::pace::Rate;
use crate::mapping::{Format, Style};

/// The most filters of one stream.
const MAX_FILTERS: usize = 1024;
/// The longest query, in bytes; a longer list belongs into a request body.
pub(super) const MAX_QUERY: usize = 16 << 10;

/// A stream as it was asked for.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Wanted {
    pub(super) filters: Vec<Filter>,
    /// Those of them that are not resumed, because the reader did not follow them before.
    pub(super) new: Vec<Filter>,
    pub(super) style: Style,
    /// The cursor, as the client sent it.
    pub(super) resume: Option<String>,
    /// Whether a stream without a cursor begins with everything that is kept.
    pub(super) from_earliest: bool,
    /// Whether last values are shown first.
    pub(super) last_values: bool,
    /// Whether only the latest message of each channel waits for a slow reader.
    pub(super) conflate: bool,
    /// The most messages at a time that the reader wants.
    pub(super) max_rate: Option<Rate>,
}

impl Wanted {
    /// Reads form-encoded parameters (the query, or a form body after it) and the `Last-Event-ID` header. The header
    /// wins: a browser that reconnects repeats the first query and adds its latest id.
    pub(super) fn read(parameters: &str, headers: &HeaderMap) -> Result<Self, Problem> {
        let mut wanted = Self {
            filters: Vec::new(),
            new: Vec::new(),
            style: Style::default(),
            resume: None,
            from_earliest: false,
            last_values: true,
            conflate: false,
            max_rate: None,
        };
        for pair in pairs(parameters) {
            let (name, value) = pair?;
            wanted.set(&name, &value)?;
        }
        if let Some(id) = headers.get("last-event-id").filter(|id| !id.is_empty()) {
            wanted.resume = Some(String::from_utf8_lossy(id.as_bytes()).into_owned());
        }
        if wanted.filters.is_empty() {
            let detail = "name what to follow, as in `?channel=sensors/%23`; `channel` may be given more than once";
            return Err(Problem::bad_request("no-channel", "The request names no channel", detail));
        }
        Ok(wanted)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), Problem> {
        match name {
            "channel" => {
                let filter = self.add_filter(value)?;
                self.new.retain(|new| *new != filter);
            }
            "new_channel" => {
                let before = self.filters.len();
                let filter = self.add_filter(value)?;
                self.new.extend((self.filters.len() > before).then_some(filter));
            }
            "format" => {
                self.style.format = choice(name, value, [("envelope", Format::Envelope), ("raw", Format::Raw)])?
            }
            "events" => self.style.named = choice(name, value, [("named", true), ("message", false)])?,
            "resume" => self.from_earliest = choice(name, value, [("earliest", true), ("latest", false)])?,
            "last_value" => self.last_values = choice(name, value, FLAG)?,
            "conflate" => self.conflate = choice(name, value, FLAG)?,
            "max_rate" => self.max_rate = Some(rate(value)?),
            "lastEventID" | "lastEventId" | "last_event_id" if !value.is_empty() => {
                self.resume = Some(value.to_owned())
            }
            _ => {} // pages add parameters of their own, such as cache busters
        }
        Ok(())
    }

    fn add_filter(&mut self, text: &str) -> Result<Filter, Problem> {
        let filter = Filter::new(text).map_err(|error| {
            Problem::bad_request("bad-filter", "The filter is not valid", format!("{text:?}: {error}"))
        })?;
        if self.filters.contains(&filter) {
            return Ok(filter);
        }
        if self.filters.len() == MAX_FILTERS {
            let detail = format!("a stream follows at most {MAX_FILTERS} filters; use wildcards");
            return Err(Problem::bad_request("too-many-filters", "The request names too many filters", detail));
        }
        self.filters.push(filter.clone());
        Ok(filter)
    }

    /// What the cursor speaks of.
    pub(super) fn resumed(&self) -> Vec<Filter> {
        self.filters.iter().filter(|filter| !self.new.contains(filter)).cloned().collect()
    }
}

const FLAG: [(&str, bool); 2] = [("true", true), ("false", false)];

/// One of two words.
fn choice<T: Copy>(name: &str, value: &str, [first, second]: [(&str, T); 2]) -> Result<T, Problem> {
    match value {
        word if word == first.0 => Ok(first.1),
        word if word == second.0 => Ok(second.1),
        other => Err(bad_option(format!("`{name}` is `{}` or `{}`, not {other:?}", first.0, second.0))),
    }
}

/// `10/s`, `0.5/s` or `30/m`.
fn rate(value: &str) -> Result<Rate, Problem> {
    let (number, seconds) = match value.rsplit_once('/') {
        Some((number, "m" | "min")) => (number, 60.0),
        Some((number, "s")) => (number, 1.0),
        _ => (value, 1.0),
    };
    let number = number.parse::<f64>().ok().map(|number| number / seconds);
    let rate = number.and_then(Rate::per_second);
    rate.ok_or_else(|| {
        bad_option(format!("`max_rate` is a number of messages and a time, as in `10/s` or `30/m`, not {value:?}"))
    })
}

pub(super) fn bad_option(detail: String) -> Problem {
    Problem::bad_request("bad-option", "An option has a value that is not known", detail)
}

/// The names and values of form-encoded parameters (URL Standard, section 5.1). Names are UTF-8 in every protocol: other bytes,
/// which the standard's parser replaces without a word, are refused.
pub(super) fn pairs(parameters: &str) -> impl Iterator<Item = Result<(Cow<'_, str>, Cow<'_, str>), Problem>> {
    let pairs = parameters.split('&').filter(|pair| !pair.is_empty());
    pairs.map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        Ok((decoded(name)?, decoded(value)?))
    })
}

fn decoded(text: &str) -> Result<Cow<'_, str>, Problem> {
    if !text.bytes().any(|byte| matches!(byte, b'%' | b'+')) {
        return Ok(text.into());
    }
    let spaced = text.replace('+', " ");
    let decoded = percent_encoding::percent_decode_str(&spaced).decode_utf8().map_err(|error| {
        let detail = format!("the parameters, percent-decoded, are not UTF-8: {error}");
        Problem::bad_request("bad-encoding", "The parameters are not UTF-8", detail)
    })?;
    Ok(decoded.into_owned().into())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn the_header_wins_over_the_query() {
        let mut headers = HeaderMap::new();
        let query = "channel=a/%23&channel=b&channel=b&format=raw&lastEventID=e.1&_=123";
        let wanted = Wanted::read(query, &headers).unwrap();
        assert_eq!(wanted.filters.iter().map(Filter::as_str).collect::<Vec<_>>(), ["a/#", "b"]);
        assert_eq!((wanted.style.format, wanted.resume.as_deref()), (Format::Raw, Some("e.1")));
        headers.insert("last-event-id", http::HeaderValue::from_static("e.9"));
        assert_eq!(Wanted::read(query, &headers).unwrap().resume.as_deref(), Some("e.9"));
    }

    #[test]
    fn a_new_channel_is_not_resumed() {
        let wanted = Wanted::read("new_channel=a&channel=b&new_channel=b&new_channel=c&channel=c", &HeaderMap::new());
        let wanted = wanted.unwrap();
        let names = |filters: &[Filter]| filters.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(
            (names(&wanted.filters), names(&wanted.new)),
            (vec!["a".into(), "b".into(), "c".into()], vec!["a".into()])
        );
        assert_eq!(names(&wanted.resumed()), ["b", "c"]);
    }

    #[test]
    fn options_are_read() {
        let read = |query: &str| Wanted::read(query, &HeaderMap::new()).unwrap();
        let plain = read("channel=a");
        assert!(
            plain.last_values
                && !plain.from_earliest
                && !plain.conflate
                && plain.max_rate.is_none()
                && !plain.style.named
        );
        let all = read("channel=a&events=named&resume=earliest&last_value=false&conflate=true&max_rate=30/m");
        assert!(!all.last_values && all.from_earliest && all.conflate && all.style.named);
        assert_eq!(all.max_rate, Rate::per_second(0.5));
        assert_eq!(read("channel=a&max_rate=10/s").max_rate, read("channel=a&max_rate=10").max_rate);
    }

    #[test]
    fn faults_name_their_kind() {
        let kind = |query: &str| Wanted::read(query, &HeaderMap::new()).unwrap_err().kind;
        assert_eq!(kind(""), "no-channel");
        assert_eq!(kind("channel="), "bad-filter");
        assert_eq!(kind("channel=a/%23/b"), "bad-filter");
        assert_eq!(kind("channel=a%00"), "bad-filter");
        assert_eq!(kind("channel=a%FF"), "bad-encoding");
        for bad in [
            "format=xml",
            "events=all",
            "resume=x",
            "last_value=1",
            "conflate=",
            "max_rate=0",
            "max_rate=-1/s",
            "max_rate=1/h",
            "max_rate=NaN",
        ] {
            assert_eq!(kind(&format!("channel=a&{bad}")), "bad-option", "{bad}");
        }
        let many: String = (0..=MAX_FILTERS).map(|n| format!("&channel={n}")).collect();
        assert_eq!(kind(&many), "too-many-filters");
    }
}
