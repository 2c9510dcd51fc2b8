//! One connection as a state machine: frames and time in, actions out.
//!
//! The machine knows what the client holds and who it is. What needs the world (is there room in the roster, what is
//! the last value) the runtime decides: it carries out each [`Action`] in order, and takes a subscription back with
//! [`Connection::forget`] where it could not be made.

use std::{collections::HashMap, sync::Arc};

use super::{
    close::Close,
    command::{Command, Data},
    frame,
    member::{Member, User},
    name::{Class, Kind},
    policy::Policy,
    rate::Bucket,
    sign,
    socket_id::SocketId,
    text::clip,
};

/// What the runtime has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Send this text frame.
    Send(String),
    /// Join the channel and answer with success, or call [`Connection::forget`] and answer with
    /// the frames of a refusal.
    Subscribe {
        /// The channel.
        channel: Arc<str>,
        /// Its kind.
        kind: Kind,
        /// On presence channels: who joins.
        member: Option<Arc<Member>>,
    },
    /// The client asks again for what it holds: answer with success, change nothing.
    Confirm {
        /// The channel.
        channel: Arc<str>,
        /// Its kind.
        kind: Kind,
    },
    /// Leave the channel.
    Unsubscribe {
        /// The channel.
        channel: Arc<str>,
        /// What was held.
        held: Held,
    },
    /// Hand a client event to the other members.
    Publish(ClientEvent),
    /// The user is known now (again, if it already was): enter it in the list of users.
    SignedIn {
        /// Who.
        user: Arc<User>,
        /// What it signed in with before on this connection.
        before: Option<Arc<User>>,
    },
    /// Close with this code; the `pusher:error` is sent already.
    Close(Close),
}

/// A client event that passed every rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientEvent {
    /// Its name.
    pub event: String,
    /// The channel.
    pub channel: Arc<str>,
    /// What was sent.
    pub data: Data,
    /// On presence channels: the sender.
    pub user_id: Option<String>,
}

/// A subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The channel's kind.
    pub kind: Kind,
    /// On presence channels: as whom.
    pub member: Option<Arc<Member>>,
    /// A number the runtime keeps with it.
    pub ticket: u32,
}

/// Why a subscription is refused, in the words both error forms carry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// `AuthError`, `LimitReached`, `ChannelError`.
    pub kind: &'static str,
    /// The text.
    pub message: String,
    /// As an HTTP status.
    pub status: u16,
}

impl Refusal {
    fn auth(message: impl Into<String>) -> Self {
        Self { kind: "AuthError", message: message.into(), status: 401 }
    }

    /// A limit stands in the way.
    #[must_use]
    pub fn limit(message: impl Into<String>) -> Self {
        Self { kind: "LimitReached", message: message.into(), status: 4004 }
    }

    /// The channel cannot be had under this name.
    #[must_use]
    pub fn channel(message: impl Into<String>) -> Self {
        Self { kind: "ChannelError", message: message.into(), status: 400 }
    }

    /// Both frames that tell of it: on the channel, as soketi does and Laravel Echo expects, then `pusher:error`
    /// without a code, as Pusher does.
    #[must_use]
    pub fn frames(&self, channel: &str) -> [String; 2] {
        let channel = clip(channel, 256);
        [frame::subscription_error(channel, self.kind, &self.message, self.status), frame::error(None, &self.message)]
    }
}

/// What operators count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Signatures that were right.
    pub allowed: u32,
    /// Signatures that were not.
    pub denied: u32,
    /// Client events over the rate.
    pub limited: u32,
}

/// The state of one connection.
#[derive(Debug)]
pub struct Connection {
    socket_id: SocketId,
    user: Option<Arc<User>>,
    held: HashMap<Arc<str>, Held>,
    bucket: Bucket,
    opened: u64,
    heard: u64,
    pinged: bool,
    authorized: bool,
    tally: Tally,
}

impl Connection {
    /// A connection that was just accepted. Its first frame is [`frame::established`].
    #[must_use]
    pub fn new(policy: &Policy, socket_id: SocketId, now: u64) -> Self {
        Self {
            socket_id,
            user: None,
            held: HashMap::new(),
            bucket: Bucket::new(policy.limits.client_events_per_second, now),
            opened: now,
            heard: now,
            pinged: false,
            authorized: false,
            tally: Tally::default(),
        }
    }

    /// What happened since this was last asked.
    pub fn take_tally(&mut self) -> Tally {
        std::mem::take(&mut self.tally)
    }

    /// Its name.
    #[must_use]
    pub fn socket_id(&self) -> SocketId {
        self.socket_id
    }

    /// Who signed in on it.
    #[must_use]
    pub fn user(&self) -> Option<&Arc<User>> {
        self.user.as_ref()
    }

    /// What it is subscribed to.
    pub fn held(&self) -> impl Iterator<Item = (&Arc<str>, &Held)> {
        self.held.iter()
    }

    /// Keeps the runtime's number with a subscription.
    pub fn set_ticket(&mut self, channel: &str, ticket: u32) {
        if let Some(held) = self.held.get_mut(channel) {
            held.ticket = ticket;
        }
    }

    /// Takes back a subscription that the runtime could not make.
    pub fn forget(&mut self, channel: &str) -> Option<Held> {
        self.held.remove(channel)
    }

    /// Takes all subscriptions, at the end of the connection.
    pub fn take_held(&mut self) -> impl Iterator<Item = (Arc<str>, Held)> {
        std::mem::take(&mut self.held).into_iter()
    }

    /// Something came from the client, a WebSocket ping or pong included.
    pub fn heard(&mut self, now: u64) {
        self.heard = now;
        self.pinged = false;
    }

    /// A text frame came.
    pub fn on_text(&mut self, policy: &Policy, text: &str, now: u64, out: &mut Vec<Action>) {
        self.heard(now);
        let command = match Command::parse(text) {
            Ok(command) => command,
            Err(fault) => return out.push(Action::Send(frame::error(None, &fault.to_string()))),
        };
        match command {
            Command::Ping => out.push(Action::Send(frame::pong().to_owned())),
            Command::Pong => {}
            Command::Subscribe { channel, auth, channel_data } => {
                match self.subscribe(policy, &channel, auth.as_deref(), channel_data.as_deref()) {
                    Ok(action) => out.push(action),
                    Err(refusal) => out.extend(refusal.frames(&channel).map(Action::Send)),
                }
            }
            Command::Unsubscribe { channel } => {
                if let Some((channel, held)) = self.held.remove_entry(channel.as_str()) {
                    out.push(Action::Unsubscribe { channel, held });
                }
            }
            Command::SignIn { auth, user_data } => self.sign_in(policy, &auth, &user_data, out),
            Command::ClientEvent { event, channel, data } => {
                out.push(match self.client_event(policy, event, &channel, data, now) {
                    Ok(event) => Action::Publish(event),
                    Err((code, message)) => Action::Send(frame::error(code, &message)),
                });
            }
        }
    }

    /// A binary frame came: Pusher has none, and nothing needs to end because of it.
    pub fn on_binary(&mut self, now: u64, out: &mut Vec<Action>) {
        self.heard(now);
        out.push(Action::Send(frame::error(None, "Binary messages are not supported")));
    }

    /// When [`Connection::on_deadline`] wants to be called.
    #[must_use]
    pub fn deadline(&self, policy: &Policy) -> u64 {
        let silence = if self.pinged {
            policy.activity_timeout_s.saturating_add(policy.pong_timeout_s)
        } else {
            policy.activity_timeout_s
        };
        let activity = self.heard.saturating_add(silence.saturating_mul(1000));
        match self.authorize_by(policy) {
            Some(at) => activity.min(at),
            None => activity,
        }
    }

    /// Time has passed.
    pub fn on_deadline(&mut self, policy: &Policy, now: u64, out: &mut Vec<Action>) {
        if now < self.deadline(policy) {
            return;
        }
        if self.authorize_by(policy).is_some_and(|at| now >= at) {
            close(Close::Unauthorized, out);
        } else if self.pinged {
            close(Close::NoPong, out);
        } else {
            self.pinged = true;
            out.push(Action::Send(frame::ping().to_owned()));
        }
    }

    fn authorize_by(&self, policy: &Policy) -> Option<u64> {
        let waits = policy.authorized_connections && !self.authorized;
        waits.then(|| self.opened.saturating_add(policy.authorize_within_ms))
    }

    fn subscribe(
        &mut self,
        policy: &Policy,
        channel: &str,
        auth: Option<&str>,
        channel_data: Option<&str>,
    ) -> Result<Action, Refusal> {
        let kind = policy.kind(channel).map_err(|fault| Refusal::channel(fault.to_string()))?;
        if kind.is_signed() {
            let checked = self.check_auth(policy, channel, auth, channel_data);
            self.judged(checked.is_ok());
            checked?;
        }
        if let Some(user) = kind.user(channel)
            && self.user.as_ref().is_none_or(|signed_in| signed_in.member.user_id != user)
        {
            return Err(Refusal::auth("This channel is for the connections that signed in as its user"));
        }
        let member = match kind.class {
            Class::Presence => Some(self.member(policy, channel_data)?),
            _ => None,
        };
        self.authorized |= kind.is_signed();
        if let Some((channel, held)) = self.held.get_key_value(channel) {
            return Ok(Action::Confirm { channel: channel.clone(), kind: held.kind });
        }
        if self.held.len() >= policy.limits.connection_channels {
            let most = policy.limits.connection_channels;
            return Err(Refusal::limit(format!("A connection may hold at most {most} subscriptions")));
        }
        let channel: Arc<str> = channel.into();
        self.held.insert(channel.clone(), Held { kind, member: member.clone(), ticket: 0 });
        Ok(Action::Subscribe { channel, kind, member })
    }

    fn judged(&mut self, allowed: bool) {
        let counter = if allowed { &mut self.tally.allowed } else { &mut self.tally.denied };
        *counter += 1;
    }

    fn check_auth(
        &self,
        policy: &Policy,
        channel: &str,
        auth: Option<&str>,
        channel_data: Option<&str>,
    ) -> Result<(), Refusal> {
        let Some((key, signature)) = auth.and_then(|auth| auth.split_once(':')) else {
            return Err(Refusal::auth("Invalid auth: it must be of the form key:signature"));
        };
        let socket_id = self.socket_id.to_string();
        if key != policy.key {
            return Err(Refusal::auth(format!("Invalid key in subscription auth data: '{}'", clip(key, 64))));
        }
        let parts = [socket_id.as_str(), channel, channel_data.unwrap_or_default()];
        let parts = parts.get(..if channel_data.is_some() { 3 } else { 2 }).unwrap_or_default();
        if sign::verify_parts(&policy.secret, parts, signature) {
            return Ok(());
        }
        let signed = clip(&parts.join(":"), 512).to_owned();
        let got = clip(signature, 128);
        Err(Refusal::auth(format!("Invalid signature: Expected HMAC SHA256 hex digest of {signed}, but got {got}")))
    }

    fn member(&self, policy: &Policy, channel_data: Option<&str>) -> Result<Arc<Member>, Refusal> {
        match (channel_data, &self.user) {
            (Some(data), _) => Member::from_channel_data(data, &policy.limits)
                .map(Arc::new)
                .map_err(|fault| Refusal::auth(format!("Invalid channel_data: {fault}"))),
            (None, Some(user)) => Ok(Arc::new(user.member.clone())),
            (None, None) => Err(Refusal::auth("A presence channel needs channel_data or a signed-in user")),
        }
    }

    fn sign_in(&mut self, policy: &Policy, auth: &str, user_data: &str, out: &mut Vec<Action>) {
        let user = match self.check_sign_in(policy, auth, user_data) {
            Ok(user) => user,
            Err(message) => {
                self.judged(false);
                return out.push(Action::Send(frame::error(Some(4009), &message)));
            }
        };
        self.judged(true);
        self.authorized = true;
        let cut = user.watchlist_cut;
        let user = Arc::new(user);
        let before = self.user.replace(user.clone());
        out.push(Action::Send(frame::signin_success(user_data)));
        if cut {
            let most = policy.limits.watchlist_users;
            let message = format!("The watchlist has more than {most} users; the first {most} are watched");
            out.push(Action::Send(frame::error(Some(4302), &message)));
        }
        out.push(Action::SignedIn { user, before });
    }

    fn check_sign_in(&self, policy: &Policy, auth: &str, user_data: &str) -> Result<User, String> {
        let socket_id = self.socket_id.to_string();
        let (key, signature) = auth.split_once(':').ok_or("Invalid auth: it must be of the form key:signature")?;
        if key != policy.key {
            return Err(format!("Invalid key in signin auth data: '{}'", clip(key, 64)));
        }
        // `socket_id::user::user_data`: the parts are joined by two colons.
        if !sign::verify_parts(&policy.secret, &[&socket_id, "", "user", "", user_data], signature) {
            return Err("Invalid signature: Expected HMAC SHA256 hex digest of socket_id::user::user_data".to_owned());
        }
        let user = User::from_user_data(user_data, &policy.limits).map_err(|fault| fault.to_string())?;
        match &self.user {
            Some(known) if known.member.user_id != user.member.user_id => {
                Err("Already signed in as another user".to_owned())
            }
            _ => Ok(user),
        }
    }

    fn client_event(
        &mut self,
        policy: &Policy,
        event: String,
        channel: &str,
        data: Data,
        now: u64,
    ) -> Result<ClientEvent, (Option<u16>, String)> {
        const LIMITED: Option<u16> = Some(4301);
        let limits = &policy.limits;
        if !policy.client_events {
            return Err((LIMITED, "To send client events, you must enable this feature for the application".into()));
        }
        let kind = policy.kind(channel).map_err(|fault| (None, fault.to_string()))?;
        if !kind.is_signed() {
            let message = "Client event rejected - only supported on private and presence channels";
            return Err((LIMITED, message.into()));
        }
        let Some((channel, held)) = self.held.get_key_value(channel) else {
            return Err((None, "Client event rejected - you must be subscribed to the channel".into()));
        };
        let (channel, user_id) = (channel.clone(), held.member.as_ref().map(|member| member.user_id.clone()));
        if event.chars().count() > limits.event_name_chars {
            let most = limits.event_name_chars;
            return Err((LIMITED, format!("Client event rejected - the name has more than {most} characters")));
        }
        if data.as_str().len() > limits.event_bytes {
            return Err((
                LIMITED,
                format!("Client event rejected - the data has more than {} bytes", limits.event_bytes),
            ));
        }
        let rate = limits.client_events_per_second;
        if !self.bucket.take(rate, now) {
            self.tally.limited += 1;
            return Err((LIMITED, format!("Client event rejected - at most {rate} may be sent per second")));
        }
        Ok(ClientEvent { event, channel, data, user_id })
    }
}

fn close(reason: Close, out: &mut Vec<Action>) {
    out.push(Action::Send(frame::closing(reason)));
    out.push(Action::Close(reason));
}

#[cfg(test)]
#[path = "connection_tests.rs"]
mod tests;
