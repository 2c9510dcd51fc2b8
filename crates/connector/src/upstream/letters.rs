//! Dead letters: what a rule fails on goes to a channel of ours, with the reason.

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use base64::Engine as _;
use bytes::Bytes;
use ratatosk_core::{Bus, Channel, Connector, Origin, Publication, Qos, message::Kind};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use crate::rules::{Direction, Failure, Rule};

/// The event that dead letters are named by.
pub(crate) const EVENT: &str = "dead_letter";

/// What is told of a message that did not cross.
#[derive(Debug, Clone, Copy)]
pub struct Lost<'a> {
    /// Which way it went.
    pub direction: Direction,
    /// The channel it came by.
    pub channel: &'a Channel,
    /// The channel it was to have.
    pub to: &'a Channel,
    /// Its payload, as it came.
    pub payload: &'a [u8],
    /// The MIME type of that, where one was said.
    pub content_type: Option<&'a str>,
    /// The gateways it passed: its letter has passed them too, so that two gateways do not write to each other for ever
    /// about each other's letters.
    pub hops: &'a Arc<[Arc<str>]>,
}

/// The JSON of a letter.
#[derive(Serialize)]
struct Letter<'a> {
    upstream: &'a str,
    direction: &'static str,
    rule: &'a str,
    channel: &'a str,
    to: &'a str,
    reason: &'a str,
    detail: &'a str,
    time: u64,
    payload: Box<RawValue>,
}

/// The letter about a message, to the channel of its rule; `None` where the rule has none.
#[must_use]
pub fn letter(upstream: &str, rule: &Rule, lost: &Lost<'_>, failure: &Failure) -> Option<Publication> {
    let channel = rule.treatment()?.dead_letter()?.clone();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let letter = Letter {
        upstream,
        direction: lost.direction.key(),
        rule: rule.key(),
        channel: lost.channel.as_str(),
        to: lost.to.as_str(),
        reason: failure.reason,
        detail: &failure.detail,
        time: u64::try_from(now.as_millis()).unwrap_or(u64::MAX),
        payload: shown(lost.payload, lost.content_type)?,
    };
    let json = serde_json::to_vec(&letter).ok()?;
    let origin = Origin { hops: lost.hops.clone(), ..Origin::gateway() };
    let publication = Publication::new(channel, Bytes::from(json), origin).with_event(EVENT);
    Some(publication.with_qos(Qos::AtLeastOnce))
}

/// JSON as it is, text as a string, anything else as `{"$b64": ...}`.
fn shown(payload: &[u8], content_type: Option<&str>) -> Option<Box<RawValue>> {
    let text = || std::str::from_utf8(payload).ok();
    match Kind::of(payload, content_type) {
        Kind::Json => RawValue::from_string(text()?.to_owned()).ok(),
        Kind::Text => to_raw_value(text()?).ok(),
        Kind::Binary => {
            let encoded = base64::engine::general_purpose::STANDARD.encode(payload);
            to_raw_value(&serde_json::json!({ "$b64": encoded })).ok()
        }
    }
}

/// Whether a message is a letter itself: about those there are none, or a rule that fails on its own letters would write for ever.
#[must_use]
pub fn is_letter(origin: &Origin, event: Option<&str>) -> bool {
    origin.connector == Connector::GATEWAY && event == Some(EVENT)
}

/// Publishes the letter about a message, and counts it.
pub(super) fn send(bus: &Bus, upstream: &Arc<str>, rule: &Rule, lost: &Lost<'_>, failure: &Failure) {
    tracing::debug!(%upstream, rule = rule.key(), reason = failure.reason, "a message did not cross");
    let Some(publication) = letter(upstream, rule, lost, failure) else { return };
    if bus.publish(publication).is_ok()
        && let Some(treatment) = rule.treatment()
    {
        treatment.counts().count_dead_letter();
    }
}
