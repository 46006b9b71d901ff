//! The bench of receiving in small: every receiver gets every message once, and the plugin hands each
//! to its host.
#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

use std::path::Path;

use selvedge_tests::receive::{Curve, Driven, Kind, Reader, Receiver};
use tokio::task::LocalSet;

const CHANNELS: usize = 7;
const MESSAGES: usize = 200;

async fn play(kind: Kind) {
    let scene = async {
        let program = Path::new(env!("CARGO_BIN_EXE_receive-peer"));
        let programs = [program, Path::new("")];
        let started = Receiver::start(kind, programs, CHANNELS, MESSAGES).await;
        let mut receiver = started.unwrap()?;
        for _ in 0..2 {
            let turn = receiver.blast().await.unwrap();
            assert!(turn.messages >= MESSAGES && turn.peak > 0 && !turn.took.is_zero());
        }
        Some(receiver)
    };
    let Some(mut receiver) = LocalSet::new().run_until(scene).await else {
        return;
    };
    if let Kind::Plugin(1) = kind {
        let turn = receiver.pace(50, 1_000).await.unwrap();
        assert_eq!((turn.messages, turn.latencies.len()), (50, 50));
        assert!(turn.latencies.is_sorted() && turn.latencies.iter().all(|took| *took > 0));
    }
}

#[tokio::test]
async fn by_readers_and_clients() {
    for reader in [Reader::Bare, Reader::Typed, Reader::Client] {
        play(Kind::Reader(reader)).await;
    }
    play(Kind::Npm).await;
}

#[tokio::test]
async fn by_the_host_of_a_plugin() {
    play(Kind::Plugin(1)).await;
    play(Kind::Plugin(3)).await;
}

#[test]
fn by_machines_alone() {
    let mut driven = Driven::new(Curve {
        agents: 2,
        channels: 3,
        dedup: 5,
    });
    assert!(driven.as_mut().unwrap().wake(500).unwrap() > std::time::Duration::ZERO);
}
