//! A client that polls against a server, on a network that delivers in any order it may, with the
//! move to a WebSocket at any moment, and with one that fails.

use alloc::{collections::VecDeque, format, vec::Vec};
use core::{mem, time::Duration};

use bytes::Bytes;

use super::{
    CloseReason, Heartbeat, PollingConfig,
    client::{self, Client},
    server::{self, Server},
    transport::{Answer, ClientAction, ClientEvent, Exchange, ServerAction, ServerEvent, Text},
};
use crate::{
    http::CallId,
    machine::{Machine as _, earliest, step},
    request::RequestId,
    rng::Rng,
    time::Time,
    ws::{self, ConnId},
};

/// How many messages each side sends.
const MESSAGES: usize = 24;
/// How many orders of delivery are tried of each story.
const SEEDS: u64 = 300;
/// The id that the client and the server of a world agree on.
const CONN: ConnId = ConnId(1);

/// What becomes of the WebSocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It works.
    Works,
    /// It cannot be opened.
    Refused,
    /// It ends at any moment before the client moves.
    Breaks,
    /// It carries nothing.
    Mute,
    /// The server answers the probe with something else.
    Wrong,
}

/// What can happen next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    ClientSends,
    ServerSends,
    Poll,
    Posting,
    Post,
    Answer(usize),
    Accept,
    Dialed,
    ToServer,
    ToClient,
    Break,
    Wait,
}

/// A request of the client, and the call that it is at the server.
type Call = (RequestId<Exchange>, CallId);

struct World {
    rng: Rng,
    now: Time,
    fate: Fate,
    client: Client,
    server: Server,
    calls: u64,
    /// A poll on its way to the server.
    poll: Option<RequestId<Exchange>>,
    /// Posts, carried out one after another; whether the server reads the first.
    posts: VecDeque<(RequestId<Exchange>, Bytes)>,
    posting: Option<Call>,
    /// The calls at the server, and the answers on their way back.
    open: Vec<Call>,
    answers: Vec<(RequestId<Exchange>, Answer)>,
    /// A dial that has not reached the server, and one that the client is to hear of.
    dialing: bool,
    accepted: bool,
    to_server: VecDeque<ws::Event>,
    to_client: VecDeque<ws::Event>,
    /// What the client was told to give up.
    aborted: Option<RequestId<Exchange>>,
    /// What the server leaves for a client that comes to poll when it has ended.
    farewell: Option<Bytes>,
    sent: [usize; 2],
    at_client: Vec<ws::Frame>,
    at_server: Vec<ws::Frame>,
    /// How many messages were still to be sent when the client moved.
    moved: Option<usize>,
    /// Before so many steps the WebSocket does not break.
    breaks_after: u64,
    over: [Option<CloseReason>; 2],
}

/// Message `number` of a side: texts and binary of different sizes.
fn message(number: usize) -> ws::Frame {
    let content = format!("{number:02}{}", "-".repeat(number * 7 % 30));
    match number % 3 {
        0 => ws::Frame::Binary(content.into()),
        _ => ws::Frame::Text(content.into()),
    }
}

fn gone() -> ws::Event {
    ws::Event::Closed(ws::Closed::Broken("test".into()))
}

impl World {
    fn new(fate: Fate, seed: u64) -> Self {
        let config = server::Config {
            heartbeat: Heartbeat {
                interval: Duration::from_millis(400),
                timeout: Duration::from_secs(20),
            },
            max_payload: 64,
            polling: PollingConfig::default(),
        };
        let now = Time::ZERO;
        let mut rng = Rng::from_number(seed);
        let mut world = Self {
            breaks_after: rng.below(100),
            rng,
            now,
            fate,
            client: Client::polling(client::Config::default(), true, now),
            server: Server::polling(config, "sid".into(), now),
            calls: 0,
            poll: None,
            posts: VecDeque::new(),
            posting: None,
            open: Vec::new(),
            answers: Vec::new(),
            dialing: false,
            accepted: false,
            to_server: VecDeque::new(),
            to_client: VecDeque::new(),
            aborted: None,
            farewell: None,
            sent: [0; 2],
            at_client: Vec::new(),
            at_server: Vec::new(),
            moved: None,
            over: [None, None],
        };
        world.step_client(None);
        world
    }

    fn step_client(&mut self, input: Option<client::Input>) {
        let mut out = Vec::new();
        step(&mut self.client, self.now, input, &mut out);
        for output in out {
            assert_eq!(self.over[0], None, "{output:?} after the end");
            match output {
                client::Output::Transport(action) => self.on_client(action),
                client::Output::Opened(_) => {}
                client::Output::Upgraded => {
                    self.moved = Some(2 * MESSAGES - self.sent[0] - self.sent[1]);
                }
                client::Output::Message(frame) => self.at_client.push(frame),
                client::Output::Unsent(frame) => panic!("unsent: {frame:?}"),
                client::Output::Closed(reason) => self.over[0] = Some(reason),
            }
        }
    }

    fn on_client(&mut self, action: ClientAction) {
        match action {
            ClientAction::Get { id, .. } => {
                assert_eq!(self.poll.replace(id), None, "a second poll");
            }
            ClientAction::Post { id, body, .. } => {
                assert!(body.len() <= 64, "{} bytes", body.len());
                self.posts.push_back((id, body));
            }
            ClientAction::Abort(id) => self.aborted = Some(id),
            ClientAction::Dial { .. } => self.dialing = true,
            ClientAction::WebSocket(ws::Action::Send(frame)) => {
                self.to_server.push_back(ws::Event::Frame(frame));
            }
            ClientAction::WebSocket(ws::Action::Close) => {
                self.to_server.push_back(gone());
                self.to_client.clear();
                if mem::take(&mut self.dialing) {
                    self.to_server.clear();
                }
                self.accepted = false;
            }
        }
    }

    fn step_server(&mut self, input: Option<server::Input>) {
        let mut out = Vec::new();
        step(&mut self.server, self.now, input, &mut out);
        for output in out {
            assert_eq!(self.over[1], None, "{output:?} after the end");
            match output {
                server::Output::Transport(action) => self.on_server(action),
                server::Output::Message(frame) => self.at_server.push(frame),
                server::Output::Unsent(frame) => panic!("unsent: {frame:?}"),
                server::Output::Closed(reason) => self.over[1] = Some(reason),
            }
        }
    }

    fn on_server(&mut self, action: ServerAction) {
        match action {
            ServerAction::Answer { call, status, body } => {
                let at = self.open.iter().position(|(_, it)| *it == call);
                let (id, _) = self.open.remove(at.unwrap());
                self.answers.push((id, Answer { status, body }));
            }
            ServerAction::WebSocket(ws::Action::Send(frame)) => {
                let probed = frame == ws::Frame::Text("3probe".into());
                self.to_client
                    .push_back(ws::Event::Frame(if probed && self.fate == Fate::Wrong {
                        ws::Frame::Text("3".into())
                    } else {
                        frame
                    }));
            }
            ServerAction::WebSocket(ws::Action::Close) => self.to_client.push_back(gone()),
            ServerAction::Refused(conn) => panic!("{conn:?} was refused"),
            ServerAction::Farewell(body) => self.farewell = Some(body),
        }
    }

    fn hear(&mut self, event: ClientEvent) {
        self.step_client(Some(client::Input::Transport(event)));
    }

    fn serve(&mut self, event: ServerEvent) {
        self.step_server(Some(server::Input::Transport(event)));
    }

    fn call(&mut self, id: RequestId<Exchange>) -> CallId {
        self.calls += 1;
        let call = CallId(self.calls);
        self.open.push((id, call));
        call
    }

    /// Whether both sides may still send: the first answer has come.
    fn is_open(&self) -> bool {
        self.client.check([]).is_ok()
    }

    fn choices(&self) -> Vec<Next> {
        let carries = self.fate != Fate::Mute;
        let ends = self.fate == Fate::Breaks && self.breaks_after == 0 && self.client.is_polling();
        let has_socket = self.dialing || self.accepted || !self.to_server.is_empty();
        let mut choices: Vec<_> = [
            (self.is_open() && self.sent[0] < MESSAGES, Next::ClientSends),
            (self.is_open() && self.sent[1] < MESSAGES, Next::ServerSends),
            (self.poll.is_some(), Next::Poll),
            (
                self.posting.is_none() && !self.posts.is_empty(),
                Next::Posting,
            ),
            (self.posting.is_some(), Next::Post),
            (self.dialing, Next::Accept),
            (self.accepted, Next::Dialed),
            (
                carries && !self.dialing && !self.to_server.is_empty(),
                Next::ToServer,
            ),
            (
                carries && !self.accepted && !self.to_client.is_empty(),
                Next::ToClient,
            ),
            (ends && has_socket, Next::Break),
            (true, Next::Wait),
        ]
        .into_iter()
        .filter_map(|(is_possible, next)| is_possible.then_some(next))
        .collect();
        choices.extend((0..self.answers.len()).map(Next::Answer));
        choices
    }

    fn go_on(&mut self) {
        self.breaks_after = self.breaks_after.saturating_sub(1);
        let choices = self.choices();
        let pick = self.rng.below(choices.len() as u64) as usize;
        match choices[pick] {
            Next::ClientSends => {
                let frame = message(self.sent[0]);
                self.sent[0] += 1;
                self.step_client(Some(client::Input::Send(frame)));
            }
            Next::ServerSends => {
                let frame = message(self.sent[1]);
                self.sent[1] += 1;
                self.step_server(Some(server::Input::Send(frame)));
            }
            Next::Poll => {
                if let Some(id) = self.poll.take() {
                    let call = self.call(id);
                    if self.over[1].is_none() {
                        self.serve(ServerEvent::Poll { call });
                    } else {
                        self.farewell(call);
                    }
                }
            }
            Next::Posting => {
                let (id, _) = self.posts[0];
                let call = self.call(id);
                self.posting = Some((id, call));
                self.serve(ServerEvent::Posting { call });
            }
            Next::Post => {
                if let Some((_, call)) = self.posting.take() {
                    let body = self.posts[0].1.clone();
                    self.serve(ServerEvent::Post { call, body });
                    self.posts.pop_front();
                }
            }
            Next::Answer(at) => {
                let (id, answer) = self.answers.remove(at);
                self.hear(ClientEvent::Answered {
                    id,
                    result: Ok(answer),
                });
            }
            Next::Accept => {
                self.dialing = false;
                if self.fate == Fate::Refused {
                    let words = Text("refused".into());
                    self.hear(ClientEvent::Dialed(Err(words)));
                } else {
                    self.accepted = true;
                    self.serve(ServerEvent::Accepted(CONN));
                }
            }
            Next::Dialed => {
                self.accepted = false;
                self.hear(ClientEvent::Dialed(Ok(())));
            }
            Next::ToServer => {
                if let Some(event) = self.to_server.pop_front() {
                    self.serve(event.into());
                }
            }
            Next::ToClient => {
                if let Some(event) = self.to_client.pop_front() {
                    self.hear(event.into());
                }
            }
            Next::Break => {
                self.fate = Fate::Works;
                let was_accepted = !mem::take(&mut self.dialing);
                self.accepted = false;
                self.to_server.clear();
                self.to_client.clear();
                self.hear(gone().into());
                if was_accepted {
                    self.serve(gone().into());
                }
            }
            Next::Wait => {
                let most = Duration::from_millis(20);
                self.now = self.now + self.rng.between(Duration::ZERO, most);
                self.step_client(None);
                self.step_server(None);
            }
        }
    }

    /// Answers a poll that comes when the server has ended.
    fn farewell(&mut self, call: CallId) {
        let (status, body) = match self.farewell.take() {
            Some(body) => (200, body),
            None => (400, Bytes::new()),
        };
        self.on_server(ServerAction::Answer { call, status, body });
    }

    /// Goes to the next deadline.
    fn sleep(&mut self) {
        let wakeups = [self.client.next_wakeup(), self.server.next_wakeup()];
        if let Some(wakeup) = earliest(wakeups) {
            self.now = self.now.max(wakeup.at);
        }
        self.step_client(None);
        self.step_server(None);
    }

    /// What is given up is given up when the posts are through.
    fn give_up(&mut self) {
        if let Some(id) = self.aborted.filter(|_| self.posts.is_empty()) {
            self.aborted = None;
            self.poll.take_if(|it| *it == id);
            self.answers.retain(|(it, _)| *it != id);
            if let Some(at) = self.open.iter().position(|(it, _)| *it == id) {
                let (_, call) = self.open.remove(at);
                self.serve(ServerEvent::Gone { call });
            }
        }
    }

    /// Goes on until all has arrived, at most so many steps.
    fn settle(&mut self, steps: usize) {
        for at in 0..steps {
            if self.at_client.len() == MESSAGES && self.at_server.len() == MESSAGES {
                return;
            }
            self.go_on();
            if self.fate == Fate::Mute && at % 50 == 49 {
                self.sleep();
            }
        }
    }
}

fn all() -> Vec<ws::Frame> {
    (0..MESSAGES).map(message).collect()
}

#[test]
fn every_message_arrives_once_and_in_order_whatever_becomes_of_the_websocket() {
    for (fate, upgrades) in [
        (Fate::Works, SEEDS..=SEEDS),
        (Fate::Refused, 0..=0),
        (Fate::Breaks, 1..=SEEDS - 1),
        (Fate::Mute, 0..=0),
        (Fate::Wrong, 0..=0),
    ] {
        let (mut upgraded, mut amid) = (0, 0);
        for seed in 0..SEEDS {
            let mut world = World::new(fate, seed);
            world.settle(4_000);
            assert_eq!(world.over, [None, None], "{fate:?} {seed}");
            assert_eq!(world.at_client, all(), "{fate:?} {seed}");
            assert_eq!(world.at_server, all(), "{fate:?} {seed}");
            for _ in 0..400 {
                world.go_on();
            }
            assert_eq!(world.over, [None, None], "{fate:?} {seed}");
            assert_eq!(world.moved.is_some(), !world.client.is_polling());
            upgraded += u64::from(world.moved.is_some());
            amid += u64::from(world.moved.is_some_and(|rest| rest > 0));
        }
        assert!(upgrades.contains(&upgraded), "{fate:?}: {upgraded}");
        assert!(amid >= upgrades.start() / 2, "{fate:?}: {amid}");
    }
}

#[test]
fn nothing_is_lost_when_the_client_closes_at_any_moment() {
    let mut closed_by_post = 0;
    for seed in 0..SEEDS {
        let mut world = World::new(Fate::Works, seed);
        while !world.is_open() {
            world.go_on();
        }
        for _ in 0..seed % 60 {
            world.go_on();
        }
        let sent = world.sent[0];
        world.step_client(Some(client::Input::Close));
        assert_eq!(world.over[0], Some(CloseReason::Local));
        for _ in 0..400 {
            world.give_up();
            world.go_on();
        }
        assert_eq!(world.at_server, all()[..sent], "{seed}");
        closed_by_post += u64::from(world.over[1] == Some(CloseReason::Peer));
        assert!(world.over[1].is_some(), "{seed}");
    }
    assert!((1..SEEDS).contains(&closed_by_post), "{closed_by_post}");
}

/// The last of it is there for the poll that the client has not made yet, too.
#[test]
fn nothing_is_lost_when_the_server_closes_at_any_moment() {
    let mut amid = 0;
    for seed in 0..SEEDS {
        let mut world = World::new(Fate::Works, seed);
        while !world.is_open() {
            world.go_on();
        }
        for _ in 0..seed % 60 {
            world.go_on();
        }
        let sent = world.sent[1];
        amid += u64::from(world.server.is_polling() && !world.to_server.is_empty());
        world.step_server(Some(server::Input::Close));
        assert_eq!(world.over[1], Some(CloseReason::Local));
        for _ in 0..400 {
            world.give_up();
            world.go_on();
        }
        assert_eq!(world.at_client, all()[..sent], "{seed}");
        assert!(world.over[0].is_some(), "{seed}");
    }
    assert!((1..SEEDS).contains(&amid), "{amid}");
}
