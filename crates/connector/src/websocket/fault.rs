/// A client broke the WebSocket protocol; the connection is to be closed with [`WebSocketFault::code`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WebSocketFault {
    /// A reserved bit is set though no extension was agreed (5.2).
    #[error("reserved bit")]
    ReservedBit,
    /// An opcode that does not exist (5.2).
    #[error("unknown opcode")]
    Opcode,
    /// A client's frame is not masked (5.1).
    #[error("frame is not masked")]
    NotMasked,
    /// A control frame is fragmented or longer than 125 bytes (5.5).
    #[error("control frame is fragmented or too long")]
    Control,
    /// A length that is not written in the shortest form (5.2).
    #[error("length is not minimal")]
    Length,
    /// A continuation of nothing, or a new message within a message (5.4).
    #[error("fragments out of order")]
    Fragments,
    /// The body of a close frame is malformed (5.5.1).
    #[error("malformed close frame")]
    Close,
    /// A text message is not UTF-8 (8.1).
    #[error("text is not UTF-8")]
    Utf8,
    /// A frame or message is larger than allowed.
    #[error("larger than allowed")]
    TooLarge,
}

impl WebSocketFault {
    /// The status code of the close frame that answers it (7.4.1).
    #[must_use]
    pub fn code(self) -> u16 {
        match self {
            Self::Utf8 => 1007,
            Self::TooLarge => 1009,
            _ => 1002,
        }
    }
}
