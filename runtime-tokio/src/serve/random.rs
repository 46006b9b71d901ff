//! Ids, keys and fingerprints: randomness of the operating system, never of a machine's seed.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use selvedge_core::Secret;
use sha2::{Digest as _, Sha256};

use super::ServeError;

/// `N` random bytes.
pub(crate) fn bytes<const N: usize>() -> Result<[u8; N], ServeError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| ServeError::Random(error.to_string()))?;
    Ok(bytes)
}

/// An id of 120 random bits in 20 characters of `[A-Za-z0-9_-]`, after `prefix`.
pub(crate) fn id(prefix: &str) -> Result<String, ServeError> {
    Ok(format!(
        "{prefix}{}",
        URL_SAFE_NO_PAD.encode(bytes::<15>()?)
    ))
}

/// A key of 240 random bits, after `prefix`, by which a leaked one is recognised.
pub(crate) fn key(prefix: &str) -> Result<Secret, ServeError> {
    let key = URL_SAFE_NO_PAD.encode(bytes::<30>()?);
    Ok(Secret::new(&format!("{prefix}{key}")))
}

/// What is kept of a random key in its place: enough, since nobody can guess the key itself.
pub(crate) fn fingerprint(key: &str) -> Vec<u8> {
    Sha256::digest(key.as_bytes()).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_fit_into_mentions_and_do_not_repeat() {
        let (one, other) = (id("u_").unwrap(), id("u_").unwrap());
        assert_ne!(one, other);
        assert_eq!(one.len(), 22);
        assert!(
            one.chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
        );
        let (key, other) = (key("sk_").unwrap(), key("sk_").unwrap());
        assert_ne!(key.expose(), other.expose());
        assert_eq!(key.expose().len(), 43);
        assert_eq!(
            fingerprint("abc").first_chunk(),
            Some(&[0xba, 0x78, 0x16, 0xbf])
        );
    }
}
