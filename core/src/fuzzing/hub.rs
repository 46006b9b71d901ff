//! Two managers and a hub that lets them come back, over lines that are cut.

mod done;
mod heard;

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
    network::{Cut, Delivery, Network, fair},
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
                base64: false,
            },
            1 | 2 => Arrival::Transport(conn, ws::Event::Frame(frame)),
            _ => Arrival::Poll {
                call: crate::http::CallId(conn.0),
                sid: pick.is_multiple_of(2).then(|| fresh.clone()),
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

    /// Everything arrives, and everybody is let in.
    fn settle(&mut self) {
        for at in 0.. {
            assert!(at < 10_000, "they never come to rest");
            self.carry(fair(at));
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
