//! Mentions in a message: `<@ID>` and `<@user.name:NAME>`, where they do not stand in code.
//!
//! Code is what CommonMark says, as far as backticks go: fences (an unclosed one runs to the end)
//! and spans (which do not leave their paragraph). `~~~` and indentation are not code here.

use alloc::{string::String, vec::Vec};
use core::ops::Range;

use crate::{fabric::fence, id::UserId};

/// The longest id that a client may write, in characters of `[A-Za-z0-9_-]`.
pub const ID_CHARS_MAX: usize = 64;
/// The longest NAME of a mention, in Unicode scalar values.
pub const NAME_CHARS_MAX: usize = 64;

/// Whether `id` is one that clients may write: 1 to [`ID_CHARS_MAX`] of `[A-Za-z0-9_-]`.
pub fn is_id(id: &str) -> bool {
    (1..=ID_CHARS_MAX).contains(&id.len()) && id.bytes().all(is_id_byte)
}

const fn is_id_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'
}

/// One mention.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mention<'a> {
    /// Its bytes in the text, brackets included.
    pub at: Range<usize>,
    /// Who is meant.
    pub target: Target<'a>,
}

/// Who is meant by a mention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target<'a> {
    /// A user's id.
    Id(&'a str),
    /// A user's name, which only Center can resolve.
    Name(&'a str),
}

/// Every mention in `text`, in order of appearance.
pub fn find(text: &str) -> Vec<Mention<'_>> {
    let mut found = Vec::new();
    let mut code = code(text).into_iter().peekable();
    let mut at = 0;
    while let Some(offset) = text.get(at..).and_then(|rest| rest.find("<@")) {
        let start = at + offset;
        while code.next_if(|code| code.end <= start).is_some() {}
        if let Some(code) = code.peek().filter(|code| code.start <= start) {
            at = code.end;
            continue;
        }
        let Some(mention) = mention_at(text, start) else {
            at = start + 2;
            continue;
        };
        at = mention.at.end;
        if code.peek().is_none_or(|code| code.start >= at) {
            found.push(mention);
        }
    }
    found
}

/// The mention that begins at byte `start`, where `<@` stands.
pub(crate) fn mention_at(text: &str, start: usize) -> Option<Mention<'_>> {
    let inner = text.get(start + 2..)?;
    // Nothing longer can be a mention, so a text full of `<@` costs no more than linear time.
    let longest = "user.name:".len() + NAME_CHARS_MAX * 4;
    let end = inner
        .bytes()
        .take(longest + 1)
        .position(|byte| matches!(byte, b'<' | b'>' | b'\n' | b'\r'))?;
    let (inner, rest) = inner.split_at_checked(end)?;
    if !rest.starts_with('>') {
        return None;
    }
    let target = match inner.strip_prefix("user.name:") {
        Some(name) if (1..=NAME_CHARS_MAX).contains(&name.chars().count()) => Target::Name(name),
        None if is_id(inner) => Target::Id(inner),
        Some(_) | None => return None,
    };
    Some(Mention {
        at: start..start + 2 + end + 1,
        target,
    })
}

/// The text with every name that `resolve` knows written as an id, and the ids that are mentioned
/// then: each once, in order of appearance. A name that stays unknown stays text.
pub fn rewrite<'u>(
    text: &str,
    resolve: impl Fn(&str) -> Option<&'u UserId>,
) -> (String, Vec<UserId>) {
    let mut written = String::with_capacity(text.len());
    let mut mentioned = Vec::new();
    let mut copied = 0;
    for mention in find(text) {
        let user = match mention.target {
            Target::Id(id) => UserId::new(id),
            // An id that could not be read back as a mention would be mentioned only now.
            Target::Name(name) => resolve(name).filter(|user| is_id(user.as_str())).cloned(),
        };
        let Some(user) = user else {
            continue;
        };
        written.push_str(text.get(copied..mention.at.start).unwrap_or_default());
        written.push_str("<@");
        written.push_str(user.as_str());
        written.push('>');
        copied = mention.at.end;
        if !mentioned.contains(&user) {
            mentioned.push(user);
        }
    }
    written.push_str(text.get(copied..).unwrap_or_default());
    (written, mentioned)
}

/// Whether a guild that was given `written` may have made `stored` of it: the same text, with names in
/// mentions written as ids or not.
pub fn says_the_same(written: &str, stored: &str) -> bool {
    let (mine, theirs) = (find(written), find(stored));
    let mut compared = (0, 0);
    for (mine, theirs) in mine.iter().zip(&theirs) {
        let before = written.get(compared.0..mine.at.start);
        let same_target = match (&mine.target, &theirs.target) {
            (Target::Name(_), Target::Id(_)) => true,
            (mine, theirs) => mine == theirs,
        };
        if !same_target || before != stored.get(compared.1..theirs.at.start) {
            return false;
        }
        compared = (mine.at.end, theirs.at.end);
    }
    mine.len() == theirs.len() && written.get(compared.0..) == stored.get(compared.1..)
}

/// The names that `text` mentions, each once, in order of appearance.
pub fn names(text: &str) -> Vec<&str> {
    let mut names = Vec::new();
    for mention in find(text) {
        if let Target::Name(name) = mention.target
            && !names.contains(&name)
        {
            names.push(name);
        }
    }
    names
}

/// The byte ranges of `text` that are code, in order.
fn code(text: &str) -> Vec<Range<usize>> {
    let mut code = Vec::new();
    let mut paragraph: Option<Range<usize>> = None;
    let mut fence: Option<(usize, usize)> = None;
    for line in lines(text) {
        let words = text.get(line.clone()).unwrap_or_default();
        if let Some((start, ticks)) = fence {
            if fence::closes(words, ticks) {
                code.push(start..line.end);
                fence = None;
            }
            continue;
        }
        let opened = fence::opens(words);
        if opened.is_none() && !words.bytes().all(|byte| byte.is_ascii_whitespace()) {
            let start = paragraph.map_or(line.start, |lines| lines.start);
            paragraph = Some(start..line.end);
            continue;
        }
        if let Some(lines) = paragraph.take() {
            spans(text, lines, &mut code);
        }
        fence = opened.map(|ticks| (line.start, ticks));
    }
    if let Some(lines) = paragraph {
        spans(text, lines, &mut code);
    }
    if let Some((start, _)) = fence {
        code.push(start..text.len());
    }
    code
}

/// The lines of `text` as byte ranges, without their ends: `\n`, `\r\n` or `\r`.
fn lines(text: &str) -> impl Iterator<Item = Range<usize>> {
    let mut rest = Some(0);
    core::iter::from_fn(move || {
        let start = rest?;
        let after = text.get(start..).unwrap_or_default();
        let Some(length) = after.find(['\n', '\r']) else {
            rest = None;
            return Some(start..text.len());
        };
        let end = start + length;
        let broken = text.get(end..).unwrap_or_default();
        rest = Some(end + if broken.starts_with("\r\n") { 2 } else { 1 });
        Some(start..end)
    })
}

/// The code spans of one paragraph (CommonMark 0.31, section 6.1): a run of backticks up to the
/// next run of the same length. A backslash takes one backtick from a run that would open.
fn spans(text: &str, paragraph: Range<usize>, code: &mut Vec<Range<usize>>) {
    let runs = runs(text, paragraph);
    // From the end: for each run the next one of its length, so that a paragraph of runs that
    // never close costs no more than n log n.
    let mut closers = alloc::collections::BTreeMap::new();
    let mut closed_by = alloc::vec![None; runs.len()];
    for (index, run) in runs.iter().enumerate().rev() {
        let opens = run.ticks.len() - usize::from(run.escaped);
        if let Some(closer) = closed_by.get_mut(index) {
            *closer = closers.get(&opens).copied();
        }
        closers.insert(run.ticks.len(), index);
    }
    let mut index = 0;
    while let (Some(run), Some(closer)) = (runs.get(index), closed_by.get(index)) {
        index += 1;
        let opens = run.ticks.len() - usize::from(run.escaped);
        if let Some(closer) = *closer
            && opens > 0
            && let Some(end) = runs.get(closer)
        {
            code.push(run.ticks.end - opens..end.ticks.end);
            index = closer + 1;
        }
    }
}

/// A run of backticks, and whether a backslash stands before it that is not itself escaped.
struct Run {
    ticks: Range<usize>,
    escaped: bool,
}

fn runs(text: &str, paragraph: Range<usize>) -> Vec<Run> {
    let mut runs = Vec::<Run>::new();
    let mut escaped = false;
    let start = paragraph.start;
    for (offset, byte) in text.get(paragraph).unwrap_or_default().bytes().enumerate() {
        let at = start + offset;
        match byte {
            b'`' => match runs.last_mut() {
                Some(run) if run.ticks.end == at => run.ticks.end += 1,
                Some(_) | None => runs.push(Run {
                    ticks: at..at + 1,
                    escaped,
                }),
            },
            b'\\' => {
                escaped = !escaped;
                continue;
            }
            _ => {}
        }
        escaped = false;
    }
    runs
}

#[cfg(test)]
mod tests {
    use alloc::{format, vec};

    use super::*;

    fn targets(text: &str) -> Vec<Target<'_>> {
        find(text)
            .into_iter()
            .map(|mention| mention.target)
            .collect()
    }

    fn ids(text: &str) -> Vec<&str> {
        targets(text)
            .into_iter()
            .map(|target| match target {
                Target::Id(id) | Target::Name(id) => id,
            })
            .collect()
    }

    #[test]
    fn ids_and_names_are_found() {
        assert_eq!(
            targets("hi <@u_1>, <@user.name:Ann B. é>: <@ü> <@> <@a b> <@user.name:>"),
            [Target::Id("u_1"), Target::Name("Ann B. é")]
        );
        assert_eq!(ids("<@<@a>> <@user.name:a\nb> <@user.name:a<b> <@b"), ["a"]);
        let long = "x".repeat(ID_CHARS_MAX);
        assert_eq!(ids(&format!("<@{long}><@{long}x>")), [long.as_str()]);
        let wide = "é".repeat(NAME_CHARS_MAX);
        assert_eq!(
            ids(&format!("<@user.name:{wide}><@user.name:{wide}é>")),
            [wide.as_str()]
        );
    }

    #[test]
    fn code_spans_hide_mentions_inside_their_paragraph() {
        for (text, expected) in [
            ("`<@a>` <@b>", vec!["b"]),
            ("``<@a> ` <@b>`` <@c>", vec!["c"]),
            ("` <@a>", vec!["a"]),
            ("` <@a>\n\n<@b> `", vec!["a", "b"]),
            ("` <@a>\n<@b> ` <@c>", vec!["c"]),
            ("` <@a>\r\n<@b> ` <@c>", vec!["c"]),
            ("` <@a>\r\r<@b> ` <@c>", vec!["a", "b", "c"]),
            ("\\`<@a>`", vec!["a"]),
            ("\\\\`<@a>`", vec![]),
            ("\\``<@a>` <@b>", vec!["b"]),
            ("`\\` <@a> `", vec!["a"]),
            ("`` <@a> ` <@b> `` `<@c>", vec!["c"]),
            ("<@user.name:a`b> `", vec![]),
        ] {
            assert_eq!(ids(text), expected, "{text:?}");
        }
    }

    #[test]
    fn fences_hide_mentions_up_to_their_end() {
        for (text, expected) in [
            ("```\n<@a>\n```\n<@b>", vec!["b"]),
            ("```rust\n<@a>\n`` \n````  \n<@b>", vec!["b"]),
            ("   ```\n<@a>\n   ```\n<@b>", vec!["b"]),
            ("    ```\n<@a>\n\n<@b>", vec!["a", "b"]),
            ("```\n<@a>\n\n<@b>", vec![]),
            ("x ` y\n```\n<@a>\n```\n` <@b>", vec!["b"]),
            ("```a`b\n<@a>", vec!["a"]),
            ("~~~\n<@a>\n~~~", vec!["a"]),
            ("````\n```\n<@a>\n````\n<@b>", vec!["b"]),
            ("```\r\n<@a>\r\n```\r\n<@b>", vec!["b"]),
        ] {
            assert_eq!(ids(text), expected, "{text:?}");
        }
    }

    #[test]
    fn known_names_become_ids_and_the_rest_stays() {
        let ann = UserId::new("u1").unwrap();
        let odd = UserId::new("not an id").unwrap();
        let resolve = |name: &str| match name {
            "Ann" => Some(&ann),
            "Odd" => Some(&odd),
            _ => None,
        };
        let text = "<@user.name:Ann> `<@user.name:Ann>` <@u2> <@u1> <@user.name:X><@user.name:Odd>";
        let (written, mentioned) = rewrite(text, resolve);
        assert_eq!(
            written,
            "<@u1> `<@user.name:Ann>` <@u2> <@u1> <@user.name:X><@user.name:Odd>"
        );
        assert_eq!(mentioned, [ann.clone(), UserId::new("u2").unwrap()]);
        assert_eq!(rewrite(&written, resolve), (written.clone(), mentioned));
        assert_eq!(names(text), ["Ann", "X", "Odd"]);
        // Another case is another name.
        let text = "<@user.name:Ann> <@user.name:ann>";
        assert_eq!(names(text), ["Ann", "ann"]);
        assert_eq!(rewrite(text, resolve).0, "<@u1> <@user.name:ann>");
    }

    #[test]
    fn a_text_is_the_same_with_its_names_resolved_or_not() {
        let written = "hi <@user.name:Al> and <@u2>, `<@user.name:Al>`";
        for (stored, same) in [
            (written, true),
            ("hi <@u1> and <@u2>, `<@user.name:Al>`", true),
            ("hi <@u1> and <@u3>, `<@user.name:Al>`", false),
            ("hi <@u1> or <@u2>, `<@user.name:Al>`", false),
            ("hi <@u1> and <@u2>, `<@u1>`", false),
            ("hi <@user.name:Bo> and <@u2>, `<@user.name:Al>`", false),
            ("hi <@u1> and <@u2>", false),
            ("hi <@u1> and <@u2>, `<@user.name:Al>` <@u1>", false),
        ] {
            assert_eq!(says_the_same(written, stored), same, "{stored}");
        }
    }

    #[test]
    fn hostile_text_is_read_in_time() {
        let ticks: String = (1..900).map(|n| "`".repeat(n) + "x").collect();
        assert_eq!(ids(&ticks), Vec::<&str>::new());
        let many = "<@user.name:".repeat(100_000);
        assert_eq!(ids(&many), Vec::<&str>::new());
    }
}
