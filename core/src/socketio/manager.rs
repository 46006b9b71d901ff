//! One server as an application wants it: a connection that is kept up, and the namespaces on it.

mod attempts;
mod config;
mod io;
mod membership;
mod outbox;
mod recovery;
mod session;
#[cfg(test)]
mod stories;

use alloc::{
    string::{String, ToString},
    sync::Arc,
    vec::Vec,
};
use core::{mem, time::Duration};

use bytestring::ByteString;

use self::{
    attempts::{Attempts, Start},
    membership::{Membership, Stage},
    outbox::{Due, Outbox},
    recovery::Recovery,
    session::SocketIo,
};
pub use self::{
    config::{Config, Transports},
    io::{Auth, Input, Output},
};
use super::{
    Call, CallError, CloseReason, Namespace, Unsent,
    client::{self, Buffer},
    event::Emission,
};
use crate::{
    Secret, canonical,
    link::{self, Link, backoff::Backoff},
    machine::{Machine, Wakeup, earliest, step},
    request::{RequestId, Requests},
    rng::Rng,
    small_map::SmallMap,
    time::Time,
};

/// The manager: the client side of Socket.IO over connections that come and go.
///
/// It is at rest until a namespace is [joined](Input::Join). Then it connects, asks for the auth of
/// every namespace that is wanted, joins it, and does so again after each loss of the connection,
/// until the namespace is [left](Input::Leave), ended by the server, or the manager
/// [gives up](Output::GaveUp). Without namespaces it closes the connection and rests again.
///
/// What is emitted to a namespace that is wanted and not joined is kept, and sent in order when it
/// is joined; but not an answer, which means nothing on another connection. Nothing that was written to a connection is sent a second time: calls that wait for
/// their answers when it is lost end in [`CallError::Disconnected`].
///
/// Where the server does connection-state recovery, a membership is gone on with after a loss of the
/// connection, and the events of the meantime follow [`Output::Connected`]. That takes at least one
/// event with an offset before the loss: a server knows no other place to go on from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manager {
    lifecycle: Arc<link::Config>,
    client: Arc<client::Config>,
    auth_patience: Duration,
    retry_refused: bool,
    rng: Rng,
    link: Link<SocketIo>,
    attempts: Attempts,
    namespaces: SmallMap<Namespace, Membership>,
    auths: Requests<Auth, Namespace>,
    outbox: Outbox,
    over: bool,
}
canonical!(struct Manager {
    link, attempts, namespaces, auths, outbox, over;
    - lifecycle, client, auth_patience, retry_refused, rng
});

impl Manager {
    /// A manager at rest; `rng` draws its waits.
    pub fn new(config: Config, rng: Rng) -> Self {
        let (attempts, outbox) = (Attempts::new(&config), Outbox::new(&config));
        let client = Arc::new(client::Config {
            buffer: Buffer::Drop,
            ..config.client
        });
        let lifecycle = Arc::new(config.link);
        let protocol = SocketIo {
            client: Arc::clone(&client),
        };
        Self {
            link: Link::resting(Arc::clone(&lifecycle), protocol, rng.fork("link")),
            lifecycle,
            client,
            auth_patience: config.auth_patience,
            retry_refused: config.retry_refused,
            attempts,
            namespaces: SmallMap::default(),
            auths: Requests::default(),
            outbox,
            over: false,
            rng,
        }
    }

    /// Whether a namespace is joined.
    pub fn is_joined(&self, namespace: &Namespace) -> bool {
        matches!(self.stage(namespace), Some(Stage::Joined))
    }

    fn stage(&self, namespace: &Namespace) -> Option<&Stage> {
        self.namespaces.get(namespace).map(|it| &it.stage)
    }

    /// Steps the link and does what it says.
    fn drive(
        &mut self,
        now: Time,
        mut input: Option<link::Input<SocketIo>>,
        out: &mut Vec<Output>,
    ) {
        loop {
            let mut said = Vec::new();
            step(&mut self.link, now, input.take(), &mut said);
            for output in said {
                input = self.on_link(now, output, out).or(input);
            }
            if input.is_none() {
                return;
            }
        }
    }

    fn command(&mut self, now: Time, command: client::Input, out: &mut Vec<Output>) {
        if let Some(conn) = self.link.up() {
            self.drive(now, Some(link::Input::Command(conn, command)), out);
        }
    }

    /// Does what the link says; gives back what it is to hear at once.
    fn on_link(
        &mut self,
        now: Time,
        output: link::Output<SocketIo>,
        out: &mut Vec<Output>,
    ) -> Option<link::Input<SocketIo>> {
        match output {
            link::Output::Authorize { id, .. } => out.push(Output::Prepare(id)),
            link::Output::Forget(id) => out.push(Output::ForgetPrepare(id)),
            link::Output::Dial(conn) => {
                self.attempts.on_dial();
                match self.attempts.start() {
                    Start::WebSocket => out.push(Output::Dial(conn)),
                    // There is nothing to open.
                    Start::Polling { .. } => return Some(link::Input::Dialed(conn, Ok(()))),
                }
            }
            link::Output::HangUp(conn) => out.push(Output::HangUp(conn)),
            link::Output::Transport(conn, action) => out.push(Output::Transport(conn, action)),
            link::Output::Up(_) => self.attempts.on_handshake(),
            link::Output::Event(_, event) => self.on_client(now, event, out),
            link::Output::Down {
                end,
                lived,
                retry_in,
                ..
            } => self.on_down(end.why, lived.is_some(), retry_in.unwrap_or_default(), out),
            // A manager asks for no rotation.
            link::Output::Replaced { .. } | link::Output::NotReplaced { .. } => {}
        }
        None
    }

    fn on_client(&mut self, now: Time, output: client::Output, out: &mut Vec<Output>) {
        match output {
            client::Output::Connected {
                namespace,
                sid,
                pid,
                recovered,
                early,
            } => {
                if let Some(membership) = self.namespaces.get_mut(&namespace) {
                    membership.stage = Stage::Joined;
                    membership.refusals.reset();
                    membership.recovery.on_connected(pid, recovered, early);
                    out.push(Output::Connected {
                        namespace,
                        sid,
                        recovered,
                    });
                }
            }
            client::Output::Refused {
                namespace,
                message,
                data,
            } => self.on_refusal(now, namespace, (message, data), out),
            client::Output::Event { namespace, event } => {
                if let Some(membership) = self.namespaces.get_mut(&namespace)
                    && membership.recovery.admit(&event)
                {
                    out.push(Output::Event { namespace, event });
                }
            }
            client::Output::Answered { id, result } => {
                if self.outbox.close_call(id) {
                    out.push(Output::Answered { id, result });
                }
            }
            client::Output::Disconnected { namespace } => {
                self.namespaces.remove(&namespace);
                let left = namespace.clone();
                out.push(Output::Disconnected {
                    namespace,
                    why: "the server ended it".to_string(),
                    retry: false,
                });
                self.outbox.clear(Some(&left), out);
            }
            client::Output::Dropped { namespace, why } => match self.stage(&namespace) {
                // Before that only a CONNECT is handed down.
                Some(Stage::Joining) => {
                    let message = why.to_string().into();
                    self.on_refusal(now, namespace, (message, None), out);
                }
                None
                | Some(Stage::Wanted | Stage::Asked(_) | Stage::Joined | Stage::Refused { .. }) => {
                    out.push(Output::Dropped { namespace, why });
                }
            },
            client::Output::Closed(reason) => self.on_closed(&reason),
            // Those the session keeps for itself.
            client::Output::Transport(_) | client::Output::Opened(_) => {}
        }
    }

    /// More was missed than the client keeps: the server would send as much again on every
    /// connection, for as long as it remembers the membership.
    fn on_closed(&mut self, reason: &CloseReason) {
        if *reason == CloseReason::TooManyEarlyEvents {
            let joining = |it: &&mut Membership| it.stage == Stage::Joining;
            for membership in self.namespaces.values_mut().filter(joining) {
                membership.recovery.clear();
            }
        }
    }

    fn on_refusal(
        &mut self,
        now: Time,
        namespace: Namespace,
        (message, data): (ByteString, Option<ByteString>),
        out: &mut Vec<Output>,
    ) {
        let Some(membership) = self.namespaces.get_mut(&namespace) else {
            return;
        };
        let retry_in = self
            .retry_refused
            .then(|| membership.refusals.after_failure(&self.lifecycle.backoff));
        out.push(Output::Refused {
            namespace: namespace.clone(),
            message,
            data,
            retry_in,
        });
        match retry_in {
            Some(wait) => membership.stage = Stage::Refused { until: now + wait },
            None => {
                self.namespaces.remove(&namespace);
                self.outbox.clear(Some(&namespace), out);
            }
        }
    }

    fn on_down(&mut self, why: String, was_live: bool, retry_in: Duration, out: &mut Vec<Output>) {
        for (namespace, membership) in self.namespaces.iter_mut() {
            match mem::replace(&mut membership.stage, Stage::Wanted) {
                Stage::Asked(id) => {
                    self.auths.answer(id);
                    out.push(Output::ForgetAuth(id));
                }
                Stage::Joined => out.push(Output::Disconnected {
                    namespace: namespace.clone(),
                    why: why.clone(),
                    retry: true,
                }),
                Stage::Wanted | Stage::Joining | Stage::Refused { .. } => {}
            }
        }
        if self.attempts.on_down(was_live) {
            self.namespaces.clear();
            out.push(Output::GaveUp { why });
            self.outbox.clear(None, out);
        } else {
            out.push(Output::Down { why, retry_in });
        }
    }

    fn join(&mut self, namespace: Namespace, out: &mut Vec<Output>) {
        if self.namespaces.contains_key(&namespace) {
            return;
        }
        if self.namespaces.len() >= self.client.namespaces_max {
            let why = Unsent::TooMany;
            return out.push(Output::Dropped { namespace, why });
        }
        let rng = self.rng.fork(namespace.as_str());
        let membership = Membership {
            stage: Stage::Wanted,
            recovery: Recovery::new(self.client.early_events_max),
            refusals: Backoff::new(rng),
        };
        self.namespaces.insert(namespace, membership);
    }

    fn leave(&mut self, now: Time, namespace: Namespace, out: &mut Vec<Output>) {
        let Some(membership) = self.namespaces.remove(&namespace) else {
            return;
        };
        self.outbox.clear(Some(&namespace), out);
        match membership.stage {
            Stage::Asked(id) => {
                self.auths.answer(id);
                out.push(Output::ForgetAuth(id));
            }
            Stage::Joining | Stage::Joined => {
                self.command(now, client::Input::Disconnect { namespace }, out);
            }
            Stage::Wanted | Stage::Refused { .. } => {}
        }
    }

    fn on_auth(
        &mut self,
        now: Time,
        namespace: Namespace,
        auth: Result<Option<Secret>, String>,
        out: &mut Vec<Output>,
    ) {
        let Some(membership) = self.namespaces.get_mut(&namespace) else {
            return;
        };
        match auth {
            Ok(auth) => {
                membership.stage = Stage::Joining;
                let connect = client::Input::Connect {
                    namespace,
                    auth,
                    recover: membership.recovery.offer(),
                };
                self.command(now, connect, out);
            }
            Err(why) => self.on_refusal(now, namespace, (why.into(), None), out),
        }
    }

    fn emit(&mut self, now: Time, emission: Emission, volatile: bool, out: &mut Vec<Output>) {
        let namespace = emission.namespace().clone();
        let kept = match self.stage(&namespace) {
            Some(Stage::Joined) => {
                return self.command(now, client::Input::Emit(emission), out);
            }
            // An answer belongs to the connection that brought its question.
            Some(Stage::Wanted | Stage::Asked(_) | Stage::Joining | Stage::Refused { .. })
                if !volatile && emission.is_event() =>
            {
                self.outbox.keep(now, emission)
            }
            None
            | Some(Stage::Wanted | Stage::Asked(_) | Stage::Joining | Stage::Refused { .. }) => {
                Err(Unsent::NotConnected)
            }
        };
        if let Err(why) = kept {
            out.push(Output::Dropped { namespace, why });
        }
    }

    fn call(
        &mut self,
        now: Time,
        id: RequestId<Call>,
        emission: Emission,
        patience: Duration,
        out: &mut Vec<Output>,
    ) {
        let namespace = emission.namespace().clone();
        if self.outbox.is_open(id) {
            let why = Unsent::Duplicate;
            return out.push(Output::Dropped { namespace, why });
        }
        let opened = match self.stage(&namespace) {
            None => Err(CallError::NotConnected),
            Some(stage) => {
                let waits = *stage != Stage::Joined;
                let opened = self.outbox.open_call(id, &emission, waits);
                opened.map(|()| waits)
            }
        };
        match opened {
            Ok(true) => self.outbox.keep_call(now, id, emission, patience),
            Ok(false) => {
                let call = Some((id, patience));
                self.send(now, Due { emission, call }, out);
            }
            Err(error) => {
                let result = Err(error);
                out.push(Output::Answered { id, result });
            }
        }
    }

    fn send(&mut self, now: Time, Due { emission, call }: Due, out: &mut Vec<Output>) {
        let input = match call {
            None => client::Input::Emit(emission),
            Some((id, patience)) => client::Input::Call {
                id,
                emission,
                patience,
            },
        };
        self.command(now, input, out);
    }

    /// Does what follows from the state that everything else has left: what was said in one step
    /// is judged as a whole, because the end of the connection may stand in it too.
    fn settle(&mut self, now: Time, out: &mut Vec<Output>) {
        self.outbox.expire(now, out);
        if self.link.is_resting() && !self.namespaces.is_empty() {
            self.drive(now, Some(link::Input::Wake), out);
        }
        if self.link.up().is_some() {
            self.ask(now, out);
            self.flush(now, out);
        }
        if self.namespaces.is_empty() && !self.link.is_resting() {
            self.attempts.on_rest();
            self.drive(now, Some(link::Input::Rest), out);
        }
    }

    /// Asks for the auth of every namespace that is to be joined.
    fn ask(&mut self, now: Time, out: &mut Vec<Output>) {
        for (namespace, membership) in self.namespaces.iter_mut() {
            match membership.stage {
                Stage::Wanted => {
                    let patience = Some(self.auth_patience);
                    let id = self.auths.ask(now, patience, namespace.clone());
                    membership.stage = Stage::Asked(id);
                    let namespace = namespace.clone();
                    out.push(Output::Auth { id, namespace });
                }
                Stage::Asked(_) | Stage::Joining | Stage::Joined | Stage::Refused { .. } => {}
            }
        }
    }

    /// Sends what has waited for namespaces that are joined now.
    fn flush(&mut self, now: Time, out: &mut Vec<Output>) {
        let joined: Vec<Namespace> = self
            .namespaces
            .iter()
            .filter(|(_, membership)| membership.stage == Stage::Joined)
            .map(|(namespace, _)| namespace.clone())
            .collect();
        if let Some(conn) = self.link.up().filter(|_| !joined.is_empty())
            && !self.link.is_live()
        {
            self.drive(now, Some(link::Input::Live(conn)), out);
        }
        for namespace in joined {
            while self.is_joined(&namespace)
                && let Some(due) = self.outbox.pop(now, &namespace)
            {
                self.send(now, due, out);
            }
        }
    }

    fn shut(&mut self, now: Time, out: &mut Vec<Output>) {
        let namespaces: Vec<Namespace> = self.namespaces.keys().cloned().collect();
        for namespace in namespaces {
            self.leave(now, namespace, out);
        }
        self.drive(now, Some(link::Input::Shutdown), out);
        self.over = true;
    }

    /// When the wait after a refusal is over.
    fn refused_until(&self) -> Option<Time> {
        self.namespaces
            .values()
            .filter_map(|membership| match membership.stage {
                Stage::Refused { until } => Some(until),
                Stage::Wanted | Stage::Asked(_) | Stage::Joining | Stage::Joined => None,
            })
            .min()
    }
}

impl Machine for Manager {
    type Input = Input;
    type Output = Output;

    fn handle(&mut self, now: Time, input: Input, out: &mut Vec<Output>) {
        if self.over {
            return;
        }
        match input {
            Input::Prepared(id, result) => {
                let start = result.map(|()| self.attempts.start());
                self.drive(now, Some(link::Input::Authorized(id, start)), out);
            }
            Input::Dialed(conn, result) => {
                self.drive(now, Some(link::Input::Dialed(conn, result)), out);
            }
            Input::Transport(conn, event) => {
                self.drive(now, Some(link::Input::Transport(conn, event)), out);
            }
            Input::Join { namespace } => self.join(namespace, out),
            Input::Leave { namespace } => self.leave(now, namespace, out),
            Input::Auth(id, auth) => {
                if let Some(namespace) = self.auths.answer(id) {
                    self.on_auth(now, namespace, auth, out);
                }
            }
            Input::Emit(emission) => self.emit(now, emission, false, out),
            Input::EmitVolatile(emission) => self.emit(now, emission, true, out),
            Input::Call {
                id,
                emission,
                patience,
            } => self.call(now, id, emission, patience, out),
            Input::ClearBuffer { namespace } => self.outbox.clear(Some(&namespace), out),
            Input::Shutdown => self.shut(now, out),
        }
    }

    fn tick(&mut self, now: Time, out: &mut Vec<Output>) {
        if self.over {
            return;
        }
        if self.link.next_wakeup().is_some_and(|it| it.at <= now) {
            self.drive(now, None, out);
        }
        while let Some((id, namespace)) = self.auths.expire(now) {
            out.push(Output::ForgetAuth(id));
            let why = Err("no auth in time".to_string());
            self.on_auth(now, namespace, why, out);
        }
        for membership in self.namespaces.values_mut() {
            match membership.stage {
                Stage::Refused { until } if until <= now => membership.stage = Stage::Wanted,
                Stage::Refused { .. }
                | Stage::Wanted
                | Stage::Asked(_)
                | Stage::Joining
                | Stage::Joined => {}
            }
        }
        self.settle(now, out);
    }

    fn next_wakeup(&self) -> Option<Wakeup> {
        if self.over {
            return None;
        }
        earliest([
            self.link.next_wakeup(),
            self.auths.next_wakeup("socket.io manager: no auth in time"),
            self.refused_until().map(|at| Wakeup {
                at,
                why: "socket.io manager: ask for a namespace again",
            }),
            self.outbox.next_wakeup(),
        ])
    }
}
