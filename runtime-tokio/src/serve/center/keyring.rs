//! The keys that tokens are signed with: the newest signs, and those before it are good for as long as
//! their last tokens live.

use std::time::Duration;

use selvedge_core::{Secret, Wall};

use crate::serve::{
    ServeError,
    jwt::{Claims, Refused, SigningKey},
};

/// How the signing key is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// Tokens that were signed with the former key are good until they expire: nobody notices.
    Gradual,
    /// They are dead at once, for a key that has become known: everybody has to log in again. A guild
    /// may go on with what it has asked within the last minute, and with a socket until its token
    /// expires.
    Immediate,
}

/// A key as it is kept.
#[derive(Clone)]
pub(super) struct Kept {
    pub(super) key: [u8; 32],
    /// When another one took its place; `None` for the one that signs.
    pub(super) replaced_at: Option<Wall>,
}

/// The keys that are good now.
pub(super) struct Keyring {
    signing: SigningKey,
    former: Vec<SigningKey>,
}

impl Keyring {
    /// Of all that is kept, the keys that are good at `now`. After the life of a token a replaced key
    /// has no living token of Center's own: whatever it has signed is forged.
    pub(super) fn new(kept: &[Kept], token_life: Duration, now: Wall) -> Result<Self, ServeError> {
        let (mut signing, mut former) = (None, Vec::new());
        for Kept { key, replaced_at } in kept {
            match replaced_at {
                None => signing = Some(SigningKey::new(key)?),
                Some(replaced_at) if now < *replaced_at + token_life => {
                    former.push(SigningKey::new(key)?);
                }
                Some(_) => {}
            }
        }
        let signing = signing.ok_or_else(|| ServeError::Bug("no key signs".into()))?;
        Ok(Self { signing, former })
    }

    /// Signs `claims` with the newest key.
    pub(super) fn sign(&self, claims: &Claims) -> Result<Secret, ServeError> {
        self.signing
            .sign(claims)
            .map_err(|error| ServeError::Bug(error.to_string()))
    }

    /// The claims of `token`, where a good key has signed it and it lives at `now`.
    pub(super) fn verify(&self, token: &str, now: Wall) -> Result<Claims, Refused> {
        let mut verified = self.signing.verify(token, now);
        for key in &self.former {
            if verified != Err(Refused::Signature) {
                break;
            }
            verified = key.verify(token, now);
        }
        verified
    }
}

#[cfg(test)]
mod tests {
    use selvedge_core::id::UserId;

    use super::*;

    const LIFE: Duration = Duration::from_secs(900);

    fn at(seconds: i64) -> Wall {
        Wall::from_millis(seconds * 1_000)
    }

    fn kept(byte: u8, replaced_at: Option<i64>) -> Kept {
        Kept {
            key: [byte; 32],
            replaced_at: replaced_at.map(at),
        }
    }

    fn claims(exp: i64) -> Claims {
        Claims {
            sub: UserId::new("u").unwrap(),
            gid: None,
            iat: 0,
            exp,
        }
    }

    fn token(byte: u8, exp: i64) -> Secret {
        let key = SigningKey::new(&[byte; 32]).unwrap();
        key.sign(&claims(exp)).unwrap()
    }

    #[test]
    fn the_newest_key_signs_and_former_ones_are_good_for_the_life_of_a_token() {
        let keys = [kept(1, Some(100)), kept(2, Some(500)), kept(3, None)];
        for (now, good) in [
            (500, [true, true, true]),
            (999, [true, true, true]),
            (1_000, [false, true, true]),
            (1_399, [false, true, true]),
            (1_400, [false, false, true]),
        ] {
            let keyring = Keyring::new(&keys, LIFE, at(now)).unwrap();
            let signed = keyring.sign(&claims(now + 1)).unwrap();
            assert_eq!(signed, token(3, now + 1));
            // A key that has become known signs what it is told to.
            let found = [1, 2, 3].map(|byte| {
                let token = token(byte, i64::MAX);
                keyring.verify(token.expose(), at(now)).is_ok()
            });
            assert_eq!(found, good, "{now}");
        }
    }

    #[test]
    fn a_token_of_a_former_key_expires_and_a_stranger_is_refused() {
        let keyring = Keyring::new(&[kept(1, Some(100)), kept(2, None)], LIFE, at(200)).unwrap();
        for (byte, exp, refused) in [
            (1, 200, Refused::Expired),
            (2, 200, Refused::Expired),
            (3, 900, Refused::Signature),
        ] {
            let verified = keyring.verify(token(byte, exp).expose(), at(200));
            assert_eq!(verified, Err(refused), "{byte}");
        }
        assert_eq!(keyring.verify("x", at(200)), Err(Refused::Shape));
    }

    #[test]
    fn without_a_key_that_signs_nothing_starts() {
        assert!(Keyring::new(&[kept(1, Some(100))], LIFE, at(200)).is_err());
    }
}
