//! What reading and writing a pushed message costs, beside doing the same by hand and beside other
//! parsers.
//!
//! The subjects of a table take turns in short batches, and a ratio is the median of the ratios
//! within the rounds, so that a machine that is busy or changes its pace slows all of them alike.
//! Time is the processor time of the thread.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a bench prints its tables, and fails where its subjects do not do their work"
)]

use std::{hint::black_box, ops::Range, time::Duration};

use bytestring::ByteString;
use rustix::time::{ClockId, clock_gettime};
use selvedge_core::{
    engineio,
    socketio::{
        Namespace,
        event::{Emission, Event},
        packet::{self, Packet},
    },
    ws,
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use socketioxide_core::{
    Str, Value,
    packet::{Packet as OxidePacket, PacketData},
    parser::{Parse as _, ParseConfig, ParserState},
};
use socketioxide_parser_common::CommonParser;

/// How often each subject has its turn.
const ROUNDS: usize = 2_000;

/// How long a turn takes: far longer than reading the clock.
const TURN: Duration = Duration::from_micros(200);

const NAME: &str = "message.created";
const NAMESPACE: &str = "/realtime";
const FRAME: &str = include_str!("../../sim/benches/instructions/push.txt").trim_ascii_end();

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Message<'a> {
    id: &'a str,
    channel_id: &'a str,
    guild_id: &'a str,
    seq: u64,
    #[serde(borrow)]
    author: Author<'a>,
    content: &'a str,
    reply_to_id: Option<&'a str>,
    mentions: Vec<&'a str>,
    attachments: Vec<&'a str>,
    created_at: &'a str,
    edited_at: Option<&'a str>,
    nonce: Option<&'a str>,
    wakeup: bool,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Author<'a> {
    id: &'a str,
    name: &'a str,
    kind: &'a str,
}

fn main() {
    let frame = ByteString::from(FRAME);
    // As it comes from Engine.IO: without the digit of that, and of the same shared memory.
    let oxide = Str::from(FRAME.split_at(1).1.to_owned());
    let json = json_of(FRAME);
    let message: Message<'_> = by_hand::<(&str, Message<'_>)>(FRAME).1;
    let namespace = Namespace::new(NAMESPACE).expect("the name of a namespace");
    agree(&frame, &oxide, &message, &namespace);

    println!("A frame of {} bytes, {ROUNDS} rounds.", FRAME.len());
    table(
        "decode to (event, raw arguments)",
        &mut [
            subject("by hand: header and &RawValue", || {
                let frame = frame.clone();
                let (name, raw) = by_hand::<(&str, &RawValue)>(&frame);
                black_box((name, raw.get()));
            }),
            subject("by hand: the same, to be kept", || {
                black_box(Kept::decode(frame.clone()));
            }),
            subject("selvedge", || {
                let event = decode(frame.clone());
                black_box((event.name(), event.raw_args()));
            }),
            subject("selvedge: and asked for &RawValue", || {
                let event = decode(frame.clone());
                let args = event.args::<(&RawValue,)>().expect("an argument");
                black_box((event.name(), args.0.get()));
            }),
            subject("socketioxide: event only", || {
                let value = oxide_decode(oxide.clone());
                black_box(CommonParser.read_event(&value).expect("a name"));
            }),
        ],
    );
    table(
        "decode to (event, message)",
        &mut [
            subject("by hand: header and message", || {
                let frame = frame.clone();
                black_box(by_hand::<(&str, Message<'_>)>(&frame));
            }),
            subject("by hand: header, &RawValue, message", || {
                let frame = frame.clone();
                let (name, raw) = by_hand::<(&str, &RawValue)>(&frame);
                let message: Message<'_> = serde_json::from_str(raw.get()).expect("a message");
                black_box((name, message));
            }),
            subject("selvedge", || {
                let event = decode(frame.clone());
                black_box((event.name(), args(&event)));
            }),
            subject("socketioxide", || {
                let mut value = oxide_decode(oxide.clone());
                black_box(CommonParser.read_event(&value).expect("a name"));
                black_box(oxide_args(&mut value));
            }),
        ],
    );
    let event = decode(frame.clone());
    table(
        "message of an event that is decoded",
        &mut [
            subject("serde_json", || {
                black_box(serde_json::from_str::<(&str, Message<'_>)>(black_box(json)))
                    .expect("a message");
            }),
            subject("selvedge", || {
                black_box(args(black_box(&event)));
            }),
        ],
    );
    table(
        "encode (event, message) to a frame",
        &mut [
            subject("by hand: serde_json and header", || {
                black_box(encode_by_hand(black_box(&message)));
            }),
            subject("selvedge", || {
                black_box(encode(&namespace, black_box(&message)));
            }),
            subject("socketioxide, without Engine.IO", || {
                black_box(oxide_encode(black_box(&message)));
            }),
        ],
    );
}

/// Whether all subjects come to the same.
fn agree(frame: &ByteString, oxide: &Str, message: &Message<'_>, namespace: &Namespace) {
    let event = decode(frame.clone());
    assert_eq!(event.name(), NAME);
    assert_eq!(
        event.raw_args(),
        by_hand::<(&str, &RawValue)>(FRAME).1.get()
    );
    assert_eq!(args(&event), *message);
    let mut value = oxide_decode(oxide.clone());
    assert_eq!(CommonParser.read_event(&value).ok(), Some(NAME));
    assert_eq!(oxide_args(&mut value), *message);
    assert_eq!(encode_by_hand(message), FRAME);
    assert_eq!(
        encode(namespace, message).frame(),
        ws::Frame::Text(FRAME.into())
    );
    assert_eq!(oxide_encode(message).as_str(), Some(oxide));
}

/// What stands behind the header of an event without an id in [`NAMESPACE`].
fn json_of(frame: &str) -> &str {
    let (header, json) = frame.split_once(',').expect("a header");
    assert_eq!(header.strip_prefix("42"), Some(NAMESPACE));
    json
}

fn by_hand<'a, T: Deserialize<'a>>(frame: &'a str) -> T {
    serde_json::from_str(json_of(frame)).expect("an event")
}

fn decode(frame: ByteString) -> Event {
    let message = engineio::packet::decode(ws::Frame::Text(frame));
    let Ok(engineio::packet::Packet::Message(ws::Frame::Text(text))) = message else {
        unreachable!("not a message: {message:?}");
    };
    let packet = packet::decode(text);
    let Ok(Packet::Event { namespace, event }) = packet else {
        unreachable!("not an event: {packet:?}");
    };
    assert_eq!(namespace.as_str(), NAMESPACE);
    event
}

/// What is read by hand in a form that outlives the reading, as an event must that is handed on.
#[expect(dead_code, reason = "it is made, not used")]
struct Kept {
    frame: ByteString,
    namespace: ByteString,
    name: Range<usize>,
    args: Range<usize>,
}

impl Kept {
    fn decode(frame: ByteString) -> Self {
        let (name, raw) = by_hand::<(&str, &RawValue)>(&frame);
        let place = |part: &str| {
            let start = part.as_ptr() as usize - frame.as_ptr() as usize;
            start..start + part.len()
        };
        let (name, args) = (place(name), place(raw.get()));
        let namespace = frame.get(2..2 + NAMESPACE.len()).expect("a namespace");
        Self {
            namespace: frame.slice_ref(namespace),
            name,
            args,
            frame,
        }
    }
}

fn args(event: &Event) -> Message<'_> {
    event.args::<(Message<'_>,)>().expect("a message").0
}

fn oxide_decode(text: Str) -> Value {
    let packet = CommonParser.decode_str(&ParseConfig::default(), &ParserState::default(), text);
    let packet = packet.expect("a packet");
    assert_eq!(packet.ns, NAMESPACE);
    let PacketData::Event(value, _) = packet.inner else {
        unreachable!("not an event: {:?}", packet.inner);
    };
    value
}

fn oxide_args(value: &mut Value) -> Message<'_> {
    let args = CommonParser.decode_value::<(Message<'_>,)>(value, true);
    args.expect("a message").0
}

fn encode_by_hand(message: &Message<'_>) -> ByteString {
    let json = serde_json::to_string(&(NAME, message)).expect("JSON");
    ["42", NAMESPACE, ",", &json].concat().into()
}

fn encode(namespace: &Namespace, message: &Message<'_>) -> Emission {
    let emission = Emission::event(namespace, NAME, &(message,));
    emission.expect("an event")
}

fn oxide_encode(message: &Message<'_>) -> Value {
    let value = CommonParser.encode_value(&(message,), Some(NAME));
    CommonParser.encode(OxidePacket::event(NAMESPACE, value.expect("JSON")))
}

struct Subject<'a> {
    name: &'static str,
    once: Box<dyn Fn() + 'a>,
}

fn subject<'a>(name: &'static str, once: impl Fn() + 'a) -> Subject<'a> {
    let once = Box::new(once);
    Subject { name, once }
}

impl Subject<'_> {
    /// Nanoseconds for `times` runs.
    fn turn(&self, times: u32) -> f64 {
        let before = cpu_time();
        for _ in 0..times {
            (self.once)();
        }
        (cpu_time() - before).as_secs_f64() * 1e9
    }
}

/// Measures the subjects and prints what they take; the first is the yardstick.
fn table(title: &str, subjects: &mut [Subject<'_>]) {
    println!("\n{title:<42} {:>9} {:>7}", "ns", "ratio");
    let mut times: u32 = 64;
    while subjects.iter().map(|it| it.turn(times)).sum::<f64>()
        < TURN.as_secs_f64() * 1e9 * subjects.len() as f64
    {
        times *= 2;
    }
    let mut turns = vec![Vec::with_capacity(ROUNDS); subjects.len()];
    for round in 0..ROUNDS {
        for place in 0..subjects.len() {
            let turn = (round + place) % subjects.len();
            if let (Some(subject), Some(nanos)) = (subjects.get(turn), turns.get_mut(turn)) {
                nanos.push(subject.turn(times) / f64::from(times));
            }
        }
    }
    let yardstick = turns.first().cloned().unwrap_or_default();
    for (subject, nanos) in subjects.iter().zip(turns) {
        let ratios = nanos
            .iter()
            .zip(&yardstick)
            .map(|(ours, theirs)| ours / theirs);
        let ratio = median(ratios.collect());
        println!("  {:<40} {:>9.0} {ratio:>7.2}", subject.name, median(nanos));
    }
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or(f64::NAN)
}

fn cpu_time() -> Duration {
    let spec = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(spec.tv_sec).unwrap_or(0);
    let nanos = u32::try_from(spec.tv_nsec).unwrap_or(0);
    Duration::new(seconds, nanos)
}
