//! Scenes of a manager, in virtual time.

mod connecting;
mod losing;
mod recovering;
mod refusing;
mod sending;
mod wired;

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::{num::NonZeroU32, time::Duration};

use bytes::Bytes;

use super::{Auth, Config, Input, Manager, Output, Transports};
use crate::{
    Secret,
    engineio::transport::{Answer, ClientAction, ClientEvent, Exchange},
    link::{Authorize, AuthorizeFailure},
    machine::{Machine, step},
    request::RequestId,
    rng::Rng,
    socketio::{Namespace, client::Buffer, event::Emission},
    time::Time,
    ws::{self, ConnId},
};

const SECOND: Duration = Duration::from_secs(1);

const HANDSHAKE: &str =
    r#"0{"sid":"e","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":100}"#;

/// A manager whose server is the test.
struct Rig {
    manager: Manager,
    now: Time,
    prepare: Option<RequestId<Authorize>>,
    /// The last connection that was dialed or used.
    conn: ConnId,
    auths: Vec<(RequestId<Auth>, Namespace)>,
}

impl Rig {
    fn new(config: Config) -> Self {
        let mut rig = Self {
            manager: Manager::new(config, Rng::from_number(5)),
            now: Time::from_millis(1_000),
            prepare: None,
            conn: ConnId(u64::MAX),
            auths: Vec::new(),
        };
        assert_eq!(rig.step(None), [""; 0]);
        assert_eq!(rig.manager.next_wakeup(), None);
        rig
    }

    /// A manager that has joined these namespaces.
    fn joined<const N: usize>(config: Config, names: [&str; N]) -> Self {
        let mut rig = Self::new(config);
        for name in names {
            rig.join(name);
        }
        rig.open();
        for name in names {
            rig.auth(name, None);
            rig.hear(&format!(r#"40{name},{{"sid":"x"}}"#));
            assert!(rig.manager.is_joined(&namespace(name)));
        }
        rig
    }

    /// Steps, and tells what was said.
    fn step(&mut self, input: Option<Input>) -> Vec<String> {
        let mut out = Vec::new();
        step(&mut self.manager, self.now, input, &mut out);
        for output in &out {
            match output {
                Output::Prepare(id) => self.prepare = Some(*id),
                Output::ForgetPrepare(id) => {
                    assert_eq!(self.prepare.take(), Some(*id));
                }
                Output::Dial(conn) | Output::Transport(conn, _) => self.conn = *conn,
                Output::Auth { id, namespace } => self.auths.push((*id, namespace.clone())),
                Output::ForgetAuth(id) => self.auths.retain(|(auth, _)| auth != id),
                Output::HangUp(_)
                | Output::Connected { .. }
                | Output::Refused { .. }
                | Output::Disconnected { .. }
                | Output::Down { .. }
                | Output::GaveUp { .. }
                | Output::Event { .. }
                | Output::Answered { .. }
                | Output::Dropped { .. } => {}
            }
        }
        out.iter().map(shown).collect()
    }

    fn tell(&mut self, input: Input) -> Vec<String> {
        self.step(Some(input))
    }

    fn join(&mut self, name: &str) -> Vec<String> {
        self.tell(Input::Join {
            namespace: namespace(name),
        })
    }

    fn leave(&mut self, name: &str) -> Vec<String> {
        self.tell(Input::Leave {
            namespace: namespace(name),
        })
    }

    fn emit(&mut self, name: &str, event: &str) -> Vec<String> {
        self.tell(Input::Emit(emission(name, event)))
    }

    fn call(&mut self, number: u64, name: &str, event: &str, patience: Duration) -> Vec<String> {
        self.tell(Input::Call {
            id: RequestId::from_number(number),
            emission: emission(name, event),
            patience,
        })
    }

    fn prepared(&mut self) -> Vec<String> {
        let id = self.prepare.take().unwrap();
        self.tell(Input::Prepared(id, Ok(())))
    }

    fn dialed(&mut self, result: Result<(), &str>) -> Vec<String> {
        self.tell(Input::Dialed(self.conn, result.map_err(str::to_string)))
    }

    /// Brings the connection up to the handshake, which is asked for already.
    fn open(&mut self) -> Vec<String> {
        assert_eq!(self.prepared(), ["dial"]);
        assert_eq!(self.dialed(Ok(())), [""; 0]);
        self.hear(HANDSHAKE)
    }

    /// Says the auth of a namespace, which is asked for already.
    fn auth(&mut self, name: &str, auth: Option<&str>) -> Vec<String> {
        self.answer_auth(name, Ok(auth.map(Secret::new)))
    }

    fn answer_auth(&mut self, name: &str, answer: Result<Option<Secret>, String>) -> Vec<String> {
        let mut asked = self.auths.iter();
        let at = asked.position(|(_, namespace)| namespace.as_str() == name);
        let (id, _) = self.auths.remove(at.unwrap());
        self.tell(Input::Auth(id, answer))
    }

    fn hear(&mut self, content: &str) -> Vec<String> {
        let frame = ws::Event::Frame(ws::Frame::Text(content.into()));
        self.tell(Input::Transport(self.conn, frame.into()))
    }

    /// The connection is lost.
    fn lose(&mut self) -> Vec<String> {
        let closed = ws::Event::Closed(ws::Closed::Broken("reset".into()));
        self.tell(Input::Transport(self.conn, closed.into()))
    }

    /// Sleeps up to the next deadline.
    fn sleep(&mut self) -> Vec<String> {
        self.now = self.manager.next_wakeup().unwrap().at;
        self.step(None)
    }

    /// Waits, ticked as it wants to be; tells everything that was said.
    fn wait(&mut self, span: Duration) -> Vec<String> {
        let end = self.now + span;
        let mut said = Vec::new();
        while let Some(wakeup) = self.manager.next_wakeup()
            && wakeup.at <= end
        {
            said.extend(self.sleep());
        }
        self.now = end;
        said.extend(self.step(None));
        said
    }
}

fn namespace(name: &str) -> Namespace {
    Namespace::new(name).unwrap()
}

fn emission(name: &str, event: &str) -> Emission {
    Emission::event(&namespace(name), event, &()).unwrap()
}

/// An output in a few words.
fn shown(output: &Output) -> String {
    let next = |retry| if retry { "again" } else { "never" };
    match output {
        Output::Prepare(_) => "prepare".into(),
        Output::ForgetPrepare(_) => "forget prepare".into(),
        Output::Auth { namespace, .. } => format!("auth {namespace}"),
        Output::ForgetAuth(_) => "forget auth".into(),
        Output::Dial(_) => "dial".into(),
        Output::HangUp(_) => "hang up".into(),
        Output::Transport(_, action) => match action {
            ClientAction::WebSocket(ws::Action::Send(ws::Frame::Text(text))) => format!("> {text}"),
            ClientAction::WebSocket(ws::Action::Send(ws::Frame::Binary(bytes))) => {
                format!("> {bytes:?}")
            }
            ClientAction::WebSocket(ws::Action::Close) => "close".into(),
            ClientAction::Dial { sid } => format!("upgrade {sid}"),
            ClientAction::Get { sid, .. } => format!("get {}", sid.as_deref().unwrap_or("-")),
            ClientAction::Post { body, .. } => {
                format!("post {}", core::str::from_utf8(body).unwrap())
            }
            ClientAction::Abort(_) => "abort".into(),
        },
        Output::Connected {
            namespace,
            sid,
            recovered,
        } => {
            let how = if *recovered { " recovered" } else { "" };
            format!("connected {namespace} {sid}{how}")
        }
        Output::Refused {
            namespace,
            message,
            data,
            retry_in,
        } => {
            let data = data.as_deref().unwrap_or("-");
            let next = next(retry_in.is_some());
            format!("refused {namespace} {next}: {message} {data}")
        }
        Output::Disconnected {
            namespace, retry, ..
        } => format!("disconnected {namespace} {}", next(*retry)),
        Output::Down { .. } => "down".into(),
        Output::GaveUp { why } => format!("gave up: {why}"),
        Output::Event { namespace, event } => {
            format!("event {namespace} {} {}", event.name(), event.raw_args())
        }
        Output::Answered { id, result } => match result {
            Ok(answer) => format!("answered {} {}", id.number(), answer.raw_args()),
            Err(error) => format!("answered {} {error:?}", id.number()),
        },
        Output::Dropped { namespace, why } => format!("dropped {namespace} {why:?}"),
    }
}
