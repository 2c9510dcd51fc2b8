//! Who may come in, and what they may do: the questions that the gateway answers.

use std::{future::Future, net::SocketAddr, pin::Pin, sync::Arc};

use ratatosk_connector::{
    access::{Rights, Subject, Watch},
    limits::Limits,
};
use ratatosk_core::{Channel, Filter};

use crate::proto::{codec::ReasonCode, session::Methods};

/// What a client shows at CONNECT.
#[derive(Clone, Copy)]
pub struct Credentials<'a> {
    /// Its client identifier, or the one it was given.
    pub client_id: &'a str,
    /// Its user name.
    pub username: Option<&'a str>,
    /// Its password.
    pub password: Option<&'a [u8]>,
    /// Who its certificate says it is, where TLS has verified one.
    pub certificate: Option<&'a Arc<Subject>>,
    /// Where it comes from.
    pub remote: SocketAddr,
}

impl std::fmt::Debug for Credentials<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("client_id", &self.client_id).finish_non_exhaustive()
    }
}

/// The answer to [`Authenticate::authenticate`]: what the client may do, or the reason for CONNACK.
pub type AuthFuture<'a> = Pin<Box<dyn Future<Output = Result<Rights, ReasonCode>> + Send + 'a>>;

/// Ends a connection.
pub type End = Box<dyn FnOnce() + Send>;

/// Decides who may come in and what they may do.
pub trait Authenticate: Send + Sync + 'static {
    /// Judges user name and password, and reports the judgement to the monitor where there was one.
    fn authenticate<'a>(&'a self, credentials: Credentials<'a>) -> AuthFuture<'a>;

    /// The methods of enhanced authentication; without any, each is refused with 0x8C.
    fn methods(&self) -> Option<&dyn Methods> {
        None
    }

    /// What a user may do that enhanced authentication has proved.
    fn rights_of(&self, user: Arc<str>, remote: SocketAddr) -> Rights {
        let _ = remote;
        Rights::of_user(user)
    }

    /// Has a connection ended when what let it in expires, unless the watch is dropped before.
    fn watch(&self, rights: &Rights, end: End) -> Option<Watch> {
        let _ = (rights, end);
        None
    }

    /// How much clients may take.
    fn limits(&self) -> Limits {
        Limits::default()
    }

    /// Whether a client may publish to a channel.
    fn may_publish(&self, rights: &Rights, channel: &Channel) -> bool {
        rights.may_publish(channel)
    }

    /// Whether a client may subscribe to a filter.
    fn may_subscribe(&self, rights: &Rights, filter: &Filter) -> bool {
        rights.may_subscribe(filter)
    }
}

/// Everyone may come in and do everything.
#[derive(Debug, Clone, Copy, Default)]
pub struct Anonymous;

impl Authenticate for Anonymous {
    fn authenticate<'a>(&'a self, _credentials: Credentials<'a>) -> AuthFuture<'a> {
        Box::pin(std::future::ready(Ok(Rights::unrestricted())))
    }
}
