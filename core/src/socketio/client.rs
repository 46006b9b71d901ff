//! The client end of a Socket.IO connection.

mod asking;
mod config;
mod io;
mod left;
mod membership;

use alloc::{string::String, sync::Arc, vec::Vec};
use core::{mem, time::Duration};

use bytestring::ByteString;
use serde::Deserialize;

use self::{asking::Asking, left::Left, membership::Membership};
pub use self::{
    config::{Buffer, Config},
    io::{Input, Output, Recover},
};
use super::{
    AckId, Call, CallError, CloseReason, Namespace, Unsent,
    assemble::Assembler,
    backlog::{Backlog, Waiting, WaitingCall},
    calls::Calls,
    event::{Emission, Event},
    packet,
    packet::Packet,
};
use crate::{
    Secret, canonical,
    engineio::{self, client::Refusal, packet::Size},
    machine::{Machine, Wakeup, earliest, step},
    request::RequestId,
    small_map::SmallMap,
    text,
    time::Time,
    ws,
};

/// The client machine, made when its WebSocket is open or is to be done without.
///
/// Ask it to join namespaces with [`Input::Connect`], at any time; each ends in
/// [`Output::Connected`], [`Output::Refused`] or [`Output::Dropped`], or with the connection. What
/// is emitted before that is not written, because a server closes the whole connection on it;
/// [`Config::buffer`] says what becomes of it.
/// [`Output::Closed`] is the last output: by then every call has been answered, and everything
/// that comes in later is ignored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    config: Arc<Config>,
    engine: engineio::client::Client,
    phase: Phase,
    namespaces: SmallMap<Namespace, Membership>,
    left: Left,
    calls: Calls,
    /// What waits for a namespace to be joined.
    backlog: Backlog<WaitingCall>,
    assembler: Assembler,
    /// Why the Engine.IO end is being closed from here.
    fault: Option<CloseReason>,
    /// Empty between steps: kept for the memory of one output, which few steps exceed.
    scratch: Vec<engineio::client::Output>,
}
canonical!(struct Client { config, engine, phase, namespaces, left, calls, backlog, assembler, fault; ~ scratch });

/// How far the connection is, as far as it has been told to the embedder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Opening,
    Open,
    Closed,
}
canonical!(
    enum Phase {
        Opening,
        Open,
        Closed,
    }
);

impl Client {
    /// A client on a WebSocket that opened at `now`. Many clients can share one configuration.
    pub fn new(config: impl Into<Arc<Config>>, now: Time) -> Self {
        let config = config.into();
        let engine = engineio::client::Client::new(config.engine.clone(), now);
        Self::on(engine, config)
    }

    /// A client that begins its connection by polling, at `now`. With `upgrade` it moves to a
    /// WebSocket where the server offers that.
    pub fn polling(config: impl Into<Arc<Config>>, upgrade: bool, now: Time) -> Self {
        let config = config.into();
        let engine = engineio::client::Client::polling(config.engine.clone(), upgrade, now);
        Self::on(engine, config)
    }

    fn on(engine: engineio::client::Client, config: Arc<Config>) -> Self {
        Self {
            engine,
            assembler: Assembler::new(config.attachments),
            config,
            phase: Phase::Opening,
            namespaces: SmallMap::default(),
            left: Left::default(),
            calls: Calls::default(),
            backlog: Backlog::default(),
            fault: None,
            scratch: Vec::new(),
        }
    }

    /// Whether the connection has ended.
    pub fn is_closed(&self) -> bool {
        self.phase == Phase::Closed
    }

    fn drive(&mut self, now: Time, input: Option<engineio::client::Input>, out: &mut Vec<Output>) {
        let mut scratch = mem::take(&mut self.scratch);
        step(&mut self.engine, now, input, &mut scratch);
        // What a message leads to comes after this step of the connection: on a WebSocket that the
        // step has moved to, nothing may be sent before the packet that says so.
        let actions = scratch.extract_if(.., |output| match output {
            engineio::client::Output::Transport(_) => true,
            engineio::client::Output::Opened(_)
            | engineio::client::Output::Upgraded
            | engineio::client::Output::Message(_)
            | engineio::client::Output::Unsent(_)
            | engineio::client::Output::Closed(_) => false,
        });
        for action in actions {
            self.on_engine(now, action, out);
        }
        for output in scratch.drain(..) {
            // A message may have been the end; what the same step had ready after it is void.
            if !self.is_closed() {
                self.on_engine(now, output, out);
            }
        }
        scratch.shrink_to(1);
        self.scratch = scratch;
    }

    fn on_engine(&mut self, now: Time, output: engineio::client::Output, out: &mut Vec<Output>) {
        match output {
            engineio::client::Output::Transport(action) => out.push(Output::Transport(action)),
            engineio::client::Output::Opened(handshake) => {
                self.phase = Phase::Open;
                out.push(Output::Opened(handshake));
                for (namespace, membership) in mem::take(&mut self.namespaces) {
                    match membership {
                        Membership::Wanted { asking } => self.join(now, namespace, asking, out),
                        Membership::Joining { .. }
                        | Membership::Leaving { .. }
                        | Membership::Joined => {}
                    }
                }
            }
            engineio::client::Output::Upgraded => {}
            engineio::client::Output::Message(message) => self.on_message(now, message, out),
            // All else has been checked, so this is a DISCONNECT for which there is no room. Without
            // it the two ends would not agree on who has joined what.
            engineio::client::Output::Unsent(_) => {
                let overrun = engineio::CloseReason::Transport(ws::Closed::Overrun);
                self.fail(now, CloseReason::Engine(overrun), out);
            }
            engineio::client::Output::Closed(reason) => {
                let reason = self.fault.take().unwrap_or(CloseReason::Engine(reason));
                self.phase = Phase::Closed;
                self.namespaces.clear();
                self.left.clear();
                self.assembler.clear();
                self.withdraw(None, out);
                out.push(Output::Closed(reason));
            }
        }
    }

    fn on_message(&mut self, now: Time, message: ws::Frame, out: &mut Vec<Output>) {
        match self.assembler.take(now, message) {
            Ok(Some(packet)) => self.on_packet(now, packet, out),
            Ok(None) => {}
            Err(reason) => self.fail(now, reason, out),
        }
    }

    fn fail(&mut self, now: Time, reason: CloseReason, out: &mut Vec<Output>) {
        self.fault = Some(reason);
        self.drive(now, Some(engineio::client::Input::Close), out);
    }

    fn send(&mut self, now: Time, packet: &Packet, out: &mut Vec<Output>) {
        let frame = ws::Frame::Text(packet::encode(packet));
        self.drive(now, Some(engineio::client::Input::Send(frame)), out);
    }

    /// Sends a header and its attachments, with nothing between them.
    fn send_all(
        &mut self,
        now: Time,
        frames: impl Iterator<Item = ws::Frame>,
        out: &mut Vec<Output>,
    ) {
        for frame in frames {
            self.drive(now, Some(engineio::client::Input::SendEncoded(frame)), out);
        }
    }

    /// Ends the calls and hands back what waits, of one namespace or of all.
    fn withdraw(&mut self, from: Option<&Namespace>, out: &mut Vec<Output>) {
        for Waiting { emission, call } in self.backlog.take(from) {
            if call.is_none() {
                out.push(Output::Dropped {
                    namespace: emission.namespace().clone(),
                    why: Unsent::NotConnected,
                });
            }
        }
        while let Some(id) = self.calls.withdraw(from) {
            let result = Err(CallError::Disconnected);
            out.push(Output::Answered { id, result });
        }
    }

    fn connect(
        &mut self,
        now: Time,
        namespace: Namespace,
        asking: Option<Asking>,
        out: &mut Vec<Output>,
    ) {
        let is_full = self.namespaces.len() >= self.config.namespaces_max;
        let why = match (self.namespaces.get_mut(&namespace), asking) {
            (Some(Membership::Leaving { again, .. }), Some(asking)) if again.is_none() => {
                *again = Some(asking);
                return;
            }
            (Some(Membership::Leaving { again: None, .. }), None) => Unsent::BadJson,
            (Some(_), _) => Unsent::Duplicate,
            (None, _) if is_full => Unsent::TooMany,
            (None, None) => Unsent::BadJson,
            (None, Some(asking)) if self.phase == Phase::Open => {
                return self.join(now, namespace, asking, out);
            }
            (None, Some(asking)) => {
                let wanted = Membership::Wanted { asking };
                self.namespaces.insert(namespace, wanted);
                return;
            }
        };
        out.push(Output::Dropped { namespace, why });
    }

    fn join(&mut self, now: Time, namespace: Namespace, asking: Asking, out: &mut Vec<Output>) {
        let text = packet::encode(&Packet::Connect {
            namespace: namespace.clone(),
            payload: asking.payload().map(ByteString::from),
        });
        // The type of the Engine.IO packet is one byte more.
        if let Err(refusal) = self.engine.check([Size::Text(text.len() + 1)]) {
            self.withdraw(Some(&namespace), out);
            let why = unsent(refusal);
            return out.push(Output::Dropped { namespace, why });
        }
        let joining = Membership::Joining {
            expires_at: now + self.config.connect_timeout,
            pid: asking.pid,
            early: Vec::new(),
        };
        self.namespaces.insert(namespace, joining);
        let frame = ws::Frame::Text(text);
        self.drive(now, Some(engineio::client::Input::Send(frame)), out);
    }

    fn disconnect(&mut self, now: Time, namespace: Namespace, out: &mut Vec<Output>) {
        let membership = self.namespaces.remove(&namespace);
        self.withdraw(Some(&namespace), out);
        match membership {
            None | Some(Membership::Wanted { .. }) => {}
            Some(
                Membership::Joining { expires_at, .. } | Membership::Leaving { expires_at, .. },
            ) => {
                let again = None;
                let leaving = Membership::Leaving { expires_at, again };
                self.namespaces.insert(namespace, leaving);
            }
            Some(Membership::Joined) => {
                self.send_disconnect(now, namespace, out);
            }
        }
    }

    fn send_disconnect(&mut self, now: Time, namespace: Namespace, out: &mut Vec<Output>) {
        let max = self.config.namespaces_max;
        self.left.insert(namespace.clone(), max);
        self.send(now, &Packet::Disconnect { namespace }, out);
    }

    /// `buffer` says what becomes of it where the answer to the CONNECT is still to come.
    fn emit(&mut self, now: Time, emission: Emission, buffer: Buffer, out: &mut Vec<Output>) {
        let namespace = emission.namespace();
        let why = match self.namespaces.get(namespace) {
            Some(Membership::Joined) => match self.engine.check(emission.sizes(None)) {
                Ok(()) => return self.send_all(now, emission.frames(None), out),
                Err(refusal) => unsent(refusal),
            },
            Some(
                Membership::Wanted { .. }
                | Membership::Joining { .. }
                | Membership::Leaving { again: Some(_), .. },
            ) => match buffer {
                Buffer::Drop => Unsent::NotConnected,
                Buffer::Keep { .. } if self.backlog.has_room(buffer, &emission) => {
                    let call = None;
                    return self.backlog.push(Waiting { emission, call });
                }
                Buffer::Keep { .. } => Unsent::BufferFull,
            },
            None | Some(Membership::Leaving { again: None, .. }) => Unsent::NotConnected,
        };
        let namespace = namespace.clone();
        out.push(Output::Dropped { namespace, why });
    }

    fn call(
        &mut self,
        now: Time,
        id: RequestId<Call>,
        emission: Emission,
        patience: Duration,
        out: &mut Vec<Output>,
    ) {
        if self.calls.is_open(id) {
            return out.push(Output::Dropped {
                namespace: emission.namespace().clone(),
                why: Unsent::Duplicate,
            });
        }
        match self.register(now, id, &emission, patience) {
            Ok((ack, true)) => self.send_all(now, emission.frames(Some(ack)), out),
            Ok((ack, false)) => {
                let call = Some((id, ack));
                self.backlog.push(Waiting { emission, call });
            }
            Err(error) => {
                let result = Err(error);
                out.push(Output::Answered { id, result });
            }
        }
    }

    /// Opens the call before anything is sent: no answer can be faster. Says whether it is to be
    /// sent at once; otherwise it is to wait.
    fn register(
        &mut self,
        now: Time,
        id: RequestId<Call>,
        emission: &Emission,
        patience: Duration,
    ) -> Result<(AckId, bool), CallError> {
        let namespace = emission.namespace();
        let is_joined = match self.namespaces.get(namespace) {
            Some(Membership::Joined) => true,
            Some(
                Membership::Wanted { .. }
                | Membership::Joining { .. }
                | Membership::Leaving { again: Some(_), .. },
            ) if self.config.buffer != Buffer::Drop => false,
            None
            | Some(
                Membership::Wanted { .. } | Membership::Joining { .. } | Membership::Leaving { .. },
            ) => return Err(CallError::NotConnected),
        };
        if self.calls.len() >= self.config.calls_max {
            return Err(CallError::TooMany);
        }
        if !emission.is_event() {
            return Err(CallError::NotAnEvent);
        }
        let ack = Some(self.calls.next_ack());
        if is_joined && let Err(refusal) = self.engine.check(emission.sizes(ack)) {
            return Err(call_error(refusal));
        }
        if !is_joined && !self.backlog.has_room(self.config.buffer, emission) {
            return Err(CallError::BufferFull);
        }
        let ack = self.calls.open(now, id, namespace.clone(), patience);
        Ok((ack, is_joined))
    }

    /// Sends what has waited for a namespace that is joined now. What turns out to be larger than
    /// the server takes, or than there is room for, is refused.
    fn flush(&mut self, now: Time, namespace: &Namespace, out: &mut Vec<Output>) {
        for Waiting { emission, call } in self.backlog.take(Some(namespace)) {
            let ack = call.map(|(_, ack)| ack);
            let Err(refusal) = self.engine.check(emission.sizes(ack)) else {
                self.send_all(now, emission.frames(ack), out);
                continue;
            };
            match ack.and_then(|ack| self.calls.answer(namespace.clone(), ack)) {
                Some(id) => {
                    let result = Err(call_error(refusal));
                    out.push(Output::Answered { id, result });
                }
                None => out.push(Output::Dropped {
                    namespace: namespace.clone(),
                    why: unsent(refusal),
                }),
            }
        }
    }

    /// Packets for a namespace that is not joined are ignored: they crossed a disconnect.
    fn on_packet(&mut self, now: Time, packet: Packet, out: &mut Vec<Output>) {
        match packet {
            Packet::Connect { namespace, payload } => {
                self.on_connect(now, &namespace, payload.as_deref(), out);
            }
            Packet::Disconnect { namespace } => self.on_disconnect(now, &namespace, out),
            Packet::Event { namespace, event }
            | Packet::BinaryEvent {
                namespace, event, ..
            } => self.on_event(now, &namespace, event, out),
            Packet::Answer {
                namespace,
                ack,
                answer,
            }
            | Packet::BinaryAnswer {
                namespace,
                ack,
                answer,
                ..
            } => {
                if let Some(Membership::Joined) = self.namespaces.get(&namespace)
                    && let Some(id) = self.calls.answer(namespace, ack)
                {
                    let result = Ok(answer);
                    out.push(Output::Answered { id, result });
                }
            }
            Packet::ConnectError {
                namespace,
                message,
                data,
            } => self.on_refusal(now, &namespace, (message, data), out),
        }
    }

    fn on_connect(
        &mut self,
        now: Time,
        namespace: &Namespace,
        payload: Option<&str>,
        out: &mut Vec<Output>,
    ) {
        #[derive(Deserialize)]
        struct Reply {
            #[serde(with = "text")]
            sid: ByteString,
            pid: Option<String>,
        }
        self.left.remove(namespace);
        match self.namespaces.remove_entry(namespace) {
            Some((
                namespace,
                Membership::Joining {
                    early, pid: asked, ..
                },
            )) => {
                let Ok(Reply { sid, pid }) = serde_json::from_str(payload.unwrap_or_default())
                else {
                    let error = packet::DecodeError::MissingSid;
                    return self.fail(now, CloseReason::BadPacket(error), out);
                };
                self.namespaces
                    .insert(namespace.clone(), Membership::Joined);
                let pid = pid.map(|pid| Secret::new(&pid));
                out.push(Output::Connected {
                    namespace: namespace.clone(),
                    sid,
                    recovered: pid.is_some() && pid == asked,
                    pid,
                    early: early.len(),
                });
                self.flush(now, &namespace, out);
                out.extend(early.into_iter().map(|event| Output::Event {
                    namespace: namespace.clone(),
                    event,
                }));
            }
            Some((namespace, Membership::Leaving { again, .. })) => {
                self.send_disconnect(now, namespace.clone(), out);
                self.on_left(now, namespace, again, out);
            }
            Some((namespace, other @ (Membership::Wanted { .. } | Membership::Joined))) => {
                self.namespaces.insert(namespace, other);
            }
            None => {}
        }
    }

    /// The answer to the CONNECT of a namespace that was left before it came.
    fn on_left(
        &mut self,
        now: Time,
        namespace: Namespace,
        again: Option<Asking>,
        out: &mut Vec<Output>,
    ) {
        if let Some(asking) = again {
            self.join(now, namespace, asking, out);
        }
    }

    fn on_refusal(
        &mut self,
        now: Time,
        namespace: &Namespace,
        (message, data): (ByteString, Option<ByteString>),
        out: &mut Vec<Output>,
    ) {
        self.left.remove(namespace);
        match self.namespaces.remove_entry(namespace) {
            Some((namespace, Membership::Joining { .. } | Membership::Joined)) => {
                self.withdraw(Some(&namespace), out);
                out.push(Output::Refused {
                    namespace,
                    message,
                    data,
                });
            }
            Some((namespace, wanted @ Membership::Wanted { .. })) => {
                self.namespaces.insert(namespace, wanted);
            }
            Some((namespace, Membership::Leaving { again, .. })) => {
                self.on_left(now, namespace, again, out);
            }
            None => {}
        }
    }

    fn on_disconnect(&mut self, now: Time, namespace: &Namespace, out: &mut Vec<Output>) {
        if self.left.remove(namespace) {
            return;
        }
        match self.namespaces.remove_entry(namespace) {
            Some((namespace, Membership::Joining { .. } | Membership::Joined)) => {
                self.withdraw(Some(&namespace), out);
                out.push(Output::Disconnected { namespace });
            }
            Some((namespace, wanted @ Membership::Wanted { .. })) => {
                self.namespaces.insert(namespace, wanted);
            }
            Some((namespace, Membership::Leaving { again, .. })) => {
                self.on_left(now, namespace, again, out);
            }
            None => {}
        }
    }

    fn on_event(&mut self, now: Time, namespace: &Namespace, event: Event, out: &mut Vec<Output>) {
        let early = |membership: &Membership| match membership {
            Membership::Joining { early, .. } => {
                let bytes = early.iter().map(|event| event.bytes()).sum();
                (early.len(), bytes)
            }
            Membership::Wanted { .. } | Membership::Leaving { .. } | Membership::Joined => (0, 0),
        };
        match self.namespaces.get_key_value(namespace) {
            Some((namespace, Membership::Joined)) => {
                let namespace = namespace.clone();
                out.push(Output::Event { namespace, event });
            }
            Some((_, Membership::Joining { .. })) if self.left.contains(namespace) => {}
            Some((_, Membership::Joining { .. })) => {
                let (events, bytes): (usize, usize) = self
                    .namespaces
                    .values()
                    .map(early)
                    .fold((0, event.bytes()), |sum, next| {
                        (sum.0 + next.0, sum.1 + next.1)
                    });
                if events >= self.config.early_events_max || bytes > self.config.early_bytes_max {
                    return self.fail(now, CloseReason::TooManyEarlyEvents, out);
                }
                if let Some(Membership::Joining { early, .. }) = self.namespaces.get_mut(namespace)
                {
                    early.push(event);
                }
            }
            None | Some((_, Membership::Wanted { .. } | Membership::Leaving { .. })) => {}
        }
    }

    fn answer_due_at(&self) -> Option<Time> {
        self.namespaces
            .values()
            .filter_map(|membership| match membership {
                Membership::Joining { expires_at, .. } | Membership::Leaving { expires_at, .. } => {
                    Some(*expires_at)
                }
                Membership::Wanted { .. } | Membership::Joined => None,
            })
            .min()
    }
}

/// Nothing is sent before the connection is open, or after its end.
fn unsent(refusal: Refusal) -> Unsent {
    match refusal {
        Refusal::NotOpen => Unsent::NotConnected,
        Refusal::TooLarge => Unsent::TooLarge,
        Refusal::Full => Unsent::BufferFull,
    }
}

fn call_error(refusal: Refusal) -> CallError {
    match refusal {
        Refusal::NotOpen => CallError::NotConnected,
        Refusal::TooLarge => CallError::TooLarge,
        Refusal::Full => CallError::BufferFull,
    }
}

impl Machine for Client {
    type Input = Input;
    type Output = Output;

    fn handle(&mut self, now: Time, input: Input, out: &mut Vec<Output>) {
        if self.is_closed() {
            return;
        }
        match input {
            Input::Transport(event) => {
                self.drive(now, Some(engineio::client::Input::Transport(event)), out);
            }
            Input::Connect {
                namespace,
                auth,
                recover,
            } => self.connect(now, namespace, Asking::new(auth, recover), out),
            Input::Emit(emission) => self.emit(now, emission, self.config.buffer, out),
            Input::EmitVolatile(emission) => self.emit(now, emission, Buffer::Drop, out),
            Input::Call {
                id,
                emission,
                patience,
            } => self.call(now, id, emission, patience, out),
            Input::Disconnect { namespace } => self.disconnect(now, namespace, out),
            Input::Close => self.drive(now, Some(engineio::client::Input::Close), out),
        }
    }

    fn tick(&mut self, now: Time, out: &mut Vec<Output>) {
        self.drive(now, None, out);
        if self.answer_due_at().is_some_and(|at| at <= now) {
            self.fail(now, CloseReason::ConnectTimeout, out);
        }
        if let Err(reason) = self.assembler.expire(now) {
            self.fail(now, reason, out);
        }
        while let Some(id) = self.calls.expire(now) {
            self.backlog.forget(id);
            let result = Err(CallError::Timeout);
            out.push(Output::Answered { id, result });
        }
    }

    fn next_wakeup(&self) -> Option<Wakeup> {
        earliest([
            self.engine.next_wakeup(),
            self.answer_due_at().map(|at| Wakeup {
                at,
                why: "socket.io connect timeout",
            }),
            self.assembler.next_wakeup(),
            self.calls.next_wakeup(),
        ])
    }
}
