//! One configuration of who may come in and what they may do.

use std::{collections::HashMap, net::IpAddr, sync::Arc};

use parking_lot::Mutex;
use ratatosk_core::Connector;

use super::{
    AccessConfig, Identity, Refusal, Rights, Rules, Subject,
    authorizer::Authorizer,
    jwt::{TokenKeyError, Tokens},
    password::Users,
    publisher::PublishAuthorizer,
};
use crate::{lifecycle::Lifecycle, limits::Pressure};

/// What another configuration puts another in the place of.
#[derive(Debug, Default)]
pub(super) struct Policy {
    pub(super) configured: bool,
    pub(super) anonymous: bool,
    pub(super) users: Users,
    pub(super) tokens: Option<Tokens>,
    pub(super) authorizer: Option<Authorizer>,
    pub(super) publisher: Option<Arc<PublishAuthorizer>>,
    pub(super) rules: Rules,
    /// The rights of clients that come again, such as HTTP clients with every request: who they are, and how and from
    /// where they come. The rights keep the subject alive, so that its address stays its own.
    known: Mutex<HashMap<Known, Rights>>,
}

/// A subject by its address, the connector, and where the client comes from.
type Known = (usize, Connector, Option<IpAddr>);

/// Rights that are remembered.
const REMEMBERED: usize = 16_384;

impl Policy {
    /// Everyone may do everything.
    pub(super) fn open() -> Self {
        Self { anonymous: true, ..Self::default() }
    }

    pub(super) fn new(config: &AccessConfig, life: &Lifecycle) -> Result<Self, TokenKeyError> {
        Ok(Self {
            configured: config.configured,
            anonymous: config.anonymous || !config.configured,
            users: Users::new(&config.users),
            tokens: config.tokens.as_ref().map(|tokens| Tokens::new(tokens, life)).transpose()?,
            authorizer: config.authorizer.clone().map(Authorizer::new).transpose()?,
            publisher: config.publisher.clone().map(PublishAuthorizer::new).transpose()?.map(Arc::new),
            rules: config.rules.clone(),
            known: Mutex::default(),
        })
    }

    /// What somebody may do, worked out from the rules.
    pub(super) fn rights(&self, subject: Arc<Subject>, connector: Connector, address: Option<IpAddr>) -> Rights {
        if !self.configured && subject.anonymous {
            return Rights::unrestricted();
        }
        let identity = Identity { subject, connector, address };
        let rules = (!self.rules.is_empty()).then(|| self.rules.of(&identity));
        Rights::new(identity, rules, self.publisher.clone())
    }

    /// The same, remembered with the answers that they have given, while memory is not short. Only for subjects that come again
    /// as the same ones.
    pub(super) fn known_rights(
        &self,
        subject: Arc<Subject>,
        connector: Connector,
        address: Option<IpAddr>,
        pressure: Pressure,
    ) -> Rights {
        if self.rules.is_empty() {
            return self.rights(subject, connector, address);
        }
        if pressure != Pressure::None {
            let forgotten = std::mem::take(&mut *self.known.lock());
            drop(forgotten);
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
    pub(super) fn unchecked(&self, nobody: &Arc<Subject>) -> Result<Arc<Subject>, Refusal> {
        if self.anonymous { Ok(nobody.clone()) } else { Err(Refusal::Bad) }
    }
}

#[cfg(test)]
impl Policy {
    /// How many rights are remembered.
    pub(super) fn remembers(&self) -> usize {
        self.known.lock().len()
    }
}
