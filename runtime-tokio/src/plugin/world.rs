//! What carries out an agent's outputs: logins, dials, REST, the host and the log.

use std::{
    collections::BTreeMap,
    ops::ControlFlow,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use selvedge_core::{
    Machine, RequestId, Time,
    fabric::center,
    http::Request,
    id::{AgentId, UserId},
    plugin::{
        io::{Claim, Http, Input, Login, Output, Question},
        login_gate::Ticket,
        note::{Level, Note},
        transfer::Transfer,
    },
    ws::ConnId,
};
use serde_json::Value;
use tokio::{
    sync::{mpsc, oneshot},
    task::{AbortHandle, JoinSet},
};

use super::{Shared, lock::Slot};
use crate::{
    config::Agent,
    driver::World,
    store::plugin::Owner,
    ws::{self, WsHandle},
};

/// The world of one agent.
///
/// Everything that takes time is a task of its own, which answers through the inbox. The world
/// itself holds the inbox weakly: when the agent is detached from the host and its last task has
/// ended, the inbox closes, and with it the drive.
#[derive(Debug)]
pub(super) struct AgentWorld {
    agent_id: AgentId,
    owner: Owner,
    login: Arc<center::Login>,
    shared: Shared,
    inbox: mpsc::WeakSender<Input>,
    tasks: JoinSet<()>,
    logins: BTreeMap<RequestId<Login>, AbortHandle>,
    requests: BTreeMap<RequestId<Http>, AbortHandle>,
    connections: Connections,
    slot: Arc<Slot>,
    /// Says that the agent must start anew.
    anew: Option<oneshot::Sender<()>>,
}

/// How often an account is tried that another process serves.
const CLAIM_PERIOD: Duration = Duration::from_secs(1);

type Connections = Arc<Mutex<BTreeMap<ConnId, Connection>>>;

#[derive(Debug)]
struct Connection {
    task: AbortHandle,
    /// Once it is open.
    handle: Option<WsHandle>,
}

impl AgentWorld {
    pub(super) fn new(
        agent: &Agent,
        shared: Shared,
        inbox: mpsc::WeakSender<Input>,
        (slot, anew): (Arc<Slot>, oneshot::Sender<()>),
    ) -> Self {
        Self {
            agent_id: agent.config.agent_id.clone(),
            owner: shared.owner(agent),
            login: Arc::new(agent.login.clone()),
            shared,
            inbox,
            tasks: JoinSet::new(),
            logins: BTreeMap::new(),
            requests: BTreeMap::new(),
            connections: Connections::default(),
            slot,
            anew: Some(anew),
        }
    }

    /// Runs a task that answers through the inbox; none where the drive is ending.
    fn spawn<F>(&mut self, task: impl FnOnce(mpsc::Sender<Input>) -> F) -> Option<AbortHandle>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        // What has ended is let go here, so that the set stays as small as what is under way.
        while self.tasks.try_join_next().is_some() {}
        let inbox = self.inbox.upgrade()?;
        Some(self.tasks.spawn(task(inbox)))
    }

    fn log_in(&mut self, id: RequestId<Login>) {
        let ticket = Ticket {
            agent: self.agent_id.clone(),
            login: id,
        };
        let Shared {
            http,
            gate,
            center_url,
            ..
        } = self.shared.clone();
        let login = Arc::clone(&self.login);
        let task = self.spawn(|inbox| async move {
            let admission = gate.admit(ticket).await;
            if inbox.send(Input::Admitted(id)).await.is_ok() {
                let result = http.login(&center_url, &login).await;
                drop(admission);
                answer(&inbox, Input::LoggedIn(id, result)).await;
            }
        });
        self.logins.retain(|_, task| !task.is_finished());
        self.logins.extend(task.map(|task| (id, task)));
    }

    fn request(
        &mut self,
        id: RequestId<Http>,
        origin: String,
        request: Request,
        file: Option<Transfer>,
    ) {
        let Shared { http, files, .. } = self.shared.clone();
        let task = self.spawn(|inbox| async move {
            let result = match file {
                Some(file) => http.transfer(&origin, request, &file, &files).await,
                None => http.send(&origin, request).await,
            };
            answer(&inbox, Input::Http(id, result)).await;
        });
        self.requests.retain(|_, task| !task.is_finished());
        self.requests.extend(task.map(|task| (id, task)));
    }

    fn dial(&mut self, conn: ConnId, origin: String) {
        let dialer = Arc::clone(&self.shared.dialer);
        let connections = Arc::clone(&self.connections);
        // Held until the connection is entered, so that its task finds itself there.
        let entry = Arc::clone(&self.connections);
        let mut entry = lock(&entry);
        let task = self.spawn(|inbox| async move {
            // In a box, so that the task does not keep the room for it while it pumps.
            match Box::pin(dialer.dial(&origin)).await {
                Ok(socket) => {
                    let (handle, pump) = ws::open(socket);
                    let Some(()) = lock(&connections)
                        .get_mut(&conn)
                        .map(|connection| connection.handle = Some(handle))
                    else {
                        // Hung up while it was being dialed.
                        return;
                    };
                    if inbox.send(Input::Dialed(conn, Ok(()))).await.is_ok() {
                        pump.run(inbox, move |event| Input::Transport(conn, event))
                            .await;
                    }
                }
                Err(error) => answer(&inbox, Input::Dialed(conn, Err(error.words()))).await,
            }
            lock(&connections).remove(&conn);
        });
        entry.extend(task.map(|task| (conn, Connection { task, handle: None })));
    }

    /// Takes the account for this process, or says who has it; then it is tried on, and once it is free the
    /// agent starts anew, with what its store has by then.
    fn claim(&mut self, id: RequestId<Claim>, user: &UserId) {
        let lock = self.shared.locks_of(user);
        let (slot, anew) = (Arc::clone(&self.slot), self.anew.take());
        self.spawn(|inbox| async move {
            match slot.take(&lock) {
                Ok(()) => return answer(&inbox, Input::Claimed(id, Ok(()))).await,
                Err(by) => answer(&inbox, Input::Claimed(id, Err(by))).await,
            }
            drop(inbox);
            loop {
                tokio::time::sleep(CLAIM_PERIOD).await;
                if slot.take(&lock).is_ok() {
                    break;
                }
            }
            if let Some(anew) = anew {
                // An agent that is gone does not start anew.
                let _ = anew.send(());
            }
        });
    }

    fn hang_up(&mut self, conn: ConnId) {
        if let Some(connection) = lock(&self.connections).remove(&conn) {
            connection.task.abort();
        }
    }

    fn note(&self, note: &Note) {
        let fields = serde_json::to_value(note).unwrap_or_default();
        let field = |name: &str| fields.get(name).and_then(Value::as_str);
        let (kind, guild, channel) = (field("note"), field("guild"), field("channel"));
        let (why, agent) = (field("why"), self.agent_id.as_str());
        let (lived_ms, retry_in_ms) = if let Note::Down {
            lived, retry_in, ..
        } = note
        {
            (lived.map(millis), retry_in.map(millis))
        } else {
            (None, None)
        };
        macro_rules! line {
            ($level:ident) => {
                tracing::$level!(
                    agent,
                    note = kind,
                    guild,
                    channel,
                    why,
                    lived_ms,
                    retry_in_ms,
                    "{note}"
                )
            };
        }
        match note.level() {
            Level::Debug => line!(debug),
            Level::Info => line!(info),
            Level::Warn => line!(warn),
            Level::Error => line!(error),
        }
    }
}

impl<M: Machine<Input = Input, Output = Output>> World<M> for AgentWorld {
    fn carry_out(&mut self, _: Time, output: Output) -> ControlFlow<()> {
        match output {
            Output::Login(id) => self.log_in(id),
            Output::Dial { conn, origin } => self.dial(conn, origin),
            Output::Transport(conn, action) => {
                if let Some(handle) = lock(&self.connections)
                    .get_mut(&conn)
                    .and_then(|connection| connection.handle.as_mut())
                {
                    handle.send(action);
                }
            }
            Output::HangUp(conn) => self.hang_up(conn),
            Output::Http {
                id,
                origin,
                request,
                file,
            } => self.request(id, origin, request, file),
            Output::Store(id, batch) => {
                let kept = self.shared.store.keep(self.owner.clone(), batch);
                self.spawn(|inbox| async move {
                    answer(&inbox, Input::Stored(id, kept.await)).await;
                });
            }
            Output::Claim(id, user) => self.claim(id, &user),
            Output::Forget(Question::Store(_) | Question::Claim(_)) => {}
            Output::Forget(Question::Login(id)) => abort(self.logins.remove(&id)),
            Output::Forget(Question::Http(id)) => abort(self.requests.remove(&id)),
            Output::Notify(inbound) => self.shared.host.notify(inbound, self.inbox.clone()),
            Output::Answer { call, result } => self.shared.host.answer(call, result),
            Output::Note(note) => self.note(&note),
        }
        ControlFlow::Continue(())
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

fn abort(task: Option<AbortHandle>) {
    if let Some(task) = task {
        task.abort();
    }
}

async fn answer(inbox: &mpsc::Sender<Input>, input: Input) {
    // An agent that is gone needs no answer.
    let _ = inbox.send(input).await;
}

fn lock(connections: &Connections) -> MutexGuard<'_, BTreeMap<ConnId, Connection>> {
    connections.lock().unwrap_or_else(PoisonError::into_inner)
}
