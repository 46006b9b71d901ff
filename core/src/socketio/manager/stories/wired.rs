//! A manager and servers on a network that can be cut at any moment.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};

use super::*;
use crate::{
    engineio::transport::{ServerAction, ServerEvent},
    http::{CallId, Failure},
    machine::earliest,
    socketio::server::{self, Server},
};

const NAMES: [&str; 2] = ["/a", "/b"];

/// One connection, at both ends.
struct Line {
    server: Server,
    websocket: bool,
    requests: BTreeSet<u64>,
}

/// What is on its way.
enum Parcel {
    Client(Option<ConnId>, Input),
    Server(ConnId, ServerEvent),
}

struct World {
    now: Time,
    rng: Rng,
    manager: Manager,
    lines: BTreeMap<ConnId, Line>,
    way: VecDeque<Parcel>,
    /// Whether auth and admission fail now and then.
    is_rough: bool,
    auths: u64,
    seen_auths: BTreeSet<String>,
    emitted: u64,
    dropped: u64,
    /// What the server has received, and whether it was a call.
    received: BTreeMap<Namespace, Vec<u64>>,
    calls: BTreeSet<u64>,
    answered: u64,
    connected: u64,
    pushed: Vec<u64>,
}

impl World {
    fn new(config: Config, seed: u64) -> Self {
        let mut world = Self {
            now: Time::from_millis(1_000),
            rng: Rng::from_number(seed),
            manager: Manager::new(config, Rng::from_number(seed).fork("manager")),
            lines: BTreeMap::new(),
            way: VecDeque::new(),
            is_rough: false,
            auths: 0,
            seen_auths: BTreeSet::new(),
            emitted: 0,
            dropped: 0,
            received: BTreeMap::new(),
            calls: BTreeSet::new(),
            answered: 0,
            connected: 0,
            pushed: Vec::new(),
        };
        for name in NAMES {
            let namespace = namespace(name);
            world.client(Some(Input::Join { namespace }));
        }
        world
    }

    fn client(&mut self, input: Option<Input>) {
        let mut out = Vec::new();
        step(&mut self.manager, self.now, input, &mut out);
        for output in out {
            self.on_manager(output);
        }
    }

    fn tell_client(&mut self, conn: ConnId, event: impl Into<ClientEvent>) {
        let input = Input::Transport(conn, event.into());
        self.way.push_back(Parcel::Client(Some(conn), input));
    }

    fn on_manager(&mut self, output: Output) {
        match output {
            Output::Prepare(id) => {
                let input = Input::Prepared(id, Ok(()));
                self.way.push_back(Parcel::Client(None, input));
            }
            Output::Auth { id, .. } => {
                self.auths += 1;
                let auth = if self.is_rough && self.rng.chance(1, 8) {
                    Err("no token".to_string())
                } else {
                    Ok(Some(Secret::new(&format!(r#"{{"t":{}}}"#, self.auths))))
                };
                self.way
                    .push_back(Parcel::Client(None, Input::Auth(id, auth)));
            }
            Output::Dial(conn) => {
                let input = Input::Dialed(conn, Ok(()));
                self.way.push_back(Parcel::Client(Some(conn), input));
                let server = Server::new(server::Config::default(), "e".into(), self.now);
                self.line(conn, server, true);
                self.server(conn, None);
            }
            Output::HangUp(conn) => {
                self.lines.remove(&conn);
            }
            Output::Transport(conn, action) => self.on_action(conn, action),
            Output::Connected { .. } => self.connected += 1,
            Output::Event { event, .. } => {
                self.pushed.push(event.args::<(u64,)>().unwrap().0);
            }
            Output::Answered { id, result } => {
                assert!(self.calls.remove(&id.number()), "{id:?} ends twice");
                if let Ok(answer) = result {
                    assert_eq!(answer.args::<(u64,)>().unwrap(), (id.number(),));
                    self.answered += 1;
                }
            }
            Output::Dropped { .. } => self.dropped += 1,
            Output::ForgetPrepare(_)
            | Output::ForgetAuth(_)
            | Output::Refused { .. }
            | Output::Disconnected { .. }
            | Output::Down { .. }
            | Output::GaveUp { .. } => {}
        }
    }

    fn line(&mut self, conn: ConnId, server: Server, websocket: bool) {
        let line = Line {
            server,
            websocket,
            requests: BTreeSet::new(),
        };
        self.lines.insert(conn, line);
    }

    fn on_action(&mut self, conn: ConnId, action: ClientAction) {
        let event = match action {
            ClientAction::WebSocket(ws::Action::Send(frame)) => ws::Event::Frame(frame).into(),
            ClientAction::WebSocket(ws::Action::Close) => closed().into(),
            ClientAction::Dial { .. } => {
                self.tell_client(conn, ClientEvent::Dialed(Ok(())));
                if let Some(line) = self.lines.get_mut(&conn) {
                    line.websocket = true;
                }
                ServerEvent::Accepted(ConnId(0))
            }
            ClientAction::Get { id, sid } => {
                if sid.is_none() {
                    let server = Server::polling(server::Config::default(), "e".into(), self.now);
                    self.line(conn, server, false);
                }
                self.request(conn, id);
                ServerEvent::Poll {
                    call: CallId(id.number()),
                }
            }
            ClientAction::Post { id, body, .. } => {
                self.request(conn, id);
                let call = CallId(id.number());
                let posting = ServerEvent::Posting { call };
                self.way.push_back(Parcel::Server(conn, posting));
                ServerEvent::Post { call, body }
            }
            ClientAction::Abort(id) => ServerEvent::Gone {
                call: CallId(id.number()),
            },
        };
        self.way.push_back(Parcel::Server(conn, event));
    }

    fn request(&mut self, conn: ConnId, id: RequestId<Exchange>) {
        match self.lines.get_mut(&conn) {
            Some(line) => {
                line.requests.insert(id.number());
            }
            None => self.fail(conn, id.number()),
        }
    }

    fn fail(&mut self, conn: ConnId, id: u64) {
        let id = RequestId::from_number(id);
        let result = Err(Failure::Broken("cut".into()));
        self.tell_client(conn, ClientEvent::Answered { id, result });
    }

    fn server(&mut self, conn: ConnId, event: Option<ServerEvent>) {
        self.server_input(conn, event.map(server::Input::Transport));
    }

    fn server_input(&mut self, conn: ConnId, input: Option<server::Input>) {
        let mut out = Vec::new();
        if let Some(line) = self.lines.get_mut(&conn) {
            step(&mut line.server, self.now, input, &mut out);
        }
        for output in out {
            self.on_server(conn, output);
        }
    }

    fn on_server(&mut self, conn: ConnId, output: server::Output) {
        match output {
            server::Output::Transport(ServerAction::WebSocket(ws::Action::Send(frame))) => {
                self.tell_client(conn, ws::Event::Frame(frame));
            }
            server::Output::Transport(
                ServerAction::WebSocket(ws::Action::Close) | ServerAction::Refused(_),
            ) => self.tell_client(conn, closed()),
            server::Output::Transport(ServerAction::Answer { call, status, body }) => {
                let id = RequestId::from_number(call.0);
                let result = Ok(Answer { status, body });
                self.tell_client(conn, ClientEvent::Answered { id, result });
            }
            server::Output::Admission {
                namespace, auth, ..
            } => {
                let auth = auth.unwrap().to_string();
                assert!(self.seen_auths.insert(auth), "auth is used twice");
                let input = if self.is_rough && self.rng.chance(1, 6) {
                    server::Input::Refuse {
                        namespace,
                        message: "no".into(),
                        data: None,
                    }
                } else {
                    server::Input::Admit {
                        namespace,
                        sid: "s".into(),
                        pid: None,
                        missed: Vec::new(),
                    }
                };
                self.server_input(conn, Some(input));
            }
            server::Output::Event { namespace, event } => {
                let (number,) = event.args::<(u64,)>().unwrap();
                let received = self.received.entry(namespace.clone()).or_default();
                received.push(number);
                if let Some(ack) = event.ack() {
                    let answer = Emission::answer(&namespace, ack, &(number,)).unwrap();
                    self.server_input(conn, Some(server::Input::Emit(answer)));
                }
            }
            // The client never writes before it is admitted, and never anything that is no packet.
            server::Output::Closed(reason) => assert!(
                matches!(
                    reason,
                    crate::socketio::CloseReason::Engine(_)
                        | crate::socketio::CloseReason::ConnectTimeout
                ),
                "{reason}"
            ),
            server::Output::Transport(ServerAction::Farewell(_))
            | server::Output::Answered { .. }
            | server::Output::Disconnected { .. }
            | server::Output::Dropped { .. } => {}
        }
    }

    /// Carries one parcel, if there is one.
    fn carry(&mut self) -> bool {
        match self.way.pop_front() {
            Some(Parcel::Client(conn, input)) => {
                if let Input::Transport(_, ClientEvent::Answered { id, .. }) = &input
                    && let Some(line) = conn.and_then(|conn| self.lines.get_mut(&conn))
                {
                    line.requests.remove(&id.number());
                }
                self.client(Some(input));
            }
            Some(Parcel::Server(conn, event)) => self.server(conn, Some(event)),
            None => return false,
        }
        true
    }

    /// Everything arrives.
    fn settle(&mut self) {
        for _ in 0..100_000 {
            if !self.carry() {
                return;
            }
        }
        panic!("the two never come to rest");
    }

    /// Cuts every line: what is on its way is lost.
    fn cut(&mut self) {
        for (conn, line) in core::mem::take(&mut self.lines) {
            self.way.retain(|parcel| match parcel {
                Parcel::Client(on, _) => *on != Some(conn),
                Parcel::Server(on, _) => *on != conn,
            });
            if line.websocket {
                let broken = ws::Closed::Broken("cut".into());
                self.tell_client(conn, ws::Event::Closed(broken));
            }
            for id in line.requests {
                self.fail(conn, id);
            }
        }
    }

    /// Lets time go on to the next deadline of anyone, but by `most` at most.
    fn sleep(&mut self, most: Duration) {
        let mut due = self.manager.next_wakeup();
        for line in self.lines.values() {
            due = earliest([due, line.server.next_wakeup()]);
        }
        let most = self.now + most;
        self.now = due.map_or(most, |due| due.at.min(most));
        self.client(None);
        let conns: Vec<ConnId> = self.lines.keys().copied().collect();
        for conn in conns {
            self.server(conn, None);
        }
    }

    fn emit(&mut self, name: &str, is_call: bool, patience: Duration) {
        self.emitted += 1;
        let number = self.emitted;
        let emission = Emission::event(&namespace(name), "n", &(number,)).unwrap();
        let input = if is_call {
            self.calls.insert(number);
            Input::Call {
                id: RequestId::from_number(number),
                emission,
                patience,
            }
        } else {
            Input::Emit(emission)
        };
        self.client(Some(input));
    }

    fn assert_order(&self) {
        for (namespace, received) in &self.received {
            assert!(
                received.is_sorted_by(|first, next| first < next),
                "{namespace}: {received:?}"
            );
        }
    }
}

fn closed() -> ws::Event {
    ws::Event::Closed(ws::Closed::Peer {
        code: 1005,
        reason: "".into(),
    })
}

const ALL: [Transports; 4] = [
    Transports::WebSocket,
    Transports::Polling,
    Transports::PollingWebSocket,
    Transports::WebSocketPolling,
];

fn config(transports: Transports) -> Config {
    Config {
        transports,
        ..Config::default()
    }
}

#[test]
fn over_every_transport_it_talks_and_comes_back() {
    for transports in ALL {
        let mut world = World::new(config(transports), 1);
        let patience = SECOND * 60;
        world.emit("/a", false, patience);
        world.emit("/b", true, patience);
        world.settle();
        assert_eq!((world.connected, world.answered), (2, 1), "{transports:?}");
        let conn = *world.lines.keys().next().unwrap();
        let push = Emission::event(&namespace("/a"), "push", &(7,)).unwrap();
        world.server_input(conn, Some(server::Input::Emit(push)));
        world.settle();
        assert_eq!(world.pushed, [7]);

        // One call is on its way when the line is cut, and the rest waits.
        world.emit("/a", true, patience);
        world.cut();
        world.settle();
        assert!(world.calls.is_empty());
        for is_call in [false, true, false] {
            world.emit("/a", is_call, patience);
        }
        while world.connected < 4 {
            world.sleep(SECOND);
            world.settle();
        }
        assert_eq!(world.received[&namespace("/a")], [1, 4, 5, 6]);
        assert_eq!((world.answered, world.dropped), (2, 0));
        let upgraded = world.lines.values().next_back().unwrap().websocket;
        assert_eq!(upgraded, transports != Transports::Polling);
        world.client(Some(Input::Shutdown));
        world.settle();
        assert!(world.lines.values().all(|line| line.server.is_closed()));
    }
}

/// The seeds of the next test.
const SEEDS: u64 = 60;

#[test]
fn whenever_lines_are_cut_each_call_ends_once_and_the_order_holds() {
    let mut received = 0;
    for seed in 0..SEEDS {
        for transports in ALL {
            received += cut_at_random(transports, seed);
        }
    }
    // It is not the silence that keeps the order.
    assert!(received > SEEDS * 100, "{received}");
}

fn cut_at_random(transports: Transports, seed: u64) -> u64 {
    let mut world = World::new(config(transports), seed);
    world.is_rough = true;
    for _ in 0..600 {
        match world.rng.below(40) {
            0 => world.cut(),
            1..=4 => {
                let most = Duration::from_millis(world.rng.below(5_000));
                world.sleep(most);
            }
            draw @ 5..=10 => {
                let patience = Duration::from_millis(world.rng.below(30_000));
                world.emit(NAMES[draw as usize % 2], draw < 8, patience);
            }
            _ => {
                world.carry();
            }
        }
    }
    // From here on nothing goes wrong.
    world.is_rough = false;
    world.settle();
    let mark = world.emitted;
    for name in NAMES {
        world.emit(name, false, SECOND);
    }
    for _ in 0..200 {
        world.settle();
        world.sleep(SECOND);
    }
    assert!(
        world.calls.is_empty(),
        "{transports:?} {seed}: {:?}",
        world.calls
    );
    assert_eq!(world.dropped, 0, "{transports:?} {seed}");
    for (name, number) in NAMES.into_iter().zip(mark + 1..) {
        let received = &world.received[&namespace(name)];
        assert_eq!(received.last(), Some(&number), "{transports:?} {seed}");
    }
    world.assert_order();
    let mut received = world.received.values().map(Vec::len);
    received.next().unwrap_or(0) as u64 + received.next().unwrap_or(0) as u64
}
