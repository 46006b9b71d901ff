//! Who answers a tool call: the agents, their inboxes, and the calls that are open.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

use rmcp::model::{CallToolRequestParams, CallToolResult, ErrorData, RequestId};
use selvedge_core::{
    http::CallId,
    id::{AgentId, ChannelId, GuildId},
    plugin::{
        commands,
        inbound::Inbound,
        io::{HostEvent, Input},
    },
};
use tokio::sync::{mpsc, oneshot};

use super::tools::{self, Place, failed};

/// How many sessions are remembered, so that a tool can be given a `session_id`. One that is
/// forgotten is taken for its channel's.
const SESSIONS_MAX: usize = 10_000;

/// How many bytes the host's slash commands have at most, as it writes them: twice what is taken of
/// them, for spaces between.
const COMMANDS_BYTES_MAX: usize = 2 * commands::BYTES_MAX;

/// A call's answer: a result, also for a tool that failed, or a protocol error.
pub(super) type Outcome = Result<CallToolResult, ErrorData>;

#[derive(Debug)]
pub(super) struct Roster {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// `None` while an agent is not running.
    agents: BTreeMap<AgentId, Option<mpsc::Sender<Input>>>,
    /// The process is ending: who comes now is not attached.
    over: bool,
    next: u64,
    open: BTreeMap<CallId, OpenCall>,
    sessions: BTreeMap<(AgentId, String), (ChannelId, GuildId)>,
    session_order: VecDeque<(AgentId, String)>,
    /// The agent that the host's slash commands go to, and what they are.
    syncs: Option<AgentId>,
    commands: Option<String>,
}

#[derive(Debug)]
struct OpenCall {
    agent: AgentId,
    request: RequestId,
    reply: oneshot::Sender<Outcome>,
}

impl Roster {
    pub(super) fn new(agents: impl IntoIterator<Item = AgentId>) -> Self {
        Self {
            state: Mutex::new(State {
                agents: agents.into_iter().map(|agent| (agent, None)).collect(),
                over: false,
                next: 0,
                open: BTreeMap::new(),
                sessions: BTreeMap::new(),
                session_order: VecDeque::new(),
                syncs: None,
                commands: None,
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn attach(&self, agent: &AgentId, inbox: mpsc::Sender<Input>) {
        let mut state = self.lock();
        if !state.over {
            state.agents.insert(agent.clone(), Some(inbox));
            state.hand_commands_over(agent);
        }
    }

    pub(super) fn sync_commands(&self, agent: Option<&AgentId>) {
        self.lock().syncs = agent.cloned();
    }

    /// The host has these slash commands: the parameters of its notification, as JSON.
    pub(super) fn on_commands(&self, params: String) {
        let mut state = self.lock();
        if params.len() > COMMANDS_BYTES_MAX {
            tracing::warn!(
                "the host's commands are left as they were: {} bytes are too many, {} are allowed",
                params.len(),
                COMMANDS_BYTES_MAX
            );
            return;
        }
        // Kept in any case: another configuration may name an agent for them.
        state.commands = Some(params);
        match state.syncs.clone() {
            Some(agent) => state.hand_commands_over(&agent),
            None => tracing::warn!(
                "the host's commands are ignored: no agent of the configuration has sync_commands \
                 = true"
            ),
        }
    }

    pub(super) fn detach(&self, agent: &AgentId) -> Option<mpsc::Sender<Input>> {
        let mut state = self.lock();
        let inbox = state.agents.insert(agent.clone(), None).flatten();
        let gone: Vec<CallId> = state
            .open
            .iter()
            .filter(|(_, call)| call.agent == *agent)
            .map(|(id, _)| *id)
            .collect();
        for id in gone {
            if let Some(call) = state.open.remove(&id) {
                let words = format!("agent {agent} is being restarted; try again in a few seconds");
                let _ = call.reply.send(Ok(failed(words)));
            }
        }
        inbox
    }

    pub(super) fn dismiss(&self, agent: &AgentId) {
        self.lock().agents.remove(agent);
    }

    pub(super) fn detach_all(&self) -> Vec<mpsc::Sender<Input>> {
        let mut state = self.lock();
        state.over = true;
        state.agents.values_mut().filter_map(Option::take).collect()
    }

    pub(super) fn remember(&self, inbound: &Inbound) {
        let mut state = self.lock();
        let key = (inbound.agent_id.clone(), inbound.session_id.clone());
        let place = (inbound.channel.id.clone(), inbound.channel.guild_id.clone());
        if state.sessions.insert(key.clone(), place).is_some() {
            return;
        }
        state.session_order.push_back(key);
        if state.session_order.len() > SESSIONS_MAX
            && let Some(oldest) = state.session_order.pop_front()
        {
            state.sessions.remove(&oldest);
        }
    }

    /// Hands a call to its agent, without waiting. Calls reach an agent in the order in which they
    /// come here.
    pub(super) fn begin(
        &self,
        request: &RequestId,
        params: &CallToolRequestParams,
    ) -> oneshot::Receiver<Outcome> {
        let (reply, outcome) = oneshot::channel();
        let mut state = self.lock();
        match state.hand_over(params) {
            Ok((agent, call)) => {
                let request = request.clone();
                let open = OpenCall {
                    agent,
                    request,
                    reply,
                };
                state.open.insert(call, open);
            }
            Err(refusal) => {
                // Whoever waits is the very one that asks here.
                let _ = reply.send(refusal);
            }
        }
        outcome
    }

    pub(super) fn answer(&self, call: CallId, result: CallToolResult) {
        if let Some(call) = self.lock().open.remove(&call) {
            // A host that is gone needs no answer.
            let _ = call.reply.send(Ok(result));
        }
    }

    /// The host does not wait for this request any more.
    pub(super) fn cancel(&self, request: &RequestId) {
        let mut state = self.lock();
        let Some(id) = state
            .open
            .iter()
            .find(|(_, call)| call.request == *request)
            .map(|(id, _)| *id)
        else {
            return;
        };
        if let Some(call) = state.open.remove(&id)
            && let Some(Some(inbox)) = state.agents.get(&call.agent)
        {
            // An agent that is too busy to hear of it answers to nobody.
            let _ = inbox.try_send(Input::Host(HostEvent::Cancelled(id)));
        }
    }
}

impl State {
    /// Tells the agent that they go to what the host's slash commands are.
    fn hand_commands_over(&self, agent: &AgentId) {
        let inbox = self.agents.get(agent).and_then(Option::as_ref);
        let (Some(inbox), Some(commands)) = (inbox, &self.commands) else {
            return;
        };
        if self.syncs.as_ref() != Some(agent) {
            return;
        }
        let told = inbox.try_send(Input::Host(HostEvent::Commands(commands.clone())));
        if told.is_err() {
            tracing::warn!(
                agent = agent.as_str(),
                "the agent has too much to do for the host's commands; send them again"
            );
        }
    }

    /// The agent that took the call, and the call's id; else what to answer at once.
    fn hand_over(&mut self, params: &CallToolRequestParams) -> Result<(AgentId, CallId), Outcome> {
        let named = tools::read(&params.name, params.arguments.as_ref())?;
        let agent = self
            .pick(named.agent.as_deref())
            .map_err(|words| Ok(failed(words)))?;
        let tool = named
            .tool(&|session| self.place(&agent, session))
            .map_err(|words| Ok(failed(words)))?;
        let call = CallId(self.next);
        let inbox = self.agents.get(&agent).and_then(Option::as_ref);
        let taken = inbox.map(|inbox| inbox.try_send(Input::Host(HostEvent::Call { call, tool })));
        match taken {
            Some(Ok(())) => {
                self.next += 1;
                Ok((agent, call))
            }
            Some(Err(mpsc::error::TrySendError::Full(_))) => Err(Ok(failed(format!(
                "agent {agent} has too much to do; try again in a few seconds"
            )))),
            Some(Err(mpsc::error::TrySendError::Closed(_))) | None => Err(Ok(failed(format!(
                "agent {agent} is not running; try again in a few seconds, and see the plugin's log \
                 if it stays so"
            )))),
        }
    }

    fn pick(&self, named: Option<&str>) -> Result<AgentId, String> {
        let mut agents = self.agents.keys();
        match (named, agents.next(), agents.next()) {
            (Some(named), _, _) => self
                .agents
                .keys()
                .find(|agent| agent.as_str() == named)
                .cloned()
                .ok_or_else(|| {
                    format!(
                        "there is no agent {named:?}; agent_id is one of: {}",
                        self.names()
                    )
                }),
            (None, Some(only), None) => Ok(only.clone()),
            (None, _, _) => Err(format!(
                "agent_id is missing, and there is more than one agent; it is one of: {}",
                self.names()
            )),
        }
    }

    fn names(&self) -> String {
        let names: Vec<_> = self.agents.keys().map(AgentId::as_str).collect();
        names.join(", ")
    }

    fn place(&self, agent: &AgentId, session: &str) -> Option<Place> {
        let known = self.sessions.get(&(agent.clone(), session.to_owned()));
        match known {
            Some((channel, guild)) => Some((channel.clone(), Some(guild.clone()))),
            None => {
                let channel = session.strip_prefix("s_fab_")?;
                Some((ChannelId::new(channel)?, None))
            }
        }
    }
}
