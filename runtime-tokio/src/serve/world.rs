//! The guild machine's world: what carries out its outputs.

use std::{ops::ControlFlow, sync::Arc};

use selvedge_core::{
    Machine, RequestId, Time,
    fabric::routes::FILES,
    guild::{
        file::FileRow,
        io::{Incoming, Input, NotReceived, Output, Question, Receive},
    },
    http::{CallId, Response},
};
use tokio::{
    sync::{mpsc, oneshot},
    task::AbortHandle,
};

use super::{call, center_client::CenterClient, disk::Disk, shared::Shared};
use crate::{
    driver::World,
    engineio::{Open, Writers},
    store::guild::{Job, answer},
};

/// The REST calls that wait for the machine.
pub(super) type Calls = call::Calls<Answer>;

/// The uploads whose body waits for the machine's word that it is wanted.
pub(super) type Uploads = Shared<CallId, oneshot::Sender<(RequestId<Receive>, Incoming)>>;

/// What a REST call is answered with.
#[derive(Debug)]
pub(super) enum Answer {
    /// This.
    Whole(Response),
    /// A file from the disk.
    File(Box<FileRow>),
}

/// One question to Center that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Asked {
    Introspect(u64),
    Resolve(u64),
}

/// Carries out what the guild machine asks for.
#[derive(Debug)]
pub(super) struct GuildWorld {
    pub(super) calls: Arc<Calls>,
    pub(super) open: Arc<Open>,
    pub(super) uploads: Arc<Uploads>,
    disk: Disk,
    center: Arc<CenterClient>,
    /// Not bounded here: the machine bounds its calls, and each waits for at most one job.
    jobs: mpsc::UnboundedSender<Job>,
    /// Weak, so that the drive ends when everybody else has let go of the inbox.
    inbox: mpsc::WeakSender<Input>,
    asked: Arc<Shared<Asked, AbortHandle>>,
    writers: Writers,
    /// Why the machine cannot go on.
    pub(super) fatal: Option<String>,
}

impl GuildWorld {
    /// A world with nothing open.
    pub(super) fn new(
        center: Arc<CenterClient>,
        jobs: mpsc::UnboundedSender<Job>,
        inbox: mpsc::WeakSender<Input>,
        disk: Disk,
    ) -> Self {
        Self {
            calls: Arc::default(),
            open: Arc::default(),
            uploads: Arc::default(),
            disk,
            center,
            jobs,
            inbox,
            asked: Arc::default(),
            writers: Writers::default(),
            fatal: None,
        }
    }

    /// Asks Center in a task of its own, which takes itself out of the table when it is done.
    fn ask<F>(&self, key: Asked, question: F)
    where
        F: Future<Output = Input> + Send + 'static,
    {
        let (asked, inbox) = (Arc::clone(&self.asked), self.inbox.clone());
        // Held until the entry is in, so that even an answer at once finds it.
        let mut table = self.asked.lock();
        let task = tokio::spawn(async move {
            let input = question.await;
            asked.remove(&key);
            answer(&inbox, input).await;
        });
        if let Some(table) = &mut *table {
            table.insert(key, task.abort_handle());
        }
    }

    fn forget(&self, key: Asked) {
        if let Some(task) = self.asked.remove(&key) {
            task.abort();
        }
    }

    fn answer(&self, call: CallId, answer: Answer) {
        if let Some(waiting) = self.calls.remove(&call) {
            // The client may have gone just now.
            let _ = waiting.send(answer);
        }
    }

    fn receive(&self, id: RequestId<Receive>, incoming: Incoming) {
        match self.uploads.remove(&incoming.call) {
            // A client that has gone just now tells the machine so.
            Some(upload) => drop(upload.send((id, incoming))),
            // Its path was written in another way, so that its body was read already.
            None => {
                let words = format!("ask for the path {FILES} as it is written here");
                let not = Err(NotReceived::Malformed(words));
                let inbox = self.inbox.clone();
                tokio::spawn(async move {
                    answer(&inbox, Input::Received(id, incoming.file, not)).await;
                });
            }
        }
    }

    fn job(&self, job: Job) {
        // The store outlives the drive, and answers for itself when it fails.
        let _ = self.jobs.send(job);
    }
}

/// However the drive ends, by a panic too: nobody waits for an answer that will not come.
impl Drop for GuildWorld {
    fn drop(&mut self) {
        self.calls.close();
        self.uploads.close();
        self.open.close();
    }
}

impl<M: Machine<Input = Input, Output = Output>> World<M> for GuildWorld {
    fn carry_out(&mut self, _now: Time, output: Output) -> ControlFlow<()> {
        match output {
            Output::Effect(effect) => self.open.carry_out_with(effect, &mut self.writers),
            Output::Respond { call, response } => {
                self.answer(call, Answer::Whole(response));
            }
            Output::Deliver { call, file } => self.answer(call, Answer::File(file)),
            Output::Discard(file) => self.disk.discard(&file),
            Output::Receive(id, incoming) => self.receive(id, incoming),
            Output::Introspect(id, token) => {
                let center = Arc::clone(&self.center);
                self.ask(Asked::Introspect(id.number()), async move {
                    let answer = center.introspect(&token).await;
                    if let Err(error) = &answer {
                        tracing::warn!(why = error.0, "a token cannot be judged");
                    }
                    Input::Introspected(id, answer)
                });
            }
            Output::Resolve(id, name) => {
                let center = Arc::clone(&self.center);
                self.ask(Asked::Resolve(id.number()), async move {
                    let answer = center.by_name(&name).await;
                    if let Err(error) = &answer {
                        tracing::warn!(why = error.0, "a name cannot be resolved");
                    }
                    Input::Resolved(id, answer)
                });
            }
            Output::Store(id, facts) => self.job(Job::Store(id, facts)),
            Output::Load(id, query) => self.job(Job::Load(id, query)),
            Output::Forget(Question::Introspect(id)) => {
                self.forget(Asked::Introspect(id.number()));
            }
            Output::Forget(Question::Resolve(id)) => self.forget(Asked::Resolve(id.number())),
            // The read is short and its answer falls on deaf ears; the upload ends with its call.
            Output::Forget(Question::Load(_) | Question::Receive(_)) => {}
            Output::Fatal(why) => {
                tracing::error!(why, "the guild node cannot go on");
                self.fatal = Some(why);
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    }

    fn settle(&mut self) {
        self.writers.wake();
    }
}
