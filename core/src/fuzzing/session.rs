//! A Socket.IO client and a server that drive each other, over any transport, under any schedule.

mod done;
mod heard;

use alloc::{collections::BTreeSet, format, vec::Vec};
use core::time::Duration;

use bytestring::ByteString;

use super::{
    draws::Draws,
    expected::{Expected, emission, number},
    frame,
    network::{Cut, Delivery, Network, fair},
};
use crate::{
    Secret,
    engineio::{
        self, Heartbeat,
        sessions::{Arrival, Effect, Limits, Sessions},
        transport::ClientEvent,
    },
    machine::{Machine as _, earliest, step},
    request::RequestId,
    socketio::{
        AckId, Call, CallError, Namespace, client,
        client::Client,
        event::{Answer, Emission, Event},
        server,
        server::Server,
    },
    time::Time,
    ws::ConnId,
};

/// The one line.
const LINE: ConnId = ConnId(0);
/// How many emissions the client keeps for namespaces that are not joined.
const WAITING_MAX: usize = 4;
/// How many calls may be open on each side.
const CALLS_MAX: usize = 6;
/// The longest time that a call waits, and the network may take for a ping and a pong.
const PATIENCE: Duration = Duration::from_secs(32);
const TIMEOUT: Duration = Duration::from_secs(4);

/// A client and a server that the input drives: nobody says anything after the end, each call ends
/// once and with its own answer, and what arrives is what was sent, in order and without a gap,
/// unless frames are forged. At the end all that must arrive has arrived.
///
/// # Panics
///
/// Where that does not hold.
pub fn socketio_session(input: &[u8]) {
    run(input);
}

/// The same; how many events have arrived, and how many calls were answered.
pub(super) fn run(input: &[u8]) -> (usize, usize) {
    let mut world = World::new(Draws::new(input));
    while let Some(op) = world.draws.byte() {
        let pick = world.draws.or_zero();
        world.go_on(op, pick);
    }
    world.finish();
    (world.arrived, world.answered)
}

/// One namespace, as the two sides see it.
struct Space {
    name: Namespace,
    /// The number of the CONNECT that the client stands by.
    wanted: Option<u64>,
    /// Whether the client is in, and whether what it sends must arrive.
    is_in: bool,
    can_speak: bool,
    /// How many emissions wait for the client to be in.
    waiting: usize,
    /// The number of the CONNECT that waits for admission.
    asked: Option<u64>,
    /// The same of the server; and that it has put the client out, which may not know it.
    is_member: bool,
    can_reach: bool,
    is_dismissed: bool,
    to_server: Expected,
    to_client: Expected,
    /// What waits for an answer: of the client, and of the server.
    acks: [Vec<(AckId, u64)>; 2],
}

struct World<'a> {
    draws: Draws<'a>,
    now: Time,
    client: Client,
    server: Sessions<Server>,
    network: Network,
    spaces: [Space; 2],
    /// The open calls of the client and of the server.
    calls: [BTreeSet<RequestId<Call>>; 2],
    /// Whether frames are forged.
    is_hostile: bool,
    /// Nothing has happened that may end the connection.
    is_calm: bool,
    waited: Duration,
    over: [bool; 2],
    next: u64,
    arrived: usize,
    answered: usize,
}

const CLIENT: usize = 0;
const SERVER: usize = 1;

impl<'a> World<'a> {
    fn new(mut draws: Draws<'a>) -> Self {
        let now = Time::from_millis(1_000);
        let setup = draws.or_zero();
        let config = client::Config {
            buffer: client::Buffer::Keep {
                events_max: WAITING_MAX,
                bytes_max: 10_000,
            },
            calls_max: CALLS_MAX,
            ..client::Config::default()
        };
        let server = server::Config {
            engine: engineio::server::Config {
                heartbeat: Heartbeat {
                    interval: Duration::from_secs(5),
                    timeout: TIMEOUT,
                },
                max_payload: if setup & 4 == 0 { 70 } else { 10_000 },
                ..engineio::server::Config::default()
            },
            calls_max: CALLS_MAX,
            ..server::Config::default()
        };
        let space = |name| Space {
            name,
            wanted: None,
            is_in: false,
            can_speak: false,
            waiting: 0,
            asked: None,
            is_member: false,
            can_reach: false,
            is_dismissed: false,
            to_server: Expected::default(),
            to_client: Expected::default(),
            acks: [Vec::new(), Vec::new()],
        };
        let other = Namespace::new("/a").unwrap_or_else(Namespace::root);
        let client = match setup % 4 {
            0 => Client::new(config, now),
            kind => Client::polling(config, kind > 1, now),
        };
        let mut world = Self {
            draws,
            now,
            client,
            server: Sessions::new(server, Limits::default()),
            network: Network::default(),
            spaces: [space(Namespace::root()), space(other)],
            calls: [BTreeSet::new(), BTreeSet::new()],
            is_hostile: setup & 8 != 0,
            is_calm: setup & 8 == 0,
            waited: Duration::ZERO,
            over: [false; 2],
            next: 0,
            arrived: 0,
            answered: 0,
        };
        if setup.is_multiple_of(4) {
            world.network.dial(LINE);
            world.carry(0);
            world.carry(0);
        }
        world.client(None);
        world
    }

    /// Space of that name, if it is one of the two: a forged frame may name another.
    fn space(&mut self, name: &Namespace) -> Option<&mut Space> {
        self.spaces.iter_mut().find(|it| it.name == *name)
    }

    fn at(&mut self, pick: u8) -> &mut Space {
        let [root, other] = &mut self.spaces;
        if pick & 1 == 0 { root } else { other }
    }

    fn go_on(&mut self, op: u8, pick: u8) {
        let name = self.at(pick).name.clone();
        match op % 32 {
            0..=10 => self.carry(usize::from(pick)),
            11 => (0..pick % 32).for_each(|_| self.carry(0)),
            12..=14 => self.client_says(&name, Kind::Event),
            15 => self.client_says(&name, Kind::Call(pick)),
            16 | 17 => self.server_says(&name, Kind::Event),
            18 => self.server_says(&name, Kind::Call(pick)),
            19 => self.answer(&name, CLIENT, pick),
            20 => self.answer(&name, SERVER, pick),
            21 => self.join(&name),
            22 if pick < 64 => self.leave(&name),
            22 => self.client_says(&name, Kind::Volatile),
            23 => self.admit(&name, pick >= 16),
            24 if pick < 64 => self.dismiss(&name),
            24 => self.admit(&name, true),
            25 => self.wait(Duration::from_millis(u64::from(pick))),
            26 if pick >= 32 => self.carry(usize::from(pick)),
            26 => self.sleep(Duration::from_secs(u64::from(pick))),
            27 => self.fail(pick),
            28 | 29 if self.is_hostile => self.forge(op, pick),
            30 if pick < 8 => {
                self.is_calm = false;
                if pick < 4 {
                    self.client(Some(client::Input::Close));
                } else {
                    self.server(server::Input::Close);
                }
            }
            28.. => self.check_idle(),
        }
    }

    /// What the network does to the line.
    fn fail(&mut self, pick: u8) {
        let who = Cut {
            client: pick & 1 == 0,
            server: pick & 2 == 0,
        };
        match pick {
            0..=3 => {
                self.is_calm = false;
                self.network.cut(LINE, who);
            }
            4..=11 => {
                self.is_calm = false;
                self.network.break_socket(LINE);
            }
            _ => {
                if let Some(delivery) = self.network.refuse(LINE) {
                    self.deliver(delivery);
                }
            }
        }
    }

    fn forge(&mut self, op: u8, pick: u8) {
        let content = self.draws.bytes();
        let frame = frame(content);
        if op % 32 == 28 {
            self.network.forge_up(LINE, frame);
        } else if pick < 250 {
            self.network.forge_down(LINE, frame);
        } else {
            let id = RequestId::from_number(u64::from(pick % 4));
            let result = Err(crate::http::Failure::TooLarge);
            let forged = ClientEvent::Answered { id, result };
            self.client(Some(client::Input::Transport(forged)));
        }
    }

    fn carry(&mut self, pick: usize) {
        if let Some(delivery) = self.network.carry(pick) {
            self.deliver(delivery);
        }
    }

    fn deliver(&mut self, delivery: Delivery) {
        match delivery {
            Delivery::Server(arrival) => self.arrive(arrival),
            Delivery::Client(_, event) => {
                self.client(Some(client::Input::Transport(event)));
            }
            // The client was made for a WebSocket that is open.
            Delivery::Dialed(..) => {}
        }
    }

    fn wait(&mut self, span: Duration) {
        self.now = self.now + span;
        self.waited += span;
        self.client(None);
        let (mut effects, mut said) = (Vec::new(), Vec::new());
        self.server.tick(self.now, &mut effects, &mut said);
        self.on_server(effects, said);
    }

    /// Goes to the next deadline, but `most` far at most.
    fn sleep(&mut self, most: Duration) {
        let wakeups = [self.client.next_wakeup(), self.server.next_wakeup()];
        let until = earliest(wakeups).map_or(most, |due| due.at.since(self.now));
        self.wait(until.min(most));
    }

    fn check_idle(&mut self) {
        let before = self.client.clone();
        self.client(None);
        assert!(self.client == before, "the client is not idle");
        let before = self.server.clone();
        let (mut effects, mut said) = (Vec::new(), Vec::new());
        self.server.tick(self.now, &mut effects, &mut said);
        assert!(effects.is_empty() && said.is_empty(), "not idle");
        assert!(self.server == before, "the server is not idle");
    }

    /// Everything arrives, and everybody is let in.
    fn settle(&mut self) {
        for at in 0.. {
            assert!(at < 10_000, "the two never come to rest");
            self.carry(fair(at));
            let asked = self.spaces.iter().filter(|it| it.asked.is_some());
            for name in asked.map(|it| it.name.clone()).collect::<Vec<_>>() {
                self.admit(&name, true);
            }
            if self.network.is_at_rest() {
                return;
            }
        }
    }

    fn finish(&mut self) {
        self.settle();
        let until = self.now + PATIENCE * 2;
        while self.now < until {
            self.sleep(PATIENCE);
            self.settle();
        }
        for calls in &self.calls {
            assert!(calls.is_empty(), "{calls:?} never end");
        }
        if self.over == [false; 2] && !self.is_hostile {
            for space in &self.spaces {
                let missing = [&space.to_client, &space.to_server].map(Expected::first_missing);
                assert_eq!(missing, [None, None], "never arrives in {}", space.name);
            }
        }
    }
}

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Event,
    Volatile,
    Call(u8),
}

fn patience(pick: u8) -> Duration {
    Duration::from_millis(u64::from(pick) * 125)
}

impl Space {
    /// The client leaves.
    fn leave(&mut self) {
        if !self.is_in {
            self.to_server.ease();
        }
        self.to_client.ease();
        self.put_out();
    }

    /// The client is out, and sends nothing that must arrive.
    fn put_out(&mut self) {
        self.wanted = None;
        self.waiting = 0;
        self.is_in = false;
        self.can_speak = false;
        self.can_reach = false;
        self.acks[CLIENT].clear();
    }
}
