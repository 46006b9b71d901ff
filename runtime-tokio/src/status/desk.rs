//! Where agents are asked how they do.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::future::join_all;
use selvedge_core::{
    Time,
    id::AgentId,
    plugin::status::{AgentState, AgentStatus, Reports},
};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

use super::Report;
use crate::{clock::Clock, driver::Onlooker};

/// How many may wait for one agent's answer; whoever comes then waits for a place.
const ASKERS_MAX: usize = 16;

/// How long an agent may take: its steps take microseconds.
const PATIENCE: Duration = Duration::from_secs(1);

type Asker = oneshot::Sender<AgentStatus>;

/// Asks all agents of a process.
#[derive(Clone, Debug)]
pub struct Desk {
    clock: Clock,
    started: Time,
    agents: Arc<Mutex<BTreeMap<AgentId, Seat>>>,
}

/// Whom to ask about an agent.
#[derive(Clone, Debug)]
enum Seat {
    /// It does not run; why, where that is known.
    Empty(Option<String>),
    /// Its driver.
    Taken(mpsc::Sender<Asker>),
}

/// The questions to one agent, for the driver of its machine.
#[derive(Debug)]
pub struct Questions {
    asked: mpsc::Receiver<Asker>,
    /// Who is answered next.
    next: Option<Asker>,
}

impl Desk {
    /// Nobody to ask yet.
    pub fn new(clock: Clock) -> Self {
        Self {
            clock,
            started: clock.now(),
            agents: Arc::default(),
        }
    }

    /// The agent is one of this process, and does not run (any more); why, where that is known.
    pub fn expect(&self, agent: &AgentId, why: Option<String>) {
        self.lock().insert(agent.clone(), Seat::Empty(why));
    }

    /// From now on an agent is asked through these questions; without them it is one that does not
    /// answer.
    pub fn enter(&self, agent: &AgentId) -> Questions {
        let (asked_in, asked) = mpsc::channel(ASKERS_MAX);
        self.lock().insert(agent.clone(), Seat::Taken(asked_in));
        Questions { asked, next: None }
    }

    /// The agent is none of this process any more.
    pub fn leave(&self, agent: &AgentId) {
        self.lock().remove(agent);
    }

    /// How every agent does.
    pub async fn report(&self) -> Report {
        let agents: Vec<_> = self
            .lock()
            .iter()
            .map(|(agent, seat)| (agent.clone(), seat.clone()))
            .collect();
        let up = self.clock.now().since(self.started);
        Report {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            up_ms: u64::try_from(up.as_millis()).unwrap_or(u64::MAX),
            agents: join_all(agents.into_iter().map(ask)).await,
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<AgentId, Seat>> {
        self.agents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn ask((agent, seat): (AgentId, Seat)) -> AgentStatus {
    let questions = match seat {
        Seat::Taken(questions) => questions,
        Seat::Empty(why) => {
            return AgentStatus {
                why,
                ..AgentStatus::of(agent, AgentState::Silent)
            };
        }
    };
    let answer = async {
        let (asker, answer) = oneshot::channel();
        questions.send(asker).await.ok()?;
        answer.await.ok()
    };
    let answer = timeout(PATIENCE, answer).await.ok().flatten();
    answer.unwrap_or_else(|| AgentStatus::of(agent, AgentState::Silent))
}

impl<M: Reports> Onlooker<M> for Questions {
    async fn asked(&mut self) {
        match self.asked.recv().await {
            Some(asker) => self.next = Some(asker),
            // The desk is gone, or has other questions for this agent.
            None => std::future::pending().await,
        }
    }

    fn look(&mut self, now: Time, machine: &M) {
        if let Some(asker) = self.next.take() {
            // Whoever has lost patience needs no answer.
            let _ = asker.send(machine.status(now));
        }
    }
}
