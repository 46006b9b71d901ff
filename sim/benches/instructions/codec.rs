//! Reading and writing a pushed message.

use std::hint::black_box;

use bytestring::ByteString;
use selvedge_core::{
    engineio,
    fabric::types::Message,
    socketio::{
        Namespace,
        event::{Emission, Event},
        packet::{self, Packet},
    },
    ws::Frame,
};

use crate::counted;

const TIMES: u64 = 200;

/// A push of 608 bytes: of one message to one socket.
const PUSH: &str = include_str!("push.txt").trim_ascii_end();

/// The pushed message with this `seq` and an id of its own, by this author, which wakes or does not.
pub(crate) fn push(seq: u64, author: &str, wakes: bool) -> ByteString {
    PUSH.replace(r#""seq":1842"#, &format!(r#""seq":{seq}"#))
        .replace("6a3f5f0c2d11", &format!("{seq:012x}"))
        .replace("01995d21-90bb-7d3f-8a11-c4e2d7703b52", author)
        .replace(r#""wakeup":true"#, &format!(r#""wakeup":{wakes}"#))
        .into()
}

/// The channel that messages are pushed in, and its guild.
pub(crate) const CHANNEL: &str = "01995d3b-11d2-7e02-8c55-0f4b8f1de9a7";
pub(crate) const GUILD: &str = "01995d20-4a6e-7b1c-a3d9-52c07be81f3e";

fn event(frame: ByteString) -> Event {
    let message = engineio::packet::decode(Frame::Text(frame));
    let Ok(engineio::packet::Packet::Message(Frame::Text(text))) = message else {
        unreachable!("not a message: {message:?}");
    };
    match packet::decode(text) {
        Ok(Packet::Event { event, .. }) => event,
        other => unreachable!("not an event: {other:?}"),
    }
}

fn message(event: &Event) -> Message {
    event.args::<(Message,)>().expect("a message").0
}

pub(crate) fn decode() -> u64 {
    let frame = ByteString::from_static(PUSH);
    for _ in 0..TIMES {
        counted(&mut || drop(black_box(event(frame.clone()))));
    }
    TIMES
}

pub(crate) fn decode_message() -> u64 {
    let frame = ByteString::from_static(PUSH);
    for _ in 0..TIMES {
        counted(&mut || drop(black_box(message(&event(frame.clone())))));
    }
    TIMES
}

pub(crate) fn encode() -> u64 {
    let namespace = Namespace::new("/realtime").expect("a namespace");
    let message = message(&event(ByteString::from_static(PUSH)));
    for _ in 0..TIMES {
        counted(&mut || {
            let emission = Emission::event(&namespace, "message.created", &(&message,));
            black_box(emission.expect("an event").frame());
        });
    }
    TIMES
}
