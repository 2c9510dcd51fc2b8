//! `POST /publish?channel=NAME[&event=E][&retain=true]`: any body becomes a message.
//!
//! What else a message may say of itself can be asked for, too: `expiry=30s`, `property.NAME=VALUE` (any number of them, in order),
//! `reply_to=CHANNEL`, `correlation=BASE64`.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use base64::Engine as _;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode, header, request::Parts};
use ratatosk_connector::{
    access::{Disapproved, Visitor},
    config_types::Duration,
    http::{Problem, read_body, trace_context},
    limits::{Limit, Pressure},
    upstream::hops,
};
use ratatosk_core::{Channel, Origin, Publication, PublishError, Receipt, channel::has_wildcard, stats::DropReason};
use smallvec::SmallVec;

use super::{
    Server, foreign_origin,
    query::{bad_option, pairs},
    token,
};

static HOPS: HeaderName = HeaderName::from_static(hops::NAME);

/// A body of which a read buffer holds little else.
const LONG: usize = 64 << 10;
/// What HTTP clients send when nobody told them the type: curl a form's, `fetch` that of a string (Fetch standard, "extract a body").
const NO_TYPES: [&str; 2] = ["application/x-www-form-urlencoded", "text/plain;charset=UTF-8"];

pub(super) async fn handle(State(server): State<Server>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let cors = server.0.origins.answer(&parts.headers);
    let mut answer = match publish(&server, parts, body).await {
        Ok(receipt) => accepted(&server, &receipt),
        Err(problem) => problem.into_response(),
    };
    answer.headers_mut().extend(cors);
    answer
}

fn accepted(server: &Server, receipt: &Receipt) -> Response {
    // None waits for its channel's turn: it has no place yet.
    let body = match receipt.seq {
        Some(seq) => ["{\"id\":\"", server.0.bus.epoch(), ".", itoa::Buffer::new().format(seq), "\"}\n"].concat(),
        None => "{\"id\":null}\n".to_owned(),
    };
    let mut answer = Response::new(Body::from(body));
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

async fn publish(server: &Server, parts: Parts, body: Body) -> Result<Receipt, Problem> {
    let rights = token::visitor(&parts.extensions)?;
    if !server.0.origins.allows(&parts.headers) {
        return Err(foreign_origin(&parts.headers));
    }
    let mut publication = head(server, &parts)?;
    if !rights.may_publish(&publication.channel) {
        server.0.bus.stats().dropped(server.0.http, DropReason::Denied, 1);
        let detail = format!("{:?} may not be published to", publication.channel.as_str());
        return Err(Problem::new(StatusCode::FORBIDDEN, "publish-denied", "Publishing is not allowed", detail));
    }
    publication.origin.user = rights.user().cloned();
    pace(server, &parts, rights.user())?;
    let too_large = || {
        let detail = format!("a payload has at most {} bytes (`limits.payload`)", server.0.max_body);
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", "The payload is too large", detail)
    };
    // What is announced as too large is not waited for.
    if http_body::Body::size_hint(&body).lower() > server.0.max_body as u64 {
        return Err(too_large());
    }
    publication.payload = own(read_body(body, server.0.max_body).await.map_err(|_| too_large())?);
    let publication = rights.approve(publication).await.map_err(|why| disapproved(server, &why))?;
    server.0.bus.admission().await;
    server.0.bus.publish(publication).map_err(refused)
}

fn disapproved(server: &Server, why: &Disapproved) -> Problem {
    server.0.bus.stats().dropped(server.0.http, DropReason::Denied, 1);
    let (status, kind) = match why {
        Disapproved::Denied(_) => (StatusCode::FORBIDDEN, "publish-denied"),
        Disapproved::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "auth-unavailable"),
    };
    Problem::new(status, kind, "Publishing is not allowed", why.to_string())
}

/// Whether the caller may publish now.
pub(super) fn pace(server: &Server, parts: &Parts, user: Option<&Arc<str>>) -> Result<(), Problem> {
    let (limits, http) = (server.0.access.limits(), server.0.http);
    if limits.pressure() == Pressure::Hold {
        limits.refused(http, Limit::Memory);
        return Err(Problem::limited(Limit::Memory));
    }
    let address = parts.extensions.get::<Visitor>().and_then(|visitor| visitor.address);
    limits.publish(user, address).map_err(|early| {
        limits.refused(http, Limit::PublishRate);
        server.0.bus.stats().dropped(http, DropReason::RateLimited, 1);
        Problem::from(early)
    })
}

/// A short body is a slice of the connection's read buffer: as long as the message is kept, it would keep all of that, and
/// the connection would need another.
fn own(body: Bytes) -> Bytes {
    if body.len() < LONG { Bytes::copy_from_slice(&body) } else { body }
}

/// All of a publication but its payload.
fn head(server: &Server, parts: &Parts) -> Result<Publication, Problem> {
    let mut publication = asked(parts.uri.query().unwrap_or_default(), Origin::connector(server.0.http))?;
    let text = |header: &HeaderName| parts.headers.get(header).and_then(|value| value.to_str().ok());
    if let Some(content_type) = text(&header::CONTENT_TYPE).filter(|mime| !NO_TYPES.contains(mime)) {
        publication.extras_mut().content_type = Some(content_type.into());
    }
    if let Some(passed) = text(&HOPS) {
        publication.origin.hops = hops::parse(passed).into();
    }
    let context = trace_context(&parts.headers);
    if !context.is_empty() {
        publication.extras_mut().properties.extend(context);
    }
    Ok(publication)
}

/// What the query asks for.
fn asked(query: &str, origin: Origin) -> Result<Publication, Problem> {
    let pairs: SmallVec<[_; 4]> = pairs(query).collect::<Result<_, _>>()?;
    let Some((_, channel)) = pairs.iter().rfind(|(key, _)| key == "channel") else {
        let detail = "name where to, as in `/publish?channel=sensors/kitchen/temp`";
        return Err(Problem::bad_request("no-channel", "The request names no channel", detail));
    };
    let mut publication = Publication::new(name(channel)?, "", origin);
    for (key, value) in &pairs {
        match &**key {
            "event" if !value.is_empty() => publication.extras_mut().event = Some((**value).into()),
            "retain" => publication.retain = flag("retain", value)?,
            "expiry" => publication.expiry = Some(expiry(value)?),
            "reply_to" => publication.extras_mut().reply_to = Some(name(value)?),
            "correlation" => publication.extras_mut().correlation = Some(correlation(value)?),
            other => {
                if let Some(property) = other.strip_prefix("property.") {
                    publication.extras_mut().properties.push((property.into(), (**value).into()));
                }
            }
        }
    }
    Ok(publication)
}

/// `30s`, `1m 30s`, or seconds as a plain number.
fn expiry(value: &str) -> Result<std::time::Duration, Problem> {
    let seconds = value.parse().ok().and_then(|seconds| std::time::Duration::try_from_secs_f64(seconds).ok());
    let life = seconds.or_else(|| value.parse().ok().map(Duration::get)).filter(|life| !life.is_zero());
    life.ok_or_else(|| bad_option(format!("`expiry` is a length of time, as in `30s`, not {value:?}")))
}

fn correlation(value: &str) -> Result<Bytes, Problem> {
    let bytes = base64::engine::general_purpose::STANDARD.decode(value);
    bytes.map(Bytes::from).map_err(|error| bad_option(format!("`correlation` is no base64: {error}")))
}

fn name(text: &str) -> Result<Channel, Problem> {
    let bad = |detail: String| Problem::bad_request("bad-channel", "The channel name is not valid", detail);
    let channel = Channel::new(text).map_err(|error| bad(format!("{text:?}: {error}")))?;
    if has_wildcard(channel.as_str()) {
        return Err(bad(format!("{text:?} is a filter: a message is published to one channel, without wildcards")));
    }
    Ok(channel)
}

fn flag(name: &str, value: &str) -> Result<bool, Problem> {
    match value {
        "true" | "1" | "" => Ok(true),
        "false" | "0" => Ok(false),
        other => Err(bad_option(format!("`{name}` is `true` or `false`, not {other:?}"))),
    }
}

fn refused(error: PublishError) -> Problem {
    match error {
        PublishError::Reserved => Problem::new(
            StatusCode::FORBIDDEN,
            "reserved-channel",
            "The channel is the gateway's own",
            error.to_string(),
        ),
        PublishError::Loop => {
            Problem::new(StatusCode::LOOP_DETECTED, "loop", "The message came back to where it was", error.to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn read(query: &str) -> Result<Publication, Problem> {
        asked(query, Origin::gateway())
    }

    #[test]
    fn all_that_a_message_may_say_is_read_from_the_query() {
        let query = "channel=a/b&event=alarm&retain=true&expiry=90&property.unit=C&property.unit=K&property.a%3Db=&reply_to=r/1\
            &correlation=AAE%3D&_=123";
        let publication = read(query).unwrap();
        let extras = publication.extras.unwrap();
        let properties: Vec<(&str, &str)> = extras.properties.iter().map(|(name, value)| (&**name, &**value)).collect();
        assert_eq!(properties, [("unit", "C"), ("unit", "K"), ("a=b", "")]);
        assert_eq!((publication.channel.as_str(), publication.retain), ("a/b", true));
        assert_eq!(publication.expiry, Some(std::time::Duration::from_secs(90)));
        assert_eq!((extras.event.as_deref(), extras.reply_to.unwrap().as_str()), (Some("alarm"), "r/1"));
        assert_eq!(extras.correlation.as_deref(), Some(&[0, 1][..]));
        assert_eq!(read("channel=a&expiry=1m%2030s").unwrap().expiry, publication.expiry);
        assert!(read("channel=a").unwrap().extras.is_none());
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for bad in ["retain=yes", "expiry=", "expiry=0", "expiry=-1", "expiry=soon", "correlation=%3F"] {
            assert_eq!(read(&format!("channel=a&{bad}")).unwrap_err().kind, "bad-option", "{bad}");
        }
        assert_eq!(read("channel=a&reply_to=%23").unwrap_err().kind, "bad-channel");
        assert_eq!(read("event=a").unwrap_err().kind, "no-channel");
    }
}
