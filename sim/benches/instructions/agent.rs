//! The agent of one guild and one channel, and what a message of that channel costs it.

use std::{collections::VecDeque, time::Duration};

use bytestring::ByteString;
use selvedge_core::{
    Rng, Secret, Time,
    fabric::center::{Grant, Session, User},
    http::{CallId, Method, Request, Response},
    id::{AgentId, ChannelId, GuildId, NodeId, TurnId, UserId},
    plugin::{
        agent::Agent,
        config::Config,
        io::{HostEvent, Input, Output},
        kept::Kept,
        tools::Tool,
    },
    step,
    ws::{Action, ConnId, Event, Frame},
};

use crate::{
    codec::{self, CHANNEL, GUILD},
    counted,
    link::{CONNECTED, OPEN},
};

const TIMES: u64 = 200;

/// Messages that come before anything is counted.
const WARM_UP: u64 = 20;

const ME: &str = "weaver";
const ADA: &str = "ada";

/// What lies between two messages: so little that nothing is due meanwhile.
const PAUSE: Duration = Duration::from_millis(1);

/// Which part of what happens is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// The frame that the message came in.
    Frame,
    /// What follows until it is with the host.
    HandOver,
    /// What follows when the host says that the turn is done.
    Done,
    /// What follows from the host's answer.
    Answer,
    /// None of it.
    Nothing,
}

/// An agent, and all that is around it, which does everything at once.
struct Rig {
    agent: Agent,
    now: Time,
    conn: ConnId,
    /// What was handed to the host, and not ended.
    turns: VecDeque<TurnId>,
    handed_over: u64,
    calls: u64,
    posts: u64,
}

fn step_counted(agent: &mut Agent, now: Time, input: Option<Input>, counts: bool) -> Vec<Output> {
    let mut out = Vec::new();
    let mut input = Some(input);
    let mut act = || {
        step(agent, now, input.take().flatten(), &mut out);
    };
    match counts {
        true => counted(&mut act),
        false => act(),
    }
    out
}

impl Rig {
    fn live() -> Self {
        let config = Config {
            // All messages are of one author, and each is answered.
            loop_turns: u32::MAX,
            ..Config::new(AgentId::new("echo").expect("an id"))
        };
        let mut rig = Self {
            agent: Agent::new(config, Kept::default(), Rng::from_number(7)),
            now: Time::from_millis(1_000),
            conn: ConnId(0),
            turns: VecDeque::new(),
            handed_over: 0,
            calls: 0,
            posts: 0,
        };
        rig.go(
            Some(Input::Host(HostEvent::Ready { turns: true })),
            false,
            false,
        );
        let mut guilds = rig.agent.guilds();
        assert!(guilds.any(|(_, live, _)| live), "it is live");
        drop(guilds);
        rig
    }

    /// Lets something happen, and all that follows from it.
    fn go(&mut self, input: Option<Input>, counts_first: bool, counts_rest: bool) {
        let mut inputs = VecDeque::from([input]);
        let mut counts = counts_first;
        while let Some(input) = inputs.pop_front() {
            let outputs = step_counted(&mut self.agent, self.now, input, counts);
            counts = counts_rest;
            for output in outputs {
                inputs.extend(self.carry_out(output).into_iter().map(Some));
            }
        }
    }

    fn carry_out(&mut self, output: Output) -> Vec<Input> {
        match output {
            Output::Login(id) => vec![Input::Admitted(id), Input::LoggedIn(id, Ok(session()))],
            Output::Claim(id, _) => vec![Input::Claimed(id, Ok(()))],
            Output::Dial { conn, .. } => {
                self.conn = conn;
                vec![Input::Dialed(conn, Ok(())), heard(conn, OPEN.into())]
            }
            Output::Transport(conn, Action::Send(Frame::Text(text))) => {
                let answer = answer(&text).map(|answer| heard(conn, answer));
                answer.into_iter().collect()
            }
            Output::Http { id, request, .. } => {
                vec![Input::Http(id, Ok(self.respond(&request)))]
            }
            Output::Store(id, _) => vec![Input::Stored(id, Ok(()))],
            Output::Notify(inbound) => {
                self.handed_over += 1;
                self.turns.push_back(inbound.turn_id.clone());
                vec![Input::Host(HostEvent::Written(inbound.turn_id))]
            }
            Output::Transport(..)
            | Output::HangUp(_)
            | Output::Forget(_)
            | Output::Answer { .. }
            | Output::Note(_) => vec![],
        }
    }

    fn respond(&mut self, request: &Request) -> Response {
        let body = match request.method {
            Method::Post if request.target.ends_with("/messages") => {
                self.posts += 1;
                let sent: serde_json::Value =
                    serde_json::from_slice(&request.body).expect("a post");
                let posted = serde_json::json!({
                    "id": format!("p{}", self.posts), "channelId": CHANNEL, "seq": self.posts,
                    "author": {"id": ME}, "content": sent.get("content"), "nonce": sent.get("nonce"),
                    "createdAt": "2026-01-14T14:09:31.118Z",
                });
                posted.to_string()
            }
            Method::Get if request.target.contains("/messages?") => {
                r#"{"messages":[],"hasMore":false}"#.to_owned()
            }
            Method::Get if request.target.starts_with("/api/channels?") => {
                format!(r#"[{{"id":"{CHANNEL}","name":"tea","xType":"general","joinedSeq":0}}]"#)
            }
            Method::Get | Method::Post | Method::Put | Method::Patch | Method::Delete => {
                "{}".to_owned()
            }
        };
        Response {
            status: 200,
            retry_after: None,
            body: body.into(),
        }
    }

    fn call(&mut self, tool: Tool, counts: bool) {
        self.calls += 1;
        let call = CallId(self.calls);
        self.go(
            Some(Input::Host(HostEvent::Call { call, tool })),
            counts,
            counts,
        );
    }

    /// One message, its turn, and the answer of the host, with what is wanted of that counted.
    fn message(&mut self, seq: u64, author: &str, wakes: bool, part: Part) {
        self.now = self.now + PAUSE;
        let frame = heard(self.conn, codec::push(seq, author, wakes));
        self.go(Some(frame), part == Part::Frame, part == Part::HandOver);
        if let Some(turn) = self.turns.pop_front() {
            if part == Part::Answer {
                self.call(
                    Tool::Send {
                        channel: ChannelId::new(CHANNEL).expect("an id"),
                        guild: None,
                        content: "The lock is gone; the second shard goes on.".to_owned(),
                        reply_to: None,
                        attachments: vec![],
                    },
                    true,
                );
            }
            self.call(Tool::TurnDone { turn }, part == Part::Done);
        }
    }

    /// So many messages, of which a part is counted; how many of them.
    fn messages(mut self, author: &str, wakes: bool, part: Part) -> u64 {
        for seq in 1..=WARM_UP {
            self.message(seq, author, wakes, Part::Nothing);
        }
        for seq in WARM_UP + 1..=WARM_UP + TIMES {
            self.message(seq, author, wakes, part);
        }
        let woken = if wakes && author != ME {
            WARM_UP + TIMES
        } else {
            0
        };
        assert_eq!(self.handed_over, woken);
        let posts = if part == Part::Answer { TIMES } else { 0 };
        assert_eq!(self.posts, posts);
        TIMES
    }
}

fn session() -> Session {
    Session {
        user: User {
            id: UserId::new(ME).expect("an id"),
            name: String::new(),
        },
        grants: vec![Grant {
            node_id: NodeId::new("node").expect("an id"),
            guild_id: GuildId::new(GUILD).expect("an id"),
            base_url: Some("http://guild.test".to_owned()),
            token: Secret::new("token"),
            life: Duration::from_secs(900),
        }],
    }
}

fn heard(conn: ConnId, text: ByteString) -> Input {
    Input::Transport(conn, Event::Frame(Frame::Text(text)))
}

/// What the guild says to a frame.
fn answer(text: &str) -> Option<ByteString> {
    if text.starts_with("40/realtime,") {
        return Some(CONNECTED.into());
    }
    let (ack, event) = text.strip_prefix("42/realtime,")?.split_once('[')?;
    let is_join = event.starts_with(r#""join_channel""#);
    is_join.then(|| format!(r#"43/realtime,{ack}[{{"ok":true,"lastSeq":0}}]"#).into())
}

pub(crate) fn wakes() -> u64 {
    Rig::live().messages(ADA, true, Part::Frame)
}

pub(crate) fn handed_over() -> u64 {
    Rig::live().messages(ADA, true, Part::HandOver)
}

pub(crate) fn turn_done() -> u64 {
    Rig::live().messages(ADA, true, Part::Done)
}

pub(crate) fn answered() -> u64 {
    Rig::live().messages(ADA, true, Part::Answer)
}

pub(crate) fn does_not_wake() -> u64 {
    Rig::live().messages(ADA, false, Part::Frame)
}

pub(crate) fn own() -> u64 {
    Rig::live().messages(ME, true, Part::Frame)
}

/// Each message comes a second time, and that is counted.
pub(crate) fn twice() -> u64 {
    let mut rig = Rig::live();
    for seq in 1..=TIMES {
        rig.message(seq, ADA, true, Part::Nothing);
        rig.message(seq, ADA, true, Part::Frame);
    }
    assert_eq!(rig.handed_over, TIMES);
    TIMES
}

/// A step without an input, before anything is due.
pub(crate) fn idle_tick() -> u64 {
    let mut rig = Rig::live();
    for seq in 1..=WARM_UP {
        rig.message(seq, ADA, true, Part::Nothing);
    }
    for _ in 0..TIMES {
        let out = step_counted(&mut rig.agent, rig.now, None, true);
        assert_eq!(out, []);
    }
    TIMES
}
