//! What is open at a server of sessions: its WebSockets, and the requests that wait.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    task::Waker,
};

use selvedge_core::{
    Secret,
    engineio::{sessions::Effect, transport::Answer},
    http::CallId,
    ws::{Action, ConnId},
};
use tokio::sync::watch;

use super::pressure::Pressure;
use crate::{
    serve::{call::Calls, shared::Shared},
    ws::{Backlog, Limits, WsHandle},
};

/// The WebSockets and the waiting requests of one server, shared by its [`Front`](super::Front) and
/// the world that drives its machine.
///
/// Whoever owns that world calls [`close`](Self::close) when it is dropped, so that nobody waits
/// for an answer that will not come.
#[derive(Debug, Default)]
pub struct Open {
    pub(super) calls: Arc<Calls<Answer>>,
    pub(super) conns: Shared<ConnId, WsHandle>,
    /// What waits to be written, by the `sid` that the WebSocket has or names.
    backlogs: Shared<Secret, Backlog>,
    /// Those for which much waits, where whoever speaks to many is held up by them.
    pressure: OnceLock<Pressure>,
    /// How many WebSockets are served, also those that are being closed.
    serving: watch::Sender<usize>,
    /// How many there were. Both count from 1.
    calls_made: AtomicU64,
    conns_made: AtomicU64,
}

impl Open {
    /// Carries out what a machine asked for, without waiting. What is meant for something that has
    /// ended goes nowhere.
    pub fn carry_out(&self, effect: Effect) {
        self.carry_out_with(effect, &mut Writers::default());
    }

    /// The same, but that what is written to WebSockets waits until `writers` are woken.
    pub(crate) fn carry_out_with(&self, effect: Effect, writers: &mut Writers) {
        match effect {
            Effect::Transport(conn, action) => self.transport(conn, action, writers),
            Effect::Answer { call, status, body } => {
                if let Some(answer) = self.calls.remove(&call) {
                    // The client may have gone just now.
                    let _ = answer.send(Answer { status, body });
                }
            }
        }
    }

    /// Hangs up every WebSocket and gives up every request, now and from now on.
    pub fn close(&self) {
        self.calls.close();
        self.conns.close();
    }

    fn transport(&self, conn: ConnId, action: Action, writers: &mut Writers) {
        match action {
            Action::Send(_) => {
                self.conns.with(&conn, |handle| {
                    writers.0.extend(handle.send_quietly(action));
                    if let Some(pressure) = self.pressure.get() {
                        pressure.on_sent(conn, handle.backlog());
                    }
                });
            }
            Action::Close => {
                if let Some(mut handle) = self.conns.remove(&conn) {
                    handle.send(action);
                }
            }
        }
    }

    /// Watches for which WebSockets much waits: more than `high` from now on, and until it is less
    /// than `low`.
    pub(crate) fn watch(&self, high: Limits, low: Limits) {
        self.pressure.get_or_init(|| Pressure::new(high, low));
    }

    /// Those for which much waits, where that is watched.
    pub(crate) fn pressure(&self) -> Option<&Pressure> {
        self.pressure.get()
    }

    /// What waits on the WebSocket of a session.
    pub(crate) fn backlog(&self, session: &Secret) -> Option<Backlog> {
        self.backlogs.with(session, |backlog| backlog.clone())
    }

    /// A WebSocket of a session is open. Another one takes nothing from it.
    pub(super) fn began(&self, session: &Secret, backlog: Backlog) {
        if let Some(backlogs) = &mut *self.backlogs.lock() {
            let known = backlogs
                .entry(session.clone())
                .or_insert_with(|| backlog.clone());
            if known.is_over() {
                *known = backlog;
            }
        }
    }

    /// Counts a WebSocket, until what is returned is dropped.
    pub(super) fn serving(self: &Arc<Self>) -> Serving {
        self.serving.send_modify(|serving| *serving += 1);
        Serving(Arc::clone(self))
    }

    /// Returns when no WebSocket is served any more.
    pub(crate) async fn served(&self) {
        let mut serving = self.serving.subscribe();
        // The sender is held here, so this ends only when there is none.
        let _ = serving.wait_for(|serving| *serving == 0).await;
    }

    /// A WebSocket of a session has ended.
    pub(super) fn ended(&self, session: &Secret) {
        if let Some(backlogs) = &mut *self.backlogs.lock()
            && backlogs.get(session).is_some_and(Backlog::is_over)
        {
            backlogs.remove(session);
        }
    }

    pub(crate) fn next_call(&self) -> CallId {
        CallId(self.calls_made.fetch_add(1, Ordering::Relaxed) + 1)
    }

    pub(super) fn next_conn(&self) -> ConnId {
        ConnId(self.conns_made.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

/// The tasks that have something to write. They are woken when this is dropped, or before.
///
/// A message to a thousand sockets is in all of their queues before the first is written, and so are
/// those that were ready with it: each task then runs once for all of them, and makes one system
/// call, and none of them comes between while the queues are filled.
#[derive(Debug, Default)]
pub(crate) struct Writers(Vec<Waker>);

impl Writers {
    /// Wakes all of them.
    pub(crate) fn wake(&mut self) {
        // All of it, because it is seldom that many have something to write.
        std::mem::take(&mut self.0)
            .into_iter()
            .for_each(Waker::wake);
    }
}

impl Drop for Writers {
    fn drop(&mut self) {
        self.wake();
    }
}

/// One WebSocket that is served.
#[derive(Debug)]
pub(super) struct Serving(Arc<Open>);

impl Drop for Serving {
    fn drop(&mut self) {
        self.0
            .serving
            .send_modify(|serving| *serving = serving.saturating_sub(1));
    }
}
