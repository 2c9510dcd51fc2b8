//! Users with passwords.

use std::{collections::HashMap, sync::Arc};

use argon2::{Argon2, PasswordHash, PasswordVerifier};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};

use super::Subject;
use crate::config_types::Secret;

/// Verified name and password pairs that are remembered: an argon2 check takes tens of milliseconds on purpose,
/// which a polling HTTP client must not pay for every request.
const REMEMBERED: usize = 4096;

/// A user with a password.
#[derive(Debug, Clone)]
pub struct User {
    /// The name.
    pub name: String,
    /// What the password is checked against.
    pub password: PasswordCheck,
    /// The groups it is in.
    pub groups: Vec<String>,
}

/// What a password is checked against.
#[derive(Debug, Clone)]
pub enum PasswordCheck {
    /// An argon2 hash in PHC form.
    Argon2(Secret),
    /// The password itself.
    Plain(Secret),
}

#[derive(Debug, Default)]
pub(super) struct Users {
    by_name: HashMap<String, (PasswordCheck, Arc<Subject>)>,
    /// Digests of pairs that were verified, never the passwords.
    verified: Mutex<HashMap<[u8; 32], Arc<Subject>>>,
}

impl Users {
    pub(super) fn new(users: &[User]) -> Self {
        let entry = |user: &User| {
            let groups = user.groups.iter().map(|group| group.as_str().into()).collect();
            let subject = Subject { user: Some(user.name.as_str().into()), groups, ..Subject::default() };
            (user.name.clone(), (user.password.clone(), Arc::new(subject)))
        };
        Self { by_name: users.iter().map(entry).collect(), verified: Mutex::default() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// A user by its name alone, where something else has proved that it is it.
    pub(super) fn named(&self, name: &str) -> Option<Arc<Subject>> {
        self.by_name.get(name).map(|(_, subject)| subject.clone())
    }

    /// The user whose password this is.
    pub(super) async fn verify(&self, name: &str, password: &[u8]) -> Option<Arc<Subject>> {
        let length = u64::try_from(name.len()).unwrap_or(u64::MAX).to_be_bytes();
        let digest: [u8; 32] =
            Sha256::new().chain_update(length).chain_update(name).chain_update(password).finalize().into();
        if let Some(known) = self.verified.lock().get(&digest) {
            return Some(known.clone());
        }
        let (check, subject) = self.by_name.get(name)?.clone();
        let password = password.to_vec();
        // A blocking task: hashing would hold up everything else on this thread.
        let fits = tokio::task::spawn_blocking(move || fits(&check, &password)).await.unwrap_or(false);
        if !fits {
            return None;
        }
        let mut verified = self.verified.lock();
        if verified.len() >= REMEMBERED {
            verified.clear();
        }
        verified.insert(digest, subject.clone());
        Some(subject)
    }
}

fn fits(check: &PasswordCheck, password: &[u8]) -> bool {
    match check {
        PasswordCheck::Argon2(hash) => PasswordHash::new(hash.expose())
            .is_ok_and(|hash| Argon2::default().verify_password(password, &hash).is_ok()),
        // Digests are compared, so that the time taken tells nothing about the password.
        PasswordCheck::Plain(plain) => Sha256::digest(plain.expose()) == Sha256::digest(password),
    }
}
