//! A client and a server, each with a peer that sends what it likes.

use alloc::{collections::BTreeSet, vec::Vec};
use core::time::Duration;

use bytes::Bytes;
use bytestring::ByteString;

use super::frame;
use crate::{
    Secret, canonical_hash,
    machine::{Machine, step},
    request::RequestId,
    socketio::{
        AckId, Call, Namespace, client,
        client::Client,
        event::{Attachment, Emission},
        server,
        server::Server,
    },
    time::Time,
    ws,
};

/// A client and a server, each with a peer that sends what it likes, keep the laws of a machine:
/// they make progress, an idle tick changes nothing, every call ends exactly once, and the end is
/// the end. Every line of the input is a step: its first byte says which, the rest is the frame.
///
/// # Panics
///
/// Where that does not hold.
pub fn socketio_ends(input: &[u8]) {
    let config = client::Config {
        buffer: client::Buffer::Keep {
            events_max: 4,
            bytes_max: 200,
        },
        ..client::Config::default()
    };
    let mut client = Subject::new(Client::new(config, Time::ZERO));
    let mut server = Subject::new(Server::new(
        server::Config::default(),
        ByteString::from_static("x"),
        Time::ZERO,
    ));
    let mut now = Time::ZERO;
    for (number, line) in input.split(|byte| *byte == b'\n').enumerate() {
        let (op, rest) = line.split_first().unwrap_or((&b' ', &[]));
        let id = RequestId::from_number(number as u64);
        if *op == b't' {
            now = now + Duration::from_millis(rest.len() as u64 * 1_000);
        }
        client.step(now, client_input(*op, rest, id));
        server.step(now, server_input(*op, rest, id));
    }
    for machine in [client.calls, server.calls] {
        machine.check();
    }
}

fn namespace(rest: &[u8]) -> Namespace {
    core::str::from_utf8(rest)
        .ok()
        .and_then(Namespace::new)
        .unwrap_or_else(Namespace::root)
}

fn event(rest: &[u8]) -> Option<Emission> {
    Emission::event(&namespace(rest), "event", &(rest.len(),)).ok()
}

fn answer(rest: &[u8]) -> Option<Emission> {
    Emission::answer(&namespace(rest), AckId::from_number(0), &()).ok()
}

/// Two attachments, the same bytes once with and once without their first.
fn attachments(rest: &[u8]) -> Vec<Bytes> {
    let bytes = Bytes::copy_from_slice(rest);
    [bytes.slice(rest.len().min(1)..), bytes].into()
}

fn binary_event(rest: &[u8]) -> Option<Emission> {
    let args = (Attachment(1), [Attachment(0)]);
    Emission::event_with(&namespace(rest), "event", &args, attachments(rest)).ok()
}

fn binary_answer(rest: &[u8]) -> Option<Emission> {
    let ack = AckId::from_number(0);
    Emission::answer_with(&namespace(rest), ack, &(Attachment(1),), attachments(rest)).ok()
}

fn binary(rest: &[u8]) -> ws::Event {
    ws::Event::Frame(ws::Frame::Binary(Bytes::copy_from_slice(rest)))
}

fn client_input(op: u8, rest: &[u8], id: RequestId<Call>) -> Option<client::Input> {
    match op {
        b'<' => Some(client::Input::Transport(
            ws::Event::Frame(frame(rest)).into(),
        )),
        b'[' => Some(client::Input::Transport(binary(rest).into())),
        b'v' => event(rest).map(client::Input::EmitVolatile),
        b'j' => Some(client::Input::Connect {
            namespace: namespace(rest),
            auth: Some(Secret::new("{}")),
            recover: None,
        }),
        b'e' => event(rest).map(client::Input::Emit),
        b'a' => answer(rest).map(client::Input::Emit),
        b'b' => binary_event(rest).map(client::Input::Emit),
        b'p' => binary_answer(rest).map(client::Input::Emit),
        b'q' => binary_event(rest).map(|emission| client::Input::Call {
            id,
            emission,
            patience: Duration::from_secs(rest.len() as u64),
        }),
        b'c' => event(rest).map(|emission| client::Input::Call {
            id,
            emission,
            patience: Duration::from_secs(rest.len() as u64),
        }),
        b'd' => Some(client::Input::Disconnect {
            namespace: namespace(rest),
        }),
        b'x' => Some(client::Input::Close),
        b'y' => Some(client::Input::Transport(
            ws::Event::Closed(ws::Closed::TooLarge).into(),
        )),
        _ => None,
    }
}

fn server_input(op: u8, rest: &[u8], id: RequestId<Call>) -> Option<server::Input> {
    match op {
        b'>' => Some(server::Input::Transport(
            ws::Event::Frame(frame(rest)).into(),
        )),
        b']' => Some(server::Input::Transport(binary(rest).into())),
        b'i' => Some(server::Input::Admit {
            namespace: namespace(rest),
            sid: ByteString::from_static("s"),
            pid: None,
            missed: Vec::new(),
        }),
        b'r' => Some(server::Input::Refuse {
            namespace: namespace(rest),
            message: ByteString::from_static("no"),
            data: None,
        }),
        b'e' => event(rest).map(server::Input::Emit),
        b'a' => answer(rest).map(server::Input::Emit),
        b'b' => binary_event(rest).map(server::Input::Emit),
        b'p' => binary_answer(rest).map(server::Input::Emit),
        b'q' => binary_event(rest).map(|emission| server::Input::Call {
            id,
            emission,
            patience: Duration::from_secs(rest.len() as u64),
        }),
        b'c' => event(rest).map(|emission| server::Input::Call {
            id,
            emission,
            patience: Duration::from_secs(rest.len() as u64),
        }),
        b'd' => Some(server::Input::Disconnect {
            namespace: namespace(rest),
        }),
        b'x' => Some(server::Input::Close),
        b'y' => Some(server::Input::Transport(
            ws::Event::Closed(ws::Closed::TooLarge).into(),
        )),
        _ => None,
    }
}

/// What the laws need to know of an input or an output.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sign {
    Called(RequestId<Call>),
    Answered(RequestId<Call>),
    Closed,
    Other,
}

trait Signs: Machine {
    fn of_input(input: &Self::Input) -> Sign;
    fn of_output(output: &Self::Output) -> Sign;
}

macro_rules! signs {
    ($machine:ty, $side:ident) => {
        impl Signs for $machine {
            fn of_input(input: &$side::Input) -> Sign {
                if let $side::Input::Call { id, .. } = input {
                    Sign::Called(*id)
                } else {
                    Sign::Other
                }
            }

            fn of_output(output: &$side::Output) -> Sign {
                if let $side::Output::Answered { id, .. } = output {
                    Sign::Answered(*id)
                } else if let $side::Output::Closed(_) = output {
                    Sign::Closed
                } else {
                    Sign::Other
                }
            }
        }
    };
}
signs!(Client, client);
signs!(Server, server);

#[derive(Default)]
struct Calls {
    open: BTreeSet<RequestId<Call>>,
    is_over: bool,
}

impl Calls {
    fn check(&self) {
        assert!(!self.is_over || self.open.is_empty(), "a call never ended");
    }
}

struct Subject<M> {
    machine: M,
    calls: Calls,
}

impl<M: Signs + Clone + PartialEq + crate::Canonical> Subject<M> {
    fn new(machine: M) -> Self {
        Self {
            machine,
            calls: Calls::default(),
        }
    }

    fn step(&mut self, now: Time, input: Option<M::Input>) {
        if !self.calls.is_over
            && let Some(Sign::Called(id)) = input.as_ref().map(M::of_input)
        {
            self.calls.open.insert(id);
        }
        let mut out = Vec::new();
        step(&mut self.machine, now, input, &mut out);
        for output in &out {
            assert!(!self.calls.is_over, "an output after the end");
            match M::of_output(output) {
                Sign::Answered(id) => assert!(self.calls.open.remove(&id), "answered twice"),
                Sign::Closed => self.calls.is_over = true,
                Sign::Called(_) | Sign::Other => {}
            }
        }
        assert!(!self.calls.is_over || self.machine.next_wakeup().is_none());
        let (before, mut idle) = (self.machine.clone(), Vec::new());
        step(&mut self.machine, now, None, &mut idle);
        assert!(idle.is_empty() && self.machine == before, "not idle");
        assert_eq!(
            canonical_hash(&self.machine, now),
            canonical_hash(&before, now)
        );
    }
}
