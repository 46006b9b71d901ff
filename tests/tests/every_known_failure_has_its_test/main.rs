//! A map from what is known to go wrong with Engine.IO and Socket.IO to the tests that show it going
//! right here.
//!
//! Whoever hears of a failure elsewhere looks here whether it can happen with Selvedge. The map is
//! checked: a test that is renamed or taken out has to be mended here as well.

mod failures;
mod lessons;
mod rules;

use std::collections::BTreeSet;

use selvedge_tests::catalogue::{has_test, lines};

/// Where a test stands: its file, from the root of the repository, and its function.
type Place = (&'static str, &'static str);

/// Something that is known, in a few words, and the tests that hold us to it.
type Known = (&'static str, &'static [Place]);

/// What a tracker has taught: the threads, in a few words, and the tests.
type Lesson = (&'static [&'static str], &'static str, &'static [Place]);

/// What a tracker has taught and no test here can show: the threads, in a few words, and why.
type Untested = (&'static [&'static str], &'static str, &'static str);

/// Every place of every table, with what it is to show.
fn places() -> impl Iterator<Item = (&'static str, Place)> {
    let known = [rules::REQUIREMENTS, rules::WIRE_FACTS, failures::SEEN];
    let known = known.into_iter().flatten().copied();
    let lessons = lessons::TESTED
        .iter()
        .map(|(_, what, tests)| (*what, *tests));
    let all = known.chain(lessons);
    all.flat_map(|(what, tests)| tests.iter().map(move |place| (what, *place)))
}

#[test]
fn every_test_of_the_map_exists() {
    for (what, (file, name)) in places() {
        assert!(has_test(&lines(file), name), "{what}: no {name} in {file}");
    }
}

/// The check of the map can fail.
#[test]
fn what_is_no_test_is_not_found() {
    let own = lines("tests/tests/every_known_failure_has_its_test/main.rs");
    assert!(has_test(&own, "what_is_no_test_is_not_found"));
    for name in ["places", "what_is_no_test", "lines", ""] {
        assert!(!has_test(&own, name), "{name}");
    }
    let suite = lines("tests/tests/the_engineio_v4_suite.rs");
    assert!(has_test(&suite, "forcefully_closes_the_session"));
    for name in ["forcefully_closes", "heartbeat", "polling"] {
        assert!(!has_test(&suite, name), "{name}");
    }
}

#[test]
fn everything_known_is_in_the_map_once() {
    assert_eq!(rules::REQUIREMENTS.len(), 10);
    assert_eq!(rules::WIRE_FACTS.len(), 7);
    assert_eq!(lessons::TESTED.len(), 33);
    let mut said = BTreeSet::new();
    for (what, (file, name)) in places() {
        assert!(said.insert((what, file, name)), "{what}: {name} twice");
    }
    let tested = lessons::TESTED.iter().map(|(threads, ..)| *threads);
    let untested = lessons::UNTESTED.iter().map(|(threads, ..)| *threads);
    let mut threads = BTreeSet::new();
    for thread in tested.chain(untested).flatten() {
        let (repository, number) = thread.split_once('#').unwrap();
        let (owner, name) = repository.split_once('/').unwrap();
        assert!(!owner.is_empty() && !name.contains('/'), "{thread}");
        number.parse::<u32>().unwrap();
        assert!(threads.insert(*thread), "{thread} twice");
    }
    for (threads, what, why) in lessons::UNTESTED {
        assert!(!what.is_empty() && !why.is_empty(), "{threads:?}");
    }
}
