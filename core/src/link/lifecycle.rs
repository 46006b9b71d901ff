//! The lifecycle of a link: authorise, dial, shake hands, be up, back off, and again.

use alloc::{
    format,
    string::{String, ToString},
    sync::Arc,
    vec::Vec,
};
use core::{mem, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    End, Protocol, SessionInput, SessionOutput,
    backoff::{self, Backoff, Bucket},
};
use crate::{
    canon::{Canon, Canonical},
    machine::{Machine, Wakeup, earliest, step},
    request::{RequestId, Requests},
    rng::Rng,
    time::Time,
    ws::ConnId,
};

/// The kind of the question what to dial with.
#[derive(Clone, Copy, Debug)]
pub enum Authorize {}

/// The numbers of a [`Link`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// How long a dial may take, and how long the handshake after it.
    pub step_timeout: Duration,
    /// How long to wait between connections.
    pub backoff: backoff::Config,
    /// The number of the first connection; the following ones count on from it. Owners of several
    /// links give each a range of its own.
    pub first_conn: u64,
}

/// What can happen to a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input<P: Protocol> {
    /// What to dial with, or why there is nothing.
    Authorized(RequestId<Authorize>, Result<P::Auth, AuthorizeFailure>),
    /// A dialed connection is open, or could not be opened.
    Dialed(ConnId, Result<(), String>),
    /// Something happened on an open connection.
    Transport(ConnId, P::Happened),
    /// For the session; dropped where none is up.
    Command(P::Command),
    /// The owner has everything it needs from the session: from now on the connection counts as
    /// live.
    Live,
    /// The owner has found the connection to be no good.
    Reconnect(String),
    /// Nothing is wanted of the peer: close the connection, and rest.
    Rest,
    /// Something is wanted again: connect, with no memory of former failures. It means nothing to a
    /// link that does not rest.
    Wake,
    /// End it all: close the connection and go silent.
    Shutdown,
}

/// Why there is nothing to dial with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuthorizeFailure {
    /// It may work at another time.
    Unavailable(String),
    /// It will not work until somebody changes something: try at the longest delay.
    Denied(String),
}

/// What a link asks and tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output<P: Protocol> {
    /// Say what to dial with; the owner answers when it knows, however long that takes.
    Authorize(RequestId<Authorize>),
    /// That answer is not waited for any more.
    Forget(RequestId<Authorize>),
    /// Open a connection.
    Dial(ConnId),
    /// Give a connection up at once, also while it is being dialed.
    HangUp(ConnId),
    /// Do this on an open connection.
    Transport(ConnId, P::Action),
    /// The handshake is done: the session takes commands.
    Up,
    /// Something from the session; also before [`Output::Up`].
    Event(P::Event),
    /// The connection is gone, or was never made.
    Down {
        /// What happened.
        end: End,
        /// How long it was live; `None` where it never was.
        lived: Option<Duration>,
        /// When the next attempt follows.
        retry_in: Duration,
    },
}

/// One connection to one peer, kept up for ever.
///
/// Start it with a step; it authorises and dials at once, and tries again after every end until
/// [`Input::Rest`] or [`Input::Shutdown`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link<P: Protocol> {
    config: Arc<Config>,
    protocol: P,
    backoff: Backoff,
    dials: Bucket,
    asked: Requests<Authorize, ()>,
    next_conn: u64,
    state: State<P>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State<P: Protocol> {
    Resting,
    Waiting {
        until: Option<Time>,
    },
    Authorizing,
    Dialing {
        conn: ConnId,
        auth: P::Auth,
        until: Time,
    },
    Handshaking {
        conn: ConnId,
        session: P::Session,
        until: Time,
    },
    Up {
        conn: ConnId,
        session: P::Session,
        live_since: Option<Time>,
    },
    Shut,
}

impl<P: Protocol> Canonical for State<P> {
    fn canonical(&self, canon: &mut Canon) {
        match self {
            Self::Waiting { until } => (0_u8, until).canonical(canon),
            Self::Authorizing => 1_u8.canonical(canon),
            Self::Dialing { conn, auth, until } => (2_u8, (conn, auth), until).canonical(canon),
            Self::Handshaking {
                conn,
                session,
                until,
            } => {
                (3_u8, (conn, session), until).canonical(canon);
            }
            Self::Up {
                conn,
                session,
                live_since,
            } => {
                (4_u8, (conn, session), live_since).canonical(canon);
            }
            Self::Shut => 5_u8.canonical(canon),
            Self::Resting => 6_u8.canonical(canon),
        }
    }
}

impl<P: Protocol> Canonical for Link<P> {
    fn canonical(&self, canon: &mut Canon) {
        let Self {
            config: _,
            protocol,
            backoff,
            dials,
            asked,
            next_conn: _,
            state,
        } = self;
        protocol.canonical(canon);
        backoff.canonical(canon);
        dials.canonical(canon);
        asked.canonical(canon);
        state.canonical(canon);
    }
}

impl<P: Protocol> Link<P> {
    /// A link that dials at its first step. Many links can share one configuration.
    pub fn new(config: impl Into<Arc<Config>>, protocol: P, rng: Rng) -> Self {
        let config = config.into();
        Self {
            backoff: Backoff::new(rng),
            dials: Bucket::new(config.backoff.dials, config.backoff.refill),
            protocol,
            asked: Requests::default(),
            next_conn: config.first_conn,
            state: State::Waiting { until: None },
            config,
        }
    }

    /// A link that rests until [`Input::Wake`].
    pub fn resting(config: impl Into<Arc<Config>>, protocol: P, rng: Rng) -> Self {
        Self {
            state: State::Resting,
            ..Self::new(config, protocol, rng)
        }
    }

    /// Whether nothing is wanted of the peer.
    pub fn is_resting(&self) -> bool {
        matches!(self.state, State::Resting)
    }

    /// Whether the session takes commands.
    pub fn is_up(&self) -> bool {
        matches!(self.state, State::Up { .. })
    }

    /// Whether the owner has called the present connection live.
    pub fn is_live(&self) -> bool {
        matches!(
            self.state,
            State::Up {
                live_since: Some(_),
                ..
            }
        )
    }

    fn begin(&mut self, now: Time, out: &mut Vec<Output<P>>) {
        self.state = match self.dials.take(now) {
            Ok(()) => {
                out.push(Output::Authorize(self.asked.ask(now, None, ())));
                State::Authorizing
            }
            Err(at) => State::Waiting { until: Some(at) },
        };
    }

    fn on_authorized(
        &mut self,
        now: Time,
        auth: Result<P::Auth, AuthorizeFailure>,
        out: &mut Vec<Output<P>>,
    ) {
        match auth {
            Ok(auth) => {
                let conn = ConnId(self.next_conn);
                self.next_conn = self.next_conn.wrapping_add(1);
                out.push(Output::Dial(conn));
                let until = now + self.config.step_timeout;
                self.state = State::Dialing { conn, auth, until };
            }
            Err(AuthorizeFailure::Unavailable(why)) => {
                let wait = self.backoff.after_failure(&self.config.backoff);
                self.wait(
                    now,
                    End {
                        unauthorized: false,
                        why,
                    },
                    None,
                    wait,
                    out,
                );
            }
            Err(AuthorizeFailure::Denied(why)) => {
                let wait = self.backoff.longest(&self.config.backoff);
                self.wait(
                    now,
                    End {
                        unauthorized: false,
                        why,
                    },
                    None,
                    wait,
                    out,
                );
            }
        }
    }

    fn on_dialed(
        &mut self,
        now: Time,
        conn: ConnId,
        result: Result<(), String>,
        out: &mut Vec<Output<P>>,
    ) {
        let auth = match &self.state {
            State::Dialing {
                conn: dialing,
                auth,
                ..
            } if *dialing == conn => auth.clone(),
            State::Resting
            | State::Waiting { .. }
            | State::Authorizing
            | State::Dialing { .. }
            | State::Handshaking { .. }
            | State::Up { .. }
            | State::Shut => return,
        };
        match result {
            Ok(()) => {
                let session = self.protocol.session(now, auth);
                let until = now + self.config.step_timeout;
                self.state = State::Handshaking {
                    conn,
                    session,
                    until,
                };
                self.drive(now, None, out);
            }
            Err(why) => {
                let wait = self.backoff.after_failure(&self.config.backoff);
                let why = format!("could not dial: {why}");
                self.wait(
                    now,
                    End {
                        unauthorized: false,
                        why,
                    },
                    None,
                    wait,
                    out,
                );
            }
        }
    }

    /// Steps the session and passes on what it says.
    fn drive(
        &mut self,
        now: Time,
        input: Option<SessionInput<P::Happened, P::Command>>,
        out: &mut Vec<Output<P>>,
    ) {
        let (conn, session) = match &mut self.state {
            State::Handshaking { conn, session, .. } | State::Up { conn, session, .. } => {
                (*conn, session)
            }
            State::Resting
            | State::Waiting { .. }
            | State::Authorizing
            | State::Dialing { .. }
            | State::Shut => {
                return;
            }
        };
        let mut said = Vec::new();
        step(session, now, input, &mut said);
        for output in said {
            match output {
                SessionOutput::Transport(action) => out.push(Output::Transport(conn, action)),
                SessionOutput::Event(event) => out.push(Output::Event(event)),
                SessionOutput::Ready => self.on_ready(out),
                SessionOutput::Ended(end) => {
                    self.on_end(now, end, out);
                    return;
                }
            }
        }
    }

    fn on_ready(&mut self, out: &mut Vec<Output<P>>) {
        self.state = match mem::replace(&mut self.state, State::Shut) {
            State::Handshaking { conn, session, .. } => {
                out.push(Output::Up);
                State::Up {
                    conn,
                    session,
                    live_since: None,
                }
            }
            other @ (State::Resting
            | State::Waiting { .. }
            | State::Authorizing
            | State::Dialing { .. }
            | State::Up { .. }
            | State::Shut) => other,
        };
    }

    fn on_end(&mut self, now: Time, end: End, out: &mut Vec<Output<P>>) {
        let lived = match &self.state {
            State::Up { live_since, .. } => live_since.map(|since| now.since(since)),
            State::Resting
            | State::Waiting { .. }
            | State::Authorizing
            | State::Dialing { .. }
            | State::Handshaking { .. }
            | State::Shut => None,
        };
        let wait = match lived {
            Some(lived) => self.backoff.after_live(&self.config.backoff, lived),
            None => self.backoff.after_failure(&self.config.backoff),
        };
        self.wait(now, end, lived, wait, out);
    }

    fn wait(
        &mut self,
        now: Time,
        end: End,
        lived: Option<Duration>,
        retry_in: Duration,
        out: &mut Vec<Output<P>>,
    ) {
        self.state = State::Waiting {
            until: Some(now + retry_in),
        };
        out.push(Output::Down {
            end,
            lived,
            retry_in,
        });
    }

    /// Breaks the present connection off, in whatever step it is.
    fn break_off(&mut self, now: Time, why: &str, out: &mut Vec<Output<P>>) {
        let conn = match &self.state {
            State::Dialing { conn, .. }
            | State::Handshaking { conn, .. }
            | State::Up { conn, .. } => *conn,
            State::Resting | State::Waiting { .. } | State::Authorizing | State::Shut => return,
        };
        out.push(Output::HangUp(conn));
        self.on_end(
            now,
            End {
                unauthorized: false,
                why: why.to_string(),
            },
            out,
        );
    }

    /// Closes whatever is under way, and goes on in the state `end`.
    fn close(&mut self, now: Time, end: State<P>, out: &mut Vec<Output<P>>) {
        match &self.state {
            State::Authorizing => {
                if let Some((id, ())) = self.asked.withdraw(|()| true) {
                    out.push(Output::Forget(id));
                }
            }
            State::Dialing { conn, .. } => out.push(Output::HangUp(*conn)),
            State::Handshaking { conn, session, .. } | State::Up { conn, session, .. } => {
                let (conn, mut session) = (*conn, session.clone());
                let mut said = Vec::new();
                step(&mut session, now, Some(SessionInput::Close), &mut said);
                for output in said {
                    match output {
                        SessionOutput::Transport(action) => {
                            out.push(Output::Transport(conn, action));
                        }
                        SessionOutput::Event(event) => out.push(Output::Event(event)),
                        SessionOutput::Ready | SessionOutput::Ended(_) => {}
                    }
                }
            }
            State::Resting | State::Waiting { .. } | State::Shut => {}
        }
        self.state = end;
    }

    fn is_on(&self, conn: ConnId) -> bool {
        match &self.state {
            State::Handshaking { conn: on, .. } | State::Up { conn: on, .. } => *on == conn,
            State::Resting
            | State::Waiting { .. }
            | State::Authorizing
            | State::Dialing { .. }
            | State::Shut => false,
        }
    }
}

impl<P: Protocol> Machine for Link<P> {
    type Input = Input<P>;
    type Output = Output<P>;

    fn handle(&mut self, now: Time, input: Input<P>, out: &mut Vec<Output<P>>) {
        match input {
            Input::Authorized(id, auth) => {
                if self.asked.answer(id).is_some() {
                    self.on_authorized(now, auth, out);
                }
            }
            Input::Dialed(conn, result) => self.on_dialed(now, conn, result, out),
            Input::Transport(conn, event) => {
                if self.is_on(conn) {
                    self.drive(now, Some(SessionInput::Transport(event)), out);
                }
            }
            Input::Command(command) => {
                if self.is_up() {
                    self.drive(now, Some(SessionInput::Command(command)), out);
                }
            }
            Input::Live => {
                if let State::Up { live_since, .. } = &mut self.state {
                    live_since.get_or_insert(now);
                }
            }
            Input::Reconnect(why) => self.break_off(now, &why, out),
            Input::Rest => {
                if !matches!(self.state, State::Shut) {
                    self.close(now, State::Resting, out);
                }
            }
            Input::Wake => {
                if self.is_resting() {
                    self.backoff.reset();
                    self.state = State::Waiting { until: None };
                }
            }
            Input::Shutdown => self.close(now, State::Shut, out),
        }
    }

    fn tick(&mut self, now: Time, out: &mut Vec<Output<P>>) {
        match &self.state {
            State::Waiting { until } => {
                if until.is_none_or(|until| until <= now) {
                    self.begin(now, out);
                }
            }
            State::Dialing { until, .. } => {
                if *until <= now {
                    self.break_off(now, "the dial took too long", out);
                }
            }
            State::Handshaking { session, until, .. } => {
                if *until <= now {
                    self.break_off(now, "the handshake took too long", out);
                } else if session.next_wakeup().is_some_and(|wakeup| wakeup.at <= now) {
                    self.drive(now, None, out);
                }
            }
            State::Up { session, .. } => {
                if session.next_wakeup().is_some_and(|wakeup| wakeup.at <= now) {
                    self.drive(now, None, out);
                }
            }
            State::Resting | State::Authorizing | State::Shut => {}
        }
    }

    fn next_wakeup(&self) -> Option<Wakeup> {
        match &self.state {
            State::Waiting { until } => Some(Wakeup {
                at: until.unwrap_or(Time::ZERO),
                why: "dial again",
            }),
            State::Dialing { until, .. } => Some(Wakeup {
                at: *until,
                why: "dial timeout",
            }),
            State::Handshaking { session, until, .. } => earliest([
                session.next_wakeup(),
                Some(Wakeup {
                    at: *until,
                    why: "handshake timeout",
                }),
            ]),
            State::Up { session, .. } => session.next_wakeup(),
            State::Resting | State::Authorizing | State::Shut => None,
        }
    }
}
