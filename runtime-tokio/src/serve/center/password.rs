//! Passwords as argon2 hashes: dear on purpose, so computed beside the runtime and only a few at
//! once.

use std::sync::Arc;

use argon2::{
    Argon2,
    password_hash::{PasswordHasher as _, PasswordVerifier as _, phc::PasswordHash},
};
use selvedge_core::Secret;
use tokio::{sync::Semaphore, task::spawn_blocking};

use crate::serve::{ServeError, random};

/// How many are computed at once: each takes 19 MiB and a core for tens of milliseconds.
const AT_ONCE: usize = 2;

/// How many may wait for that; who comes then is told to come back later.
const WAITING_MAX: usize = 16;

/// The hash of a new password, with a salt of the operating system.
pub(super) async fn hashed(password: Secret) -> Result<String, ServeError> {
    let hash = spawn_blocking(move || {
        Argon2::default()
            .hash_password(password.expose().as_bytes())
            .map(|hash| hash.to_string())
    });
    match hash.await {
        Ok(Ok(hash)) => Ok(hash),
        Ok(Err(error)) => Err(ServeError::Bug(error.to_string())),
        Err(error) => Err(ServeError::Bug(error.to_string())),
    }
}

/// The checks under way.
#[derive(Debug)]
pub(super) struct Passwords {
    waiting: Semaphore,
    running: Arc<Semaphore>,
    /// The hash of nothing that anybody knows, for users that are not there.
    decoy: String,
}

/// There are too many checks already.
#[derive(Debug)]
pub(super) struct Busy;

impl Passwords {
    /// No check under way.
    pub(super) async fn new() -> Result<Self, ServeError> {
        Ok(Self {
            waiting: Semaphore::new(WAITING_MAX + AT_ONCE),
            running: Arc::new(Semaphore::new(AT_ONCE)),
            decoy: hashed(random::key("")?).await?,
        })
    }

    /// Whether `password` is that of `hash`. Without a hash it takes the same time and is wrong,
    /// so that nobody learns which names there are.
    pub(super) async fn check(&self, password: Secret, hash: Option<String>) -> Result<bool, Busy> {
        let _place = self.waiting.try_acquire().map_err(|_| Busy)?;
        let turn = Arc::clone(&self.running).acquire_owned().await;
        let turn = turn.map_err(|_| Busy)?;
        let known = hash.is_some();
        let hash = hash.unwrap_or_else(|| self.decoy.clone());
        let checked = spawn_blocking(move || {
            // Held by the work itself, which goes on when its client has gone.
            let _turn = turn;
            PasswordHash::new(&hash).is_ok_and(|hash| {
                Argon2::default()
                    .verify_password(password.expose().as_bytes(), &hash)
                    .is_ok()
            })
        });
        Ok(checked.await.unwrap_or(false) && known)
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn a_password_is_checked_and_crowds_are_sent_away() {
        let hash = hashed(Secret::new("correct horse")).await.unwrap();
        assert!(hash.starts_with("$argon2id$"), "{hash}");
        let other = hashed(Secret::new("correct horse")).await.unwrap();
        assert_ne!(hash, other, "each has a salt of its own");
        let passwords = Passwords::new().await.unwrap();
        let check = |password: &str, hash: Option<&str>| {
            passwords.check(Secret::new(password), hash.map(Into::into))
        };
        assert!(check("correct horse", Some(&hash)).await.unwrap());
        assert!(!check("wrong", Some(&hash)).await.unwrap());
        assert!(!check("correct horse", None).await.unwrap());
        assert!(!check("correct horse", Some("nonsense")).await.unwrap());

        // A client that goes away does not stop the work, and so does not give its turn away.
        let given_up = check("wrong", Some(&hash)).now_or_never();
        assert!(given_up.is_none());
        assert_eq!(passwords.running.available_permits(), AT_ONCE - 1);
        let all = passwords.running.acquire_many(AT_ONCE as u32).await;
        drop(all);

        // Nobody gets a turn until the whole crowd has come.
        let turns = passwords.running.acquire_many(AT_ONCE as u32).await;
        let crowd = (0..30).map(|_| check("wrong", Some(&hash)));
        let (answers, ()) = tokio::join!(
            biased;
            futures::future::join_all(crowd),
            async { drop(turns) },
        );
        let sent_away = answers.iter().filter(|answer| answer.is_err()).count();
        assert_eq!(sent_away, 30 - WAITING_MAX - AT_ONCE);
    }
}
