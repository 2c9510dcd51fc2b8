//! Channel names and filters as configuration values.

use std::{fmt, ops::Deref, str::FromStr};

use ratatosk_core::{Channel, Filter};

use super::{ValueError, text_value};

/// A channel filter in canonical (MQTT) form, such as `"sensors/+/temp"` or `"sensors/#"`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct FilterValue(pub Filter);

text_value!(
    FilterValue,
    "filter",
    "A channel filter: `+` stands for one level, a final `#` for all below.",
    "sensors/#"
);

/// A channel name in canonical form, such as `"sensors/kitchen/temp"`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ChannelValue(pub Channel);

text_value!(ChannelValue, "channel", "A channel name, without wildcards.", "sensors/kitchen/temp");

impl FilterValue {
    /// The filter itself.
    #[must_use]
    pub fn get(&self) -> &Filter {
        &self.0
    }
}

impl ChannelValue {
    /// The channel itself.
    #[must_use]
    pub fn get(&self) -> &Channel {
        &self.0
    }
}

impl Deref for FilterValue {
    type Target = Filter;
    fn deref(&self) -> &Filter {
        &self.0
    }
}

impl Deref for ChannelValue {
    type Target = Channel;
    fn deref(&self) -> &Channel {
        &self.0
    }
}

impl fmt::Display for FilterValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

impl fmt::Display for ChannelValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

impl FromStr for FilterValue {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        Filter::new(text).map(Self).map_err(|error| {
            ValueError::new(
                format!("{} is not a channel filter: {error}", shown(text)),
                "write levels joined by `/`, with `+` for one level and `#` only as the last",
            )
        })
    }
}

impl FromStr for ChannelValue {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        Channel::new(text).map(Self).map_err(|error| {
            ValueError::new(format!("{} is not a channel name: {error}", shown(text)), "write levels joined by `/`")
        })
    }
}

/// The text in quotes, cut when it is too long to read.
fn shown(text: &str) -> String {
    const READABLE: usize = 80;
    match text.char_indices().nth(READABLE) {
        Some((end, _)) => format!("{:?}...", text.get(..end).unwrap_or_default()),
        None => format!("{text:?}"),
    }
}
