//! Errors in words: what went wrong with its causes, in one line.

use std::error::Error;

/// `error` and its causes, joined by colons; a cause that its parent has already told is left out.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !words.contains(&next) {
            words.push_str(": ");
            words.push_str(&next);
        }
        cause = error.source();
    }
    words
}

/// What is wrong, and what to do about it where that is known.
pub(crate) fn advised(words: &str, advice: Option<&str>) -> String {
    match advice {
        Some(advice) => format!("{words}; {advice}"),
        None => words.to_owned(),
    }
}

/// The first `most` characters of `text`, on one line, for the words of others.
pub fn clipped(text: &str, most: usize) -> String {
    let mut line: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(most)
        .collect();
    if text.chars().nth(most).is_some() {
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot open the file")]
    struct Outer(#[source] io::Error);

    #[test]
    fn causes_are_told_once() {
        let error = Outer(io::Error::other("disk on fire"));
        assert_eq!(chain(&error), "cannot open the file: disk on fire");
    }

    #[test]
    fn the_words_of_others_stay_short_and_on_one_line() {
        assert_eq!(clipped("a\nb", 5), "a b");
        assert_eq!(clipped("äöüß", 2), "äö…");
    }
}
