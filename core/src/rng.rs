//! The seeded generator: ChaCha20, with labelled forks. It jitters and shuffles, it never makes a
//! secret.

use alloc::boxed::Box;
use core::{fmt, time::Duration};

use crate::snapshot;

/// A deterministic generator.
///
/// The stream is that of RFC 8439 under the seed as key, so it is the same on every machine and in
/// every version. A [`fork`](Self::fork) depends on the seed and the label alone, not on what was
/// drawn before: a new draw in one place does not disturb the others.
///
/// Anything that must not be guessed (keys, session ids, salts) is made by the runtime and enters a
/// machine as an input.
#[derive(Clone, PartialEq, Eq)]
pub struct Rng {
    key: [u32; 8],
    /// From the first draw on: of those who might draw, most never do.
    block: Option<Box<[u32; 16]>>,
    counter: u32,
    used: u8,
    /// Every number below a bound is the one in the middle.
    steady: bool,
}

snapshot!(struct Rng { key, block, counter, used, steady });

const WORDS: u8 = 16;
/// Nonces keep the two uses of a key apart.
const DRAW: [u32; 3] = [0, 0, 0];
const FORK: u32 = 1;

impl Rng {
    /// The generator of a 32-byte seed.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        let mut key = [0; 8];
        for (word, bytes) in key.iter_mut().zip(seed.as_chunks::<4>().0) {
            *word = u32::from_le_bytes(*bytes);
        }
        Self::from_key(key)
    }

    /// A seed from a number, for simulations and tests.
    pub fn from_number(number: u64) -> Self {
        let mut key = [0; 8];
        let [low, high, ..] = &mut key;
        (*low, *high) = (number as u32, (number >> 32) as u32);
        Self::from_key(key)
    }

    fn from_key(key: [u32; 8]) -> Self {
        Self {
            key,
            block: None,
            counter: 0,
            used: WORDS,
            steady: false,
        }
    }

    /// The same without jitter, its forks too: every number below a bound is the one in the middle, so
    /// that spans, chances and orders do not depend on how often was drawn before. For an exhaustive
    /// search, which leaves generators out of what it takes for a state. Ids are still drawn.
    pub fn steady(self) -> Self {
        Self {
            steady: true,
            ..self
        }
    }

    /// The generator that belongs to `label`; equal labels give equal generators.
    pub fn fork(&self, label: &str) -> Self {
        let hash = fnv1a(label.as_bytes());
        let block = chacha20_block(&self.key, 0, [FORK, hash as u32, (hash >> 32) as u32]);
        let mut key = [0; 8];
        for (word, value) in key.iter_mut().zip(block) {
            *word = value;
        }
        Self {
            steady: self.steady,
            ..Self::from_key(key)
        }
    }

    /// The next 32 random bits.
    pub fn next_u32(&mut self) -> u32 {
        let block = self.block.get_or_insert_default();
        if self.used >= WORDS {
            **block = chacha20_block(&self.key, self.counter, DRAW);
            self.counter = self.counter.wrapping_add(1);
            self.used = 0;
        }
        let word = block
            .get(usize::from(self.used))
            .copied()
            .unwrap_or_default();
        self.used += 1;
        word
    }

    /// The next 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        u64::from(self.next_u32()) | u64::from(self.next_u32()) << 32
    }

    /// A number below `bound`, each equally likely; 0 where `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 || self.steady {
            return bound / 2;
        }
        let uneven = u64::MAX % bound;
        loop {
            let draw = self.next_u64();
            if draw < u64::MAX - uneven {
                return draw % bound;
            }
        }
    }

    /// A span between `low` and `high`, both included, in whole microseconds; `low` where `high`
    /// is below it.
    pub fn between(&mut self, low: Duration, high: Duration) -> Duration {
        let micros = high.saturating_sub(low).as_micros();
        let micros = u64::try_from(micros).unwrap_or(u64::MAX - 1);
        low + Duration::from_micros(self.below(micros.saturating_add(1)))
    }

    /// True in `chance` of `of` cases.
    pub fn chance(&mut self, chance: u64, of: u64) -> bool {
        self.below(of) < chance
    }

    /// Puts `items` into a random order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for end in (1..items.len()).rev() {
            let pick = self.below(end as u64 + 1) as usize;
            items.swap(end, pick);
        }
    }
}

impl fmt::Debug for Rng {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rng")
            .field("block", &self.counter)
            .field("word", &self.used)
            .finish()
    }
}

fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// One block of RFC 8439, section 2.3.
fn chacha20_block(key: &[u32; 8], counter: u32, nonce: [u32; 3]) -> [u32; 16] {
    let [k0, k1, k2, k3, k4, k5, k6, k7] = *key;
    let [n0, n1, n2] = nonce;
    let start = [
        0x6170_7865,
        0x3320_646e,
        0x7962_2d32,
        0x6b20_6574,
        k0,
        k1,
        k2,
        k3,
        k4,
        k5,
        k6,
        k7,
        counter,
        n0,
        n1,
        n2,
    ];
    let mut s = start;
    for _ in 0..10 {
        let [
            [a0, b0, c0, d0],
            [a1, b1, c1, d1],
            [a2, b2, c2, d2],
            [a3, b3, c3, d3],
        ] = [
            quarter([s[0], s[4], s[8], s[12]]),
            quarter([s[1], s[5], s[9], s[13]]),
            quarter([s[2], s[6], s[10], s[14]]),
            quarter([s[3], s[7], s[11], s[15]]),
        ];
        let [a0, b1, c2, d3] = quarter([a0, b1, c2, d3]);
        let [a1, b2, c3, d0] = quarter([a1, b2, c3, d0]);
        let [a2, b3, c0, d1] = quarter([a2, b3, c0, d1]);
        let [a3, b0, c1, d2] = quarter([a3, b0, c1, d2]);
        s = [
            a0, a1, a2, a3, b0, b1, b2, b3, c0, c1, c2, c3, d0, d1, d2, d3,
        ];
    }
    for (word, initial) in s.iter_mut().zip(start) {
        *word = word.wrapping_add(initial);
    }
    s
}

fn quarter([mut a, mut b, mut c, mut d]: [u32; 4]) -> [u32; 4] {
    a = a.wrapping_add(b);
    d = (d ^ a).rotate_left(16);
    c = c.wrapping_add(d);
    b = (b ^ c).rotate_left(12);
    a = a.wrapping_add(b);
    d = (d ^ a).rotate_left(8);
    c = c.wrapping_add(d);
    b = (b ^ c).rotate_left(7);
    [a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8439, section 2.3.2.
    #[test]
    fn the_block_function_is_that_of_the_rfc() {
        let mut key = [0; 8];
        for (i, word) in key.iter_mut().enumerate() {
            let first = i as u8 * 4;
            *word = u32::from_le_bytes([first, first + 1, first + 2, first + 3]);
        }
        let block = chacha20_block(&key, 1, [0x0900_0000, 0x4a00_0000, 0]);
        assert_eq!(block[0], 0xe4e7_f110);
        assert_eq!(block[15], 0x4e3c_50a2);
    }

    #[test]
    fn forks_depend_on_seed_and_label_alone() {
        let parent = Rng::from_number(7);
        let mut drawn = parent.clone();
        drawn.next_u64();
        assert_eq!(parent.fork("link"), drawn.fork("link"));
        assert_ne!(
            parent.fork("link").next_u64(),
            parent.fork("queue").next_u64()
        );
        assert_ne!(
            parent.fork("link").next_u64(),
            Rng::from_number(8).fork("link").next_u64()
        );
        assert_ne!(parent.fork("").next_u64(), parent.clone().next_u64());
    }

    #[test]
    fn without_jitter_a_draw_depends_on_no_draw_before() {
        let (low, high) = (Duration::from_millis(2), Duration::from_millis(6));
        let mut rng = Rng::from_number(1).steady().fork("wait");
        for _ in 0..3 {
            assert_eq!(rng.between(low, high), Duration::from_millis(4));
            assert_eq!((rng.below(9), rng.below(0)), (4, 0));
        }
        assert_ne!(rng.next_u64(), rng.next_u64());
    }

    #[test]
    fn draws_stay_within_their_bounds() {
        let mut rng = Rng::from_number(1);
        assert_eq!(rng.below(0), 0);
        let (low, high) = (Duration::from_millis(3), Duration::from_millis(5));
        let mut seen = [false; 3];
        for _ in 0..200 {
            let span = rng.between(low, high);
            assert!((low..=high).contains(&span));
            seen[rng.below(3) as usize] = true;
        }
        assert_eq!(seen, [true; 3]);
        assert_eq!(rng.between(high, low), high);
        let mut items = [0, 1, 2, 3, 4, 5, 6, 7];
        rng.shuffle(&mut items);
        assert_ne!(items, [0, 1, 2, 3, 4, 5, 6, 7]);
        items.sort_unstable();
        assert_eq!(items, [0, 1, 2, 3, 4, 5, 6, 7]);
    }
}
