//! What an idle connection is made of. A figure that grows here is paid by every client.

use std::mem::size_of;

use ratatosk_core::Session;

use super::super::{client::Client, connection::Connection, inbound::Inbound, state::State, wire::Wire};

#[test]
fn an_idle_connection_stays_small() {
    for (name, size, most) in [
        ("client", size_of::<Client>(), 304),
        ("state", size_of::<State>(), 192),
        ("connection", size_of::<Connection>(), 200),
        ("inbound", size_of::<Inbound>(), 56),
        ("wire", size_of::<Wire>(), 176),
        ("session", size_of::<Session>(), 16),
    ] {
        println!("{name}: {size} bytes");
        assert!(size <= most, "{name}: {size} bytes instead of {most} at most");
    }
}
