//! A session on `/realtime`, as the protocol of a link: CONNECT with the token, joins, pushes.

use alloc::{
    format,
    string::{String, ToString},
    sync::Arc,
    vec::Vec,
};
use core::time::Duration;

use serde::Serialize;

use crate::{
    canonical,
    engineio::transport::ClientAction,
    fabric::realtime::{
        self, ChannelRef, Entry, JOIN_CHANNEL, JoinAck, LEAVE_CHANNEL, PRESENCE, Status, TYPING,
    },
    id::ChannelId,
    link::{End, Protocol, SessionInput, SessionOutput},
    machine::{Machine, Wakeup, step},
    plugin::defect::{self, Defect, Planted},
    request::{RequestId, Requests},
    secret::Secret,
    socketio::{
        Call, CallError, Namespace,
        client::{self, Client},
        event::{Emission, Event as Pushed},
    },
    time::Time,
    ws,
};

/// A guild that disconnects a socket this soon after CONNECT has refused its token: that is how
/// guilds on NestJS say it.
const REFUSAL_WINDOW: Duration = Duration::from_secs(5);

/// The kind of a join.
#[derive(Clone, Copy, Debug)]
pub enum Join {}

/// Fabric's realtime protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Realtime {
    /// Timeouts and limits of the Socket.IO session.
    pub client: Arc<client::Config>,
    /// How long a join waits for its answer.
    pub join_patience: Duration,
    /// Whether the guild acknowledges joins; where it does not, sending one is all there is.
    pub join_acks: bool,
    /// The planted defect of its sessions, if any.
    pub(crate) planted: Planted,
}
canonical!(struct Realtime { join_patience, join_acks; - client, planted });

impl Realtime {
    /// With these timeouts and limits, for a guild that acknowledges joins or does not.
    pub fn new(client: Arc<client::Config>, join_patience: Duration, join_acks: bool) -> Self {
        Self {
            client,
            join_patience,
            join_acks,
            planted: Planted::default(),
        }
    }
}

/// What the owner can ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Enter a channel's room; answered by [`Event::Joined`].
    Join(RequestId<Join>, Entry),
    /// Leave a channel's room. Neither the answer to this nor to the following matters.
    Leave(ChannelId),
    /// Say that the user types in a channel.
    Typing(ChannelId),
    /// Say how the user is.
    Presence(Status),
}

/// What the session tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A join was answered, or will not be.
    Joined(RequestId<Join>, Result<JoinAck, NoAck>),
    /// The guild pushed an event.
    Push(Pushed),
}

/// Why a join has no ack.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoAck {
    /// The guild was silent.
    #[error("the guild did not answer in time")]
    Unanswered,
    /// Anything else, in words.
    #[error("{0}")]
    Other(String),
}

/// One session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    client: Client,
    token: Option<Secret>,
    connected_at: Option<Time>,
    calls: Requests<Call, RequestId<Join>>,
    join_acks: bool,
    join_patience: Duration,
    planted: Planted,
    ended: bool,
}
canonical!(struct Session {
    client, token, connected_at, calls, join_acks, ended; - join_patience, planted
});

impl Protocol for Realtime {
    type Happened = ws::Event;
    type Action = ws::Action;
    type Auth = Secret;
    type Command = Command;
    type Event = Event;
    type Session = Session;

    fn session(&self, now: Time, token: Secret) -> Session {
        Session {
            client: Client::new(Arc::clone(&self.client), now),
            token: Some(token),
            connected_at: None,
            calls: Requests::default(),
            join_acks: self.join_acks,
            join_patience: self.join_patience,
            planted: self.planted,
            ended: false,
        }
    }
}

impl Session {
    fn drive(&mut self, now: Time, input: Option<client::Input>, out: &mut Vec<Output>) {
        let mut said = Vec::new();
        step(&mut self.client, now, input, &mut said);
        for output in said {
            self.on_client(now, output, out);
        }
    }

    fn on_client(&mut self, now: Time, output: client::Output, out: &mut Vec<Output>) {
        if self.ended {
            // What the client still does while it closes is its goodbye.
            if let client::Output::Transport(action) = output {
                transport(action, out);
            }
            return;
        }
        match output {
            client::Output::Transport(action) => transport(action, out),
            client::Output::Opened(_) => self.connect(now, out),
            client::Output::Connected { .. } => {
                self.connected_at = Some(now);
                out.push(SessionOutput::Ready);
            }
            client::Output::Refused { message, .. } => {
                let unauthorized = message.eq_ignore_ascii_case(realtime::UNAUTHORIZED);
                self.end(
                    now,
                    unauthorized,
                    format!("the guild refused: {message}"),
                    out,
                );
            }
            client::Output::Event { event, .. } => {
                out.push(SessionOutput::Event(Event::Push(event)));
            }
            client::Output::Answered { id, result } => {
                if let Some(join) = self.calls.answer(id) {
                    let answer = match result {
                        Ok(answer) => {
                            answer
                                .args::<(JoinAck,)>()
                                .map(|(ack,)| ack)
                                .map_err(|error| {
                                    NoAck::Other(format!(
                                        "the guild's answer makes no sense: {error}"
                                    ))
                                })
                        }
                        Err(CallError::Timeout) => Err(NoAck::Unanswered),
                        Err(error) => Err(NoAck::Other(error.to_string())),
                    };
                    out.push(SessionOutput::Event(Event::Joined(join, answer)));
                }
            }
            client::Output::Disconnected { .. } => {
                let soon = self
                    .connected_at
                    .is_none_or(|since| now.since(since) < REFUSAL_WINDOW);
                let why = if soon {
                    "the guild disconnected the session right after it began"
                } else {
                    "the guild disconnected the session"
                };
                self.end(now, soon, why.to_string(), out);
            }
            client::Output::Dropped { .. } => {}
            client::Output::Closed(reason) => {
                self.ended = true;
                out.push(SessionOutput::Ended(End {
                    unauthorized: false,
                    why: reason.to_string(),
                }));
            }
        }
    }

    fn connect(&mut self, now: Time, out: &mut Vec<Output>) {
        let Some(token) = self.token.take() else {
            return;
        };
        let auth = realtime::Auth {
            token: token.expose().to_string(),
            chatter: false,
        };
        let auth = serde_json::to_string(&auth)
            .ok()
            .map(|auth| Secret::new(&auth));
        let connect = client::Input::Connect {
            namespace: namespace(),
            auth,
            recover: None,
        };
        self.drive(now, Some(connect), out);
    }

    fn end(&mut self, now: Time, unauthorized: bool, why: String, out: &mut Vec<Output>) {
        self.ended = true;
        self.drive(now, Some(client::Input::Close), out);
        out.push(SessionOutput::Ended(End { unauthorized, why }));
    }

    /// Emits an event whose answer does not matter.
    fn emit(&mut self, now: Time, name: &str, payload: &impl Serialize, out: &mut Vec<Output>) {
        if let Some(emission) = emission(name, payload) {
            self.drive(now, Some(client::Input::Emit(emission)), out);
        }
    }

    fn join(&mut self, now: Time, id: RequestId<Join>, entry: &Entry, out: &mut Vec<Output>) {
        let answer = match emission(JOIN_CHANNEL, entry) {
            Some(emission) if self.join_acks => {
                let id = self.calls.ask(now, None, id);
                let patience = self.join_patience;
                self.drive(
                    now,
                    Some(client::Input::Call {
                        id,
                        emission,
                        patience,
                    }),
                    out,
                );
                return;
            }
            Some(emission) => {
                self.drive(now, Some(client::Input::Emit(emission)), out);
                Ok(JoinAck {
                    ok: true,
                    last_seq: None,
                    error: None,
                })
            }
            None => {
                let why = "the channel's id cannot be written as JSON".to_string();
                Err(NoAck::Other(why))
            }
        };
        out.push(SessionOutput::Event(Event::Joined(id, answer)));
    }
}

type Output = SessionOutput<ws::Action, Event>;

/// A session begins on an open WebSocket, so its client asks for nothing else.
fn transport(action: ClientAction, out: &mut Vec<Output>) {
    match action {
        ClientAction::WebSocket(action) => out.push(SessionOutput::Transport(action)),
        ClientAction::Dial { .. }
        | ClientAction::Get { .. }
        | ClientAction::Post { .. }
        | ClientAction::Abort(_) => {}
    }
}

fn namespace() -> Namespace {
    Namespace::new(realtime::NAMESPACE).unwrap_or_else(Namespace::root)
}

fn emission(name: &str, payload: &impl Serialize) -> Option<Emission> {
    Emission::event(&namespace(), name, &(payload,)).ok()
}

impl Machine for Session {
    type Input = SessionInput<ws::Event, Command>;
    type Output = Output;

    fn handle(&mut self, now: Time, input: Self::Input, out: &mut Vec<Output>) {
        if self.ended {
            return;
        }
        match input {
            SessionInput::Transport(event)
                if self.planted.is(Defect::PassesOver) && defect::is_foreign(&event) => {}
            SessionInput::Transport(event) => {
                let event = match self.planted.is(Defect::HangsUpEarly) {
                    true => defect::with_short_heartbeat(event),
                    false => event,
                };
                self.drive(now, Some(client::Input::Transport(event.into())), out);
            }
            SessionInput::Command(Command::Join(id, entry)) => self.join(now, id, &entry, out),
            SessionInput::Command(Command::Leave(channel_id)) => {
                self.emit(now, LEAVE_CHANNEL, &ChannelRef { channel_id }, out);
            }
            SessionInput::Command(Command::Typing(channel_id)) => {
                self.emit(now, TYPING, &ChannelRef { channel_id }, out);
            }
            SessionInput::Command(Command::Presence(status)) => {
                self.emit(now, PRESENCE, &status, out);
            }
            SessionInput::Close => {
                self.ended = true;
                self.drive(now, Some(client::Input::Close), out);
            }
        }
    }

    fn tick(&mut self, now: Time, out: &mut Vec<Output>) {
        if self.next_wakeup().is_some_and(|wakeup| wakeup.at <= now) {
            self.drive(now, None, out);
        }
    }

    fn next_wakeup(&self) -> Option<Wakeup> {
        let is_silent = self.ended || self.planted.is(Defect::TrustsTheSocket);
        self.client.next_wakeup().filter(|_| !is_silent)
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    #[test]
    fn a_client_that_is_refused_closes_its_connection() {
        let realtime = Realtime::new(Arc::default(), Duration::from_secs(10), true);
        let mut session = realtime.session(Time::ZERO, Secret::new("t"));
        let mut hear = |text: &str| {
            let frame = ws::Event::Frame(ws::Frame::Text(text.into()));
            let mut out = Vec::new();
            step(
                &mut session,
                Time::ZERO,
                Some(SessionInput::Transport(frame)),
                &mut out,
            );
            out
        };
        let send = |text: &str| {
            let frame = ws::Frame::Text(text.into());
            SessionOutput::Transport(ws::Action::Send(frame))
        };
        let open = r#"0{"sid":"s","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}"#;
        assert_eq!(
            hear(open),
            [send(r#"40/realtime,{"token":"t","chatter":false}"#)]
        );
        let end = End {
            unauthorized: true,
            why: "the guild refused: unauthorized".to_string(),
        };
        let goodbye = SessionOutput::Transport(ws::Action::Close);
        assert_eq!(
            hear(r#"44/realtime,{"message":"unauthorized"}"#),
            vec![goodbye, SessionOutput::Ended(end)]
        );
    }
}
