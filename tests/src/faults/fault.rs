//! The faults of a connection: which there are, how they are drawn, and how they come about.

use std::{future::pending, time::Duration};

use selvedge_core::rng::Rng;
use tokio::{sync::watch, time::sleep};

use super::tally::Tally;

/// How long a connection is left alone before its next fault.
const CALM: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(4));
/// By how much each chunk of bytes is delayed, and for how long.
const DELAY: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(400));
const DELAYED: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(5));
/// How long bytes are held: sometimes beyond the patience of a request, which is 10 s.
const STALL: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(12));

/// What can go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Bytes are late for a while.
    Delay,
    /// Nothing passes for a while.
    Stall,
    /// One direction is swallowed for ever, and nobody is told.
    HalfOpen,
    /// Both sides are reset.
    Reset,
    /// Part of a chunk passes, then both sides are closed.
    Cut,
    /// Nobody listens for a while.
    Refusal,
}

impl Kind {
    /// In words.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delay => "delayed",
            Self::Stall => "stalled",
            Self::HalfOpen => "half-open",
            Self::Reset => "reset",
            Self::Cut => "cut in a frame",
            Self::Refusal => "dials refused",
        }
    }
}

/// A direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// From the client to the server.
    Up,
    /// From the server to the client.
    Down,
}

/// What is done with the bytes that come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mood {
    /// They pass.
    Pass,
    /// They pass after this time.
    Delay(Duration),
    /// They are held.
    Hold,
    /// They are thrown away in this direction.
    Swallow(Way),
    /// The next chunk in this direction passes in part.
    Cut(Way),
    /// The next chunk in this direction does not pass, and both sides are reset.
    Reset(Way),
}

/// Waits until there is a storm.
pub(super) async fn storm(weather: &mut watch::Receiver<bool>) {
    if weather.wait_for(|stormy| *stormy).await.is_err() {
        // Without the proxy there is no weather any more.
        pending::<()>().await;
    }
}

/// Draws one fault after the other, for as long as there is a storm and the connection lasts.
pub(super) async fn conduct(
    mut rng: Rng,
    mut weather: watch::Receiver<bool>,
    mood: &watch::Sender<Mood>,
    tally: &Tally,
) {
    loop {
        storm(&mut weather).await;
        sleep(rng.between(CALM.0, CALM.1)).await;
        if !*weather.borrow() {
            continue;
        }
        let way = if rng.chance(1, 2) { Way::Up } else { Way::Down };
        let (next, length) = match rng.below(14) {
            0..4 => {
                tally.count(Kind::Delay);
                let delay = rng.between(DELAY.0, DELAY.1);
                (Mood::Delay(delay), rng.between(DELAYED.0, DELAYED.1))
            }
            4..7 => {
                tally.count(Kind::Stall);
                (Mood::Hold, rng.between(STALL.0, STALL.1))
            }
            7 => {
                tally.count(Kind::HalfOpen);
                (Mood::Swallow(way), Duration::MAX)
            }
            8..11 => (Mood::Cut(way), Duration::MAX),
            _ => (Mood::Reset(way), Duration::MAX),
        };
        mood.send_replace(next);
        if length == Duration::MAX {
            pending::<()>().await;
        }
        sleep(length).await;
        mood.send_replace(Mood::Pass);
    }
}
