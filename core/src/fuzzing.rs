//! The laws that fuzzing holds, as plain functions over bytes: the targets in `fuzz/` call them.

use alloc::{
    collections::{BTreeSet, VecDeque},
    vec::Vec,
};
use core::time::Duration;

use bytes::Bytes;
use bytestring::ByteString;
use serde_json::value::RawValue;

use crate::{
    Secret, canonical_hash,
    engineio::{self, Handshake, payload},
    machine::{Machine, step},
    request::RequestId,
    socketio::{
        AckId, Call, Namespace, client,
        client::Client,
        event::{Attachment, Emission, Event},
        packet, server,
        server::Server,
    },
    time::Time,
    ws,
};

/// What was read from an Engine.IO frame can be written and read again.
///
/// # Panics
///
/// Where that does not hold.
pub fn engineio_packet(input: &[u8]) {
    let Ok(packet) = engineio::packet::decode(frame(input)) else {
        return;
    };
    if let engineio::packet::Packet::Open(content) = &packet
        && let Ok(handshake) = Handshake::decode(content)
    {
        assert_eq!(Handshake::decode(&handshake.encode()), Ok(handshake));
    }
    let again = engineio::packet::decode(engineio::packet::encode(packet.clone()));
    assert_eq!(again, Ok(packet));
}

/// What was read from an Engine.IO body can be written and read again, whole and in batches.
///
/// # Panics
///
/// Where that does not hold.
pub fn engineio_payload(input: &[u8]) {
    let max = input.len() as u64;
    let Ok(packets) = payload::decode(Bytes::copy_from_slice(input), max) else {
        return;
    };
    let encoded = packets.iter().cloned().map(engineio::packet::encode);
    let mut frames: VecDeque<_> = encoded.collect();
    assert!(frames.iter().all(payload::carries), "a text that cannot be");
    let body = payload::encode(&frames);
    let lengths = frames.iter().map(payload::encoded_len).sum::<u64>();
    assert_eq!(body.len() as u64, lengths + packets.len() as u64 - 1);
    let again = payload::decode(body.into_bytes(), u64::MAX);
    assert_eq!(again.as_ref(), Ok(&packets));
    let mut batched = Vec::new();
    while let Some(first) = frames.front() {
        let most = payload::encoded_len(first).max(max / 2);
        let body = payload::batch(&mut frames, max / 2);
        assert!(body.len() as u64 <= most, "a batch that is too large");
        if let Ok(packets) = payload::decode(body.into_bytes(), most) {
            batched.extend(packets);
        }
    }
    assert_eq!(batched, packets);
}

/// What was read from a Socket.IO message can be written and read again, and the arguments of an
/// event can be read.
///
/// # Panics
///
/// Where that does not hold.
pub fn socketio_packet(input: &[u8]) {
    let Ok(text) = ByteString::try_from(input) else {
        return;
    };
    let Ok(packet) = packet::decode(text) else {
        return;
    };
    match &packet {
        packet::Packet::Event { event, .. } | packet::Packet::BinaryEvent { event, .. } => {
            arguments(event);
        }
        packet::Packet::Answer { answer, .. } | packet::Packet::BinaryAnswer { answer, .. } => {
            let arguments = answer.args::<Vec<&RawValue>>();
            assert!(arguments.is_ok_and(|it| it.len() == answer.arg_count()));
        }
        packet::Packet::Connect { .. }
        | packet::Packet::Disconnect { .. }
        | packet::Packet::ConnectError { .. } => {}
    }
    assert_eq!(packet::decode(packet::encode(&packet)), Ok(packet));
}

fn arguments(event: &Event) {
    let arguments = event.args::<Vec<&RawValue>>();
    assert!(arguments.is_ok_and(|it| it.len() == event.arg_count()));
    assert!(event.args::<()>().is_ok());
}

/// A client and a server, each with a peer that sends what it likes, keep the laws of a machine:
/// they make progress, an idle tick changes nothing, every call ends exactly once, and the end is
/// the end. Every line of the input is a step: its first byte says which, the rest is the frame.
///
/// # Panics
///
/// Where that does not hold.
pub fn socketio_session(input: &[u8]) {
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

fn frame(input: &[u8]) -> ws::Frame {
    let bytes = Bytes::copy_from_slice(input);
    match ByteString::try_from(bytes.clone()) {
        Ok(text) => ws::Frame::Text(text),
        Err(_) => ws::Frame::Binary(bytes),
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The inputs that fuzzing starts from, so that the laws are held without a fuzzer too.
    #[test]
    fn the_laws_hold_for_a_whole_story() {
        socketio_session(concat!(
            "<0{\"sid\":\"x\",\"pingInterval\":25000,\"pingTimeout\":20000,\"maxPayload\":99}\n",
            "j/a\n<42/a,[\"early\"]\n<40/a,{\"sid\":\"s\"}\nc/a\nc/a1\ne/a\n<43/a,0[1]\n",
            "<42/a,7[\"ask\",{}]\na/a\nt0123\nd/a\nj/a\nd/a\n<40/a,{\"sid\":\"s\"}\nt01234567890\n<2\n",
            ">40/b,{\"token\":1}\ni/b\n>42/b,0[\"x\"]\nc/b\nd/b\n>42/b,[\"late\"]\n>40/b\nr/b\n",
            ">40/b\ni/b\nc/b\nt0123456789012345678901234567890\n>3\nx\n<2\n>3\nc/b\n",
        ).as_bytes());
        socketio_session(concat!(
            "<0{\"sid\":\"x\",\"pingInterval\":25000,\"pingTimeout\":20000,\"maxPayload\":99}\n",
            "j/a\ne/a\nv/a\nq/a\nq/a\nb/a\ne/a\n<452-/a,0[\"early\",{\"_placeholder\":true,\"num\":1}]\n[1\n[\x1e\n",
            "<40/a,{\"sid\":\"s\"}\nq/a\nb/a\np/a\n<461-/a,0[{\"_placeholder\":true,\"num\":0}]\nt0\n<2\n[\n",
            ">40/a\ni/a\n>451-/a,[\"x\",{\"_placeholder\":true,\"num\":0}]\n]1\nq/a\np/a\n",
            ">461-/a,0[1]\n]2\n>451-/a,[\"x\"]\nd/a\n<451-/a,[\"x\"]\n",
            "t012345678901234567890123456789012345678901234567890\n",
        ).as_bytes());
        engineio_packet(b"0{\"sid\":\"x\",\"pingInterval\":1,\"pingTimeout\":1}");
        engineio_packet(b"\xff\x1e");
        engineio_payload(b"4a\x1ebAQIDBA\x1e2probe\x1eb\x1e4");
        engineio_payload(b"");
        socketio_packet(b"2/a,7[\"name\",1,{}]");
        socketio_packet(b"610-7[{}]");
        socketio_packet(b"51-[\"a\",[{\"_placeholder\":true,\"num\":0}]]");
        socketio_packet(b"4/a,{\"message\":\"no\",\"data\":null}");
    }
}
