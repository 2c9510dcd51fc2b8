//! Texts with `{placeholders}` for what a message brings along.

use std::fmt::Write as _;

use ratatosk_core::message::Extras;

use super::treatment::Scene;

const KNOWN: &str = "{channel}, {to}, {upstream}, {event}, {user}, {client_id}, {level.N} and {property.NAME}";

/// Why a text is not a template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{{{0}}} stands for nothing; known are {KNOWN}")]
pub struct TemplateError(String);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Channel,
    To,
    Upstream,
    Event,
    User,
    ClientId,
    /// A level of the channel, from one.
    Level(usize),
    Property(String),
}

/// A checked template. Braces that do not hold a name are text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template(Vec<Part>);

impl Template {
    pub(super) fn new(text: &str) -> Result<Self, TemplateError> {
        let (mut parts, mut rest) = (Vec::new(), text);
        while let Some((before, name, after)) = next_place(rest) {
            parts.push(Part::Text(before.to_owned()));
            parts.push(place(name).ok_or_else(|| TemplateError(name.to_owned()))?);
            rest = after;
        }
        parts.push(Part::Text(rest.to_owned()));
        parts.retain(|part| !matches!(part, Part::Text(text) if text.is_empty()));
        Ok(Self(parts))
    }

    /// Fills it in; what the message does not have is empty.
    pub(super) fn fill(&self, scene: &Scene<'_>) -> String {
        let mut out = String::new();
        let (origin, extras) = (&scene.publication.origin, scene.publication.extras.as_deref());
        for part in &self.0 {
            let text = match part {
                Part::Text(text) => text.as_str(),
                Part::Channel => scene.channel.as_str(),
                Part::To => scene.publication.channel.as_str(),
                Part::Upstream => scene.upstream,
                Part::Event => extras.and_then(|extras| extras.event.as_deref()).unwrap_or_default(),
                Part::User => origin.user.as_deref().unwrap_or_default(),
                Part::ClientId => origin.client_id.as_deref().unwrap_or_default(),
                Part::Level(level) => {
                    scene.channel.as_str().split('/').nth(level.saturating_sub(1)).unwrap_or_default()
                }
                Part::Property(name) => extras.and_then(|extras| property(extras, name)).unwrap_or_default(),
            };
            let _ = out.write_str(text); // a String takes all
        }
        out
    }
}

fn property<'a>(extras: &'a Extras, name: &str) -> Option<&'a str> {
    extras.properties.iter().find(|(known, _)| **known == *name).map(|(_, value)| &**value)
}

fn place(name: &str) -> Option<Part> {
    Some(match name {
        "channel" => Part::Channel,
        "to" => Part::To,
        "upstream" => Part::Upstream,
        "event" => Part::Event,
        "user" => Part::User,
        "client_id" => Part::ClientId,
        _ => match name.split_once('.')? {
            ("level", number) => Part::Level(number.parse().ok().filter(|number| *number > 0)?),
            ("property", name) if !name.is_empty() => Part::Property(name.to_owned()),
            _ => return None,
        },
    })
}

/// Splits at the first `{name}`.
fn next_place(text: &str) -> Option<(&str, &str, &str)> {
    let mut from = 0;
    loop {
        let open = from + text.get(from..)?.find('{')?;
        let (before, inside) = (text.get(..open)?, text.get(open + 1..)?);
        let named = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
        let length = inside.bytes().take_while(|byte| named(byte)).count();
        if length > 0 && inside.as_bytes().get(length) == Some(&b'}') {
            return Some((before, inside.get(..length)?, inside.get(length + 1..)?));
        }
        from = open + 1;
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use ratatosk_core::{Channel, Origin, Publication};

    use super::*;

    #[test]
    fn placeholders_stand_for_what_the_message_brings() {
        let channel = Channel::new("sites/north/temp").unwrap();
        let origin = Origin { user: Some("joe".into()), client_id: Some("c1".into()), ..Origin::gateway() };
        let mut publication = Publication::new(Channel::new("all/temp").unwrap(), "1", origin).with_event("reading");
        publication.extras_mut().properties = vec![("x-unit".into(), "C".into()), ("x-unit".into(), "F".into())];
        let scene = Scene { upstream: "far", channel: &channel, publication: &publication };
        let fill = |text: &str| Template::new(text).unwrap().fill(&scene);
        assert_eq!(fill("{channel}>{to}@{upstream}"), "sites/north/temp>all/temp@far");
        assert_eq!(fill("{level.2}{level.9}-{event}-{user}-{client_id}"), "north-reading-joe-c1");
        assert_eq!(fill("{property.x-unit}{property.none}"), "C");
        assert_eq!(fill("{} {a b} {\"j\": 1} {{to}} {"), "{} {a b} {\"j\": 1} {all/temp} {");
        assert_eq!(fill(""), "");
    }

    #[test]
    fn what_stands_for_nothing_is_named() {
        for text in ["{chanel}", "{level.0}", "{level.x}", "{property.}", "{level}"] {
            let error = Template::new(text).unwrap_err().to_string();
            assert!(error.contains(text) && error.contains("{channel}"), "{error}");
        }
    }
}
