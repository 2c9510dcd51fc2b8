//! The Pusher connection machine under a client that says anything: nothing closes that should stay open, every answer is JSON, and no
//! one gets in without a signature.

use std::{collections::HashSet, sync::Arc};

use ratatosk_pusher::proto::{
    close::Close,
    connection::{Action, Connection},
    name::{Class, Kind},
    policy::Policy,
    sign,
    socket_id::SocketId,
};
use serde_json::{Value, json};

const SOCKET: SocketId = SocketId(7, 9);

/// Runs one script: an input is cut into frames at line ends, some of which are signed truly.
///
/// # Panics
/// When a promise is broken.
pub fn run(data: &[u8]) {
    let mut policy = Policy::new("app", "key", "secret");
    policy.limits.connection_channels = 4;
    let mut connection = Connection::new(&policy, SOCKET, 0);
    let (mut now, mut held) = (0, HashSet::new());
    let mut signed: HashSet<String> = HashSet::new();
    for line in data.split(|byte| *byte == b'\n').take(64) {
        let mut out = Vec::new();
        let Some((first, rest)) = line.split_first() else { continue };
        now += u64::from(*first) * 16;
        match (first % 8, std::str::from_utf8(rest)) {
            (0, _) => connection.on_deadline(&policy, now, &mut out),
            (1, _) | (_, Err(_)) => connection.on_binary(now, &mut out),
            (2, Ok(channel)) => {
                signed.insert(channel.to_owned());
                connection.on_text(&policy, &truly_signed(&policy, channel), now, &mut out);
            }
            (3, Ok(user)) => connection.on_text(&policy, &signed_in(&policy, user), now, &mut out),
            (_, Ok(text)) => connection.on_text(&policy, text, now, &mut out),
        }
        out.into_iter().for_each(|action| check(&policy, &connection, action, &mut held, &signed));
        assert!(connection.held().count() <= policy.limits.connection_channels);
        assert_eq!(connection.held().map(|(name, _)| name.clone()).collect::<HashSet<_>>(), held);
        assert!(connection.deadline(&policy) > 0);
    }
}

fn check(
    policy: &Policy,
    connection: &Connection,
    action: Action,
    held: &mut HashSet<Arc<str>>,
    signed: &HashSet<String>,
) {
    match action {
        Action::Send(text) => {
            let frame: Value = serde_json::from_str(&text).expect("a frame is JSON");
            assert!(frame["event"].as_str().is_some_and(|event| event.starts_with("pusher")), "{frame}");
        }
        Action::Subscribe { channel, kind, member } => {
            assert_eq!(policy.kind(&channel), Ok(kind));
            assert!(!kind.is_signed() || signed.contains(&*channel), "{channel} without a signature");
            assert_eq!(member.is_some(), kind.class == Class::Presence, "{channel}");
            if kind.class == Class::User {
                let user = connection.user().map(|user| user.member.user_id.clone());
                assert_eq!(kind.user(&channel).map(str::to_owned), user, "another user's channel");
            }
            assert!(held.insert(channel), "subscribed twice");
        }
        Action::Confirm { channel, .. } => assert!(held.contains(&channel)),
        Action::Unsubscribe { channel, .. } => assert!(held.remove(&channel)),
        Action::Publish(event) => {
            assert!(held.contains(&event.channel) && event.event.starts_with("client-"), "{event:?}");
            assert!(Kind::of(&event.channel, 164).is_ok_and(|kind| kind.is_signed()), "{event:?}");
        }
        Action::SignedIn { user, .. } => assert!(!user.member.user_id.is_empty()),
        // Only silence ends a connection.
        Action::Close(close) => assert_eq!(close, Close::NoPong),
    }
}

fn truly_signed(policy: &Policy, channel: &str) -> String {
    let data = channel.starts_with("presence-").then(|| json!({"user_id": channel.len(), "user_info": {}}).to_string());
    let socket = SOCKET.to_string();
    let mut parts = vec![socket.as_str(), channel];
    parts.extend(data.as_deref());
    let auth = format!("{}:{}", policy.key, sign::sign_parts(&policy.secret, &parts));
    json!({"event": "pusher:subscribe", "data": {"channel": channel, "auth": auth, "channel_data": data}}).to_string()
}

fn signed_in(policy: &Policy, user: &str) -> String {
    let data = json!({"id": user, "watchlist": [user, "other", 7]}).to_string();
    let auth =
        format!("{}:{}", policy.key, sign::sign_parts(&policy.secret, &[&SOCKET.to_string(), "", "user", "", &data]));
    json!({"event": "pusher:signin", "data": {"auth": auth, "user_data": data}}).to_string()
}
