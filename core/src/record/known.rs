//! The secrets that were found, for as long as there is room for them.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};
use core::mem;

use super::{
    matcher::{Automaton, Known},
    sieve::Sieve,
};
use crate::secret::Secret;

/// How many secrets, and how many bytes of them, make a generation. The newest two are kept, so a
/// secret is known for at least as long as one of these is filled. One that comes back later gets a
/// new placeholder, and is not seen in between (a guild with very many logins). Raised, a peer that
/// sends many can make a recording hold more: about 50 times its bytes, for a generation.
const SECRETS_MAX: usize = 5_000;
const BYTES_MAX: usize = 1 << 20;

/// Two generations of secrets, and those that are never forgotten.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Memory {
    own: Generation,
    young: Generation,
    old: Generation,
    /// Of all.
    sieve: Sieve,
    next: u64,
}

/// Secrets, and the automata that find them. Each automaton is more than twice as large as the next,
/// so there are few, and a secret moves to another one only so often.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Generation {
    numbers: BTreeMap<Secret, u64>,
    automata: Vec<Automaton>,
    bytes: usize,
}

impl Memory {
    /// Keeps secrets for good, whoever else names them.
    pub(super) fn keep(&mut self, secrets: BTreeSet<Secret>, steps: &mut u64) {
        let mut fresh = Vec::new();
        for secret in secrets {
            self.sieve.add(secret.expose().as_bytes());
            let number = self.next;
            self.next += 1;
            fresh.push(Known { secret, number });
        }
        self.own.add(fresh, steps);
    }

    /// Keeps secrets, and says by which numbers they are known.
    pub(super) fn learn(&mut self, named: BTreeSet<Secret>, steps: &mut u64) -> Vec<Known> {
        if self.young.numbers.len() >= SECRETS_MAX || self.young.bytes >= BYTES_MAX {
            self.old = mem::take(&mut self.young);
            self.sieve = Sieve::default();
            for secret in self.own.numbers.keys().chain(self.old.numbers.keys()) {
                self.sieve.add(secret.expose().as_bytes());
            }
        }
        let (mut known, mut fresh) = (Vec::new(), Vec::new());
        for secret in named {
            *steps += secret.expose().len() as u64;
            let number_in = |kept: &Generation| kept.numbers.get(&secret).copied();
            let young = number_in(&self.own).or_else(|| number_in(&self.young));
            let number = young.or_else(|| self.old.numbers.get(&secret).copied());
            let number = number.unwrap_or(self.next);
            self.next += u64::from(number == self.next);
            let is_fresh = young.is_none();
            let one = Known { secret, number };
            if is_fresh {
                self.sieve.add(one.secret.expose().as_bytes());
                fresh.push(one.clone());
            }
            known.push(one);
        }
        self.young.add(fresh, steps);
        known
    }

    /// What tells a text that holds none of them.
    pub(super) fn sieve(&self) -> &Sieve {
        &self.sieve
    }

    /// What finds those that are kept for good.
    pub(super) fn kept(&self) -> impl Iterator<Item = &Automaton> {
        self.own.automata.iter()
    }

    /// What finds every secret that is known.
    pub(super) fn automata(&self) -> impl Iterator<Item = &Automaton> {
        let all = [&self.own, &self.young, &self.old];
        all.into_iter().flat_map(|kept| &kept.automata)
    }
}

impl Generation {
    fn add(&mut self, mut fresh: Vec<Known>, steps: &mut u64) {
        if fresh.is_empty() {
            return;
        }
        for Known { secret, number } in &fresh {
            self.bytes += secret.expose().len();
            self.numbers.insert(secret.clone(), *number);
        }
        let mut automaton = Automaton::new(fresh, steps);
        while let Some(last) = self.automata.pop() {
            if last.bytes() > 2 * automaton.bytes() {
                self.automata.push(last);
                break;
            }
            fresh = automaton.into_secrets();
            fresh.extend(last.into_secrets());
            automaton = Automaton::new(fresh, steps);
        }
        self.automata.push(automaton);
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;

    fn learn(memory: &mut Memory, name: &str) -> u64 {
        let known = memory.learn([Secret::new(name)].into(), &mut 0);
        known.first().unwrap().number
    }

    fn finds(memory: &Memory, text: &str) -> bool {
        let mut hits = Vec::new();
        for automaton in memory.automata() {
            automaton.find(text.as_bytes(), &mut 0, &mut hits);
        }
        !hits.is_empty()
    }

    #[test]
    fn secrets_are_known_for_two_generations_and_kept_by_use() {
        let mut memory = Memory::default();
        let name = |number| format!("secret-{number}-");
        memory.keep([Secret::new("its own")].into(), &mut 0);
        assert_eq!(learn(&mut memory, "its own"), 0);
        let (kept, lost) = (learn(&mut memory, "kept"), learn(&mut memory, "lost"));
        let mut most = 0;
        for number in 0..4 * SECRETS_MAX {
            learn(&mut memory, &name(number));
            assert!(finds(&memory, &name(number)));
            if number % 1_000 == 0 {
                assert_eq!(learn(&mut memory, "kept"), kept);
            }
            most = most.max(memory.automata().count());
        }
        assert!(finds(&memory, "kept") && !finds(&memory, "lost"));
        assert!(finds(&memory, "its own"));
        assert_ne!(learn(&mut memory, "lost"), lost);
        let all = memory.young.numbers.len() + memory.old.numbers.len();
        assert!(all <= 2 * SECRETS_MAX, "{all}");
        assert!(most <= 40, "{most} automata");
    }

    #[test]
    fn long_secrets_are_fewer() {
        let mut memory = Memory::default();
        for number in 0..10 {
            learn(
                &mut memory,
                &format!("{number}{}", "x".repeat(BYTES_MAX / 2)),
            );
        }
        let bytes = memory.young.bytes + memory.old.bytes;
        assert!(bytes < 4 * BYTES_MAX, "{bytes}");
    }
}
