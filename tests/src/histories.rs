//! Random histories, and laws held over them.

use proptest::{
    prelude::*,
    test_runner::{Config, RngSeed, TestCaseError, TestRunner},
};

use crate::{
    history::{Advance, Choice, Move},
    laws::Verdict,
};

/// How many steps a history has at most, after its opening.
const STEPS: usize = 160;
/// How many histories each law is held over.
const CASES: u32 = 64;

/// Holds a law over many histories, and says in which shortest one it was broken.
///
/// The histories are the same in every run, unless `PROPTEST_RNG_SEED` and `PROPTEST_CASES` ask for
/// others.
///
/// # Errors
///
/// With that history and the words of the law.
pub fn hold(law: impl Fn(&[Move]) -> Verdict) -> Verdict {
    hold_over(CASES, law)
}

/// The same over so many histories.
///
/// # Errors
///
/// With the shortest history in which it was broken, and the words of the law.
pub fn hold_over(cases: u32, law: impl Fn(&[Move]) -> Verdict) -> Verdict {
    hold_for(&histories(), cases, |history| law(&history))
}

/// The same over so many values of any kind.
///
/// # Errors
///
/// With the simplest value for which it was broken, and the words of the law.
pub fn hold_for<S: Strategy>(values: &S, cases: u32, law: impl Fn(S::Value) -> Verdict) -> Verdict {
    TestRunner::new(config(cases))
        .run(values, |value| law(value).map_err(TestCaseError::fail))
        .map_err(|error| error.to_string())
}

/// Whether a law is broken for one of so many values; which is the simplest is not looked for.
pub fn is_broken_for<S: Strategy>(
    values: &S,
    cases: u32,
    law: impl Fn(S::Value) -> Verdict,
) -> bool {
    let config = Config {
        max_shrink_iters: 0,
        ..config(cases)
    };
    TestRunner::new(config)
        .run(values, |value| law(value).map_err(TestCaseError::fail))
        .is_err()
}

/// Time that goes on so little that connections live, or as it likes.
fn advances(calm: bool) -> BoxedStrategy<Advance> {
    if calm {
        prop_oneof![
            24 => Just(Advance::Stay),
            8 => (0..300_u16).prop_map(Advance::Some),
            1 => Just(Advance::Due),
        ]
        .boxed()
    } else {
        prop_oneof![
            6 => Just(Advance::Stay),
            4 => any::<u16>().prop_map(Advance::Some),
            3 => Just(Advance::Due),
            1 => (0..100_u32).prop_map(Advance::Beyond),
            1 => any::<u32>().prop_map(Advance::Beyond),
        ]
        .boxed()
    }
}

fn moves(calm: bool, kinds: BoxedStrategy<u8>) -> impl Strategy<Value = Move> {
    let choice = (kinds, any::<u64>(), any::<u64>());
    let choice = choice.prop_map(|(kind, a, b)| Choice { kind, a, b });
    (advances(calm), choice).prop_map(|(advance, choice)| Move { advance, choice })
}

/// A few plausible steps, then anything, in calm times or in wild ones.
fn histories() -> impl Strategy<Value = Vec<Move>> {
    let any_kind = || prop_oneof![Just(0), any::<u8>()].boxed();
    let opening = prop::collection::vec(moves(true, Just(0).boxed()), 0..40);
    let rest = prop_oneof![
        2 => prop::collection::vec(moves(true, any_kind()), 0..STEPS),
        1 => prop::collection::vec(moves(false, any_kind()), 0..STEPS),
    ];
    (opening, rest).prop_map(|(opening, rest)| [opening, rest].concat())
}

fn config(cases: u32) -> Config {
    let given = Config::default();
    Config {
        cases: match std::env::var_os("PROPTEST_CASES") {
            Some(_) => given.cases,
            None => cases,
        },
        rng_seed: match given.rng_seed {
            RngSeed::Random => RngSeed::Fixed(1),
            fixed @ RngSeed::Fixed(_) => fixed,
        },
        failure_persistence: None,
        ..given
    }
}
