//! Replay from history: `ext.replay` of a subscribe request, as Salesforce has it.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::proto::inbound::text;

/// Where a subscription begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Replay {
    /// With the next message (`-1`).
    New,
    /// With the oldest that is kept (`-2`).
    All,
    /// After this place in the present sequence (a number).
    AfterSeq(u64),
    /// After a place as delivered messages tell it (`"EPOCH.SEQ"`).
    After(String),
}

/// What `ext.replay` asks for one of the channels of its request.
///
/// The field is an object by channel name, as the client spells it; a bare number or string is for all of them.
#[must_use]
pub fn read(raw: Option<&RawValue>, channel: &str) -> Option<Replay> {
    let raw = raw?;
    if let Some(replay) = place(raw) {
        return Some(replay);
    }
    #[derive(Deserialize)]
    struct ByChannel<'a>(#[serde(borrow)] std::collections::HashMap<std::borrow::Cow<'a, str>, &'a RawValue>);
    let ByChannel(places) = serde_json::from_str(raw.get()).ok()?;
    place(places.get(channel)?)
}

/// Whether `ext.replay` of a handshake turns the extension on.
#[must_use]
pub fn is_on(raw: Option<&RawValue>) -> bool {
    raw.is_some_and(|raw| raw.get() == "true")
}

fn place(raw: &RawValue) -> Option<Replay> {
    if let Some(text) = text(raw) {
        return match &*text {
            "-1" => Some(Replay::New),
            "-2" => Some(Replay::All),
            place => Some(Replay::After(place.to_owned())),
        };
    }
    match serde_json::from_str::<i64>(raw.get()).ok()? {
        -1 => Some(Replay::New),
        -2 => Some(Replay::All),
        seq => Some(Replay::AfterSeq(u64::try_from(seq).ok()?)),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn salesforce_forms_and_ours() {
        for (json, expected) in [
            (r#"{"/a":-1}"#, Some(Replay::New)),
            (r#"{"/a":-2,"/b":4}"#, Some(Replay::All)),
            (r#"{"/a":17}"#, Some(Replay::AfterSeq(17))),
            (r#"{"/a":"k3.17"}"#, Some(Replay::After("k3.17".into()))),
            (r#"{"/b":17}"#, None),
            ("-2", Some(Replay::All)),
            ("\"-2\"", Some(Replay::All)),
            ("true", None),
            (r#"{"/a":-7}"#, None),
            (r#"{"/a":[]}"#, None),
        ] {
            let raw: Box<RawValue> = serde_json::from_str(json).unwrap();
            assert_eq!(read(Some(&raw), "/a"), expected, "{json}");
        }
    }
}
