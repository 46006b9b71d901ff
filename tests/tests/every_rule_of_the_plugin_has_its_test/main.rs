//! A map from the rules of the plugin, section by section, to the tests that hold it to them.
//!
//! The map is `rules.txt` beside this file. It is checked: a test that is renamed or taken out has to
//! be mended there as well, and so has the number of rules here where one is added or taken out.

use selvedge_tests::catalogue::Map;

/// How many rules each section has.
const RULES: [(u8, usize); 13] = [
    (1, 6),
    (2, 18),
    (3, 25),
    (4, 14),
    (5, 21),
    (6, 17),
    (7, 11),
    (8, 36),
    (9, 11),
    (10, 6),
    (11, 15),
    (12, 8),
    (13, 11),
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
}
