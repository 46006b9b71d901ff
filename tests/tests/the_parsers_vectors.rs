//! The cases of the tests of engine.io-parser 5.2 and socket.io-parser 4.2, each under the name it
//! has there.
//!
//! Left out, with what they are about:
//!
//! - socket.io-parser "exposes types", "decodes with a custom reviver" (twice), "encodes a Buffer
//!   nested in an object with a toJSON() method", "encodes an ArrayBuffer into an object with a null
//!   prototype": parts of a JavaScript API, which have no like here;
//! - "throws an error when encoding circular objects", and the number 999 for a frame in "throw an
//!   error upon parsing error": the types rule it out;
//! - "should ensure that a packet is valid": the cases of "throw an error upon parsing error" again,
//!   on objects that the types rule out;
//! - the same content again as a Blob, a typed array or an ArrayBuffer: there is one type of bytes;
//! - engine.io-parser "createPacketEncoderStream" and "createPacketDecoderStream": the framing for
//!   WebTransport, which is not spoken here.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking, in its helpers too"
)]

use bytes::Bytes;
use selvedge_core::{
    Time,
    engineio::{
        packet::{self as engine, Packet as Engine},
        payload,
    },
    socketio::{
        AckId, CloseReason, Namespace,
        assemble::{Assembler, Limits},
        event::{Attachment, Emission},
        packet::{self, DecodeError as E, Kind, Packet},
    },
    ws::Frame,
};
use serde_json::{Value, json};

fn text(content: &str) -> Frame {
    Frame::Text(content.into())
}

fn binary(content: &[u8]) -> Frame {
    Frame::Binary(Bytes::copy_from_slice(content))
}

fn namespace(name: &str) -> Namespace {
    Namespace::new(name).unwrap()
}

mod engine_io_parser {
    use super::*;

    /// "should encode/decode a string"
    #[test]
    fn encodes_and_decodes_a_string() {
        let packet = Engine::Message(text("test"));
        assert_eq!(engine::encode(packet.clone()), text("4test"));
        assert_eq!(engine::decode(text("4test")), Ok(packet));
    }

    /// "should fail to decode a malformed packet"
    #[test]
    fn fails_to_decode_a_malformed_packet() {
        assert_eq!(engine::decode(text("")), Err(engine::DecodeError::Empty));
        let unknown = Err(engine::DecodeError::UnknownType('a'));
        assert_eq!(engine::decode(text("a123")), unknown);
    }

    /// "should encode/decode a Buffer"
    #[test]
    fn encodes_and_decodes_a_buffer() {
        let packet = Engine::Message(binary(&[1, 2, 3, 4]));
        assert_eq!(engine::encode(packet.clone()), binary(&[1, 2, 3, 4]));
        assert_eq!(engine::decode(binary(&[1, 2, 3, 4])), Ok(packet));
    }

    /// "should encode/decode a Buffer as base64"; "as base64" of a Blob
    #[test]
    fn encodes_and_decodes_a_buffer_as_base64() {
        for (content, body) in [
            (&[1, 2, 3, 4][..], "bAQIDBA=="),
            (b"1234\x01\x02\x03\x04", "bMTIzNAECAwQ="),
        ] {
            assert_eq!(payload::encode(&[binary(content)]), body);
            let packet = Engine::Message(binary(content));
            assert_eq!(engine::decode(text(body)), Ok(packet));
        }
    }

    fn check_payload(packets: Vec<Engine>, body: &str) {
        let frames: Vec<Frame> = packets.iter().cloned().map(engine::encode).collect();
        assert_eq!(payload::encode(&frames), body);
        let body = Bytes::copy_from_slice(body.as_bytes());
        assert_eq!(payload::decode(body, u64::MAX), Ok(packets));
    }

    /// "should encode/decode all packet types"
    #[test]
    fn encodes_and_decodes_all_packet_types() {
        check_payload(
            vec![
                Engine::Open("".into()),
                Engine::Close,
                Engine::Ping("probe".into()),
                Engine::Pong("probe".into()),
                Engine::Message(text("test")),
            ],
            "0\u{1e}1\u{1e}2probe\u{1e}3probe\u{1e}4test",
        );
    }

    /// "should encode/decode a string + Buffer payload", "… a string + a 0-length ArrayBuffer"
    #[test]
    fn encodes_and_decodes_a_string_and_a_buffer() {
        let string = Engine::Message(text("test"));
        let bytes = |content: &[u8]| Engine::Message(binary(content));
        check_payload(
            vec![string.clone(), bytes(&[1, 2, 3, 4])],
            "4test\u{1e}bAQIDBA==",
        );
        check_payload(vec![string, bytes(&[])], "4test\u{1e}b");
    }

    /// "should fail to decode a malformed payload"
    #[test]
    fn fails_to_decode_a_malformed_payload() {
        for (body, found) in [("{", '{'), ("{}", '{'), ("[\"a123\", \"a456\"]", '[')] {
            let error = payload::DecodeError::Packet {
                at: 0,
                error: engine::DecodeError::UnknownType(found),
            };
            let body = Bytes::copy_from_slice(body.as_bytes());
            assert_eq!(payload::decode(body, u64::MAX), Err(error));
        }
    }
}

mod socket_io_parser {
    use super::*;

    fn assembler() -> Assembler {
        Assembler::new(Limits::default())
    }

    fn take(assembler: &mut Assembler, frame: Frame) -> Result<Option<Packet>, CloseReason> {
        assembler.take(Time::ZERO, frame)
    }

    /// A packet is written as `wire`, and read from it.
    fn check(packet: Packet, wire: &str) {
        assert_eq!(packet::encode(&packet), wire);
        assert_eq!(packet::decode(wire.into()), Ok(packet));
    }

    /// The frames of an emission, of the messages that they are.
    fn messages(emission: &Emission) -> Vec<Frame> {
        let Ok(Engine::Message(header)) = engine::decode(emission.frame()) else {
            return Vec::new();
        };
        let contents = emission.attachments().iter().cloned().map(Frame::Binary);
        [header].into_iter().chain(contents).collect()
    }

    /// An emission is written as `wire`, and the packet that is read from it.
    fn check_emission(emission: &Emission, wire: &str) -> Packet {
        let messages = messages(emission);
        assert_eq!(messages.first(), Some(&text(wire)));
        let mut assembler = assembler();
        let packets = messages
            .into_iter()
            .map(|frame| take(&mut assembler, frame).unwrap());
        packets.last().flatten().expect("a packet")
    }

    /// "encodes connection"
    #[test]
    fn encodes_connection() {
        check(
            Packet::Connect {
                namespace: namespace("/woot"),
                payload: Some(r#"{"token":"123"}"#.into()),
            },
            r#"0/woot,{"token":"123"}"#,
        );
    }

    /// "encodes disconnection"
    #[test]
    fn encodes_disconnection() {
        let namespace = namespace("/woot");
        check(Packet::Disconnect { namespace }, "1/woot,");
    }

    /// "encodes an event"
    #[test]
    fn encodes_an_event() {
        let event = Emission::event(&Namespace::root(), "a", &(1, json!({}))).unwrap();
        let packet = check_emission(&event, r#"2["a",1,{}]"#);
        let Packet::Event { namespace, event } = packet else {
            panic!("{packet:?}");
        };
        assert_eq!((event.name(), event.ack()), ("a", None));
        assert_eq!(event.args::<(u8, Value)>().unwrap(), (1, json!({})));
        assert!(namespace.is_root());
    }

    /// "encodes an event (with an integer as event name)": we read it, and write text alone.
    #[test]
    fn reads_an_event_with_an_integer_as_event_name() {
        let Ok(Packet::Event { event, .. }) = packet::decode(r#"2[1,"a",{}]"#.into()) else {
            panic!("not an event");
        };
        assert_eq!(event.name(), "1");
        assert_eq!(event.args::<(&str, Value)>().unwrap(), ("a", json!({})));
    }

    /// "encodes an event (with ack)"
    #[test]
    fn encodes_an_event_with_ack() {
        let wire = r#"2/test,1["a",1,{}]"#;
        let packet = packet::decode(wire.into()).unwrap();
        assert_eq!(packet::encode(&packet), wire);
        let Packet::Event { namespace, event } = packet else {
            panic!("{packet:?}");
        };
        assert_eq!(namespace.as_str(), "/test");
        assert_eq!(event.ack(), Some(AckId::from_number(1)));
    }

    /// "encodes an ack"
    #[test]
    fn encodes_an_ack() {
        let ack = AckId::from_number(123);
        let answer = Emission::answer(&Namespace::root(), ack, &("a", 1, json!({}))).unwrap();
        let packet = check_emission(&answer, r#"3123["a",1,{}]"#);
        let Packet::Answer {
            ack: to, answer, ..
        } = packet
        else {
            panic!("{packet:?}");
        };
        assert_eq!((to, answer.arg_count()), (ack, 3));
    }

    /// "encodes an connect error", which has a bare string for a payload: we read that, and write
    /// an object.
    #[test]
    fn reads_a_connect_error_that_is_a_string() {
        let refused = packet::decode(r#"4"Unauthorized""#.into()).unwrap();
        let object = r#"4{"message":"Unauthorized"}"#;
        assert_eq!(packet::decode(object.into()), Ok(refused));
    }

    /// "encodes an connect error (with object)"
    #[test]
    fn encodes_a_connect_error_with_an_object() {
        check(
            Packet::ConnectError {
                namespace: Namespace::root(),
                message: "Unauthorized".into(),
                data: None,
            },
            r#"4{"message":"Unauthorized"}"#,
        );
    }

    /// "throws an error when encoding a namespace containing a comma"
    #[test]
    fn a_namespace_contains_no_comma() {
        assert_eq!(Namespace::new("/a,b"), None);
    }

    /// "encodes a Buffer", "encodes a TypedArray", "encodes an ArrayBuffer"
    #[test]
    fn encodes_a_buffer() {
        let namespace = namespace("/cool");
        let contents = vec![Bytes::from_static(b"abc")];
        let event = Emission::event_with(&namespace, "a", &(Attachment(0),), contents).unwrap();
        let packet = check_emission(&event, r#"51-/cool,["a",{"_placeholder":true,"num":0}]"#);
        let Packet::BinaryEvent { event, .. } = packet else {
            panic!("{packet:?}");
        };
        let (place,) = event.args::<(Attachment,)>().unwrap();
        assert_eq!(event.attachment(&place).unwrap(), &b"abc"[..]);
    }

    /// "encodes a nested Buffer", "encodes ArrayBuffers deep in JSON", "encodes deep binary JSON
    /// with null values"
    #[test]
    fn encodes_buffers_deep_in_json() {
        let args = (json!({
            "a": "hi",
            "b": { "why": Attachment(0), "g": null },
            "c": { "a": "bye", "b": [{ "a": Attachment(1) }] },
        }),);
        let contents = vec![Bytes::from_static(&[0; 3]), Bytes::from_static(&[0; 6])];
        let deep = namespace("/deep");
        let event = Emission::event_with(&deep, "a", &args, contents.clone()).unwrap();
        let wire = concat!(
            r#"52-/deep,["a",{"a":"hi","b":{"g":null,"why":{"_placeholder":true,"num":0}},"#,
            r#""c":{"a":"bye","b":[{"a":{"_placeholder":true,"num":1}}]}}]"#,
        );
        let packet = check_emission(&event, wire);
        let Packet::BinaryEvent { event, .. } = packet else {
            panic!("{packet:?}");
        };
        assert_eq!(event.args::<(Value,)>().unwrap(), args);
        assert_eq!(event.attachments(), contents);
    }

    /// "encodes a binary ack with Buffer", "encodes a binary ack with a blob"
    #[test]
    fn encodes_a_binary_ack() {
        let (back, ack) = (namespace("/back"), AckId::from_number(127));
        let contents = vec![Bytes::from_static(b"xxx")];
        let args = ("a", Attachment(0), json!({}));
        let answer = Emission::answer_with(&back, ack, &args, contents).unwrap();
        let wire = r#"61-/back,127["a",{"_placeholder":true,"num":0},{}]"#;
        let packet = check_emission(&answer, wire);
        let Packet::BinaryAnswer {
            ack: to, answer, ..
        } = packet
        else {
            panic!("{packet:?}");
        };
        assert_eq!(to, ack);
        assert_eq!(answer.attachments(), [&b"xxx"[..]]);
    }

    /// "should not modify the input packet"
    #[test]
    fn an_emission_is_sent_as_often_as_one_likes() {
        let args = (Attachment(0), Attachment(1));
        let contents = vec![Bytes::from_static(b"123"), Bytes::from_static(b"456")];
        let event = Emission::event_with(&Namespace::root(), "a", &args, contents).unwrap();
        assert_eq!(messages(&event), messages(&event));
        assert_eq!(messages(&event).len(), 3);
    }

    /// "throws an error when receiving too many attachments"
    #[test]
    fn refuses_too_many_attachments() {
        let limits = Limits {
            count_max: 2,
            ..Limits::default()
        };
        let wire = concat!(
            r#"53-["hello",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1},"#,
            r#"{"_placeholder":true,"num":2}]"#,
        );
        let error = Err(CloseReason::BadPacket(E::TooManyAttachments));
        assert_eq!(take(&mut Assembler::new(limits), text(wire)), error);
        assert_eq!(take(&mut assembler(), text(wire)), Ok(None));
    }

    /// "throw an error upon parsing error", "decodes a bad binary packet"
    #[test]
    fn refuses_what_does_not_parse() {
        for (wire, error) in [
            (r#"442["some","data""#, E::BadPayload(Kind::ConnectError)),
            (r#"0/admin,"invalid""#, E::BadPayload(Kind::Connect)),
            ("0[]", E::BadPayload(Kind::Connect)),
            ("1/admin,{}", E::BadPayload(Kind::Disconnect)),
            (r#"2/admin,"invalid"#, E::BadPayload(Kind::Event)),
            ("2/admin,{}", E::BadPayload(Kind::Event)),
            (r#"2[{"toString":"foo"}]"#, E::BadPayload(Kind::Event)),
            (r#"2[true,"foo"]"#, E::BadPayload(Kind::Event)),
            (r#"2[null,"bar"]"#, E::BadPayload(Kind::Event)),
            (r#"2["connect"]"#, E::ReservedName("connect")),
            (r#"2["disconnect","123"]"#, E::ReservedName("disconnect")),
            ("5", E::IllegalAttachments),
            ("51", E::IllegalAttachments),
            ("50-", E::IllegalAttachments),
            ("5a-", E::IllegalAttachments),
            ("51.23-", E::IllegalAttachments),
            ("999", E::UnknownType('9')),
        ] {
            assert_eq!(packet::decode(wire.into()), Err(error), "{wire}");
        }
    }

    /// "should resume decoding after calling destroy()"
    #[test]
    fn resumes_decoding_after_it_is_cleared() {
        let mut assembler = assembler();
        assert_eq!(take(&mut assembler, text(r#"51-["hello"]"#)), Ok(None));
        assembler.clear();
        let packet = take(&mut assembler, text(r#"2["hello"]"#));
        assert!(
            matches!(packet, Ok(Some(Packet::Event { .. }))),
            "{packet:?}"
        );
    }

    /// "throws an error when adding an attachment with an invalid 'num' attribute": a string, and
    /// one that is out of bounds. We say so at the header.
    #[test]
    fn refuses_a_placeholder_with_an_invalid_num() {
        for wire in [
            r#"51-["hello",{"_placeholder":true,"num":"splice"}]"#,
            r#"51-["hello",{"_placeholder":true,"num":1}]"#,
        ] {
            let error = Err(CloseReason::BadPacket(E::BadPlaceholder));
            assert_eq!(take(&mut assembler(), text(wire)), error, "{wire}");
        }
    }

    /// "throws an error when adding an attachment without header"
    #[test]
    fn refuses_an_attachment_without_header() {
        let taken = take(&mut assembler(), binary(b"world"));
        assert_eq!(taken, Err(CloseReason::Binary));
    }

    /// "throws an error when decoding a binary event without attachments"
    #[test]
    fn refuses_a_text_where_attachments_are_due() {
        let mut assembler = assembler();
        let header = r#"51-["hello",{"_placeholder":true,"num":0}]"#;
        assert_eq!(take(&mut assembler, text(header)), Ok(None));
        let taken = take(&mut assembler, text(r#"2["hello"]"#));
        assert_eq!(taken, Err(CloseReason::MissingAttachments));
    }
}
