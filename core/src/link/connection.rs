//! One connection of a link, from the wait before its dial to its end.

use alloc::{format, string::String, vec::Vec};
use core::{mem, time::Duration};

use super::{
    Authorize, End, Protocol, SessionInput, SessionOutput,
    lifecycle::{AuthorizeFailure, Output},
};
use crate::{
    canon::{Canon, Canonical},
    machine::{Machine as _, Wakeup, earliest, step},
    request::RequestId,
    snapshot,
    time::Time,
    ws::ConnId,
};

/// A connection, or what is to become one.
///
/// It knows its steps and their timeouts, and nothing of other connections: what follows from its
/// [`Fall`] is the link's business.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Connection<P: Protocol> {
    /// It is dialed then; `None`: now.
    Waiting {
        until: Option<Time>,
    },
    Authorizing(RequestId<Authorize>),
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
}

/// How a connection has ended, or why there will be none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fall {
    pub(super) end: End,
    /// Nothing changes until somebody changes something.
    pub(super) lasting: bool,
}

impl Fall {
    pub(super) fn new(why: impl Into<String>) -> Self {
        End {
            unauthorized: false,
            why: why.into(),
        }
        .into()
    }
}

impl From<End> for Fall {
    fn from(end: End) -> Self {
        Self {
            end,
            lasting: false,
        }
    }
}

impl From<AuthorizeFailure> for Fall {
    fn from(failure: AuthorizeFailure) -> Self {
        match failure {
            AuthorizeFailure::Unavailable(why) => Self::new(why),
            AuthorizeFailure::Denied(why) => Self {
                lasting: true,
                ..Self::new(why)
            },
        }
    }
}

impl<P: Protocol> Canonical for Connection<P> {
    fn canonical(&self, canon: &mut Canon) {
        match self {
            Self::Waiting { until } => (0_u8, until).canonical(canon),
            Self::Authorizing(id) => (1_u8, id).canonical(canon),
            Self::Dialing { conn, auth, until } => (2_u8, (conn, auth), until).canonical(canon),
            Self::Handshaking {
                conn,
                session,
                until,
            } => (3_u8, (conn, session), until).canonical(canon),
            Self::Up {
                conn,
                session,
                live_since,
            } => (4_u8, (conn, session), live_since).canonical(canon),
        }
    }
}

snapshot!(enum Connection[P: Protocol] {
    Waiting { until },
    Authorizing(id),
    Dialing { conn, auth, until },
    Handshaking { conn, session, until },
    Up { conn, session, live_since },
});

impl<P: Protocol> Connection<P> {
    /// Its name, once it is dialed.
    pub(super) fn conn(&self) -> Option<ConnId> {
        match self {
            Self::Waiting { .. } | Self::Authorizing(_) => None,
            Self::Dialing { conn, .. } | Self::Handshaking { conn, .. } | Self::Up { conn, .. } => {
                Some(*conn)
            }
        }
    }

    /// Its name, once its session takes commands.
    pub(super) fn up(&self) -> Option<ConnId> {
        match self {
            Self::Up { conn, .. } => Some(*conn),
            Self::Waiting { .. }
            | Self::Authorizing(_)
            | Self::Dialing { .. }
            | Self::Handshaking { .. } => None,
        }
    }

    /// Since when its owner calls it live.
    pub(super) fn live_since(&self) -> Option<Time> {
        match self {
            Self::Up { live_since, .. } => *live_since,
            Self::Waiting { .. }
            | Self::Authorizing(_)
            | Self::Dialing { .. }
            | Self::Handshaking { .. } => None,
        }
    }

    /// How long it has been live.
    pub(super) fn lived(&self, now: Time) -> Option<Duration> {
        self.live_since().map(|since| now.since(since))
    }

    /// Its owner has everything it needs from the session.
    pub(super) fn go_live(&mut self, now: Time) {
        if let Self::Up { live_since, .. } = self {
            live_since.get_or_insert(now);
        }
    }

    /// Whether it waits, and has waited long enough.
    pub(super) fn is_due(&self, now: Time) -> bool {
        match self {
            Self::Waiting { until } => until.is_none_or(|until| until <= now),
            Self::Authorizing(_)
            | Self::Dialing { .. }
            | Self::Handshaking { .. }
            | Self::Up { .. } => false,
        }
    }

    /// The dial of `conn` was answered.
    pub(super) fn on_dialed(
        &mut self,
        now: Time,
        result: Result<(), String>,
        protocol: &P,
        timeout: Duration,
        out: &mut Vec<Output<P>>,
    ) -> Option<Fall> {
        let Self::Dialing { conn, auth, .. } = self else {
            return None;
        };
        match result {
            Ok(()) => {
                *self = Self::Handshaking {
                    conn: *conn,
                    session: protocol.session(now, auth.clone()),
                    until: now + timeout,
                };
                self.drive(now, None, out)
            }
            Err(why) => Some(Fall::new(format!("could not dial: {why}"))),
        }
    }

    /// Steps the session, where there is one, and passes on what it says.
    pub(super) fn drive(
        &mut self,
        now: Time,
        input: Option<SessionInput<P::Happened, P::Command>>,
        out: &mut Vec<Output<P>>,
    ) -> Option<Fall> {
        let (conn, session) = match self {
            Self::Handshaking { conn, session, .. } | Self::Up { conn, session, .. } => {
                (*conn, session)
            }
            Self::Waiting { .. } | Self::Authorizing(_) | Self::Dialing { .. } => return None,
        };
        let mut said = Vec::new();
        step(session, now, input, &mut said);
        for output in said {
            match output {
                SessionOutput::Transport(action) => out.push(Output::Transport(conn, action)),
                SessionOutput::Event(event) => out.push(Output::Event(conn, event)),
                SessionOutput::Ready => self.on_ready(out),
                SessionOutput::Ended(end) => return Some(end.into()),
            }
        }
        None
    }

    fn on_ready(&mut self, out: &mut Vec<Output<P>>) {
        *self = match mem::replace(self, Self::Waiting { until: None }) {
            Self::Handshaking { conn, session, .. } => {
                out.push(Output::Up(conn));
                Self::Up {
                    conn,
                    session,
                    live_since: None,
                }
            }
            other @ (Self::Waiting { .. }
            | Self::Authorizing(_)
            | Self::Dialing { .. }
            | Self::Up { .. }) => other,
        };
    }

    /// Does what is due on it. A wait that is over is the link's to end.
    pub(super) fn tick(&mut self, now: Time, out: &mut Vec<Output<P>>) -> Option<Fall> {
        let (late, session) = match self {
            Self::Waiting { .. } | Self::Authorizing(_) => return None,
            Self::Dialing { until, .. } => {
                ((*until <= now).then_some("the dial took too long"), None)
            }
            Self::Handshaking { session, until, .. } => {
                let late = (*until <= now).then_some("the handshake took too long");
                (late, Some(session))
            }
            Self::Up { session, .. } => (None, Some(session)),
        };
        if let Some(why) = late {
            self.hang_up(out);
            return Some(Fall::new(why));
        }
        let due = session.and_then(|session| session.next_wakeup());
        match due.is_some_and(|wakeup| wakeup.at <= now) {
            true => self.drive(now, None, out),
            false => None,
        }
    }

    /// Ends it without a word to the peer.
    pub(super) fn hang_up(&self, out: &mut Vec<Output<P>>) {
        match self {
            Self::Waiting { .. } => {}
            Self::Authorizing(id) => out.push(Output::Forget(*id)),
            Self::Dialing { conn, .. } | Self::Handshaking { conn, .. } | Self::Up { conn, .. } => {
                out.push(Output::HangUp(*conn));
            }
        }
    }

    /// Ends it, with a goodbye where there is a session.
    pub(super) fn close(self, now: Time, out: &mut Vec<Output<P>>) {
        let (conn, mut session) = match self {
            Self::Waiting { .. } | Self::Authorizing(_) | Self::Dialing { .. } => {
                return self.hang_up(out);
            }
            Self::Handshaking { conn, session, .. } | Self::Up { conn, session, .. } => {
                (conn, session)
            }
        };
        let mut said = Vec::new();
        step(&mut session, now, Some(SessionInput::Close), &mut said);
        for output in said {
            match output {
                SessionOutput::Transport(action) => out.push(Output::Transport(conn, action)),
                SessionOutput::Event(event) => out.push(Output::Event(conn, event)),
                SessionOutput::Ready | SessionOutput::Ended(_) => {}
            }
        }
    }

    /// When there is something to do.
    pub(super) fn next_wakeup(&self) -> Option<Wakeup> {
        match self {
            Self::Waiting { until } => Some(Wakeup {
                at: until.unwrap_or(Time::ZERO),
                why: "dial again",
            }),
            Self::Authorizing(_) => None,
            Self::Dialing { until, .. } => Some(Wakeup {
                at: *until,
                why: "dial timeout",
            }),
            Self::Handshaking { session, until, .. } => earliest([
                session.next_wakeup(),
                Some(Wakeup {
                    at: *until,
                    why: "handshake timeout",
                }),
            ]),
            Self::Up { session, .. } => session.next_wakeup(),
        }
    }
}
