//! The one place that judges credentials.

use std::{net::IpAddr, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use http::HeaderMap;
use ratatosk_core::{Connector, Monitor, MonitorEvent};

use super::{
    AuthorizerConfig, Credentials, PublisherConfig, Refusal, Rights, Rules, Subject, Ticket, TicketError, User, Watch,
    authorizer::Authorizer,
    credentials::looks_like_token,
    expiry::Expiry,
    jwt::{TokenConfig, TokenKeyError},
    policy::Policy,
    tickets::Tickets,
};
use crate::{lifecycle::Lifecycle, limits::Limits};

/// What access is made of: the `[auth]` section, resolved.
#[derive(Debug, Clone, Default)]
pub struct AccessConfig {
    /// Whether there is an `[auth]` section. Without one, everyone may do everything.
    pub configured: bool,
    /// Whether clients without credentials are let in.
    pub anonymous: bool,
    /// Users with passwords.
    pub users: Vec<User>,
    /// The rules in order. Without any, whoever is let in may do everything.
    pub rules: Rules,
    /// How tokens are checked; none is accepted without it.
    pub tokens: Option<TokenConfig>,
    /// Who is asked about credentials that are neither a user's here nor a token.
    pub authorizer: Option<AuthorizerConfig>,
    /// Who is asked about publications that the rules allow.
    pub publisher: Option<PublisherConfig>,
    /// How long a ticket can be used.
    pub ticket_lifetime: Duration,
    /// The cookie that may carry a token.
    pub cookie: String,
}

/// Judges who clients are, and how much they may take. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Access(Arc<Inner>, Limits);

#[derive(Debug)]
struct Inner {
    monitor: Monitor,
    life: Lifecycle,
    policy: ArcSwap<Policy>,
    nobody: Arc<Subject>,
    tickets: Tickets,
    expiry: Arc<Expiry>,
    cookie: String,
}

impl Access {
    /// Makes it, and starts the task that ends what expired tokens have opened.
    ///
    /// # Errors
    /// A key of tokens cannot be used.
    pub fn new(config: &AccessConfig, monitor: Monitor, life: &Lifecycle) -> Result<Self, TokenKeyError> {
        let access = Self::with(config, monitor, life.clone())?;
        let (expiry, closing) = (access.0.expiry.clone(), life.closing());
        life.spawn("token expiry", async move {
            tokio::select! {
                () = expiry.run() => {}
                () = closing => {}
            }
        });
        Ok(access)
    }

    /// The same without a task: it judges, and ends nothing.
    ///
    /// # Errors
    /// A key of tokens cannot be used.
    pub fn inert(config: &AccessConfig, monitor: Monitor) -> Result<Self, TokenKeyError> {
        Self::with(config, monitor, Lifecycle::default())
    }

    fn with(config: &AccessConfig, monitor: Monitor, life: Lifecycle) -> Result<Self, TokenKeyError> {
        let inner = Inner {
            monitor,
            policy: ArcSwap::from_pointee(Policy::new(config, &life)?),
            life,
            nobody: Subject::anonymous(),
            tickets: Tickets::new(config.ticket_lifetime),
            expiry: Arc::default(),
            cookie: config.cookie.clone(),
        };
        Ok(Self(Arc::new(inner), Limits::default()))
    }

    /// The same under limits, for clones that are made from now on.
    #[must_use]
    pub fn limited(self, limits: Limits) -> Self {
        Self(self.0, limits)
    }

    /// How much clients may take.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.1
    }

    /// Everyone may do everything.
    #[must_use]
    pub fn open() -> Self {
        let inner = Inner {
            monitor: Monitor::default(),
            life: Lifecycle::default(),
            policy: ArcSwap::from_pointee(Policy::open()),
            nobody: Subject::anonymous(),
            tickets: Tickets::new(Duration::ZERO),
            expiry: Arc::default(),
            cookie: String::new(),
        };
        Self(Arc::new(inner), Limits::default())
    }

    /// Judges by another configuration from now on. Who is in keeps its rights; the cookie and the life of tickets
    /// stay as they were.
    ///
    /// # Errors
    /// A key of tokens cannot be used; all stays as it was.
    pub fn replace(&self, config: &AccessConfig) -> Result<(), TokenKeyError> {
        self.0.policy.store(Arc::new(Policy::new(config, &self.0.life)?));
        Ok(())
    }

    /// Whether clients without credentials are let in.
    #[must_use]
    pub fn admits_anonymous(&self) -> bool {
        self.0.policy.load().anonymous
    }

    /// Whether anybody is asked about publications at all.
    #[must_use]
    pub fn judges_publications(&self) -> bool {
        self.0.policy.load().publisher.is_some()
    }

    /// The name of the cookie that may carry a token; empty where there are no tokens.
    #[must_use]
    pub fn cookie_name(&self) -> &str {
        &self.0.cookie
    }

    /// The token that a request brings in its cookie, whoever has sent it.
    #[must_use]
    pub fn cookie<'a>(&self, headers: &'a HeaderMap) -> Option<&'a str> {
        if self.0.cookie.is_empty() { None } else { super::credentials::cookie(headers, &self.0.cookie) }
    }

    /// Judges a client, and reports the judgement to the monitor where there was something to judge.
    ///
    /// # Errors
    /// Why it is not let in.
    pub async fn authenticate(
        &self,
        connector: Connector,
        address: Option<IpAddr>,
        credentials: Credentials<'_>,
    ) -> Result<Rights, Refusal> {
        let judged = self.judge(connector, address, credentials).await;
        self.0.monitor.emit(MonitorEvent::Authenticated { connector, allowed: judged.is_ok() });
        judged.map(|subject| self.known_rights(subject, connector, address))
    }

    async fn judge(
        &self,
        connector: Connector,
        address: Option<IpAddr>,
        credentials: Credentials<'_>,
    ) -> Result<Arc<Subject>, Refusal> {
        let (policy, nobody) = (self.0.policy.load_full(), &self.0.nobody);
        let ask = async |authorizer: &Authorizer| authorizer.judge(connector, address, credentials).await;
        match credentials {
            Credentials::Nothing if policy.anonymous => Ok(nobody.clone()),
            Credentials::Nothing => Err(Refusal::Missing),
            Credentials::Token(token) => match (&policy.tokens, &policy.authorizer) {
                (Some(tokens), _) => tokens.verify(token).await,
                (None, Some(authorizer)) => ask(authorizer).await,
                // With nobody who could check it, it says nothing.
                (None, None) => policy.unchecked(nobody),
            },
            Credentials::Password { user, password } => {
                if let (Some(tokens), true, Ok(token)) =
                    (&policy.tokens, looks_like_token(password), std::str::from_utf8(password))
                {
                    return tokens.verify(token).await;
                }
                if let (Some(authorizer), None) = (&policy.authorizer, policy.users.named(user)) {
                    return ask(authorizer).await;
                }
                if policy.users.is_empty() && policy.tokens.is_none() {
                    return policy.unchecked(nobody);
                }
                let room = || self.1.room().inspect_err(|limit| self.1.refused(connector, *limit));
                policy.users.verify(user, password, room).await
            }
            Credentials::Certificate(subject) => {
                // One of a name in `auth.users` is in that one's groups, too.
                let known = subject.user.as_deref().and_then(|name| policy.users.named(name));
                let known = known.filter(|known| !known.groups.is_empty());
                Ok(known.map_or_else(|| subject.clone(), |known| Arc::new(subject.in_groups(&known.groups))))
            }
        }
    }

    /// What somebody may do who was proved to be who they are in another way, as by the secret of an application.
    #[must_use]
    pub fn rights(&self, subject: Arc<Subject>, connector: Connector, address: Option<IpAddr>) -> Rights {
        self.0.policy.load().rights(subject, connector, address)
    }

    /// The same of somebody who comes again as the same `subject`: worked out once, until another configuration is in force.
    #[must_use]
    pub fn known_rights(&self, subject: Arc<Subject>, connector: Connector, address: Option<IpAddr>) -> Rights {
        self.0.policy.load().known_rights(subject, connector, address, self.1.pressure())
    }

    /// The groups of a user with a password, for protocols where something else has proved who it is.
    #[must_use]
    pub fn groups_of(&self, name: &str) -> Vec<Arc<str>> {
        self.0.policy.load().users.named(name).map(|subject| subject.groups.clone()).unwrap_or_default()
    }

    /// What one of the users with passwords may do, if there is one of that name.
    #[must_use]
    pub fn rights_of_user(&self, name: &str, connector: Connector) -> Option<Rights> {
        Some(self.rights(self.0.policy.load().users.named(name)?, connector, None))
    }

    /// What a client without credentials may do.
    ///
    /// # Errors
    /// Such are not let in.
    pub fn anonymous(&self, connector: Connector, address: Option<IpAddr>) -> Result<Rights, Refusal> {
        if !self.admits_anonymous() {
            return Err(Refusal::Missing);
        }
        Ok(self.known_rights(self.0.nobody.clone(), connector, address))
    }

    /// A ticket that stands for somebody's rights, once.
    ///
    /// # Errors
    /// Too many wait to be used.
    pub fn ticket(&self, rights: &Rights) -> Result<Ticket, TicketError> {
        let subject = rights.identity().map_or_else(|| self.0.nobody.clone(), |identity| identity.subject.clone());
        self.0.tickets.issue(subject)
    }

    /// Uses a ticket up.
    ///
    /// # Errors
    /// It is forged, used or too old.
    pub fn redeem(&self, ticket: &str, connector: Connector, address: Option<IpAddr>) -> Result<Rights, Refusal> {
        let subject = self.0.tickets.redeem(ticket);
        self.0.monitor.emit(MonitorEvent::Authenticated { connector, allowed: subject.is_some() });
        subject.map(|subject| self.rights(subject, connector, address)).ok_or(Refusal::Bad)
    }

    /// Calls `end` when rights end, unless the watch is dropped before. None for rights that never end.
    #[must_use]
    pub fn watch(&self, rights: &Rights, end: impl FnOnce() + Send + 'static) -> Option<Watch> {
        rights.expires().map(|expires| self.0.expiry.at(expires, end))
    }
}

#[cfg(test)]
#[path = "authority_tests.rs"]
mod tests;
