//! Topics and channels, until the shared mapping is there.

use bytestring::ByteString;
use ratatosk_core::{Channel, Filter};

pub(super) fn channel(topic: &str) -> Option<Channel> {
    Channel::new(topic).ok()
}

pub(super) fn topic(channel: &Channel) -> Option<ByteString> {
    let text = channel.as_str();
    (!text.contains(['+', '#'])).then(|| text.into())
}

pub(super) fn filter(filter: &Filter) -> Option<ByteString> {
    let plain = |level: &str| level == "+" || level == "#" || !level.contains(['+', '#']);
    filter.levels().all(plain).then(|| filter.as_str().into())
}
