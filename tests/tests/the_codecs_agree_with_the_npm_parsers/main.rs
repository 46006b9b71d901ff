//! Our codecs and the official parsers from npm read the same from the same bytes, and write the
//! same bytes where there is one way to write them; where they differ, it is known and has a
//! reason.
//!
//! The cases are the same in every run. `SELVEDGE_CODEC_CASES` asks for more of them.
#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking, in its helpers too"
)]

mod differences;

use std::collections::BTreeMap;

use bytes::Bytes;
use selvedge_core::{
    Rng, Time, engineio,
    socketio::{
        self,
        assemble::{Assembler, Limits},
    },
    ws,
};
use selvedge_tests::codecs::{
    mutations::{self, mutated},
    packets::{SocketPacket, engine_packet},
    peer::{Request, ask, read, written},
    readings::{self, Outcome, Reading},
};

use crate::differences::DIFFERENCES;

/// How many mutated inputs each parser reads, unless the environment asks for more.
const CASES: usize = 20_000;
/// How many packets are written and read.
const PACKETS: usize = 5_000;
/// So many inputs go to one process.
const BATCH: usize = 20_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parser {
    EnginePacket,
    EnginePayload,
    SocketPacket,
}

impl Parser {
    fn name(self) -> &'static str {
        match self {
            Self::EnginePacket => "engine.io packet",
            Self::EnginePayload => "engine.io payload",
            Self::SocketPacket => "socket.io packet",
        }
    }

    /// The frame that carries `input`: a body is bytes, the others are text.
    fn frame(self, input: &[u8]) -> ws::Frame {
        match self {
            Self::EnginePayload => ws::Frame::Binary(Bytes::copy_from_slice(input)),
            Self::EnginePacket | Self::SocketPacket => ws::Frame::Text(text(input).into()),
        }
    }

    fn ours(self, input: &[u8]) -> Outcome {
        match self {
            Self::EnginePacket => readings::engine_packet(self.frame(input)),
            Self::EnginePayload => readings::engine_payload(Bytes::copy_from_slice(input)),
            Self::SocketPacket => readings::socket_packet(text(input).into()),
        }
    }

    /// A good input.
    fn good(self, rng: &mut Rng) -> Vec<u8> {
        match self {
            Self::EnginePacket => body_of(&[engine_frame(rng)]),
            Self::EnginePayload => {
                let count = 1 + rng.below(4);
                let frames: Vec<_> = (0..count).map(|_| engine_frame(rng)).collect();
                body_of(&frames)
            }
            Self::SocketPacket => SocketPacket::any(rng).text().into_bytes(),
        }
    }

    fn mutated(self, rng: &mut Rng) -> Vec<u8> {
        let (frame, other) = (self.good(rng), self.good(rng));
        let pieces = match self {
            Self::EnginePacket | Self::EnginePayload => mutations::ENGINE,
            Self::SocketPacket => mutations::SOCKET,
        };
        mutated(rng, &frame, &other, pieces)
    }
}

fn engine_frame(rng: &mut Rng) -> ws::Frame {
    engineio::packet::encode(engine_packet(rng))
}

fn body_of(frames: &[ws::Frame]) -> Vec<u8> {
    engineio::payload::encode(frames).as_bytes().to_vec()
}

fn text(input: &[u8]) -> String {
    String::from_utf8_lossy(input).into_owned()
}

/// What the cases came to.
#[derive(Default)]
struct Tally {
    read: usize,
    refused: usize,
    differences: BTreeMap<&'static str, usize>,
    unknown: Vec<String>,
}

/// Compares what both sides read from `inputs`. `None` where there is no Node.
fn compare(parser: Parser, inputs: &[Vec<u8>], tally: &mut Tally) -> Option<()> {
    let ours: Vec<Outcome> = inputs.iter().map(|input| parser.ours(input)).collect();
    let requests: Vec<Request> = (inputs.iter().zip(&ours))
        .map(|(input, ours)| Request {
            parser: parser.name(),
            task: "decode",
            frame: Some(written(&parser.frame(input))),
            json: match parser {
                Parser::SocketPacket => ours.packets().iter().flat_map(Reading::json).collect(),
                Parser::EnginePacket | Parser::EnginePayload => Vec::new(),
            },
            ..Request::default()
        })
        .collect();
    for ((input, ours), answer) in inputs.iter().zip(&ours).zip(ask(&requests)?) {
        let npm = Outcome::of(&answer);
        let agree = match (ours, &npm) {
            (Outcome::Refused(_), Outcome::Refused(_)) => true,
            (Outcome::Read(ours), Outcome::Read(npm)) => match parser {
                Parser::EnginePacket | Parser::EnginePayload => ours == npm,
                Parser::SocketPacket => {
                    let [ours] = &**ours else {
                        panic!("not one: {ours:?}")
                    };
                    npm.len() == 1 && npm.iter().all(|npm| ours.is(&answer.json, npm))
                }
            },
            (Outcome::Read(_), Outcome::Refused(_)) | (Outcome::Refused(_), Outcome::Read(_)) => {
                false
            }
        };
        if agree {
            tally.read += usize::from(ours.error().is_none());
            tally.refused += usize::from(ours.error().is_some());
            continue;
        }
        let words = text(input);
        let known = DIFFERENCES
            .iter()
            .find(|it| it.parser == parser && (it.is)(&words, ours, &npm));
        match known {
            Some(difference) => *tally.differences.entry(difference.what).or_default() += 1,
            None => tally
                .unknown
                .push(format!("{words:?}\n  ours: {ours:?}\n  npm:  {npm:?}")),
        }
    }
    Some(())
}

/// How many mutated inputs are read.
fn cases() -> usize {
    let asked = std::env::var("SELVEDGE_CODEC_CASES").ok();
    asked.map_or(CASES, |asked| {
        asked.parse().expect("SELVEDGE_CODEC_CASES is a number")
    })
}

#[expect(
    clippy::print_stderr,
    reason = "shown where a test fails, or with --nocapture"
)]
fn mutated_inputs_are_read_alike(parser: Parser) {
    let mut rng = Rng::from_number(1).fork(parser.name());
    let (mut tally, mut left) = (Tally::default(), cases());
    while left > 0 {
        let count = left.min(BATCH);
        let inputs: Vec<_> = (0..count).map(|_| parser.mutated(&mut rng)).collect();
        if compare(parser, &inputs, &mut tally).is_none() {
            return;
        }
        left -= count;
    }
    let Tally {
        read,
        refused,
        differences,
        unknown,
    } = &tally;
    eprintln!(
        "{}: {read} read, {refused} refused, {differences:#?}",
        parser.name()
    );
    assert!(
        unknown.is_empty(),
        "{} differences that nobody knows, such as\n{}",
        unknown.len(),
        unknown
            .iter()
            .take(12)
            .cloned()
            .collect::<Vec<_>>()
            .join("\n")
    );
    assert!(
        *read > cases() / 10 && *refused > cases() / 10,
        "lopsided: {read}, {refused}"
    );
    for difference in DIFFERENCES.iter().filter(|it| it.parser == parser) {
        assert!(
            differences.contains_key(difference.what),
            "never seen: {}",
            difference.what
        );
        assert!(
            !difference.why.is_empty(),
            "without a reason: {}",
            difference.what
        );
    }
}

#[test]
fn mutated_engine_packets_are_read_alike() {
    mutated_inputs_are_read_alike(Parser::EnginePacket);
}

#[test]
fn mutated_engine_payloads_are_read_alike() {
    mutated_inputs_are_read_alike(Parser::EnginePayload);
}

#[test]
fn mutated_socket_packets_are_read_alike() {
    mutated_inputs_are_read_alike(Parser::SocketPacket);
}

/// One after another, whole packets and what does not belong: each step comes to the same, up to
/// the one that is refused.
#[test]
fn frames_in_any_order_are_read_alike() {
    let mut rng = Rng::from_number(2);
    let histories: Vec<Vec<ws::Frame>> = (0..PACKETS).map(|_| history(&mut rng)).collect();
    let ours: Vec<Vec<Option<Reading>>> = histories.iter().map(|it| steps(it)).collect();
    let requests: Vec<Request> = (histories.iter().zip(&ours))
        .map(|(frames, ours)| Request {
            parser: "socket.io frames",
            task: "decode",
            frames: frames.iter().map(written).collect(),
            json: ours.iter().flatten().flat_map(Reading::json).collect(),
            ..Request::default()
        })
        .collect();
    let Some(answers) = ask(&requests) else {
        return;
    };
    let mut refused = 0;
    for ((frames, ours), npm) in histories.iter().zip(&ours).zip(answers) {
        assert_eq!(ours.len(), npm.steps.len(), "{frames:#?}, {:?}", npm.error);
        refused += usize::from(npm.error.is_some());
        let mut json = npm.json.chunks(2);
        for (ours, npm) in ours.iter().zip(&npm.steps) {
            let is_same = match (ours, npm) {
                (Some(ours), Some(npm)) => ours.is(json.next().unwrap(), npm),
                (None, None) => true,
                (Some(_), None) | (None, Some(_)) => false,
            };
            assert!(is_same, "{frames:#?}\nours: {ours:?}\nnpm:  {npm:?}");
        }
    }
    assert!(
        refused > PACKETS / 10 && refused < PACKETS * 9 / 10,
        "lopsided: {refused}"
    );
}

/// Some packets, now and then with a frame too many or too few.
fn history(rng: &mut Rng) -> Vec<ws::Frame> {
    let packets = (0..1 + rng.below(4)).map(|_| SocketPacket::any(rng).frames());
    let mut frames: Vec<ws::Frame> = packets.flatten().collect();
    let at = rng.below(frames.len() as u64) as usize;
    match rng.below(4) {
        0 => drop(frames.remove(at)),
        1 => frames.insert(at, ws::Frame::Binary(Bytes::from_static(b"stray"))),
        _ => {}
    }
    frames
}

/// What comes of each of `frames`, before one is refused.
fn steps(frames: &[ws::Frame]) -> Vec<Option<Reading>> {
    let mut assembler = Assembler::new(Limits::default());
    frames
        .iter()
        .map_while(|frame| assembler.take(Time::ZERO, frame.clone()).ok())
        .map(|packet| packet.as_ref().map(readings::socket_reading))
        .collect()
}

/// What we write the official parser reads, and what it writes we read; and where there is one way
/// to write it, both write that.
#[test]
fn socket_packets_are_written_alike() {
    let mut rng = Rng::from_number(3);
    let packets: Vec<_> = (0..PACKETS).map(|_| SocketPacket::any(&mut rng)).collect();
    let written_here: Vec<_> = packets.iter().map(SocketPacket::frames).collect();
    let requests = packets
        .iter()
        .zip(&written_here)
        .flat_map(|(packet, frames)| {
            let decode = Request {
                parser: "socket.io frames",
                task: "decode",
                frames: frames.iter().map(written).collect(),
                json: vec![packet.data()],
                ..Request::default()
            };
            let encode = Request {
                parser: "socket.io packet",
                task: "encode",
                packet: Some(packet.for_npm()),
                ..Request::default()
            };
            [decode, encode]
        });
    let Some(answers) = ask(&requests.collect::<Vec<_>>()) else {
        return;
    };
    let (mut canonical, mut back) = (0, Vec::new());
    let answers = answers.as_chunks::<2>().0;
    for ((packet, frames), [decoded, encoded]) in packets.iter().zip(&written_here).zip(answers) {
        let wanted = Reading {
            kind: packet.kind.into(),
            namespace: packet.namespace.to_string(),
            id: packet
                .id
                .filter(|_| packet.kind == "ACK")
                .map(|id| id.to_string()),
            name: packet.name.clone(),
            data: decoded.json[0].clone().unwrap_or_default(),
        };
        let last = decoded.steps.last().unwrap_or(&None);
        assert_eq!(
            decoded.steps.len(),
            frames.len(),
            "{frames:?}, {:?}",
            decoded.error
        );
        assert_eq!(last.as_ref(), Some(&wanted), "{frames:?}");

        let theirs: Vec<ws::Frame> = encoded.frames.iter().map(|frame| read(frame)).collect();
        let [ws::Frame::Text(text), ..] = &*theirs else {
            panic!("{encoded:?}")
        };
        if packet.is_canonical() {
            canonical += 1;
            assert_eq!(**text, *packet.text());
            let again = socketio::packet::decode(text.clone()).unwrap();
            assert_eq!(socketio::packet::encode(&again), *text);
            if packet.kind != "EVENT" || packet.id.is_none() {
                assert_eq!(*frames, theirs);
            }
        }
        let read_here = steps(&theirs).into_iter().flatten().last();
        let id = packet.id.map(|id| id.to_string());
        back.push((read_here.expect("it is read"), Reading { id, ..wanted }));
    }
    assert!(canonical > PACKETS / 4, "{canonical}");
    let requests = back.iter().map(|(ours, _)| Request {
        parser: "json",
        task: "normalise",
        json: ours.json(),
        ..Request::default()
    });
    let Some(answers) = ask(&requests.collect::<Vec<_>>()) else {
        return;
    };
    for ((ours, wanted), answer) in back.iter().zip(answers) {
        assert!(ours.is(&answer.json, wanted), "{ours:?}\n{wanted:?}");
    }
}

#[test]
fn engine_packets_are_written_alike() {
    let mut rng = Rng::from_number(4);
    let bodies = (0..PACKETS).map(|_| {
        let packets = (0..1 + rng.below(4)).map(|_| engine_packet(&mut rng));
        packets.collect::<Vec<_>>()
    });
    let bodies: Vec<_> = bodies.collect();
    let requests = bodies.iter().flat_map(|packets| {
        ["engine.io packet", "engine.io payload"].map(|parser| Request {
            parser,
            task: "encode",
            packets: packets.iter().map(readings::engine_reading).collect(),
            ..Request::default()
        })
    });
    let Some(answers) = ask(&requests.collect::<Vec<_>>()) else {
        return;
    };
    for (packets, [single, whole]) in bodies.iter().zip(answers.as_chunks::<2>().0) {
        let frames: Vec<_> = packets
            .iter()
            .cloned()
            .map(engineio::packet::encode)
            .collect();
        let theirs: Vec<_> = single.frames.iter().map(|frame| read(frame)).collect();
        assert_eq!(frames, theirs);
        let read_here = theirs
            .into_iter()
            .map(|frame| engineio::packet::decode(frame).unwrap());
        assert_eq!(read_here.collect::<Vec<_>>(), *packets);
        let body = engineio::payload::encode(&frames);
        assert_eq!(ws::Frame::Text(body.clone()), read(&whole.frames[0]));
        let read_here = engineio::payload::decode(body.into_bytes(), u64::MAX);
        assert_eq!(read_here.as_ref(), Ok(packets));
    }
    let bodies = bodies.iter().map(|packets| {
        let frames: Vec<_> = packets
            .iter()
            .cloned()
            .map(engineio::packet::encode)
            .collect();
        body_of(&frames)
    });
    let mut tally = Tally::default();
    compare(
        Parser::EnginePayload,
        &bodies.collect::<Vec<_>>(),
        &mut tally,
    );
    assert_eq!(tally.read, PACKETS, "{:?}", tally.unknown);
}

#[test]
fn every_known_difference_has_its_examples() {
    let deep = ["51-[\"a\",", &"[".repeat(127), &"]".repeat(128)].concat();
    for difference in DIFFERENCES {
        let mut examples: Vec<_> = difference.examples.iter().map(|it| it.as_bytes()).collect();
        match difference.what {
            "a body that is not UTF-8 is refused" => examples.push(b"4\xff\x1e2"),
            "a binary packet nests 127 levels at most" => examples.push(deep.as_bytes()),
            _ => {}
        }
        assert!(!examples.is_empty(), "{}", difference.what);
        for example in examples {
            let mut tally = Tally::default();
            if compare(difference.parser, &[example.to_vec()], &mut tally).is_none() {
                return;
            }
            assert_eq!(tally.unknown, Vec::<String>::new());
            let seen: Vec<_> = tally.differences.into_keys().collect();
            assert_eq!(seen, [difference.what], "{:?}", text(example));
        }
    }
}
