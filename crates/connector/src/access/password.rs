//! Users with passwords.

use std::{collections::HashMap, sync::Arc, time::Duration};

use argon2::{Argon2, PasswordHash, PasswordVerifier};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

use super::{Refusal, Subject};
use crate::{config_types::Secret, limits::Limit};

/// Verified name and password pairs that are remembered: an argon2 check takes tens of milliseconds on purpose,
/// which a polling HTTP client must not pay for every request.
const REMEMBERED: usize = 4096;
/// How long a password waits for its turn to be checked.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

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

#[derive(Debug)]
pub(super) struct Users {
    by_name: HashMap<String, (PasswordCheck, Arc<Subject>)>,
    /// What is hashed against where a user has no hash, or there is no such user, so that the time taken tells no names.
    stand_in: Option<Secret>,
    /// Digests of pairs that were verified, never the passwords.
    verified: Mutex<HashMap<[u8; 32], Arc<Subject>>>,
    /// Checks at once. Each takes a core and the memory that its hash asks for: more would only take more memory.
    turns: Arc<Semaphore>,
}

impl Default for Users {
    fn default() -> Self {
        Self::new(&[])
    }
}

impl Users {
    pub(super) fn new(users: &[User]) -> Self {
        let entry = |user: &User| {
            let groups = user.groups.iter().map(|group| group.as_str().into()).collect();
            let subject = Subject { user: Some(user.name.as_str().into()), groups, ..Subject::default() };
            (user.name.clone(), (user.password.clone(), Arc::new(subject)))
        };
        let stand_in = users.iter().find_map(|user| match &user.password {
            PasswordCheck::Argon2(hash) => Some(hash.clone()),
            PasswordCheck::Plain(_) => None,
        });
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            by_name: users.iter().map(entry).collect(),
            stand_in,
            verified: Mutex::default(),
            turns: Arc::new(Semaphore::new(cores)),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// A user by its name alone, where something else has proved that it is it.
    pub(super) fn named(&self, name: &str) -> Option<Arc<Subject>> {
        self.by_name.get(name).map(|(_, subject)| subject.clone())
    }

    /// The user whose password this is. `room` says whether there is memory to check one that was not verified before.
    ///
    /// # Errors
    /// It is nobody's, or there is no room or no turn to check it.
    pub(super) async fn verify(
        &self,
        name: &str,
        password: &[u8],
        room: impl FnOnce() -> Result<(), Limit>,
    ) -> Result<Arc<Subject>, Refusal> {
        let length = u64::try_from(name.len()).unwrap_or(u64::MAX).to_be_bytes();
        let digest: [u8; 32] =
            Sha256::new().chain_update(length).chain_update(name).chain_update(password).finalize().into();
        if let Some(known) = self.verified.lock().get(&digest) {
            return Ok(known.clone());
        }
        room()?;
        let (check, subject) = self.by_name.get(name).cloned().unzip();
        if !self.fits(check, password).await? {
            return Err(Refusal::Bad);
        }
        let subject = subject.ok_or(Refusal::Bad)?;
        let mut verified = self.verified.lock();
        if verified.len() >= REMEMBERED {
            verified.clear();
        }
        verified.insert(digest, subject.clone());
        Ok(subject)
    }

    async fn fits(&self, check: Option<PasswordCheck>, password: &[u8]) -> Result<bool, Refusal> {
        let plain = match check {
            Some(PasswordCheck::Argon2(hash)) => return self.fits_hash(hash, password).await,
            Some(PasswordCheck::Plain(plain)) => Some(plain),
            None => None,
        };
        if let Some(hash) = self.stand_in.clone() {
            self.fits_hash(hash, password).await?;
        }
        // Digests are compared, so that the time taken tells nothing about the password.
        Ok(plain.is_some_and(|plain| Sha256::digest(plain.expose()) == Sha256::digest(password)))
    }

    async fn fits_hash(&self, hash: Secret, password: &[u8]) -> Result<bool, Refusal> {
        let turn = tokio::time::timeout(LONGEST_WAIT, self.turns.clone().acquire_owned()).await;
        let turn = turn.ok().and_then(Result::ok).ok_or(Refusal::Unavailable)?;
        let password = password.to_vec();
        // A blocking task: hashing would hold up everything else on this thread. It keeps its turn when whoever asked is gone.
        let check = move || {
            let _turn = turn;
            PasswordHash::new(hash.expose())
                .is_ok_and(|hash| Argon2::default().verify_password(&password, &hash).is_ok())
        };
        tokio::task::spawn_blocking(check).await.map_err(|_| Refusal::Unavailable)
    }
}

#[cfg(test)]
#[path = "password_tests.rs"]
mod tests;
