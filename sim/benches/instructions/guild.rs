//! A guild, and what a post costs that all members of a channel hear.

use std::{collections::VecDeque, time::Duration};

use selvedge_core::{
    Rng, Secret, Time, Wall,
    engineio::sessions::{Arrival, Effect},
    fabric::center::Introspection,
    guild::{
        Config, Guild,
        io::{Input, Loaded, Output},
    },
    http::{CallId, Method, Request},
    id::{GuildId, NodeId, UserId},
    step,
    ws::{self, Action, ConnId, Frame},
};
use serde_json::{Value, json};

use crate::counted;

const TIMES: u64 = 20;
const WARM_UP: u64 = 5;

const NOW: Time = Time::from_millis(1_000);

/// Center's clock, which stands still.
fn wall() -> Wall {
    Wall::from_millis(1_790_000_000_000)
}

/// A guild with users, each of whom has a socket and a token of the same name. Its store and Center
/// answer at once.
struct Rig {
    guild: Guild,
    calls: u64,
    /// The last answer to a call.
    answer: Value,
    /// Pushes that went out.
    pushes: u64,
}

impl Rig {
    fn new() -> Self {
        let (node, guild) = (NodeId::new("n1"), GuildId::new("g1"));
        let config = Config::new(node.expect("an id"), guild.expect("an id"));
        let mut rig = Self {
            guild: Guild::new(config, Rng::from_number(1), Vec::new()),
            calls: 0,
            answer: Value::Null,
            pushes: 0,
        };
        rig.go(Input::Clock(wall()), false);
        rig
    }

    /// Lets something happen, and all that follows from it.
    fn go(&mut self, input: Input, counts: bool) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            let mut out = Vec::new();
            let mut input = Some(input);
            let mut act = || {
                step(&mut self.guild, NOW, input.take(), &mut out);
            };
            match counts {
                true => counted(&mut act),
                false => act(),
            }
            for output in out {
                inputs.extend(self.carry_out(output));
            }
        }
    }

    fn carry_out(&mut self, output: Output) -> Option<Input> {
        match output {
            Output::Introspect(id, token) => {
                let introspection = Introspection {
                    active: true,
                    user_id: UserId::new(token.expose()),
                    name: Some(token.expose().to_owned()),
                    guild_id: GuildId::new("g1"),
                    expires_at: Some(wall() + Duration::from_secs(900)),
                };
                Some(Input::Introspected(id, Ok(introspection)))
            }
            Output::Store(id, _) => Some(Input::Stored(id, Ok(()))),
            Output::Load(id, _) => Some(Input::Loaded(id, Ok(Loaded::Message(None)))),
            Output::Respond { response, .. } => {
                self.answer = serde_json::from_slice(&response.body).expect("JSON");
                assert!(response.status < 300, "{response:?}");
                None
            }
            Output::Effect(Effect::Transport(_, Action::Send(Frame::Text(text)))) => {
                self.pushes += u64::from(text.contains("message.created"));
                None
            }
            Output::Effect(_) | Output::Forget(_) => None,
            other @ (Output::Resolve(..)
            | Output::Receive(..)
            | Output::Deliver { .. }
            | Output::Discard(_)
            | Output::Fatal(_)) => unreachable!("not to be asked for here: {other:?}"),
        }
    }

    fn post(&mut self, token: &str, target: &str, body: &Value, counts: bool) {
        self.calls += 1;
        let request = Request {
            method: Method::Post,
            target: format!("/api{target}"),
            bearer: Some(Secret::new(token)),
            body: body.to_string().into(),
        };
        let call = CallId(self.calls);
        self.go(Input::Http { call, request }, counts);
    }

    fn frame(&mut self, conn: ConnId, text: String) {
        let event = ws::Event::Frame(Frame::Text(text.into()));
        self.go(Input::Arrival(Arrival::Transport(conn, event)), false);
    }

    /// A socket of a user, in the room of a channel.
    fn enter(&mut self, number: u64, user: &str, channel: &str) {
        let conn = ConnId(number);
        let arrival = Arrival::Socket {
            conn,
            sid: None,
            fresh: Secret::new(&format!("session{number}")),
            base64: false,
        };
        self.go(Input::Arrival(arrival), false);
        self.frame(conn, format!("40/realtime,{}", json!({ "token": user })));
        let join = json!(["join_channel", { "channelId": channel }]);
        self.frame(conn, format!("42/realtime,7{join}"));
    }
}

/// Posts in a channel with so many members, all of whom have a socket in its room.
fn posts(x_type: &str, members: u64) -> u64 {
    let mut rig = Rig::new();
    let users: Vec<String> = (0..members).map(|member| format!("user{member}")).collect();
    let author = users.first().expect("a member").clone();
    let channel = json!({ "name": "x", "xType": x_type, "memberUserIds": users });
    rig.post(&author, "/channels", &channel, false);
    let channel = rig.answer.get("id").and_then(Value::as_str);
    let channel = channel.expect("the channel's id").to_owned();
    for (number, user) in users.iter().enumerate() {
        rig.enter(number as u64, user, &channel);
    }
    let target = format!("/channels/{channel}/messages");
    for post in 0..WARM_UP + TIMES {
        let content = format!("The deploy of 14:05 is stuck: who holds lock number {post:03}?");
        let body = json!({ "content": content, "nonce": format!("nonce-{post:03}") });
        rig.post(&author, &target, &body, post >= WARM_UP);
    }
    assert_eq!(rig.pushes, members * (WARM_UP + TIMES));
    TIMES
}

pub(crate) fn general_to_10() -> u64 {
    posts("general", 10)
}

pub(crate) fn general_to_100() -> u64 {
    posts("general", 100)
}

pub(crate) fn discuss_to_100() -> u64 {
    posts("discuss", 100)
}
