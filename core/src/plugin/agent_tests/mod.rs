//! Stories about the whole agent: it against a Center, guilds and a host that are played by hand.

mod bare;
mod catch_up;
mod claim;
mod claude;
mod commands;
mod connecting;
mod files;
mod guild_restored;
mod history;
mod jobs;
mod keeping;
mod membership;
mod messages;
mod older;
mod played;
mod posting;
mod restored;
mod rotation;
mod speaker;
mod status;
mod turns;
mod wakes;

use alloc::{
    collections::{BTreeMap, VecDeque},
    format,
    string::{String, ToString},
    vec,
    vec::Vec,
};
use core::time::Duration;

use played::{Center, Guild};
use serde_json::{Value, json};

use crate::{
    fabric::center::{Grant, Session, User},
    http::{CallId, Failure, Request},
    id::{AgentId, ChannelId, GuildId, MessageId, NodeId, TurnId, UserId},
    machine::{Machine as _, step},
    plugin::{
        agent::Agent,
        config::Config,
        inbound::Inbound,
        io::{HostEvent, Http, Input, Login, LoginFailure, Output, Question, Store},
        kept::{Change, Kept},
        note::Note,
        tools::{Ask, Tool, ToolAnswer, ToolError},
        transfer::Transfer,
    },
    request::RequestId,
    rng::Rng,
    secret::Secret,
    time::Time,
    ws::{self, Closed, ConnId, Frame},
};

const ME: &str = "me";
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// The agent and everything around it. What is not of interest happens by itself and at once.
struct Rig {
    config: Config,
    agent: Agent,
    now: Time,
    center: Center,
    user: &'static str,
    guilds: BTreeMap<&'static str, Guild>,
    conns: BTreeMap<ConnId, &'static str>,
    /// How many of them there were at most.
    conns_max: usize,
    /// Dials are answered.
    dials: bool,
    /// Logins that Center has not answered, and how many there were.
    logins: Vec<RequestId<Login>>,
    login_count: usize,
    /// Requests that a guild has not answered.
    open: Vec<(RequestId<Http>, &'static str, Request)>,
    /// Everything that was asked of guilds.
    asked: Vec<String>,
    /// Their bodies.
    bodies: Vec<Value>,
    /// The files that went with them.
    files: Vec<Transfer>,
    /// The tokens of every CONNECT, in order.
    tokens: Vec<String>,
    /// Channels that were joined, in order.
    joins: Vec<String>,
    /// Whether the guild was told of each that the process has not been there before.
    fresh: Vec<bool>,
    /// Every other event that was emitted, in order.
    emitted: Vec<Value>,
    notes: Vec<Note>,
    inbounds: Vec<Inbound>,
    answers: Vec<(u64, Result<ToolAnswer, ToolError>)>,
    /// Another process that serves the account.
    rival: Option<String>,
    forgotten: Vec<Question>,
    calls: u64,
    /// What the store has, once a batch is answered.
    kept: Kept,
    /// Batches that are not, in order.
    batches: VecDeque<Vec<Change>>,
    stores: VecDeque<RequestId<Store>>,
    /// The store answers at once.
    keeps: bool,
    /// How many processes there have been.
    lives: u64,
}

impl Rig {
    fn new(guilds: &[(&'static str, Guild)]) -> Self {
        Self::with(config(), guilds)
    }

    fn with(config: Config, guilds: &[(&'static str, Guild)]) -> Self {
        let names = guilds.iter().map(|(id, _)| *id).collect();
        Self {
            agent: Agent::new(config.clone(), Kept::default(), Rng::from_number(7)),
            config,
            now: Time::from_millis(1_000),
            center: Center::Grants(names, 15 * MINUTE),
            user: ME,
            guilds: guilds.iter().cloned().collect(),
            conns: BTreeMap::new(),
            conns_max: 0,
            dials: true,
            logins: vec![],
            login_count: 0,
            open: vec![],
            asked: vec![],
            bodies: vec![],
            files: vec![],
            tokens: vec![],
            joins: vec![],
            fresh: vec![],
            emitted: vec![],
            notes: vec![],
            inbounds: vec![],
            answers: vec![],
            rival: None,
            forgotten: vec![],
            calls: 0,
            kept: Kept::default(),
            batches: VecDeque::new(),
            stores: VecDeque::new(),
            keeps: true,
            lives: 0,
        }
    }

    /// One guild with these channels, live, with a host that says when it is done.
    fn live(channels: &[(&'static str, &'static str)]) -> Self {
        let mut rig = Self::new(&[("g", Guild::new(channels))]);
        rig.start();
        assert!(rig.is_live("g"), "{:?}", rig.notes);
        rig
    }

    fn start(&mut self) {
        self.host(HostEvent::Ready { turns: true });
    }

    /// The process is killed, and another one takes its place: with what was kept, and nothing else.
    fn restart(&mut self) {
        self.lives += 1;
        let rng = Rng::from_number(7 + self.lives);
        self.agent = Agent::new(self.config.clone(), self.kept.clone(), rng);
        self.conns.clear();
        self.logins.clear();
        self.open.clear();
        self.batches.clear();
        self.stores.clear();
        self.keeps = true;
        self.start();
    }

    fn guild(&mut self, id: &str) -> &mut Guild {
        self.guilds.get_mut(id).unwrap()
    }

    fn is_live(&self, guild: &str) -> bool {
        let mut guilds = self.agent.guilds();
        guilds.any(|(id, live, _)| id.as_str() == guild && live)
    }

    /// Steps the agent, and does what it asks for until it asks for nothing more.
    fn step(&mut self, input: Option<Input>) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            let mut out = Vec::new();
            step(&mut self.agent, self.now, input, &mut out);
            for output in out {
                inputs.extend(self.carry_out(output).into_iter().map(Some));
            }
        }
    }

    /// Lets time pass, deadline by deadline.
    fn pass(&mut self, span: Duration) {
        let end = self.now + span;
        while let Some(wakeup) = self.agent.next_wakeup().filter(|next| next.at <= end) {
            self.now = self.now.max(wakeup.at);
            self.step(None);
        }
        self.now = end;
    }

    fn carry_out(&mut self, output: Output) -> Vec<Input> {
        match output {
            Output::Login(id) => {
                self.login_count += 1;
                match self.login(id) {
                    Some(answer) => vec![Input::Admitted(id), answer],
                    None => {
                        self.logins.push(id);
                        vec![Input::Admitted(id)]
                    }
                }
            }
            Output::Dial { conn, origin } => {
                let name = origin.strip_prefix("http://").unwrap();
                let (name, _) = self.guilds.get_key_value(name).unwrap();
                if !self.dials {
                    return vec![Input::Dialed(conn, Err("refused".into()))];
                }
                self.conns.insert(conn, name);
                self.conns_max = self.conns_max.max(self.conns.len());
                let open = r#"0{"sid":"e","upgrades":[],"pingInterval":86400000,"pingTimeout":20000,"maxPayload":1000000}"#;
                vec![Input::Dialed(conn, Ok(())), frame(conn, open)]
            }
            Output::Transport(conn, ws::Action::Send(Frame::Text(text))) => {
                self.on_frame(conn, &text)
            }
            Output::Transport(conn, ws::Action::Close) | Output::HangUp(conn) => {
                self.conns.remove(&conn);
                vec![]
            }
            Output::Transport(_, ws::Action::Send(Frame::Binary(_))) => panic!("a binary frame"),
            Output::Http {
                id,
                origin,
                request,
                file,
            } => {
                let name = origin.strip_prefix("http://").unwrap();
                let (name, guild) = self.guilds.iter_mut().find(|(id, _)| **id == name).unwrap();
                self.asked
                    .push(format!("{} {}", request.method.as_str(), request.target));
                self.files.extend(file);
                self.bodies
                    .push(serde_json::from_slice(&request.body).unwrap_or_default());
                if guild.holds {
                    self.open.push((id, name, request));
                    return vec![];
                }
                vec![Input::Http(id, Ok(guild.answer(&request)))]
            }
            Output::Store(id, batch) => {
                self.batches.push_back(batch);
                if self.keeps {
                    vec![self.keep(id)]
                } else {
                    self.stores.push_back(id);
                    vec![]
                }
            }
            Output::Claim(id, user) => {
                assert_eq!(user.as_str(), self.user);
                match &self.rival {
                    Some(rival) => vec![Input::Claimed(id, Err(rival.clone()))],
                    None => vec![Input::Claimed(id, Ok(()))],
                }
            }
            Output::Forget(question) => {
                self.forgotten.push(question);
                vec![]
            }
            Output::Notify(inbound) => {
                let written = HostEvent::Written(inbound.turn_id.clone());
                self.inbounds.push(inbound);
                vec![Input::Host(written)]
            }
            Output::Answer { call, result } => {
                self.answers.push((call.0, result));
                vec![]
            }
            Output::Note(note) => {
                self.notes.push(note);
                vec![]
            }
        }
    }

    /// The store keeps the oldest batch.
    fn keep(&mut self, id: RequestId<Store>) -> Input {
        let batch = self.batches.pop_front().unwrap();
        self.kept.apply(&batch);
        Input::Stored(id, Ok(()))
    }

    fn login(&self, id: RequestId<Login>) -> Option<Input> {
        let answer = match &self.center {
            Center::Grants(guilds, life) => Ok(Session {
                user: User {
                    id: UserId::new(self.user).unwrap(),
                    name: String::new(),
                },
                grants: guilds
                    .iter()
                    .map(|guild| Grant {
                        node_id: NodeId::new("node").unwrap(),
                        guild_id: GuildId::new(guild).unwrap(),
                        base_url: Some(format!("http://{guild}")),
                        token: Secret::new(&format!("{guild}-{}", self.login_count)),
                        life: *life,
                    })
                    .collect(),
            }),
            Center::Refuses(status) => Err(LoginFailure::Refused {
                status: *status,
                message: "no".into(),
            }),
            Center::Holds => return None,
        };
        Some(Input::LoggedIn(id, answer))
    }

    /// Center answers everything that it held back, and goes on like that.
    fn center(&mut self, center: Center) {
        self.center = center;
        for id in core::mem::take(&mut self.logins) {
            let answer = self.login(id);
            self.step(answer);
        }
    }

    fn on_frame(&mut self, conn: ConnId, text: &str) -> Vec<Input> {
        let Some(guild) = self.conns.get(&conn).and_then(|name| self.guilds.get(name)) else {
            return vec![];
        };
        if let Some(auth) = text.strip_prefix("40/realtime,") {
            let auth: Value = serde_json::from_str(auth).unwrap();
            self.tokens
                .push(auth["token"].as_str().unwrap().to_string());
            let reply = match guild.refuses {
                Some("disconnect") => "41/realtime,".to_string(),
                Some(why) => format!(r#"44/realtime,{{"message":"{why}"}}"#),
                None => r#"40/realtime,{"sid":"s"}"#.to_string(),
            };
            return vec![frame(conn, &reply)];
        }
        let Some(event) = text.strip_prefix("42/realtime,") else {
            return vec![];
        };
        let (ack, event) = event.split_at(event.find('[').unwrap());
        let event: Value = serde_json::from_str(event).unwrap();
        if event[0] != "join_channel" {
            self.emitted.push(event);
            return vec![];
        }
        let channel = event[1]["channelId"].as_str().unwrap();
        self.joins.push(channel.to_string());
        self.fresh.push(event[1]["fresh"] == true);
        let answer = match guild.join_error {
            Some("silence") => return vec![],
            Some(error) => json!([{"ok": false, "error": error}]),
            None => json!([{"ok": true, "lastSeq": guild.last_seq}]),
        };
        vec![frame(conn, &format!("43/realtime,{ack}{answer}"))]
    }

    /// The connection to a guild; the older one of two.
    fn conn(&self, guild: &str) -> ConnId {
        let mut conns = self.conns.iter();
        *conns.find(|(_, name)| **name == guild).unwrap().0
    }

    /// The guild pushes an event.
    fn push(&mut self, guild: &str, name: &str, payload: &Value) {
        self.push_on(self.conn(guild), name, payload);
    }

    fn push_on(&mut self, conn: ConnId, name: &str, payload: &Value) {
        let event = format!("42/realtime,{}", json!([name, payload]));
        self.step(Some(frame(conn, &event)));
    }

    /// Somebody posts in a channel of the only guild, and the push says that it wakes.
    fn says(&mut self, channel: &str, seq: u64, content: &str) {
        let guild = self.guild("g");
        guild.seq = guild.seq.max(seq.saturating_add(1));
        self.push("g", "message.created", &message(channel, seq, content));
    }

    fn reset(&mut self, guild: &str) {
        self.reset_conn(self.conn(guild));
    }

    fn reset_conn(&mut self, conn: ConnId) {
        self.conns.remove(&conn);
        let closed = ws::Event::Closed(Closed::Broken("reset".into()));
        self.step(Some(Input::Transport(conn, closed)));
    }

    /// The guild answers everything that it held back.
    fn release(&mut self, guild: &str) {
        self.guild(guild).holds = false;
        let (now, later) = core::mem::take(&mut self.open)
            .into_iter()
            .partition(|(_, name, _)| *name == guild);
        self.open = later;
        let now: Vec<(RequestId<Http>, &str, Request)> = now;
        for (id, _, request) in now {
            let answer = self.guild(guild).answer(&request);
            self.step(Some(Input::Http(id, Ok(answer))));
        }
    }

    fn host(&mut self, event: HostEvent) {
        self.step(Some(Input::Host(event)));
    }

    fn call(&mut self, tool: Tool) -> u64 {
        self.calls += 1;
        let call = CallId(self.calls);
        self.host(HostEvent::Call { call, tool });
        self.calls
    }

    fn send(&mut self, channel: &str, guild: Option<&str>, content: &str) -> u64 {
        self.call(Tool::Send {
            channel: ChannelId::new(channel).unwrap(),
            guild: guild.map(|guild| GuildId::new(guild).unwrap()),
            content: content.to_string(),
            reply_to: None,
            attachments: vec![],
        })
    }

    fn done(&mut self, turn: usize) {
        let turn = self.inbounds[turn].turn_id.clone();
        self.call(Tool::TurnDone { turn });
    }

    /// The answer to a tool call; its words where it failed.
    fn answer(&self, call: u64) -> Option<Result<&ToolAnswer, &str>> {
        let (_, result) = self.answers.iter().find(|(known, _)| *known == call)?;
        Some(match result {
            Ok(answer) => Ok(answer),
            Err(ToolError(why)) => Err(why),
        })
    }

    /// What was handed over, turn by turn.
    fn heard(&self) -> Vec<Vec<&str>> {
        self.inbounds
            .iter()
            .map(|inbound| {
                let messages = inbound.messages.iter();
                messages.map(|message| message.content.as_str()).collect()
            })
            .collect()
    }

    /// What the last turn brought along.
    fn context(&self) -> Vec<&str> {
        let context = &self.inbounds.last().unwrap().context;
        context.iter().map(|told| told.content.as_str()).collect()
    }

    fn noted(&self, wanted: impl Fn(&Note) -> bool) -> usize {
        self.notes.iter().filter(|note| wanted(note)).count()
    }
}

fn config() -> Config {
    Config::new(AgentId::new("echo").unwrap())
}

fn frame(conn: ConnId, text: &str) -> Input {
    Input::Transport(conn, ws::Event::Frame(Frame::Text(text.into())))
}

/// A message of alice that wakes the agent.
fn message(channel: &str, seq: u64, content: &str) -> Value {
    json!({
        "id": format!("{channel}{seq}"), "channelId": channel, "seq": seq,
        "author": {"id": "alice", "name": "Alice"}, "content": content,
        "createdAt": "2026-01-01T00:00:00Z", "wakeup": true,
    })
}

/// The same with other fields.
fn altered(mut message: Value, fields: Value) -> Value {
    let Value::Object(fields) = fields else {
        panic!("not an object")
    };
    message.as_object_mut().unwrap().extend(fields);
    message
}

fn membership(channel: &str, fields: Value) -> Value {
    altered(json!({"channelId": channel, "userId": ME}), fields)
}
