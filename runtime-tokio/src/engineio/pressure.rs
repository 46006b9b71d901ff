//! Clients that are slow to take what is said to many, and how whoever says it is held up by them.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::future::join_all;
use selvedge_core::{Time, ws::ConnId};
use tokio::time::timeout;

use crate::{
    clock::Clock,
    ws::{Backlog, Limits},
};

/// How long a client may take nothing before it is not waited for.
const STALL: Duration = Duration::from_secs(3);

/// How long one that does take something may need until little enough waits for it: as long as
/// whoever speaks to it alone would wait.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// The WebSockets for which much waits.
///
/// One gets here when more than `high` waits for it, and is waited for until it is less than `low`;
/// but not where it stands still, or is too slow for that. It is left to its own limit then, and
/// waited for again only after it has caught up: one that does not read costs the others a moment,
/// and not the pace of everything that is said.
#[derive(Debug)]
pub(crate) struct Pressure {
    high: Limits,
    low: Limits,
    clock: Clock,
    slow: Mutex<BTreeMap<ConnId, Slow>>,
}

#[derive(Debug)]
struct Slow {
    backlog: Backlog,
    since: Time,
    /// How much it had taken when it was looked at, and since when that is known.
    taken: (usize, Time),
    is_given_up: bool,
}

impl Pressure {
    pub(crate) fn new(high: Limits, low: Limits) -> Self {
        Self {
            high,
            low,
            clock: Clock::start(),
            slow: Mutex::default(),
        }
    }

    /// Something was sent on a WebSocket.
    pub(super) fn on_sent(&self, conn: ConnId, backlog: &Backlog) {
        if backlog.is_below(self.high) {
            return;
        }
        let mut table = self.lock();
        if !table.contains_key(&conn) {
            // Where nobody speaks to many, nobody else takes them out.
            table.retain(|_, slow| !slow.backlog.is_over());
            table.insert(conn, Slow::new(backlog.clone(), self.clock.now()));
        }
    }

    /// Whether much waits for nobody.
    pub(crate) fn is_low(&self) -> bool {
        self.caught_up().is_empty()
    }

    /// Waits for those who are worth it.
    pub(crate) async fn low(&self) {
        let waited = async {
            loop {
                let awaited = self.awaited(self.clock.now());
                if awaited.is_empty() {
                    return;
                }
                let caught_up = join_all(awaited.iter().map(|backlog| backlog.below(self.low)));
                // Then it is seen who stands still.
                let _ = timeout(STALL, caught_up).await;
            }
        };
        // Others may fall behind meanwhile.
        let _ = timeout(PATIENCE, waited).await;
    }

    fn awaited(&self, now: Time) -> Vec<Backlog> {
        let mut table = self.caught_up();
        let awaited = table.values_mut().filter_map(|slow| slow.awaited(now));
        awaited.cloned().collect()
    }

    /// The table, without those who have caught up.
    fn caught_up(&self) -> MutexGuard<'_, BTreeMap<ConnId, Slow>> {
        let mut table = self.lock();
        table.retain(|_, slow| !slow.backlog.is_below(self.low));
        table
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ConnId, Slow>> {
        self.slow.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slow {
    fn new(backlog: Backlog, now: Time) -> Self {
        Self {
            taken: (backlog.taken(), now),
            backlog,
            since: now,
            is_given_up: false,
        }
    }

    /// What waits for it, unless it is given up.
    fn awaited(&mut self, now: Time) -> Option<&Backlog> {
        let taken = self.backlog.taken();
        if taken != self.taken.0 {
            self.taken = (taken, now);
        }
        self.is_given_up |= now >= self.taken.1 + STALL || now >= self.since + PATIENCE;
        (!self.is_given_up).then_some(&self.backlog)
    }
}

#[cfg(test)]
mod tests {
    use bytestring::ByteString;
    use selvedge_core::ws::{Action, Event, Frame};
    use tokio::{
        io::{self, AsyncReadExt as _, DuplexStream},
        sync::mpsc,
        task::yield_now,
    };
    use tokio_tungstenite::{WebSocketStream, tungstenite::protocol::Role};

    use super::*;
    use crate::ws::{self, WsHandle};

    fn limits(bytes: usize) -> Limits {
        Limits {
            frames: 10_000,
            bytes,
        }
    }

    fn pressure() -> Pressure {
        Pressure::new(limits(8_000), limits(4_000))
    }

    /// A WebSocket, and what its client has not read.
    async fn socket() -> (WsHandle, DuplexStream) {
        let (ours, theirs) = io::duplex(1_000);
        let socket = WebSocketStream::from_raw_socket(ours, Role::Server, None).await;
        let (handle, pump) = ws::open_within(socket, limits(1 << 30));
        let (inbox, _) = mpsc::channel::<Event>(1);
        tokio::spawn(pump.run(inbox, |event| event));
        (handle, theirs)
    }

    fn speak(pressure: &Pressure, handle: &mut WsHandle) {
        for _ in 0..100 {
            let text = ByteString::from("x".repeat(10_000));
            handle.send(Action::Send(Frame::Text(text)));
            pressure.on_sent(ConnId(1), handle.backlog());
        }
    }

    /// Whether one is waited for, so many seconds after `begun`.
    fn waits(pressure: &Pressure, begun: Time, seconds: u64) -> bool {
        let awaited = pressure.awaited(begun + Duration::from_secs(seconds));
        !awaited.is_empty()
    }

    #[tokio::test]
    async fn one_that_stands_still_is_waited_for_again_when_it_has_caught_up() {
        let pressure = pressure();
        let (mut handle, mut client) = socket().await;
        assert!(pressure.is_low());
        speak(&pressure, &mut handle);
        let begun = pressure.clock.now();
        let waited = [0, 2, 3, 4].map(|seconds| waits(&pressure, begun, seconds));
        assert_eq!(waited, [true, true, false, false]);
        pressure.low().await;
        assert!(!pressure.is_low());
        tokio::spawn(async move { io::copy(&mut client, &mut io::sink()).await });
        handle.backlog().below(pressure.low).await;
        assert!(pressure.is_low());
        speak(&pressure, &mut handle);
        assert!(waits(&pressure, pressure.clock.now(), 0));
        pressure.low().await;
        assert!(pressure.is_low());
    }

    #[tokio::test]
    async fn one_that_goes_on_is_waited_for_with_patience() {
        let pressure = pressure();
        let (mut handle, mut client) = socket().await;
        speak(&pressure, &mut handle);
        let begun = pressure.clock.now();
        let mut bytes = [0; 80_000];
        for seconds in [2, 4, 6, 8, 10, 12] {
            let taken = handle.backlog().taken();
            client.read_exact(&mut bytes).await.unwrap();
            let goes_on = async {
                while handle.backlog().taken() == taken {
                    yield_now().await;
                }
            };
            timeout(PATIENCE, goes_on).await.unwrap();
            assert_eq!(waits(&pressure, begun, seconds), seconds < 10);
        }
        assert!(!pressure.is_low());
    }
}
