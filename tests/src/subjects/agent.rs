//! The agent under the laws: with a Center, guilds and a host around it.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use selvedge_core::{
    RequestId, Rng, Secret, Time,
    fabric::{
        bodies::CreateChannel,
        center::{Grant, Session, User},
        types::XType,
    },
    http::{CallId, Failure, Method, Response},
    id::{AgentId, ChannelId, GuildId, MessageId, NodeId, TurnId, UserId},
    plugin::{
        agent,
        config::{Config, Profile},
        io::{Claim, HostEvent, Http, Input, Login, LoginFailure, Output, Question, Store},
        kept::{Change, Cursor, Kept, KeptAgent, KeptChannel, Notice, TurnRecord, TurnState},
        tools::{Ask, Tool},
    },
    ws::{Action, ConnId, Event, Frame},
};

use super::peer::{Peer, channel_json, closed, message_json, take};
use crate::{
    history::{Choice, Subject, Traffic, Wire},
    laws::SECRET_MARK,
};

/// An agent whose host loses notifications, and the world around it.
pub type ClaudeAgent = Agent<true>;

/// An agent and the world around it; `CLAUDE`: its host is of that profile.
#[derive(Clone, Debug, Default)]
pub struct Agent<const CLAUDE: bool = false> {
    /// Logins to admit, to answer, and all there ever were.
    fresh: Vec<RequestId<Login>>,
    admitted: Vec<RequestId<Login>>,
    logins: Vec<RequestId<Login>>,
    requests: Vec<(RequestId<Http>, Method, String)>,
    requests_ever: Vec<RequestId<Http>>,
    /// Batches that the store has not answered, and all there ever were.
    stores: Vec<RequestId<Store>>,
    claim: Option<RequestId<Claim>>,
    stores_ever: Vec<RequestId<Store>>,
    dialing: Vec<ConnId>,
    peers: BTreeMap<ConnId, Peer>,
    turns: Vec<TurnId>,
    connections: u64,
    next_call: u64,
    /// What the host has done towards its first inbound.
    begun: u8,
    /// Turns whose notification is on its way to such a host.
    unwritten: Vec<TurnId>,
    over: bool,
}

impl<const CLAUDE: bool> Agent<CLAUDE> {
    fn session(a: u64, b: u64) -> Option<Session> {
        let user = if b % 256 == 255 { "u_other" } else { "u_self" };
        let grant = |guild: u64| {
            Some(Grant {
                node_id: NodeId::new("node")?,
                guild_id: GuildId::new(&format!("g{guild}"))?,
                base_url: (a % 16 != 15).then(|| format!("http://127.0.0.1:{}", 7002 + guild)),
                token: Secret::new(&format!("{SECRET_MARK}.{guild}\"{b}\\.{a}")),
                life: match b % 8 {
                    0 => Duration::from_secs(1),
                    1 => Duration::MAX,
                    // Connections are replaced before the guild's silence ends them.
                    2 | 3 => Duration::from_secs(20),
                    _ => Duration::from_secs(900),
                },
            })
        };
        let grants = match a % 8 {
            0 => vec![],
            1 => vec![grant(0)?],
            2 => (0..6).filter_map(grant).collect(),
            _ => vec![grant(0)?, grant(1)?],
        };
        Some(Session {
            user: User {
                id: UserId::new(user)?,
                name: "self".to_string(),
            },
            grants,
        })
    }

    fn response(method: Method, target: &str, a: u64, b: u64) -> Result<Response, Failure> {
        let body = if target.ends_with("/ack") {
            format!(r#"{{"ok":true,"acked":{}}}"#, !b.is_multiple_of(4))
        } else if ["/members", "/join", "/leave"]
            .iter()
            .any(|end| target.ends_with(end))
        {
            if method == Method::Get {
                "[]".to_string()
            } else {
                format!(r#"{{"ok":true,"changed":{}}}"#, b.is_multiple_of(2))
            }
        } else if target.ends_with("/messages?limit=1&afterSeq=0&beforeSeq=2") {
            let first = message_json(a % 5, 1, "u_self", "false", "tea?\\n\\norigin: c1", false);
            format!(r#"{{"messages":[{first}],"hasMore":false}}"#)
        } else if method == Method::Post && target.ends_with("/channels") {
            channel_json(a % 8, b)
        } else if method == Method::Post {
            message_json(a % 5, b % 50, "u_self", "false", "posted", false)
        } else if let Some((_, rest)) = target.split_once("/messages?") {
            Self::page(target, rest, a, b)
        } else if target.contains('?') {
            let channels: Vec<_> = (0..3 + a % 4).map(|id| channel_json(id, b + id)).collect();
            format!("[{}]", channels.join(","))
        } else {
            let id = target.rsplit("/c").next().and_then(|id| id.parse().ok());
            channel_json(id.unwrap_or_default(), b)
        };
        Ok(Response {
            status: 200,
            retry_after: None,
            body: Bytes::from(body),
        })
    }

    /// A page of history: mostly what was asked for, and now and then with holes or with more.
    fn page(target: &str, query: &str, a: u64, b: u64) -> String {
        let channel = target.split("/c").nth(2).unwrap_or_default();
        let channel = channel.split('/').next().and_then(|id| id.parse().ok());
        let after = query.split("afterSeq=").nth(1);
        let after = after.and_then(|rest| rest.split('&').next());
        let after: u64 = after.and_then(|seq| seq.parse().ok()).unwrap_or(a % 50);
        let rows: Vec<_> = (1..=b % 9)
            .filter(|row| (a >> row) % 4 != 3)
            .map(|row| {
                let author = if (b >> row).is_multiple_of(4) {
                    "u_self"
                } else {
                    "u_a"
                };
                let wakeup = if (b >> row).is_multiple_of(3) {
                    "null"
                } else {
                    "true"
                };
                let channel = channel.unwrap_or(row % 5);
                let seq = after.saturating_add(row);
                message_json(channel, seq, author, wakeup, "read", (a >> row) % 8 == 1)
            })
            .collect();
        let has_more = a.is_multiple_of(5);
        format!(
            r#"{{"messages":[{}],"hasMore":{has_more}}}"#,
            rows.join(",")
        )
    }

    fn bad_response(a: u64, b: u64) -> Result<Response, Failure> {
        let status = match a % 13 {
            0 => 401,
            1 => 403,
            2 => 404,
            3 => 409,
            4 => 413,
            5 | 6 => 429,
            7 => 500,
            8 => 200,
            9 => 302,
            10 => return Err(Failure::Broken("reset".into())),
            11 => return Err(Failure::TooLarge),
            _ => return Err(Failure::Unreachable("refused".into())),
        };
        Ok(Response {
            status,
            retry_after: match b % 4 {
                0 => Some(Duration::from_secs(b / 4 % 100)),
                1 if b % 16 == 1 => Some(Duration::MAX),
                _ => None,
            },
            body: Bytes::from_static(br#"{"message":"no"}"#),
        })
    }

    fn request(&mut self, a: u64) -> Option<(RequestId<Http>, Method, String)> {
        take(&mut self.requests, a)
    }

    fn login(&mut self, a: u64) -> Option<RequestId<Login>> {
        take(&mut self.admitted, a).or_else(|| take(&mut self.fresh, a))
    }

    fn dialed(&mut self, a: u64) -> Option<Input> {
        let conn = take(&mut self.dialing, a)?;
        self.connections += 1;
        let peer = Peer::with_messages(self.connections);
        self.peers.insert(conn, peer);
        Some(Input::Dialed(conn, Ok(())))
    }

    fn on_conn(&mut self, a: u64, frame: impl FnOnce(&mut Peer) -> Frame) -> Option<Input> {
        // Mostly the newest ones; the older are closed by now.
        let at = self.peers.len().checked_sub(1 + (a as usize) % 3)?;
        let (conn, peer) = self.peers.iter_mut().nth(at)?;
        Some(Input::Transport(*conn, Event::Frame(frame(peer))))
    }

    /// What a host of this profile begins with, and what becomes of what it is handed.
    fn begins(&mut self) -> Option<Input> {
        let event = match self.begun {
            0 => HostEvent::Ready { turns: false },
            1 => HostEvent::ToolsListed,
            _ => {
                return self
                    .unwritten
                    .pop()
                    .map(HostEvent::Written)
                    .map(Input::Host);
            }
        };
        self.begun += 1;
        Some(Input::Host(event))
    }

    fn plausible(&mut self, a: u64, b: u64) -> Option<Input> {
        if CLAUDE && let Some(begins) = self.begins() {
            return Some(begins);
        }
        if let Some(id) = take(&mut self.fresh, a) {
            self.admitted.push(id);
            return Some(Input::Admitted(id));
        }
        if let Some(id) = take(&mut self.admitted, a) {
            return Some(Input::LoggedIn(id, Ok(Self::session(a | 3, b | 2)?)));
        }
        if let Some(dialed) = self.dialed(a) {
            return Some(dialed);
        }
        if let Some((id, method, target)) = self.request(a) {
            return Some(Input::Http(id, Self::response(method, &target, a, b)));
        }
        if let Some(id) = self.claim.take() {
            return Some(Input::Claimed(id, Ok(())));
        }
        if let Some(id) = take(&mut self.stores, a) {
            return Some(Input::Stored(id, Ok(())));
        }
        self.on_conn(a, |peer| peer.next(a, b))
    }

    fn call(&mut self, tool: Tool) -> Input {
        self.next_call += 1;
        let call = CallId(self.next_call);
        Input::Host(HostEvent::Call { call, tool })
    }

    /// A tool that asks a guild, or none.
    fn tool(channel: ChannelId, guild: Option<GuildId>, b: u64) -> Option<Tool> {
        let ask = |ask| Tool::Ask {
            channel: channel.clone(),
            guild: guild.clone(),
            ask,
        };
        let users = |count: u64| (0..count).filter_map(|id| UserId::new(&format!("u{id}")));
        Some(match b % 12 {
            0 => Tool::ListChannels,
            1 => Tool::ListPending,
            2 => ask(Ask::Fields),
            3 => ask(Ask::Members),
            4 => ask(Ask::Join),
            5 => ask(Ask::Leave),
            6 => ask(Ask::Close),
            7 => ask(Ask::Delete(MessageId::new("m")?)),
            8 => Tool::CreateChannel {
                guild,
                body: Box::new(CreateChannel {
                    name: "n".to_string(),
                    x_type: XType::Report,
                    is_public: false,
                    member_user_ids: Vec::new(),
                    wake_mapping: Vec::new(),
                    bypass: Vec::new(),
                }),
            },
            9 => Tool::AddMembers {
                channel,
                guild,
                users: users(b / 12 % 4).collect(),
            },
            10 => Tool::StartDiscussion {
                channel,
                guild,
                topic: "tea".to_string(),
                users: users(2).collect(),
                opening: "tea?".to_string(),
            },
            _ => Tool::EndDiscussion {
                post_to: b.is_multiple_of(2).then(|| channel.clone()),
                channel,
                guild,
                summary: "green".to_string(),
            },
        })
    }

    fn turn(&self, a: u64) -> Option<TurnId> {
        let at = self.turns.len().checked_sub(1 + (a as usize) % 4);
        match at.and_then(|at| self.turns.get(at)) {
            Some(turn) => Some(turn.clone()),
            None => TurnId::new("t_unknown"),
        }
    }

    fn host(&mut self, kind: u8, a: u64, b: u64) -> Option<Input> {
        let channel = ChannelId::new(&format!("c{}", a % 5))?;
        let guild = match b % 3 {
            0 => None,
            other => GuildId::new(&format!("g{}", other - 1)),
        };
        Some(match kind {
            0 if a % 3 == 1 => Input::Host(HostEvent::ToolsListed),
            0 => Input::Host(HostEvent::Ready {
                turns: !a.is_multiple_of(4),
            }),
            1 => Input::Host(HostEvent::Written(self.turn(a)?)),
            2 => self.call(Tool::Send {
                channel,
                guild,
                content: if b % 32 == 31 { "" } else { "hello" }.to_string(),
                reply_to: None,
                attachments: vec![],
            }),
            3 => {
                let turn = self.turn(a)?;
                self.call(Tool::TurnDone { turn })
            }
            4 => self.call(Tool::NoReply { channel, guild }),
            5 => {
                let tool = Self::tool(channel, guild, b / 3)?;
                self.call(tool)
            }
            _ if b.is_multiple_of(4) => {
                let commands = match a % 4 {
                    0 => "{}".to_string(),
                    other => format!(r#"{{"commands":[{{"name":"c{other}"}}]}}"#),
                };
                Input::Host(HostEvent::Commands(commands))
            }
            _ => Input::Host(HostEvent::Cancelled(CallId(a % self.next_call.max(1)))),
        })
    }
}

/// What an earlier process has left: a channel with a turn of each kind, one that was just listed, and
/// one that was left.
fn kept(now: Time) -> Kept {
    let mut kept = Kept::default();
    let ids = (GuildId::new("g0"), UserId::new("u_self"));
    let (Some(guild), user) = ids else {
        return kept;
    };
    let agent = KeptAgent {
        name: Some("name".to_string()),
        user,
        alive_at: Some(now),
    };
    kept.apply(&[Change::Agent(agent), Change::Guild(guild.clone())]);
    for (id, cursor, left_at) in [
        ("c0", Some(4), None),
        ("c1", None, None),
        ("c2", Some(9), Some(now)),
    ] {
        let row = KeptChannel {
            cursor: cursor.map(|seq| Cursor { seq, at: None }),
            context_from: 2,
            left_at,
            notice: Notice::default(),
            missed_to: 6,
        };
        let channel = ChannelId::new(id).into_iter();
        kept.apply(&Vec::from_iter(channel.map(|channel| {
            Change::Channel(guild.clone(), channel, row.clone())
        })));
    }
    for (seq, state) in [
        (3, TurnState::Parked),
        (5, TurnState::Ended),
        (7, TurnState::Open),
        (9, TurnState::Open),
    ] {
        let ids = (
            TurnId::new(&format!("t_name_{seq}.0")),
            ChannelId::new("c0"),
            MessageId::new(&format!("m0-{seq}")),
        );
        let (Some(turn), Some(channel), Some(message)) = ids else {
            continue;
        };
        let record = TurnRecord {
            guild: guild.clone(),
            channel,
            messages: vec![(seq, message)],
            attempt: u32::from(seq == 9) * 2 + 1,
            context_from: seq,
            state,
            owes_pass: state != TurnState::Open,
            notice: Notice::default(),
        };
        kept.apply(&[Change::Turn(turn, record)]);
    }
    kept
}

impl<const CLAUDE: bool> Subject for Agent<CLAUDE> {
    type Input = Input;
    type Output = Output;
    type Machine = agent::Agent;

    const KINDS: u8 = 32;
    /// 3 guilds with 6 channels, 16 ids in dedup; the rest of it are the hard limits of 256 messages
    /// ahead, 1,000 early and 1,000 held ones at about 500 bytes in each guild.
    const DEBUG_MAX: usize = 3_000_000;

    fn start(now: Time) -> (Self, agent::Agent) {
        let agent_id = AgentId::new("echo").unwrap_or_else(|| unreachable!());
        let config = Config {
            dedup_max: 16,
            waiting_max: 2,
            waiting_agent_max: 5,
            waiting_bytes_max: 40,
            context_max: 5,
            calls_max: 8,
            channels_max: 6,
            guilds_max: 3,
            profile: if CLAUDE {
                Profile::Claude
            } else {
                Profile::Plexum
            },
            receipt_patience: Duration::from_secs(5),
            ..Config::new(agent_id)
        };
        // One of the two begins anew.
        let found = if CLAUDE { Kept::default() } else { kept(now) };
        let agent = agent::Agent::new(config, found, Rng::from_number(11));
        (Self::default(), agent)
    }

    fn decode(&mut self, Choice { kind, a, b }: Choice) -> Option<Input> {
        Some(match kind % Self::KINDS {
            0..=3 => return self.plausible(a, b),
            4 => Input::LoggedIn(self.login(a)?, Ok(Self::session(a, b)?)),
            5 => {
                let why = "down".to_string();
                let failure = match b % 4 {
                    0 => LoginFailure::Unavailable(why),
                    1 => LoginFailure::Refused {
                        status: 401,
                        message: why,
                    },
                    _ => LoginFailure::Refused {
                        status: 503,
                        message: why,
                    },
                };
                Input::LoggedIn(self.login(a)?, Err(failure))
            }
            6 => {
                let late = take(&mut self.logins.clone(), a);
                let id = late.unwrap_or_else(|| RequestId::from_number(b));
                if b % 2 == 0 {
                    return Some(Input::Admitted(id));
                }
                self.fresh.retain(|fresh| *fresh != id);
                self.admitted.retain(|admitted| *admitted != id);
                Input::LoggedIn(id, Ok(Self::session(3, 2)?))
            }
            7 => Input::Dialed(take(&mut self.dialing, a)?, Err("refused".to_string())),
            8 => Input::Dialed(ConnId(((a % 3) << 32) | (b % 8)), Ok(())),
            9 => {
                let (id, method, target) = self.request(a)?;
                Input::Http(id, Self::response(method, &target, a, b))
            }
            10 | 11 => Input::Http(self.request(a)?.0, Self::bad_response(a / 4, b)),
            12 => {
                let late = take(&mut self.requests_ever.clone(), a);
                let id = late.unwrap_or_else(|| RequestId::from_number(b));
                self.requests.retain(|(open, ..)| *open != id);
                Input::Http(id, Self::response(Method::Get, "?", a, b))
            }
            13..=15 => return self.on_conn(a, |peer| peer.push("message.created", a / 3, b)),
            16 => return self.on_conn(a, |peer| peer.push("message.updated", a / 3, b)),
            17 => return self.on_conn(a, |peer| peer.push("message.deleted", a / 3, b)),
            18 => return self.on_conn(a, |peer| peer.push("channel.joined", a / 3, b)),
            19 => return self.on_conn(a, |peer| peer.push("channel.left", a / 3, b)),
            20 => return self.on_conn(a, |peer| peer.push("channel.updated", a / 3, b)),
            21 => return self.on_conn(a, |_| Peer::ping()),
            22 if a % 4 == 0 => return self.on_conn(b, |peer| peer.odd(b, a)),
            23 if a % 4 == 0 => {
                let at = self.peers.len().checked_sub(1 + (b as usize) % 3)?;
                let conn = *self.peers.keys().nth(at)?;
                self.peers.remove(&conn);
                Input::Transport(conn, closed(b))
            }
            24..=30 => return self.host(kind % Self::KINDS - 24, a, b),
            31 if a % 64 == 0 => self.end(),
            31 if a % 64 == 1 => {
                let id = self
                    .claim
                    .take()
                    .unwrap_or_else(|| RequestId::from_number(b));
                Input::Claimed(id, Err("another process".to_string()))
            }
            31 if a % 2 == 0 => {
                let late = take(&mut self.stores_ever.clone(), a / 2);
                let id = late.unwrap_or_else(|| RequestId::from_number(b));
                self.stores.retain(|open| *open != id);
                Input::Stored(id, Ok(()))
            }
            31 => {
                let full = Err("the disk is full".to_string());
                Input::Stored(take(&mut self.stores, a)?, full)
            }
            _ => return None,
        })
    }

    fn heard(&mut self, output: &Output) {
        match output {
            Output::Login(id) => {
                self.fresh.push(*id);
                self.logins.push(*id);
            }
            Output::Dial { conn, .. } => self.dialing.push(*conn),
            Output::Transport(conn, action) => {
                if let Some(peer) = self.peers.get_mut(conn) {
                    peer.on_action(action);
                }
            }
            Output::HangUp(conn) => {
                self.dialing.retain(|dialing| dialing != conn);
                self.peers.remove(conn);
            }
            Output::Http { id, request, .. } => {
                self.requests
                    .push((*id, request.method, request.target.clone()));
                self.requests_ever.push(*id);
            }
            Output::Forget(Question::Login(id)) => {
                self.fresh.retain(|fresh| fresh != id);
                self.admitted.retain(|admitted| admitted != id);
            }
            Output::Store(id, _) => {
                self.stores.push(*id);
                self.stores_ever.push(*id);
            }
            Output::Forget(Question::Http(id)) => self.requests.retain(|(open, ..)| open != id),
            Output::Forget(Question::Store(id)) => self.stores.retain(|open| open != id),
            Output::Claim(id, _) => self.claim = Some(*id),
            Output::Forget(Question::Claim(_)) => self.claim = None,
            Output::Notify(inbound) => {
                self.turns.push(inbound.turn_id.clone());
                if CLAUDE {
                    self.unwritten.push(inbound.turn_id.clone());
                }
            }
            Output::Answer { .. } | Output::Note(_) => {}
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
            Input::LoggedIn(id, _) => Some(Traffic::Answer(("login", id.number()))),
            Input::Http(id, _) => Some(Traffic::Answer(("http", id.number()))),
            Input::Stored(id, _) => Some(Traffic::Answer(("store", id.number()))),
            Input::Claimed(id, _) => Some(Traffic::Answer(("claim", id.number()))),
            Input::Host(HostEvent::Call { call, .. }) => Some(Traffic::Call(("tool", call.0))),
            Input::Admitted(_)
            | Input::Dialed(..)
            | Input::Transport(..)
            | Input::Host(
                HostEvent::Ready { .. }
                | HostEvent::ToolsListed
                | HostEvent::Commands(_)
                | HostEvent::Written(_)
                | HostEvent::Cancelled(_),
            )
            | Input::Shutdown => None,
        }
    }

    fn on_wire(output: &Output) -> Option<Wire> {
        match output {
            Output::Transport(conn, Action::Send(_)) => Some(Wire::Uses(*conn)),
            Output::Transport(conn, Action::Close) | Output::HangUp(conn) => {
                Some(Wire::Ends(*conn))
            }
            Output::Login(_)
            | Output::Dial { .. }
            | Output::Http { .. }
            | Output::Store(..)
            | Output::Claim(..)
            | Output::Forget(_)
            | Output::Notify(_)
            | Output::Answer { .. }
            | Output::Note(_) => None,
        }
    }

    fn of_output(output: &Output) -> Option<Traffic> {
        match output {
            Output::Login(id) => Some(Traffic::Ask(("login", id.number()))),
            Output::Http { id, .. } => Some(Traffic::Ask(("http", id.number()))),
            Output::Store(id, _) => Some(Traffic::Ask(("store", id.number()))),
            Output::Claim(id, _) => Some(Traffic::Ask(("claim", id.number()))),
            Output::Forget(Question::Login(id)) => Some(Traffic::Forget(("login", id.number()))),
            Output::Forget(Question::Http(id)) => Some(Traffic::Forget(("http", id.number()))),
            Output::Forget(Question::Store(id)) => Some(Traffic::Forget(("store", id.number()))),
            Output::Forget(Question::Claim(id)) => Some(Traffic::Forget(("claim", id.number()))),
            Output::Answer { call, .. } => Some(Traffic::Reply(("tool", call.0))),
            Output::Dial { .. }
            | Output::Transport(..)
            | Output::HangUp(_)
            | Output::Notify(_)
            | Output::Note(_) => None,
        }
    }
}
