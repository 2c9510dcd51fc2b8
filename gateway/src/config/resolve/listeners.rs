//! Where the gateway listens, and who could reach it.

use ratatosk_connector::config_types::Listen;
use ratatosk_pusher::config::DEMO_SECRET;

use super::Faults;
use crate::config::{
    path::KeyPath,
    raw::{AnonymousChoice, RawConfig},
};

pub(super) fn check(raw: &RawConfig, faults: &mut Faults) {
    let listeners = [
        (["http", "listen"], raw.http.listen),
        (["http", "tls_listen"], raw.http.tls_listen),
        (["mqtt", "listen"], raw.mqtt.listen),
        (["mqtt", "tls_listen"], raw.mqtt.tls_listen),
        (["admin", "listen"], raw.admin.listen),
        (["admin", "tls_listen"], raw.admin.tls_listen),
    ];
    for (index, (key, listen)) in listeners.iter().enumerate() {
        let taken = listeners.iter().take(index).find(|(_, other)| collide(*listen, *other));
        if let Some(([section, name], other)) = taken {
            faults.add(
                KeyPath::keys(*key),
                format!("{listen} is also where `{section}.{name}` listens ({other})"),
                "give each listener a port of its own",
            );
        }
        if key.contains(&"tls_listen") && *listen != Listen::Off && raw.tls.is_none() && !faults.damaged(&["tls"]) {
            faults.add(KeyPath::keys(*key), "a TLS listener needs a certificate", "add [tls] with `cert` and `key`");
        }
    }
    check_admin(raw, faults);
    let exposed = listeners.iter().find(|(_, listen)| listen.is_exposed());
    if let Some((key, listen)) = exposed {
        check_exposed(raw, KeyPath::keys(*key), *listen, faults);
    }
}

/// The API ends sessions and joins far servers: whoever can reach it must show the token.
fn check_admin(raw: &RawConfig, faults: &mut Faults) {
    let at = KeyPath::keys(["admin", "token"]);
    match &raw.admin.token {
        None => {
            let exposed = [raw.admin.listen, raw.admin.tls_listen].into_iter().find(|listen| listen.is_exposed());
            if let Some(listen) = exposed {
                faults.add(
                    at,
                    format!("{listen} can be reached from other machines, and there is no token"),
                    "make one up, such as { file = \"/run/secrets/admin-token\" }",
                );
            }
        }
        Some(token) if token.is_empty() => faults.add(at, "an empty token protects nothing", "make one up"),
        _ => {}
    }
}

fn check_exposed(raw: &RawConfig, path: KeyPath, listen: Listen, faults: &mut Faults) {
    if faults.damaged(&["auth", "http", "mqtt", "admin", "pusher"]) {
        return;
    }
    let Some(auth) = &raw.auth else {
        faults.add(
            path,
            format!("{listen} can be reached from other machines, and there is no [auth]"),
            "add [auth] with users, or `anonymous = \"allow\"` in it to let everybody in",
        );
        return;
    };
    let demo = raw.pusher.apps.iter().position(|app| app.secret.expose() == DEMO_SECRET);
    if let (Some(index), AnonymousChoice::Deny) = (demo, auth.anonymous) {
        faults.add(
            KeyPath::keys(["pusher", "apps"]).index(index).key("secret"),
            format!("the demo app's secret is public, and {listen} can be reached from other machines"),
            "configure [[pusher.apps]] of your own, or `apps = []` under [pusher] for none",
        );
    }
}

/// Whether two listeners want the same port of the same address. Port 0 is a different one each time.
fn collide(one: Listen, other: Listen) -> bool {
    let (Some(one), Some(other)) = (one.address(), other.address()) else { return false };
    let same_host = one.ip() == other.ip() || one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() != 0 && one.port() == other.port() && same_host
}
