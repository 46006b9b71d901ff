//! Cutting a text that is too long for one message: at paragraphs, lines or words, with fences kept whole.

use alloc::{format, string::String, vec::Vec};

use crate::fabric::fence;

/// A fence that a part begins in.
#[derive(Clone, Copy)]
struct Fence<'t> {
    /// The line that opened it.
    line: &'t str,
    ticks: usize,
}

impl<'t> Fence<'t> {
    fn opened_by(line: &'t str) -> Option<Self> {
        let ticks = fence::opens(line)?;
        let line = line.trim_end();
        Some(Self { line, ticks })
    }

    /// What a part begins with that goes on in it.
    fn head(self) -> String {
        format!("{}\n", self.line)
    }

    /// What a part ends with that breaks off in it.
    fn tail(self) -> String {
        format!("\n{}", "`".repeat(self.ticks))
    }

    /// Characters that are added to a part which begins and ends in it.
    fn cost(self) -> usize {
        self.line.chars().count() + self.ticks + 2
    }
}

/// `text` in parts of at most `max` characters (Unicode scalar values), none of them blank. A part ends
/// behind a paragraph, else a line, else a word, where one ends in its second half; a fence that must
/// be cut is closed and opened again.
pub fn split(text: &str, max: usize) -> Vec<String> {
    let max = max.max(1);
    let mut parts = Vec::new();
    let (mut rest, mut fence) = (text, None::<Fence<'_>>);
    loop {
        let head = fence.map(Fence::head).unwrap_or_default();
        let room = max.saturating_sub(head.chars().count()).max(1);
        if offset(rest, room).is_none() {
            push(&mut parts, &head, rest, "");
            return parts;
        }
        let mut reserve = 0;
        let (taken, next, open) = loop {
            let (taken, next) = cut(rest, room.saturating_sub(reserve).max(1));
            // A fence whose lines would fill the part is not worth keeping.
            let open = after(taken, fence).filter(|open| open.cost() <= max / 2);
            let needed = open.map_or(0, |open| open.ticks + 1);
            if needed <= reserve || taken.chars().count() + needed <= room {
                break (taken, next, open);
            }
            reserve = needed;
        };
        match open {
            Some(open) => push(&mut parts, &head, taken, &open.tail()),
            None => push(&mut parts, &head, taken.trim_end(), ""),
        }
        (rest, fence) = (next, open);
    }
}

fn push(parts: &mut Vec<String>, head: &str, text: &str, tail: &str) {
    if !text.trim().is_empty() {
        parts.push(format!("{head}{text}{tail}"));
    }
}

/// Where the character of that number begins; `None` where there are no more than so many.
fn offset(text: &str, chars: usize) -> Option<usize> {
    text.char_indices().nth(chars).map(|(at, _)| at)
}

/// At most so many characters of a text that has more, and what follows them without what was
/// between.
fn cut(text: &str, chars: usize) -> (&str, &str) {
    let at = |chars| offset(text, chars).unwrap_or(text.len());
    let (half, end) = (at(chars / 2), at(chars));
    // What is between may stand behind the last character that fits.
    let until = |chars| text.get(..at(chars)).unwrap_or_default();
    let (line, paragraph) = (until(chars + 1), until(chars + 2));
    let ends = [
        paragraph.rfind("\n\n"),
        line.rfind('\n'),
        line.rfind([' ', '\t']),
    ];
    let end = ends
        .into_iter()
        .flatten()
        .find(|end| *end >= half && *end > 0)
        .unwrap_or(end);
    let (taken, next) = text.split_at_checked(end).unwrap_or((text, ""));
    let taken = match next.starts_with('\n') {
        true => taken.trim_end_matches('\r'),
        false => taken,
    };
    let next = match next.trim_start_matches(['\n', '\r']) {
        lines if lines.len() < next.len() => lines,
        words => words.trim_start_matches([' ', '\t']),
    };
    (taken, next)
}

/// The fence that is open after `text`, which began in this one.
fn after<'t>(text: &'t str, mut fence: Option<Fence<'t>>) -> Option<Fence<'t>> {
    for line in text.lines() {
        fence = match fence {
            Some(open) if fence::closes(line, open.ticks) => None,
            Some(open) => Some(open),
            None => Fence::opened_by(line),
        };
    }
    fence
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;
    use crate::rng::Rng;

    #[test]
    fn what_fits_is_one_part() {
        assert_eq!(split("abc", 3), vec!["abc"]);
        assert_eq!(split("äöü", 3), vec!["äöü"]);
        assert_eq!(split("", 3), Vec::<String>::new());
    }

    #[test]
    fn a_text_is_cut_at_its_paragraphs_else_lines_else_words() {
        let paragraphs = "one two\n\nthree\nfour five six";
        assert_eq!(
            split(paragraphs, 14),
            vec!["one two", "three\nfour", "five six"]
        );
        assert_eq!(split("on\ntwo three", 6), vec!["on\ntwo", "three"]);
        assert_eq!(split("one two three", 8), vec!["one two", "three"]);
        assert_eq!(split("abcdefgh", 3), vec!["abc", "def", "gh"]);
        // A line's end in the first half would leave a part almost empty.
        assert_eq!(split("a\nbcdefghij", 8), vec!["a\nbcdefg", "hij"]);
        // The next line keeps its indentation.
        assert_eq!(split("- one\n  - two", 9), vec!["- one", "  - two"]);
    }

    #[test]
    fn a_fence_that_is_cut_is_closed_and_opened_again() {
        let text = "so:\n```rust\nlet a = 1;\nlet b = 2;\nlet c = 3;\n```\nand more";
        let parts = split(text, 40);
        assert_eq!(
            parts,
            vec![
                "so:\n```rust\nlet a = 1;\nlet b = 2;\n```",
                "```rust\nlet c = 3;\n```\nand more",
            ]
        );
    }

    #[test]
    fn a_fence_with_an_endless_line_is_not_repeated() {
        let text = format!("```{}\nx\n```", "i".repeat(100));
        let parts = split(&text, 20);
        assert!(
            parts.iter().all(|part| part.chars().count() <= 20),
            "{parts:?}"
        );
        assert_eq!(parts.concat().matches('i').count(), 100);
    }

    /// A text of words, line ends and fences.
    fn text(rng: &mut Rng) -> String {
        let pieces = [
            "word",
            "ä b c",
            "\n",
            "\n\n",
            "\r\n",
            "\n```\n",
            "\n````rust\n",
            "`ö`",
            "``` ``",
            "  ",
        ];
        let count = rng.below(60);
        (0..count)
            .filter_map(|_| pieces.get(usize::try_from(rng.below(10)).ok()?))
            .copied()
            .collect()
    }

    #[test]
    fn no_part_is_too_long_or_blank_or_ends_in_a_fence_and_no_word_is_lost() {
        let mut rng = Rng::from_number(1);
        let words = |text: &str| {
            let letters: String = text.chars().filter(|char| char.is_alphabetic()).collect();
            // What opens a fence is repeated; nothing else is.
            letters.replace("rust", "")
        };
        for _ in 0..20_000 {
            let text = text(&mut rng);
            let max = usize::try_from(rng.below(60)).unwrap() + 1;
            let parts = split(&text, max);
            for part in &parts {
                assert!(part.chars().count() <= max, "{part:?} of {text:?} by {max}");
                assert!(!part.trim().is_empty(), "{text:?} by {max}");
            }
            if let Some((_, parts)) = parts.split_last().filter(|_| max >= 40) {
                for part in parts {
                    assert!(after(part, None).is_none(), "{part:?} of {text:?} by {max}");
                }
            }
            if max >= 40 {
                assert_eq!(words(&parts.concat()), words(&text), "{text:?} by {max}");
            }
        }
    }
}
