#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
use argon2::{Algorithm, Params, PasswordHasher, Version, password_hash::SaltString};

use super::*;

/// As cheap as argon2 allows.
fn hash(password: &str) -> Secret {
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(8, 1, 1, None).unwrap());
    let salt = SaltString::encode_b64(b"some salt").unwrap();
    Secret::new(argon2.hash_password(password.as_bytes(), &salt).unwrap().to_string())
}

fn users() -> Users {
    let user = |name: &str, password| User { name: name.to_owned(), password, groups: Vec::new() };
    Users::new(&[
        user("ann", PasswordCheck::Argon2(hash("squirrel"))),
        user("joe", PasswordCheck::Plain(Secret::new("acorn"))),
    ])
}

async fn verify(users: &Users, name: &str, password: &str) -> Result<Option<Arc<str>>, Refusal> {
    users.verify(name, password.as_bytes(), || Ok(())).await.map(|subject| subject.user.clone())
}

#[tokio::test]
async fn a_password_is_its_own_users() {
    let users = users();
    assert_eq!(verify(&users, "ann", "squirrel").await, Ok(Some("ann".into())));
    assert_eq!(verify(&users, "joe", "acorn").await, Ok(Some("joe".into())));
    for (name, password) in [("ann", "acorn"), ("joe", "squirrel"), ("eve", "squirrel"), ("eve", "acorn")] {
        assert_eq!(verify(&users, name, password).await, Err(Refusal::Bad), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn passwords_are_checked_a_few_at_once_whoever_they_are_said_to_be_of() {
    let users = users();
    assert!(verify(&users, "ann", "squirrel").await.is_ok());
    let all = u32::try_from(users.turns.available_permits()).unwrap();
    let _busy = users.turns.clone().acquire_many_owned(all).await.unwrap();
    for name in ["ann", "joe", "eve"] {
        assert_eq!(verify(&users, name, "wrong").await, Err(Refusal::Unavailable), "{name}");
    }
    assert!(verify(&users, "ann", "squirrel").await.is_ok(), "one that was verified needs no turn");
}

#[tokio::test]
async fn short_of_memory_only_passwords_that_were_verified_are_accepted() {
    let users = users();
    let full = || Err(Limit::Memory);
    assert_eq!(users.verify("ann", b"squirrel", full).await.unwrap_err(), Refusal::Limited(Limit::Memory));
    assert!(verify(&users, "ann", "squirrel").await.is_ok());
    assert!(users.verify("ann", b"squirrel", full).await.is_ok());
}
