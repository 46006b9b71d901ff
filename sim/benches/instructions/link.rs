//! A link that is live and takes a push.

use std::time::Duration;

use bytestring::ByteString;
use selvedge_core::{
    Rng, Secret, Time,
    fabric::session::Realtime,
    link::{Config, Input, Link, Output, backoff},
    socketio::client,
    step,
    ws::{ConnId, Event, Frame},
};

use crate::{codec, counted};

const TIMES: u64 = 200;

/// What a guild says when a connection opens; its pings are far away.
pub(crate) const OPEN: &str = r#"0{"sid":"e","upgrades":[],"pingInterval":86400000,"pingTimeout":20000,"maxPayload":1000000}"#;
/// What it says to a CONNECT.
pub(crate) const CONNECTED: &str = r#"40/realtime,{"sid":"s"}"#;

const NOW: Time = Time::from_millis(1_000);

fn heard(conn: ConnId, text: ByteString) -> Input<Realtime> {
    Input::Transport(conn, Event::Frame(Frame::Text(text)))
}

pub(crate) fn frame() -> u64 {
    let config = Config {
        step_timeout: Duration::from_secs(10),
        rotation_timeout: Duration::from_secs(30),
        backoff: backoff::Config::default(),
        first_conn: 0,
    };
    let realtime = Realtime::new(
        client::Config::default().into(),
        Duration::from_secs(10),
        true,
    );
    let mut link = Link::new(config, realtime, Rng::from_number(7));
    let mut out = Vec::new();
    step(&mut link, NOW, None, &mut out);
    let Some(Output::Authorize { id, .. }) = out.pop() else {
        unreachable!("it asks what to dial with: {out:?}");
    };
    let conn = ConnId(0);
    for input in [
        Input::Authorized(id, Ok(Secret::new("token"))),
        Input::Dialed(conn, Ok(())),
        heard(conn, OPEN.into()),
        heard(conn, CONNECTED.into()),
        Input::Live(conn),
    ] {
        step(&mut link, NOW, Some(input), &mut out);
    }
    assert!(link.is_live(), "{out:?}");
    for seq in 1..=TIMES {
        let mut input = Some(heard(conn, codec::push(seq, "ada", true)));
        let mut out = Vec::new();
        counted(&mut || {
            step(&mut link, NOW, input.take(), &mut out);
        });
        assert!(matches!(out.as_slice(), [Output::Event(..)]), "{out:?}");
    }
    TIMES
}
