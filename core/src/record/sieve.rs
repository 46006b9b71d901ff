//! Tells texts that hold no secret from those that may, at a fraction of what a search costs.

use alloc::{boxed::Box, collections::BTreeSet, vec};
use core::fmt;

use super::SECRET_BYTES_MIN;

/// How many bits there are, as a power of two: 16 KiB, which stays in a processor's nearest cache. With
/// ten thousand secrets, one place in fifteen is looked at a second time.
const BITS: u32 = 17;

/// The beginnings of secrets.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Sieve {
    starts: BTreeSet<u64>,
    /// A bit for each of them; empty where there are none.
    bits: Box<[u64]>,
}

/// Without the secrets.
impl fmt::Debug for Sieve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sieve")
            .field("starts", &self.starts.len())
            .finish_non_exhaustive()
    }
}

impl Sieve {
    /// From now on, what has this secret may hold one. What is shorter than secrets are is ignored.
    pub(super) fn add(&mut self, secret: &[u8]) {
        let Some(start) = secret.first_chunk() else {
            return;
        };
        let start = number(start);
        self.starts.insert(start);
        if self.bits.is_empty() {
            self.bits = vec![0; 1 << (BITS - u64::BITS.ilog2())].into();
        }
        let (word, bit) = place(start);
        if let Some(word) = self.bits.get_mut(word) {
            *word |= bit;
        }
    }

    /// Whether a secret begins anywhere in a text, as far as its first bytes tell.
    pub(super) fn may_hold(&self, text: &[u8]) -> bool {
        !self.bits.is_empty()
            && text.array_windows().any(|start| {
                let start = number(start);
                let (word, bit) = place(start);
                let is_likely = self.bits.get(word).is_some_and(|word| word & bit != 0);
                is_likely && self.starts.contains(&start)
            })
    }
}

fn number(start: &[u8; SECRET_BYTES_MIN]) -> u64 {
    u64::from_le_bytes(*start)
}

/// The word of its bit, and the bit.
fn place(start: u64) -> (usize, u64) {
    let hash = start.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (u64::BITS - BITS);
    let word = hash >> u64::BITS.ilog2();
    (
        usize::try_from(word).unwrap_or_default(),
        1 << (hash % u64::from(u64::BITS)),
    )
}

#[cfg(test)]
mod tests {
    use alloc::{format, vec::Vec};

    use super::*;

    #[test]
    fn whatever_holds_a_secret_is_kept_and_almost_nothing_else() {
        let mut sieve = Sieve::default();
        assert!(!sieve.may_hold(b"secret-1 secret-2"));
        let secrets: Vec<_> = (0..10_000).map(|n| format!("{n:08}-secret")).collect();
        for secret in &secrets {
            sieve.add(secret.as_bytes());
        }
        for secret in &secrets {
            assert!(sieve.may_hold(secret.as_bytes()));
            assert!(sieve.may_hold(format!("before {secret} behind").as_bytes()));
        }
        for text in ["", "0000000", "secret-", "99999999-secret"] {
            assert!(!sieve.may_hold(text.as_bytes()), "{text}");
        }
    }
}
