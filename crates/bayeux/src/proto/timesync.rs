//! The time synchronisation extension (CometD, "timesync").
//!
//! In: `{tc, l, o}`, the client's clock, its estimate of the network lag and of the clocks' offset. Out:
//! `{tc, ts, p, a}`: the same clock, the server's, how long the request was processed, and how wrong the
//! client's estimate is.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::proto::Millis;

/// An estimate within this many milliseconds needs no correction.
const ACCURATE: i64 = 25;

/// What a client sends.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
struct Wire {
    tc: f64,
    #[serde(default)]
    l: f64,
    #[serde(default)]
    o: f64,
}

/// What a client sent, and when it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    tc: i64,
    ts: Millis,
    a: i64,
    first: bool,
}

/// What is sent back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// The client's clock when it sent.
    pub tc: i64,
    /// The server's clock when it received.
    pub ts: Millis,
    /// How long the request was processed.
    pub p: Millis,
    /// How far off the client's estimate is.
    pub a: i64,
}

impl Request {
    /// Reads `ext.timesync`; `wall` is the Unix time in milliseconds.
    #[must_use]
    pub fn read(raw: Option<&RawValue>, wall: Millis) -> Option<Self> {
        let Wire { tc, l, o } = serde_json::from_str(raw?.get()).ok()?;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a float cast saturates, and an absurd clock only misleads its owner"
        )]
        let [tc, lag, offset] = [tc, l, o].map(|value| value as i64);
        let ts = i64::try_from(wall).unwrap_or(i64::MAX);
        let a = tc.saturating_add(offset).saturating_add(lag).saturating_sub(ts);
        Some(Self { tc, ts: wall, a, first: lag == 0 })
    }

    /// The answer after `processed` milliseconds; none where the client's estimate is good.
    #[must_use]
    pub fn answer(self, processed: Millis) -> Option<Answer> {
        let wanted = self.first || self.a.saturating_abs() >= ACCURATE;
        wanted.then_some(Answer { tc: self.tc, ts: self.ts, p: processed, a: self.a })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn read(json: &str, wall: Millis) -> Option<Request> {
        let raw: Box<RawValue> = serde_json::from_str(json).unwrap();
        Request::read(Some(&raw), wall)
    }

    #[test]
    fn corrects_a_new_or_wrong_estimate_only() {
        let first = read(r#"{"tc":1000,"l":0,"o":0}"#, 5000).unwrap();
        assert_eq!(first.answer(7), Some(Answer { tc: 1000, ts: 5000, p: 7, a: -4000 }));
        assert_eq!(read(r#"{"tc":1000,"l":10,"o":4000}"#, 5000).unwrap().answer(7), None);
        assert!(read(r#"{"tc":1000,"l":10,"o":4015}"#, 5000).unwrap().answer(7).is_some());
        assert_eq!(read(r#"{"l":0}"#, 1), None);
        assert_eq!(read("true", 1), None);
        assert!(read(r#"{"tc":1e300,"l":1e300,"o":1e300}"#, u64::MAX).is_some());
    }
}
