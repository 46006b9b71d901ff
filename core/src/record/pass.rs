//! One pass over what is to be written: every secret in it becomes its placeholder.

use alloc::{format, string::String, vec, vec::Vec};
use core::cmp::Reverse;

use serde_json::Value;

use super::{
    escapes::{Changes, Escaping, put},
    matcher::{Automaton, Hit, Known},
};

/// How deep escapes are looked into: JSON in a string of JSON, or a URL in one. Each level costs
/// another pass over what has such escapes.
const DEPTH: u8 = 2;

/// With what finds the secrets.
pub(super) struct Pass<'a> {
    pub(super) automata: Vec<&'a Automaton>,
    pub(super) steps: &'a mut u64,
}

impl Pass<'_> {
    /// Replaces secrets in strings and in bytes, never in the names of fields and variants.
    pub(super) fn tree(&mut self, tree: &mut Value) {
        match tree {
            Value::String(text) => {
                if let Some(clean) = self.clean(text.as_bytes()) {
                    // Whole characters become others.
                    *text = String::from_utf8_lossy(&clean).into_owned();
                }
            }
            Value::Array(items) => match bytes(items) {
                Some(bytes) => {
                    if let Some(clean) = self.clean(&bytes) {
                        *items = clean.into_iter().map(Value::from).collect();
                    }
                }
                None => items.iter_mut().for_each(|item| self.tree(item)),
            },
            Value::Object(fields) => fields.values_mut().for_each(|field| self.tree(field)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// A text without its secrets; `None` where it has none.
    pub(super) fn clean(&mut self, text: &[u8]) -> Option<Vec<u8>> {
        let changes = self.text(text, DEPTH)?;
        Some(made(text.iter().copied(), changes).collect())
    }

    /// What must become of a text; `None` where it has no secrets.
    fn text(&mut self, text: &[u8], depth: u8) -> Option<Changes> {
        let mut changes = self.plain(text);
        let Some(inner) = depth.checked_sub(1) else {
            return changes;
        };
        for escaping in [Escaping::Json, Escaping::Percent] {
            *self.steps += text.len() as u64;
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

/// An array that stands for bytes.
fn bytes(items: &[Value]) -> Option<Vec<u8>> {
    let byte = |item: &Value| u8::try_from(item.as_u64()?).ok();
    items.iter().map(byte).collect()
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
