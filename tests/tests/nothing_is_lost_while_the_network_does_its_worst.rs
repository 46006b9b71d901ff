//! The storm in its shorter form; `selvedge-soak storm` runs it in full.
#![expect(
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test fails by panicking and tells of itself, in its helpers too"
)]

use std::time::Duration;

use selvedge::clock::Clock;
use selvedge_tests::storm::{Kind, Plan, storm};

/// Plays a storm with a guild of this kind, of another seed each time. The seed is told, and so is the
/// folder with the logs where it is kept.
async fn weathers(guild: Kind) {
    let folder = tempfile::tempdir().unwrap();
    let plan = Plan {
        guild,
        messages: 150,
        channels: 6,
        length: Duration::from_secs(20),
        plugin_kills: 2,
        guild_kills: 1,
        seed: Clock::wall().as_millis().unsigned_abs(),
        folder: folder.path().to_owned(),
        record: None,
    };
    let outcome = match storm(&plan, |line| println!("{line}")).await {
        Ok(Some(outcome)) => outcome,
        Ok(None) => return,
        Err(fault) => {
            let kept = folder.keep();
            panic!("seed {}: {fault}; the logs are in {kept:?}", plan.seed);
        }
    };
    let verdict = outcome.verdict;
    if !verdict.violations.is_empty() {
        let kept = folder.keep();
        let (seed, wrong) = (plan.seed, &verdict.violations);
        panic!("seed {seed}: {verdict}; {wrong:#?}; the logs are in {kept:?}");
    }
    assert_eq!(verdict.messages, plan.messages);
    assert!(verdict.deliveries >= verdict.waking, "{verdict}");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_our_guild() {
    weathers(Kind::Own).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_an_older_guild() {
    weathers(Kind::Nest).await;
}
