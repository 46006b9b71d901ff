//! The agents of a world: what happens to them, and how what they ask for is carried out.

use std::{collections::BTreeSet, time::Duration};

use selvedge_core::{
    fabric::center::Session,
    http::{CallId, Request},
    id::UserId,
    plugin::{
        config::Profile,
        inbound::Inbound,
        io::{HostEvent, Input, Login, LoginFailure, Output, Question},
        login_gate::{self, Ticket},
        note::Note,
        status::Reports as _,
        tools::{Tool, ToolAnswer, ToolError},
    },
    request::RequestId,
    step,
};
use serde_json::Value;

use super::{AgentSite, Event, Moment, START, Target, Who, World};
use crate::{
    fault::LoginFault,
    host,
    net::End,
    oracle::{Seen, troubles::Lasting},
    path::take,
};

/// How long Center takes to answer.
pub(super) const CENTER: Duration = Duration::from_millis(20);

impl World {
    /// Something happens to an agent, or its deadline has come.
    pub(super) fn step_agent(&mut self, agent: usize, input: Option<Input>) {
        let at = self.since_start();
        let Some(site) = self.agents.get_mut(agent).filter(|site| site.alive) else {
            return;
        };
        let life = site.life;
        self.chronicle.step(at, site.user.as_str(), input.as_ref());
        if let (Some(input), Some(teller)) = (&input, &mut self.teller) {
            teller.to_agent(at, agent, input, &self.script.head.guilds);
        }
        let site_user = site.user.clone();
        match &input {
            Some(Input::Host(HostEvent::Call { tool, .. })) => self.see_tool(agent, tool),
            Some(Input::Host(HostEvent::Ready { .. })) => {
                self.oracle.saw(self.now, &Seen::HostReady { agent });
            }
            Some(Input::Host(HostEvent::ToolsListed)) => {
                self.oracle.saw(self.now, &Seen::ToolsListed { agent });
            }
            Some(_) | None => {}
        }
        let Some(site) = self.agents.get_mut(agent) else {
            return;
        };
        let mut out = Vec::new();
        let next = step(&mut site.machine, self.now, input, &mut out);
        self.due
            .set(Who::Agent(agent), next.map(|wakeup| wakeup.at));
        for output in out {
            // Something may have ended the process before all was carried out.
            if !self.lives(agent, life) {
                return;
            }
            self.chronicle.output(at, site_user.as_str(), &output);
            self.tell(|teller, at| teller.from_agent(at, agent, &output));
            self.carry_out_agent(agent, life, output);
        }
    }

    fn see_tool(&mut self, agent: usize, tool: &Tool) {
        if let Some((channel, Some(guild))) = tool.names()
            && let Some(guild) = self.guild_named(guild.as_str())
        {
            let place = (agent, guild, channel.clone());
            self.oracle.saw(self.now, &Seen::Named { place });
        }
        match tool {
            Tool::TurnDone { turn } => {
                self.oracle.saw(self.now, &Seen::TurnOver { agent, turn });
            }
            Tool::NoReply { channel, guild } => {
                let guild = guild
                    .as_ref()
                    .and_then(|guild| self.guild_named(guild.as_str()));
                if let Some(guild) = guild {
                    let place = (agent, guild, channel.clone());
                    self.oracle.saw(self.now, &Seen::NoReply { place });
                }
            }
            Tool::Send { .. }
            | Tool::ListChannels
            | Tool::ListPending
            | Tool::CreateChannel { .. }
            | Tool::Upload { .. }
            | Tool::Download { .. }
            | Tool::Ask { .. }
            | Tool::AddMembers { .. }
            | Tool::StartDiscussion { .. }
            | Tool::EndDiscussion { .. } => {}
        }
    }

    fn carry_out_agent(&mut self, agent: usize, life: u64, output: Output) {
        let schedule = |world: &mut Self, input| world.schedule_agent(Duration::ZERO, agent, input);
        match output {
            Output::Login(id) => {
                let Some(site) = self.agents.get_mut(agent) else {
                    return;
                };
                let ticket = Ticket {
                    agent: site.machine.status(self.now).agent_id,
                    login: id,
                };
                site.tickets.push((ticket.clone(), false));
                self.step_gate(login_gate::Input::Ask(ticket));
            }
            Output::Dial { conn, origin } => {
                if let Some(guild) = self.guild_at(&origin) {
                    self.before(Moment::Dial, Some(agent), Some(guild));
                    if self.lives(agent, life) {
                        self.dial(agent, conn, guild);
                    }
                }
            }
            Output::Transport(conn, action) => {
                if let Some(link) = self.net.of_agent(agent, conn) {
                    self.act(End::Agent, link, action);
                }
            }
            Output::HangUp(conn) => {
                if let Some(link) = self.net.of_agent(agent, conn) {
                    self.let_go(link);
                    self.break_off(link, End::Guild, "the agent hung up");
                }
            }
            Output::Http {
                id,
                origin,
                request,
                ..
            } => {
                if let Some(guild) = self.guild_at(&origin) {
                    self.before(Moment::Request, Some(agent), Some(guild));
                    if self.lives(agent, life) {
                        self.ask(agent, guild, id, request);
                    }
                }
            }
            Output::Store(id, batch) => {
                self.before(Moment::Commit, Some(agent), None);
                if let Some(site) = self.agents.get_mut(agent).filter(|site| site.life == life) {
                    site.disk.write(id, batch);
                    let after = site.disk.commit;
                    self.schedule(after, Event::Commit { agent, life });
                }
            }
            Output::Claim(id, _) => schedule(self, Input::Claimed(id, Ok(()))),
            Output::Forget(Question::Login(id)) => self.end_login(agent, id),
            Output::Forget(Question::Http(_) | Question::Store(_) | Question::Claim(_)) => {}
            Output::Note(note) => self.on_note(agent, &note),
            Output::Notify(inbound) => {
                self.before(Moment::Notify, Some(agent), None);
                if self.lives(agent, life) {
                    self.notify(agent, inbound);
                }
            }
            Output::Answer { call, result } => self.answer(agent, call, result),
        }
    }

    fn guild_at(&self, origin: &str) -> Option<usize> {
        let name = origin.strip_prefix("http://")?.strip_suffix(".test")?;
        self.guild_named(name)
    }

    fn on_note(&mut self, agent: usize, note: &Note) {
        if let Note::Live { guild, .. } = note
            && let Some(guild) = self.guild_named(guild.as_str())
        {
            self.oracle.saw(self.now, &Seen::Live { agent, guild });
        }
        if let Note::Down {
            guild,
            lived: Some(_),
            retry_in: Some(_),
            ..
        } = note
            && let Some(guild) = self.guild_named(guild.as_str())
        {
            self.oracle.saw(self.now, &Seen::Down { agent, guild });
        }
        if let Note::Joined { guild, channel } | Note::Left { guild, channel, .. } = note
            && let Some(guild) = self.guild_named(guild.as_str())
        {
            let place = (agent, guild, channel.clone());
            let member = matches!(note, Note::Joined { .. });
            self.oracle.saw(self.now, &Seen::Member { place, member });
        }
        if let Note::TurnParked { turn, .. } = note {
            self.oracle.saw(self.now, &Seen::Parked { agent, turn });
        }
        if self.counts_notes
            && let Some(site) = self.agents.get_mut(agent)
        {
            let note = serde_json::to_value(note).unwrap_or_default();
            let kind = note.get("note").and_then(Value::as_str).unwrap_or_default();
            *site.notes.entry(kind.to_string()).or_default() += 1;
        }
    }

    fn notify(&mut self, agent: usize, inbound: Inbound) {
        let kinds = [
            ("turn", true),
            ("turn offered again", inbound.redelivered),
            ("turn recovered", inbound.recovered),
            ("turn rewoken", inbound.rewake),
            ("turn with skipped", inbound.skipped > 0),
            ("turn with context", !inbound.context.is_empty()),
        ];
        for (kind, _) in kinds.into_iter().filter(|(_, is)| *is) {
            self.cover(kind);
        }
        let guild = self.guild_named(inbound.channel.guild_id.as_str());
        if let Some(guild) = guild {
            let inbound = &inbound;
            let seen = Seen::Notified {
                agent,
                guild,
                inbound,
            };
            self.oracle.saw(self.now, &seen);
        }
        let claude = self.script.head.profile == Profile::Claude;
        let Some(site) = self.agents.get_mut(agent) else {
            return;
        };
        let deaf = claude && self.now < site.began + host::LISTS_TOOLS + host::DEAF;
        let lost = deaf || site.host.loses > 0;
        if let Some(teller) = &mut self.teller {
            teller.notified(self.now.since(START), agent, guild, &inbound, lost);
        }
        let (turn, channel) = (inbound.turn_id.clone(), inbound.channel.id.clone());
        let then = site.host.on_notify(inbound, deaf);
        if lost {
            self.cover("notification lost");
            if let Some(guild) = guild {
                let place = (agent, guild, channel);
                let turn = &turn;
                self.oracle.saw(self.now, &Seen::Unheard { place, turn });
            }
        }
        for (after, event) in then {
            self.schedule_agent(after, agent, Input::Host(event));
        }
    }

    fn answer(&mut self, agent: usize, call: CallId, result: Result<ToolAnswer, ToolError>) {
        let Some(site) = self.agents.get_mut(agent) else {
            return;
        };
        let heard = site.host.on_answer(call, result);
        if !heard.sent.is_empty() && !self.oracle.setup().says_done {
            self.tell(|teller, at| teller.turn_answered(at, agent));
        }
        for (guild, channel, message) in heard.sent {
            if let Some(guild) = self.guild_named(guild.as_str()) {
                let place = (agent, guild, channel);
                let message = &message;
                self.oracle.saw(self.now, &Seen::Sent { place, message });
            }
        }
        if let Some((after, event)) = heard.then {
            self.schedule_agent(after, agent, Input::Host(event));
        }
    }

    /// Sends a request to a guild, unless that goes wrong.
    fn ask(
        &mut self,
        agent: usize,
        guild: usize,
        id: RequestId<selvedge_core::plugin::io::Http>,
        request: Request,
    ) {
        let wall = self.wall();
        let token = request.bearer.as_ref();
        let expires = token.and_then(|token| self.center.expires(token.expose()));
        let seen = Seen::Requested {
            agent,
            guild,
            id,
            request: &request,
            expires,
            wall,
        };
        self.oracle.saw(self.now, &seen);
        if expires.is_none_or(|expires| expires <= wall) {
            self.trouble(agent, guild);
        }
        self.call_from_agent(agent, guild, id, request);
    }

    /// The disk of an agent is done with a batch.
    pub(super) fn commit(&mut self, agent: usize, life: u64) {
        if !self.lives(agent, life) {
            return;
        }
        let Some(site) = self.agents.get_mut(agent) else {
            return;
        };
        let Some((id, result)) = site.disk.commit() else {
            return;
        };
        match &result {
            Ok(changes) => {
                self.oracle.saw(self.now, &Seen::Kept { agent, changes });
                self.tell(|teller, at| teller.kept(at, agent, changes));
            }
            Err(_) => {
                self.cover("commit failed");
                self.troubles_until(Target::agent(agent), self.now);
            }
        }
        self.before(Moment::Committed, Some(agent), None);
        if self.lives(agent, life) {
            self.step_agent(agent, Some(Input::Stored(id, result.map(drop))));
        }
    }

    /// The login gate of the process hears something.
    pub(super) fn step_gate(&mut self, input: login_gate::Input) {
        let at = self.since_start();
        self.chronicle.step(at, "gate", Some(&input));
        let mut out = Vec::new();
        step(&mut self.gate, self.now, Some(input), &mut out);
        for output in out {
            self.chronicle.output(at, "gate", &output);
            let login_gate::Output::Admit(ticket) = output;
            self.log_in(&ticket);
        }
    }

    /// A login was let through.
    fn log_in(&mut self, ticket: &Ticket) {
        let asked = self
            .agents
            .iter_mut()
            .enumerate()
            .find_map(|(agent, site)| {
                let mut tickets = site.tickets.iter_mut();
                let (_, admitted) = tickets.find(|(it, _)| it == ticket)?;
                *admitted = true;
                Some((agent, site.logs_in()))
            });
        let Some((agent, at_once)) = asked else {
            return;
        };
        let id = ticket.login;
        self.schedule_agent(Duration::ZERO, agent, Input::Admitted(id));
        let under_way = self.agents.iter().map(AgentSite::logs_in).sum();
        let seen = Seen::LoggingIn {
            agent,
            at_once,
            under_way,
        };
        self.oracle.saw(self.now, &seen);
        let refuses = self.agents.get(agent).is_some_and(|it| it.refuses_logins);
        let fault = match refuses {
            true => Some(LoginFault::Unreachable),
            false => self.center.login_fault(agent),
        };
        if let Some(fault) = fault {
            self.cover("login failed");
            self.troubles_until(Target::agent(agent), self.now + fault.lasts());
        }
        let after = match fault {
            Some(LoginFault::Hang) => {
                self.tell(|teller, at| teller.logging_in(at, agent, None, None));
                return;
            }
            Some(LoginFault::Late(millis)) => CENTER + Duration::from_millis(millis),
            Some(LoginFault::Unreachable | LoginFault::Status(_)) | None => CENTER,
        };
        let failure = match fault {
            Some(LoginFault::Unreachable) => {
                Some(LoginFailure::Unavailable("connection refused".to_string()))
            }
            Some(LoginFault::Status(status)) => Some(LoginFailure::Refused {
                status,
                message: "Center errs".to_string(),
            }),
            Some(LoginFault::Hang | LoginFault::Late(_)) | None => None,
        };
        self.tell(|teller, at| {
            let why = failure.as_ref().map(|failure| format!("{failure:?}"));
            teller.logging_in(at, agent, Some(after), why);
        });
        let Some(life) = self.agents.get(agent).map(|site| site.life) else {
            return;
        };
        let event = Event::LoggedIn {
            agent,
            life,
            id,
            failure,
        };
        self.schedule(after, event);
    }

    /// Center has answered a login: the session is made now.
    pub(super) fn on_logged_in(
        &mut self,
        agent: usize,
        id: RequestId<Login>,
        failure: Option<LoginFailure>,
    ) {
        let Some(user) = self.agents.get(agent).map(|site| site.user.clone()) else {
            return;
        };
        let answer = match failure {
            Some(failure) => Err(failure),
            None => Ok(self.session(agent, &user)),
        };
        self.end_login(agent, id);
        self.step_agent(agent, Some(Input::LoggedIn(id, answer)));
    }

    fn session(&mut self, agent: usize, user: &UserId) -> Session {
        let mut lacks = Vec::new();
        let mut granted = BTreeSet::new();
        for guild in 0..self.guilds.len() {
            if take(&mut self.path(agent, guild).lacks)
                && let Some(site) = self.guilds.get(guild)
            {
                lacks.push(site.config.guild_id.clone());
                self.cover("guild lacking");
            } else {
                granted.insert(guild);
            }
        }
        for guild in 0..self.guilds.len() {
            let way = (agent, guild);
            let lasts = !granted.contains(&guild);
            self.oracle.last(self.now, way, Lasting::NoAccess, lasts);
        }
        if let Some(site) = self.agents.get_mut(agent) {
            site.granted = granted;
        }
        self.center.login(self.wall(), user, &lacks)
    }

    /// A login was answered, or is not waited for any more.
    fn end_login(&mut self, agent: usize, id: RequestId<Login>) {
        let Some(site) = self.agents.get_mut(agent) else {
            return;
        };
        let at = site.tickets.iter().position(|(it, _)| it.login == id);
        if let Some(at) = at {
            let (ticket, _) = site.tickets.remove(at);
            self.step_gate(login_gate::Input::Done(ticket));
        }
    }
}
