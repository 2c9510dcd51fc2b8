use super::DecodeError;

/// Quality of service of a PUBLISH or of a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(u8)]
pub enum Qos {
    /// At most once.
    #[default]
    AtMostOnce = 0,
    /// At least once.
    AtLeastOnce = 1,
    /// Exactly once.
    ExactlyOnce = 2,
}

impl Qos {
    /// Reads the two QoS bits. 3 is malformed (MQTT 5, 3.3.1-4).
    pub(crate) fn from_bits(bits: u8) -> Result<Self, DecodeError> {
        match bits {
            0 => Ok(Qos::AtMostOnce),
            1 => Ok(Qos::AtLeastOnce),
            2 => Ok(Qos::ExactlyOnce),
            _ => Err(DecodeError::Qos3),
        }
    }

    /// The number of this quality: 0, 1 or 2.
    #[must_use]
    pub fn level(self) -> u8 {
        self as u8
    }
}
