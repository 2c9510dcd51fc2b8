//! Where Bayeux channel names meet canonical ones: the only file pair that knows both.
//!
//! The codec is a total bijection between canonical names and the names it writes. It reads more than it
//! writes: CometD's wider character set, needless escapes and a trailing slash. See `docs/protocols/bayeux.md`.

use ratatosk_core::{Channel, ChannelError, Fields, Filter, FilterError, channel::has_wildcard};

mod level;
#[cfg(test)]
mod tests;

use level::{decode_level, encode_level};

/// The first level of the channels where publications to services are handed on to bridges: `/service/x` is
/// `$service/x`. No client hears them, not even by this name.
pub(crate) const SERVICES: &str = "$service";

/// What a Bayeux message tells of any other: what has no field of its own is in `ext` ([`crate::proto::details`]).
pub const CARRIES: Fields = Fields::ALL;

/// What a Bayeux channel name stands for (Bayeux 1.0, sections "Channel names" and "Channel Globbing").
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Name {
    /// `/meta/...`: the protocol's own, never distributed.
    Meta,
    /// `/service/...`: between one session and the server's handlers; `None` where it is a wildcard.
    Service(Option<Channel>),
    /// One channel.
    Channel(Channel),
    /// A name whose last segment is `*` or `**`.
    Pattern(Pattern),
}

/// A Bayeux wildcard in canonical terms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    /// The filter to subscribe to.
    pub filter: Filter,
    /// The one channel that the filter matches and the Bayeux pattern does not: `a` for `/a/**`.
    pub parent: Option<Channel>,
}

/// Why a text is not a Bayeux channel name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// It does not begin with a slash, or nothing follows the slash.
    #[error("a channel begins with a slash and has at least one segment")]
    NotAbsolute,
    /// It holds a character outside CometD's set.
    #[error("a channel may not contain {0:?}")]
    Character(char),
    /// `*` or `**` anywhere but in the last segment.
    #[error("a wildcard can only be the last segment")]
    WildcardNotLast,
    /// It reads as no canonical name.
    #[error(transparent)]
    Channel(#[from] ChannelError),
    /// It reads as no canonical filter: a segment `+` or `#` cannot stand before a wildcard.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// A segment that is `+` or `#` would be a wildcard in a canonical filter.
    #[error("a segment `+` or `#` cannot be subscribed to")]
    Unfilterable,
}

/// Writes a canonical name as a Bayeux channel.
#[must_use]
pub fn encode(channel: &Channel) -> String {
    let mut out = String::with_capacity(channel.as_str().len() + 1);
    for (index, level) in channel.levels().enumerate() {
        out.push('/');
        encode_level(level, index == 0, &mut out);
    }
    out
}

/// Writes a filter as a Bayeux subscription; `None` where Bayeux has no such pattern (`a/+/b`).
///
/// `a/#` becomes `/a/**`: the parent `a` is lost, which the caller must make up for or report.
#[must_use]
pub fn encode_filter(filter: &Filter) -> Option<String> {
    let mut out = String::with_capacity(filter.as_str().len() + 2);
    let mut levels = filter.levels().enumerate().peekable();
    while let Some((index, level)) = levels.next() {
        out.push('/');
        match level {
            "+" | "#" if levels.peek().is_some() => return None,
            "+" => out.push('*'),
            "#" => out.push_str("**"),
            name => encode_level(name, index == 0, &mut out),
        }
    }
    Some(out)
}

/// Reads a Bayeux channel name.
///
/// # Errors
/// See [`NameError`].
pub fn read(name: &str) -> Result<Name, NameError> {
    let body = name.strip_prefix('/').ok_or(NameError::NotAbsolute)?;
    let body = body.strip_suffix('/').unwrap_or(body);
    if body.is_empty() {
        return Err(NameError::NotAbsolute);
    }
    if let Some(bad) = name.chars().find(|c| !is_readable(*c)) {
        return Err(NameError::Character(bad));
    }
    let (first, rest) = body.split_once('/').map_or((body, None), |(first, rest)| (first, Some(rest)));
    match first {
        "meta" => return Ok(Name::Meta),
        "service" if rest.is_some() => {
            return Ok(Name::Service(match read_plain(body)? {
                Name::Channel(channel) => Some(channel),
                _ => None,
            }));
        }
        _ => {}
    }
    read_plain(body)
}

fn read_plain(body: &str) -> Result<Name, NameError> {
    let (base, last) = body.rsplit_once('/').map_or((None, body), |(base, last)| (Some(base), last));
    let wild = match last {
        "*" => "+",
        "**" => "#",
        _ => return Ok(Name::Channel(Channel::new(decode(body)?)?)),
    };
    let Some(base) = base else {
        return Ok(Name::Pattern(Pattern { filter: Filter::new(wild)?, parent: None }));
    };
    let parent = decode(base)?;
    if has_wildcard(&parent) {
        return Err(NameError::Unfilterable);
    }
    let filter = Filter::new(format!("{parent}/{wild}"))?;
    // An empty parent is `/~-/**`: no channel has the empty name, so there is nothing to except.
    let parent = if wild == "#" { Channel::new(parent).ok() } else { None };
    Ok(Name::Pattern(Pattern { filter, parent }))
}

/// The filter that stands for exactly this channel.
///
/// # Errors
/// A level that is `+` or `#` cannot be told from a wildcard.
pub fn exact(channel: &Channel) -> Result<Filter, NameError> {
    if has_wildcard(channel.as_str()) {
        return Err(NameError::Unfilterable);
    }
    Ok(Filter::new(channel.as_str())?)
}

/// `body` without its leading slash.
fn decode(body: &str) -> Result<String, NameError> {
    let mut out = String::with_capacity(body.len());
    for (index, level) in body.split('/').enumerate() {
        if level == "*" || level == "**" {
            return Err(NameError::WildcardNotLast);
        }
        if index > 0 {
            out.push('/');
        }
        decode_level(level, &mut out);
    }
    Ok(out)
}

/// The specification's characters and those that CometD takes besides.
fn is_readable(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-_!~()$@ #*+./{}".contains(c)
}
