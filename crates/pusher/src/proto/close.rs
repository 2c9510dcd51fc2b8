//! Close codes (Pusher, "Websocket protocol", "Connection closure"); the range tells the client what to do:
//! 4000-4099 do not come back unchanged, 4100-4199 come back later, 4200-4299 come back at once.

/// Why a connection is closed by the server: the code, and the text of the `pusher:error` before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Close {
    /// No application has this key.
    #[error("Application key is unknown")]
    UnknownApp,
    /// The application is switched off.
    #[error("Application is disabled")]
    AppDisabled,
    /// The application has as many connections as it may.
    #[error("Application is over its connection quota")]
    OverQuota,
    /// The `version` or `protocol` parameter is not a number.
    #[error("Invalid version string format")]
    BadVersion,
    /// Only protocols 5 to 7 are spoken.
    #[error("Unsupported protocol version")]
    Protocol,
    /// Neither signed in nor subscribed to a private channel in time, or sent away by the application.
    #[error("Connection is unauthorized")]
    Unauthorized,
    /// The gateway has no room now.
    #[error("Over capacity")]
    OverCapacity,
    /// The gateway is going away.
    #[error("Server is shutting down, please reconnect")]
    Restart,
    /// A ping was not answered.
    #[error("Pong reply not received")]
    NoPong,
    /// The client reads too slowly.
    #[error("The connection does not keep up, please reconnect")]
    TooSlow,
}

impl Close {
    /// The WebSocket close code.
    #[must_use]
    pub fn code(self) -> u16 {
        match self {
            Self::UnknownApp => 4001,
            Self::AppDisabled => 4003,
            Self::OverQuota => 4004,
            Self::BadVersion => 4006,
            Self::Protocol => 4007,
            Self::Unauthorized => 4009,
            Self::OverCapacity => 4100,
            Self::Restart | Self::TooSlow => 4200,
            Self::NoPong => 4201,
        }
    }
}

/// What a client does about a close code (Pusher, "Connection closure"; pusher-js `protocol.ts`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reaction {
    /// 4000: connect again at once, over TLS.
    UseTls,
    /// 4001-4099: connecting again unchanged is useless.
    Stop,
    /// 4100-4199: come back after a second or more.
    BackOff,
    /// 4200-4299: come back at once.
    Now,
    /// Anything else: come back in the ordinary rhythm.
    Retry,
}

impl Reaction {
    /// The reaction to a close code.
    #[must_use]
    pub fn to(code: u16) -> Self {
        match code {
            4000 => Self::UseTls,
            4001..=4099 => Self::Stop,
            4100..=4199 | 1002..=1004 => Self::BackOff,
            4200..=4299 => Self::Now,
            _ => Self::Retry,
        }
    }
}
