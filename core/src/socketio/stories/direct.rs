//! An emission that is sent without a step is sent as with one, and only where that is so.

use super::*;
use crate::{
    engineio::sessions::{Arrival, Effect, Limits, SessionId, Sessions},
    socketio::event::Attachment,
    ws::ConnId,
};

const CONN: ConnId = ConnId(1);

/// The sessions of a server of which one is looked at.
struct Scene {
    now: Time,
    sessions: Sessions<Server>,
    id: SessionId,
}

impl Scene {
    fn new(base64: bool) -> Self {
        Self::after(Arrival::Socket {
            conn: CONN,
            sid: None,
            fresh: Secret::new("a"),
            base64,
        })
    }

    fn after(first: Arrival) -> Self {
        let now = Time::from_millis(1_000);
        let mut sessions = Sessions::new(server::Config::default(), Limits::default());
        sessions.arrive(now, first, &mut vec![], &mut vec![]);
        let id = sessions.newest().unwrap();
        Self { now, sessions, id }
    }

    fn frame(&mut self, text: &str) {
        let event = ws::Event::Frame(ws::Frame::Text(text.into()));
        self.arrive(Arrival::Transport(CONN, event));
    }

    fn arrive(&mut self, arrival: Arrival) {
        self.sessions
            .arrive(self.now, arrival, &mut vec![], &mut vec![]);
    }

    fn step(&mut self, input: server::Input) {
        self.sessions
            .step(self.now, self.id, input, &mut vec![], &mut vec![]);
    }

    fn admit(&mut self) {
        self.step(server::Input::Admit {
            namespace: namespace("/realtime"),
            sid: "s".into(),
            pid: None,
            missed: vec![],
        });
    }

    fn emission() -> Emission {
        let attachments = vec![Bytes::from_static(b"\x01\x02")];
        let args = ("text", Attachment(0));
        Emission::event_with(&namespace("/realtime"), "e", &args, attachments).unwrap()
    }

    /// What is sent without a step: what a step would have sent, had it done nothing else.
    fn direct(&self) -> Option<Vec<Effect>> {
        let emission = Self::emission();
        let mut direct = vec![];
        let effects = |effect| direct.push(effect);
        if !self.sessions.emit_directly(self.id, &emission, effects) {
            assert_eq!(direct, []);
            return None;
        }
        let (mut effects, mut said) = (vec![], vec![]);
        let mut stepped = self.sessions.clone();
        let emit = server::Input::Emit(emission);
        stepped.step(self.now, self.id, emit, &mut effects, &mut said);
        assert_eq!((&direct, &said), (&effects, &vec![]));
        assert_eq!(stepped, self.sessions);
        Some(direct)
    }
}

#[test]
fn whoever_has_joined_on_a_websocket_needs_no_step() {
    for base64 in [false, true] {
        let mut scene = Scene::new(base64);
        assert_eq!(scene.direct(), None, "not in a namespace");
        scene.frame("40/realtime,");
        assert_eq!(scene.direct(), None, "not admitted");
        scene.admit();
        let [Effect::Transport(_, header), Effect::Transport(_, content)] =
            &scene.direct().unwrap()[..]
        else {
            panic!("a header and its attachment");
        };
        let text = |text: &str| ws::Action::Send(ws::Frame::Text(text.into()));
        let placeholder = r#"{"_placeholder":true,"num":0}"#;
        let event = format!(r#"451-/realtime,["e","text",{placeholder}]"#);
        assert_eq!(*header, text(&event));
        let is_text = *content == text("bAQI=");
        assert_eq!(is_text, base64);
        let ping_at = scene.sessions.next_wakeup().unwrap().at;
        scene.now = ping_at;
        scene.sessions.tick(ping_at, &mut vec![], &mut vec![]);
        assert!(scene.direct().is_some(), "a pong is awaited");
    }
}

#[test]
fn whoever_is_not_in_or_polls_gets_its_step() {
    let mut scene = Scene::new(false);
    scene.frame("40/realtime,");
    scene.admit();
    scene.step(server::Input::Disconnect {
        namespace: namespace("/realtime"),
    });
    assert_eq!(scene.direct(), None, "dismissed");

    let mut scene = Scene::new(false);
    scene.frame("40/realtime,");
    scene.admit();
    scene.step(server::Input::Close);
    assert_eq!(scene.direct(), None, "closed");

    let mut scene = Scene::after(Arrival::Poll {
        call: CallId(1),
        sid: None,
        fresh: Secret::new("a"),
    });
    let call = CallId(2);
    let sid = Secret::new("a");
    scene.arrive(Arrival::Posting { call, sid });
    let body = "40/realtime,".into();
    scene.arrive(Arrival::Post { call, body });
    scene.admit();
    assert_eq!(scene.direct(), None, "polls");
    let server = scene.sessions.get(scene.id).unwrap();
    assert!(!server.is_closed());
}
