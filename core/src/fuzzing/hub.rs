//! Two managers and a hub that lets them come back, over lines that are cut.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    format,
    string::ToString,
    vec::Vec,
};
use core::time::Duration;

use bytestring::ByteString;

use super::{
    draws::Draws,
    expected::{Expected, emission, number},
    network::{Cut, Delivery, Network},
};
use crate::{
    Secret,
    engineio::sessions::Arrival,
    machine::{Machine as _, earliest, step},
    request::RequestId,
    rng::Rng,
    socketio::{
        AckId, Call, Namespace,
        event::{Emission, Event},
        hub,
        hub::{Audience, Hub, Room, SocketId, Target},
        manager,
        manager::{Manager, Transports},
    },
    time::Time,
    ws::{self, ConnId},
};

/// The connections of a manager are numbered from its own number times this.
const CONNS: u64 = 1_000_000;
/// How long everybody needs at most to find out what has been cut, and to come back.
const RECOVERY: Duration = Duration::from_secs(150);
const ROOMS: u8 = 3;

/// Two managers and a hub that the input drives: each call ends once, each emission reaches whom it
/// is for at most once and in order, nothing is missing of what a client must get that was taken
/// for the same, and nobody says anything after the end. At the end everybody who wants is in, and
/// all that must arrive has arrived.
///
/// # Panics
///
/// Where that does not hold.
pub fn socketio_hub(input: &[u8]) {
    run(input);
}

/// The same; how many events have arrived at clients, and how many recoveries there were.
pub(super) fn run(input: &[u8]) -> (usize, usize) {
    let mut world = World::new(Draws::new(input));
    while let Some(op) = world.draws.byte() {
        let pick = world.draws.or_zero();
        world.go_on(op, pick);
    }
    world.finish();
    (world.arrived, world.recovered)
}

/// A manager and what it has been told.
struct Person {
    manager: Manager,
    wanted: BTreeSet<Namespace>,
    /// What it has left, and what is on its way from there may still arrive.
    left: BTreeSet<Namespace>,
    /// Its memberships, and the last that there were.
    souls: BTreeMap<Namespace, ByteString>,
    former: BTreeMap<Namespace, ByteString>,
    calls: BTreeSet<RequestId<Call>>,
    acks: Vec<(Namespace, AckId, u64)>,
    /// Answers to what it has asked.
    answers: Vec<manager::Input>,
    is_over: bool,
}

/// A membership that outlives its connections, by its `sid`.
struct Soul {
    namespace: Namespace,
    rooms: BTreeSet<u8>,
    expected: Expected,
    /// What was not for it because of a room that it was in: sent again, that is for it if it has
    /// left the room, as with the official server.
    excepted: BTreeSet<u64>,
}

/// A socket that waits for admission.
struct Asking {
    socket: SocketId,
    namespace: Namespace,
    /// Not one of the managers.
    is_stranger: bool,
    recovering: bool,
}

struct World<'a> {
    draws: Draws<'a>,
    now: Time,
    names: [Namespace; 2],
    people: [Person; 2],
    hub: Hub,
    network: Network,
    asking: Vec<Asking>,
    souls: BTreeMap<ByteString, Soul>,
    /// The sockets that are in, and the newest number that came from each.
    sockets: BTreeMap<SocketId, (ByteString, u64)>,
    seen: BTreeSet<u64>,
    calls: BTreeSet<RequestId<Call>>,
    acks: Vec<(SocketId, Namespace, AckId, u64)>,
    is_over: bool,
    next: u64,
    arrived: usize,
    recovered: usize,
}

fn person(index: u64, transports: Transports) -> Person {
    let mut config = manager::Config {
        transports,
        ..manager::Config::default()
    };
    config.link.first_conn = index * CONNS;
    Person {
        manager: Manager::new(config, Rng::from_number(index)),
        wanted: BTreeSet::new(),
        left: BTreeSet::new(),
        souls: BTreeMap::new(),
        former: BTreeMap::new(),
        calls: BTreeSet::new(),
        acks: Vec::new(),
        answers: Vec::new(),
        is_over: false,
    }
}

fn transports(pick: u8) -> Transports {
    match pick % 4 {
        0 => Transports::WebSocket,
        1 => Transports::Polling,
        2 => Transports::PollingWebSocket,
        _ => Transports::WebSocketPolling,
    }
}

fn room(pick: u8) -> Option<Room> {
    Room::new(&format!("room-{pick}"))
}

impl<'a> World<'a> {
    fn new(mut draws: Draws<'a>) -> Self {
        let setup = draws.or_zero();
        let other = Namespace::new("/a").unwrap_or_else(Namespace::root);
        let names = [Namespace::root(), other];
        let mut recovery = hub::Recovery::default();
        if setup & 16 != 0 {
            recovery.log_events_max = 3;
            recovery.parked_max = 1;
        }
        let config = hub::Config {
            namespaces: names.iter().cloned().collect(),
            recovery: Some(recovery),
            ..hub::Config::default()
        };
        Self {
            draws,
            now: Time::from_millis(1_000),
            names,
            people: [
                person(0, transports(setup)),
                person(1, transports(setup / 4)),
            ],
            hub: Hub::new(config),
            network: Network::default(),
            asking: Vec::new(),
            souls: BTreeMap::new(),
            sockets: BTreeMap::new(),
            seen: BTreeSet::new(),
            calls: BTreeSet::new(),
            acks: Vec::new(),
            is_over: false,
            next: 0,
            arrived: 0,
            recovered: 0,
        }
    }

    fn go_on(&mut self, op: u8, pick: u8) {
        let who = usize::from(pick & 1);
        let [root, other] = &self.names;
        let name = if pick & 2 == 0 { root } else { other }.clone();
        match op % 32 {
            0..=8 => self.carry(usize::from(pick)),
            9 => (0..pick % 32).for_each(|_| self.carry(0)),
            10 | 11 => self.reply(who, pick >= 8),
            12 => self.join(who, name),
            13 if pick < 32 => self.leave(who, name),
            13 => self.join(who, name),
            14 => self.says(who, &name, false, pick),
            15 => self.says(who, &name, true, pick),
            16..=18 => self.emit(&name, pick),
            19 => self.call(pick),
            20 => self.answer_from(who, pick),
            21 => self.answer_of_hub(pick),
            22 | 23 => self.admit(pick >= 16),
            24 => self.enter(pick),
            25 if pick < 64 => self.exit(pick),
            25 => self.enter(pick),
            26 if pick < 32 => self.kick(pick),
            26 => self.wait(Duration::from_millis(u64::from(pick) * 10)),
            27 if pick >= 64 => self.carry(usize::from(pick)),
            27 => self.sleep(Duration::from_secs(u64::from(pick))),
            28 => self.cut(pick),
            29 => self.stranger(pick),
            30 if pick < 4 => self.shut_down(who),
            30 if pick == 4 => self.close(),
            30.. => self.check_idle(),
        }
    }

    fn carry(&mut self, pick: usize) {
        match self.network.carry(pick) {
            Some(Delivery::Server(arrival)) => self.hub(Some(hub::Input::Arrival(arrival))),
            Some(Delivery::Client(conn, event)) => {
                self.manager(who(conn), Some(manager::Input::Transport(conn, event)));
            }
            Some(Delivery::Dialed(conn, result)) => {
                let result = result.map_err(|()| "refused".to_string());
                self.manager(who(conn), Some(manager::Input::Dialed(conn, result)));
            }
            None => {}
        }
    }

    fn wait(&mut self, span: Duration) {
        self.now = self.now + span;
        self.hub(None);
        for who in 0..2 {
            self.manager(who, None);
        }
    }

    fn sleep(&mut self, most: Duration) {
        let [first, second] = &self.people;
        let wakeups = [
            first.manager.next_wakeup(),
            second.manager.next_wakeup(),
            self.hub.next_wakeup(),
        ];
        let until = earliest(wakeups).map_or(most, |due| due.at.since(self.now));
        self.wait(until.min(most));
    }

    /// Cuts a line, breaks its WebSocket, or refuses to open it.
    fn cut(&mut self, pick: u8) {
        let lines = self.network.lines();
        let at = usize::from(pick / 8).checked_rem(lines.len());
        let Some(line) = at.and_then(|at| lines.get(at)) else {
            return;
        };
        let cut = |client, server| Cut { client, server };
        match pick % 8 {
            0..=2 => self.network.cut(*line, cut(true, true)),
            3 | 4 => self.network.cut(*line, cut(true, false)),
            5 => self.network.cut(*line, cut(false, true)),
            6 => self.network.break_socket(*line),
            _ => {
                let refused = self.network.refuse(*line);
                if let Some(Delivery::Dialed(conn, _)) = refused {
                    let input = manager::Input::Dialed(conn, Err("refused".to_string()));
                    self.manager(who(conn), Some(input));
                } else if let Some(Delivery::Client(conn, event)) = refused {
                    self.manager(who(conn), Some(manager::Input::Transport(conn, event)));
                }
            }
        }
    }

    /// Somebody else says something to the hub.
    fn stranger(&mut self, pick: u8) {
        let content = self.draws.bytes();
        let frame = super::frame(content);
        if let ws::Frame::Text(text) = &frame
            && ["\\", "\"m\"", "pid"].iter().any(|it| text.contains(it))
        {
            return;
        }
        let conn = ConnId(9 * CONNS + u64::from(pick % 4));
        let fresh = Secret::new(&format!("stranger-{}-{}", pick % 4, self.next));
        let arrival = match pick / 64 {
            0 => Arrival::Socket {
                conn,
                sid: None,
                fresh,
            },
            1 | 2 => Arrival::Transport(conn, ws::Event::Frame(frame)),
            _ => Arrival::Poll {
                call: crate::http::CallId(conn.0),
                sid: (pick % 2 == 0).then(|| fresh.clone()),
                fresh,
            },
        };
        self.hub(Some(hub::Input::Arrival(arrival)));
    }

    fn check_idle(&mut self) {
        let before = self.hub.clone();
        self.hub(None);
        assert!(self.hub == before, "the hub is not idle");
        for who in 0..2 {
            let before = self.people[who].manager.clone();
            self.manager(who, None);
            assert!(self.people[who].manager == before, "not idle");
        }
    }

    fn manager(&mut self, who: usize, input: Option<manager::Input>) {
        let mut out = Vec::new();
        step(&mut self.people[who].manager, self.now, input, &mut out);
        for output in out {
            assert!(!self.people[who].is_over, "{output:?} after the end");
            self.on_manager(who, output);
        }
    }

    fn on_manager(&mut self, who: usize, output: manager::Output) {
        let person = &mut self.people[who];
        match output {
            manager::Output::Prepare(id) => {
                person.answers.push(manager::Input::Prepared(id, Ok(())));
            }
            manager::Output::ForgetPrepare(id) => person
                .answers
                .retain(|it| !matches!(it, manager::Input::Prepared(of, _) if *of == id)),
            manager::Output::Auth { id, .. } => {
                let auth = Ok(Some(Secret::new(&format!(r#"{{"m":{who}}}"#))));
                person.answers.push(manager::Input::Auth(id, auth));
            }
            manager::Output::ForgetAuth(id) => person
                .answers
                .retain(|it| !matches!(it, manager::Input::Auth(of, _) if *of == id)),
            manager::Output::Dial(conn) => self.network.dial(conn),
            manager::Output::HangUp(conn) => self.network.hang_up(conn),
            manager::Output::Transport(conn, action) => self.network.on_client(conn, action),
            manager::Output::Connected {
                namespace,
                sid,
                recovered,
            } => {
                let former = person.former.insert(namespace.clone(), sid.clone());
                assert!(
                    !recovered || former.as_ref() == Some(&sid),
                    "{sid} recovered"
                );
                assert!(self.souls.contains_key(&sid), "nobody is {sid}");
                let soul = person.souls.insert(namespace, sid);
                assert_eq!(soul, None, "in twice");
                self.recovered += usize::from(recovered);
            }
            manager::Output::Refused {
                namespace,
                retry_in,
                ..
            } => {
                if retry_in.is_none() {
                    person.wanted.remove(&namespace);
                }
            }
            manager::Output::Disconnected {
                namespace, retry, ..
            } => {
                let soul = person.souls.remove(&namespace);
                assert!(soul.is_some(), "was not in {namespace}");
                person.acks.retain(|(of, ..)| *of != namespace);
                if !retry {
                    person.wanted.remove(&namespace);
                }
            }
            manager::Output::GaveUp { .. } => person.wanted.clear(),
            manager::Output::Event { namespace, event } => {
                let soul = person.souls.get(&namespace);
                let soul = soul.and_then(|it| self.souls.get_mut(it));
                let number = number(&event);
                assert!(soul.is_some(), "{number:?} is for nobody");
                self.arrived += 1;
                if let (Some(soul), Some(number)) = (soul, number) {
                    if !soul.excepted.remove(&number) {
                        soul.expected.arrive(number);
                    }
                    let ack = event.ack().map(|ack| (namespace, ack, number));
                    person.acks.extend(ack);
                }
            }
            manager::Output::Answered { id, result } => {
                assert!(person.calls.remove(&id), "{id:?} ends twice");
                let args = result.map(|it| it.args::<(u64,)>().ok());
                assert!(args.is_err() || args == Ok(Some((id.number(),))));
            }
            manager::Output::Down { .. } | manager::Output::Dropped { .. } => {}
        }
    }

    fn hub(&mut self, input: Option<hub::Input>) {
        let mut out = Vec::new();
        step(&mut self.hub, self.now, input, &mut out);
        for output in out {
            assert!(!self.is_over, "{output:?} after the end");
            self.on_hub(output);
        }
    }

    fn on_hub(&mut self, output: hub::Output) {
        match output {
            hub::Output::Effect(effect) => self.network.on_server(effect),
            hub::Output::Admission {
                socket,
                namespace,
                auth,
                recovering,
                ..
            } => self.asking.push(Asking {
                socket,
                namespace,
                is_stranger: !auth.is_some_and(|it| it.contains("\"m\"")),
                recovering,
            }),
            hub::Output::ForgetAdmission { socket } => {
                let before = self.asking.len();
                self.asking.retain(|it| it.socket != socket);
                assert_eq!(self.asking.len() + 1, before, "{socket:?} was not asked");
            }
            // Known since it was let in.
            hub::Output::Connected {
                socket,
                sid,
                recovered,
                rooms: _,
            } => {
                if recovered && let Some((fresh, last)) = self.sockets.remove(&socket) {
                    let fresh = self.souls.remove(&fresh).map(|it| it.namespace);
                    let soul = self.souls.get(&sid).map(|it| it.namespace.clone());
                    assert_eq!(soul, fresh, "{sid} recovered");
                    self.sockets.insert(socket, (sid, last));
                }
            }
            hub::Output::Event { socket, event } => self.on_event(socket, &event),
            hub::Output::Answered { id, result } => {
                assert!(self.calls.remove(&id), "{id:?} ends twice");
                let args = result.map(|it| it.args::<(u64,)>().ok());
                assert!(args.is_err() || args == Ok(Some((id.number(),))));
            }
            hub::Output::Disconnected { socket, .. } => {
                let held = self.sockets.remove(&socket);
                assert!(held.is_some(), "{socket:?} was not in");
                self.acks.retain(|(of, ..)| *of != socket);
            }
            // Each is held against its sockets' own ends.
            hub::Output::Opened { .. }
            | hub::Output::Ended { .. }
            | hub::Output::Closed
            | hub::Output::Dropped { .. } => {}
        }
    }

    fn on_event(&mut self, socket: SocketId, event: &Event) {
        let Some((sid, last)) = self.sockets.get_mut(&socket) else {
            assert!(self.is_over, "{socket:?} is not in");
            return;
        };
        if sid.starts_with("stranger") {
            return;
        }
        let number = number(event).unwrap_or_default();
        assert!(number > *last, "{number} after {last}");
        *last = number;
        assert!(self.seen.insert(number), "{number} arrives twice");
        let namespace = self.souls.get(sid).map(|it| it.namespace.clone());
        if let (Some(ack), Some(namespace)) = (event.ack(), namespace) {
            self.acks.push((socket, namespace, ack, number));
        }
    }

    /// Answers what a manager has asked.
    fn reply(&mut self, who: usize, is_good: bool) {
        let answers = &mut self.people[who].answers;
        if answers.is_empty() {
            return;
        }
        let answer = match answers.remove(0) {
            manager::Input::Auth(id, _) if !is_good => {
                manager::Input::Auth(id, Err("no token".to_string()))
            }
            answer => answer,
        };
        self.manager(who, Some(answer));
    }

    fn join(&mut self, who: usize, namespace: Namespace) {
        if self.people[who].left.remove(&namespace) {
            self.drain();
        }
        if !self.people[who].is_over {
            self.people[who].wanted.insert(namespace.clone());
        }
        self.manager(who, Some(manager::Input::Join { namespace }));
    }

    fn leave(&mut self, who: usize, namespace: Namespace) {
        let person = &mut self.people[who];
        person.wanted.remove(&namespace);
        person.souls.remove(&namespace);
        person.left.insert(namespace.clone());
        person.acks.retain(|(of, ..)| *of != namespace);
        self.manager(who, Some(manager::Input::Leave { namespace }));
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn says(&mut self, who: usize, name: &Namespace, is_call: bool, pick: u8) {
        let number = self.number();
        let Some(emission) = emission(name, number) else {
            return;
        };
        let id = RequestId::from_number(number);
        let input = if is_call {
            if !self.people[who].is_over {
                self.people[who].calls.insert(id);
            }
            manager::Input::Call {
                id,
                emission,
                patience: Duration::from_millis(u64::from(pick) * 250),
            }
        } else if pick < 32 {
            manager::Input::EmitVolatile(emission)
        } else {
            manager::Input::Emit(emission)
        };
        self.manager(who, Some(input));
    }

    /// The hub emits to one socket, to a room, to two, or to all, with or without another room.
    fn emit(&mut self, name: &Namespace, pick: u8) {
        let number = self.number();
        let Some(emission) = emission(name, number).filter(|_| !self.is_over) else {
            return;
        };
        let (volatile, kind) = (pick & 4 != 0, pick / 16);
        let socket = self.socket(pick / 8).filter(|_| kind == 0);
        let rooms: Vec<u8> = match kind {
            0..=3 => Vec::new(),
            4..=10 => [kind % ROOMS].into(),
            _ => [kind % ROOMS, (kind + 1) % ROOMS].into(),
        };
        let except = (kind % 4 == 1).then_some(0);
        let target = match &socket {
            Some((socket, _)) => Target::Socket(*socket),
            None => Target::Audience(Audience {
                rooms: rooms.iter().copied().filter_map(room).collect(),
                except_rooms: except.into_iter().filter_map(room).collect(),
                except_sockets: Vec::new(),
            }),
        };
        for (sid, soul) in &mut self.souls {
            let is_meant = match &socket {
                Some((_, to)) => sid == to,
                None => rooms.is_empty() || rooms.iter().any(|it| soul.rooms.contains(it)),
            };
            if soul.namespace != *name || !is_meant {
                continue;
            }
            if socket.is_none() && except.is_some_and(|it| soul.rooms.contains(&it)) {
                soul.excepted.insert(number);
            } else {
                soul.expected.push(number, !volatile);
            }
        }
        self.hub(Some(hub::Input::Emit {
            to: target,
            emission,
            volatile,
        }));
    }

    fn socket(&self, pick: u8) -> Option<(SocketId, ByteString)> {
        let at = usize::from(pick).checked_rem(self.sockets.len())?;
        let (socket, (sid, _)) = self.sockets.iter().nth(at)?;
        Some((*socket, sid.clone()))
    }

    fn call(&mut self, pick: u8) {
        let number = self.number();
        let Some((socket, sid)) = self.socket(pick) else {
            return;
        };
        let Some(soul) = self.souls.get_mut(&sid) else {
            return;
        };
        let Some(emission) = emission(&soul.namespace, number) else {
            return;
        };
        soul.expected.push(number, false);
        let id = RequestId::from_number(number);
        self.calls.insert(id);
        self.hub(Some(hub::Input::Call {
            id,
            socket,
            emission,
            patience: Duration::from_millis(u64::from(pick) * 250),
        }));
    }

    fn answer_from(&mut self, who: usize, pick: u8) {
        let acks = &mut self.people[who].acks;
        let Some(at) = usize::from(pick / 2).checked_rem(acks.len()) else {
            return;
        };
        let (namespace, ack, number) = acks.swap_remove(at);
        if let Ok(answer) = Emission::answer(&namespace, ack, &(number,)) {
            self.manager(who, Some(manager::Input::Emit(answer)));
        }
    }

    fn answer_of_hub(&mut self, pick: u8) {
        let Some(at) = usize::from(pick).checked_rem(self.acks.len()) else {
            return;
        };
        let (socket, namespace, ack, number) = self.acks.swap_remove(at);
        if let Ok(emission) = Emission::answer(&namespace, ack, &(number,)) {
            self.hub(Some(hub::Input::Emit {
                to: Target::Socket(socket),
                emission,
                volatile: false,
            }));
        }
    }

    /// Lets in who has waited longest, or does not.
    fn admit(&mut self, is_welcome: bool) {
        if self.asking.is_empty() {
            return;
        }
        let asking = self.asking.remove(0);
        let socket = asking.socket;
        if !is_welcome || (asking.is_stranger && asking.recovering) {
            let message = ByteString::from_static("no");
            return self.hub(Some(hub::Input::Refuse {
                socket,
                message,
                data: None,
            }));
        }
        let number = self.number();
        let kind = if asking.is_stranger {
            "stranger"
        } else {
            "friend"
        };
        let sid = ByteString::from(format!("{kind}-{number}"));
        let soul = Soul {
            namespace: asking.namespace,
            rooms: BTreeSet::new(),
            expected: Expected::default(),
            excepted: BTreeSet::new(),
        };
        self.souls.insert(sid.clone(), soul);
        self.sockets.insert(socket, (sid.clone(), 0));
        self.hub(Some(hub::Input::Admit {
            socket,
            sid,
            pid: Some(Secret::new(&format!("pid-{number}"))),
        }));
    }

    /// What was for all but a room is not sent again to who is in it now.
    fn enter(&mut self, pick: u8) {
        let Some((socket, sid)) = self.socket(pick / 4) else {
            return;
        };
        if let (Some(room), Some(soul)) = (room(pick % ROOMS), self.souls.get_mut(&sid)) {
            soul.rooms.insert(pick % ROOMS);
            soul.expected.ease();
            self.hub(Some(hub::Input::Enter { socket, room }));
        }
    }

    /// What was sent to a room is not sent again to who is not in it any more.
    fn exit(&mut self, pick: u8) {
        let Some((socket, sid)) = self.socket(pick / 4) else {
            return;
        };
        if let (Some(room), Some(soul)) = (room(pick % ROOMS), self.souls.get_mut(&sid)) {
            soul.rooms.remove(&(pick % ROOMS));
            soul.expected.ease();
            self.hub(Some(hub::Input::Exit { socket, room }));
        }
    }

    fn kick(&mut self, pick: u8) {
        if let Some((socket, _)) = self.socket(pick / 4) {
            let close = pick % 4 == 0;
            self.hub(Some(hub::Input::Disconnect { socket, close }));
        }
    }

    fn shut_down(&mut self, who: usize) {
        self.manager(who, Some(manager::Input::Shutdown));
        let person = &mut self.people[who];
        person.is_over = true;
        person.wanted.clear();
        person.souls.clear();
        assert!(person.calls.is_empty(), "calls without an end");
        assert_eq!(person.manager.next_wakeup(), None);
    }

    fn close(&mut self) {
        self.hub(Some(hub::Input::Close));
        self.is_over = true;
        assert!(self.calls.is_empty(), "calls without an end");
        assert!(self.sockets.is_empty(), "sockets without an end");
        assert_eq!(self.hub.next_wakeup(), None);
    }

    /// Everything arrives that is on its way.
    fn drain(&mut self) {
        for at in 0.. {
            assert!(at < 10_000, "they never come to rest");
            self.carry(at);
            if self.network.is_at_rest() {
                return;
            }
        }
    }

    /// Everything arrives, and everybody is let in.
    fn settle(&mut self) {
        for at in 0.. {
            assert!(at < 10_000, "they never come to rest");
            self.carry(at);
            self.reply(at % 2, true);
            self.admit(true);
            let is_answered = self.people.iter().all(|it| it.answers.is_empty());
            if self.network.is_at_rest() && is_answered && self.asking.is_empty() {
                return;
            }
        }
    }

    fn finish(&mut self) {
        self.settle();
        let until = self.now + RECOVERY;
        while self.now < until {
            self.sleep(RECOVERY);
            self.settle();
        }
        assert!(self.calls.is_empty(), "{:?} never end", self.calls);
        for person in &self.people {
            assert!(person.calls.is_empty(), "{:?} never end", person.calls);
            if self.is_over {
                continue;
            }
            for name in &person.wanted {
                assert!(
                    person.manager.is_joined(name),
                    "never gets into {name}: {:?} {:?} {:?}",
                    person.manager,
                    self.network.lines(),
                    self.now
                );
            }
            for soul in person.souls.values().filter_map(|it| self.souls.get(it)) {
                let missing = soul.expected.first_missing();
                assert_eq!(missing, None, "never arrives in {}", soul.namespace);
            }
        }
    }
}

fn who(conn: ConnId) -> usize {
    usize::from(conn.0 >= CONNS)
}
