//! The doors: how each kind of listener hands credentials to the one judge.

mod guard;
mod mqtt;

pub(super) use self::{guard::Guard, mqtt::MqttDoor};
