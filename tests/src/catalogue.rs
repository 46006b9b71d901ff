//! Catalogues of what is known or ruled, with the tests that show it: whether a test exists.
#![expect(clippy::panic, reason = "a helper of tests fails the test")]

use std::{fs, path::Path};

/// The lines of a file, from the root of the repository, as they are compared.
///
/// # Panics
///
/// If it cannot be read.
pub fn lines(file: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file);
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{file}: {error}"));
    text.lines().map(|line| line.trim().to_owned()).collect()
}

/// Whether a file has a test of that name: a function right after the attribute of one, or a case in
/// the list of a suite.
pub fn has_test(lines: &[String], name: &str) -> bool {
    let head = format!("fn {name}(");
    let is_function = |line: &str| {
        let rest = line.strip_prefix("async ").unwrap_or(line);
        rest.starts_with(&head)
    };
    let is_attribute = |line: &str| line == "#[test]" || line.starts_with("#[tokio::test");
    let mut pairs = lines.iter().zip(lines.iter().skip(1));
    let stands_alone = pairs.any(|(before, line)| is_attribute(before) && is_function(line));
    let listed = lines.iter().skip_while(|line| *line != "conformance! {");
    let mut cases = listed.flat_map(|line| line.split(' '));
    stands_alone || cases.any(|case| case.strip_suffix(',') == Some(name))
}
