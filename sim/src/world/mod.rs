//! The world: the timeline, the machines, and the models between them.

mod acts;
mod agents;
mod expect;
mod guilds;
mod network;
mod people;
mod process;
mod settle;
mod site;
mod telling;
mod troubles;

use std::{collections::BTreeMap, time::Duration};

use selvedge_core::{
    Rng, Time, Wall,
    deadlines::Deadlines,
    guild::io as guild_io,
    http::{CallId, Failure, Request, Response},
    id::{GuildId, NodeId},
    plugin::{
        defect::Planted,
        io::{self as agent_io, Http, Login, LoginFailure},
        login_gate::LoginGate,
    },
    request::RequestId,
    ws,
};

use self::{
    people::People,
    process::plugin_config,
    settle::Settling,
    site::{AgentSite, GuildSite},
};
use crate::{
    center::{Center, Registered},
    chronicle::Chronicle,
    fault::RestFault,
    net::{End, Link, Net},
    oracle::{Breach, Oracle, Seen, Setup, because::About},
    path::Path,
    script::{Deed, Line, Moment, Script, Strike},
    story::Teller,
    timeline::Timeline,
};

/// Where virtual time begins: any moment will do, but not zero, which would hide mistakes.
const START: Time = Time::from_millis(1_767_225_600_000);
/// How long a guild's store takes to commit.
const COMMIT: Duration = Duration::from_millis(1);
/// How many lines of what happened a trace keeps.
const LINES_MAX: usize = 1_000_000;

/// What is to happen. Whatever is meant for one process of many names its life.
#[derive(Debug)]
enum Event {
    Agent {
        agent: usize,
        life: u64,
        input: agent_io::Input,
    },
    Guild {
        guild: usize,
        life: u64,
        input: guild_io::Input,
    },
    Answer {
        agent: usize,
        life: u64,
        id: RequestId<Http>,
        answer: Result<Response, Failure>,
        posts: bool,
    },
    Request {
        guild: usize,
        call: CallId,
        request: Request,
    },
    Arrival(Link),
    Dialed(Link),
    Frame {
        link: Link,
        to: End,
        event: ws::Event,
    },
    Reset(Link),
    Commit {
        agent: usize,
        life: u64,
    },
    GuildCommit {
        guild: usize,
        life: u64,
    },
    Load {
        guild: usize,
        life: u64,
        id: RequestId<guild_io::Load>,
        query: guild_io::Query,
    },
    LoggedIn {
        agent: usize,
        life: u64,
        id: RequestId<Login>,
        failure: Option<LoginFailure>,
    },
    /// A person does something by itself.
    Deed {
        who: String,
        guild: Option<usize>,
        deed: Deed,
    },
    /// A guild node that has stopped starts again.
    Restart(usize),
    /// The host of an agent has crashed.
    HostGone {
        agent: usize,
        life: u64,
        commits: bool,
        down: Duration,
    },
    /// The plugin of an agent that was killed starts again.
    Revive(usize),
    Script(usize),
    Wall,
    Settle,
}

/// A machine with deadlines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Who {
    Agent(usize),
    Guild(usize),
}

/// Who waits for the answer to a call of a guild.
#[derive(Debug)]
enum Caller {
    Agent {
        agent: usize,
        life: u64,
        id: RequestId<Http>,
        posts: bool,
        reads: bool,
        fault: Option<RestFault>,
    },
    Creator {
        name: String,
    },
    Person,
}

impl Caller {
    /// The agent, where it is one.
    const fn agent(&self) -> Option<usize> {
        match self {
            Self::Agent { agent, .. } => Some(*agent),
            Self::Creator { .. } | Self::Person => None,
        }
    }
}

/// Whom an act is about; `None` for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
struct Target {
    agent: Option<usize>,
    guild: Option<usize>,
}

/// Something that happens before something else does.
#[derive(Debug)]
struct Armed {
    moment: Moment,
    target: Target,
    strike: Strike,
}

/// A run of one script.
#[derive(Debug)]
pub struct World {
    script: Script,
    planted: Planted,
    now: Time,
    timeline: Timeline<Event>,
    due: Deadlines<Who>,
    agents: Vec<AgentSite>,
    guilds: Vec<GuildSite>,
    gate: LoginGate,
    paths: BTreeMap<(usize, usize), Path>,
    net: Net,
    center: Center,
    people: People,
    callers: BTreeMap<CallId, (usize, Caller)>,
    next_call: u64,
    armed: Vec<Armed>,
    /// How often what is worth counting has happened.
    coverage: BTreeMap<&'static str, u64>,
    oracle: Oracle,
    /// Since when there are no faults.
    quiet: Option<Time>,
    /// What is demanded after that, and how far that has come.
    settling: Settling,
    /// Whether anybody will ask what the agents have noted.
    counts_notes: bool,
    failures: Vec<String>,
    /// When the first of these was, and what it was about.
    failed: Option<(Time, About)>,
    chronicle: Chronicle,
    /// Takes down what happens, where somebody wants to look at it.
    teller: Option<Box<Teller>>,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// What did not hold, in order, each a sentence of what is the case and what that contradicts;
    /// empty where the run passed.
    pub failures: Vec<String>,
    /// The broken rule, where the oracle saw one.
    pub breach: Option<Breach>,
    /// A hash over every input and output of every machine.
    pub hash: u64,
    /// How many steps the machines took.
    pub steps: u64,
    /// How many inputs and outputs there were.
    pub events: u64,
    /// Virtual time that went by.
    pub virtual_time: Duration,
    /// How many messages the guilds stored.
    pub messages: usize,
    /// How often what is worth counting has happened, faults above all.
    pub coverage: BTreeMap<&'static str, u64>,
    /// The last things that happened, a line each.
    pub log: Vec<String>,
}

/// A name of the script that is not a valid id.
fn id<T>(id: Option<T>, what: &str) -> Result<T, String> {
    id.ok_or_else(|| format!("`{what}` is not an id"))
}

impl World {
    /// The world of a script; with a planted defect or as it is. It keeps the lines of what happened.
    ///
    /// # Errors
    ///
    /// Where the script names people or channels that cannot be.
    pub fn new(script: Script, planted: Planted) -> Result<Self, String> {
        Self::with_lines(script, planted, LINES_MAX)
    }

    /// The same, and keeps the last `lines_max` lines of what happened, which costs ten times what the
    /// run costs.
    ///
    /// # Errors
    ///
    /// As above.
    pub fn with_lines(script: Script, planted: Planted, lines_max: usize) -> Result<Self, String> {
        let head = &script.head;
        let rng = Rng::from_number(head.seed);
        let config = plugin_config(head)?;
        let guilds = head.guilds.iter().enumerate();
        let registered: Result<Vec<Registered>, String> = guilds
            .map(|(index, name)| {
                let node = format!("node-{}", index + 1);
                Ok(Registered {
                    guild: id(GuildId::new(name), name)?,
                    node: id(NodeId::new(&node), &node)?,
                    origin: format!("http://{name}.test"),
                })
            })
            .collect();
        let registered = registered?;
        let agents = AgentSite::all(head, &config, &rng, planted)?;
        let ms = Duration::from_millis;
        let setup = Setup {
            agents: agents.iter().map(|site| site.user.clone()).collect(),
            guilds: registered.iter().map(|known| known.guild.clone()).collect(),
            older: process::older_guilds(head).collect(),
            says_done: process::says_done(head),
            latency: ms(head.latency_ms.1),
            token_life: ms(head.token_life_ms),
            config,
        };
        let mut world = Self {
            planted,
            now: START,
            timeline: Timeline::default(),
            due: Deadlines::default(),
            guilds: GuildSite::all(head, &registered, &rng),
            agents,
            gate: LoginGate::new(LoginGate::IN_FLIGHT),
            paths: BTreeMap::new(),
            net: Net::new(
                rng.fork("net"),
                (ms(head.latency_ms.0), ms(head.latency_ms.1)),
            ),
            center: Center::new(registered, ms(head.token_life_ms)),
            people: People::default(),
            callers: BTreeMap::new(),
            next_call: 0,
            armed: Vec::new(),
            coverage: BTreeMap::new(),
            oracle: Oracle::new(setup),
            quiet: None,
            settling: Settling::default(),
            counts_notes: script.lines.iter().any(Line::expects),
            failures: Vec::new(),
            failed: None,
            chronicle: Chronicle::new(lines_max),
            teller: None,
            script,
        };
        world.begin();
        Ok(world)
    }

    fn begin(&mut self) {
        self.schedule(Duration::ZERO, Event::Wall);
        for index in 0..self.script.lines.len() {
            let line = self.script.lines.get(index);
            let at = line.map(Line::at).unwrap_or_default();
            self.schedule(at, Event::Script(index));
        }
        for agent in 0..self.agents.len() {
            self.begin_host(agent);
            self.due.set(Who::Agent(agent), Some(START));
            for guild in 0..self.guilds.len() {
                self.trouble_ended(agent, guild);
            }
        }
    }

    /// Runs until a second after the last line of the script, and beyond a `quiet` for as long as
    /// anybody owes anything; or until the oracle sees a rule broken.
    pub fn run(mut self) -> Report {
        self.go();
        self.report()
    }

    /// As [`run`](Self::run), but a [`report`](Self::report) can be asked for after a panic too.
    pub fn go(&mut self) {
        let last = self.script.lines.last().map(Line::at).unwrap_or_default();
        let end = START + last + Duration::from_secs(1);
        while let Some(at) = self.next_at() {
            let over = at > end && (self.quiet.is_none() || self.settling.is_over());
            if over || !self.oracle.breaches().is_empty() {
                break;
            }
            self.now = at;
            match self.timeline.pop_due(at) {
                Some(event) => self.happen(event),
                None => match self.due.pop_due(at) {
                    Some(Who::Agent(agent)) => self.step_agent(agent, None),
                    Some(Who::Guild(guild)) => self.step_guild(guild, None),
                    None => {}
                },
            }
        }
    }

    /// How it went so far.
    pub fn report(self) -> Report {
        let breach = self.oracle.breaches().first().cloned();
        let failures = self.all_failures();
        let stores = self.guilds.iter().map(|site| site.store.messages().count());
        Report {
            failures,
            breach,
            hash: self.chronicle.hash(),
            steps: self.chronicle.steps(),
            events: self.chronicle.events(),
            virtual_time: self.now.since(START),
            messages: stores.sum(),
            coverage: self.coverage,
            log: self.chronicle.into_lines(),
        }
    }

    fn all_failures(&self) -> Vec<String> {
        let breach = self.oracle.breaches().first();
        let breach = breach.map(|breach| {
            let at = breach.at.since(START).as_millis();
            self.oracle.because_of(breach, at)
        });
        self.failures.iter().cloned().chain(breach).collect()
    }

    /// A machine has panicked: that breaks a rule too.
    pub fn panicked(&mut self, why: String) {
        self.oracle.breach(Breach {
            rule: "no panic",
            at: self.now,
            why,
            about: About::default(),
        });
    }

    fn next_at(&self) -> Option<Time> {
        let moments = [self.timeline.next_at(), self.due.earliest()];
        let at = moments.into_iter().flatten().min();
        at.map(|at| at.max(self.now))
    }

    fn schedule(&mut self, after: Duration, event: Event) {
        self.schedule_at(self.now + after, event);
    }

    fn schedule_at(&mut self, at: Time, event: Event) {
        self.timeline.put(at, event);
    }

    /// Center's clock.
    fn wall(&self) -> Wall {
        Wall::from_millis(i64::try_from(self.now.as_micros() / 1_000).unwrap_or(i64::MAX))
    }

    fn since_start(&self) -> Duration {
        self.now.since(START)
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Agent { agent, life, input } => {
                if self.lives(agent, life) {
                    self.step_agent(agent, Some(input));
                }
            }
            Event::Guild { guild, life, input } => {
                if self.guild_lives(guild, life) {
                    self.step_guild(guild, Some(input));
                }
            }
            Event::Answer {
                agent,
                life,
                id,
                answer,
                posts,
            } => {
                if posts && answer.is_ok() {
                    self.before(Moment::Posted, Some(agent), None);
                }
                if self.lives(agent, life) {
                    let seen = Seen::Answered {
                        agent,
                        id,
                        answer: &answer,
                    };
                    self.oracle.saw(self.now, &seen);
                    self.step_agent(agent, Some(agent_io::Input::Http(id, answer)));
                }
            }
            Event::Request {
                guild,
                call,
                request,
            } => self.arrive(guild, call, request),
            Event::Arrival(link) => self.accept(link),
            Event::Dialed(link) => {
                if self.net.of_agent(link.agent, link.conn).is_some() {
                    let dialed = agent_io::Input::Dialed(link.conn, Ok(()));
                    self.step_agent(link.agent, Some(dialed));
                }
            }
            Event::Frame { link, to, event } => self.deliver(link, to, event),
            Event::Reset(link) => {
                if self.quiet.is_none() {
                    self.reset(link);
                }
            }
            Event::Commit { agent, life } => self.commit(agent, life),
            Event::GuildCommit { guild, life } => self.guild_commit(guild, life),
            Event::Load {
                guild,
                life,
                id,
                query,
            } => {
                if self.guild_lives(guild, life)
                    && let Some(site) = self.guilds.get(guild)
                {
                    let loaded = site.store.load(&query);
                    self.step_guild(guild, Some(guild_io::Input::Loaded(id, Ok(loaded))));
                }
            }
            Event::LoggedIn {
                agent,
                life,
                id,
                failure,
            } => {
                if self.lives(agent, life) {
                    self.on_logged_in(agent, id, failure);
                }
            }
            Event::Deed { who, guild, deed } => self.do_deed(&who, guild, &deed),
            Event::Restart(guild) => self.start_guild(guild),
            Event::HostGone {
                agent,
                life,
                commits,
                down,
            } => {
                if self.quiet.is_none() && self.lives(agent, life) {
                    self.lose_host(agent, commits, down);
                }
            }
            Event::Revive(agent) => self.start(Target::agent(agent)),
            Event::Script(index) => self.play(index),
            Event::Wall => {
                self.schedule(Duration::from_secs(60), Event::Wall);
                for guild in 0..self.guilds.len() {
                    self.tell_time(guild);
                }
            }
            Event::Settle => self.settle(),
        }
    }

    fn path(&mut self, agent: usize, guild: usize) -> &mut Path {
        self.paths.entry((agent, guild)).or_default()
    }

    /// Something is about to happen: whatever was to happen before it does.
    fn before(&mut self, moment: Moment, agent: Option<usize>, guild: Option<usize>) {
        if self.armed.is_empty() {
            return;
        }
        let fits =
            |wanted: Option<usize>, is: Option<usize>| wanted.is_none_or(|it| Some(it) == is);
        let at = self.armed.iter().position(|armed| {
            armed.moment == moment
                && (agent.is_none() || fits(armed.target.agent, agent))
                && (guild.is_none() || fits(armed.target.guild, guild))
        });
        if let Some(at) = at {
            let armed = self.armed.remove(at);
            let target = Target {
                agent: agent.or(armed.target.agent),
                guild: guild.or(armed.target.guild),
            };
            self.strike(target, armed.strike);
        }
    }

    /// Something has happened that is worth counting.
    fn cover(&mut self, what: &'static str) {
        *self.coverage.entry(what).or_default() += 1;
    }

    fn agent_named(&self, name: &str) -> Option<usize> {
        self.script
            .head
            .agents
            .iter()
            .position(|known| known == name)
    }

    fn guild_named(&self, name: &str) -> Option<usize> {
        self.script
            .head
            .guilds
            .iter()
            .position(|known| known == name)
    }

    fn fail(&mut self, why: String) {
        let at = self.since_start().as_millis();
        let script = format!("the script at {at} ms: {why}");
        self.failures
            .push(self.oracle.because(&About::default(), &script));
    }
}
