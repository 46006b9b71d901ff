//! Scenes around a hub: clients on WebSockets and by polling, and an embedder.

mod admission;
mod recovery;
mod rooms;

use alloc::{format, string::String, vec, vec::Vec};
use core::time::Duration;

use bytes::Bytes;

use super::*;
use crate::{
    http::CallId,
    machine::step,
    request::RequestId,
    secret::Secret,
    socketio::{Unsent, event::Emission},
    ws::{self, ConnId},
};

const SECOND: Duration = Duration::from_secs(1);

/// A hub, and what it has done: on the wire, and for its embedder.
struct Scene {
    hub: Hub,
    now: Time,
    /// Frames and answers, but for handshakes, each behind the number of its connection or call.
    wire: Vec<String>,
    /// Connections as they begin and end, each session behind a `+` or a `-`.
    sessions: Vec<String>,
    /// The rooms of the socket that was let in last.
    rooms: Vec<Room>,
    /// All else, with no rooms.
    told: Vec<Output>,
}

fn namespace(name: &str) -> Namespace {
    Namespace::new(name).unwrap()
}

fn room(name: &str) -> Room {
    Room::new(name).unwrap()
}

fn id(number: u64) -> SocketId {
    SocketId::from_number(number)
}

fn user(name: &str) -> Identity {
    Identity::User(name.into())
}

fn config() -> Config {
    Config {
        namespaces: [namespace("/"), namespace("/a")].into(),
        ..Config::default()
    }
}

fn recovering() -> Config {
    Config {
        recovery: Some(Recovery::default()),
        ..config()
    }
}

fn to(rooms: &[&str]) -> Audience {
    Audience {
        rooms: rooms.iter().map(|name| room(name)).collect(),
        ..Audience::default()
    }
}

impl Scene {
    fn new(config: Config) -> Self {
        Self {
            hub: Hub::new(config),
            now: Time::from_millis(1_000),
            wire: vec![],
            sessions: vec![],
            rooms: vec![],
            told: vec![],
        }
    }

    /// So many sockets in `/`, on connections of the same numbers.
    fn inside(config: Config, sockets: u64) -> Self {
        let mut scene = Self::new(config);
        for number in 0..sockets {
            scene.connect(number, "40");
            scene.admit(number);
        }
        scene.wire.clear();
        scene.told.clear();
        scene
    }

    fn step(&mut self, input: Option<Input>) {
        let mut out = vec![];
        step(&mut self.hub, self.now, input, &mut out);
        for output in out {
            match output {
                Output::Effect(effect) => {
                    let line = line_of(&effect);
                    if !line.contains("\"pingInterval\"") {
                        self.wire.push(line);
                    }
                }
                Output::Opened { session, sid } => {
                    let line = format!("+{} {}", session.number(), sid.expose());
                    self.sessions.push(line);
                }
                Output::Ended { session, .. } => {
                    self.sessions.push(format!("-{}", session.number()));
                }
                Output::Connected {
                    socket,
                    sid,
                    recovered,
                    rooms,
                } => {
                    self.rooms = rooms;
                    self.told.push(Output::Connected {
                        socket,
                        sid,
                        recovered,
                        rooms: vec![],
                    });
                }
                told @ (Output::Admission { .. }
                | Output::ForgetAdmission { .. }
                | Output::Event { .. }
                | Output::Answered { .. }
                | Output::Disconnected { .. }
                | Output::Dropped { .. }
                | Output::Closed) => self.told.push(told),
            }
        }
    }

    fn sleep(&mut self, span: Duration) {
        let until = self.now + span;
        while let Some(wakeup) = self.hub.next_wakeup().filter(|it| it.at <= until) {
            self.now = wakeup.at;
            self.step(None);
        }
        self.now = until;
        self.step(None);
    }

    /// Time goes on, and every client answers its pings.
    fn idle(&mut self, seconds: u64, conns: &[u64]) {
        for _ in 0..seconds {
            self.sleep(SECOND);
            for conn in conns {
                self.frame(*conn, "3");
            }
        }
        self.wire.clear();
    }

    fn arrive(&mut self, arrival: Arrival) {
        self.step(Some(Input::Arrival(arrival)));
    }

    fn open(&mut self, conn: u64) {
        self.arrive(Arrival::Socket {
            conn: ConnId(conn),
            sid: None,
            fresh: Secret::new(&format!("engine{conn}")),
            base64: false,
        });
    }

    fn frame(&mut self, conn: u64, text: &str) {
        let frame = ws::Event::Frame(ws::Frame::Text(text.into()));
        self.arrive(Arrival::Transport(ConnId(conn), frame));
    }

    fn lose(&mut self, conn: u64) {
        let lost = ws::Event::Closed(ws::Closed::Broken("reset".into()));
        self.arrive(Arrival::Transport(ConnId(conn), lost));
    }

    fn poll(&mut self, call: u64, sid: Option<&str>) {
        self.arrive(Arrival::Poll {
            call: CallId(call),
            sid: sid.map(Secret::new),
            fresh: Secret::new(&format!("poll{call}")),
        });
    }

    fn post(&mut self, call: u64, sid: &str, body: &str) {
        let (call, sid) = (CallId(call), Secret::new(sid));
        self.arrive(Arrival::Posting { call, sid });
        let body = Bytes::copy_from_slice(body.as_bytes());
        self.arrive(Arrival::Post { call, body });
    }

    /// A client opens a WebSocket and sends a packet.
    fn connect(&mut self, conn: u64, packet: &str) {
        self.open(conn);
        self.frame(conn, packet);
    }

    fn admit(&mut self, socket: u64) {
        self.admit_as(socket, Identity::Bearer);
    }

    fn admit_as(&mut self, socket: u64, identity: Identity) {
        self.step(Some(Input::Admit {
            socket: id(socket),
            sid: format!("sid{socket}").into(),
            pid: Some(Secret::new(&format!("pid{socket}"))),
            identity,
        }));
    }

    fn refuse(&mut self, socket: u64, data: Option<&str>) {
        self.step(Some(Input::Refuse {
            socket: id(socket),
            message: "no".into(),
            data: data.map(Into::into),
        }));
    }

    fn emit_to(&mut self, to: Target, name: &str, volatile: bool) {
        let emission = Emission::event(&Namespace::root(), name, &()).unwrap();
        self.step(Some(Input::Emit {
            to,
            emission,
            volatile,
        }));
    }

    fn emit(&mut self, audience: Audience, name: &str) {
        self.emit_to(Target::Audience(audience), name, false);
    }

    fn call(&mut self, number: u64, socket: u64) {
        self.step(Some(Input::Call {
            id: RequestId::from_number(number),
            socket: id(socket),
            emission: Emission::event(&Namespace::root(), "ask", &()).unwrap(),
            patience: SECOND,
        }));
    }

    fn enter(&mut self, socket: u64, name: &str) {
        let (socket, room) = (id(socket), room(name));
        self.step(Some(Input::Enter { socket, room }));
    }

    fn exit(&mut self, socket: u64, name: &str) {
        let (socket, room) = (id(socket), room(name));
        self.step(Some(Input::Exit { socket, room }));
    }

    fn disconnect(&mut self, socket: u64, close: bool) {
        let socket = id(socket);
        self.step(Some(Input::Disconnect { socket, close }));
    }

    /// What was on the wire since it was looked at.
    #[track_caller]
    fn wired(&mut self, wanted: &[&str]) {
        assert_eq!(mem::take(&mut self.wire), wanted);
    }

    /// What the embedder was told since it was looked at.
    #[track_caller]
    fn told(&mut self, wanted: &[Output]) {
        assert_eq!(mem::take(&mut self.told), wanted);
    }

    fn session(&self, at: usize) -> SessionId {
        self.hub.sessions.ids().nth(at).unwrap()
    }
}

fn line_of(effect: &Effect) -> String {
    match effect {
        Effect::Transport(ConnId(conn), ws::Action::Send(ws::Frame::Text(text))) => {
            format!("{conn} {text}")
        }
        Effect::Transport(ConnId(conn), ws::Action::Send(ws::Frame::Binary(bytes))) => {
            format!("{conn} {bytes:?}")
        }
        Effect::Transport(ConnId(conn), ws::Action::Close) => format!("{conn} close"),
        Effect::Answer { call, status, body } => {
            let body = core::str::from_utf8(body).unwrap();
            format!("call {} {status} {body}", call.0)
        }
    }
}

fn connected(socket: u64, sid: &str, recovered: bool) -> Output {
    Output::Connected {
        socket: id(socket),
        sid: sid.into(),
        recovered,
        rooms: vec![],
    }
}

fn disconnected(socket: u64, why: End) -> Output {
    let socket = id(socket);
    Output::Disconnected { socket, why }
}

fn lost() -> End {
    End::Closed(CloseReason::Engine(
        crate::engineio::CloseReason::Transport(ws::Closed::Broken("reset".into())),
    ))
}

fn dropped(socket: Option<u64>, why: Unsent) -> Output {
    let socket = socket.map(id);
    Output::Dropped { socket, why }
}
