//! A map from the rules of a guild node, section by section, to the tests that hold it to them.
//!
//! The map is `rules.txt` beside this file. It is checked: a test that is renamed or taken out has to
//! be mended there as well.
#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

use std::collections::{BTreeMap, BTreeSet};

use selvedge_tests::catalogue::{has_test, lines};

const MAP: &str = include_str!("rules.txt");

/// A rule, with the section that has it and its tests: file and function.
struct Rule {
    section: u8,
    words: &'static str,
    tests: Vec<(&'static str, &'static str)>,
}

fn rules(map: &'static str) -> Vec<Rule> {
    let named = map.lines().filter_map(|line| line.strip_prefix("@ "));
    let files: BTreeMap<_, _> = named.map(|line| line.split_once(" = ").unwrap()).collect();
    let rules = map.lines().filter(|line| line.contains(" | "));
    let rule = |line: &'static str| {
        let (section, rest) = line.split_once(" | ").unwrap();
        let (words, tests) = rest.split_once(" | ").unwrap();
        let test = |test: &'static str| {
            let (file, name) = test.split_once(' ').unwrap();
            (*files.get(file).unwrap(), name)
        };
        Rule {
            section: section.parse().unwrap(),
            words,
            tests: tests.split(", ").map(test).collect(),
        }
    };
    rules
        .filter(|line| !line.starts_with('#'))
        .map(rule)
        .collect()
}

/// The tests of a map that do not exist.
fn missing(map: &'static str) -> Vec<(&'static str, &'static str)> {
    let tests = rules(map).into_iter().flat_map(|rule| rule.tests);
    let is_missing = |(file, name): &(&str, &str)| !has_test(&lines(file), name);
    tests.filter(is_missing).collect()
}

#[test]
fn every_test_of_the_map_exists() {
    assert_eq!(missing(MAP), []);
}

/// The check of the map can fail.
#[test]
fn what_is_no_test_is_missing() {
    let map = "\
@ own = tests/tests/every_rule_of_fabric_has_its_test/main.rs
2 | a test | own what_is_no_test_is_missing, own missing
3 | part of one | own what_is_no_test";
    let own = "tests/tests/every_rule_of_fabric_has_its_test/main.rs";
    let expected = ["missing", "what_is_no_test"];
    assert_eq!(missing(map), expected.map(|name| (own, name)));
}

#[test]
fn each_section_has_its_rules_and_each_rule_stands_once() {
    let mut said = BTreeSet::new();
    for rule in rules(MAP) {
        assert!(
            said.insert((rule.section, rule.words)),
            "{} twice",
            rule.words
        );
        let tests: BTreeSet<_> = rule.tests.iter().collect();
        assert_eq!(tests.len(), rule.tests.len(), "{}", rule.words);
    }
    let sections: BTreeSet<_> = said.iter().map(|(section, _)| *section).collect();
    assert_eq!(sections, (2..=10).collect());
    let turns = [
        "activation",
        "speaking",
        "queue-jump",
        "pass",
        "force",
        "round",
        "mentions",
    ];
    for rule in turns
        .into_iter()
        .chain(["bypass", "membership", "ack", "closing", "rewake"])
    {
        let stands = said
            .iter()
            .any(|(section, words)| *section == 6 && words.starts_with(rule));
        assert!(stands, "{rule}");
    }
}
