//! Sending a message to the far server's publish URL: one request, and what its answer means for the message.

use super::answer;
use super::settings::{Publish, Settings};
use super::template::Template;
use crate::config::SsePublishPreset;
use base64::Engine as _;
use http::{HeaderValue, StatusCode, header};
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use ratatosk_connector::upstream::{Ended, Outbound, Token, hops};
use ratatosk_core::stats::DropReason;
use ratatosk_core::{Fields, Kind, Message, trace};
use std::sync::Arc;
use std::time::Instant;

/// What became of a message.
#[derive(Debug)]
pub(super) enum Sent {
    /// The far server has it.
    Done(Token),
    /// The far server will never take this one.
    Failed(Token, DropReason),
    /// The far server takes none now; the message keeps its place.
    Lost(Token, Ended),
}

/// Sends one message.
pub(super) async fn send(
    http: reqwest::Client,
    settings: Arc<Settings>,
    gateway_id: Arc<str>,
    outbound: Outbound,
) -> Sent {
    let Some(publish) = &settings.publish else { return Sent::Failed(outbound.token, DropReason::Unmappable) };
    let Some(request) = request(&http, publish, &gateway_id, &outbound) else {
        return Sent::Failed(outbound.token, DropReason::Unmappable);
    };
    match request.timeout(publish.timeout).send().await {
        Ok(mut response) => {
            let verdict = verdict(&response, outbound.token);
            // The rest of a short answer is read, so that its connection serves the next message.
            let mut left = 64 * 1024_usize;
            while let Ok(Some(chunk)) = response.chunk().await {
                left = left.saturating_sub(chunk.len());
                if left == 0 {
                    break;
                }
            }
            verdict
        }
        Err(error) => {
            let ended = Ended::lost(format_args!("publishing failed: {}", answer::chain(&error)));
            Sent::Lost(outbound.token, ended)
        }
    }
}

fn verdict(response: &reqwest::Response, token: Token) -> Sent {
    let status = response.status();
    match status.as_u16() {
        200..=299 => Sent::Done(token),
        413 | 414 | 431 => Sent::Failed(token, DropReason::TooLarge),
        // 508, Loop Detected: it has been there.
        508 => Sent::Failed(token, DropReason::Loop),
        400 | 406 | 409 | 411 | 415 | 422 => Sent::Failed(token, DropReason::Denied),
        _ => Sent::Lost(token, unavailable(status, response)),
    }
}

/// Wrong credentials or a wrong URL too: somebody may mend them over there, and until then the queue's bounds hold.
fn unavailable(status: StatusCode, response: &reqwest::Response) -> Ended {
    Ended::lost(format_args!("publishing was answered with status {status}"))
        .after(answer::retry_after(response.headers()))
}

fn request(
    http: &reqwest::Client,
    publish: &Publish,
    gateway_id: &str,
    outbound: &Outbound,
) -> Option<reqwest::RequestBuilder> {
    let message = &*outbound.message;
    let event = message.event().unwrap_or_default();
    let filled = publish.url.fill(|place, out| {
        let text = if place == "channel" { outbound.channel.as_str() } else { event };
        out.extend(percent_encode(text.as_bytes(), NON_ALPHANUMERIC).to_string().bytes());
    });
    let mut url = url::Url::parse(std::str::from_utf8(&filled).ok()?).ok()?;
    if publish.preset == SsePublishPreset::Ratatosk {
        add_query(&mut url, outbound, event);
    }
    let (kind, body) = body(publish, outbound, event)?;
    let mut request = http.post(url).body(body).headers(publish.headers.clone());
    if !publish.headers.contains_key(header::CONTENT_TYPE) {
        request = request.header(header::CONTENT_TYPE, kind);
    }
    if publish.preset == SsePublishPreset::Ratatosk {
        request = request.header(hops::NAME, hops::with_this(message, gateway_id));
        for (name, value) in message.properties().iter().filter(|(name, _)| trace::HEADERS.contains(&&**name)) {
            request = match HeaderValue::from_str(value) {
                Ok(value) => request.header(&**name, value),
                Err(_) => request,
            };
        }
    }
    Some(request)
}

fn add_query(url: &mut url::Url, outbound: &Outbound, event: &str) {
    let mut query = url.query_pairs_mut();
    query.append_pair("channel", outbound.channel.as_str());
    if !event.is_empty() {
        query.append_pair("event", event);
    }
    if outbound.retain {
        query.append_pair("retain", "true");
    }
    if let Some(left) = outbound.message.remaining(Instant::now()) {
        query.append_pair("expiry", &format!("{}ms", left.as_millis().max(1)));
    }
    // What it has a header for is sent there.
    for (name, value) in outbound.message.properties().iter().filter(|(name, _)| !trace::HEADERS.contains(&&**name)) {
        query.append_pair(&format!("property.{name}"), value);
    }
    if let Some(reply_to) = &outbound.reply_to {
        query.append_pair("reply_to", reply_to.as_str());
    }
    if let Some(correlation) = outbound.message.extras().and_then(|extras| extras.correlation.as_deref()) {
        query.append_pair("correlation", &base64::engine::general_purpose::STANDARD.encode(correlation));
    }
}

impl Publish {
    /// What a request tells of a message.
    pub(super) fn carries(&self) -> Fields {
        let part = |there: bool, field: Fields| if there { field } else { Fields::NONE };
        let event = |template: &Template| part(template.mentions(&["event", "event_json"]), Fields::EVENT);
        let types = part(!self.headers.contains_key(header::CONTENT_TYPE), Fields::CONTENT_TYPE);
        match (self.preset, &self.body) {
            (SsePublishPreset::Ratatosk, _) => Fields::ALL,
            (SsePublishPreset::Mercure, _) => Fields::EVENT.and(Fields::PAYLOAD),
            (SsePublishPreset::Raw, None) => event(&self.url).and(types).and(Fields::PAYLOAD),
            (SsePublishPreset::Raw, Some(body)) => {
                let payload = part(body.mentions(&["payload", "payload_json"]), Fields::PAYLOAD);
                event(&self.url).and(event(body)).and(payload)
            }
        }
    }
}

/// The content type and the body; none where the preset cannot carry the payload.
fn body(publish: &Publish, outbound: &Outbound, event: &str) -> Option<(HeaderValue, Vec<u8>)> {
    let message = &*outbound.message;
    if publish.preset == SsePublishPreset::Mercure {
        let form = mercure_form(publish, outbound, event)?;
        return Some((HeaderValue::from_static("application/x-www-form-urlencoded"), form.into_bytes()));
    }
    let Some(template) = publish.body.as_ref().filter(|_| publish.preset == SsePublishPreset::Raw) else {
        return Some((content_type(message), message.payload.to_vec()));
    };
    let filled = template.fill(|place, out| match place {
        "payload" => out.extend_from_slice(&message.payload),
        "channel" => out.extend_from_slice(outbound.channel.as_str().as_bytes()),
        "event" => out.extend_from_slice(event.as_bytes()),
        "payload_json" => out.extend(payload_json(message)),
        "channel_json" => out.extend(json_string(outbound.channel.as_str())),
        _ => out.extend(json_string(event)),
    });
    let is_json = serde_json::from_slice::<serde::de::IgnoredAny>(&filled).is_ok();
    Some((HeaderValue::from_static(if is_json { "application/json" } else { "text/plain; charset=utf-8" }), filled))
}

/// Mercure's publication (draft-dunglas-mercure, section "Publication"): its data is a string, so bytes that are no text have no place.
fn mercure_form(publish: &Publish, outbound: &Outbound, event: &str) -> Option<String> {
    let data = std::str::from_utf8(&outbound.message.payload).ok()?;
    let mut form = form_urlencoded::Serializer::new(String::with_capacity(data.len() + 128));
    form.append_pair("topic", outbound.channel.as_str()).append_pair("data", data);
    if !event.is_empty() {
        form.append_pair("type", event);
    }
    if publish.private {
        form.append_pair("private", "on");
    }
    Some(form.finish())
}

fn content_type(message: &Message) -> HeaderValue {
    let declared = message.content_type().and_then(|text| HeaderValue::from_str(text).ok());
    declared.unwrap_or_else(|| {
        HeaderValue::from_static(match message.kind() {
            Kind::Json => "application/json",
            Kind::Text => "text/plain; charset=utf-8",
            Kind::Binary => "application/octet-stream",
        })
    })
}

/// The payload as a JSON value, as JSON-only clients get it (CONTRACT 5).
fn payload_json(message: &Message) -> Vec<u8> {
    match (message.kind(), std::str::from_utf8(&message.payload)) {
        (Kind::Json, Ok(json)) => json.as_bytes().to_vec(),
        (Kind::Text, Ok(text)) => json_string(text),
        _ => {
            let text = base64::engine::general_purpose::STANDARD.encode(&message.payload);
            format!("{{\"$b64\":\"{text}\"}}").into_bytes()
        }
    }
}

fn json_string(text: &str) -> Vec<u8> {
    let mut out = bytes::BytesMut::new();
    crate::proto::json::put_string(&mut out, text);
    out.to_vec()
}
