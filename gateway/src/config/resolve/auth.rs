//! Users.

use ratatosk_connector::config_types::Secret;

use super::Faults;
use crate::config::{
    path::KeyPath,
    raw::{AnonymousChoice, RawConfig, UserSection},
    resolved::{Auth, PasswordCheck, User},
};

pub(super) fn auth(raw: &RawConfig, faults: &mut Faults) -> Auth {
    let Some(section) = &raw.auth else {
        return Auth { configured: false, anonymous: true, users: Vec::new() };
    };
    let mut users: Vec<User> = Vec::new();
    for (index, user) in section.users.iter().enumerate() {
        let at = KeyPath::keys(["auth", "users"]).index(index);
        if user.name.is_empty() {
            faults.add(at.key("name"), "a user needs a name", "write at least one character");
        } else if users.iter().any(|other| other.name == user.name) {
            faults.add(at.key("name"), format!("{:?} is taken by a user above", user.name), "give each user one entry");
        }
        match password(user) {
            Ok(password) => users.push(User { name: user.name.clone(), password }),
            Err(problem) => faults.add(
                at.key("password"),
                problem,
                "write an argon2 hash ($argon2id$v=19$m=...,t=...,p=...$SALT$HASH), or \"plain:PASSWORD\"",
            ),
        }
    }
    Auth { configured: true, anonymous: section.anonymous == AnonymousChoice::Allow, users }
}

fn password(user: &UserSection) -> Result<PasswordCheck, &'static str> {
    let text = user.password.expose();
    if let Some(plain) = text.strip_prefix("plain:") {
        return if plain.is_empty() {
            Err("the password is empty")
        } else {
            Ok(PasswordCheck::Plain(Secret::new(plain)))
        };
    }
    if ["$argon2id$", "$argon2i$", "$argon2d$"].iter().any(|kind| text.starts_with(kind)) {
        // kind, version, parameters, salt, hash: PHC string format.
        let parts = text.split('$').skip(1);
        let whole = parts.clone().count() == 5 && parts.clone().all(|part| !part.is_empty());
        return if whole {
            Ok(PasswordCheck::Argon2(user.password.clone()))
        } else {
            Err("the argon2 hash is not complete")
        };
    }
    Err("this is neither an argon2 hash nor marked as plain")
}
