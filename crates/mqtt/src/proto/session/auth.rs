//! Enhanced authentication (MQTT 5, 4.12): several steps under a named method.

use std::sync::Arc;

use bytes::Bytes;

/// What follows from a client's step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The server's next data; the client answers with AUTH.
    Continue(Bytes),
    /// The client is who it says; the data, if any, goes into CONNACK (or the last AUTH).
    Done {
        /// The authenticated user.
        user: Arc<str>,
        /// The server's last data.
        data: Option<Bytes>,
    },
    /// It is not.
    Refuse,
}

/// One exchange under way. It does no input or output: what it needs was given when it began.
pub trait Exchange: Send {
    /// Takes the client's data of one step.
    fn step(&mut self, data: &[u8]) -> Step;
}

/// The authentication methods a server knows.
pub trait Methods: Send + Sync {
    /// Begins an exchange; `None` refuses the method with 0x8C.
    fn begin(&self, method: &str) -> Option<Box<dyn Exchange>>;
}
