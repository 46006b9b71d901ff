//! The agent: the outermost machine of the plugin, one account with a link for each of its guilds.

mod calls;
mod commands;
mod jobs;
mod posting;
mod refetching;
mod status;
mod storing;
mod turns;

use alloc::{
    collections::{BTreeMap, BTreeSet},
    format,
    string::{String, ToString},
    vec::Vec,
};

use crate::{
    canonical,
    fabric::{center::Session, session::Command},
    http::{Failure, Response},
    id::GuildId,
    link::{self, backoff::Backoff},
    machine::{Machine, Wakeup, earliest},
    plugin::{
        account::{Account, LoginEnd},
        activity::Activity,
        claim::Claim,
        commands::Commands,
        config::{Config, Profile},
        dedup::Dedup,
        defect::{Defect, Planted},
        guild_link::GuildLink,
        io::{self, HostEvent, Input, Login, LoginFailure, Output, Question},
        jobs::Jobs,
        journal::Journal,
        kept::{Change, Kept},
        note::Note,
        opening::Opening,
        outbox::Outbox,
        receipts::Receipts,
        records::Records,
        refetch::Refetch,
        shared::{Errand, Purpose, Shared},
        tools::ToolError,
        turns::{Due, Turns},
        wakes::{Heard, Wakes},
    },
    request::{RequestId, Requests},
    rng::Rng,
    time::Time,
    ws,
};

/// More passes than any step needs: a machine that wants another one is broken, and [`step`] says so
/// instead of going on for ever.
///
/// [`step`]: crate::machine::step
const PASSES_MAX: usize = 10_000;

/// One agent: one account of Fabric, one agent of the host.
///
/// Start it with a step; it logs in and connects to every guild of the session (or of
/// [`Config::guilds`]) until [`Input::Shutdown`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    shared: Shared,
    rng: Rng,
    guilds: BTreeMap<u32, GuildLink>,
    numbers: BTreeMap<GuildId, u32>,
    /// What an earlier process knew of guilds that have no link yet.
    kept: Kept,
    /// Waits between logins while there is no guild to connect to.
    start: Backoff,
    start_at: Option<Time>,
    /// What is wrong with the guilds, as said once.
    said: BTreeSet<GuildId>,
    too_many_said: bool,
    /// Why the last login failed, until one succeeds.
    no_login: Option<String>,
    claim: Claim,
    phase: Phase,
}
canonical!(struct Agent {
    shared, guilds, numbers, kept, start, start_at, said, too_many_said, claim, phase; - rng, no_login
});

#[derive(Clone, Debug, PartialEq, Eq)]
enum Phase {
    Running,
    /// Not without a change of the configuration; why.
    Stopped(String),
    Shut,
}
canonical!(
    enum Phase {
        Running,
        Stopped(why),
        Shut,
    }
);

impl Agent {
    /// An agent that logs in at its first step, and goes on with what its store has kept. No two
    /// processes of it may draw the same numbers.
    pub fn new(config: Config, kept: Kept, rng: Rng) -> Self {
        Self::with_defect(config, kept, rng, Planted::default())
    }

    /// The same, with a fix switched off.
    pub fn with_defect(config: Config, mut kept: Kept, rng: Rng, planted: Planted) -> Self {
        let mut names = rng.fork("names");
        let mut name = || format!("{:012x}", names.next_u64() >> 16);
        let process = name();
        let mut journal = Journal::new(rng.fork("journal"));
        if kept.agent.name.is_none() {
            kept.agent.name = Some(name());
            // No turn can be kept without it.
            journal.put_along(Change::Agent(kept.agent.clone()));
        }
        let own = format!("t_{}_", kept.agent.name.as_deref().unwrap_or_default());
        let nonces = format!("{own}{process}");
        let user = kept.agent.user.clone();
        let mut account = Account::new(config.session_ttl, config.login_patience, user, planted);
        account.want();
        Self {
            shared: Shared {
                account,
                http: Requests::default(),
                dedup: Dedup::new(config.dedup_max),
                turns: Turns::new(nonces.clone(), planted),
                outbox: Outbox::new(rng.fork("outbox")),
                jobs: Jobs::new(rng.fork("jobs")),
                wakes: Wakes::new(rng.fork("wakes")),
                activity: Activity::default(),
                opening: Opening::default(),
                receipts: Receipts::default(),
                commands: Commands::new(rng.fork("commands")),
                journal,
                records: Records::default(),
                begun: BTreeMap::new(),
                refetch: Refetch::new(rng.fork("refetch")),
                sessions: BTreeMap::new(),
                own,
                nonces,
                kept: kept.agent.clone(),
                planted,
                config,
            },
            guilds: BTreeMap::new(),
            numbers: BTreeMap::new(),
            kept,
            start: Backoff::new(rng.fork("start")),
            start_at: None,
            said: BTreeSet::new(),
            too_many_said: false,
            no_login: None,
            claim: Claim::default(),
            phase: Phase::Running,
            rng,
        }
    }

    /// How each guild's link does: whether it is live, and how many channels it has.
    pub fn guilds(&self) -> impl Iterator<Item = (&GuildId, bool, usize)> {
        self.guilds
            .values()
            .map(|guild| (&guild.id, guild.is_live(), guild.membership.len()))
    }

    /// Tells every guild how the agent is.
    fn say_presence(&mut self, now: Time, out: &mut Vec<Output>) {
        for guild in self.guilds.values_mut() {
            guild.say_presence(now, &mut self.shared, out);
        }
    }

    fn with_guild(&mut self, number: u32, act: impl FnOnce(&mut GuildLink, &mut Shared)) {
        if let Some(guild) = self.guilds.get_mut(&number) {
            act(guild, &mut self.shared);
        }
    }

    fn on_login(
        &mut self,
        now: Time,
        id: RequestId<Login>,
        answer: Result<Session, LoginFailure>,
        out: &mut Vec<Output>,
    ) {
        let end = self.shared.account.on_login(now, id, answer);
        self.on_login_end(now, end, out);
    }

    fn on_login_end(&mut self, now: Time, end: LoginEnd, out: &mut Vec<Output>) {
        match end {
            LoginEnd::Unknown => {}
            LoginEnd::Session => self.on_session(now, out),
            LoginEnd::OtherAccount { before, after } => {
                let note = Note::AccountChanged { before, after };
                let why = note.to_string();
                out.push(Output::Note(note));
                self.end(now, &why, out);
                self.phase = Phase::Stopped(why);
            }
            LoginEnd::Failed { why, denied, news } => {
                self.no_login = Some(why.clone());
                if news {
                    out.push(Output::Note(Note::LoginFailed { why: why.clone() }));
                }
                for guild in self.guilds.values_mut() {
                    guild.on_login_failed(now, &why, denied, &mut self.shared, out);
                }
                while let Some(posted) = self.shared.outbox.on_login_failed(now, &why, denied) {
                    self.on_posted(now, posted, 0, out);
                }
                while let Some(progress) = self.shared.jobs.on_login_failed(now, &why, denied) {
                    self.on_job(now, progress, 0, out);
                }
                if self.guilds.is_empty() {
                    let wait = if denied {
                        self.start.longest(&self.shared.config.backoff)
                    } else {
                        self.start.after_failure(&self.shared.config.backoff)
                    };
                    self.start_at = Some(now + wait);
                }
            }
        }
    }

    fn on_session(&mut self, now: Time, out: &mut Vec<Output>) {
        self.no_login = None;
        let Some(session) = self.shared.account.peek() else {
            return;
        };
        if let Some((id, user)) = self.claim.ask(now, &session.user.id) {
            out.push(Output::Claim(id, user));
        }
        if self.claim.is_held() {
            self.meet_guilds(now, out);
        }
    }

    /// The account is this process's, or another one's.
    fn on_claimed(
        &mut self,
        now: Time,
        id: RequestId<io::Claim>,
        answer: Result<(), String>,
        out: &mut Vec<Output>,
    ) {
        let by = answer.as_ref().err().cloned();
        if !self.claim.on_answer(id, answer) {
            return;
        }
        match by {
            None => self.meet_guilds(now, out),
            Some(by) => out.push(Output::Note(Note::Claimed { by })),
        }
    }

    /// Connects to the guilds of a session, and lets go what waited for it.
    fn meet_guilds(&mut self, now: Time, out: &mut Vec<Output>) {
        let Some(session) = self.shared.account.peek() else {
            return;
        };
        let user = Some(session.user.id.clone());
        let granted: BTreeSet<GuildId> = session
            .grants
            .iter()
            .map(|grant| grant.guild_id.clone())
            .collect();
        out.push(Output::Note(Note::LoggedIn {
            guilds: granted.len(),
        }));
        if self.shared.kept.user != user {
            self.shared.kept.user = user;
            self.shared.keep_agent(now);
        }
        let wanted = self.shared.config.guilds.clone();
        for guild in wanted.iter().flatten() {
            if !granted.contains(guild) && self.said.insert(guild.clone()) {
                out.push(Output::Note(Note::NoAccess {
                    guild: guild.clone(),
                }));
            }
        }
        for guild in granted {
            let is_wanted = wanted.as_ref().is_none_or(|wanted| wanted.contains(&guild));
            if is_wanted && !self.numbers.contains_key(&guild) {
                self.add_guild(now, guild, out);
            }
        }
        for guild in self.guilds.values_mut() {
            guild.on_token(now, &mut self.shared, out);
        }
        self.shared.outbox.on_token(now);
        self.shared.jobs.on_token(now);
        self.shared.wakes.on_token(now);
        self.shared.refetch.on_token(now);
        self.shared.commands.on_token(now);
        if self.guilds.is_empty() {
            self.start_at = Some(now + self.start.longest(&self.shared.config.backoff));
        }
    }

    fn add_guild(&mut self, now: Time, id: GuildId, out: &mut Vec<Output>) {
        let most = self.shared.config.guilds_max;
        if self.guilds.len() >= most {
            if !core::mem::replace(&mut self.too_many_said, true) {
                let what = format!("the account is in more than {most} guilds");
                out.push(Output::Note(Note::TooMany { what }));
            }
            return;
        }
        let number = u32::try_from(self.guilds.len()).unwrap_or(u32::MAX);
        let kept = self.take_kept(now, number, &id);
        let rng = self.rng.fork("link");
        let guild = GuildLink::new(number, id.clone(), kept, &self.shared, &rng);
        self.numbers.insert(id, number);
        self.guilds.insert(number, guild);
    }

    fn on_http(
        &mut self,
        now: Time,
        purpose: Purpose,
        mut answer: Result<Response, Failure>,
        out: &mut Vec<Output>,
    ) {
        let Purpose { errand, sent } = purpose;
        let token = sent.token;
        self.shared.mistake(&mut answer);
        match errand {
            Errand::Listing { guild } => self.with_guild(guild, |guild, shared| {
                guild.on_listing(now, sent, answer, shared, out);
            }),
            Errand::Fields { guild, channel } => self.with_guild(guild, |guild, shared| {
                guild.on_fields_answer(now, &channel, sent, answer, shared, out);
            }),
            Errand::History {
                guild,
                channel,
                read,
            } => self.with_guild(guild, |guild, shared| {
                guild.on_history_answer(now, &channel, read, sent, answer, shared, out);
            }),
            Errand::Speaker {
                guild,
                channel,
                read,
                page,
            } => self.with_guild(guild, |guild, shared| {
                guild.on_speaker_answer(now, &channel, read, page, sent, answer, shared, out);
            }),
            Errand::Post(id) => {
                let posted = self.shared.outbox.on_answer(now, id, answer);
                self.on_posted(now, posted, token, out);
            }
            Errand::Look(id) => {
                let Some(me) = self.shared.account.user().cloned() else {
                    return;
                };
                let posted = self.shared.outbox.on_looked(now, id, &me, answer);
                self.on_posted(now, posted, token, out);
            }
            Errand::Job(id) => {
                let progress = self.shared.jobs.on_answer(now, id, answer);
                self.on_job(now, progress, token, out);
            }
            Errand::Commands { guild } => {
                self.on_commands_answer(now, guild, token, answer, out);
            }
            Errand::Bare(place) => self.on_bare_answer(now, &place, token, answer, out),
            Errand::Word(debt, message) => {
                let place = debt.0.clone();
                match self.shared.wakes.on_answer(now, debt, &message, answer) {
                    Heard::Again => {}
                    Heard::Passed => self.on_passed(now, &place, &message),
                    Heard::Unauthorized => self.shared.account.invalidate(token),
                    Heard::Acked(message, given) => self.on_permit(now, &place, &message, given),
                }
            }
        }
    }

    fn on_host(&mut self, now: Time, event: HostEvent, out: &mut Vec<Output>) {
        let config = &self.shared.config;
        match event {
            HostEvent::Ready { turns } => {
                // With this profile a host cannot say so, but it is told to.
                let says_done = turns || config.profile == Profile::Claude;
                let settle = self.shared.settle();
                self.shared.opening.on_ready(now, says_done, settle);
            }
            HostEvent::ToolsListed => {
                let settle = self.shared.settle();
                self.shared.opening.on_listed(now, settle);
            }
            HostEvent::Commands(params) => {
                if let Err(why) = self.shared.commands.on_commands(now, &params) {
                    out.push(Output::Note(Note::BadCommands { why }));
                }
            }
            HostEvent::Written(turn) => {
                if let Some(place) = self.shared.turns.place_of(&turn) {
                    let patience = config.receipt_patience;
                    self.shared.receipts.on_written(now, place, &turn, patience);
                }
                let ended = self.shared.turns.on_written(now, config, &turn);
                self.on_turn_end(now, ended, out);
            }
            HostEvent::Call { call, tool } => match self.on_call(now, call, tool, out) {
                Ok(Some(answer)) => out.push(Output::Answer {
                    call,
                    result: Ok(answer),
                }),
                Ok(None) => {}
                Err(why) => out.push(Output::Answer {
                    call,
                    result: Err(ToolError(why)),
                }),
            },
            // The message may be on its way already: whether it was posted must not depend on who
            // still waits for the answer.
            HostEvent::Cancelled(_) => {}
        }
    }

    /// Does once what is due.
    fn pass(&mut self, now: Time, out: &mut Vec<Output>) {
        while let Some((id, purpose)) = self.shared.http.expire(now) {
            out.push(Output::Forget(Question::Http(id)));
            let late = Failure::Broken("it did not answer in time".into());
            self.on_http(now, purpose, Err(late), out);
        }
        while let Some((id, end)) = self.shared.account.expire(now) {
            out.push(Output::Forget(Question::Login(id)));
            self.on_login_end(now, end, out);
        }
        for guild in self.guilds.values_mut() {
            guild.tick(now, &mut self.shared, out);
        }
        if let Some(says_done) = self.shared.opening.opens(now) {
            let Shared { turns, config, .. } = &mut self.shared;
            turns.on_host(now, config, says_done);
        }
        while let Some(due) = self.shared.turns.next_due(now, &self.shared.config) {
            match due {
                Due::Ask(place, message, asking) => self.ask_permit(now, place, message, asking),
                Due::Start(place, batch) => self.start_turn(now, &place, batch, out),
                Due::TimedOut(place, ended) => {
                    let (turn, channel) = (ended.turn.clone(), place.1.clone());
                    self.on_turn_end(now, Some((place, ended)), out);
                    out.push(Output::Note(Note::TurnTimedOut { turn, channel }));
                }
            }
        }
        self.offer_again(now, out);
        for guild in self.guilds.values_mut() {
            guild.release_caught_up(now, &mut self.shared);
        }
        while let Some((place, busy)) = self.shared.activity.next_due(now) {
            self.with_guild(place.0, |guild, shared| {
                guild.say(now, Command::Typing(place.1), shared, out);
            });
            if busy {
                self.say_presence(now, out);
            }
        }
        self.send_posts(now, out);
        self.ask_for_jobs(now, out);
        self.say_words(now, out);
        self.read_bare(now, out);
        self.ask_about_commands(now, out);
        if self.start_at.take_if(|at| *at <= now).is_some() {
            self.shared.account.want();
        }
        if let Some(id) = self.shared.account.login_due(now) {
            out.push(Output::Login(id));
        }
        // Another process may be writing the same rows.
        if self.claim.is_held()
            && let Some((id, batch)) = self.shared.journal.next_due(now)
        {
            out.push(Output::Store(id, batch));
        }
    }

    /// Ends every connection and closes every question.
    fn end(&mut self, now: Time, why: &str, out: &mut Vec<Output>) {
        if self.shared.planted.is(Defect::EndsTurnsWithTheHost) {
            let running = self.shared.turns.pending().filter_map(|(.., turn)| turn);
            for turn in running.cloned().collect::<Vec<_>>() {
                self.end_turn(now, &turn, out);
            }
        }
        for guild in self.guilds.values_mut() {
            guild.step_link(now, Some(link::Input::Shutdown), &mut self.shared, out);
        }
        while let Some((id, _)) = self.shared.http.withdraw(|_| true) {
            out.push(Output::Forget(Question::Http(id)));
        }
        if let Some(id) = self.shared.account.withdraw() {
            out.push(Output::Forget(Question::Login(id)));
        }
        if let Some(id) = self.claim.withdraw() {
            out.push(Output::Forget(Question::Claim(id)));
        }
        if self.claim.is_held()
            && let Some((id, batch)) = self.shared.journal.close(now)
        {
            out.push(Output::Store(id, batch));
        }
        while let Some(id) = self.shared.journal.withdraw() {
            out.push(Output::Forget(Question::Store(id)));
        }
        while let Some((post, why)) = self.shared.outbox.pop(why) {
            out.push(Output::Answer {
                call: post.call,
                result: Err(ToolError(why)),
            });
        }
        while let Some((call, why)) = self.shared.jobs.pop(why) {
            out.push(Output::Answer {
                call,
                result: Err(ToolError(why)),
            });
        }
    }
}

impl Machine for Agent {
    type Input = Input;
    type Output = Output;

    fn handle(&mut self, now: Time, input: Input, out: &mut Vec<Output>) {
        match (&self.phase, input) {
            (Phase::Shut, _) => {}
            (Phase::Running | Phase::Stopped(_), Input::Shutdown) => {
                self.end(now, "the plugin is shutting down", out);
                self.phase = Phase::Shut;
            }
            (Phase::Stopped(why), Input::Host(HostEvent::Call { call, .. })) => {
                out.push(Output::Answer {
                    call,
                    result: Err(ToolError(why.clone())),
                });
            }
            (Phase::Stopped(_), _) => {}
            (Phase::Running, Input::Admitted(id)) => self.shared.account.on_admitted(now, id),
            (Phase::Running, Input::LoggedIn(id, answer)) => self.on_login(now, id, answer, out),
            (Phase::Running, Input::Dialed(conn, result)) => {
                self.with_guild(GuildLink::of_conn(conn), |guild, shared| {
                    let dialed = link::Input::Dialed(conn, result);
                    guild.step_link(now, Some(dialed), shared, out);
                });
            }
            (Phase::Running, Input::Transport(conn, event)) => {
                self.with_guild(GuildLink::of_conn(conn), |guild, shared| {
                    let too_large = event == ws::Event::Closed(ws::Closed::TooLarge);
                    let happened = link::Input::Transport(conn, event);
                    guild.step_link(now, Some(happened), shared, out);
                    if too_large && shared.planted.is(Defect::GivesUpTheGuild) {
                        guild.step_link(now, Some(link::Input::Rest), shared, out);
                    }
                });
            }
            (Phase::Running, Input::Http(id, answer)) => {
                if let Some(purpose) = self.shared.http.answer(id) {
                    self.on_http(now, purpose, answer, out);
                }
            }
            (Phase::Running, Input::Stored(id, result)) => self.on_stored(now, id, result, out),
            (Phase::Running, Input::Claimed(id, answer)) => self.on_claimed(now, id, answer, out),
            (Phase::Running, Input::Host(event)) => self.on_host(now, event, out),
        }
    }

    fn tick(&mut self, now: Time, out: &mut Vec<Output>) {
        for _ in 0..PASSES_MAX {
            if self.next_wakeup().is_none_or(|wakeup| wakeup.at > now) {
                return;
            }
            self.pass(now, out);
        }
    }

    fn next_wakeup(&self) -> Option<Wakeup> {
        match self.phase {
            Phase::Stopped(_) | Phase::Shut => return None,
            Phase::Running => {}
        }
        let guild = self
            .guilds
            .values()
            .filter_map(|guild| guild.next_wakeup(&self.shared))
            .min_by_key(|wakeup| wakeup.at);
        earliest([
            self.shared.account.next_wakeup(),
            self.shared.http.next_wakeup("request timeout"),
            guild,
            self.shared.turns.next_wakeup(),
            self.shared.outbox.next_wakeup(),
            self.shared.jobs.next_wakeup(),
            self.shared.wakes.next_wakeup(),
            self.shared.refetch.next_wakeup(),
            self.shared.activity.next_wakeup(),
            self.shared.opening.next_wakeup(),
            self.shared.receipts.next_wakeup(),
            self.shared.commands.next_wakeup(),
            self.shared
                .journal
                .next_wakeup()
                .filter(|_| self.claim.is_held()),
            self.start_at.map(|at| Wakeup {
                at,
                why: "login due",
            }),
        ])
    }
}
