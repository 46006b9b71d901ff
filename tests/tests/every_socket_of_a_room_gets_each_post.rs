//! The bench of fan-out in small: every server of it delivers each post to every socket, once and in
//! the same order.
#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

use std::{path::Path, time::Duration};

use selvedge_core::fabric::types::XType;
use selvedge_tests::fan_out::{Crowd, Kind, Server, alone, burst, paced};
use tokio::task::LocalSet;

const SOCKETS: usize = 20;

async fn play(kind: Kind) {
    LocalSet::new().run_until(scene(kind)).await;
}

async fn scene(kind: Kind) {
    let program = Path::new(env!("CARGO_BIN_EXE_fan-out-server"));
    let Some(server) = Server::start(kind, program, SOCKETS).await.unwrap() else {
        return;
    };
    let crowd = Crowd::enter(&server, SOCKETS).await.unwrap();
    let pace = paced(&server, &crowd, 5, Duration::ZERO).await.unwrap();
    assert!(!pace.first.is_zero() && pace.first <= pace.p50);
    assert!(pace.p50 <= pace.p99 && pace.p99 <= pace.max);
    let length = Duration::from_millis(100);
    let burst = burst(&server, &crowd, length).await.unwrap();
    assert!(burst.deliveries >= SOCKETS && burst.deliveries.is_multiple_of(SOCKETS));
    let is_guild = matches!(kind, Kind::Guild(_));
    // The time in the id of a guild's message, and a dash.
    let longer = if is_guild { 12 } else { 0 };
    let bytes = 640 + longer..660 + longer;
    assert!(bytes.contains(&burst.bytes), "{burst:?}");
    let alone = alone(&server, &crowd, length).await.unwrap();
    assert_eq!(alone.is_some(), is_guild);
}

#[tokio::test]
async fn of_a_guild() {
    play(Kind::Guild(XType::General)).await;
    play(Kind::Guild(XType::Discuss)).await;
}

#[tokio::test]
async fn of_a_server_of_socketio() {
    for kind in [Kind::Selvedge, Kind::Socketioxide, Kind::Npm] {
        play(kind).await;
    }
}
