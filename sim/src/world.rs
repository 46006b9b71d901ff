//! The world: a heap of timed events, the machines, and the models between them.

mod expect;
mod process;

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use selvedge_core::{
    Machine as _, Rng, Secret, Time, Wall,
    engineio::sessions::{Arrival, Effect},
    fabric::{
        routes::{self, PostBody},
        types::Channel,
    },
    guild::{
        Config as GuildConfig, Guild,
        io::{self as guild_io, Unavailable},
    },
    http::{CallId, Method, Request, Response},
    id::{ChannelId, GuildId, NodeId, UserId},
    plugin::{
        agent::Agent,
        config::Profile,
        defect::Planted,
        io::{self as agent_io, Http},
    },
    request::RequestId,
    step,
    ws::{self, Closed},
};

use serde_json::Value;

use self::process::agent_config;
use crate::{
    center::Center,
    disk::Disk,
    host::{self, Host},
    net::{End, Link, Net},
    script::{Act, Line, Script},
    store::Store,
};

/// Where virtual time begins: any moment will do, but not zero, which would hide mistakes.
const START: Time = Time::from_millis(1_767_225_600_000);
/// How long Center takes to answer.
const CENTER: Duration = Duration::from_millis(20);
/// How long the store takes to commit.
const COMMIT: Duration = Duration::from_millis(1);
/// How long a turn of the host takes.
const TURN: Duration = Duration::from_millis(200);
/// How long people's tokens live: longer than any trace.
const PEOPLE: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// The agent's account.
const AGENT: &str = "echo";
/// Where the guild is.
const ORIGIN: &str = "http://guild.test";

/// What is to happen.
#[derive(Debug)]
enum Event {
    Agent(agent_io::Input),
    Guild(guild_io::Input),
    Frame {
        link: Link,
        to: End,
        event: ws::Event,
    },
    Dialed {
        link: Link,
    },
    Reset(Link),
    Commit,
    Script(usize),
    Wall,
}

/// Who waits for the answer to a call of the guild.
#[derive(Debug)]
enum Caller {
    Agent(RequestId<Http>),
    /// The plugin, which was killed since.
    Nobody,
    Creator {
        name: String,
    },
    Poster,
}

/// A run of one trace.
#[derive(Debug)]
pub struct World {
    script: Script,
    now: Time,
    heap: BTreeMap<(Time, u64), Event>,
    sequence: u64,
    agent: Agent,
    planted: Planted,
    /// The agent's processes so far, and whether the last of them lives.
    lives: u64,
    alive: bool,
    /// When it began.
    began: Time,
    disk: Disk,
    guild: Guild,
    net: Net,
    center: Center,
    store: Store,
    host: Host,
    /// How much longer the guild takes to answer the agent's requests.
    rest_delay: Duration,
    deaf: bool,
    callers: BTreeMap<CallId, Caller>,
    next_call: u64,
    channels: BTreeMap<String, ChannelId>,
    /// What the agent has noted, by kind.
    notes: BTreeMap<String, usize>,
    people: BTreeMap<String, Secret>,
    failures: Vec<String>,
    log: Vec<String>,
    hash: u64,
    steps: u64,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// What did not hold, in order; empty where the trace passed.
    pub failures: Vec<String>,
    /// A hash over every input and output of every machine.
    pub hash: u64,
    /// How many steps the machines took.
    pub steps: u64,
    /// Virtual time that went by.
    pub virtual_time: Duration,
    /// The last things that happened, a line each.
    pub log: Vec<String>,
}

/// A name of the model that is not a valid id, which is a mistake in this file.
fn id<T>(id: Option<T>, what: &str) -> Result<T, String> {
    id.ok_or_else(|| format!("`{what}` is not an id"))
}

impl World {
    /// The world of a trace; with a planted defect or as it is.
    ///
    /// # Errors
    ///
    /// Where the trace names people or channels that cannot be.
    pub fn new(script: Script, planted: Planted) -> Result<Self, String> {
        let head = &script.head;
        let rng = Rng::from_number(head.seed);
        let guild_id = id(GuildId::new("guild-1"), "guild-1")?;
        let node_id = id(NodeId::new("node-1"), "node-1")?;
        let agent = agent_config(head)?;
        let disk = Disk::default();
        let guild = GuildConfig {
            deaf_on_expired_token: head.deaf_on_expired_token,
            ..GuildConfig::new(node_id.clone(), guild_id.clone())
        };
        let ms = Duration::from_millis;
        let mut world = Self {
            agent: Agent::with_defect(agent, disk.kept(), rng.fork("agent"), planted),
            planted,
            lives: 1,
            alive: true,
            began: START,
            disk,
            guild: Guild::new(guild, rng.fork("guild"), Vec::new()),
            net: Net::new(
                rng.fork("net"),
                (ms(head.latency_ms.0), ms(head.latency_ms.1)),
            ),
            center: Center::new(guild_id, node_id, ms(head.token_life_ms)),
            deaf: head.deaf_on_expired_token,
            script,
            now: START,
            heap: BTreeMap::new(),
            sequence: 0,
            store: Store::default(),
            host: Host::new(TURN),
            rest_delay: Duration::ZERO,
            callers: BTreeMap::new(),
            next_call: 0,
            channels: BTreeMap::new(),
            notes: BTreeMap::new(),
            people: BTreeMap::new(),
            failures: Vec::new(),
            log: Vec::new(),
            hash: 0xcbf2_9ce4_8422_2325,
            steps: 0,
        };
        world.schedule(Duration::ZERO, Event::Wall);
        for index in 0..world.script.lines.len() {
            let at = world
                .script
                .lines
                .get(index)
                .map(Line::at)
                .unwrap_or_default();
            world.schedule(at, Event::Script(index));
        }
        world.begin_host();
        Ok(world)
    }

    /// Runs until a second after the last line of the trace.
    pub fn run(mut self) -> Report {
        let last = self.script.lines.last().map(Line::at).unwrap_or_default();
        let end = START + last + Duration::from_secs(1);
        while let Some(at) = self.next_at().filter(|at| *at <= end) {
            self.now = at;
            match self.heap.first_entry().filter(|entry| entry.key().0 <= at) {
                Some(entry) => {
                    let event = entry.remove();
                    self.happen(event);
                }
                None => {
                    self.step_agent(None);
                    self.step_guild(None);
                }
            }
        }
        Report {
            failures: self.failures,
            hash: self.hash,
            steps: self.steps,
            virtual_time: self.now.since(START),
            log: self.log,
        }
    }

    fn next_at(&self) -> Option<Time> {
        let event = self.heap.first_key_value().map(|((at, _), _)| *at);
        let agent = self.agent.next_wakeup().filter(|_| self.alive);
        let machines = [agent, self.guild.next_wakeup()];
        let due = machines.into_iter().flatten().map(|wakeup| wakeup.at).min();
        [event, due]
            .into_iter()
            .flatten()
            .min()
            .map(|at| at.max(self.now))
    }

    fn schedule(&mut self, after: Duration, event: Event) {
        self.schedule_at(self.now + after, event);
    }

    fn schedule_at(&mut self, at: Time, event: Event) {
        self.heap.insert((at, self.sequence), event);
        self.sequence += 1;
    }

    fn wall(&self) -> Wall {
        Wall::from_millis(i64::try_from(self.now.as_micros() / 1_000).unwrap_or(i64::MAX))
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Agent(input) => self.step_agent(Some(input)),
            Event::Guild(input) => self.step_guild(Some(input)),
            Event::Frame { link, to, event } => self.deliver(link, to, event),
            Event::Dialed { link } => {
                if self.net.find(End::Agent, link.agent).is_some() {
                    self.step_agent(Some(agent_io::Input::Dialed(link.agent, Ok(()))));
                }
            }
            Event::Reset(link) => self.reset(link),
            Event::Commit => {
                if let Some(id) = self.disk.commit() {
                    self.step_agent(Some(agent_io::Input::Stored(id, Ok(()))));
                }
            }
            Event::Script(index) => self.play(index),
            Event::Wall => {
                let wall = self.wall();
                self.schedule(Duration::from_secs(60), Event::Wall);
                self.step_guild(Some(guild_io::Input::Clock(wall)));
            }
        }
    }

    fn deliver(&mut self, link: Link, to: End, event: ws::Event) {
        let ended = matches!(event, ws::Event::Closed(_));
        if self.net.find(End::Guild, link.guild).is_none() {
            return;
        }
        if ended {
            self.net.close(link);
        }
        match to {
            End::Agent => self.step_agent(Some(agent_io::Input::Transport(link.agent, event))),
            End::Guild => self.step_guild(Some(at_guild(link, event))),
        }
    }

    fn step_agent(&mut self, input: Option<agent_io::Input>) {
        if !self.alive {
            return;
        }
        self.note("agent <-", &input);
        let mut out = Vec::new();
        step(&mut self.agent, self.now, input, &mut out);
        for output in out {
            self.note("agent ->", &output);
            self.carry_out_agent(output);
        }
    }

    fn step_guild(&mut self, input: Option<guild_io::Input>) {
        self.note("guild <-", &input);
        let mut out = Vec::new();
        step(&mut self.guild, self.now, input, &mut out);
        for output in out {
            self.note("guild ->", &output);
            self.carry_out_guild(output);
        }
    }

    fn carry_out_agent(&mut self, output: agent_io::Output) {
        use agent_io::{Input, Output};
        match output {
            Output::Login(id) => {
                self.schedule(Duration::ZERO, Event::Agent(Input::Admitted(id)));
                if let Some(user) = UserId::new(AGENT) {
                    let session = self.center.login(self.wall(), &user, ORIGIN);
                    self.schedule(CENTER, Event::Agent(Input::LoggedIn(id, Ok(session))));
                }
            }
            Output::Dial { conn, .. } => self.dial(conn),
            Output::Transport(conn, action) => self.act(End::Agent, conn, action),
            Output::HangUp(conn) => {
                if let Some(link) = self.net.find(End::Agent, conn) {
                    self.break_off(link, End::Guild, "the agent hung up");
                }
            }
            Output::Http { id, request, .. } => self.call(Caller::Agent(id), request),
            Output::Store(id, batch) => {
                self.disk.write(id, batch);
                self.schedule(self.disk.commit, Event::Commit);
            }
            Output::Claim(id, _) => {
                self.schedule(Duration::ZERO, Event::Agent(Input::Claimed(id, Ok(()))));
            }
            Output::Forget(_) => {}
            Output::Note(note) => {
                let note = serde_json::to_value(note).unwrap_or_default();
                let kind = note.get("note").and_then(Value::as_str).unwrap_or_default();
                *self.notes.entry(kind.to_string()).or_default() += 1;
            }
            Output::Notify(inbound) => {
                let deaf = self.script.head.profile == Profile::Claude
                    && self.now < self.began + host::LISTS_TOOLS + host::DEAF;
                for (after, event) in self.host.on_notify(inbound, deaf) {
                    self.schedule(after, Event::Agent(Input::Host(event)));
                }
            }
            Output::Answer { call, result } => {
                if let Some((after, event)) = self.host.on_answer(call, result) {
                    self.schedule(after, Event::Agent(Input::Host(event)));
                }
            }
        }
    }

    fn carry_out_guild(&mut self, output: guild_io::Output) {
        use guild_io::{Input, Output};
        match output {
            Output::Effect(Effect::Transport(conn, action)) => {
                self.act(End::Guild, conn, action);
            }
            // The agent does not poll.
            Output::Effect(Effect::Answer { .. }) => {}
            Output::Respond { call, response } => self.respond(call, response),
            Output::Introspect(id, token) => {
                let answer = self.center.introspect(self.wall(), &token, self.deaf);
                self.schedule(CENTER, Event::Guild(Input::Introspected(id, Ok(answer))));
            }
            Output::Resolve(id, _) => {
                let nobody = Err(Unavailable("the model of Center resolves no names".into()));
                self.schedule(CENTER, Event::Guild(Input::Resolved(id, nobody)));
            }
            Output::Store(id, facts) => {
                self.store.commit(&facts);
                self.schedule(COMMIT, Event::Guild(Input::Stored(id, Ok(()))));
            }
            Output::Load(id, query) => {
                let loaded = self.store.load(&query);
                self.schedule(COMMIT, Event::Guild(Input::Loaded(id, Ok(loaded))));
            }
            // The agent neither uploads nor reads files.
            Output::Receive(..) | Output::Deliver { .. } | Output::Discard(_) => {}
            Output::Forget(_) => {}
            Output::Fatal(why) => self.fail(format!("the guild stopped: {why}")),
        }
    }

    fn dial(&mut self, conn: ws::ConnId) {
        self.net.dials += 1;
        let latency = self.net.latency();
        if self.net.refuses_dials {
            let refused = agent_io::Input::Dialed(conn, Err("connection refused".into()));
            self.schedule(latency, Event::Agent(refused));
            return;
        }
        let link = self.net.connect(conn);
        if let Some(after) = self.net.doom() {
            self.schedule(after, Event::Reset(link));
        }
        let accepted = guild_io::Input::Arrival(Arrival::Socket {
            conn: link.guild,
            sid: None,
            fresh: Secret::new(&format!("engine-{}", link.guild.0)),
            base64: false,
        });
        let (there, back) = (
            self.net.arrival(self.now, link, End::Guild),
            self.net.latency() + self.net.dial_delay,
        );
        self.schedule_at(there, Event::Guild(accepted));
        self.schedule_at(there + back, Event::Dialed { link });
        // What the guild sends meanwhile arrives after the dial is done.
        self.net.not_before(link, End::Agent, there + back);
    }

    fn act(&mut self, from: End, conn: ws::ConnId, action: ws::Action) {
        let Some(link) = self.net.find(from, conn) else {
            return;
        };
        let to = from.peer();
        let at = self.net.arrival(self.now, link, to);
        let event = match action {
            ws::Action::Send(frame) => ws::Event::Frame(frame),
            ws::Action::Close => ws::Event::Closed(Closed::Peer {
                code: 1000,
                reason: "".into(),
            }),
        };
        if !self.net.loses(link, to, &event) {
            self.schedule_at(at, Event::Frame { link, to, event });
        }
    }

    /// A connection is reset, and both ends are told.
    fn reset(&mut self, link: Link) {
        if self.net.find(End::Guild, link.guild).is_some() {
            self.break_off(link, End::Agent, "connection reset");
            let event = ws::Event::Closed(Closed::Broken("connection reset".into()));
            self.schedule(Duration::ZERO, Event::Guild(at_guild(link, event)));
        }
    }

    /// Ends a connection now; only `told` hears of it, after the latency of the network.
    fn break_off(&mut self, link: Link, told: End, why: &'static str) {
        self.net.close(link);
        let latency = self.net.latency();
        let event = ws::Event::Closed(Closed::Broken(why.into()));
        let event = match told {
            End::Agent => Event::Agent(agent_io::Input::Transport(link.agent, event)),
            End::Guild => Event::Guild(at_guild(link, event)),
        };
        self.schedule(latency, event);
    }

    fn call(&mut self, caller: Caller, request: Request) {
        let call = CallId(self.next_call);
        self.next_call += 1;
        self.callers.insert(call, caller);
        let latency = self.net.latency();
        self.schedule(
            latency,
            Event::Guild(guild_io::Input::Http { call, request }),
        );
    }

    fn respond(&mut self, call: CallId, response: Response) {
        match self.callers.remove(&call) {
            Some(Caller::Agent(id)) => {
                let latency = self.net.latency() + self.rest_delay;
                self.schedule(
                    latency,
                    Event::Agent(agent_io::Input::Http(id, Ok(response))),
                );
            }
            Some(Caller::Nobody) => {}
            Some(Caller::Creator { name }) => {
                match serde_json::from_slice::<Channel>(&response.body) {
                    Ok(channel) => {
                        self.channels.insert(name, channel.id);
                    }
                    Err(_) => self.fail(format!(
                        "channel `{name}` was not created: {} {}",
                        response.status,
                        String::from_utf8_lossy(&response.body)
                    )),
                }
            }
            Some(Caller::Poster) => {
                if !(200..300).contains(&response.status) {
                    self.fail(format!("a post was answered {}", response.status));
                }
            }
            None => self.fail(format!("call {} was answered twice", call.0)),
        }
    }

    fn token_of(&mut self, person: &str) -> Option<Secret> {
        if let Some(token) = self.people.get(person) {
            return Some(token.clone());
        }
        let user = UserId::new(person)?;
        let token = self.center.issue(&user, self.wall() + PEOPLE);
        self.people.insert(person.to_string(), token.clone());
        Some(token)
    }

    fn play(&mut self, index: usize) {
        match self.script.lines.get(index).cloned() {
            Some(Line::Act { who, r#do, .. }) => self.play_act(&who, r#do),
            Some(Line::Expect { expect, .. }) => self.play_expect(&expect),
            None => {}
        }
    }

    fn play_act(&mut self, who: &str, act: Act) {
        match act {
            Act::Create {
                name,
                x_type,
                members,
            } => {
                let body = serde_json::json!({
                    "name": name, "xType": x_type, "memberUserIds": members,
                });
                let request = Request {
                    method: Method::Post,
                    target: format!("{}/channels", routes::PREFIX),
                    bearer: self.token_of(who),
                    body: body.to_string().into(),
                };
                self.call(Caller::Creator { name }, request);
            }
            Act::Post { channel, content } => {
                let (Some(channel), Some(token)) =
                    (self.channels.get(&channel).cloned(), self.token_of(who))
                else {
                    self.fail(format!(
                        "{who} cannot post: there is no channel `{channel}` yet"
                    ));
                    return;
                };
                let body = PostBody {
                    content,
                    reply_to_id: None,
                    attachments: vec![],
                    nonce: None,
                };
                match routes::post_message(token, &channel, &body) {
                    Ok(request) => self.call(Caller::Poster, request),
                    Err(error) => self.fail(error.to_string()),
                }
            }
            Act::Reset => {
                for link in self.net.links() {
                    self.reset(link);
                }
            }
            Act::ResetOldest => {
                if let Some(link) = self.net.links().first() {
                    self.reset(*link);
                }
            }
            Act::Doom { dials, after } => {
                self.net.doomed = (dials, Duration::from_millis(after));
            }
            Act::DelayDials(ms) => self.net.dial_delay = Duration::from_millis(ms),
            Act::Lose(loss) => self.net.lose(loss),
            Act::LoseAcks(acks) => self.net.loses_acks = acks,
            Act::Revoke => {
                if let Some(user) = UserId::new(AGENT) {
                    self.center.revoke(&user);
                }
            }
            Act::RefuseDials(refuses) => self.net.refuses_dials = refuses,
            Act::LosePushes(pushes) => self.net.loses_pushes = pushes,
            Act::LoseNotifications(count) => self.host.loses = count,
            Act::DelayRest(ms) => self.rest_delay = Duration::from_millis(ms),
            Act::Kill { commits } => self.kill(commits),
            Act::Start => self.start(),
            Act::BackUp => self.disk.back_up(),
            Act::Restore => self.disk.restore(),
            Act::DelayCommits(ms) => self.disk.commit = Duration::from_millis(ms),
        }
    }

    fn fail(&mut self, why: String) {
        let at = self.now.since(START);
        self.failures
            .push(format!("at {} ms: {why}", at.as_millis()));
    }

    /// Feeds the hash, and keeps the last lines for whoever looks into a failure.
    fn note(&mut self, who: &str, what: &impl std::fmt::Debug) {
        let mut line = String::new();
        let at = self.now.since(START);
        if write!(line, "{:>10.3} {who} {what:?}", at.as_secs_f64() * 1_000.0).is_err() {
            return;
        }
        for byte in line.bytes() {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        self.steps += u64::from(who.ends_with("<-"));
        self.log.push(line);
    }
}

/// Something happens on the guild's end of a link.
fn at_guild(link: Link, event: ws::Event) -> guild_io::Input {
    guild_io::Input::Arrival(Arrival::Transport(link.guild, event))
}
