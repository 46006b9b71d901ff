//! The lifecycle, with a protocol whose peer says hello.

mod rotation;

use alloc::{string::ToString, vec, vec::Vec};
use core::time::Duration;

use super::{
    Authorize, AuthorizeFailure, Config, End, Input, Link, Output, Protocol, SessionInput,
    SessionOutput, backoff,
};
use crate::{
    canonical,
    machine::{Machine, Wakeup, step},
    request::RequestId,
    rng::Rng,
    time::Time,
    ws::{Action, Closed, ConnId, Event, Frame},
};

#[derive(Clone, Debug, PartialEq, Eq)]
struct Hello;
canonical!(
    struct Hello {}
);

/// Sends its token; is ready at `hello`; ends at `refused` or with its transport.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Session {
    token: Option<u64>,
}
canonical!(struct Session { token });

impl Protocol for Hello {
    type Happened = Event;
    type Action = Action;
    type Auth = u64;
    type Command = &'static str;
    type Event = &'static str;
    type Session = Session;

    fn session(&self, _: Time, token: u64) -> Session {
        Session { token: Some(token) }
    }
}

impl Machine for Session {
    type Input = SessionInput<Event, &'static str>;
    type Output = SessionOutput<Action, &'static str>;

    fn handle(&mut self, _: Time, input: Self::Input, out: &mut Vec<Self::Output>) {
        match input {
            SessionInput::Transport(Event::Frame(Frame::Text(text))) => match &*text {
                "hello" => out.push(SessionOutput::Ready),
                "refused" => out.push(ended(true)),
                _ => out.push(SessionOutput::Event("event")),
            },
            SessionInput::Transport(Event::Frame(Frame::Binary(_)) | Event::Closed(_)) => {
                out.push(ended(false));
            }
            SessionInput::Command(text) => out.push(send(text)),
            SessionInput::Close => out.push(SessionOutput::Transport(Action::Close)),
        }
    }

    fn tick(&mut self, _: Time, out: &mut Vec<Self::Output>) {
        if let Some(token) = self.token.take() {
            out.push(send(&token.to_string()));
        }
    }

    fn next_wakeup(&self) -> Option<Wakeup> {
        None
    }
}

fn send(text: &str) -> SessionOutput<Action, &'static str> {
    SessionOutput::Transport(Action::Send(Frame::Text(text.into())))
}

fn ended(unauthorized: bool) -> SessionOutput<Action, &'static str> {
    SessionOutput::Ended(End {
        unauthorized,
        why: "ended".to_string(),
    })
}

fn text(text: &str) -> Event {
    Event::Frame(Frame::Text(text.into()))
}

const STEP: Duration = Duration::from_secs(10);
const ROTATION: Duration = Duration::from_secs(30);

struct Rig {
    link: Link<Hello>,
    now: Time,
}

impl Rig {
    fn new() -> Self {
        let config = Config {
            step_timeout: STEP,
            rotation_timeout: ROTATION,
            backoff: backoff::Config::default(),
            first_conn: 7,
        };
        let link = Link::new(config, Hello, Rng::from_number(1));
        Self {
            link,
            now: Time::from_millis(1),
        }
    }

    fn step(&mut self, input: Option<Input<Hello>>) -> Vec<Output<Hello>> {
        let mut out = Vec::new();
        step(&mut self.link, self.now, input, &mut out);
        out
    }

    fn sleep(&mut self) -> Vec<Output<Hello>> {
        self.now = self.link.next_wakeup().unwrap().at;
        self.step(None)
    }

    /// Answers the question for a token with its own number, and dials.
    fn authorize(&mut self, out: &[Output<Hello>]) -> ConnId {
        let [Output::Authorize { id, .. }] = out else {
            panic!("{out:?}")
        };
        let out = self.step(Some(Input::Authorized(*id, Ok(id.number()))));
        let [Output::Dial(conn)] = out.as_slice() else {
            panic!("{out:?}")
        };
        *conn
    }

    fn up(&mut self) -> ConnId {
        let out = self.step(None);
        let conn = self.authorize(&out);
        self.step(Some(Input::Dialed(conn, Ok(()))));
        assert_eq!(
            self.step(Some(Input::Transport(conn, text("hello")))),
            vec![Output::Up(conn)]
        );
        conn
    }
}

fn down(out: &[Output<Hello>]) -> (&End, Option<Duration>, Duration) {
    match out.last() {
        Some(Output::Down {
            end,
            lived,
            retry_in: Some(retry_in),
            ..
        }) => (end, *lived, *retry_in),
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_dial_asks_for_its_token_anew() {
    let mut rig = Rig::new();
    let mut out = rig.step(None);
    for dial in 0..5 {
        let conn = rig.authorize(&out);
        assert_eq!(conn, ConnId(7 + dial));
        let sent = rig.step(Some(Input::Dialed(conn, Ok(()))));
        let token = Action::Send(Frame::Text(dial.to_string().into()));
        assert_eq!(sent, vec![Output::Transport(conn, token)]);
        rig.step(Some(Input::Transport(
            conn,
            Event::Closed(Closed::TooLarge),
        )));
        out = rig.sleep();
    }
}

#[test]
fn each_step_has_its_timeout() {
    let mut rig = Rig::new();
    let out = rig.step(None);
    let conn = rig.authorize(&out);
    rig.now = rig.now + STEP;
    let out = rig.step(None);
    assert_eq!(out.first(), Some(&Output::HangUp(conn)));
    assert_eq!(down(&out).0.why, "the dial took too long");
    let out = rig.sleep();
    let conn = rig.authorize(&out);
    rig.step(Some(Input::Dialed(conn, Ok(()))));
    rig.now = rig.now + STEP;
    let out = rig.step(None);
    assert_eq!(out.first(), Some(&Output::HangUp(conn)));
    assert_eq!(down(&out).0.why, "the handshake took too long");
}

#[test]
fn a_refusal_is_told_and_dialed_again_with_another_token() {
    let mut rig = Rig::new();
    let out = rig.step(None);
    let conn = rig.authorize(&out);
    rig.step(Some(Input::Dialed(conn, Ok(()))));
    let out = rig.step(Some(Input::Transport(conn, text("refused"))));
    assert!(down(&out).0.unauthorized);
    let out = rig.sleep();
    rig.authorize(&out);
}

#[test]
fn the_wait_depends_on_whether_it_was_live() {
    let mut rig = Rig::new();
    let conn = rig.up();
    assert!(rig.link.up() == Some(conn) && !rig.link.is_live());
    rig.step(Some(Input::Live(conn)));
    rig.now = rig.now + Duration::from_secs(60);
    rig.step(Some(Input::Live(conn)));
    let out = rig.step(Some(Input::Transport(
        conn,
        Event::Closed(Closed::TooLarge),
    )));
    let (_, lived, retry_in) = down(&out);
    assert_eq!(lived, Some(Duration::from_secs(60)));
    assert!(retry_in <= Duration::from_secs(1));
    let out = rig.sleep();
    let [Output::Authorize { id, .. }] = out.as_slice() else {
        panic!("{out:?}")
    };
    let denied = Err(AuthorizeFailure::Denied("no key".to_string()));
    let out = rig.step(Some(Input::Authorized(*id, denied)));
    assert_eq!(down(&out).2, Duration::from_secs(30));
}

#[test]
fn a_loop_of_refused_connections_is_no_storm() {
    let mut rig = Rig::new();
    let start = rig.now;
    let mut out = rig.step(None);
    let mut dials = 0;
    while rig.now.since(start) < Duration::from_secs(600) {
        if !out.is_empty() {
            let conn = rig.authorize(&out);
            dials += 1;
            rig.step(Some(Input::Dialed(conn, Ok(()))));
            rig.step(Some(Input::Transport(conn, text("hello"))));
            rig.step(Some(Input::Live(conn)));
            rig.step(Some(Input::Transport(
                conn,
                Event::Closed(Closed::TooLarge),
            )));
        }
        out = rig.sleep();
    }
    assert!((100..=12 + 120).contains(&dials), "{dials}");
}

#[test]
fn what_belongs_to_an_old_connection_is_ignored() {
    let mut rig = Rig::new();
    let conn = rig.up();
    assert_eq!(rig.step(Some(Input::Dialed(conn, Ok(())))), vec![]);
    let old = ConnId(conn.0 + 100);
    assert_eq!(rig.step(Some(Input::Transport(old, text("x")))), vec![]);
    assert_eq!(
        rig.step(Some(Input::Dialed(old, Err("x".to_string())))),
        vec![]
    );
    let late = RequestId::<Authorize>::from_number(0);
    assert_eq!(rig.step(Some(Input::Authorized(late, Ok(1)))), vec![]);
    let out = rig.step(Some(Input::Transport(conn, text("x"))));
    assert_eq!(out, vec![Output::Event(conn, "event")]);
}

#[test]
fn a_link_that_rests_says_goodbye_and_wakes_without_its_failures() {
    let mut rig = Rig::new();
    let mut out = rig.step(None);
    for _ in 0..5 {
        let conn = rig.authorize(&out);
        rig.step(Some(Input::Dialed(conn, Err("no".to_string()))));
        out = rig.sleep();
    }
    let [Output::Authorize { id: asked, .. }] = out.as_slice() else {
        panic!("{out:?}")
    };
    assert_eq!(rig.step(Some(Input::Wake)), vec![]);
    assert_eq!(rig.step(Some(Input::Rest)), vec![Output::Forget(*asked)]);
    assert_eq!(rig.link.next_wakeup(), None);
    let out = rig.step(Some(Input::Wake));
    let conn = rig.authorize(&out);
    let out = rig.step(Some(Input::Dialed(conn, Err("no".to_string()))));
    assert!(down(&out).2 <= Duration::from_secs(1));
    let out = rig.sleep();
    let conn = rig.authorize(&out);
    rig.step(Some(Input::Dialed(conn, Ok(()))));
    rig.step(Some(Input::Transport(conn, text("hello"))));
    let goodbye = vec![Output::Transport(conn, Action::Close)];
    assert_eq!(rig.step(Some(Input::Rest)), goodbye);
    assert_eq!(rig.step(Some(Input::Rest)), vec![]);
    assert!(rig.link.is_resting() && rig.link.next_wakeup().is_none());
    assert_eq!(rig.step(Some(Input::Transport(conn, text("x")))), vec![]);
    rig.step(Some(Input::Shutdown));
    assert_eq!(rig.step(Some(Input::Wake)), vec![]);
    assert_eq!(rig.link.next_wakeup(), None);
}

#[test]
fn after_shutdown_there_is_nothing() {
    let mut rig = Rig::new();
    let conn = rig.up();
    let out = rig.step(Some(Input::Shutdown));
    assert_eq!(out, vec![Output::Transport(conn, Action::Close)]);
    assert_eq!(rig.link.next_wakeup(), None);
    assert_eq!(rig.step(Some(Input::Transport(conn, text("x")))), vec![]);
    assert_eq!(rig.step(Some(Input::Rotate(conn, "x".to_string()))), vec![]);

    let mut asking = Rig::new();
    let out = asking.step(None);
    let [Output::Authorize { id, .. }] = out.as_slice() else {
        panic!("{out:?}")
    };
    assert_eq!(
        asking.step(Some(Input::Shutdown)),
        vec![Output::Forget(*id)]
    );
    assert_eq!(asking.step(Some(Input::Authorized(*id, Ok(1)))), vec![]);
}
