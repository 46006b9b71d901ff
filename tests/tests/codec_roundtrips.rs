//! What the codecs write they read back, whatever it is; and whatever they read, they do not panic.

use std::time::Duration;

use bytes::Bytes;
use bytestring::ByteString;
use proptest::{collection::vec, option, prelude::*};
use selvedge_core::{
    engineio::{self, Handshake, Heartbeat},
    fuzzing,
    socketio::{
        AckId, Namespace,
        event::{Attachment, Emission, RESERVED_NAMES},
        packet,
    },
    ws,
};
use serde_json::{Value, json};

fn text() -> impl Strategy<Value = ByteString> {
    any::<String>().prop_map(ByteString::from)
}

fn frame() -> impl Strategy<Value = ws::Frame> {
    prop_oneof![
        text().prop_map(ws::Frame::Text),
        vec(any::<u8>(), 0..64).prop_map(|bytes| ws::Frame::Binary(bytes.into())),
    ]
}

fn engine_packet() -> impl Strategy<Value = engineio::packet::Packet> {
    use engineio::packet::Packet;
    prop_oneof![
        text().prop_map(Packet::Open),
        Just(Packet::Close),
        text().prop_map(Packet::Ping),
        text().prop_map(Packet::Pong),
        frame().prop_map(Packet::Message),
        Just(Packet::Upgrade),
        Just(Packet::Noop),
    ]
}

fn handshake() -> impl Strategy<Value = Handshake> {
    let span = || (1..=86_400_000_u64).prop_map(Duration::from_millis);
    let sid = text().prop_filter("a sid is not empty", |sid| !sid.is_empty());
    (
        sid,
        span(),
        span(),
        option::of(1..=u64::MAX),
        vec(text(), 0..3),
    )
        .prop_map(
            |(sid, interval, timeout, max_payload, upgrades)| Handshake {
                sid,
                heartbeat: Heartbeat { interval, timeout },
                max_payload,
                upgrades,
            },
        )
}

fn namespace() -> impl Strategy<Value = Namespace> {
    prop_oneof![
        Just(Namespace::root()),
        "/[^,]{0,20}".prop_filter_map("a name", |name| Namespace::new(&name)),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec((any::<String>(), inner), 0..4)
                .prop_map(|entries| Value::from_iter(entries.into_iter())),
        ]
    })
}

fn name() -> impl Strategy<Value = String> {
    any::<String>().prop_filter("not reserved", |name| {
        !RESERVED_NAMES.contains(&name.as_str())
    })
}

/// Every packet whose parts are free; events and answers are made from text below.
fn plain_packet() -> impl Strategy<Value = packet::Packet> {
    use packet::Packet;
    let object = option::of(any::<String>())
        .prop_map(|token| token.map(|token| json!({ "token": token }).to_string().into()));
    let data = option::of(value().prop_filter("null counts as none", |data| !data.is_null()));
    prop_oneof![
        (namespace(), object)
            .prop_map(|(namespace, payload)| Packet::Connect { namespace, payload }),
        namespace().prop_map(|namespace| Packet::Disconnect { namespace }),
        (namespace(), text(), data).prop_map(|(namespace, message, data)| {
            Packet::ConnectError {
                namespace,
                message,
                data: data.map(|data| data.to_string().into()),
            }
        }),
    ]
}

/// The Socket.IO message inside of an Engine.IO frame.
fn message_of(frame: ws::Frame) -> Option<ByteString> {
    if let Ok(engineio::packet::Packet::Message(ws::Frame::Text(text))) =
        engineio::packet::decode(frame)
    {
        Some(text)
    } else {
        None
    }
}

proptest! {
    #[test]
    fn engine_packets_survive(packet in engine_packet()) {
        let written = engineio::packet::encode(packet.clone());
        prop_assert_eq!(engineio::packet::decode(written), Ok(packet));
    }

    /// Whole, and in batches of any size; a text with the separator in it is told apart.
    #[test]
    fn payloads_survive(packets in vec(engine_packet(), 1..8), max in 1..200_u64) {
        use engineio::{packet, payload};
        let frames = packets.iter().cloned().map(packet::encode);
        let (mut frames, packets): (std::collections::VecDeque<_>, Vec<_>) = frames
            .zip(packets.clone())
            .filter(|(frame, _)| payload::carries(frame))
            .unzip();
        prop_assume!(!frames.is_empty());
        let body = payload::encode(&frames).into_bytes();
        prop_assert_eq!(payload::decode(body.clone(), body.len() as u64), Ok(packets.clone()));
        let bytes = body.len() as u64;
        let too_large = payload::DecodeError::TooLarge { bytes, max: bytes - 1 };
        prop_assert_eq!(payload::decode(body, bytes - 1), Err(too_large));
        let mut batched = Vec::new();
        while let Some(first) = frames.front() {
            let most = payload::encoded_len(first).max(max);
            let body = payload::batch(&mut frames, max).into_bytes();
            batched.extend(payload::decode(body, most).unwrap());
        }
        prop_assert_eq!(batched, packets);
    }

    #[test]
    fn handshakes_survive(handshake in handshake()) {
        let written = handshake.encode();
        prop_assume!(written.len() <= engineio::HANDSHAKE_BYTES_MAX);
        prop_assert_eq!(Handshake::decode(&written), Ok(handshake));
    }

    #[test]
    fn plain_packets_survive(packet in plain_packet()) {
        let written = packet::encode(&packet);
        prop_assert_eq!(packet::decode(written), Ok(packet));
    }

    #[test]
    fn events_survive(
        namespace in namespace(),
        name in name(),
        args in vec(value(), 0..4),
        ack in option::of(any::<u64>()),
        attachments in 1..=packet::ATTACHMENTS_MAX,
    ) {
        let emission = Emission::event(&namespace, &name, &args).unwrap();
        let recorded = serde_json::to_string(&emission).unwrap();
        prop_assert_eq!(serde_json::from_str::<Emission>(&recorded).unwrap(), emission.clone());

        let message = message_of(emission.frame()).unwrap();
        let decoded = packet::decode(message).unwrap();
        let packet::Packet::Event { namespace: where_to, event } = &decoded else {
            panic!("not an event: {decoded:?}");
        };
        prop_assert_eq!(where_to, &namespace);
        prop_assert_eq!(event.name(), name.as_str());
        prop_assert_eq!(event.arg_count(), args.len());
        prop_assert_eq!(event.args::<Vec<Value>>().unwrap(), args.clone());
        let raw = format!("[{}]", event.raw_args());
        prop_assert_eq!(serde_json::from_str::<Vec<Value>>(&raw).unwrap(), args.clone());
        prop_assert_eq!(packet::decode(packet::encode(&decoded)), Ok(decoded));

        let mut payload = vec![Value::from(name)];
        payload.extend(args);
        let ack = ack.map(|ack| ack.to_string()).unwrap_or_default();
        let rest = format!("{namespace},{ack}{}", Value::from(payload));
        for header in [String::from("2"), format!("5{attachments}-")] {
            let decoded = packet::decode(format!("{header}{rest}").into()).unwrap();
            prop_assert_eq!(packet::decode(packet::encode(&decoded)), Ok(decoded));
        }
    }

    #[test]
    fn attachments_survive(
        namespace in namespace(),
        name in name(),
        ack in any::<u64>(),
        args in vec(value(), 0..4),
        contents in vec(vec(any::<u8>(), 0..16), 1..=packet::ATTACHMENTS_MAX as usize),
    ) {
        let contents: Vec<Bytes> = contents.into_iter().map(Bytes::from).collect();
        let places: Vec<Attachment> = (0..contents.len()).map(Attachment).collect();
        let args = (places, args);
        let event = Emission::event_with(&namespace, &name, &args, contents.clone()).unwrap();
        let ack = AckId::from_number(ack);
        let answer = Emission::answer_with(&namespace, ack, &args, contents.clone()).unwrap();
        for emission in [event, answer] {
            prop_assert_eq!(emission.attachments(), &contents);
            let recorded = serde_json::to_string(&emission).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Emission>(&recorded).unwrap(), &emission);
            let decoded = packet::decode(message_of(emission.frame()).unwrap()).unwrap();
            let (count, read) = match &decoded {
                packet::Packet::BinaryEvent { attachments, event, .. } => {
                    (*attachments, event.args::<(Vec<Attachment>, Vec<Value>)>().unwrap())
                }
                packet::Packet::BinaryAnswer { attachments, answer, .. } => {
                    (*attachments, answer.args::<(Vec<Attachment>, Vec<Value>)>().unwrap())
                }
                packet::Packet::Connect { .. }
                | packet::Packet::Disconnect { .. }
                | packet::Packet::Event { .. }
                | packet::Packet::Answer { .. }
                | packet::Packet::ConnectError { .. } => panic!("not binary: {decoded:?}"),
            };
            prop_assert_eq!(count as usize, contents.len());
            prop_assert_eq!(&read, &args);
            prop_assert_eq!(packet::decode(packet::encode(&decoded)), Ok(decoded));
        }
    }

    #[test]
    fn answers_survive(
        namespace in namespace(),
        ack in any::<u64>(),
        args in vec(value(), 0..4),
    ) {
        let ack = AckId::from_number(ack);
        let emission = Emission::answer(&namespace, ack, &args).unwrap();
        let decoded = packet::decode(message_of(emission.frame()).unwrap()).unwrap();
        let packet::Packet::Answer { namespace: where_to, ack: to, answer } = &decoded else {
            panic!("not an answer: {decoded:?}");
        };
        prop_assert_eq!((where_to, to), (&namespace, &ack));
        prop_assert_eq!(answer.args::<Vec<Value>>().unwrap(), args);
        prop_assert_eq!(packet::decode(packet::encode(&decoded)), Ok(decoded));
    }

    #[test]
    fn garbage_does_not_panic(bytes in vec(any::<u8>(), 0..64), text in "[0-9]{0,3}(/[a-z]*,?)?.*") {
        fuzzing::engineio_packet(&bytes);
        fuzzing::engineio_payload(&bytes);
        fuzzing::socketio_packet(&bytes);
        fuzzing::engineio_packet(text.as_bytes());
        fuzzing::socketio_packet(text.as_bytes());
    }

    #[test]
    fn bodies_keep_their_law(body in "([0-6b][a-zA-Z0-9+/]{0,8}={0,2}\u{1e}?){0,6}") {
        fuzzing::engineio_payload(body.as_bytes());
    }

    /// Histories that are likely to get somewhere: lines of the operations that the law knows, with
    /// frames that a peer could send.
    #[test]
    fn sessions_keep_the_laws(
        steps in vec(
            prop_oneof![
                "[jicdeartbpqv]/a",
                "[<>]4[0-6](/a,)?[0-9]?(\\[\"x\",1\\]|\\{\"sid\":\"s\"\\})?",
                "[<>]4[56][12]-/a,[0-1]\\[\"x\",\\{\"_placeholder\":true,\"num\":[01]\\}\\]",
                "[\\[\\]][a-c]{0,3}",
                "[<>][0-6]",
                "t[0]{0,50}",
                "[xy]",
            ],
            0..40,
        ),
        opened in any::<bool>(),
    ) {
        let open = "<0{\"sid\":\"x\",\"pingInterval\":25000,\"pingTimeout\":20000}\n";
        let start = if opened { open } else { "" };
        fuzzing::socketio_session(format!("{start}{}", steps.join("\n")).as_bytes());
    }
}
