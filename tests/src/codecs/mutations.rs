//! Frames that are not quite right: what a wire, a bug or an attacker makes of good ones.

use selvedge_core::Rng;

use super::packets::pick;

/// What is put in here and there, of Engine.IO.
pub const ENGINE: &[&str] = &[
    "\u{1e}",
    "\u{1e}\u{1e}",
    "b",
    "0",
    "1",
    "2",
    "3",
    "4",
    "5",
    "6",
    "7",
    "=",
    "==",
    "-",
    "_",
    "+",
    "/",
    "A",
    " ",
    "\n",
    "\u{1e}1",
    "\u{1e}5x",
    "\u{1e}b",
    "\u{1e}bAQ",
    "\u{feff}",
    "é",
    "😀",
];

/// What is put in here and there, of Socket.IO.
pub const SOCKET: &[&str] = &[
    " ",
    "\n",
    "\u{a0}",
    "\u{2028}",
    "\u{feff}",
    "0",
    "1",
    "5",
    "9",
    "-",
    "+",
    "e0",
    ".0",
    "0x",
    "\"",
    "\\",
    "\\ud83d",
    "\\u0041",
    "{",
    "}",
    "[",
    "]",
    "[]",
    "{}",
    ",",
    ":",
    "/",
    "/a,",
    "null",
    "true",
    "-0",
    "1e999",
    "9007199254740993",
    "18446744073709551616",
    "\"connect\",",
    "\"_placeholder\":true,",
    "\"num\":0,",
    "\"num\":1.0,",
    ",\"num\":0.5",
    ",\"num\":-0",
    "{\"_placeholder\":true,\"num\":0}",
    "{\"_placeholder\":true,\"num\":1}",
    "{\"_placeholder\":true,\"num\":2.0},",
    "\"message\":\"again\",",
    ",\"data\":1",
    "1-",
    "11-",
    "51-",
    "é",
    "😀",
];

/// What is put in the place of something.
const AIMED: &[(&str, &str)] = &[
    ("\"num\":", "\"num\":0.5,\"x\":"),
    ("\"num\":", "\"num\":-0,\"x\":"),
    ("\"num\":", "\"num\":1e0,\"x\":"),
    (
        "\"num\":",
        "\"num\":{\"_placeholder\":true,\"num\":7},\"num\":",
    ),
    ("\"_placeholder\"", "\"_\\u0070laceholder\""),
    ("-", "e0-"),
    ("-", ".0-"),
    ("\"message\":", "\"message\":[1e0],\"message\":"),
    ("\"message\":", "\"\\ud83d\":0,\"message\":"),
    ("\"message\"", "\"mess\\u0061ge\""),
    ("[\"", "[\"\\ud83d"),
    ("[\"", "[\"connect\",\""),
    ("[", "[1e0,"),
    ("[", "[{\"a\":{\"_placeholder\":true,\"num\":99},\"a\":0},"),
];

/// A mutated `frame`: one to three changes, some of them with parts of `other` or of `pieces`.
pub fn mutated(rng: &mut Rng, frame: &[u8], other: &[u8], pieces: &[&str]) -> Vec<u8> {
    let mut bytes = frame.to_vec();
    for _ in 0..=rng.below(3) {
        let at = place(rng, bytes.len());
        match rng.below(14) {
            0 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << rng.below(8);
                }
            }
            1 => bytes.insert(at, rng.next_u32() as u8),
            2 | 3 => {
                let to = place(rng, bytes.len().min(at + 4)).max(at);
                bytes.drain(at..to);
            }
            4 => bytes.truncate(at),
            5 => {
                bytes.truncate(at);
                let from = place(rng, other.len());
                bytes.extend(other.iter().skip(from));
            }
            6 => {
                let from = place(rng, other.len());
                let part = other.iter().skip(from).take(rng.below(20) as usize);
                let part: Vec<u8> = part.copied().collect();
                bytes.splice(at..at, part);
            }
            7 => {
                // The long and the deep, which have limits.
                let piece = pick(rng, &["x", "/x", "[", "0", "9", "\u{1e}"]);
                let piece = piece.repeat(100 + rng.below(200) as usize);
                bytes.splice(at..at, piece.into_bytes());
            }
            8 => {
                let (needle, instead) = pick(rng, AIMED);
                replace(&mut bytes, needle, instead);
            }
            9 => {
                let levels = 100 + rng.below(60) as usize;
                let deep = [",", &"[".repeat(levels), &"]".repeat(levels), ","].concat();
                replace(&mut bytes, ",", &deep);
            }
            _ => {
                let piece = pick(rng, pieces).bytes();
                bytes.splice(at..at, piece);
            }
        }
    }
    bytes
}

/// Puts `instead` in the place of the last `needle`.
fn replace(bytes: &mut Vec<u8>, needle: &str, instead: &str) {
    let needle = needle.as_bytes();
    let found = bytes.windows(needle.len()).rposition(|it| it == needle);
    if let Some(at) = found {
        bytes.splice(at..at + needle.len(), instead.bytes());
    }
}

/// A place in so many bytes: often near the front, where the header stands.
fn place(rng: &mut Rng, length: usize) -> usize {
    let near = if rng.chance(1, 2) { 8 } else { length };
    rng.below(near.min(length) as u64 + 1) as usize
}
