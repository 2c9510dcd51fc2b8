//! What an answer, or its absence, means: go on, come back later, or stop for good (HTML Standard, section 9.2.3).

use http::{HeaderMap, StatusCode, header};
use ratatosk_connector::upstream::Ended;
use std::error::Error;
use std::time::Duration;

/// The longest that a server can keep us away: a reconnection time or `Retry-After` beyond it is a mistake.
pub(super) const MAX_PAUSE: Duration = Duration::from_secs(600);

/// Whether the answer is an event stream, and what follows when it is not.
pub(super) fn judge(status: StatusCode, headers: &HeaderMap) -> Result<(), Ended> {
    if status != StatusCode::OK {
        return Err(refusal(status, headers, "the stream"));
    }
    let kind = headers.get(header::CONTENT_TYPE).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let essence = kind.as_deref().map(|kind| kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase());
    match essence.as_deref() {
        Some("text/event-stream") => Ok(()),
        Some(other) => Err(Ended::refused(format_args!("the answer is {:?}, not text/event-stream", short(other)))),
        None => Err(Ended::refused("the answer has no content type, so it is no event stream")),
    }
}

/// What follows a status that is not the wanted one.
pub(super) fn refusal(status: StatusCode, headers: &HeaderMap, what: &str) -> Ended {
    let reason = format!("{what} was answered with status {status}");
    match status.as_u16() {
        204 => Ended::refused("the server ended the stream for good (204)"),
        408 | 421 | 425 | 429 | 500 | 502..=504 | 507..=599 => Ended::lost(reason).after(retry_after(headers)),
        _ => Ended::refused(reason),
    }
}

/// `Retry-After` in seconds (RFC 9110, section 10.2.3); a date is taken as "later" and left to the backoff.
pub(super) fn retry_after(headers: &HeaderMap) -> Duration {
    let seconds = headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
    seconds.map_or(Duration::ZERO, Duration::from_secs).min(MAX_PAUSE)
}

/// What follows a failure to get an answer. A certificate that is wrong, a redirect that leads nowhere: trying again is no help.
pub(super) fn failure(error: &reqwest::Error) -> Ended {
    let reason = chain(error);
    if error.is_redirect() || error.is_builder() || certificate_fault(error) {
        Ended::refused(reason)
    } else {
        Ended::lost(reason)
    }
}

/// An error with its causes, without the URL, which may hold a secret.
pub(super) fn chain(error: &reqwest::Error) -> String {
    let mut causes: Vec<String> = Vec::new();
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        if causes.last().is_none_or(|last| !last.contains(&text)) {
            causes.push(text);
        }
        next = cause.source();
    }
    if causes.is_empty() {
        causes.push(if error.is_timeout() { "timed out" } else { "the request failed" }.to_owned());
    }
    causes.join(": ")
}

/// Looks into I/O errors too, which do not count what they wrap among their sources.
fn certificate_fault(error: &(dyn Error + 'static)) -> bool {
    if let Some(rustls::Error::InvalidCertificate(_)) = error.downcast_ref::<rustls::Error>() {
        return true;
    }
    let wrapped = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    wrapped.is_some_and(|inner| certificate_fault(inner)) || error.source().is_some_and(certificate_fault)
}

fn short(text: &str) -> String {
    text.chars().take(60).collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use http::HeaderValue;
    use ratatosk_connector::upstream::EndKind;

    fn headers(name: header::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn only_200_with_an_event_stream_goes_on() {
        for kind in ["text/event-stream", "TEXT/Event-Stream; charset=latin1", " text/event-stream ;x"] {
            assert_eq!(judge(StatusCode::OK, &headers(header::CONTENT_TYPE, kind)), Ok(()), "{kind}");
        }
        for kind in ["text/html", "text/event-stream-x", "", "application/json; text/event-stream"] {
            assert_eq!(
                judge(StatusCode::OK, &headers(header::CONTENT_TYPE, kind)).unwrap_err().kind(),
                EndKind::Refused,
                "{kind}"
            );
        }
        assert_eq!(judge(StatusCode::OK, &HeaderMap::new()).unwrap_err().kind(), EndKind::Refused);
    }

    #[test]
    fn statuses_are_for_good_or_for_now() {
        let stream = headers(header::CONTENT_TYPE, "text/event-stream");
        for status in [201, 204, 205, 206, 299, 304, 400, 401, 403, 404, 410, 451, 501, 505] {
            let ended = judge(StatusCode::from_u16(status).unwrap(), &stream).unwrap_err();
            assert_eq!(ended.kind(), EndKind::Refused, "{status}");
        }
        for status in [408, 425, 429, 500, 502, 503, 504, 520, 524] {
            let ended = judge(StatusCode::from_u16(status).unwrap(), &stream).unwrap_err();
            assert_eq!(ended.kind(), EndKind::Lost, "{status}");
        }
    }

    #[test]
    fn a_retry_after_is_heeded_within_reason() {
        for (text, seconds) in [
            ("7", 7),
            ("99999999", 600),
            ("-1", 0),
            ("Fri, 31 Dec 1999 23:59:59 GMT", 0),
            ("99999999999999999999999", 0),
        ] {
            assert_eq!(retry_after(&headers(header::RETRY_AFTER, text)).as_secs(), seconds, "{text}");
        }
    }
}
