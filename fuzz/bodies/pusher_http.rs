//! What the Pusher HTTP API and the fallbacks read: anything may come, and what is taken keeps every limit.

use ratatosk_pusher::proto::{
    fallback, follow,
    http::{Event, Info, authenticate, batch, event, trigger_from_query},
    name::is_reserved_event,
    policy::Policy,
    query::Query,
    sign,
};

const NOW: u64 = 1_700_000_000;

/// Runs one request: its query to the first line end, its body after it.
///
/// # Panics
/// When a promise is broken.
pub fn run(data: &[u8]) {
    let policy = Policy::new("app", "key", "secret");
    let cut = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let (query, body) = (String::from_utf8_lossy(&data[..cut]), data.get(cut + 1..).unwrap_or_default());
    unsigned_is_refused(&policy, &query, body);
    signed_is_taken(&policy, &query, body);

    let query = Query::parse(&query);
    if let Ok(event) = event(&policy, body) {
        keeps_limits(&policy, &event);
    }
    if let Ok(events) = batch(&policy, body) {
        assert!(events.len() <= policy.limits.batch_events);
        events.iter().for_each(|event| keeps_limits(&policy, event));
    }
    if let Ok(event) = trigger_from_query(&policy, "private-a", &query, body) {
        keeps_limits(&policy, &event);
    }
    let _ = Info::parse(query.get("info"));
    if let Some(texts) = fallback::sent(body) {
        // What a client sends by the fallbacks is what it would send by WebSocket.
        let again = serde_json::to_vec(&texts).expect("strings are JSON");
        assert_eq!(fallback::sent(&again), Some(texts));
    }
    // What a server sends to us as its client.
    let _ = follow::read(&String::from_utf8_lossy(body));
}

fn keeps_limits(policy: &Policy, event: &Event) {
    let limits = &policy.limits;
    assert!(event.name.chars().count() <= limits.event_name_chars && !is_reserved_event(&event.name), "{event:?}");
    assert!((1..=limits.event_channels).contains(&event.channels.len()), "{event:?}");
    assert!(event.data.as_str().len() <= limits.event_bytes);
    for (channel, kind) in &event.channels {
        assert_eq!(policy.kind(channel), Ok(*kind));
    }
}

fn unsigned_is_refused(policy: &Policy, query: &str, body: &[u8]) {
    let forged = format!("auth_key=key&auth_timestamp={NOW}&auth_version=1.0&{query}");
    assert!(authenticate(policy, "POST", "/apps/app/events", &forged, body, NOW).is_err(), "{forged}");
}

/// A query that was signed as every SDK signs it, with whatever other parameters it has.
fn signed_is_taken(policy: &Policy, query: &str, body: &[u8]) {
    let plain = |text: &str| text.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_lowercase();
    let mut pairs = [
        ("auth_key".to_owned(), policy.key.clone()),
        ("auth_timestamp".to_owned(), NOW.to_string()),
        ("auth_version".to_owned(), "1.0".to_owned()),
        ("body_md5".to_owned(), sign::body_md5(body)),
        ("x".to_owned(), plain(query)),
    ];
    pairs.sort();
    let canonical = pairs.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join("&");
    let signature = sign::sign(&policy.secret, format!("POST\n/apps/app/events\n{canonical}").as_bytes());
    let whole = format!("{canonical}&auth_signature={signature}");
    assert_eq!(authenticate(policy, "POST", "/apps/app/events", &whole, body, NOW), Ok(()), "{whole}");
    let altered = format!("{whole}&y=1");
    assert!(authenticate(policy, "POST", "/apps/app/events", &altered, body, NOW).is_err(), "{altered}");
}
