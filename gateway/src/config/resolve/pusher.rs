//! Pusher applications and mounts.

use ratatosk_pusher::config::{PusherAppConfig, PusherConfig};

use super::Faults;
use crate::config::path::KeyPath;

pub(super) fn check(section: &PusherConfig, faults: &mut Faults) {
    for (index, app) in section.apps.iter().enumerate() {
        let earlier = section.apps.get(..index).unwrap_or_default();
        check_app(app, earlier, &KeyPath::keys(["pusher", "apps"]).index(index), faults);
    }
    // What only the protocol can judge: mounts, webhooks, limits.
    for fault in section.resolve().err().into_iter().flatten() {
        if let Some(path) = KeyPath::parse(&format!("pusher.{}", fault.path.join("."))) {
            faults.add(path, fault.problem, "");
        }
    }
}

fn check_app(app: &PusherAppConfig, earlier: &[PusherAppConfig], at: &KeyPath, faults: &mut Faults) {
    let names = [
        ("id", &app.id, earlier.iter().any(|other| other.id == app.id)),
        ("key", &app.key, earlier.iter().any(|other| other.key == app.key)),
    ];
    for (key, value, taken) in names {
        if taken {
            faults.add(at.key(key), format!("{value:?} is taken by an app above"), "give each app its own");
        }
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if value.is_empty() || !value.bytes().all(fits) {
            let problem = format!("{value:?} cannot stand in a path");
            faults.add(at.key(key), problem, "use letters, digits, `-` and `_`");
        }
    }
    if app.secret.is_empty() {
        faults.add(at.key("secret"), "an empty secret protects nothing", "make one up, at least 20 characters long");
    }
}
