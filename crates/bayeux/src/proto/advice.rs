//! What the server advises (Bayeux 1.0, section "advice").

use ratatosk_core::EndReason;

use crate::proto::Millis;

/// What the client should do when a request is answered or has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reconnect {
    /// Connect again.
    Retry,
    /// Begin a new session.
    Handshake,
    /// Stop.
    None,
}

/// The advice of one reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Advice {
    /// What to do next.
    pub reconnect: Reconnect,
    /// How long to wait before that.
    pub interval: Option<Millis>,
    /// How long a connect will be held.
    pub timeout: Option<Millis>,
    /// Whether the browser holds too many sessions for this one to be held.
    pub multiple_clients: bool,
}

impl Advice {
    /// The session is gone: begin another at once.
    pub const HANDSHAKE: Self =
        Self { reconnect: Reconnect::Handshake, interval: Some(0), timeout: None, multiple_clients: false };
    /// The session has ended and none is wanted.
    pub const NONE: Self =
        Self { reconnect: Reconnect::None, interval: Some(0), timeout: None, multiple_clients: false };

    /// What a session's last reply says, by why it ended.
    #[must_use]
    pub fn farewell(reason: EndReason, session: &str) -> Self {
        use EndReason::{Closed, Drain, Expired, Io, Limit, Slow, TakenOver, Timeout};
        match reason {
            // With another token, another session may begin.
            Expired | Slow | Limit | Timeout | TakenOver | Closed | Io => Self::HANDSHAKE,
            // Spread over three seconds, so that a restart does not meet all clients at once.
            Drain => {
                let spread = session.bytes().fold(0_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
                Self {
                    reconnect: Reconnect::Retry,
                    interval: Some(spread % 3000),
                    timeout: None,
                    multiple_clients: false,
                }
            }
            _ => Self::NONE,
        }
    }

    /// Appends the JSON object.
    pub fn write(&self, out: &mut Vec<u8>) {
        let word = match self.reconnect {
            Reconnect::Retry => "retry",
            Reconnect::Handshake => "handshake",
            Reconnect::None => "none",
        };
        out.extend_from_slice(b"{\"reconnect\":\"");
        out.extend_from_slice(word.as_bytes());
        out.push(b'"');
        for (name, value) in [("interval", self.interval), ("timeout", self.timeout)] {
            if let Some(value) = value {
                out.extend_from_slice(format!(",\"{name}\":{value}").as_bytes());
            }
        }
        if self.multiple_clients {
            out.extend_from_slice(b",\"multiple-clients\":true");
        }
        out.push(b'}');
    }
}
