//! A map from the rules of a guild node, section by section, to the tests that hold it to them.
//!
//! The map is `rules.txt` beside this file. It is checked: a test that is renamed or taken out has to
//! be mended there as well, and so has the number of rules here where one is added or taken out.

use selvedge_tests::catalogue::Map;

/// How many rules each section has.
const RULES: [(u8, usize); 9] = [
    (2, 10),
    (3, 9),
    (4, 13),
    (5, 8),
    (6, 77),
    (7, 18),
    (8, 13),
    (9, 17),
    (10, 58),
];

fn map() -> Map {
    Map::read(include_str!("rules.txt"))
}

#[test]
fn every_test_of_the_map_exists() {
    assert_eq!(map().missing(), []);
}

#[test]
fn each_section_has_its_rules_and_each_rule_stands_once() {
    let map = map();
    assert_eq!(map.counts(), RULES);
    assert!(map.doubled().is_empty(), "{:?}", map.doubled());
    let turns = [
        "activation",
        "speaking",
        "queue-jump",
        "pass",
        "force",
        "round",
        "mentions",
        "bypass",
        "membership",
        "ack",
        "closing",
        "rewake",
    ];
    for part in turns {
        let mut rules = map.rules().iter();
        let stands = rules.any(|rule| rule.section == 6 && rule.words.starts_with(part));
        assert!(stands, "{part}");
    }
}
