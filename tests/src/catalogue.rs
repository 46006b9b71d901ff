//! Catalogues of what is known or ruled, with the tests that show it: whether a test exists, and maps of
//! rules.
#![expect(clippy::panic, reason = "a helper of tests fails the test")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

fn path(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file)
}

/// The lines of a file, from the root of the repository, as they are compared.
///
/// # Panics
///
/// If it cannot be read.
pub fn lines(file: &str) -> Vec<String> {
    let path = path(file);
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

/// A rule of a [`Map`].
#[derive(Debug)]
pub struct Rule {
    /// The section that has it.
    pub section: u8,
    /// What it says.
    pub words: &'static str,
    /// The tests that hold it: file and function. In a folder of traces it is the name of one, each of
    /// which is run.
    pub tests: Vec<(&'static str, &'static str)>,
}

/// Rules, section by section, and the tests that hold each of them.
///
/// It is written as lines: `@ NAME = PATH` gives a file a name, `SECTION | RULE | NAME TEST, …` is a
/// rule, and what begins with `#` is a comment.
#[derive(Debug)]
pub struct Map(Vec<Rule>);

impl Map {
    /// Reads a map.
    ///
    /// # Panics
    ///
    /// If a line cannot be read.
    pub fn read(text: &'static str) -> Self {
        let written = text
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'));
        let mut files = BTreeMap::new();
        let mut rules = Vec::new();
        for line in written {
            let read = match line.strip_prefix("@ ") {
                Some(named) => named.split_once(" = ").map(|(name, path)| {
                    files.insert(name, path);
                }),
                None => rule(line, &files).map(|rule| rules.push(rule)),
            };
            assert!(read.is_some(), "a line of the map cannot be read: {line}");
        }
        Self(rules)
    }

    /// The rules, in their order.
    pub fn rules(&self) -> &[Rule] {
        &self.0
    }

    /// The tests that do not exist.
    pub fn missing(&self) -> Vec<(&'static str, &'static str)> {
        let tests = self.0.iter().flat_map(|rule| &rule.tests).copied();
        let is_missing = |(file, name): &(&str, &str)| match path(file) {
            traces if traces.is_dir() => !traces.join(format!("{name}.jsonl")).is_file(),
            _ => !has_test(&lines(file), name),
        };
        tests.filter(is_missing).collect()
    }

    /// How many rules each section has.
    pub fn counts(&self) -> Vec<(u8, usize)> {
        let mut counts = BTreeMap::new();
        for rule in &self.0 {
            *counts.entry(rule.section).or_default() += 1;
        }
        counts.into_iter().collect()
    }

    /// What stands twice: a rule in its section, or a test with its rule.
    pub fn doubled(&self) -> Vec<&'static str> {
        let mut said = BTreeSet::new();
        let is_doubled = |rule: &&Rule| {
            let tests: BTreeSet<_> = rule.tests.iter().collect();
            !said.insert((rule.section, rule.words)) || tests.len() < rule.tests.len()
        };
        let doubled = self.0.iter().filter(is_doubled);
        doubled.map(|rule| rule.words).collect()
    }
}

fn rule(line: &'static str, files: &BTreeMap<&str, &'static str>) -> Option<Rule> {
    let (section, rest) = line.split_once(" | ")?;
    let (words, tests) = rest.split_once(" | ")?;
    let test = |test: &'static str| {
        let (file, name) = test.split_once(' ')?;
        Some((*files.get(file)?, name))
    };
    Some(Rule {
        section: section.parse().ok()?,
        words,
        tests: tests.split(", ").map(test).collect::<Option<_>>()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAP: &str = "\
# A map.
@ own = tests/src/catalogue.rs
@ trace = sim/traces

2 | a test | own what_is_no_test_is_missing, own missing
3 | part of one | own what_is_no_test
3 | a trace | trace stale-jwt-after-reconnect, trace none";

    /// The check of a map can fail.
    #[test]
    fn what_is_no_test_is_missing() {
        let map = Map::read(MAP);
        let own = "tests/src/catalogue.rs";
        let missing = [
            (own, "missing"),
            (own, "what_is_no_test"),
            ("sim/traces", "none"),
        ];
        assert_eq!(map.missing(), missing);
        assert_eq!(map.counts(), [(2, 1), (3, 2)]);
        assert!(map.doubled().is_empty());
    }

    #[test]
    fn what_stands_twice_is_found() {
        let map = Map::read(
            "@ own = x\n1 | rule | own a\n2 | rule | own a\n1 | rule | own b\n2 | other | own a, own a",
        );
        assert_eq!(map.doubled(), ["rule", "other"]);
    }

    #[test]
    #[should_panic(expected = "cannot be read: 1 | rule | nobody a")]
    fn a_line_that_cannot_be_read_is_told() {
        Map::read("@ own = x\n1 | rule | nobody a");
    }
}
