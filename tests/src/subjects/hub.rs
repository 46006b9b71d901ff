//! The hub under the laws: clients on WebSockets and by polling, who get lost and come back.

use std::time::Duration;

use bytes::Bytes;
use selvedge_core::{
    RequestId, Secret, Time,
    engineio::{
        PollingConfig,
        sessions::{Arrival, Effect, Limits},
    },
    http::CallId,
    socketio::{
        Namespace,
        hub::{self, Audience, Config, Identity, Input, Output, Recovery, Room, SocketId, Target},
    },
    ws::{Action, ConnId, Event, Frame},
};

use super::{
    peer::{Peer, closed, take, text},
    socket_client::emission,
};
use crate::{
    history::{Choice, Subject, Traffic, Wire},
    laws::SECRET_MARK,
};

/// A hub, and the world around it.
#[derive(Clone, Debug, Default)]
pub struct Hub {
    /// Numbers connections, calls and sids.
    next: u64,
    conns: Vec<ConnId>,
    /// The sids of sessions that began by polling.
    sids: Vec<String>,
    /// Posts whose bodies are being read.
    posting: Vec<CallId>,
    /// WebSockets of such sessions, and how far each has come.
    upgrades: Vec<(ConnId, u8)>,
    asked: Vec<SocketId>,
    joined: Vec<SocketId>,
    next_call: u64,
    over: bool,
}

impl Hub {
    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn sid(number: u64) -> String {
        format!("{SECRET_MARK}-sid{number}")
    }

    fn socket(&mut self, sid: Option<&String>) -> (ConnId, Input) {
        let number = self.number();
        let conn = ConnId(number);
        let arrival = Arrival::Socket {
            conn,
            sid: sid.map(|sid| Secret::new(sid)),
            fresh: Secret::new(&Self::sid(number)),
            base64: false,
        };
        (conn, Input::Arrival(arrival))
    }

    fn open(&mut self) -> Input {
        let (conn, input) = self.socket(None);
        self.conns.push(conn);
        input
    }

    fn poll(&mut self, sid: Option<&String>) -> Input {
        let number = self.number();
        if sid.is_none() {
            self.sids.push(Self::sid(number));
        }
        Input::Arrival(Arrival::Poll {
            call: CallId(number),
            sid: sid.map(|sid| Secret::new(sid)),
            fresh: Secret::new(&Self::sid(number)),
        })
    }

    fn posting(&mut self, sid: &str) -> Input {
        let call = CallId(self.number());
        self.posting.push(call);
        let sid = Secret::new(sid);
        Input::Arrival(Arrival::Posting { call, sid })
    }

    fn some_sid(&self, a: u64) -> Option<String> {
        let at = (a as usize).checked_rem(self.sids.len())?;
        self.sids.get(at).cloned()
    }

    fn frame(&self, a: u64, frame: Frame) -> Option<Input> {
        let at = (a as usize).checked_rem(self.conns.len())?;
        let conn = self.conns.get(at)?;
        let arrival = Arrival::Transport(*conn, Event::Frame(frame));
        Some(Input::Arrival(arrival))
    }

    /// A packet of a client: a CONNECT, now and then of one who was here before; or another.
    fn packet(a: u64, b: u64) -> String {
        let namespace = ["", "/realtime,", "/nowhere,"].get((b % 16 / 7) as usize);
        let namespace = namespace.unwrap_or(&"");
        match a % 8 {
            0..=2 => {
                let (pid, offset) = (b / 16 % 12, b / 256 % 12);
                let token = format!(r#""token":"{SECRET_MARK}-token""#);
                format!(
                    r#"40{namespace}{{"pid":"{SECRET_MARK}-pid{pid}","offset":"offset-{offset}",{token}}}"#
                )
            }
            3..=5 => format!(r#"42{namespace}{}["typing",{b}]"#, b % 3),
            6 => format!("43{namespace}{}[{b}]", b / 16 % 4),
            _ if b.is_multiple_of(8) => format!("41{namespace}"),
            _ => "3".to_string(),
        }
    }

    fn target(&self, a: u64, b: u64) -> Option<Target> {
        let at = (a as usize).checked_rem(self.joined.len());
        let socket = at.and_then(|at| self.joined.get(at)).copied();
        let room = |number: u64| Room::new(&format!("room{}", number % 6));
        Some(match (b % 4, socket) {
            (0, Some(socket)) => Target::Socket(socket),
            (1, _) => Target::Socket(SocketId::from_number(a % 64)),
            (2, _) => Target::Audience(Audience {
                rooms: [room(a)?, room(b)?].into(),
                except_rooms: [room(a / 8)?].into(),
                except_sockets: socket.into_iter().collect(),
            }),
            _ => Target::Audience(Audience::default()),
        })
    }

    fn admit(socket: SocketId, b: u64) -> Input {
        let number = socket.number();
        Input::Admit {
            socket,
            sid: format!("socket{number}").into(),
            pid: (!b.is_multiple_of(8))
                .then(|| Secret::new(&format!("{SECRET_MARK}-pid{}", number % 12))),
            identity: match b / 8 % 8 {
                0..=5 => Identity::Bearer,
                6 => Identity::User("ann".into()),
                _ => Identity::Stranger,
            },
        }
    }

    fn plausible(&mut self, a: u64, b: u64) -> Option<Input> {
        if let Some(socket) = take(&mut self.asked, a) {
            self.joined.push(socket);
            return Some(Self::admit(socket, b));
        }
        if self.conns.len() < 3 {
            return Some(self.open());
        }
        let namespace = if b.is_multiple_of(2) {
            ""
        } else {
            "/realtime,"
        };
        if self.joined.len() < 3 {
            return self.frame(a, text(&format!("40{namespace}{{}}")));
        }
        Some(Input::Emit {
            to: self.target(a, b | 2)?,
            emission: emission(a, b % 8)?,
            volatile: false,
        })
    }
}

impl Subject for Hub {
    type Input = Input;
    type Output = Output;
    type Machine = hub::Hub;

    const KINDS: u8 = 24;
    /// 6 sessions of 40 packets, 3 namespaces of 2 rooms and 8 calls each; 16 events, 4 lost sockets.
    const DEBUG_MAX: usize = 120_000;

    fn start(_: Time) -> (Self, hub::Hub) {
        let mut config = Config::default();
        config.namespaces.extend(Namespace::new("/realtime"));
        config.sessions = Limits {
            sessions_max: 6,
            farewells_max: 3,
            farewell_bytes_max: 1_000,
            ..Limits::default()
        };
        config.admissions_max = 4;
        config.rooms_max = 2;
        let mut recovery = Recovery::default();
        recovery.log_events_max = 16;
        recovery.log_bytes_max = 1_000;
        recovery.parked_max = 4;
        config.recovery = Some(recovery);
        config.connection.calls_max = 8;
        config.connection.namespaces_max = 3;
        config.connection.engine.max_payload = 1_000;
        config.connection.engine.polling = PollingConfig {
            queue_bytes_max: 1_200,
            queue_packets_max: 40,
            ..PollingConfig::default()
        };
        (Self::default(), hub::Hub::new(config))
    }

    fn decode(&mut self, Choice { kind, a, b }: Choice) -> Option<Input> {
        Some(match kind % Self::KINDS {
            0 | 1 => return self.plausible(a, b),
            2 => Input::Refuse {
                socket: take(&mut self.asked, a)?,
                message: "no".into(),
                data: (b % 3 > 0).then(|| if b % 3 == 1 { "{}" } else { "{" }.into()),
            },
            3 if a % 4 == 0 => self.open(),
            4..=6 => return self.frame(a, text(&Self::packet(a / 8, b))),
            7 => return self.frame(a, text("3")),
            8 => Input::Emit {
                to: self.target(a, b)?,
                emission: emission(a, b / 4)?,
                volatile: b % 5 == 0,
            },
            9 => {
                self.next_call += u64::from(b % 8 > 0);
                let at = (a as usize).checked_rem(self.joined.len())?;
                Input::Call {
                    id: RequestId::from_number(self.next_call),
                    socket: *self.joined.get(at)?,
                    emission: emission(a, b / 8)?,
                    patience: Duration::from_millis(b % 20_000),
                }
            }
            10 => {
                let at = (a as usize).checked_rem(self.joined.len())?;
                let mut socket = *self.joined.get(at)?;
                let room = Room::new(&format!("room{}", b % 6))?;
                if b % 4 == 3 {
                    // Now and then one that is away.
                    if a % 8 == 0 {
                        socket = SocketId::from_number(b / 4 % 64);
                    }
                    Input::Exit { socket, room }
                } else {
                    Input::Enter { socket, room }
                }
            }
            11 if a % 8 == 0 => Input::Disconnect {
                socket: take(&mut self.joined, b)?,
                close: b % 3 == 0,
            },
            12 if a % 16 == 0 => return self.frame(b, Peer::default().odd(a / 16, b)),
            13 if a % 4 == 0 => {
                let conn = take(&mut self.conns, b)?;
                Input::Arrival(Arrival::Transport(conn, closed(b)))
            }
            14 if self.sids.is_empty() || a % 16 == 0 => self.poll(None),
            14 | 15 => {
                let sid = self.some_sid(b);
                self.poll(sid.as_ref())
            }
            16 | 17 => match self.posting.pop() {
                None => {
                    let sid = self.some_sid(a)?;
                    self.posting(&sid)
                }
                Some(call) => {
                    let packets = [Self::packet(a, b), Self::packet(b, a)];
                    let body = Bytes::from(packets.join("\u{1e}"));
                    Input::Arrival(Arrival::Post { call, body })
                }
            },
            18 => match self.upgrades.pop() {
                None => {
                    let sid = self.some_sid(a)?;
                    let (conn, input) = self.socket(Some(&sid));
                    self.upgrades.push((conn, 0));
                    input
                }
                Some((conn, at)) => {
                    let packet = if at == 0 { "2probe" } else { "5" };
                    if at == 0 {
                        self.upgrades.push((conn, 1));
                    } else {
                        self.conns.push(conn);
                    }
                    let event = Event::Frame(text(packet));
                    Input::Arrival(Arrival::Transport(conn, event))
                }
            },
            19 if a % 8 == 0 => Input::Arrival(Arrival::Gone {
                call: CallId(self.next.saturating_sub(b % 6)),
            }),
            20 => Self::admit(SocketId::from_number(a % 64), b),
            21 if a % 16 == 0 => Input::Disconnect {
                socket: *self.asked.first()?,
                close: false,
            },
            22 if a % 4 == 0 => self.poll(Some(&"nobody's".to_string())),
            23 if a % 64 == 0 => self.end(),
            _ => return None,
        })
    }

    fn heard(&mut self, output: &Output) {
        match output {
            Output::Admission { socket, .. } => self.asked.push(*socket),
            Output::ForgetAdmission { socket } => self.asked.retain(|it| it != socket),
            Output::Disconnected { socket, .. } => self.joined.retain(|it| it != socket),
            Output::Effect(Effect::Transport(conn, Action::Close)) => {
                self.conns.retain(|it| it != conn);
                self.upgrades.retain(|(it, _)| it != conn);
            }
            Output::Effect(Effect::Answer { call, .. }) => self.posting.retain(|it| it != call),
            Output::Effect(Effect::Transport(_, Action::Send(_)))
            | Output::Opened { .. }
            | Output::Ended { .. }
            | Output::Connected { .. }
            | Output::Event { .. }
            | Output::Answered { .. }
            | Output::Dropped { .. }
            | Output::Closed => {}
        }
    }

    fn end(&mut self) -> Input {
        self.over = true;
        Input::Close
    }

    fn is_over(&self) -> bool {
        self.over
    }

    fn of_input(input: &Input) -> Option<Traffic> {
        match input {
            Input::Arrival(Arrival::Poll { call, .. } | Arrival::Posting { call, .. }) => {
                Some(Traffic::Call(("http", call.0)))
            }
            Input::Arrival(Arrival::Gone { call }) => Some(Traffic::Gone(("http", call.0))),
            Input::Admit { socket, .. } | Input::Refuse { socket, .. } => {
                Some(Traffic::Answer(("admission", socket.number())))
            }
            Input::Call { id, .. } => Some(Traffic::Call(("call", id.number()))),
            Input::Arrival(
                Arrival::Socket { .. } | Arrival::Transport(..) | Arrival::Post { .. },
            )
            | Input::Emit { .. }
            | Input::Enter { .. }
            | Input::Exit { .. }
            | Input::Disconnect { .. }
            | Input::Close => None,
        }
    }

    fn on_wire(output: &Output) -> Option<Wire> {
        match output {
            Output::Effect(Effect::Transport(conn, Action::Send(_))) => Some(Wire::Uses(*conn)),
            Output::Effect(Effect::Transport(conn, Action::Close)) => Some(Wire::Ends(*conn)),
            Output::Effect(Effect::Answer { .. })
            | Output::Admission { .. }
            | Output::ForgetAdmission { .. }
            | Output::Opened { .. }
            | Output::Ended { .. }
            | Output::Connected { .. }
            | Output::Event { .. }
            | Output::Answered { .. }
            | Output::Disconnected { .. }
            | Output::Dropped { .. }
            | Output::Closed => None,
        }
    }

    fn of_output(output: &Output) -> Option<Traffic> {
        match output {
            Output::Effect(Effect::Answer { call, .. }) => Some(Traffic::Reply(("http", call.0))),
            Output::Admission { socket, .. } => Some(Traffic::Ask(("admission", socket.number()))),
            Output::ForgetAdmission { socket } => {
                Some(Traffic::Forget(("admission", socket.number())))
            }
            Output::Answered { id, .. } => Some(Traffic::Reply(("call", id.number()))),
            Output::Effect(Effect::Transport(..))
            | Output::Opened { .. }
            | Output::Ended { .. }
            | Output::Connected { .. }
            | Output::Event { .. }
            | Output::Disconnected { .. }
            | Output::Dropped { .. }
            | Output::Closed => None,
        }
    }
}
