//! Random histories: whatever happens, the laws of a machine and the promises of a guild hold.

use alloc::{
    boxed::Box,
    collections::{BTreeMap, BTreeSet},
    format,
    string::{String, ToString as _},
    vec::Vec,
};
use core::time::Duration;

use bytes::Bytes;

use crate::{
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
            Input, Introspect, Load, Loaded, NotReceived, Output, Query, Question, Receive,
            Resolve, Store, Unavailable,
        },
        state::State,
    },
    http::{CallId, Method, Request},
    id::{FileId, GuildId, NodeId, UserId},
    machine::{Machine, step},
    request::RequestId,
    rng::Rng,
    secret::Secret,
    time::{Time, Wall},
    ws::{self, ConnId, Frame},
};

/// A question of the node that waits for its answer.
#[derive(Clone, Debug)]
enum Open {
    Introspect(RequestId<Introspect>, Secret),
    Resolve(RequestId<Resolve>),
    Load(RequestId<Load>, Query),
    Store(RequestId<Store>),
    Receive(RequestId<Receive>, FileId),
}

struct History {
    rng: Rng,
    guild: Guild,
    now: Time,
    open: Vec<Open>,
    calls: BTreeSet<u64>,
    conns: u64,
    channels: Vec<String>,
    seqs: BTreeMap<String, u64>,
    /// What the store has.
    stored: State,
    messages: BTreeMap<String, Box<Message>>,
    canvases: BTreeMap<String, Box<Canvas>>,
    on_disk: BTreeSet<FileId>,
    log: String,
    over: bool,
}

const USERS: [&str; 4] = ["a", "b", "c", "d"];

impl History {
    fn new(seed: u64) -> Self {
        let mut config = Config::new(NodeId::new("n").unwrap(), GuildId::new("g").unwrap());
        config.deaf_on_expired_token = seed.is_multiple_of(5);
        config.limits.sockets_per_user_max = 1;
        config.limits.calls_per_user_max = 4;
        config.limits.tokens_max = 6;
        config.limits.files_per_user_bytes_max = 50;
        config.limits.upload_patience = Duration::from_secs(2);
        Self {
            rng: Rng::from_number(seed).fork("history"),
            guild: Guild::new(config, Rng::from_number(seed), Vec::new()),
            now: Time::from_millis(1),
            open: Vec::new(),
            calls: BTreeSet::new(),
            conns: 0,
            channels: ["nowhere".into()].into(),
            seqs: BTreeMap::new(),
            stored: State::default(),
            messages: BTreeMap::new(),
            canvases: BTreeMap::new(),
            on_disk: BTreeSet::new(),
            log: String::new(),
            over: false,
        }
    }

    fn pick<T: Clone>(&mut self, items: &[T]) -> Option<T> {
        let index = self.rng.below(items.len() as u64);
        items.get(usize::try_from(index).unwrap()).cloned()
    }

    /// One of the first few channels, so that they have some life.
    fn channel(&mut self) -> String {
        let known: Vec<_> = self.channels.iter().take(3).cloned().collect();
        let first = known.get(1).filter(|_| self.rng.chance(2, 3)).cloned();
        first.unwrap_or_else(|| self.pick(&known).unwrap())
    }

    fn token(&mut self) -> String {
        let user = self.pick(&["a", "a", "a", "b", "c", "d"]).unwrap();
        format!("{user}{}", self.rng.below(3))
    }

    fn step(&mut self, input: Option<Input>) {
        let mut out = Vec::new();
        if let Some(input) = &input {
            self.log.push_str(&format!("> {input:?}\n"));
        }
        step(&mut self.guild, self.now, input, &mut out);
        assert!(!self.over || out.is_empty(), "{out:?}");
        for output in out {
            self.log.push_str(&format!("{output:?}\n"));
            self.note(output);
        }
        let state = self.guild.state();
        assert!(self.stored == *state, "the store is told everything");
        assert!(self.guild.rewakes.each_goes_on(), "a wake is forgotten");
        for channel in state.channels() {
            if let Some(turn) = &channel.turn {
                let placed: BTreeSet<_> = turn.order().iter().chain(turn.bypass()).collect();
                assert_eq!(placed, channel.members.keys().collect());
                assert!(turn.current().is_none_or(|user| placed.contains(user)));
            }
        }
    }

    fn note(&mut self, output: Output) {
        match output {
            Output::Effect(Effect::Transport(conn, _)) => assert!(conn.0 <= self.conns),
            Output::Effect(Effect::Answer { .. }) => panic!("nobody polls"),
            Output::Respond { call, .. } => {
                assert!(self.calls.remove(&call.0), "{call:?} was answered before");
            }
            Output::Deliver { call, file } => {
                assert!(self.calls.remove(&call.0), "{call:?} was answered before");
                assert!(self.on_disk.contains(&file.id), "{file:?} is not there");
            }
            Output::Discard(file) => {
                assert!(self.on_disk.remove(&file), "{file} is not there");
            }
            Output::Receive(id, incoming) => {
                assert!(self.calls.contains(&incoming.call.0));
                self.open.push(Open::Receive(id, incoming.file));
            }
            Output::Introspect(id, token) => self.open.push(Open::Introspect(id, token)),
            Output::Resolve(id, _) => self.open.push(Open::Resolve(id)),
            Output::Load(id, query) => self.open.push(Open::Load(id, query)),
            Output::Store(id, facts) => {
                for fact in facts {
                    self.stored.apply(&fact);
                    self.check(fact);
                }
                self.open.push(Open::Store(id));
            }
            Output::Forget(question) => {
                let before = self.open.len();
                self.open.retain(|open| match (open, question) {
                    (Open::Introspect(id, _), Question::Introspect(other)) => *id != other,
                    (Open::Resolve(id), Question::Resolve(other)) => *id != other,
                    (Open::Load(id, _), Question::Load(other)) => *id != other,
                    (Open::Receive(id, _), Question::Receive(other)) => *id != other,
                    _ => true,
                });
                assert_eq!(self.open.len() + 1, before, "{question:?} was not open");
            }
            Output::Fatal(_) => self.end(),
        }
    }

    fn check(&mut self, fact: Fact) {
        match fact {
            Fact::Channel(row) => self.channels.push(row.id.to_string()),
            Fact::Amended(newer) => {
                let message = self.messages.get_mut(newer.id.as_str()).unwrap();
                assert_eq!(message.deleted_at, None, "what is deleted stays so");
                assert_eq!(
                    (message.seq, &message.author.id),
                    (newer.seq, &newer.author.id)
                );
                *message = newer;
            }
            Fact::Canvas(canvas) => {
                let channel = canvas.channel_id.to_string();
                self.canvases.insert(channel, canvas);
            }
            Fact::NoCanvas(removal) => {
                let removed = self.canvases.remove(removal.channel_id.as_str());
                assert_eq!(removed.unwrap().shared_by, removal.user_id);
            }
            Fact::Rewoken { message, user, .. } => {
                let known = self.messages.get(message.as_str());
                assert!(known.is_some_and(|known| known.author.id != user));
            }
            Fact::Turn { turn, .. } => {
                assert!(
                    turn.current()
                        .is_none_or(|user| !turn.done().contains(user))
                );
            }
            Fact::Member(_)
            | Fact::NoMember { .. }
            | Fact::Commands(_)
            | Fact::NoFile(_)
            | Fact::Commanded { .. } => {}
            Fact::File(row) => assert!(self.on_disk.contains(&row.id), "{row:?} is not there"),
            Fact::Posted { message, woken } => {
                let last = self.seqs.entry(message.channel_id.to_string()).or_default();
                *last += 1;
                assert_eq!(message.seq, *last, "seq has no holes");
                assert!(!woken.contains(&message.author.id));
                let channel = self.stored.channel(&message.channel_id).unwrap();
                assert!(channel.turn.is_none() || woken.len() <= 1, "{woken:?}");
                self.messages.insert(message.id.to_string(), message);
            }
        }
    }

    /// Nothing may be left open.
    fn end(&mut self) {
        self.over = true;
        assert!(self.calls.is_empty(), "{:?}", self.calls);
        let unclosed = |open: &&Open| !matches!(open, Open::Store(_));
        assert_eq!(self.open.iter().filter(unclosed).count(), 0);
        assert_eq!(self.guild.next_wakeup(), None);
    }

    fn answer(&mut self) -> Option<Input> {
        let index = self.rng.below(self.open.len() as u64);
        if self.open.is_empty() {
            return None;
        }
        let open = self.open.remove(usize::try_from(index).unwrap());
        let down = self.rng.chance(1, 5);
        let why = || Unavailable("down".into());
        Some(match open {
            Open::Introspect(id, _) if down => Input::Introspected(id, Err(why())),
            Open::Introspect(id, token) => {
                let wall = Wall::default() + self.now.since(Time::ZERO);
                let alive = self.rng.chance(9, 10);
                let user = token.expose().get(..1).and_then(UserId::new);
                Input::Introspected(
                    id,
                    Ok(Introspection {
                        active: alive,
                        user_id: user.filter(|_| alive),
                        name: alive.then(|| format!("N{}", self.rng.below(2))),
                        guild_id: GuildId::new("g").filter(|_| alive),
                        expires_at: alive.then(|| wall + Duration::from_secs(35)),
                    }),
                )
            }
            Open::Resolve(id) => Input::Resolved(
                id,
                Ok(self.pick(&USERS).filter(|_| !down).map(|user| User {
                    id: UserId::new(user).unwrap(),
                    name: user.into(),
                })),
            ),
            Open::Load(id, _) if down => Input::Loaded(id, Err(why())),
            Open::Load(id, Query::Nonce { .. }) => Input::Loaded(id, Ok(Loaded::Message(None))),
            Open::Load(id, Query::Message(message)) => {
                let message = self.messages.get(message.as_str()).cloned();
                Input::Loaded(id, Ok(Loaded::Message(message)))
            }
            Open::Load(id, Query::Canvas(channel)) => {
                let canvas = self.canvases.get(channel.as_str()).cloned();
                Input::Loaded(id, Ok(Loaded::Canvas(canvas)))
            }
            Open::Load(id, Query::History { .. }) => Input::Loaded(
                id,
                Ok(Loaded::Page(Page {
                    messages: Vec::new(),
                    has_more: false,
                })),
            ),
            Open::Load(id, Query::Attached(file)) => {
                let live = self.messages.values();
                let carrying = live.filter(|message| {
                    let mut files = message.attachments.iter();
                    files.any(|attached| attached.id == file.as_str())
                });
                let channels = carrying.map(|message| message.channel_id.clone()).collect();
                Input::Loaded(id, Ok(Loaded::Channels(channels)))
            }
            Open::Receive(id, file) if down => {
                Input::Received(id, file, Err(NotReceived::Broken("down".into())))
            }
            Open::Receive(id, file) => {
                self.on_disk.insert(file.clone());
                let received = Received {
                    name: Some("x".into()),
                    mime: None,
                    bytes: self.rng.below(60),
                };
                Input::Received(id, file, Ok(received))
            }
            Open::Load(id, query @ Query::Newest { .. }) => self.newest(id, &query),
            Open::Store(id) if self.rng.chance(1, 500) => Input::Stored(id, Err(why())),
            Open::Store(id) => Input::Stored(id, Ok(())),
        })
    }

    fn newest(&self, id: RequestId<Load>, query: &Query) -> Input {
        let Query::Newest { channel, not_by } = query else {
            panic!("{query:?}");
        };
        let in_channel = self.in_channel(channel.as_str());
        let others = in_channel
            .filter(|message| message.author.id != *not_by && message.deleted_at.is_none());
        let newest = others.max_by_key(|message| message.seq);
        Input::Loaded(id, Ok(Loaded::Message(newest.cloned())))
    }

    fn in_channel(&self, channel: &str) -> impl Iterator<Item = &Box<Message>> {
        let known = self.messages.values();
        known.filter(move |message| message.channel_id.as_str() == channel)
    }

    /// Once the store can be read again, nobody waits for its turn for long.
    fn wakes_arrive(&mut self) {
        for _ in 0..4 * USERS.len() {
            self.now = self.now + Duration::from_secs(2);
            self.step(None);
            while let Some(at) = self
                .open
                .iter()
                .position(|open| matches!(open, Open::Load(_, Query::Newest { .. })))
            {
                let Open::Load(id, query) = self.open.remove(at) else {
                    panic!("not a read");
                };
                let read = self.newest(id, &query);
                self.step(Some(read));
            }
        }
        for channel in self.guild.state().channels() {
            let due = channel.turn.as_ref().and_then(|turn| turn.due());
            assert_eq!(due, None, "nobody reads for {}", channel.row.id);
        }
    }

    fn request(&mut self) -> Input {
        let channel = self.channel();
        let user = self.pick(&USERS).unwrap();
        let known: Vec<_> = self.messages.keys().cloned().collect();
        let message = self.pick(&known).unwrap_or_else(|| "nothing-1".into());
        let canvas = format!("/channels/{channel}/canvas");
        let files: Vec<_> = self.guild.state().files().cloned().collect();
        let file = self.pick(&files);
        let owner_of_file = file.as_ref().map(|file| file.owner.clone());
        let file = file.map_or_else(|| "nothing".into(), |file| file.id.to_string());
        let (method, path, body) = match self.rng.below(28) {
            13 => (
                Method::Patch,
                format!("/messages/{message}"),
                r#"{"content":"y <@user.name:X>"}"#.into(),
            ),
            14 => (
                Method::Patch,
                format!("/messages/{message}"),
                r#"{"content":"z"}"#.into(),
            ),
            15 => (
                Method::Delete,
                format!("/messages/{message}"),
                String::new(),
            ),
            16 => (
                Method::Put,
                canvas,
                r#"{"format":"md","content":"x"}"#.into(),
            ),
            17 => (Method::Patch, canvas, r#"{"title":"t"}"#.into()),
            18 => (Method::Delete, canvas, String::new()),
            19 => (Method::Put, "/commands".into(), r#"[{"name":"x"}]"#.into()),
            24 => (Method::Post, "/files".into(), String::new()),
            25 => (Method::Get, format!("/files/{file}"), String::new()),
            26 | 27 => (
                Method::Post,
                format!("/channels/{channel}/messages"),
                format!(r#"{{"content":"","attachments":[{{"id":"{file}"}}]}}"#),
            ),
            kind => self.channel_request(kind.min(12), &channel, user),
        };
        // Mostly whose it is, whose change others hear of.
        let owner = match path.starts_with("/messages") {
            true => self.messages.get(&message).map(|it| it.author.id.clone()),
            false if path.ends_with("/canvas") => {
                self.canvases.get(&channel).map(|it| it.shared_by.clone())
            }
            false if body.contains("attachments") => owner_of_file,
            false => None,
        };
        let owner = owner.filter(|_| self.rng.chance(2, 3));
        let token = owner.map_or_else(|| self.token(), |owner| format!("{owner}0"));
        self.http(method, path, body, &token)
    }

    fn http(&mut self, method: Method, path: String, body: String, token: &str) -> Input {
        let call = CallId(self.log.len() as u64);
        self.calls.insert(call.0);
        Input::Http {
            call,
            request: Request {
                method,
                target: format!("/api{path}"),
                bearer: Some(Secret::new(token)),
                body: Bytes::from(body),
            },
        }
    }

    fn channel_request(
        &mut self,
        kind: u64,
        channel: &str,
        user: &str,
    ) -> (Method, String, String) {
        let x_type = self.pick(&["general", "discuss"]).unwrap();
        let (method, path, body) = match kind {
            0 => (Method::Get, String::new(), String::new()),
            1 => (
                Method::Post,
                String::new(),
                format!(
                    r#"{{"name":"x","xType":"{x_type}","isPublic":true,"memberUserIds":["a","{user}"]}}"#
                ),
            ),
            2 => (Method::Post, format!("/{channel}/join"), String::new()),
            3 => (Method::Post, format!("/{channel}/leave"), String::new()),
            4 => (Method::Get, format!("/{channel}/messages"), String::new()),
            5 => (
                Method::Patch,
                format!("/{channel}"),
                format!(
                    r#"{{"closed":{},"name":"x{}"}}"#,
                    self.rng.chance(1, 9),
                    self.rng.below(9)
                ),
            ),
            6 => (
                Method::Post,
                format!("/{channel}/members"),
                format!(r#"{{"userId":"{user}"}}"#),
            ),
            7 => (
                Method::Post,
                format!("/{channel}/turn/bypass"),
                format!(
                    r#"{{"userId":"{user}","bypass":{}}}"#,
                    self.rng.chance(1, 2)
                ),
            ),
            8 => (
                Method::Post,
                format!("/{channel}/ack"),
                match self.in_channel(channel).max_by_key(|it| it.seq) {
                    Some(message) => format!(r#"{{"messageId":"{}"}}"#, message.id),
                    None => "{}".into(),
                },
            ),
            _ => (
                Method::Post,
                format!("/{channel}/messages"),
                match self.rng.below(8) {
                    0 => r#"{"content":"x"}"#.into(),
                    1 => r#"{"content":"<@user.name:X> <@user.name:Y>","nonce":"1"}"#.into(),
                    2 => r#"{"content":"<@user.name:X>"}"#.into(),
                    3 => r#"{"content":"/no-reply"}"#.into(),
                    4 => r#"{"content":"/force-proceed","nonce":"2"}"#.into(),
                    5 => format!(r#"{{"content":"<@{user}> <@a>"}}"#),
                    _ => r#"{"content":3}"#.into(),
                },
            ),
        };
        (method, format!("/channels{path}"), body)
    }

    fn frame(&mut self) -> Input {
        let conn = ConnId(self.conns.saturating_sub(self.rng.below(3)));
        let channel = self.channel();
        let text = match self.rng.below(12) {
            10 => format!(r#"42/realtime,1["typing",{{"channelId":"{channel}"}}]"#),
            11 => format!(
                r#"42/realtime,1["presence",{{"status":"s{}"}}]"#,
                self.rng.below(3)
            ),
            0..3 => format!(r#"40/realtime,{{"token":"{}"}}"#, self.token()),
            3 | 8 | 9 => "3".into(),
            4 => "41/realtime,".into(),
            5 => format!(r#"42/realtime,1["leave_channel",{{"channelId":"{channel}"}}]"#),
            _ => format!(r#"42/realtime,1["join_channel",{{"channelId":"{channel}"}}]"#),
        };
        let event = if self.rng.chance(1, 20) {
            ws::Event::Closed(ws::Closed::TooLarge)
        } else {
            ws::Event::Frame(Frame::Text(text.into()))
        };
        Input::Arrival(Arrival::Transport(conn, event))
    }

    fn input(&mut self) -> Option<Input> {
        match self.rng.below(20) {
            0..7 => self.answer(),
            7..12 => Some(self.request()),
            12..16 => Some(self.frame()),
            16 if self.rng.chance(1, 3) => {
                self.conns += 1;
                Some(Input::Arrival(Arrival::Socket {
                    conn: ConnId(self.conns),
                    sid: None,
                    fresh: Secret::new(&format!("s{}", self.conns)),
                    base64: false,
                }))
            }
            17 => {
                let call = self
                    .calls
                    .first()
                    .copied()
                    .filter(|_| self.rng.chance(1, 4))?;
                self.calls.remove(&call);
                Some(Input::HttpGone(CallId(call)))
            }
            _ => {
                let wall = Wall::default() + self.now.since(Time::ZERO);
                Some(Input::Clock(wall))
            }
        }
    }

    /// Most seeds begin with two sockets in the room of a channel that both users are in, so that
    /// others hear of what happens.
    fn begin(&mut self) {
        for user in ["a0", "b0"] {
            self.conns += 1;
            let conn = ConnId(self.conns);
            self.step(Some(Input::Arrival(Arrival::Socket {
                conn,
                sid: None,
                fresh: Secret::new(&format!("s{}", self.conns)),
                base64: false,
            })));
            self.say(conn, format!(r#"40/realtime,{{"token":"{user}"}}"#));
            if self.channels.len() < 2 {
                let x_type = self.pick(&["general", "discuss"]).unwrap();
                let body = format!(
                    r#"{{"name":"x","xType":"{x_type}","isPublic":true,"memberUserIds":["b"]}}"#
                );
                let request = self.http(Method::Post, "/channels".into(), body, "a0");
                self.step(Some(request));
            }
            self.settle();
            let channel = self.channel();
            self.say(
                conn,
                format!(r#"42/realtime,1["join_channel",{{"channelId":"{channel}"}}]"#),
            );
        }
        if self.rng.chance(1, 4) {
            let conn = ConnId(self.conns);
            let status = r#"42/realtime,["presence",{"status":"away"}]"#;
            self.say(conn, status.into());
            let closed = ws::Event::Closed(ws::Closed::TooLarge);
            self.step(Some(Input::Arrival(Arrival::Transport(conn, closed))));
        }
    }

    fn say(&mut self, conn: ConnId, text: String) {
        let frame = ws::Event::Frame(Frame::Text(text.into()));
        self.step(Some(Input::Arrival(Arrival::Transport(conn, frame))));
    }

    /// Everything that is asked is answered.
    fn settle(&mut self) {
        while !self.open.is_empty() {
            let input = self.answer();
            self.step(input);
        }
    }

    fn run(mut self, steps: usize) -> String {
        self.begin();
        for _ in 0..steps {
            if self.rng.chance(1, 3) {
                let span = self.rng.below(1_500);
                self.now = self.now + Duration::from_millis(span);
            }
            let input = self.input();
            self.step(input);
            let mut copy = self.guild.clone();
            let mut out = Vec::new();
            copy.tick(self.now, &mut out);
            assert!(out.is_empty() && copy == self.guild, "an idle tick is free");
            if self.over {
                break;
            }
        }
        if !self.over {
            self.wakes_arrive();
            // What is asked for must be over before it is silent.
            let mut out = Vec::new();
            step(&mut self.guild, self.now, Some(Input::Shutdown), &mut out);
            out.into_iter().for_each(|output| self.note(output));
            self.end();
        }
        for _ in 0..50 {
            let input = self.input();
            let calls = core::mem::take(&mut self.calls);
            self.step(input);
            drop(calls);
        }
        self.log
    }
}

#[test]
fn random_histories_keep_the_laws_and_replay_to_the_same_bytes() {
    let mut unmet = BTreeSet::from([
        "message.created",
        "channel.joined",
        "channel.left",
        "channel.updated",
        "message.updated",
        "message.deleted",
        "canvas.updated",
        "NoCanvas(",
        "typing\\\",{\\\"channelId\\\":",
        "presence\\\",{\\\"userId\\\":",
        "offline",
        "43/realtime,1[{\\\"ok\\\":true,\\\"lastSeq\\\"",
        "forbidden",
        "token_expired",
        "token_expired",
        "too_many_sockets",
        "unavailable",
        "unauthorized",
        "status: 201",
        "status: 400",
        "status: 401",
        "status: 403",
        "status: 404",
        "status: 408",
        "status: 409",
        "status: 429",
        "status: 503",
        "Forget(Introspect",
        "Forget(Resolve",
        "Forget(Load",
        "Forget(Receive",
        "Deliver",
        "Discard",
        "Fatal",
        "Commanded",
        "Rewoken",
        "rewake\\\":true",
        "acked\\\":true",
    ]);
    for seed in 0..32 {
        let log = History::new(seed).run(600);
        unmet.retain(|words| !log.contains(words));
        assert!(
            log == History::new(seed).run(600),
            "seed {seed} does not replay"
        );
    }
    assert_eq!(unmet, BTreeSet::new(), "what was never met proves nothing");
}
