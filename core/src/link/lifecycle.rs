//! The lifecycle of a link: authorise, dial, shake hands, be up, back off, and again; and the
//! replacing of a connection by another one before it ends.

use alloc::{string::String, sync::Arc, vec::Vec};
use core::{mem, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    End, Protocol, SessionInput,
    backoff::{self, Backoff, Bucket},
    connection::{Connection, Fall},
};
use crate::{
    canon::{Canon, Canonical},
    machine::{Machine, Wakeup, earliest},
    request::{RequestId, Requests},
    rng::Rng,
    snapshot,
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
    /// How long a connection that is to replace another one may take to be live, from the question
    /// what to dial with on.
    pub rotation_timeout: Duration,
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
    /// For the session of this connection; dropped where it is not up.
    Command(ConnId, P::Command),
    /// The owner has everything it needs from the session of this connection: it counts as live
    /// from now on. One that was to replace another does so now.
    Live(ConnId),
    /// The owner wants this connection replaced, and says why: another one is made while it goes
    /// on. Where it is that other one, it is given up, and a third is made after a while.
    Rotate(ConnId, String),
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
    Authorize {
        /// To answer with.
        id: RequestId<Authorize>,
        /// The connection that is to be replaced, which goes on meanwhile.
        replaces: Option<ConnId>,
    },
    /// That answer is not waited for any more.
    Forget(RequestId<Authorize>),
    /// Open a connection.
    Dial(ConnId),
    /// Give a connection up at once, also while it is being dialed.
    HangUp(ConnId),
    /// Do this on an open connection.
    Transport(ConnId, P::Action),
    /// The handshake is done: the session takes commands.
    Up(ConnId),
    /// Something from a session; also before [`Output::Up`].
    Event(ConnId, P::Event),
    /// The connection that was asked for by [`Input::Rotate`] is live, and the one before it has
    /// been closed.
    Replaced {
        /// The connection that there was.
        old: ConnId,
        /// The connection that there is.
        new: ConnId,
        /// Why it was replaced, as asked for.
        why: String,
        /// How long the old one was live; `None` where it never was.
        lived: Option<Duration>,
    },
    /// The connection that was to replace another one is gone, or was never made. The other one
    /// goes on.
    NotReplaced {
        /// The one that is gone, where it was dialed.
        new: Option<ConnId>,
        /// What happened.
        end: End,
        /// When the next attempt follows.
        retry_in: Duration,
    },
    /// The connection is gone, or was never made.
    Down {
        /// It, where it was dialed.
        conn: Option<ConnId>,
        /// What happened.
        end: End,
        /// How long it was live; `None` where it never was.
        lived: Option<Duration>,
        /// When the next attempt follows; `None` where one is under way already: that which was to
        /// replace the one that is gone.
        retry_in: Option<Duration>,
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
    Running {
        present: Connection<P>,
        /// Only while the present one is up.
        next: Option<Next<P>>,
    },
    Shut,
}

/// What is to replace the present connection.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Next<P: Protocol> {
    connection: Connection<P>,
    /// When the present attempt is given up.
    until: Option<Time>,
    why: String,
}

/// Which of the two connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Present,
    Next,
}

impl<P: Protocol> Canonical for Next<P> {
    fn canonical(&self, canon: &mut Canon) {
        let Self {
            connection,
            until,
            why: _,
        } = self;
        (connection, until).canonical(canon);
    }
}

impl<P: Protocol> Canonical for State<P> {
    fn canonical(&self, canon: &mut Canon) {
        match self {
            Self::Resting => 0_u8.canonical(canon),
            Self::Running { present, next } => (1_u8, present, next).canonical(canon),
            Self::Shut => 2_u8.canonical(canon),
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

snapshot!(struct Config { step_timeout, rotation_timeout, backoff, first_conn });
snapshot!(struct Link[P: Protocol] { config, protocol, backoff, dials, asked, next_conn, state });
snapshot!(enum State[P: Protocol] { Resting, Running { present, next }, Shut });
snapshot!(struct Next[P: Protocol] { connection, until, why });

impl<P: Protocol> State<P> {
    /// No connection; the next one is dialed then.
    fn waiting(until: Option<Time>) -> Self {
        Self::Running {
            present: Connection::Waiting { until },
            next: None,
        }
    }

    fn present(&self) -> Option<&Connection<P>> {
        match self {
            Self::Running { present, .. } => Some(present),
            Self::Resting | Self::Shut => None,
        }
    }

    fn next(&self) -> Option<&Next<P>> {
        match self {
            Self::Running { next, .. } => next.as_ref(),
            Self::Resting | Self::Shut => None,
        }
    }

    fn get_mut(&mut self, place: Place) -> Option<&mut Connection<P>> {
        match (self, place) {
            (Self::Running { present, .. }, Place::Present) => Some(present),
            (Self::Running { next, .. }, Place::Next) => {
                next.as_mut().map(|next| &mut next.connection)
            }
            (Self::Resting | Self::Shut, _) => None,
        }
    }

    /// Where the connection is of which that holds.
    fn place(&self, is_it: impl Fn(&Connection<P>) -> bool) -> Option<Place> {
        if self.present().is_some_and(&is_it) {
            return Some(Place::Present);
        }
        let next = self.next().filter(|next| is_it(&next.connection));
        next.map(|_| Place::Next)
    }

    fn place_of(&self, conn: ConnId) -> Option<Place> {
        self.place(|connection| connection.conn() == Some(conn))
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
            state: State::waiting(None),
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

    /// The connection, where its session takes commands.
    pub fn up(&self) -> Option<ConnId> {
        self.state.present().and_then(Connection::up)
    }

    /// The connection that is to replace it, where its session takes commands.
    pub fn next_up(&self) -> Option<ConnId> {
        self.state.next().and_then(|next| next.connection.up())
    }

    /// Whether the owner has called the present connection live.
    pub fn is_live(&self) -> bool {
        let present = self.state.present();
        present.is_some_and(|present| present.live_since().is_some())
    }

    /// Asks what to dial with, as soon as a dial may be made.
    fn begin(&mut self, now: Time, place: Place, out: &mut Vec<Output<P>>) {
        let begun = match self.dials.take(now) {
            Ok(()) => {
                let id = self.asked.ask(now, None, ());
                let replaces = match place {
                    Place::Present => None,
                    Place::Next => self.up(),
                };
                out.push(Output::Authorize { id, replaces });
                Connection::Authorizing(id)
            }
            Err(at) => Connection::Waiting { until: Some(at) },
        };
        let until = now + self.config.rotation_timeout;
        if let State::Running {
            next: Some(next), ..
        } = &mut self.state
            && place == Place::Next
        {
            next.until = matches!(begun, Connection::Authorizing(_)).then_some(until);
        }
        if let Some(connection) = self.state.get_mut(place) {
            *connection = begun;
        }
    }

    fn on_authorized(
        &mut self,
        now: Time,
        id: RequestId<Authorize>,
        auth: Result<P::Auth, AuthorizeFailure>,
        out: &mut Vec<Output<P>>,
    ) {
        let asked = |connection: &Connection<P>| *connection == Connection::Authorizing(id);
        let Some(place) = self.state.place(asked) else {
            return;
        };
        match auth {
            Ok(auth) => {
                let conn = ConnId(self.next_conn);
                self.next_conn = self.next_conn.wrapping_add(1);
                out.push(Output::Dial(conn));
                let until = now + self.config.step_timeout;
                if let Some(connection) = self.state.get_mut(place) {
                    *connection = Connection::Dialing { conn, auth, until };
                }
            }
            Err(failure) => self.fall(now, place, failure.into(), out),
        }
    }

    /// Lets something happen to a connection, and to the link what follows from it.
    fn act(
        &mut self,
        now: Time,
        place: Place,
        out: &mut Vec<Output<P>>,
        act: impl FnOnce(&mut Connection<P>, &mut Vec<Output<P>>) -> Option<Fall>,
    ) {
        let connection = self.state.get_mut(place);
        if let Some(fall) = connection.and_then(|connection| act(connection, out)) {
            self.fall(now, place, fall, out);
        }
    }

    fn drive(
        &mut self,
        now: Time,
        conn: ConnId,
        input: SessionInput<P::Happened, P::Command>,
        out: &mut Vec<Output<P>>,
    ) {
        if let Some(place) = self.state.place_of(conn) {
            self.act(now, place, out, |it, out| it.drive(now, Some(input), out));
        }
    }

    fn on_dialed(
        &mut self,
        now: Time,
        conn: ConnId,
        result: Result<(), String>,
        out: &mut Vec<Output<P>>,
    ) {
        if let Some(place) = self.state.place_of(conn) {
            let (protocol, timeout) = (self.protocol.clone(), self.config.step_timeout);
            self.act(now, place, out, |it, out| {
                it.on_dialed(now, result, &protocol, timeout, out)
            });
        }
    }

    /// A connection is gone, or was never made.
    fn fall(&mut self, now: Time, place: Place, fall: Fall, out: &mut Vec<Output<P>>) {
        let State::Running { present, next } = &mut self.state else {
            return;
        };
        let Fall { end, lasting } = fall;
        let lived = present.lived(now).filter(|_| place == Place::Present);
        let mut wait = || match lived {
            Some(lived) => self.backoff.after_live(&self.config.backoff, lived),
            None if lasting => self.backoff.longest(&self.config.backoff),
            None => self.backoff.after_failure(&self.config.backoff),
        };
        match place {
            Place::Present => {
                let conn = present.conn();
                let under_way = next
                    .take()
                    .map(|next| next.connection)
                    .filter(|next| !matches!(next, Connection::Waiting { .. }));
                let retry_in = if under_way.is_some() {
                    None
                } else {
                    Some(wait())
                };
                *present = under_way.unwrap_or(Connection::Waiting {
                    until: retry_in.map(|wait| now + wait),
                });
                out.push(Output::Down {
                    conn,
                    end,
                    lived,
                    retry_in,
                });
            }
            Place::Next => {
                let Some(next) = next else { return };
                let (new, retry_in) = (next.connection.conn(), wait());
                let until = Some(now + retry_in);
                next.connection = Connection::Waiting { until };
                next.until = None;
                out.push(Output::NotReplaced { new, end, retry_in });
            }
        }
    }

    /// Gives up the attempt to replace the present connection.
    fn give_up(&mut self, now: Time, why: &str, out: &mut Vec<Output<P>>) {
        if let Some(next) = self.state.next() {
            if let Connection::Authorizing(id) = &next.connection {
                self.asked.answer(*id);
            }
            next.connection.hang_up(out);
            self.fall(now, Place::Next, Fall::new(why), out);
        }
    }

    /// The owner calls a connection live.
    fn on_live(&mut self, now: Time, conn: ConnId, out: &mut Vec<Output<P>>) {
        let State::Running { present, next } = &mut self.state else {
            return;
        };
        if present.up() == Some(conn) {
            present.go_live(now);
            return;
        }
        let is_it = |next: &mut Next<P>| next.connection.up() == Some(conn);
        let (Some(old), Some(mut next)) = (present.up(), next.take_if(is_it)) else {
            return;
        };
        let lived = present.lived(now);
        next.connection.go_live(now);
        mem::replace(present, next.connection).close(now, out);
        self.backoff.reset();
        out.push(Output::Replaced {
            old,
            new: conn,
            why: next.why,
            lived,
        });
    }

    fn on_rotate(&mut self, now: Time, conn: ConnId, why: String, out: &mut Vec<Output<P>>) {
        let State::Running { present, next } = &mut self.state else {
            return;
        };
        if present.up() == Some(conn) {
            next.get_or_insert(Next {
                connection: Connection::Waiting { until: None },
                until: None,
                why,
            });
        } else if next.as_ref().and_then(|next| next.connection.up()) == Some(conn) {
            self.give_up(now, &why, out);
        }
    }

    /// Closes whatever is under way, and goes on in the state `end`.
    fn close(&mut self, now: Time, end: State<P>, out: &mut Vec<Output<P>>) {
        while self.asked.withdraw(|()| true).is_some() {}
        match mem::replace(&mut self.state, end) {
            State::Running { present, next } => {
                present.close(now, out);
                if let Some(next) = next {
                    next.connection.close(now, out);
                }
            }
            State::Resting | State::Shut => {}
        }
    }

    /// Does what is due on one of the two connections.
    fn tick_at(&mut self, now: Time, place: Place, out: &mut Vec<Output<P>>) {
        self.act(now, place, out, |it, out| it.tick(now, out));
        if self.state.get_mut(place).is_some_and(|it| it.is_due(now)) {
            self.begin(now, place, out);
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
                    self.on_authorized(now, id, auth, out);
                }
            }
            Input::Dialed(conn, result) => self.on_dialed(now, conn, result, out),
            Input::Transport(conn, event) => {
                self.drive(now, conn, SessionInput::Transport(event), out);
            }
            Input::Command(conn, command) => {
                if [self.up(), self.next_up()].contains(&Some(conn)) {
                    self.drive(now, conn, SessionInput::Command(command), out);
                }
            }
            Input::Live(conn) => self.on_live(now, conn, out),
            Input::Rotate(conn, why) => self.on_rotate(now, conn, why, out),
            Input::Rest => {
                if !matches!(self.state, State::Shut) {
                    self.close(now, State::Resting, out);
                }
            }
            Input::Wake => {
                if self.is_resting() {
                    self.backoff.reset();
                    self.state = State::waiting(None);
                }
            }
            Input::Shutdown => self.close(now, State::Shut, out),
        }
    }

    fn tick(&mut self, now: Time, out: &mut Vec<Output<P>>) {
        let until = self.state.next().and_then(|next| next.until);
        if until.is_some_and(|until| until <= now) {
            self.give_up(now, "it took too long to be live", out);
        }
        // The present one last: where it ends, the next one takes its place.
        self.tick_at(now, Place::Next, out);
        self.tick_at(now, Place::Present, out);
    }

    fn next_wakeup(&self) -> Option<Wakeup> {
        let present = self.state.present()?;
        let next = self.state.next();
        earliest([
            present.next_wakeup(),
            next.and_then(|next| next.connection.next_wakeup()),
            next.and_then(|next| next.until).map(|at| Wakeup {
                at,
                why: "rotation timeout",
            }),
        ])
    }
}
