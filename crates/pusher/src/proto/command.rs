//! Frames from a client, understood leniently: `data` may be an object or the JSON of one in a string.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::text;

/// What a client asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// `pusher:ping`.
    Ping,
    /// `pusher:pong`.
    Pong,
    /// `pusher:subscribe`.
    Subscribe {
        /// The channel.
        channel: String,
        /// `key:signature`, where the client sent one.
        auth: Option<String>,
        /// The signed data about the subscriber, as the exact text.
        channel_data: Option<String>,
    },
    /// `pusher:unsubscribe`.
    Unsubscribe {
        /// The channel.
        channel: String,
    },
    /// `pusher:signin`.
    SignIn {
        /// `key:signature`.
        auth: String,
        /// The signed data about the user, as the exact text.
        user_data: String,
    },
    /// An event for the other members of a channel.
    ClientEvent {
        /// Its name, with `client-`.
        event: String,
        /// Where.
        channel: String,
        /// What.
        data: Data,
    },
}

/// The `data` of an event, in the form in which it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Data {
    /// It was a string; this is its text.
    Text(String),
    /// It was any other value; this is its JSON.
    Json(String),
}

impl Data {
    /// Reads a `data` value; none is the JSON `null`.
    #[must_use]
    pub fn from_raw(raw: Option<&RawValue>) -> Self {
        match raw {
            None => Self::Json("null".to_owned()),
            Some(raw) => match text::as_string(raw) {
                Some(text) => Self::Text(text.into_owned()),
                None => Self::Json(raw.get().to_owned()),
            },
        }
    }

    /// The payload on the bus: the bare text of a string, the JSON text of anything else.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Text(text) | Self::Json(text) => text,
        }
    }
}

/// Why a frame is not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandFault {
    /// Not the JSON of an object with a string `event`.
    #[error("Invalid message format")]
    Format,
    /// A `pusher:` event without the data it needs.
    #[error("Invalid data for {0}: {1}")]
    Data(&'static str, &'static str),
    /// An event name that clients cannot send.
    #[error("Unsupported event received on socket: {0}")]
    Unsupported(String),
}

#[derive(Deserialize)]
struct Frame<'a> {
    #[serde(borrow)]
    event: Cow<'a, str>,
    #[serde(borrow)]
    channel: Option<&'a RawValue>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Fields {
    channel: Option<Box<RawValue>>,
    auth: Option<Box<RawValue>>,
    channel_data: Option<Box<RawValue>>,
    user_data: Option<Box<RawValue>>,
}

/// A string as it is; anything else but null as its JSON text, which no signature will match by accident.
fn loose(raw: Option<Box<RawValue>>) -> Option<String> {
    let raw = raw?;
    let text = text::as_string(&raw).map_or_else(|| raw.get().to_owned(), Cow::into_owned);
    (text != "null").then_some(text)
}

fn strict(raw: Option<&RawValue>) -> Option<String> {
    raw.and_then(text::as_string).map(Cow::into_owned)
}

impl Command {
    /// Reads a text frame.
    ///
    /// # Errors
    /// See [`CommandFault`]; the connection stays open.
    pub fn parse(text: &str) -> Result<Self, CommandFault> {
        let frame: Frame<'_> = serde_json::from_str(text).map_err(|_| CommandFault::Format)?;
        match &*frame.event {
            "pusher:ping" => Ok(Self::Ping),
            "pusher:pong" => Ok(Self::Pong),
            "pusher:subscribe" => subscribe(&frame),
            "pusher:unsubscribe" => unsubscribe(&frame),
            "pusher:signin" => sign_in(&frame),
            event if event.starts_with("client-") => Ok(Self::ClientEvent {
                event: event.to_owned(),
                channel: strict(frame.channel).ok_or(CommandFault::Data("a client event", "channel is missing"))?,
                data: Data::from_raw(frame.data),
            }),
            event => Err(CommandFault::Unsupported(super::text::clip(event, 200).to_owned())),
        }
    }
}

fn fields(frame: &Frame<'_>, what: &'static str) -> Result<Fields, CommandFault> {
    let raw = frame.data.ok_or(CommandFault::Data(what, "data is missing"))?;
    text::object(raw).map_err(|_| CommandFault::Data(what, "data is not an object"))
}

fn channel(frame: &Frame<'_>, fields: &Fields, what: &'static str) -> Result<String, CommandFault> {
    let channel = strict(fields.channel.as_deref()).or_else(|| strict(frame.channel));
    channel.ok_or(CommandFault::Data(what, "channel is missing"))
}

fn subscribe(frame: &Frame<'_>) -> Result<Command, CommandFault> {
    const WHAT: &str = "pusher:subscribe";
    let fields = fields(frame, WHAT)?;
    let channel = channel(frame, &fields, WHAT)?;
    let auth = strict(fields.auth.as_deref()).filter(|auth| !auth.is_empty());
    let channel_data = loose(fields.channel_data);
    Ok(Command::Subscribe { channel, auth, channel_data })
}

fn unsubscribe(frame: &Frame<'_>) -> Result<Command, CommandFault> {
    const WHAT: &str = "pusher:unsubscribe";
    let fields = fields(frame, WHAT)?;
    Ok(Command::Unsubscribe { channel: channel(frame, &fields, WHAT)? })
}

fn sign_in(frame: &Frame<'_>) -> Result<Command, CommandFault> {
    const WHAT: &str = "pusher:signin";
    let fields = fields(frame, WHAT)?;
    let auth = strict(fields.auth.as_deref()).ok_or(CommandFault::Data(WHAT, "auth is missing"))?;
    let user_data = loose(fields.user_data).ok_or(CommandFault::Data(WHAT, "user_data is missing"))?;
    Ok(Command::SignIn { auth, user_data })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn data_is_an_object_or_its_json() {
        let expected = Ok(Command::Subscribe {
            channel: "private-x".into(),
            auth: Some("k:s".into()),
            channel_data: Some(r#"{"user_id":1}"#.into()),
        });
        for data in [
            r#"{"channel":"private-x","auth":"k:s","channel_data":"{\"user_id\":1}"}"#,
            r#"{"channel":"private-x","auth":"k:s","channel_data":{"user_id":1}}"#,
            r#""{\"channel\":\"private-x\",\"auth\":\"k:s\",\"channel_data\":\"{\\\"user_id\\\":1}\"}""#,
        ] {
            let frame = format!(r#"{{"event":"pusher:subscribe","data":{data},"extra":[1]}}"#);
            assert_eq!(Command::parse(&frame), expected, "{frame}");
        }
        let public = Command::Subscribe { channel: "x".into(), auth: None, channel_data: None };
        for data in [r#"{"channel":"x","auth":""}"#, r#"{"channel":"x","auth":null,"channel_data":null}"#] {
            let frame = format!(r#"{{"event":"pusher:subscribe","data":{data}}}"#);
            assert_eq!(Command::parse(&frame), Ok(public.clone()), "{frame}");
        }
    }

    #[test]
    fn faulty_frames_are_told_apart() {
        for frame in ["", "x", "1", "null", "[]", "{}", r#"{"event":1}"#, r#"{"event":null}"#, r#"{"event":"a""#] {
            assert_eq!(Command::parse(frame), Err(CommandFault::Format), "{frame}");
        }
        for event in ["pusher:subscribe", "pusher:unsubscribe", "pusher:signin"] {
            for data in ["", r#","data":{}"#, r#","data":null"#, r#","data":"""#, r#","data":[]"#, r#","data":7"#] {
                let frame = format!(r#"{{"event":"{event}"{data}}}"#);
                assert!(matches!(Command::parse(&frame), Err(CommandFault::Data(..))), "{frame}");
            }
        }
        for channel in ["1", "null", "{}", "[\"x\"]"] {
            let frame = format!(r#"{{"event":"pusher:subscribe","data":{{"channel":{channel}}}}}"#);
            assert!(matches!(Command::parse(&frame), Err(CommandFault::Data(..))), "{frame}");
        }
        for event in ["", "my-client-x", "pusher_internal:subscription_succeeded", "pusher:error"] {
            let frame = format!(r#"{{"event":"{event}","channel":"x","data":"y"}}"#);
            assert!(matches!(Command::parse(&frame), Err(CommandFault::Unsupported(_))), "{frame}");
        }
    }

    #[test]
    fn event_data_keeps_its_form() {
        for (raw, data) in [
            (r#","data":{"a": 1}"#, Data::Json(r#"{"a": 1}"#.into())),
            (r#","data":"a\nb""#, Data::Text("a\nb".into())),
            (r#","data":7"#, Data::Json("7".into())),
            ("", Data::Json("null".into())),
            (r#","data":"\ud800""#, Data::Json(r#""\ud800""#.into())),
        ] {
            let frame = format!(r#"{{"event":"client-x","channel":"private-c"{raw}}}"#);
            let parsed = Command::parse(&frame);
            assert_eq!(
                parsed,
                Ok(Command::ClientEvent { event: "client-x".into(), channel: "private-c".into(), data })
            );
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,200}") {
            let _ = Command::parse(&text);
        }

        #[test]
        fn no_json_makes_it_panic(
            event in "(pusher:)?(subscribe|unsubscribe|signin|ping|client-x|.{0,4})",
            data in "(\\{\"(channel|auth|channel_data|user_data)\":(1|null|\"x\"|\\[\\]|\\{\\})\\}|\"\\PC{0,20}\"|[0-9]{1,4}|\\[+)",
        ) {
            let _ = Command::parse(&format!(r#"{{"event":{event:?},"data":{data}}}"#));
        }
    }
}
