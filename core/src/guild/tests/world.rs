//! A guild node with a store in memory and a scripted Center, and the clients that talk to it.

use alloc::{
    boxed::Box,
    collections::{BTreeMap, VecDeque},
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::{
    canonical_hash,
    engineio::sessions::{Arrival, Effect},
    fabric::{
        center::{Introspection, User},
        types::{Canvas, Message, Page},
    },
    guild::{
        Config, Guild,
        fact::Fact,
        file::Received,
        io::{
            Incoming, Input, Introspect, Load, Loaded, NotReceived, Output, Query, Question,
            Receive, Resolve, Store, Unavailable,
        },
    },
    http::{CallId, Method, Request, Response},
    id::{ChannelId, GuildId, NodeId, UserId},
    machine::{Machine, step},
    request::RequestId,
    rng::Rng,
    secret::Secret,
    time::{Time, Wall},
    ws::{self, ConnId, Frame},
};

pub(super) const START: i64 = 1_790_000_000_000;

/// What the world saw of the node, in order.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Seen {
    Stored(usize),
    Frame(u64, String),
    Closed(u64),
    Answer(u64, u16),
    Polled(u64, u16, String),
    Forgot(Question),
    Discarded(String),
    Fatal,
}

pub(super) struct World {
    pub(super) guild: Guild,
    pub(super) now: Time,
    pub(super) facts: Vec<Fact>,
    pub(super) seen: Vec<Seen>,
    pub(super) frames: Vec<(u64, Frame)>,
    pub(super) answers: BTreeMap<u64, Response>,
    tokens: BTreeMap<String, Introspection>,
    pub(super) names: BTreeMap<String, String>,
    /// How often Center was asked about a token.
    pub(super) introspections: usize,
    pub(super) center_down: bool,
    /// Where set, answers of the store or of Center are kept back.
    pub(super) hold_store: bool,
    pub(super) hold_names: bool,
    pub(super) hold_tokens: bool,
    pub(super) hold_loads: bool,
    pub(super) held_loads: Vec<(RequestId<Load>, Query)>,
    pub(super) held: VecDeque<RequestId<Store>>,
    pub(super) held_names: VecDeque<(RequestId<Resolve>, String)>,
    pub(super) held_tokens: VecDeque<(RequestId<Introspect>, String)>,
    /// What comes of every upload; where it is `None`, they are kept back.
    pub(super) upload: Option<Result<Received, NotReceived>>,
    pub(super) held_uploads: Vec<(RequestId<Receive>, Incoming)>,
    /// Whether every step is followed by an idle tick; a crowd makes that slow.
    pub(super) checks_ticks: bool,
    next: u64,
}

/// Something happens on a WebSocket.
pub(super) fn arrived(conn: u64, event: ws::Event) -> Input {
    Input::Arrival(Arrival::Transport(ConnId(conn), event))
}

impl World {
    pub(super) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(super) fn with(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::new(NodeId::new("n1").unwrap(), GuildId::new("g1").unwrap());
        change(&mut config);
        let mut world = Self {
            guild: Guild::new(config, Rng::from_number(1), Vec::new()),
            now: Time::from_millis(1_000),
            facts: Vec::new(),
            seen: Vec::new(),
            frames: Vec::new(),
            answers: BTreeMap::new(),
            tokens: BTreeMap::new(),
            names: BTreeMap::new(),
            introspections: 0,
            center_down: false,
            hold_store: false,
            hold_names: false,
            hold_tokens: false,
            hold_loads: false,
            held_loads: Vec::new(),
            held: VecDeque::new(),
            held_names: VecDeque::new(),
            held_tokens: VecDeque::new(),
            upload: Some(Ok(Received {
                name: Some("report.txt".into()),
                mime: Some("text/plain".into()),
                bytes: 3,
            })),
            held_uploads: Vec::new(),
            checks_ticks: true,
            next: 0,
        };
        world.input(Input::Clock(world.wall()));
        world
    }

    pub(super) fn wall(&self) -> Wall {
        Wall::from_millis(START) + self.now.since(Time::from_millis(1_000))
    }

    /// Makes a token `token` of `user` that is good for so long.
    pub(super) fn token(&mut self, token: &str, user: &str, seconds: u64) {
        let introspection = Introspection {
            active: true,
            user_id: UserId::new(user),
            name: Some(user.to_uppercase()),
            guild_id: GuildId::new("g1"),
            expires_at: Some(self.wall() + Duration::from_secs(seconds)),
        };
        self.tokens.insert(token.into(), introspection);
    }

    /// Makes a token that of another guild.
    pub(super) fn foreign(&mut self, token: &str) {
        self.tokens.get_mut(token).unwrap().guild_id = GuildId::new("g2");
    }

    fn introspect(&self, token: &str) -> Result<Introspection, Unavailable> {
        if self.center_down {
            return Err(Unavailable("connection refused".into()));
        }
        let alive = |known: &&Introspection| known.expires_at > Some(self.wall());
        Ok(match self.tokens.get(token).filter(alive) {
            Some(known) => known.clone(),
            None => Introspection {
                active: false,
                user_id: None,
                name: None,
                guild_id: None,
                expires_at: None,
            },
        })
    }

    pub(super) fn resolve(&self, name: &str) -> Option<User> {
        self.names.get(name).map(|id| User {
            id: UserId::new(id).unwrap(),
            name: name.into(),
        })
    }

    /// Steps the node, and everybody it asks, until nothing is left to do.
    pub(super) fn input(&mut self, input: Input) {
        let mut inputs = VecDeque::from([Some(input)]);
        self.run(&mut inputs);
    }

    /// Lets time pass, and wakes the node whenever it wants to be.
    pub(super) fn pass(&mut self, span: Duration) {
        let end = self.now + span;
        while let Some(wakeup) = self.guild.next_wakeup()
            && wakeup.at <= end
        {
            self.now = wakeup.at;
            self.run(&mut VecDeque::from([None]));
        }
        self.now = end;
    }

    fn run(&mut self, inputs: &mut VecDeque<Option<Input>>) {
        while let Some(input) = inputs.pop_front() {
            let mut out = Vec::new();
            step(&mut self.guild, self.now, input, &mut out);
            for output in out {
                if let Some(input) = self.carry_out(output) {
                    inputs.push_back(Some(input));
                }
            }
        }
        if !self.checks_ticks {
            return;
        }
        let mut copy = self.guild.clone();
        let mut out = Vec::new();
        copy.tick(self.now, &mut out);
        assert_eq!(out, [], "idle ticks are free");
        assert!(copy == self.guild, "idle ticks change nothing");
        assert_eq!(
            canonical_hash(&copy, self.now),
            canonical_hash(&self.guild, self.now)
        );
    }

    fn carry_out(&mut self, output: Output) -> Option<Input> {
        match output {
            Output::Effect(Effect::Transport(ConnId(conn), ws::Action::Send(frame))) => {
                if let Frame::Text(text) = &frame {
                    if **text == *"2" {
                        let pong = ws::Event::Frame(Frame::Text("3".into()));
                        return Some(arrived(conn, pong));
                    }
                    self.seen.push(Seen::Frame(conn, text.to_string()));
                }
                self.frames.push((conn, frame));
            }
            Output::Effect(Effect::Transport(ConnId(conn), ws::Action::Close)) => {
                self.seen.push(Seen::Closed(conn));
            }
            Output::Effect(Effect::Answer { call, status, body }) => {
                let body = core::str::from_utf8(&body).unwrap();
                self.seen
                    .push(Seen::Polled(call.0, status, body.to_string()));
            }
            Output::Respond { call, response } => {
                self.seen.push(Seen::Answer(call.0, response.status));
                let twice = self.answers.insert(call.0, response);
                assert!(twice.is_none(), "a call is answered once");
            }
            Output::Deliver { call, file } => {
                self.seen.push(Seen::Answer(call.0, 200));
                let response = Response {
                    status: 200,
                    retry_after: None,
                    body: serde_json::to_vec(&file).unwrap().into(),
                };
                let twice = self.answers.insert(call.0, response);
                assert!(twice.is_none(), "a call is answered once");
            }
            Output::Discard(file) => self.seen.push(Seen::Discarded(file.to_string())),
            Output::Receive(id, incoming) => match self.upload.clone() {
                Some(received) => return Some(Input::Received(id, incoming.file, received)),
                None => self.held_uploads.push((id, incoming)),
            },
            Output::Introspect(id, token) => {
                self.introspections += 1;
                let token = token.expose().to_string();
                if self.hold_tokens {
                    self.held_tokens.push_back((id, token));
                } else {
                    return Some(Input::Introspected(id, self.introspect(&token)));
                }
            }
            Output::Resolve(id, name) => {
                if self.hold_names {
                    self.held_names.push_back((id, name));
                } else {
                    return Some(Input::Resolved(id, Ok(self.resolve(&name))));
                }
            }
            Output::Store(id, facts) => {
                self.seen.push(Seen::Stored(facts.len()));
                self.facts.extend(facts);
                if self.hold_store {
                    self.held.push_back(id);
                } else {
                    return Some(Input::Stored(id, Ok(())));
                }
            }
            Output::Load(id, query) if self.hold_loads => self.held_loads.push((id, query)),
            Output::Load(id, query) => return Some(Input::Loaded(id, Ok(self.load(&query)))),
            Output::Forget(question) => self.seen.push(Seen::Forgot(question)),
            Output::Fatal(_) => self.seen.push(Seen::Fatal),
        }
        None
    }

    /// The id of a message.
    pub(super) fn message_id(&self, channel: &str, seq: u64) -> String {
        let is_it =
            |message: &&Message| message.channel_id.as_str() == channel && message.seq == seq;
        self.messages().find(is_it).unwrap().id.to_string()
    }

    /// The messages as they are now.
    fn messages(&self) -> impl DoubleEndedIterator<Item = &Message> {
        let posted = self.facts.iter().filter_map(|fact| match fact {
            Fact::Posted { message, .. } => Some(&**message),
            _ => None,
        });
        posted.map(|message| {
            let amended = self.facts.iter().rev().find_map(|fact| match fact {
                Fact::Amended(newer) if newer.id == message.id => Some(&**newer),
                _ => None,
            });
            amended.unwrap_or(message)
        })
    }

    fn canvas(&self, of: &ChannelId) -> Option<Box<Canvas>> {
        let last = self.facts.iter().rev().find_map(|fact| match fact {
            Fact::Canvas(canvas) if canvas.channel_id == *of => Some(Some(canvas.clone())),
            Fact::NoCanvas(removal) if removal.channel_id == *of => Some(None),
            _ => None,
        });
        last.flatten()
    }

    /// Answers the reads that were kept back.
    pub(super) fn loaded(&mut self) {
        for (id, query) in core::mem::take(&mut self.held_loads) {
            let loaded = self.load(&query);
            self.input(Input::Loaded(id, Ok(loaded)));
        }
    }

    /// A message as history has it for `asker`.
    fn seen_by(&self, asker: &UserId, message: &Message) -> Message {
        let mut seen = message.clone();
        for fact in &self.facts {
            match fact {
                Fact::Posted { message, woken } if message.id == seen.id => {
                    seen.wakeup = Some(woken.contains(asker));
                }
                Fact::Rewoken {
                    message,
                    user,
                    wake_id,
                    ..
                } if *message == seen.id => {
                    let is_woken = user == asker;
                    seen.wakeup = Some(is_woken);
                    seen.rewake = is_woken.then_some(true);
                    seen.wake_id = is_woken.then(|| wake_id.clone());
                }
                _ => {}
            }
        }
        seen
    }

    /// Another process of the node on the same store.
    pub(super) fn restart(&mut self) {
        let config = self.guild.config.clone();
        self.guild = Guild::new(config, Rng::from_number(1), self.facts.clone());
        self.input(Input::Clock(self.wall()));
    }

    pub(super) fn load(&self, query: &Query) -> Loaded {
        match query {
            Query::History {
                channel,
                asker,
                after,
                limit,
                ..
            } => {
                let page = self.messages().filter(|message| {
                    message.channel_id == *channel && message.seq > after.unwrap_or(0)
                });
                let page = page.map(|message| self.seen_by(asker, message));
                Loaded::Page(Page {
                    messages: page.take(usize::try_from(*limit).unwrap()).collect(),
                    has_more: false,
                })
            }
            Query::Nonce {
                author,
                nonce,
                since,
            } => {
                let known = self.messages().find(|message| {
                    message.author.id == *author
                        && message.nonce.as_ref() == Some(nonce)
                        && message.created_at > *since
                });
                let command = self.facts.iter().find_map(|fact| match fact {
                    Fact::Commanded {
                        author: by,
                        nonce: under,
                        channel,
                        command,
                        at,
                    } if by == author && under == nonce && at > since => Some(Loaded::Command {
                        channel: channel.clone(),
                        command: *command,
                    }),
                    _ => None,
                });
                command.unwrap_or_else(|| Loaded::Message(known.cloned().map(Into::into)))
            }
            Query::Newest { channel, not_by } => {
                let newest = self.messages().rfind(|message| {
                    message.channel_id == *channel
                        && message.author.id != *not_by
                        && message.deleted_at.is_none()
                });
                Loaded::Message(newest.cloned().map(Into::into))
            }
            Query::Message(id) => {
                let known = self.messages().find(|message| message.id == *id);
                Loaded::Message(known.cloned().map(Into::into))
            }
            Query::Canvas(channel) => Loaded::Canvas(self.canvas(channel)),
            Query::Attached(file) => {
                let carrying = self.messages().filter(|message| {
                    let mut files = message.attachments.iter();
                    files.any(|attached| attached.id == file.as_str())
                });
                Loaded::Channels(carrying.map(|message| message.channel_id.clone()).collect())
            }
        }
    }

    /// The id of a file that has just been uploaded.
    pub(super) fn uploaded(&mut self, token: &str) -> String {
        let (status, file) = self.call(token, Method::Post, "/files", &Value::Null);
        assert_eq!(status, 201, "{file}");
        file["id"].as_str().unwrap().to_string()
    }

    /// Asks, without waiting for the answer; returns the call.
    pub(super) fn ask(&mut self, token: &str, method: Method, path: &str, body: &str) -> u64 {
        self.next += 1;
        let request = Request {
            method,
            target: format!("/api{path}"),
            bearer: (!token.is_empty()).then(|| Secret::new(token)),
            body: Bytes::from(body.to_string()),
        };
        let call = CallId(self.next);
        self.input(Input::Http { call, request });
        self.next
    }

    /// Asks, and returns the answer.
    pub(super) fn call(
        &mut self,
        token: &str,
        method: Method,
        path: &str,
        body: &Value,
    ) -> (u16, Value) {
        let body = match body {
            Value::Null => String::new(),
            body => body.to_string(),
        };
        let call = self.ask(token, method, path, &body);
        self.answer(call)
    }

    pub(super) fn answer(&self, call: u64) -> (u16, Value) {
        let response = &self.answers[&call];
        (
            response.status,
            serde_json::from_slice(&response.body).unwrap(),
        )
    }

    pub(super) fn get(&mut self, token: &str, path: &str) -> (u16, Value) {
        self.call(token, Method::Get, path, &Value::Null)
    }

    pub(super) fn send(&mut self, token: &str, path: &str, body: &Value) -> (u16, Value) {
        self.call(token, Method::Post, path, body)
    }

    /// Makes a channel, and returns its id.
    pub(super) fn channel(&mut self, token: &str, x_type: &str, members: &[&str]) -> String {
        let body = json!({"name": "x", "xType": x_type, "memberUserIds": members});
        let (status, channel) = self.send(token, "/channels", &body);
        assert_eq!(status, 201, "{channel}");
        channel["id"].as_str().unwrap().into()
    }

    pub(super) fn post(&mut self, token: &str, channel: &str, content: &str) -> (u16, Value) {
        self.send(
            token,
            &format!("/channels/{channel}/messages"),
            &json!({"content": content}),
        )
    }

    /// Opens a WebSocket and sends CONNECT; returns the connection.
    pub(super) fn connect(&mut self, token: &str) -> u64 {
        self.connect_with(&json!({ "token": token }))
    }

    /// The same, with this payload.
    pub(super) fn connect_with(&mut self, auth: &Value) -> u64 {
        let conn = self.open();
        self.frame(conn, &format!("40/realtime,{auth}"));
        conn
    }

    pub(super) fn open(&mut self) -> u64 {
        self.next += 1;
        self.input(Input::Arrival(Arrival::Socket {
            conn: ConnId(self.next),
            sid: None,
            fresh: Secret::new(&format!("session{}", self.next)),
            base64: false,
        }));
        self.next
    }

    pub(super) fn frame(&mut self, conn: u64, text: &str) {
        let frame = ws::Event::Frame(Frame::Text(text.into()));
        self.input(arrived(conn, frame));
    }

    /// Emits an event with an ack, and returns its answer, if there is one.
    pub(super) fn emit(&mut self, conn: u64, name: &str, payload: &Value) -> Option<Value> {
        self.seen.clear();
        self.frame(conn, &format!("42/realtime,7{}", json!([name, payload])));
        self.seen.iter().find_map(|seen| match seen {
            Seen::Frame(to, text) if *to == conn => {
                let answer = text.strip_prefix("43/realtime,7")?;
                let mut answer: Vec<Value> = serde_json::from_str(answer).unwrap();
                answer.pop()
            }
            _ => None,
        })
    }

    /// A connected socket in the room of `channel`.
    pub(super) fn listener(&mut self, token: &str, channel: &str) -> u64 {
        let conn = self.connect(token);
        let ack = self.emit(conn, "join_channel", &json!({ "channelId": channel }));
        assert_eq!(ack.unwrap()["ok"], json!(true));
        conn
    }

    /// The pushes that were seen since the last call: to whom, what, with which payload.
    pub(super) fn pushes(&mut self) -> Vec<(u64, String, Value)> {
        let seen = core::mem::take(&mut self.seen);
        seen.iter()
            .filter_map(|seen| match seen {
                Seen::Frame(conn, text) => {
                    let event = text.strip_prefix("42/realtime,")?;
                    let (name, payload) = serde_json::from_str(event).unwrap();
                    Some((*conn, name, payload))
                }
                _ => None,
            })
            .collect()
    }

    /// The `wakeup` that each connection got with the last message.
    pub(super) fn wakeups(&mut self) -> Vec<(u64, bool)> {
        self.pushes()
            .into_iter()
            .filter(|(_, name, _)| name == "message.created")
            .map(|(conn, _, message)| (conn, message["wakeup"].as_bool().unwrap()))
            .collect()
    }

    /// Answers the oldest transaction that was kept back.
    pub(super) fn stored(&mut self, stored: Result<(), &str>) {
        let id = self.held.pop_front().unwrap();
        self.input(Input::Stored(
            id,
            stored.map_err(|why| Unavailable(why.into())),
        ));
    }

    /// Answers everything about tokens that was kept back.
    pub(super) fn introspected(&mut self) {
        for (id, token) in core::mem::take(&mut self.held_tokens) {
            let answer = self.introspect(&token);
            self.input(Input::Introspected(id, answer));
        }
    }

    /// A node with the users `a`, `b`, `c` and `d`, whose tokens are called `A` to `D`.
    pub(super) fn with_users() -> Self {
        let mut world = Self::new();
        for (token, user) in [("A", "a"), ("B", "b"), ("C", "c"), ("D", "d")] {
            world.token(token, user, 900);
        }
        world
    }
}

pub(super) fn event_names(pushes: &[(u64, String, Value)]) -> Vec<(u64, &str)> {
    pushes
        .iter()
        .map(|(conn, name, _)| (*conn, name.as_str()))
        .collect()
}

pub(super) fn ok() -> Value {
    json!({"ok": true, "changed": true})
}

pub(super) fn unchanged() -> Value {
    json!({"ok": true, "changed": false})
}

pub(super) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
