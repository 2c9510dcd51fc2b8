//! What a connection may do on channels that it shares with other protocols.
//!
//! The application's secret is an authority of its own: whoever it has signed for may use the application's private and
//! presence channels. Public channels and mounts are open to other protocols too, so the gateway's rules stand before them.

use std::{net::IpAddr, sync::Arc};

use ratatosk_connector::{
    access::{Credentials, Disapproved, Rights, Subject},
    http::Permit,
};
use ratatosk_core::{Channel, Filter, Publication};
use serde_json::{Map, Value};

use super::app::App;
use crate::proto::name::{Class, Kind};

/// Who acts on a channel.
#[derive(Debug, Clone, Copy)]
pub(super) struct Actor<'a> {
    /// What the connection may do by itself.
    pub(super) own: Option<&'a Rights>,
    /// The signed-in user, or the one that the application has signed for on this channel.
    pub(super) user: Option<&'a str>,
    /// Whether the application has signed for the act itself.
    pub(super) signed: bool,
}

/// Rights by what is known of a connection's user: made when first asked for.
pub(super) type Known = Option<Box<Held>>;

/// The rights of one actor.
#[derive(Debug)]
pub(super) struct Held {
    user: Option<Arc<str>>,
    signed: bool,
    rights: Option<Rights>,
}

impl Held {
    fn is_of(&self, actor: Actor<'_>) -> bool {
        self.user.as_deref() == actor.user && self.signed == actor.signed
    }
}

impl App {
    /// Whether the gateway's rules have a say.
    pub(super) fn is_ruled(&self, name: &str, kind: Kind) -> bool {
        kind.class == Class::Public || self.names.is_mounted(name)
    }

    /// Whether somebody may subscribe to the channel of a name.
    pub(super) fn may_subscribe(&self, name: &str, kind: Kind, filter: &Filter, actor: Actor<'_>) -> bool {
        !self.is_ruled(name, kind) || self.rights(actor).is_some_and(|rights| rights.may_subscribe(filter))
    }

    /// The rights of a connection of which the application has said nothing yet: those of its certificate, or of anybody.
    pub(super) async fn unsigned(&self, permit: Option<&Permit>, address: Option<IpAddr>) -> Option<Rights> {
        match permit.and_then(Permit::certificate) {
            Some(subject) => {
                let shown = Credentials::Certificate(subject);
                self.access.authenticate(self.connector, address, shown).await.ok()
            }
            None => self.access.anonymous(self.connector, address).ok(),
        }
    }

    /// Whether somebody may publish to the channel of a name. `known` keeps the rights for the next time.
    pub(super) fn may_publish(
        &self,
        name: &str,
        kind: Kind,
        channel: &Channel,
        actor: Actor<'_>,
        known: &mut Known,
    ) -> bool {
        if !self.is_ruled(name, kind) {
            return true;
        }
        if !known.as_deref().is_some_and(|held| held.is_of(actor)) {
            let held = Held { user: actor.user.map(Arc::from), signed: actor.signed, rights: self.rights(actor) };
            *known = Some(Box::new(held));
        }
        known.as_ref().and_then(|held| held.rights.as_ref()).is_some_and(|rights| rights.may_publish(channel))
    }

    /// Asks the publish authorizer, where there is one for the channel. It hears of private channels too: the application has
    /// signed for who may be there, not for what is said.
    pub(super) async fn approve(
        &self,
        publication: Publication,
        actor: Actor<'_>,
        known: &Known,
    ) -> Result<Publication, Disapproved> {
        let held = known.as_ref().filter(|held| held.is_of(actor)).and_then(|held| held.rights.clone());
        match held.or_else(|| self.rights(actor)) {
            Some(rights) => rights.approve(publication).await,
            None => Ok(publication),
        }
    }

    /// The rights of an actor. An application is trusted to say who its users are: one of a name in `auth.users` is in that one's
    /// groups.
    fn rights(&self, actor: Actor<'_>) -> Option<Rights> {
        if actor.user.is_none() && !actor.signed {
            return actor.own.cloned();
        }
        let address = actor.own.and_then(Rights::identity).and_then(|identity| identity.address);
        let groups = actor.user.map(|name| self.access.groups_of(name)).unwrap_or_default();
        let subject = Subject { user: actor.user.map(Arc::from), groups, ..subject(&self.policy.id, actor.signed) };
        Some(self.access.rights(Arc::new(subject), self.connector, address))
    }
}

/// Who acts for an application. The claims are `app`, the id of the application, and `signed` where that has signed for it.
pub(super) fn subject(app: &str, signed: bool) -> Subject {
    let mut claims = Map::new();
    claims.insert("app".to_owned(), Value::from(app));
    claims.insert("signed".to_owned(), Value::from(signed));
    Subject { claims, ..Subject::default() }
}
