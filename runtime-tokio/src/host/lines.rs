//! What goes to the host: inbounds, rmcp's answers and log lines, written by one task, in whole lines.
//!
//! rmcp would hand each notification to a task of its own and back before the next one may follow, and
//! write each by itself. Here all that waits is written at once.

use std::io;

use rmcp::{
    RoleServer,
    service::{RxJsonRpcMessage, TxJsonRpcMessage},
    transport::Transport,
};
use selvedge_core::plugin::{claude, config::Profile, inbound, io::HostEvent, io::Input};
use serde::Serialize;
use tokio::{
    io::{AsyncWrite, AsyncWriteExt as _},
    sync::{mpsc, oneshot, watch},
};

use super::{Outgoing, beginnings::Begun, closed, log::LogFeed};

/// How many of what waits are written at once. A pipe holds some 64 KiB.
const LINES_A_WRITE: usize = 64;

/// How many bytes are kept between two writes, so that most need no new memory.
const BYTES_KEPT: usize = 64 << 10;

/// A line of rmcp's, and who wants to know that it was written.
#[derive(Debug)]
struct Said {
    line: Vec<u8>,
    written: oneshot::Sender<()>,
}

/// A transport that reads from another one, and whose lines [`Lines`] write.
pub(super) struct Spoken<T> {
    inner: T,
    said: mpsc::Sender<Said>,
}

/// Writes what is said to the host.
#[derive(Debug)]
pub(super) struct Lines {
    said: mpsc::Receiver<Said>,
    profile: Profile,
    outbox: mpsc::Receiver<Outgoing>,
    begun: watch::Receiver<Begun>,
    log: LogFeed,
}

/// Why nothing more is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gone {
    /// The session: there is nobody to answer.
    Session,
    /// The agents.
    Agents,
}

/// A notification as it stands in its line.
#[derive(Serialize)]
struct Notification<P> {
    jsonrpc: &'static str,
    method: &'static str,
    params: P,
}

impl Lines {
    /// What writes the lines of a session that reads from `inner`, beside inbounds and log lines once the
    /// host is initialised; and the session's transport.
    pub(super) fn new<T>(
        inner: T,
        profile: Profile,
        outbox: mpsc::Receiver<Outgoing>,
        begun: watch::Receiver<Begun>,
        log: LogFeed,
    ) -> (Self, Spoken<T>) {
        let (said_in, said) = mpsc::channel(LINES_A_WRITE);
        let lines = Self {
            said,
            profile,
            outbox,
            begun,
            log,
        };
        let said = said_in;
        (lines, Spoken { inner, said })
    }

    /// Writes all of it, until the session or the agents are gone.
    ///
    /// # Errors
    ///
    /// Where it cannot be written.
    pub(super) async fn write_to(mut self, mut write: impl AsyncWrite + Unpin) -> io::Result<Gone> {
        let (mut said, mut inbounds, mut lines) = (Vec::new(), Vec::new(), Vec::new());
        let mut ready = false;
        loop {
            tokio::select! {
                biased;
                taken = self.said.recv_many(&mut said, LINES_A_WRITE) => if taken == 0 {
                    return Ok(Gone::Session);
                },
                () = is_known(&mut self.begun), if !ready => ready = true,
                taken = self.outbox.recv_many(&mut inbounds, LINES_A_WRITE), if ready => if taken == 0 {
                    return Ok(Gone::Agents);
                },
                line = self.log.next(), if ready => {
                    push(&mut lines, &TxJsonRpcMessage::<RoleServer>::notification(line))?;
                }
            }
            // A host that asks without end still hears what else there is.
            while ready
                && inbounds.len() < LINES_A_WRITE
                && let Ok(outgoing) = self.outbox.try_recv()
            {
                inbounds.push(outgoing);
            }
            said.iter().for_each(|said| lines.extend(&said.line));
            inbounds.retain(|outgoing| self.push_inbound(&mut lines, outgoing));
            write.write_all(&lines).await?;
            write.flush().await?;
            lines.clear();
            lines.shrink_to(BYTES_KEPT);
            for Said { written, .. } in said.drain(..) {
                // Who does not wait any more need not know.
                let _ = written.send(());
            }
            for Outgoing { inbound, inbox } in inbounds.drain(..) {
                if let Some(inbox) = inbox.upgrade() {
                    let written = Input::Host(HostEvent::Written(inbound.turn_id));
                    // An agent that is gone does not want to know.
                    let _ = inbox.send(written).await;
                }
            }
        }
    }

    /// Whether it can be written.
    fn push_inbound(&self, lines: &mut Vec<u8>, outgoing: &Outgoing) -> bool {
        let inbound = &outgoing.inbound;
        let pushed = match self.profile {
            Profile::Plexum => push(lines, &notification(inbound::METHOD, inbound)),
            Profile::Claude => {
                let claude = claude::Notification::from(inbound);
                push(lines, &notification(claude::METHOD, claude))
            }
        };
        if let Err(error) = &pushed {
            tracing::error!(turn = %inbound.turn_id, %error, "an inbound cannot be written");
        }
        pushed.is_ok()
    }
}

impl<T: Transport<RoleServer>> Transport<RoleServer> for Spoken<T> {
    type Error = io::Error;

    /// Said is what was written, not what waits for it.
    fn send(
        &mut self,
        message: TxJsonRpcMessage<RoleServer>,
    ) -> impl Future<Output = Result<(), io::Error>> + Send + 'static {
        let lines = self.said.clone();
        let mut line = Vec::new();
        let pushed = push(&mut line, &message);
        async move {
            pushed?;
            let (written, heard) = oneshot::channel();
            let sent = lines.send(Said { line, written });
            sent.await.map_err(|_| closed())?;
            heard.await.map_err(|_| closed())
        }
    }

    fn receive(&mut self) -> impl Future<Output = Option<RxJsonRpcMessage<RoleServer>>> + Send {
        self.inner.receive()
    }

    async fn close(&mut self) -> Result<(), io::Error> {
        self.inner.close().await.map_err(|_| closed())
    }
}

/// Waits until the host is initialised.
async fn is_known(begun: &mut watch::Receiver<Begun>) {
    let known = begun.wait_for(|begun| begun.initialised.is_some());
    if known.await.is_err() {
        std::future::pending().await
    }
}

fn notification<P>(method: &'static str, params: P) -> Notification<P> {
    Notification {
        jsonrpc: "2.0",
        method,
        params,
    }
}

/// Appends a line, or nothing.
fn push(lines: &mut Vec<u8>, line: &impl Serialize) -> serde_json::Result<()> {
    let before = lines.len();
    let written = serde_json::to_writer(&mut *lines, line);
    match written {
        Ok(()) => lines.push(b'\n'),
        Err(_) => lines.truncate(before),
    }
    written
}
