//! The rewriting itself: a name that `from` matches becomes the name that `to` makes of it.

use ratatosk_core::{Channel, Filter};

use super::levels::{Capture, Captures, intersect};

/// The channel that `to` makes of what the wildcards of `from` stood for.
///
/// `None` where `from` does not match, and for the few names outside the bijection: results that are empty
/// (`x/# -> #` has no name for the parent `x`), too long, or reserved although `to` begins with a wildcard.
pub(super) fn channel(from: &Filter, to: &Filter, name: &Channel) -> Option<Channel> {
    if !from.matches(name) {
        return None;
    }
    let made = Channel::new(substitute(from.as_str(), to.as_str(), name.as_str())?).ok()?;
    to.matches(&made).then_some(made)
}

/// The filter on the `to` side that stands for the part of `from` that `wanted` asks for.
pub(super) fn filter(from: &Filter, to: &Filter, wanted: &Filter) -> Option<Filter> {
    let met = intersect(from.as_str(), wanted.as_str())?;
    Filter::new(substitute(from.as_str(), to.as_str(), &met)?).ok()
}

fn substitute(from: &str, to: &str, name: &str) -> Option<String> {
    let mut captures = Captures::new(from, name);
    let mut made = String::with_capacity(name.len() + to.len());
    let mut first = true;
    for level in to.split('/') {
        let piece = match level {
            "+" | "#" => match captures.next()? {
                Capture::Level(level) => level,
                Capture::Rest(Some(rest)) => rest,
                Capture::Rest(None) => continue,
            },
            fixed => fixed,
        };
        if !first {
            made.push('/');
        }
        made.push_str(piece);
        first = false;
    }
    (!first).then_some(made)
}
