//! The list of rules: who may do what on which channels.

mod analysis;
mod cidr;
mod list;
mod pattern;
mod rule;

pub(super) use self::list::Applicable;
pub use self::{
    analysis::{Finding, analyse},
    cidr::Cidr,
    list::Rules,
    rule::{Action, Actions, Rule, RuleError, RuleSpec, Who},
};
