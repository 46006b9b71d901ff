//! The client end of a Socket.IO connection.

use alloc::{collections::BTreeMap, vec::Vec};
use core::{mem, time::Duration};

use bytestring::ByteString;
use serde::{Deserialize, Serialize};

use super::{
    AckId, CONNECT_TIMEOUT, Call, CallError, CloseReason, Namespace, Unsent, assemble,
    assemble::Assembler,
    calls::Calls,
    event::{Answer, Emission, Event},
    packet,
    packet::Packet,
};
use crate::{
    Secret, canonical, engineio,
    machine::{Machine, Wakeup, earliest, step},
    request::RequestId,
    text,
    time::Time,
    ws,
};

/// How a client behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The Engine.IO end underneath.
    pub engine: engineio::client::Config,
    /// How long the server may take to answer a CONNECT; [`CONNECT_TIMEOUT`] by default. A server
    /// that takes longer is taken for hung, and the connection is closed.
    pub connect_timeout: Duration,
    /// How many namespaces one connection can have; 64 by default. It bounds what is remembered.
    pub namespaces_max: usize,
    /// How many calls can wait for their answers; 1,000 by default. Raised, a server that never
    /// answers costs more memory.
    pub calls_max: usize,
    /// How many events are kept that arrive before the answer to a CONNECT, of all namespaces; 256
    /// by default. Raised, a server can make the client hold more.
    pub early_events_max: usize,
    /// How many bytes these events may have together; 4 MiB by default.
    pub early_bytes_max: usize,
    /// What the attachments of one packet may come to.
    pub attachments: assemble::Limits,
}
canonical!(
    struct Config {
        engine,
        connect_timeout,
        namespaces_max,
        calls_max,
        early_events_max,
        early_bytes_max,
        attachments,
    }
);

impl Default for Config {
    fn default() -> Self {
        Self {
            engine: engineio::client::Config::default(),
            connect_timeout: CONNECT_TIMEOUT,
            namespaces_max: 64,
            calls_max: 1_000,
            early_events_max: 256,
            early_bytes_max: 4 * 1024 * 1024,
            attachments: assemble::Limits::default(),
        }
    }
}

/// The client machine, made when its WebSocket is open.
///
/// Ask it to join namespaces with [`Input::Connect`], at any time; each ends in
/// [`Output::Connected`], [`Output::Refused`] or [`Output::Dropped`], or with the connection. What
/// is emitted before that is not written, because a server closes the whole connection on it.
/// [`Output::Closed`] is the last output: by then every call has been answered, and everything
/// that comes in later is ignored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    config: Config,
    engine: engineio::client::Client,
    phase: Phase,
    namespaces: BTreeMap<Namespace, Membership>,
    calls: Calls,
    assembler: Assembler,
    /// Why the Engine.IO end is being closed from here.
    fault: Option<CloseReason>,
    /// Empty between steps: kept for its memory.
    scratch: Vec<engineio::client::Output>,
}
canonical!(struct Client { config, engine, phase, namespaces, calls, assembler, fault; - scratch });

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

#[derive(Clone, Debug, PartialEq, Eq)]
enum Membership {
    /// To be joined when the connection is open.
    Wanted { auth: Option<Secret> },
    /// CONNECT is sent. What arrives before its answer is kept.
    Joining { expires_at: Time, early: Vec<Event> },
    /// CONNECT is sent, and not wanted any more. To say so before the answer would make the server
    /// close the connection.
    Leaving { expires_at: Time },
    /// The server has admitted this client.
    Joined { next_ack: u64 },
}
canonical!(
    enum Membership {
        Wanted { auth },
        Joining { expires_at, early },
        Leaving { expires_at },
        Joined { next_ack },
    }
);

/// What can happen to a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// Something happened on the WebSocket.
    Transport(ws::Event),
    /// Join a namespace.
    Connect {
        /// Which one.
        namespace: Namespace,
        /// The JSON text of an object that the server judges.
        #[serde(default, with = "recorded_auth")]
        auth: Option<Secret>,
    },
    /// Send an event without an answer, or an answer.
    Emit(Emission),
    /// Send an event, and wait for its answer.
    Call {
        /// Comes back with the answer; unique among the open calls.
        id: RequestId<Call>,
        /// The event.
        emission: Emission,
        /// How long to wait for the answer.
        patience: Duration,
    },
    /// Leave a namespace. Its open calls end in [`CallError::Disconnected`]; there is no other
    /// output about it.
    Disconnect {
        /// Which one.
        namespace: Namespace,
    },
    /// Close the connection.
    Close,
}

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Do this with the WebSocket.
    Transport(ws::Action),
    /// The Engine.IO handshake is done.
    Opened(engineio::Handshake),
    /// A namespace is joined.
    Connected {
        /// Which one.
        namespace: Namespace,
        /// This membership's id at the server.
        sid: ByteString,
    },
    /// The server refused to let the client into a namespace. The connection goes on, and the
    /// namespace can be asked for again.
    Refused {
        /// Which one.
        namespace: Namespace,
        /// The server's words.
        message: ByteString,
        /// JSON text, as the server sent it along.
        data: Option<ByteString>,
    },
    /// An event arrived.
    Event {
        /// Where.
        namespace: Namespace,
        /// What.
        event: Event,
    },
    /// A call has ended.
    Answered {
        /// Which one.
        id: RequestId<Call>,
        /// How.
        result: Result<Answer, CallError>,
    },
    /// The server ended this client's membership of a namespace. The connection goes on.
    Disconnected {
        /// Which one.
        namespace: Namespace,
    },
    /// A `Connect`, an `Emit` or a `Call` was not carried out.
    Dropped {
        /// For which namespace.
        namespace: Namespace,
        /// Why.
        why: Unsent,
    },
    /// The connection has ended, and all memberships with it.
    Closed(CloseReason),
}

impl Client {
    /// A client on a WebSocket that opened at `now`.
    pub fn new(config: Config, now: Time) -> Self {
        Self {
            engine: engineio::client::Client::new(config.engine.clone(), now),
            assembler: Assembler::new(config.attachments),
            config,
            phase: Phase::Opening,
            namespaces: BTreeMap::new(),
            calls: Calls::default(),
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
        for output in scratch.drain(..) {
            // A message may have been the end; what the same step had ready after it is void.
            if !self.is_closed() {
                self.on_engine(now, output, out);
            }
        }
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
                        Membership::Wanted { auth } => self.join(now, namespace, auth, out),
                        Membership::Joining { .. }
                        | Membership::Leaving { .. }
                        | Membership::Joined { .. } => {}
                    }
                }
            }
            engineio::client::Output::Message(message) => self.on_message(now, message, out),
            // Sizes are checked before anything is handed down.
            engineio::client::Output::Unsent(_) => {}
            engineio::client::Output::Closed(reason) => {
                let reason = self.fault.take().unwrap_or(CloseReason::Engine(reason));
                self.phase = Phase::Closed;
                self.namespaces.clear();
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

    fn withdraw(&mut self, from: Option<&Namespace>, out: &mut Vec<Output>) {
        while let Some(id) = self.calls.withdraw(from) {
            let result = Err(CallError::Disconnected);
            out.push(Output::Answered { id, result });
        }
    }

    fn connect(
        &mut self,
        now: Time,
        namespace: Namespace,
        auth: Option<Secret>,
        out: &mut Vec<Output>,
    ) {
        let is_json = |auth: &Secret| packet::object(auth.expose()).is_some();
        let why = if self.namespaces.contains_key(&namespace) {
            Unsent::Duplicate
        } else if self.namespaces.len() >= self.config.namespaces_max {
            Unsent::TooMany
        } else if !auth.as_ref().is_none_or(is_json) {
            Unsent::BadJson
        } else if self.phase == Phase::Open {
            return self.join(now, namespace, auth, out);
        } else {
            self.namespaces
                .insert(namespace, Membership::Wanted { auth });
            return;
        };
        out.push(Output::Dropped { namespace, why });
    }

    fn join(
        &mut self,
        now: Time,
        namespace: Namespace,
        auth: Option<Secret>,
        out: &mut Vec<Output>,
    ) {
        let text = packet::encode(&Packet::Connect {
            namespace: namespace.clone(),
            payload: auth.map(|auth| auth.expose().into()),
        });
        // The type of the Engine.IO packet is one byte more.
        if !self.engine.takes(text.len() + 1) {
            let why = Unsent::TooLarge;
            return out.push(Output::Dropped { namespace, why });
        }
        let joining = Membership::Joining {
            expires_at: now + self.config.connect_timeout,
            early: Vec::new(),
        };
        self.namespaces.insert(namespace, joining);
        let frame = ws::Frame::Text(text);
        self.drive(now, Some(engineio::client::Input::Send(frame)), out);
    }

    fn disconnect(&mut self, now: Time, namespace: Namespace, out: &mut Vec<Output>) {
        match self.namespaces.remove(&namespace) {
            None | Some(Membership::Wanted { .. }) => {}
            Some(Membership::Joining { expires_at, .. } | Membership::Leaving { expires_at }) => {
                let leaving = Membership::Leaving { expires_at };
                self.namespaces.insert(namespace, leaving);
            }
            Some(Membership::Joined { .. }) => {
                self.withdraw(Some(&namespace), out);
                self.send(now, &Packet::Disconnect { namespace }, out);
            }
        }
    }

    fn emit(&mut self, now: Time, emission: &Emission, out: &mut Vec<Output>) {
        let namespace = emission.namespace();
        let why = match self.namespaces.get(namespace) {
            Some(Membership::Joined { .. }) if self.engine.takes(emission.largest_frame(None)) => {
                return self.send_all(now, emission.frames(None), out);
            }
            Some(Membership::Joined { .. }) => Unsent::TooLarge,
            None
            | Some(
                Membership::Wanted { .. } | Membership::Joining { .. } | Membership::Leaving { .. },
            ) => Unsent::NotConnected,
        };
        let namespace = namespace.clone();
        out.push(Output::Dropped { namespace, why });
    }

    fn call(
        &mut self,
        now: Time,
        id: RequestId<Call>,
        emission: &Emission,
        patience: Duration,
        out: &mut Vec<Output>,
    ) {
        if self.calls.is_open(id) {
            return out.push(Output::Dropped {
                namespace: emission.namespace().clone(),
                why: Unsent::Duplicate,
            });
        }
        match self.register(now, id, emission, patience) {
            Ok(ack) => self.send_all(now, emission.frames(Some(ack)), out),
            Err(error) => {
                let result = Err(error);
                out.push(Output::Answered { id, result });
            }
        }
    }

    /// Opens the call before anything is sent: no answer can be faster.
    fn register(
        &mut self,
        now: Time,
        id: RequestId<Call>,
        emission: &Emission,
        patience: Duration,
    ) -> Result<AckId, CallError> {
        let next_ack = match self.namespaces.get_mut(emission.namespace()) {
            Some(Membership::Joined { next_ack }) => next_ack,
            None
            | Some(
                Membership::Wanted { .. } | Membership::Joining { .. } | Membership::Leaving { .. },
            ) => return Err(CallError::NotConnected),
        };
        if self.calls.len() >= self.config.calls_max {
            return Err(CallError::TooMany);
        }
        let ack = AckId::from_number(*next_ack);
        if !emission.is_event() {
            return Err(CallError::NotAnEvent);
        }
        if !self.engine.takes(emission.largest_frame(Some(ack))) {
            return Err(CallError::TooLarge);
        }
        *next_ack += 1;
        let key = (emission.namespace().clone(), ack);
        self.calls.open(now, id, key, patience);
        Ok(ack)
    }

    /// Packets for a namespace that is not joined are ignored: they crossed a disconnect.
    fn on_packet(&mut self, now: Time, packet: Packet, out: &mut Vec<Output>) {
        match packet {
            Packet::Connect { namespace, payload } => {
                self.on_connect(now, &namespace, payload.as_deref(), out);
            }
            Packet::Disconnect { namespace } => self.on_disconnect(&namespace, out),
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
                if let Some(id) = self.calls.answer(namespace, ack) {
                    let result = Ok(answer);
                    out.push(Output::Answered { id, result });
                }
            }
            Packet::ConnectError {
                namespace,
                message,
                data,
            } => self.on_refusal(&namespace, message, data, out),
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
        }
        match self.namespaces.remove_entry(namespace) {
            Some((namespace, Membership::Joining { early, .. })) => {
                let Ok(Reply { sid }) = serde_json::from_str(payload.unwrap_or_default()) else {
                    let error = packet::DecodeError::MissingSid;
                    return self.fail(now, CloseReason::BadPacket(error), out);
                };
                let joined = Membership::Joined { next_ack: 0 };
                self.namespaces.insert(namespace.clone(), joined);
                out.push(Output::Connected {
                    namespace: namespace.clone(),
                    sid,
                });
                out.extend(early.into_iter().map(|event| Output::Event {
                    namespace: namespace.clone(),
                    event,
                }));
            }
            Some((namespace, Membership::Leaving { .. })) => {
                self.send(now, &Packet::Disconnect { namespace }, out);
            }
            Some((namespace, other @ (Membership::Wanted { .. } | Membership::Joined { .. }))) => {
                self.namespaces.insert(namespace, other);
            }
            None => {}
        }
    }

    fn on_refusal(
        &mut self,
        namespace: &Namespace,
        message: ByteString,
        data: Option<ByteString>,
        out: &mut Vec<Output>,
    ) {
        match self.namespaces.remove_entry(namespace) {
            Some((namespace, Membership::Joining { .. } | Membership::Joined { .. })) => {
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
            Some((_, Membership::Leaving { .. })) | None => {}
        }
    }

    fn on_disconnect(&mut self, namespace: &Namespace, out: &mut Vec<Output>) {
        match self.namespaces.remove_entry(namespace) {
            Some((namespace, Membership::Joining { .. } | Membership::Joined { .. })) => {
                self.withdraw(Some(&namespace), out);
                out.push(Output::Disconnected { namespace });
            }
            Some((namespace, wanted @ Membership::Wanted { .. })) => {
                self.namespaces.insert(namespace, wanted);
            }
            Some((_, Membership::Leaving { .. })) | None => {}
        }
    }

    fn on_event(&mut self, now: Time, namespace: &Namespace, event: Event, out: &mut Vec<Output>) {
        let early = |membership: &Membership| match membership {
            Membership::Joining { early, .. } => {
                let bytes = early.iter().map(|event| event.bytes()).sum();
                (early.len(), bytes)
            }
            Membership::Wanted { .. } | Membership::Leaving { .. } | Membership::Joined { .. } => {
                (0, 0)
            }
        };
        match self.namespaces.get_key_value(namespace) {
            Some((namespace, Membership::Joined { .. })) => {
                let namespace = namespace.clone();
                out.push(Output::Event { namespace, event });
            }
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
                Membership::Joining { expires_at, .. } | Membership::Leaving { expires_at } => {
                    Some(*expires_at)
                }
                Membership::Wanted { .. } | Membership::Joined { .. } => None,
            })
            .min()
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
            Input::Connect { namespace, auth } => self.connect(now, namespace, auth, out),
            Input::Emit(emission) => self.emit(now, &emission, out),
            Input::Call {
                id,
                emission,
                patience,
            } => self.call(now, id, &emission, patience, out),
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

/// The auth of a CONNECT in a recording, by the rules of [`secret::recorded`](crate::secret).
mod recorded_auth {
    use alloc::string::String;

    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    use crate::Secret;

    pub(super) fn serialize<S: Serializer>(
        auth: &Option<Secret>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        auth.as_ref().map(Secret::expose).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Secret>, D::Error> {
        let auth = Option::<String>::deserialize(deserializer)?;
        Ok(auth.map(|auth| Secret::new(&auth)))
    }
}
