//! What stands in a recording in place of what people and agents have written.

use alloc::{collections::BTreeMap, vec, vec::Vec};
use core::{mem, ops::Range};

use super::{
    digest::fold,
    escapes::{Changes, Escaping, put},
};
use crate::{fabric::turns::Command, guild::mention, plugin::jobs::ORIGIN};

/// Where contents stand, by the names of fields: of messages, drafts and canvases.
const FIELDS: [&str; 5] = ["content", "contents", "title", "opening", "summary"];

/// Texts that look alike are told apart up to this length, in bytes. Parts that are cut off a longer one
/// must look as they do in it, whatever else there is.
const TOLD_APART_MAX: usize = 1_000;

/// How many texts make a generation. The newest two are known, so that one is filled in the same way
/// for as long as it waits somewhere and one of these is filled.
const TEXTS_MAX: usize = 20_000;

/// Whether a field with this name has what somebody has written.
pub(super) fn is_content(field: &str) -> bool {
    FIELDS.contains(&field)
}

/// Makes filler: every character becomes a letter of the same length, but for white space, the marks of
/// mentions and of code, what JSON may write with two characters, and whole commands. The machines look
/// at nothing else in a text, cut it where they find that, and compare texts: so equal ones get equal
/// filler, and others get others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Filler {
    young: Texts,
    old: Texts,
}

/// Texts that were seen, by hashes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Texts {
    /// By what is left of them in the filler, and what is not.
    numbers: BTreeMap<(u64, u64), usize>,
    /// How many look alike.
    alike: BTreeMap<u64, usize>,
}

impl Filler {
    /// What becomes of the contents in a text that is JSON, or has some.
    pub(super) fn fill_json(&mut self, text: &[u8], into: &mut Option<Changes>) {
        for range in contents(text) {
            let written = text.get(range.clone()).unwrap_or_default();
            let changes = match Escaping::Json.decode(written) {
                None => self.fill(written),
                Some(decoded) => {
                    let mut changes = vec![None; written.len()];
                    let filled = self.fill(&decoded.bytes);
                    decoded.write_back(&filled, (Escaping::Json, written), &mut changes);
                    changes
                }
            };
            let into = into.get_or_insert_with(|| vec![None; text.len()]);
            put(into, range.start, changes.into_iter());
        }
    }

    /// What becomes of a content.
    pub(super) fn fill(&mut self, text: &[u8]) -> Changes {
        let mut changes = vec![None; text.len()];
        let Ok(text) = core::str::from_utf8(text) else {
            changes.fill(Some(b'x'));
            return changes;
        };
        if Command::of(text).is_some() {
            return changes;
        }
        let kept = marks(text);
        let mut kept = kept.iter().peekable();
        let (mut shape, mut said) = (0, 0);
        let mut letters = Vec::new();
        for (at, char) in text.char_indices() {
            while kept.next_if(|mark| mark.end <= at).is_some() {}
            if kept.peek().is_some_and(|mark| mark.start <= at) {
                continue;
            }
            if stays(char) {
                shape = fold(shape, &Some(char));
            } else {
                shape = fold(shape, &char.len_utf8());
                said = fold(said, &char);
                letters.push((at, char));
            }
        }
        let number = match text.len() {
            0..=TOLD_APART_MAX => self.number(shape, said),
            _ => 0,
        };
        let digits = digits(number);
        for ((at, char), digit) in letters.into_iter().zip(digits.iter().cycle()) {
            let letter = letter(char.len_utf8(), *digit);
            let mut bytes = [0; 4];
            put(
                &mut changes,
                at,
                letter.encode_utf8(&mut bytes).bytes().map(Some),
            );
        }
        changes
    }

    /// How many texts before it look like this one.
    fn number(&mut self, shape: u64, said: u64) -> usize {
        let key = (shape, said);
        if let Some(number) = self.young.numbers.get(&key) {
            return *number;
        }
        if self.young.numbers.len() >= TEXTS_MAX {
            self.old = mem::take(&mut self.young);
        }
        let alike = |texts: &Texts| texts.alike.get(&shape).copied().unwrap_or_default();
        let alike = alike(&self.young).max(alike(&self.old));
        let number = self.old.numbers.get(&key).copied().unwrap_or(alike);
        self.young.numbers.insert(key, number);
        self.young.alike.insert(shape, alike.max(number + 1));
        number
    }
}

/// What is kept as it is written: mentions, also in code, and where a discussion says that it comes from.
fn marks(text: &str) -> Vec<Range<usize>> {
    let mut marks: Vec<_> = text
        .match_indices("<@")
        .filter_map(|(at, _)| mention::mention_at(text, at))
        .map(|mention| mention.at)
        .collect();
    if let Some((before, origin)) = text.rsplit_once(ORIGIN)
        && mention::is_id(origin)
    {
        marks.push(before.len()..text.len());
    }
    marks
}

/// What has a meaning for the machines, or more than one way to be written in JSON.
fn stays(char: char) -> bool {
    // Half of a surrogate pair is read as the last one, and makes that nobody else can read it.
    char.is_whitespace()
        || char.is_control()
        || matches!(char, '`' | '\\' | '"' | '/' | char::REPLACEMENT_CHARACTER)
}

const LETTERS: usize = 26;

/// A number by the letters of an alphabet.
fn digits(mut number: usize) -> Vec<u32> {
    let mut digits = Vec::new();
    loop {
        digits.extend(u32::try_from(number % LETTERS));
        number /= LETTERS;
        if number == 0 {
            return digits;
        }
    }
}

/// A letter that is so many bytes long.
fn letter(bytes: usize, digit: u32) -> char {
    let first = match bytes {
        // From x on, around to w.
        1 => return char::from_u32(0x61 + (digit + 23) % 26).unwrap_or('x'),
        2 => 0x100,
        3 => 0x4e00,
        _ => 0x1_0000,
    };
    char::from_u32(first + digit).unwrap_or('x')
}

/// Where the values of such fields are in a text that is JSON, or has some: the content of each string.
/// Broken JSON is read as far as it goes: what has begun and does not end is content up to the end.
fn contents(text: &[u8]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(quote) = position(text, at, b'"') {
        at = quote + 1;
        let key_end = string_end(text, at);
        let key = text.get(at..key_end).unwrap_or_default();
        let Some(start) = value_start(text, key_end) else {
            continue;
        };
        if names_content(key) {
            let end = string_end(text, start);
            found.push(start..end);
            at = end + 1;
        }
    }
    found
}

fn position(text: &[u8], from: usize, byte: u8) -> Option<usize> {
    let rest = text.get(from..)?;
    rest.iter().position(|it| *it == byte).map(|at| from + at)
}

/// Where a string ends that begins there.
fn string_end(text: &[u8], start: usize) -> usize {
    let mut at = start;
    loop {
        match text.get(at) {
            None | Some(b'"') => return at.min(text.len()),
            Some(b'\\') => at += 2,
            Some(_) => at += 1,
        }
    }
}

/// Where the string begins that is the value of the key which ends there.
fn value_start(text: &[u8], key_end: usize) -> Option<usize> {
    let rest = text.get(key_end + 1..)?.trim_ascii_start();
    let rest = rest.strip_prefix(b":")?.trim_ascii_start();
    let value = rest.strip_prefix(b"\"")?;
    Some(text.len() - value.len())
}

/// Whether a key, as it is written, is the name of such a field.
fn names_content(key: &[u8]) -> bool {
    if !key.contains(&b'\\') {
        return FIELDS.iter().any(|field| field.as_bytes() == key);
    }
    let decoded = Escaping::Json.decode(key);
    decoded.is_some_and(|key| FIELDS.iter().any(|field| field.as_bytes() == key.bytes))
}

#[cfg(test)]
mod tests {
    use alloc::string::String;

    use super::*;

    fn filled(filler: &mut Filler, text: &str) -> String {
        let changes = filler.fill(text.as_bytes());
        let bytes = text.bytes().zip(changes);
        let bytes = bytes.map(|(old, new)| new.unwrap_or(old)).collect();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn what_the_machines_look_at_stays_and_nothing_else() {
        for (text, expected) in [
            ("Hello, World 1!\n", "xxxxxx xxxxx xx\n"),
            ("é 漢字 😀", "\u{100} \u{4e00}\u{4e00} \u{10000}"),
            (
                "<@u_1>, <@user.name:Ann B.>: <@a b> <b>",
                "<@u_1>x <@user.name:Ann B.>x xxx xx xxx",
            ),
            (
                "```rust\nlet a = 1;\n``` `<@a>`",
                "```xxxx\nxxx x x xx\n``` `<@a>`",
            ),
            (" /no-reply\n", " /no-reply\n"),
            ("/no-reply now", "/xxxxxxxx xxx"),
            ("Tea?\n\norigin: c_1", "xxxx\n\norigin: c_1"),
            ("Tea?\n\norigin: my flat", "xxxx\n\nxxxxxxx xx xxxx"),
            (r#"say "a\b/""#, r#"xxx "x\x/""#),
            ("", ""),
        ] {
            assert_eq!(filled(&mut Filler::default(), text), expected);
        }
    }

    #[test]
    fn equal_texts_are_filled_alike_and_others_are_not() {
        let mut filler = Filler::default();
        let (teh, the) = (
            filled(&mut filler, "teh cat"),
            filled(&mut filler, "the cat"),
        );
        assert_eq!((&*teh, &*the), ("xxx xxx", "yyy yyy"));
        assert_eq!(filled(&mut filler, "teh cat"), teh);
        // Also where a guild has resolved a name meanwhile.
        let named = filled(&mut filler, "hi <@user.name:Al>");
        assert_eq!(
            named.replace("user.name:Al", "u_1"),
            filled(&mut filler, "hi <@u_1>")
        );
        for number in 0..1_000 {
            let text = alloc::format!("{number:04}");
            let first = filled(&mut filler, &text);
            assert_eq!(filled(&mut filler, &text), first);
        }
        let last = filled(&mut filler, "0999");
        assert_ne!(last, filled(&mut filler, "0001"));
        // The parts of a long one look as they do in it.
        let long = "word ".repeat(500);
        let whole = filled(&mut filler, &long);
        let (head, tail) = long.split_at(1_503);
        assert_eq!(
            whole,
            [filled(&mut filler, head), filled(&mut filler, tail)].concat()
        );
    }

    #[test]
    fn texts_are_known_for_two_generations() {
        let mut filler = Filler::default();
        let text = |number: usize| alloc::format!("{number:08}");
        let kept = [filled(&mut filler, "kept-1"), filled(&mut filler, "kept-2")];
        for number in 0..3 * TEXTS_MAX {
            filled(&mut filler, &text(number));
            if number % 1_000 == 0 {
                assert_eq!(filled(&mut filler, "kept-2"), kept[1]);
            }
        }
        assert!(filler.young.numbers.len() + filler.old.numbers.len() <= 2 * TEXTS_MAX);
    }

    #[test]
    fn contents_are_found_where_json_has_them() {
        let found = |text: &str| {
            let ranges = contents(text.as_bytes()).into_iter();
            ranges
                .map(|at| text.get(at).unwrap().into())
                .collect::<Vec<String>>()
        };
        let frame =
            r#"42/realtime,["message.created",{"id":"content","content":"a \"b\":\"c","x":"d"}]"#;
        assert_eq!(found(frame), [r#"a \"b\":\"c"#]);
        assert_eq!(
            found(r#"{ "c\u006fntent" : "a" , "title":"t","content":1}"#),
            ["a", "t"]
        );
        assert_eq!(found(r#"{"content":"broken off"#), ["broken off"]);
        assert_eq!(found(r#"stray " quote {"content":"a"}"#), ["a"]);
        for nothing in [
            "",
            "\"",
            r#""content"#,
            r#""content":"#,
            r#"["content","a"]"#,
        ] {
            assert_eq!(found(nothing), [""; 0], "{nothing}");
        }
    }
}
