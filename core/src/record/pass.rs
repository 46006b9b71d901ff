//! One pass over what is to be written: every secret in it becomes its placeholder.

use alloc::{format, string::String, vec, vec::Vec};
use core::cmp::Reverse;

use super::{
    Role,
    escapes::{Changes, Escaping, put},
    filler::Filler,
    line,
    matcher::{Automaton, Hit, Known},
    sieve::Sieve,
};

/// How deep escapes are looked into: JSON in a string of JSON, or a URL in one. Each level costs
/// another pass over what has such escapes.
const DEPTH: u8 = 2;

/// With what finds the secrets.
pub(super) struct Pass<'a> {
    /// Tells what has none of them; without it, everything is searched.
    pub(super) sieve: Option<&'a Sieve>,
    pub(super) automata: Vec<&'a Automaton>,
    /// Replaces what somebody has written, where that is asked for.
    pub(super) filler: Option<&'a mut Filler>,
    pub(super) steps: &'a mut u64,
}

impl Pass<'_> {
    /// A line of JSON without its secrets, which may stand in strings and in bytes, and in the names of
    /// fields and variants are none; `None` where it has none.
    pub(super) fn line(&mut self, line: &str) -> Option<String> {
        line::replaced(line, &mut |text, role| self.clean(text, role))
    }

    /// A text without its secrets, and with its contents filled; `None` where it has none of both.
    pub(super) fn clean(&mut self, text: &[u8], role: Role) -> Option<Vec<u8>> {
        let mut changes = self.text(text, DEPTH);
        if let Some(filler) = &mut self.filler {
            match role {
                Role::Content => {
                    let into = changes.get_or_insert_with(|| vec![None; text.len()]);
                    put(into, 0, filler.fill(text).into_iter());
                }
                Role::Other => filler.fill_json(text, &mut changes),
            }
        }
        Some(made(text.iter().copied(), changes?).collect())
    }

    /// What must become of a text; `None` where it has no secrets.
    fn text(&mut self, text: &[u8], depth: u8) -> Option<Changes> {
        let mut changes = self.plain(text);
        let Some(inner) = depth.checked_sub(1) else {
            return changes;
        };
        for escaping in [Escaping::Json, Escaping::Percent] {
            if let Some(decoded) = escaping.decode(text)
                && let Some(deeper) = self.text(&decoded.bytes, inner)
            {
                let into = changes.get_or_insert_with(|| vec![None; text.len()]);
                decoded.write_back(&deeper, (escaping, text), into);
            }
        }
        changes
    }

    /// The same without looking into escapes.
    fn plain(&mut self, text: &[u8]) -> Option<Changes> {
        *self.steps += text.len() as u64;
        if self.sieve.is_some_and(|sieve| !sieve.may_hold(text)) {
            return None;
        }
        let mut hits = Vec::new();
        for automaton in &self.automata {
            automaton.find(text, self.steps, &mut hits);
        }
        if hits.is_empty() {
            return None;
        }
        hits.sort_by_key(|hit| (hit.start, Reverse(hit.end)));
        let mut changes = vec![None; text.len()];
        // What is left of a secret beside another one must not show either.
        let mut blank = 0;
        for Hit { start, end, .. } in &hits {
            let start = blank.max(*start);
            if let Some(left) = text.get(start..*end) {
                put(&mut changes, start, blanked(left, "").bytes().map(Some));
                blank = *end;
            }
        }
        let mut free = 0;
        for Hit { start, end, known } in &hits {
            if *start >= free {
                put(&mut changes, *start, placeholder(known).bytes().map(Some));
                free = *end;
            }
        }
        Some(changes)
    }
}

/// A text with its changes.
fn made(text: impl Iterator<Item = u8>, changes: Changes) -> impl Iterator<Item = u8> {
    text.zip(changes).map(|(old, new)| new.unwrap_or(old))
}

fn placeholder(known: &Known) -> String {
    let label = format!("S{}-", known.number);
    blanked(known.secret.expose().as_bytes(), &label)
}

/// Other characters of the same lengths, the first ones from `label`.
fn blanked(text: &[u8], label: &str) -> String {
    let mut label = label.chars();
    let text = core::str::from_utf8(text).unwrap_or_default();
    let blank = |char: char| match char {
        // JSON must write these with two characters, whoever writes it.
        '"' | '\\' => '\\',
        // It may write these with two, and this is the only other one that it lets be written so.
        '/' | '\0'..' ' => '/',
        char => match char.len_utf8() {
            1 => label.next().unwrap_or('x'),
            2 => 'ÿ',
            3 => char::REPLACEMENT_CHARACTER,
            _ => '\u{10000}',
        },
    };
    text.chars().map(blank).collect()
}
