//! The one place that judges credentials.

use std::{collections::HashMap, net::IpAddr, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use http::HeaderMap;
use parking_lot::Mutex;
use ratatosk_core::{Connector, Monitor, MonitorEvent};

use super::{
    AuthorizerConfig, Credentials, Identity, Refusal, Rights, Rules, Subject, Ticket, TicketError, User, Watch,
    authorizer::Authorizer,
    credentials::looks_like_token,
    expiry::Expiry,
    jwt::{TokenConfig, TokenKeyError, Tokens},
    password::Users,
    tickets::Tickets,
};
use crate::lifecycle::Lifecycle;

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
    /// How long a ticket can be used.
    pub ticket_lifetime: Duration,
    /// The cookie that may carry a token.
    pub cookie: String,
}

/// Judges who clients are. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Access(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    monitor: Monitor,
    policy: ArcSwap<Policy>,
    nobody: Arc<Subject>,
    tickets: Tickets,
    expiry: Arc<Expiry>,
    cookie: String,
}

/// What another configuration puts another in the place of.
#[derive(Debug)]
struct Policy {
    configured: bool,
    anonymous: bool,
    users: Users,
    tokens: Option<Tokens>,
    authorizer: Option<Authorizer>,
    rules: Rules,
    /// The rights of clients that come again, such as HTTP clients with every request: who they are, and how and from
    /// where they come. The rights keep the subject alive, so that its address stays its own.
    known: Mutex<HashMap<Known, Rights>>,
}

/// A subject by its address, the connector, and where the client comes from.
type Known = (usize, Connector, Option<IpAddr>);

/// Rights that are remembered.
const REMEMBERED: usize = 16_384;

impl Policy {
    fn new(config: &AccessConfig) -> Result<Self, TokenKeyError> {
        Ok(Self {
            configured: config.configured,
            anonymous: config.anonymous || !config.configured,
            users: Users::new(&config.users),
            tokens: config.tokens.as_ref().map(Tokens::new).transpose()?,
            authorizer: config.authorizer.clone().map(Authorizer::new).transpose()?,
            rules: config.rules.clone(),
            known: Mutex::default(),
        })
    }

    /// What somebody may do, worked out from the rules.
    fn rights(&self, subject: Arc<Subject>, connector: Connector, address: Option<IpAddr>) -> Rights {
        if !self.configured && subject.anonymous {
            return Rights::unrestricted();
        }
        let identity = Identity { subject, connector, address };
        let rules = (!self.rules.is_empty()).then(|| self.rules.of(&identity));
        Rights::new(identity, rules)
    }

    /// The same, remembered with the answers that they have given. Only for subjects that come again as the same ones.
    fn known_rights(&self, subject: Arc<Subject>, connector: Connector, address: Option<IpAddr>) -> Rights {
        if self.rules.is_empty() {
            return self.rights(subject, connector, address);
        }
        let key = (Arc::as_ptr(&subject).addr(), connector, address);
        if let Some(known) = self.known.lock().get(&key) {
            return known.clone();
        }
        let rights = self.rights(subject, connector, address);
        let mut known = self.known.lock();
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(key, rights.clone());
        rights
    }

    /// With no users and no keys at all, a name is only a name.
    fn unchecked(&self, nobody: &Arc<Subject>) -> Result<Arc<Subject>, Refusal> {
        if self.anonymous { Ok(nobody.clone()) } else { Err(Refusal::Bad) }
    }
}

impl Access {
    /// Makes it, and starts the task that ends what expired tokens have opened.
    ///
    /// # Errors
    /// A key of tokens cannot be used.
    pub fn new(config: &AccessConfig, monitor: Monitor, life: &Lifecycle) -> Result<Self, TokenKeyError> {
        let access = Self::inert(config, monitor)?;
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
        Ok(Self(Arc::new(Inner {
            monitor,
            policy: ArcSwap::from_pointee(Policy::new(config)?),
            nobody: Subject::anonymous(),
            tickets: Tickets::new(config.ticket_lifetime),
            expiry: Arc::default(),
            cookie: config.cookie.clone(),
        })))
    }

    /// Everyone may do everything.
    #[must_use]
    pub fn open() -> Self {
        let policy = Policy {
            configured: false,
            anonymous: true,
            users: Users::new(&[]),
            tokens: None,
            authorizer: None,
            rules: Rules::default(),
            known: Mutex::default(),
        };
        Self(Arc::new(Inner {
            monitor: Monitor::default(),
            policy: ArcSwap::from_pointee(policy),
            nobody: Subject::anonymous(),
            tickets: Tickets::new(Duration::ZERO),
            expiry: Arc::default(),
            cookie: String::new(),
        }))
    }

    /// Judges by another configuration from now on. Who is in keeps its rights; the cookie and the life of tickets
    /// stay as they were.
    ///
    /// # Errors
    /// A key of tokens cannot be used; all stays as it was.
    pub fn replace(&self, config: &AccessConfig) -> Result<(), TokenKeyError> {
        self.0.policy.store(Arc::new(Policy::new(config)?));
        Ok(())
    }

    /// Whether clients without credentials are let in.
    #[must_use]
    pub fn admits_anonymous(&self) -> bool {
        self.0.policy.load().anonymous
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
        judged.map(|subject| self.0.policy.load().known_rights(subject, connector, address))
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
                policy.users.verify(user, password).await.ok_or(Refusal::Bad)
            }
            Credentials::Certificate(name) => {
                Ok(policy.users.named(name).unwrap_or_else(|| Subject::user(name.to_owned())))
            }
        }
    }

    /// What somebody may do who was proved to be who they are in another way, as by the secret of an application.
    #[must_use]
    pub fn rights(&self, subject: Arc<Subject>, connector: Connector, address: Option<IpAddr>) -> Rights {
        self.0.policy.load().rights(subject, connector, address)
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
        Ok(self.0.policy.load().known_rights(self.0.nobody.clone(), connector, address))
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
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use crate::{
        access::{Action, PasswordCheck, Rule, RuleSpec},
        config_types::Secret,
    };

    fn config(on: &str) -> AccessConfig {
        let password = PasswordCheck::Plain(Secret::new("squirrel"));
        let on = vec![on.to_owned()];
        let rule = RuleSpec { may: vec![Action::Publish], on, allows: true, ..RuleSpec::default() };
        AccessConfig {
            configured: true,
            users: vec![User { name: "ann".into(), password, groups: Vec::new() }],
            rules: Rules::new(vec![Rule::new(rule).unwrap()]),
            ..AccessConfig::default()
        }
    }

    async fn ann(access: &Access, address: Option<IpAddr>) -> Rights {
        let shown = Credentials::Password { user: "ann", password: b"squirrel" };
        access.authenticate(Connector::GATEWAY, address, shown).await.unwrap()
    }

    #[tokio::test]
    async fn who_comes_again_has_the_same_rights_until_the_rules_change() {
        let access = Access::inert(&config("a/#"), Monitor::default()).unwrap();
        let (first, again) = (ann(&access, None).await, ann(&access, None).await);
        assert!(std::ptr::eq(first.identity().unwrap(), again.identity().unwrap()), "worked out once");
        let elsewhere = ann(&access, "10.1.1.1".parse().ok()).await;
        assert!(!std::ptr::eq(first.identity().unwrap(), elsewhere.identity().unwrap()));
        let channel = ratatosk_core::Channel::new("a/b").unwrap();
        assert!(first.may_publish(&channel));
        access.replace(&config("b/#")).unwrap();
        assert!(!ann(&access, None).await.may_publish(&channel));
        assert!(first.may_publish(&channel), "who is in keeps its rights");
    }

    #[tokio::test]
    async fn without_a_section_everyone_may_do_everything() {
        let access = Access::open();
        for shown in [Credentials::Nothing, Credentials::Token("x"), Credentials::Password { user: "x", password: b"" }]
        {
            let rights = access.authenticate(Connector::GATEWAY, None, shown).await.unwrap();
            assert!(rights.identity().is_none(), "{shown:?}");
        }
    }

    #[tokio::test]
    async fn with_one_who_shows_nothing_or_nonsense_is_turned_away() {
        let access = Access::inert(&config("a"), Monitor::default()).unwrap();
        for (shown, refusal) in [
            (Credentials::Nothing, Refusal::Missing),
            (Credentials::Token("x"), Refusal::Bad),
            (Credentials::Password { user: "ann", password: b"wrong" }, Refusal::Bad),
            (Credentials::Password { user: "eve", password: b"squirrel" }, Refusal::Bad),
        ] {
            assert_eq!(access.authenticate(Connector::GATEWAY, None, shown).await.unwrap_err(), refusal, "{shown:?}");
        }
    }
}
