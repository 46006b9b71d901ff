//! The host side: an MCP server on stdio that hands inbounds to the agents' host and takes its tool
//! calls.
//!
//! [`channel`] makes the two ends: the [`HostLink`], which every agent's world holds, and the
//! [`Host`], which [`serve`](Host::serve)s one connection. Whatever the host sends is seen in its
//! order by one place, the wire; what goes to it is written by one task, inbounds in their order.

mod beginnings;
mod lines;
pub mod log;
mod roster;
mod server;
pub mod tools;
mod wire;

#[cfg(test)]
mod tests;

use std::{io, pin::pin, sync::Arc};

use rmcp::{
    RoleServer, ServiceExt as _,
    service::ServerInitializeError,
    transport::{Transport, async_rw::AsyncRwTransport},
};
use selvedge_core::{
    http::CallId,
    id::AgentId,
    plugin::{
        config::Profile,
        inbound::Inbound,
        io::Input,
        tools::{ToolAnswer, ToolError},
    },
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::{mpsc, oneshot, watch},
};

pub use self::{beginnings::Beginnings, server::Server, wire::Wire};
use self::{
    beginnings::Begun,
    lines::{Gone, Lines},
    log::LogFeed,
    roster::Roster,
};

/// The experimental capability of a client that says when a turn is done.
pub const TURNS_CAPABILITY: &str = "selvedge/turns";

/// How many inbounds may wait to be written. An agent has at most one that is unwritten for each
/// channel, so only a host that has read nothing for as long as a turn may take gets here; what is
/// beyond is dropped, and its turn times out.
pub const OUTBOX_MAX: usize = 16_384;

/// An inbound on its way to the host, and who wants to know that it was written.
#[derive(Debug)]
struct Outgoing {
    inbound: Inbound,
    inbox: mpsc::WeakSender<Input>,
}

/// What the agents hold of the host.
#[derive(Clone, Debug)]
pub struct HostLink {
    roster: Arc<Roster>,
    outbox: mpsc::Sender<Outgoing>,
    begun: watch::Receiver<Begun>,
}

/// The host side before it is served.
#[derive(Debug)]
pub struct Host {
    roster: Arc<Roster>,
    profile: Profile,
    outbox: mpsc::Receiver<Outgoing>,
    begun: watch::Sender<Begun>,
    log: LogFeed,
}

/// Why the host side ended before its input did.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The host does not speak MCP, or broke off while it was being initialised.
    #[error("the MCP connection could not be initialised: {0}")]
    Initialize(#[source] Box<ServerInitializeError>),
}

/// The two ends of the host side of a process with these agents, for a host of this profile; `log`
/// feeds the log notifications.
pub fn channel(
    agents: impl IntoIterator<Item = AgentId>,
    profile: Profile,
    log: LogFeed,
) -> (HostLink, Host) {
    let roster = Arc::new(Roster::new(agents));
    let (outbox_in, outbox) = mpsc::channel(OUTBOX_MAX);
    let (begun_in, begun) = watch::channel(Begun::default());
    let link = HostLink {
        roster: Arc::clone(&roster),
        outbox: outbox_in,
        begun,
    };
    let host = Host {
        roster,
        profile,
        outbox,
        begun: begun_in,
        log,
    };
    (link, host)
}

impl HostLink {
    /// From now on the host's calls for `agent` go to `inbox`.
    pub fn attach(&self, agent: &AgentId, inbox: mpsc::Sender<Input>) {
        self.roster.attach(agent, inbox);
    }

    /// The agent is gone: its open calls fail, and so do new ones until it is attached again.
    /// Gives back its inbox.
    pub fn detach(&self, agent: &AgentId) -> Option<mpsc::Sender<Input>> {
        self.roster.detach(agent)
    }

    /// The agent is none of this process any more: calls for it are told so.
    pub fn dismiss(&self, agent: &AgentId) {
        self.roster.dismiss(agent);
    }

    /// Takes every attached inbox away and attaches no further ones, to end the agents.
    pub fn detach_all(&self) -> Vec<mpsc::Sender<Input>> {
        self.roster.detach_all()
    }

    /// The host's slash commands go to `agent`, also when it is attached again; to nobody without one.
    pub fn sync_commands(&self, agent: Option<&AgentId>) {
        self.roster.sync_commands(agent);
    }

    /// Hands an inbound to the host; `inbox` is told when it has been written.
    pub fn notify(&self, inbound: Inbound, inbox: mpsc::WeakSender<Input>) {
        self.roster.remember(&inbound);
        let turn = inbound.turn_id.clone();
        if self.outbox.try_send(Outgoing { inbound, inbox }).is_err() {
            tracing::error!(%turn, "the host reads nothing: an inbound was dropped; restart the host");
        }
    }

    /// Answers a tool call; one that the host has cancelled is answered to nobody.
    pub fn answer(&self, call: CallId, result: Result<ToolAnswer, ToolError>) {
        self.roster.answer(call, tools::result(result));
    }

    /// What the host does towards its first inbound, from the start.
    pub fn beginnings(&self) -> Beginnings {
        Beginnings::new(self.begun.clone())
    }
}

impl Host {
    /// The handler of a session that is not served here: nothing but answers goes out on it.
    pub fn handler(&self) -> Server {
        let roster = Arc::clone(&self.roster);
        Server::new(roster, self.profile, self.log.threshold())
    }

    /// The transport of that session, as the [`handler`](Self::handler) needs it.
    pub fn wire<T: Transport<RoleServer>>(&self, transport: T) -> Wire<T> {
        let roster = Arc::clone(&self.roster);
        Wire::new(transport, roster, self.begun.clone(), None)
    }

    /// Serves MCP until the input ends, or the output cannot be written any more.
    ///
    /// # Errors
    ///
    /// Where the host cannot be initialised.
    pub async fn serve<R, W>(self, read: R, write: W) -> Result<(), HostError>
    where
        R: AsyncRead + Send + Unpin + 'static,
        W: AsyncWrite + Send + Unpin + 'static,
    {
        let server = self.handler();
        let Self {
            roster,
            profile,
            outbox,
            begun,
            log,
        } = self;
        let (ended_in, ended) = oneshot::channel();
        let transport = AsyncRwTransport::new_server(read, tokio::io::sink());
        let (lines, transport) = Lines::new(transport, profile, outbox, begun.subscribe(), log);
        let wire = Wire::new(transport, roster, begun, Some(ended_in));
        let talk = async {
            match server.serve(wire).await {
                Ok(running) => {
                    // Whatever ends it, it is the end.
                    let _ = running.waiting().await;
                    Ok(())
                }
                // The input ended first: that is how a host says goodbye.
                Err(ServerInitializeError::ConnectionClosed(_)) => Ok(()),
                Err(error) => Err(HostError::Initialize(Box::new(error))),
            }
        };
        let mut talk = pin!(talk);
        // A task of its own: a host that has said its last word may read what is still answered.
        let written = tokio::spawn(lines.write_to(write));
        tokio::select! {
            biased;
            // Not when the library has drained what it still has: the host may kill us before.
            _ = ended => Ok(()),
            result = &mut talk => result,
            written = written => match written {
                // Why it is gone is about to be told.
                Ok(Ok(Gone::Session)) => talk.await,
                Ok(Ok(Gone::Agents)) | Err(_) => Ok(()),
                Ok(Err(error)) => {
                    // It is gone, and the end of our input is about to tell.
                    tracing::debug!(%error, "the host takes nothing any more");
                    Ok(())
                }
            }
        }
    }
}

/// Standard input and output of the process.
pub fn stdio() -> (
    impl AsyncRead + Send + Unpin,
    impl AsyncWrite + Send + Unpin,
) {
    rmcp::transport::stdio_pipes()
}

/// A closed transport, as rmcp's traits want it said.
fn closed() -> io::Error {
    io::ErrorKind::BrokenPipe.into()
}
