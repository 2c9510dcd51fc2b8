//! What a client asks for: filters and options, from the query and the headers.

use http::HeaderMap;
use ratatosk_connector::http::Problem;
use ratatosk_core::Filter;

use crate::mapping::{Format, Style};

/// The most filters of one stream.
const MAX_FILTERS: usize = 1024;
/// The longest query, in bytes; a longer list belongs into a request body.
pub(super) const MAX_QUERY: usize = 16 << 10;

/// A stream as it was asked for.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Wanted {
    pub(super) filters: Vec<Filter>,
    pub(super) style: Style,
    /// The cursor, as the client sent it.
    pub(super) resume: Option<String>,
}

impl Wanted {
    /// Reads form-encoded parameters (the query, or a form body after it) and the `Last-Event-ID` header. The header
    /// wins: a browser that reconnects repeats the first query and adds its latest id.
    pub(super) fn read(parameters: &str, headers: &HeaderMap) -> Result<Self, Problem> {
        let mut wanted = Self { filters: Vec::new(), style: Style::default(), resume: None };
        for (name, value) in form_urlencoded::parse(parameters.as_bytes()) {
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
            "channel" => self.add_filter(value)?,
            "format" => self.style.format = format(value)?,
            "lastEventID" | "lastEventId" | "last_event_id" if !value.is_empty() => {
                self.resume = Some(value.to_owned())
            }
            _ => {} // pages add parameters of their own, such as cache busters
        }
        Ok(())
    }

    fn add_filter(&mut self, text: &str) -> Result<(), Problem> {
        let filter = Filter::new(text).map_err(|error| {
            Problem::bad_request("bad-filter", "The filter is not valid", format!("{text:?}: {error}"))
        })?;
        if self.filters.contains(&filter) {
            return Ok(());
        }
        if self.filters.len() == MAX_FILTERS {
            let detail = format!("a stream follows at most {MAX_FILTERS} filters; use wildcards");
            return Err(Problem::bad_request("too-many-filters", "The request names too many filters", detail));
        }
        self.filters.push(filter);
        Ok(())
    }
}

fn format(value: &str) -> Result<Format, Problem> {
    match value {
        "envelope" => Ok(Format::Envelope),
        "raw" => Ok(Format::Raw),
        other => Err(Problem::bad_request(
            "bad-option",
            "An option has a value that is not known",
            format!("`format` is `envelope` or `raw`, not {other:?}"),
        )),
    }
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
    fn faults_name_their_kind() {
        let kind = |query: &str| Wanted::read(query, &HeaderMap::new()).unwrap_err().kind;
        assert_eq!(kind(""), "no-channel");
        assert_eq!(kind("channel="), "bad-filter");
        assert_eq!(kind("channel=a/%23/b"), "bad-filter");
        assert_eq!(kind("channel=a%00"), "bad-filter");
        assert_eq!(kind("channel=a&format=xml"), "bad-option");
        let many: String = (0..=MAX_FILTERS).map(|n| format!("&channel={n}")).collect();
        assert_eq!(kind(&many), "too-many-filters");
    }
}
