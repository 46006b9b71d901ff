//! Fences of code in a message, as CommonMark 0.31, section 4.5, has them, as far as backticks go.

/// How many backticks a line opens a fence with.
pub fn opens(line: &str) -> Option<usize> {
    let (ticks, info) = ticks(line)?;
    (!info.contains('`')).then_some(ticks)
}

/// Whether a line closes a fence that was opened with so many backticks.
pub fn closes(line: &str, opened_with: usize) -> bool {
    ticks(line).is_some_and(|(ticks, rest)| {
        ticks >= opened_with && rest.bytes().all(|byte| matches!(byte, b' ' | b'\t'))
    })
}

/// The three or more backticks that a line begins with, after at most three spaces, and the rest.
fn ticks(line: &str) -> Option<(usize, &str)> {
    let unindented = line.trim_start_matches(' ');
    let rest = unindented.trim_start_matches('`');
    let ticks = unindented.len() - rest.len();
    (line.len() - unindented.len() <= 3 && ticks >= 3).then_some((ticks, rest))
}
