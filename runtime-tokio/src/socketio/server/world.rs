//! The hub's world: what carries out its outputs.

use std::{collections::BTreeMap, ops::ControlFlow, panic::AssertUnwindSafe, sync::Arc};

use bytestring::ByteString;
use futures::FutureExt as _;
use selvedge_core::{
    Time,
    engineio::sessions::SessionId,
    socketio::{
        Namespace as Name,
        event::Event,
        hub::{Hub, Input, Output, Room, SocketId},
    },
};
use tokio::{sync::mpsc, task::AbortHandle};

use super::{
    Limits,
    admission::{Admission, Admitted, Credentials, Former, Handshake, Refusal},
    error::End,
    link::{Calls, Letter, Link},
    namespace::{Connected, Namespace},
    outgoing::{Outgoing, ToMany},
    service::Beginnings,
    socket::{self, Id, Members, Socket},
};
use crate::{
    driver::World,
    engineio::{Open, Writers},
    serve::{random, shared::Shared},
};

/// Carries out what the hub asks for. The closures of users run in tasks of their own.
#[derive(Debug)]
pub(super) struct HubWorld {
    pub(super) open: Arc<Open>,
    /// Weak, so that the drive ends when everybody else has let go of the inbox.
    pub(super) inbox: mpsc::WeakSender<Letter>,
    pub(super) calls: Arc<Calls>,
    pub(super) beginnings: Arc<Beginnings>,
    pub(super) namespaces: BTreeMap<Name, Namespace>,
    pub(super) to_many: ToMany,
    pub(super) limits: Limits,
    sessions: BTreeMap<SessionId, Session>,
    asked: Arc<Shared<SocketId, Asked>>,
    members: Arc<Members>,
    writers: Writers,
}

/// What is known of a connection.
#[derive(Debug)]
struct Session {
    handshake: Option<Arc<Handshake>>,
    outgoing: Arc<Outgoing>,
}

/// A socket that waits for admission.
#[derive(Debug)]
struct Asked {
    outgoing: Arc<Outgoing>,
    credentials: Credentials,
    decision: AbortHandle,
}

impl HubWorld {
    pub(super) fn new(
        open: Arc<Open>,
        inbox: mpsc::WeakSender<Letter>,
        calls: Arc<Calls>,
        beginnings: Arc<Beginnings>,
        namespaces: BTreeMap<Name, Namespace>,
        (to_many, members): (ToMany, Arc<Members>),
        limits: Limits,
    ) -> Self {
        Self {
            open,
            inbox,
            calls,
            beginnings,
            namespaces,
            to_many,
            limits,
            sessions: BTreeMap::new(),
            asked: Arc::default(),
            members,
            writers: Writers::default(),
        }
    }

    /// Has the embedder decide in a task of its own.
    fn ask(
        &self,
        socket: SocketId,
        (credentials, outgoing): (Credentials, Arc<Outgoing>),
        former: Option<Former>,
    ) {
        let Some(inbox) = self.inbox.upgrade() else {
            return;
        };
        let admit = self.namespaces.get(&credentials.namespace);
        let admit = admit.and_then(|namespace| namespace.admit.clone());
        let request = Admission {
            credentials: credentials.clone(),
            former,
        };
        let could_resume = request.former.is_some();
        let (asked, recovers) = (Arc::clone(&self.asked), self.limits.recovers);
        let decision = async move {
            match admit {
                Some(admit) => admit(request).await,
                None => Ok(Admitted::bearer()),
            }
        };
        // Held until the entry is in, so that even a decision at once finds it.
        let mut table = self.asked.lock();
        let decision = tokio::spawn(async move {
            let decided = match AssertUnwindSafe(decision).catch_unwind().await {
                Ok(decided) => decided,
                Err(_) => {
                    tracing::error!("deciding on an admission has panicked");
                    Err(Refusal::new(BROKEN))
                }
            };
            let input = match decided {
                // What is known of it is taken out when it is in, or not waited for any more.
                Ok(admitted) => {
                    if could_resume && admitted == Admitted::stranger() {
                        tracing::debug!("a client begins anew: it was let in as nobody it was");
                    }
                    admit_new(socket, admitted, recovers)
                }
                Err(refusal) => {
                    asked.remove(&socket);
                    refuse(socket, refusal)
                }
            };
            // A machine that has ended does not wait for it.
            let _ = inbox.send(input.into()).await;
        });
        if let Some(table) = &mut *table {
            let asked = Asked {
                outgoing,
                credentials,
                decision: decision.abort_handle(),
            };
            table.insert(socket, asked);
        }
    }

    fn forget(&self, socket: SocketId) {
        if let Some(asked) = self.asked.remove(&socket) {
            asked.decision.abort();
        }
    }

    /// Hands a socket that is in to its handler.
    fn connect(&self, id: Id, is_recovered: bool, rooms: Vec<Room>) {
        let socket = id.socket;
        let (Some(asked), Some(inbox)) = (self.asked.remove(&socket), self.inbox.upgrade()) else {
            return;
        };
        let connected = self.namespaces.get(&asked.credentials.namespace);
        let connected = connected.and_then(|namespace| namespace.connected.clone());
        let (member, handle) = socket::pair(socket::Parts {
            id,
            link: Link::new(
                inbox,
                Arc::clone(&self.calls),
                self.to_many.clone(),
                self.limits.outgoing,
            ),
            outgoing: asked.outgoing,
            credentials: asked.credentials,
            is_recovered,
            rooms,
            rooms_max: self.limits.rooms_max,
        });
        self.members.insert(socket, member);
        if let Some(connected) = connected {
            tokio::spawn(serve(connected, handle, Arc::clone(&self.members)));
        }
    }

    fn deliver(&self, socket: SocketId, event: Event) {
        let limits = (self.limits.events_max, self.limits.event_bytes_max);
        let fits = self.members.with(&socket, |member| {
            let fits = member.push(event, limits);
            if !fits {
                member.end(End::TooSlow);
            }
            fits
        });
        if fits == Some(false) {
            // What comes until the connection has ended is for nobody.
            self.members.remove(&socket);
            tracing::warn!(
                socket = socket.number(),
                "a connection is ended: its handler is too slow for its events"
            );
            self.tell(Input::Disconnect {
                socket,
                close: true,
            });
        }
    }

    /// Tells the machine something, from within its own loop.
    fn tell(&self, input: Input) {
        let Some(inbox) = self.inbox.upgrade() else {
            return;
        };
        if let Err(mpsc::error::TrySendError::Full(input)) = inbox.try_send(input.into()) {
            tokio::spawn(async move {
                // A machine that has ended does not wait for it.
                let _ = inbox.send(input).await;
            });
        }
    }
}

/// Runs the handler of a socket. A panic ends that socket alone.
async fn serve(connected: Arc<Connected>, socket: Socket, members: Arc<Members>) {
    let shared = Arc::clone(socket.shared());
    let served = AssertUnwindSafe(async move { connected(socket).await }).catch_unwind();
    if served.await.is_err() {
        tracing::error!(socket = %shared.id, "the handler of a socket has panicked");
        members.with(&shared.id.socket, |member| member.end(End::Panicked));
        // A server that has closed has ended it already. In a box, so that the task does not keep the
        // room for what hardly ever happens.
        let _ = Box::pin(shared.disconnect(false)).await;
    }
}

fn admit_new(socket: SocketId, Admitted(identity): Admitted, recovers: bool) -> Input {
    let made = random::id("").and_then(|sid| {
        let pid = recovers.then(|| random::key("")).transpose()?;
        Ok((sid, pid))
    });
    match made {
        Ok((sid, pid)) => Input::Admit {
            socket,
            sid: sid.into(),
            pid,
            identity,
        },
        Err(error) => {
            tracing::error!(%error, "nobody can be let in");
            refuse(socket, Refusal::new(BROKEN))
        }
    }
}

fn refuse(socket: SocketId, refusal: Refusal) -> Input {
    Input::Refuse {
        socket,
        message: refusal.message.into(),
        data: refusal.data.map(Into::into),
    }
}

/// What a client is told where it is not at fault.
const BROKEN: &str = "internal error";

/// However the drive ends, by a panic too: nobody waits for what will not come.
impl Drop for HubWorld {
    fn drop(&mut self) {
        self.open.close();
        self.calls.close();
        self.members.close();
    }
}

impl World<Hub> for HubWorld {
    fn carry_out(&mut self, _: Time, output: Output) -> ControlFlow<()> {
        match output {
            Output::Effect(effect) => self.open.carry_out_with(effect, &mut self.writers),
            Output::Opened { session, sid } => {
                let handshake = self.beginnings.remove(&sid);
                let outgoing = Outgoing::new(Arc::clone(&self.open), sid, self.limits.outgoing);
                let outgoing = Arc::new(outgoing);
                let known = Session {
                    handshake,
                    outgoing,
                };
                self.sessions.insert(session, known);
            }
            Output::Ended { session, reason } => {
                self.sessions.remove(&session);
                tracing::debug!(session = session.number(), %reason, "a connection has ended");
            }
            Output::Admission {
                socket,
                session,
                namespace,
                auth,
                former,
            } => {
                let Some(known) = self.sessions.get(&session) else {
                    // Every connection is told of before its sockets.
                    return ControlFlow::Continue(());
                };
                let credentials = Credentials {
                    namespace,
                    // A copy, because it would keep alive all that was read with it.
                    auth: auth.map(|auth| ByteString::from(&*auth)),
                    handshake: known.handshake.clone(),
                };
                let known = (credentials, Arc::clone(&known.outgoing));
                self.ask(socket, known, former.map(Former));
            }
            Output::ForgetAdmission { socket } => self.forget(socket),
            Output::Connected {
                socket,
                sid,
                recovered,
                rooms,
            } => self.connect(Id { sid, socket }, recovered, rooms),
            Output::Event { socket, event } => self.deliver(socket, event),
            Output::Answered { id, result } => self.calls.end(id, result),
            Output::Disconnected { socket, why } => {
                if let Some(member) = self.members.remove(&socket) {
                    member.end(why.into());
                }
            }
            Output::Dropped { socket, why } => {
                let socket = socket.map(SocketId::number);
                tracing::debug!(socket, %why, "something was not sent");
            }
            Output::Closed => return ControlFlow::Break(()),
        }
        ControlFlow::Continue(())
    }

    fn settle(&mut self) {
        self.writers.wake();
    }
}
