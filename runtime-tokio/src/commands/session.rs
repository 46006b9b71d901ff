//! A session on a guild's `/realtime`, driven in a task of its own, for commands that watch one.

use std::{ops::ControlFlow, sync::Arc, time::Duration};

use selvedge_core::{
    Machine, Secret, Time,
    fabric::session::{Command, Event, Realtime, Session as Socket},
    link::{End, Protocol as _, SessionInput, SessionOutput},
    ws::Event as Happened,
};
use tokio::{sync::mpsc, task::JoinHandle, time::timeout};
use tokio_tungstenite::WebSocketStream;

use crate::{
    clock::Clock,
    dial::Stream,
    driver::{self, INBOX_MAX, World},
    ws::{self, WsHandle},
};

/// How long the guild may take to answer a goodbye.
const FAREWELL: Duration = Duration::from_millis(200);

/// A running session; dropping it hangs up.
pub(super) struct Session {
    inbox: mpsc::Sender<SessionInput<Happened, Command>>,
    said: mpsc::Receiver<(Time, Said)>,
    drive: JoinHandle<()>,
}

/// What a session tells.
pub(super) enum Said {
    /// The guild has accepted CONNECT.
    Ready,
    /// Something happened.
    Event(Event),
    /// It is over; nothing follows.
    Ended(End),
}

impl Session {
    /// Begins a session with `token` on an open WebSocket; a join waits for `patience`.
    pub(super) fn start(
        clock: Clock,
        socket: WebSocketStream<Stream>,
        token: Secret,
        patience: Duration,
    ) -> Self {
        let realtime = Realtime::new(Arc::default(), patience, true);
        let mut machine = realtime.session(clock.now(), token);
        let (inbox, mut inputs) = mpsc::channel(INBOX_MAX);
        let (said_in, said) = mpsc::channel(INBOX_MAX);
        let mut world = Watcher {
            socket: ws::pump(socket, inbox.clone(), SessionInput::Transport),
            said: said_in,
        };
        let drive = tokio::spawn(async move {
            driver::drive(&mut machine, clock, &mut inputs, &mut world, ()).await;
        });
        Self { inbox, said, drive }
    }

    /// What it tells next; `None` once it has ended.
    pub(super) async fn next(&mut self) -> Option<(Time, Said)> {
        self.said.recv().await
    }

    /// Asks something of the guild; false where the session has ended.
    pub(super) async fn ask(&self, command: Command) -> bool {
        let command = SessionInput::Command(command);
        self.inbox.send(command).await.is_ok()
    }

    /// Says goodbye.
    pub(super) async fn close(mut self) {
        // One that has ended has nobody to say goodbye to.
        let _ = self.inbox.send(SessionInput::Close).await;
        // The drive ends with its last sender.
        self.inbox = mpsc::channel(1).0;
        let _ = timeout(FAREWELL, &mut self.drive).await;
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.drive.abort();
    }
}

/// Carries out what the session asks for.
struct Watcher {
    socket: WsHandle,
    said: mpsc::Sender<(Time, Said)>,
}

impl World<Socket> for Watcher {
    fn carry_out(&mut self, now: Time, output: <Socket as Machine>::Output) -> ControlFlow<()> {
        let said = match output {
            SessionOutput::Transport(action) => {
                self.socket.send(action);
                return ControlFlow::Continue(());
            }
            SessionOutput::Ready => Said::Ready,
            SessionOutput::Event(event) => Said::Event(event),
            SessionOutput::Ended(end) => Said::Ended(end),
        };
        // Whoever watches reads what it waits for; more than the queue holds is never on its way.
        match self.said.try_send((now, said)) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    }
}
