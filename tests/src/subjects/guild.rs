//! The guild node under the laws: with a Center, a store, and clients around it.

use std::time::Duration;

use bytes::Bytes;
use selvedge_core::{
    Machine as _, RequestId, Rng, Secret, Time, Wall,
    engineio::sessions::{Arrival, Effect},
    fabric::{
        center::{Introspection, User},
        turns::Command,
        types::{Author, Canvas, Format, Message, Page},
    },
    guild::{
        self, Config, Limits,
        fact::Fact,
        file::Received,
        io::{
            Input, Introspect, Load, Loaded, NotReceived, Output, Query, Question, Receive,
            Resolve, Store, Unavailable,
        },
    },
    http::{CallId, Method, Request},
    id::{ChannelId, FileId, GuildId, MessageId, NodeId, UserId},
    ws::{Action, ConnId, Event, Frame},
};

use super::peer::{Peer, closed, take, text};
use crate::{
    history::{Choice, Subject, Traffic, Wire},
    laws::SECRET_MARK,
};

/// When the node's wall clock starts.
const WALL: i64 = 1_790_000_000_000;

/// How many messages the world remembers: more than it asks for.
const MESSAGES_MAX: usize = 32;

/// A guild node and the world around it.
#[derive(Clone, Debug, Default)]
pub struct Guild {
    tokens: Vec<(RequestId<Introspect>, String)>,
    names: Vec<RequestId<Resolve>>,
    stores: Vec<RequestId<Store>>,
    loads: Vec<(RequestId<Load>, Query)>,
    uploads: Vec<(RequestId<Receive>, FileId)>,
    /// The last file that was uploaded.
    file: Option<FileId>,
    /// Open connections, and whether each has sent its CONNECT.
    conns: Vec<(ConnId, bool)>,
    channels: Vec<ChannelId>,
    /// The last messages that were posted, oldest first.
    messages: Vec<Message>,
    next_call: u64,
    next_conn: u64,
    minutes: i64,
    /// How many sessions began by polling.
    polled: u64,
    /// A post whose body is being read.
    posting: Option<CallId>,
    over: bool,
}

fn down() -> Unavailable {
    Unavailable("down".to_string())
}

fn user(a: u64) -> UserId {
    let id = UserId::new(&format!("user{}", a % 4));
    id.unwrap_or_else(|| unreachable!("it is an id"))
}

fn received(b: u64) -> Result<Received, NotReceived> {
    match b % 4 {
        0 => Err(NotReceived::TooLarge),
        _ => Ok(Received {
            name: None,
            mime: None,
            bytes: b % 512,
        }),
    }
}

fn token(a: u64) -> String {
    format!("{SECRET_MARK}.user{}", a % 4)
}

impl Guild {
    fn introspection(token: &str, b: u64) -> Option<Introspection> {
        let user = token.strip_prefix(SECRET_MARK)?.strip_prefix('.')?;
        let active = b % 16 != 15;
        Some(Introspection {
            active,
            user_id: UserId::new(user).filter(|_| active),
            name: Some(format!("name{}", u8::from(b % 16 == 14))),
            guild_id: GuildId::new("g1"),
            expires_at: Some(Wall::from_millis(WALL) + Duration::from_secs(b % 8 * 900)),
        })
    }

    fn loaded(&self, query: &Query, b: u64) -> Loaded {
        match query {
            Query::Nonce { .. } if b % 64 == 63 => match self.channels.first() {
                Some(channel) => Loaded::Command {
                    channel: channel.clone(),
                    command: Command::NoReply,
                },
                None => Loaded::Message(None),
            },
            Query::Newest { channel, not_by } => {
                let newest =
                    self.messages.iter().rev().find(|message| {
                        message.channel_id == *channel && message.author.id != *not_by
                    });
                Loaded::Message(newest.cloned().map(Box::new))
            }
            Query::Nonce { .. } => Loaded::Message(None),
            Query::Message(id) => Loaded::Message(Self::message(id, b)),
            Query::Canvas(channel_id) => Loaded::Canvas((b % 4 != 3).then(|| {
                Box::new(Canvas {
                    channel_id: channel_id.clone(),
                    format: Format::Md,
                    title: String::new(),
                    content: "x".to_string(),
                    shared_by: user(b),
                    created_at: Wall::from_millis(WALL),
                    updated_at: Wall::from_millis(WALL),
                })
            })),
            Query::Attached(_) => {
                let channel = self.channel(b).filter(|_| b % 4 != 3);
                Loaded::Channels(channel.into_iter().collect())
            }
            Query::History { .. } => Loaded::Page(Page {
                messages: vec![],
                has_more: b.is_multiple_of(2),
            }),
        }
    }

    /// The message of this id, as a store might have it: of one user or another, or not at all.
    fn message(id: &MessageId, b: u64) -> Option<Box<Message>> {
        let (of, _time) = id.as_str().rsplit_once('-')?;
        let (channel, seq) = of.rsplit_once('-')?;
        Some(Box::new(Message {
            id: id.clone(),
            channel_id: ChannelId::new(channel)?,
            guild_id: GuildId::new("g1"),
            seq: seq.parse().ok()?,
            author: Author {
                id: user(b),
                name: String::new(),
            },
            content: "x".to_string(),
            reply_to_id: None,
            mentions: vec![],
            attachments: vec![],
            created_at: Wall::from_millis(WALL),
            edited_at: None,
            deleted_at: (b % 8 == 7).then(|| Wall::from_millis(WALL)),
            nonce: None,
            wakeup: None,
            rewake: None,
            wake_id: None,
        }))
    }

    fn channel(&self, a: u64) -> Option<ChannelId> {
        let at = (a as usize).checked_rem(self.channels.len());
        match at.and_then(|at| self.channels.get(at)) {
            Some(channel) => Some(channel.clone()),
            None => ChannelId::new("nowhere"),
        }
    }

    fn http(&mut self, method: Method, target: String, body: &str, a: u64) -> Input {
        self.next_call += 1;
        Input::Http {
            call: CallId(self.next_call),
            request: Request {
                method,
                target: format!("/api{target}"),
                bearer: (a % 32 != 31).then(|| Secret::new(&token(a))),
                body: Bytes::copy_from_slice(body.as_bytes()),
            },
        }
    }

    fn rest(&mut self, kind: u8, a: u64, b: u64) -> Option<Input> {
        let channel = self.channel(b)?;
        let user = format!("user{}", b / 8 % 5);
        let nonce = b / 16 % 32;
        Some(match kind {
            0 => {
                let x_type = ["general", "dm", "discuss", "triage"].get((b % 4) as usize)?;
                let body = format!(
                    r#"{{"name":"n{}","xType":"{x_type}","isPublic":{},"memberUserIds":["user{}","{user}"]}}"#,
                    b % 9,
                    b % 8 > 3,
                    a / 4 % 4,
                );
                self.http(Method::Post, "/channels".to_string(), &body, a)
            }
            1 | 2 => {
                let mention = if b % 4 == 1 {
                    " <@user.name:name1> <@user.name:name2>"
                } else {
                    ""
                };
                let body = if b % 16 == 7 {
                    r#"{"content":"/no-reply"}"#.to_string()
                } else if b % 16 == 11 {
                    format!(r#"{{"content":"/force-proceed","nonce":"n{nonce}"}}"#)
                } else if b % 16 == 15 {
                    format!(r#"{{"content":"<@{user}> <@user{}>"}}"#, a / 4 % 4)
                } else if b % 4 == 3 {
                    format!(r#"{{"content":"hello{mention}"}}"#)
                } else {
                    format!(r#"{{"content":"hello{mention}","nonce":"n{nonce}"}}"#)
                };
                self.http(
                    Method::Post,
                    format!("/channels/{channel}/messages"),
                    &body,
                    a,
                )
            }
            3 if b % 4 == 3 => {
                let file = match &self.file {
                    Some(file) => file.to_string(),
                    None => "f".to_string(),
                };
                let carrying = format!(r#"{{"content":"","attachments":[{{"id":"{file}"}}]}}"#);
                match b / 4 % 3 {
                    0 => self.http(Method::Post, "/files".to_string(), "", a),
                    1 => self.http(Method::Get, format!("/files/{file}"), "", a),
                    _ => {
                        let target = format!("/channels/{channel}/messages");
                        self.http(Method::Post, target, &carrying, a)
                    }
                }
            }
            3 => {
                let target = format!("/channels/{channel}/messages?limit={}", b % 300);
                self.http(Method::Get, target, "", a)
            }
            4 => {
                let body = format!(r#"{{"userId":"{user}"}}"#);
                self.http(
                    Method::Post,
                    format!("/channels/{channel}/members"),
                    &body,
                    a,
                )
            }
            5 => {
                let target = format!("/channels/{channel}/members/{user}");
                self.http(Method::Delete, target, "", a)
            }
            6 => {
                let way = if b.is_multiple_of(2) { "join" } else { "leave" };
                self.http(Method::Post, format!("/channels/{channel}/{way}"), "", a)
            }
            7 => {
                let body = format!(r#"{{"name":"x","closed":{}}}"#, b.is_multiple_of(16));
                self.http(Method::Patch, format!("/channels/{channel}"), &body, a)
            }
            8 => self.http(Method::Get, "/channels?guildId=g1".to_string(), "", a),
            9 | 10 => {
                let mut known = self.messages.iter();
                let skipped = usize::try_from(b / 64 % 3).ok()?;
                let id = match known.nth_back(skipped) {
                    Some(message) => message.id.to_string(),
                    None => format!("{channel}-1-0"),
                };
                let target = format!("/messages/{id}");
                match b % 3 {
                    0 => self.http(Method::Delete, target, "", a),
                    1 => self.http(Method::Patch, target, r#"{"content":"new"}"#, a),
                    _ => {
                        let body = r#"{"content":"<@user.name:name1>"}"#;
                        self.http(Method::Patch, target, body, a)
                    }
                }
            }
            11 => {
                let target = format!("/channels/{channel}/canvas");
                let body = r#"{"format":"md","title":"t","content":"c"}"#;
                let method = [Method::Put, Method::Patch, Method::Delete, Method::Get];
                self.http(*method.get((b % 4) as usize)?, target, body, a)
            }
            12 => {
                let body = format!(r#"[{{"name":"n{}"}}]"#, b % 3);
                let method = [Method::Put, Method::Get];
                self.http(
                    *method.get((b % 2) as usize)?,
                    "/commands".to_string(),
                    &body,
                    a,
                )
            }
            13 => {
                let body = format!(r#"{{"userId":"{user}","bypass":{}}}"#, a % 8 > 3);
                let target = format!("/channels/{channel}/turn/bypass");
                self.http(Method::Post, target, &body, a)
            }
            14 if a.is_multiple_of(8) => {
                self.http(Method::Get, format!("/channels/{channel}/turn"), "", a / 8)
            }
            14 => {
                let message = match self.messages.last() {
                    Some(message) => message.id.to_string(),
                    None => "m".to_string(),
                };
                let body = format!(r#"{{"messageId":"{message}"}}"#);
                self.http(Method::Post, format!("/channels/{channel}/ack"), &body, a)
            }
            _ => self.http(Method::Put, format!("/{b}%zz?{b}"), "{", a),
        })
    }

    fn accepted(&mut self) -> Input {
        self.next_conn += 1;
        let conn = ConnId(self.next_conn);
        self.conns.push((conn, false));
        Input::Arrival(Arrival::Socket {
            conn,
            sid: None,
            fresh: Secret::new(&format!("{SECRET_MARK}-sid{}", conn.0)),
            base64: false,
        })
    }

    /// A poll, or a post with a CONNECT or a join, in a session of the node.
    fn poll(&mut self, a: u64, b: u64) -> Option<Input> {
        self.next_call += 1;
        let call = CallId(self.next_call);
        if let Some(call) = self.posting.take() {
            let channel = self.channel(b)?;
            let body = format!(
                "40/realtime,{{\"token\":\"{}\"}}\u{1e}42/realtime,0[\"join_channel\",{{\"channelId\":\"{channel}\"}}]\u{1e}3",
                token(b)
            );
            let body = body.into();
            return Some(Input::Arrival(Arrival::Post { call, body }));
        }
        let sid = |number: u64| Secret::new(&format!("{SECRET_MARK}-poll{number}"));
        let known = sid(self.polled.saturating_sub(b % 2));
        Some(Input::Arrival(if a.is_multiple_of(4) {
            self.polled += 1;
            let (sid, fresh) = (None, sid(self.polled));
            Arrival::Poll { call, sid, fresh }
        } else if a % 4 == 1 {
            self.posting = Some(call);
            Arrival::Posting { call, sid: known }
        } else {
            let (sid, fresh) = (Some(known), sid(0));
            Arrival::Poll { call, sid, fresh }
        }))
    }

    fn on_conn(&mut self, a: u64, b: u64) -> Option<Input> {
        let channel = self.channel(b)?;
        let at = (a as usize).checked_rem(self.conns.len())?;
        let (conn, connected) = self.conns.get_mut(at)?;
        let frame = if *connected {
            let event = [
                "join_channel",
                "join_channel",
                "leave_channel",
                "typing",
                "presence",
            ];
            let event = event.get((b / 8 % 5) as usize)?;
            text(&format!(
                r#"42/realtime,{}["{event}",{{"channelId":"{channel}","status":"s{}"}}]"#,
                b % 100,
                b % 3
            ))
        } else {
            *connected = true;
            text(&format!(r#"40/realtime,{{"token":"{}"}}"#, token(b)))
        };
        Some(Input::Arrival(Arrival::Transport(
            *conn,
            Event::Frame(frame),
        )))
    }

    fn frame(&self, a: u64, frame: Frame) -> Option<Input> {
        let at = (a as usize).checked_rem(self.conns.len())?;
        let (conn, _) = self.conns.get(at)?;
        Some(Input::Arrival(Arrival::Transport(
            *conn,
            Event::Frame(frame),
        )))
    }

    fn plausible(&mut self, a: u64, b: u64) -> Option<Input> {
        if let Some((id, token)) = take(&mut self.tokens, a) {
            return Some(Input::Introspected(id, Ok(Self::introspection(&token, 7)?)));
        }
        if !self.stores.is_empty() {
            return Some(Input::Stored(self.stores.remove(0), Ok(())));
        }
        if let Some((id, query)) = take(&mut self.loads, a) {
            return Some(Input::Loaded(id, Ok(self.loaded(&query, b))));
        }
        if let Some(id) = take(&mut self.names, a) {
            let id_of = UserId::new("user1")?;
            let name = "name1".to_string();
            return Some(Input::Resolved(id, Ok(Some(User { id: id_of, name }))));
        }
        if self.channels.len() < 2 {
            // A public one of each kind: with turns, and without.
            let x_type = if self.channels.is_empty() { 0 } else { 2 };
            return self.rest(0, a | 3, (b | 4) & !3 | x_type);
        }
        if self.conns.len() < 3 {
            return Some(self.accepted());
        }
        if a.is_multiple_of(3) {
            return self.rest(1, a, b);
        }
        self.on_conn(a, b)
    }
}

impl Subject for Guild {
    type Input = Input;
    type Output = Output;
    type Machine = guild::Guild;

    const KINDS: u8 = 38;
    const PATIENT: bool = false;
    /// 6 channels of 4 users, 8 sockets, 16 calls, 40 effects, 8 tokens.
    const DEBUG_MAX: usize = 200_000;

    fn start(now: Time) -> (Self, guild::Guild) {
        let id = (NodeId::new("n1"), GuildId::new("g1"));
        let (Some(node), Some(id)) = id else {
            unreachable!("both are ids");
        };
        let config = Config {
            limits: Limits {
                sockets_max: 8,
                sockets_per_user_max: 3,
                calls_max: 16,
                calls_per_user_max: 8,
                events_max: 12,
                calls_burst_max: 20,
                effects_max: 40,
                channels_max: 6,
                members_max: 4,
                channels_per_user_max: 5,
                tokens_max: 8,
                introspections_max: 3,
                files_max: 3,
                uploads_max: 2,
                ..Limits::default()
            },
            ..Config::new(node, id)
        };
        let mut node = guild::Guild::new(config, Rng::from_number(5), vec![]);
        let clock = Input::Clock(Wall::from_millis(WALL));
        node.handle(now, clock, &mut Vec::new());
        (Self::default(), node)
    }

    fn decode(&mut self, Choice { kind, a, b }: Choice) -> Option<Input> {
        Some(match kind % Self::KINDS {
            0..=3 => return self.plausible(a, b),
            4 => {
                let (id, token) = take(&mut self.tokens, a)?;
                if b.is_multiple_of(4) {
                    return Some(Input::Introspected(id, Err(down())));
                }
                Input::Introspected(id, Ok(Self::introspection(&token, b)?))
            }
            5 => Input::Introspected(
                RequestId::from_number(a % 64),
                Ok(Self::introspection(&token(a), b)?),
            ),
            6 => match take(&mut self.names, a) {
                Some(id) if b.is_multiple_of(2) => Input::Resolved(id, Ok(None)),
                Some(id) => Input::Resolved(id, Err(down())),
                None => Input::Resolved(RequestId::from_number(a % 64), Ok(None)),
            },
            7 => {
                let (id, query) = take(&mut self.loads, a)?;
                match b % 3 {
                    0 => Input::Loaded(id, Err(down())),
                    1 => Input::Loaded(id, Ok(Loaded::Message(None))),
                    _ => Input::Loaded(id, Ok(self.loaded(&query, b))),
                }
            }
            8 => Input::Loaded(RequestId::from_number(a % 64), Ok(Loaded::Message(None))),
            9 if a % 4 == 0 => Input::Stored(take(&mut self.stores, b)?, Err(down())),
            10 => {
                let id = RequestId::from_number(a % 64);
                if self.stores.contains(&id) {
                    return None;
                }
                Input::Stored(id, Ok(()))
            }
            11 => self.accepted(),
            12..=14 => return self.on_conn(a, b),
            15 if a.is_multiple_of(2) => {
                let (id, file) = take(&mut self.uploads, b)?;
                Input::Received(id, file, received(b))
            }
            15 if a % 16 == 1 => {
                let file = FileId::new("late")?;
                Input::Received(RequestId::from_number(b % 64), file, received(b))
            }
            15 => return self.frame(a, text("3")),
            16 if a.is_multiple_of(4) => return self.frame(b, Peer::default().odd(a / 4, b)),
            17 if a.is_multiple_of(4) => {
                let (conn, _) = take(&mut self.conns, b)?;
                Input::Arrival(Arrival::Transport(conn, closed(b)))
            }
            18 => Input::HttpGone(CallId(self.next_call.saturating_sub(a % 6))),
            19 => {
                self.minutes += 1;
                Input::Clock(Wall::from_millis(WALL + self.minutes * 60_000))
            }
            kind @ 20..=35 => return self.rest(kind - 20, a, b),
            36 => return self.poll(a, b),
            37 if a % 64 == 0 => self.end(),
            _ => return None,
        })
    }

    fn heard(&mut self, output: &Output) {
        match output {
            Output::Introspect(id, token) => self.tokens.push((*id, token.expose().to_string())),
            Output::Resolve(id, _) => self.names.push(*id),
            Output::Store(id, facts) => {
                self.stores.push(*id);
                for fact in facts {
                    if let Fact::Channel(row) = fact
                        && !self.channels.contains(&row.id)
                    {
                        self.channels.push(row.id.clone());
                    }
                    if let Fact::File(row) = fact {
                        self.file = Some(row.id.clone());
                    }
                    if let Fact::Posted { message, .. } = fact {
                        self.messages.push((**message).clone());
                        let old = self.messages.len().saturating_sub(MESSAGES_MAX);
                        self.messages.drain(..old);
                    }
                }
            }
            Output::Load(id, query) => self.loads.push((*id, query.clone())),
            Output::Forget(Question::Introspect(id)) => self.tokens.retain(|(it, _)| it != id),
            Output::Forget(Question::Resolve(id)) => self.names.retain(|it| it != id),
            Output::Forget(Question::Load(id)) => self.loads.retain(|(it, _)| it != id),
            Output::Receive(id, incoming) => self.uploads.push((*id, incoming.file.clone())),
            Output::Forget(Question::Receive(id)) => self.uploads.retain(|(it, _)| it != id),
            Output::Effect(Effect::Transport(conn, Action::Close)) => {
                self.conns.retain(|(it, _)| it != conn)
            }
            Output::Fatal(_) => self.over = true,
            Output::Effect(Effect::Answer { call, .. }) => {
                self.posting.take_if(|it| it == call);
            }
            Output::Effect(Effect::Transport(_, Action::Send(_)))
            | Output::Respond { .. }
            | Output::Deliver { .. }
            | Output::Discard(_) => {}
        }
    }

    fn end(&mut self) -> Input {
        self.over = true;
        Input::Shutdown
    }

    fn is_over(&self) -> bool {
        self.over
    }

    fn of_input(input: &Input) -> Option<Traffic> {
        match input {
            Input::Introspected(id, _) => Some(Traffic::Answer(("introspect", id.number()))),
            Input::Resolved(id, _) => Some(Traffic::Answer(("resolve", id.number()))),
            Input::Loaded(id, _) => Some(Traffic::Answer(("load", id.number()))),
            Input::Received(id, ..) => Some(Traffic::Answer(("receive", id.number()))),
            Input::Stored(id, _) => Some(Traffic::Answer(("store", id.number()))),
            Input::Http { call, .. } => Some(Traffic::Call(("rest", call.0))),
            Input::HttpGone(call) => Some(Traffic::Gone(("rest", call.0))),
            Input::Arrival(Arrival::Poll { call, .. } | Arrival::Posting { call, .. }) => {
                Some(Traffic::Call(("poll", call.0)))
            }
            Input::Clock(_)
            | Input::Arrival(
                Arrival::Socket { .. }
                | Arrival::Transport(..)
                | Arrival::Post { .. }
                | Arrival::Gone { .. },
            )
            | Input::Shutdown => None,
        }
    }

    fn on_wire(output: &Output) -> Option<Wire> {
        match output {
            Output::Effect(Effect::Transport(conn, Action::Send(_))) => Some(Wire::Uses(*conn)),
            Output::Effect(Effect::Transport(conn, Action::Close)) => Some(Wire::Ends(*conn)),
            Output::Effect(Effect::Answer { .. })
            | Output::Respond { .. }
            | Output::Introspect(..)
            | Output::Resolve(..)
            | Output::Store(..)
            | Output::Load(..)
            | Output::Receive(..)
            | Output::Deliver { .. }
            | Output::Discard(_)
            | Output::Forget(_)
            | Output::Fatal(_) => None,
        }
    }

    fn of_output(output: &Output) -> Option<Traffic> {
        match output {
            Output::Introspect(id, _) => Some(Traffic::Ask(("introspect", id.number()))),
            Output::Resolve(id, _) => Some(Traffic::Ask(("resolve", id.number()))),
            Output::Load(id, _) => Some(Traffic::Ask(("load", id.number()))),
            Output::Receive(id, _) => Some(Traffic::Ask(("receive", id.number()))),
            Output::Forget(Question::Receive(id)) => {
                Some(Traffic::Forget(("receive", id.number())))
            }
            Output::Store(id, _) => Some(Traffic::Order(("store", id.number()))),
            Output::Forget(Question::Introspect(id)) => {
                Some(Traffic::Forget(("introspect", id.number())))
            }
            Output::Forget(Question::Resolve(id)) => {
                Some(Traffic::Forget(("resolve", id.number())))
            }
            Output::Forget(Question::Load(id)) => Some(Traffic::Forget(("load", id.number()))),
            Output::Respond { call, .. } | Output::Deliver { call, .. } => {
                Some(Traffic::Reply(("rest", call.0)))
            }
            Output::Effect(Effect::Answer { call, .. }) => Some(Traffic::Reply(("poll", call.0))),
            Output::Effect(Effect::Transport(..)) | Output::Discard(_) | Output::Fatal(_) => None,
        }
    }
}
