//! Finds any of a set of secrets in a text, in one pass however many they are.

use alloc::{collections::VecDeque, vec, vec::Vec};
use core::fmt;

use crate::secret::Secret;

/// A secret, and the number of its placeholder.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Known {
    pub(super) secret: Secret,
    pub(super) number: u64,
}

/// An automaton over a set of secrets, after Aho and Corasick: a tree of their bytes, in which each
/// node also knows where to go on when the text goes another way. Making it takes time in proportion
/// to the bytes of the secrets, and a pass in proportion to those of the text.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Automaton {
    secrets: Vec<Known>,
    /// How many bytes these have together.
    bytes: usize,
    /// From the root, level by level; the children of a node stand together.
    nodes: Vec<Node>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Node {
    /// The last byte of what leads here.
    byte: u8,
    first_child: u32,
    children: u16,
    /// The node of the longest other beginning of a secret with which that ends.
    fallback: u32,
    /// One more than the place of the longest secret with which that ends; 0 where it does with none.
    hit: u32,
}

/// Without the secrets.
impl fmt::Debug for Automaton {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Automaton")
            .field("secrets", &self.secrets.len())
            .finish_non_exhaustive()
    }
}

/// Where a secret stands in a text.
pub(super) struct Hit<'a> {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) known: &'a Known,
}

impl Automaton {
    pub(super) fn new(mut secrets: Vec<Known>, steps: &mut u64) -> Self {
        secrets.sort_by(|one, other| one.secret.cmp(&other.secret));
        secrets.dedup_by(|one, other| one.secret == other.secret);
        let mut automaton = Self {
            nodes: vec![Node::default()],
            bytes: secrets
                .iter()
                .map(|known| known.secret.expose().len())
                .sum(),
            secrets: Vec::new(),
        };
        // The secrets that begin with what leads to a node stand together.
        let mut waiting = VecDeque::from([(0, secrets.as_slice(), 0)]);
        let mut seen = 0;
        while let Some((at, mut under, depth)) = waiting.pop_front() {
            *steps += 1;
            let Node { fallback, .. } = automaton.node(at);
            let mut hit = automaton.node(fallback).hit;
            if let Some((first, rest)) = under.split_first()
                && first.secret.expose().len() == depth
            {
                // They come in another order than they were sorted in.
                automaton.secrets.push(first.clone());
                seen += 1;
                hit = seen;
                under = rest;
            }
            let first_child = automaton.count();
            let byte_of = |known: &Known| known.secret.expose().as_bytes().get(depth).copied();
            for group in under.chunk_by(|one, other| byte_of(one) == byte_of(other)) {
                *steps += group.len() as u64;
                let byte = group.first().and_then(byte_of).unwrap_or_default();
                waiting.push_back((automaton.count(), group, depth + 1));
                let fallback = if at == 0 {
                    0
                } else {
                    automaton.next(fallback, byte, steps)
                };
                automaton.nodes.push(Node {
                    byte,
                    fallback,
                    ..Node::default()
                });
            }
            let children = automaton.count() - first_child;
            if let Some(node) = automaton.nodes.get_mut(at as usize) {
                (node.hit, node.first_child) = (hit, first_child);
                node.children = u16::try_from(children).unwrap_or_default();
            }
        }
        automaton
    }

    /// The secrets that it finds.
    pub(super) fn into_secrets(self) -> Vec<Known> {
        self.secrets
    }

    /// How many bytes its secrets have together: what it costs to make it again.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Finds, for every place where secrets end, the longest of them.
    pub(super) fn find<'a>(&'a self, text: &[u8], steps: &mut u64, hits: &mut Vec<Hit<'a>>) {
        let mut at = 0;
        for (place, byte) in text.iter().enumerate() {
            at = self.next(at, *byte, steps);
            let hit = self.node(at).hit.checked_sub(1);
            if let Some(known) = hit.and_then(|hit| self.secrets.get(hit as usize)) {
                let end = place + 1;
                let start = end.saturating_sub(known.secret.expose().len());
                hits.push(Hit { start, end, known });
            }
        }
    }

    fn next(&self, mut at: u32, byte: u8, steps: &mut u64) -> u32 {
        loop {
            *steps += 1;
            match self.child(at, byte) {
                Some(child) => return child,
                None if at == 0 => return 0,
                None => at = self.node(at).fallback,
            }
        }
    }

    fn child(&self, at: u32, byte: u8) -> Option<u32> {
        let node = self.node(at);
        let first = node.first_child as usize;
        let children = self.nodes.get(first..first + usize::from(node.children))?;
        let place = children.binary_search_by_key(&byte, |child| child.byte);
        Some(node.first_child + u32::try_from(place.ok()?).ok()?)
    }

    fn node(&self, at: u32) -> Node {
        self.nodes.get(at as usize).copied().unwrap_or_default()
    }

    /// A line is far too short to have more nodes.
    fn count(&self) -> u32 {
        u32::try_from(self.nodes.len()).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::String;

    use super::*;

    fn automaton(secrets: &[&str]) -> Automaton {
        let known = secrets.iter().zip(0..).map(|(secret, number)| Known {
            secret: Secret::new(secret),
            number,
        });
        Automaton::new(known.collect(), &mut 0)
    }

    fn found(secrets: &[&str], text: &str) -> Vec<(usize, String)> {
        let automaton = automaton(secrets);
        let mut hits = Vec::new();
        automaton.find(text.as_bytes(), &mut 0, &mut hits);
        let hits = hits.iter();
        hits.map(|hit| (hit.start, hit.known.secret.expose().into()))
            .collect()
    }

    /// The longest at every end, as a search for each of them finds it.
    fn sought(secrets: &[&str], text: &str) -> Vec<(usize, String)> {
        let ends = 1..=text.len();
        ends.filter_map(|end| {
            let before = text.get(..end)?;
            let ending = secrets.iter().filter(|it| before.ends_with(**it));
            let longest = ending.max_by_key(|it| it.len())?;
            Some((end - longest.len(), (*longest).into()))
        })
        .collect()
    }

    #[test]
    fn the_longest_secret_is_found_at_every_end() {
        let secrets = ["a", "ab", "bab", "bc", "bca", "c", "caa", "é", "ab"];
        for text in [
            "abccab",
            "aaaa",
            "bababcaabca",
            "",
            "xyz",
            "ébcé",
            "bcbcbcaaab",
        ] {
            assert_eq!(found(&secrets, text), sought(&secrets, text), "{text}");
        }
        assert_eq!(found(&[], "abc"), []);
    }

    /// Every text of so many letters against every pair of secrets of up to three.
    #[test]
    fn nothing_is_missed_in_small_worlds() {
        let words = |length: u32| {
            (0..2_u32.pow(length)).map(move |word| {
                let letters = (0..length).map(|at| if word >> at & 1 == 0 { 'a' } else { 'b' });
                letters.collect::<String>()
            })
        };
        let secrets: Vec<_> = (1..=4).flat_map(words).collect();
        let texts: Vec<_> = words(7).collect();
        for one in &secrets {
            for other in &secrets {
                let pair = [one.as_str(), other, "abba"];
                let automaton = automaton(&pair);
                for text in &texts {
                    let mut hits = Vec::new();
                    automaton.find(text.as_bytes(), &mut 0, &mut hits);
                    let hits = hits
                        .iter()
                        .map(|hit| (hit.start, hit.known.secret.expose().into()));
                    assert_eq!(hits.collect::<Vec<_>>(), sought(&pair, text), "{pair:?}");
                }
            }
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        let shown = alloc::format!("{:?}", automaton(&["hunter2"]));
        assert_eq!(shown, "Automaton { secrets: 1, .. }");
    }
}
