//! Access: who a client is and what it may do, once for all protocols.
//!
//! A protocol hands over [`Credentials`] in its own way; [`Access::authenticate`] answers with [`Rights`] or with a
//! [`Refusal`], which the protocol says in its own words. Rights are kept for as long as the session or the request
//! lives and are asked before each publication and subscription. Rules are read in order, the first that fits decides;
//! what none fits is denied as soon as there is a rule.

pub mod jwt;

mod authority;
mod authorizer;
mod credentials;
mod expiry;
mod identity;
mod inquiry;
mod password;
mod policy;
mod publisher;
mod rights;
mod rules;
mod tickets;
mod visitor;

pub use self::{
    authority::{Access, AccessConfig},
    authorizer::AuthorizerConfig,
    credentials::{Credentials, HttpCredentials, Refusal},
    expiry::Watch,
    identity::{Identity, Scope, Subject},
    password::{PasswordCheck, User},
    publisher::{Disapproved, PublisherConfig},
    rights::{Decision, Rights},
    rules::{Action, Actions, Cidr, Finding, Rule, RuleError, RuleSpec, Rules, Who, analyse},
    tickets::{Ticket, TicketError},
    visitor::Visitor,
};
