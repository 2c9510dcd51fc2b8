//! Frames that a client sends.

use super::text::push_string;

/// `pusher:subscribe`.
#[must_use]
pub fn subscribe(channel: &str, auth: Option<&str>, channel_data: Option<&str>) -> String {
    let mut out = String::from(r#"{"event":"pusher:subscribe","data":{"channel":"#);
    push_string(&mut out, channel);
    for (key, value) in [("auth", auth), ("channel_data", channel_data)] {
        if let Some(value) = value {
            out.push_str(&format!(r#","{key}":"#));
            push_string(&mut out, value);
        }
    }
    out.push_str("}}");
    out
}

/// `pusher:unsubscribe`.
#[must_use]
pub fn unsubscribe(channel: &str) -> String {
    let mut out = String::from(r#"{"event":"pusher:unsubscribe","data":{"channel":"#);
    push_string(&mut out, channel);
    out.push_str("}}");
    out
}

/// `pusher:signin`.
#[must_use]
pub fn sign_in(auth: &str, user_data: &str) -> String {
    let mut out = String::from(r#"{"event":"pusher:signin","data":{"auth":"#);
    push_string(&mut out, auth);
    out.push_str(r#","user_data":"#);
    push_string(&mut out, user_data);
    out.push_str("}}");
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::command::Command;

    #[test]
    fn our_server_understands_them() {
        let expected = Command::Subscribe {
            channel: "presence-\"".into(),
            auth: Some("k:s".into()),
            channel_data: Some(r#"{"user_id":"1"}"#.into()),
        };
        let frame = subscribe("presence-\"", Some("k:s"), Some(r#"{"user_id":"1"}"#));
        assert_eq!(Command::parse(&frame), Ok(expected));
        assert_eq!(Command::parse(&unsubscribe("a")), Ok(Command::Unsubscribe { channel: "a".into() }));
        let expected = Command::SignIn { auth: "k:s".into(), user_data: "{}".into() };
        assert_eq!(Command::parse(&sign_in("k:s", "{}")), Ok(expected));
    }
}
