//! The server end of a Socket.IO connection.

mod io;

use alloc::{sync::Arc, vec::Vec};
use core::{mem, time::Duration};

use bytestring::ByteString;
use serde::Serialize;

pub use self::io::{Input, Output, RESUMPTION_BYTES_MAX, Resumption};
use super::{
    AckId, CONNECT_TIMEOUT, Call, CallError, CloseReason, Namespace, Unsent, assemble,
    assemble::Assembler,
    calls::Calls,
    event::Emission,
    packet,
    packet::{Kind, Packet},
};
use crate::{
    canonical, engineio,
    engineio::sessions::{Effect, SessionId, Sessions},
    machine::{Machine, Wakeup, earliest, step},
    request::RequestId,
    secret::{self, Secret},
    small_map::SmallMap,
    text,
    time::Time,
    ws,
};

/// How a server behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The Engine.IO end underneath.
    pub engine: engineio::server::Config,
    /// How long a client may stay without having joined any namespace; [`CONNECT_TIMEOUT`] by
    /// default. Until then a connection that is of no use to anybody is held.
    pub connect_timeout: Duration,
    /// How many namespaces one connection can have; 64 by default. A client chooses their names, so
    /// this bounds what it can make the server remember.
    pub namespaces_max: usize,
    /// How many of them can wait for the embedder's decision; 16 by default. Each may cost a look
    /// at a token or a database.
    pub admissions_max: usize,
    /// How many calls can wait for their answers; 1,000 by default. Raised, a client that never
    /// answers costs more memory.
    pub calls_max: usize,
    /// What the attachments of one packet may come to.
    pub attachments: assemble::Limits,
}
canonical!(
    struct Config {
        engine,
        connect_timeout,
        namespaces_max,
        admissions_max,
        calls_max,
        attachments,
    }
);

impl Default for Config {
    fn default() -> Self {
        Self {
            engine: engineio::server::Config::default(),
            connect_timeout: CONNECT_TIMEOUT,
            namespaces_max: 64,
            admissions_max: 16,
            calls_max: 1_000,
            attachments: assemble::Limits::default(),
        }
    }
}

/// The server machine, made when its WebSocket is open or its first poll has come.
///
/// Answer every [`Output::Admission`] with [`Input::Admit`] or [`Input::Refuse`]; there is at most
/// one for a namespace at a time. As the official server does, it closes the whole connection when
/// a client sends anything to a namespace before it is admitted, or a second CONNECT. Unlike that
/// one it forgives what was under way when the embedder disconnected the client.
/// [`Output::Closed`] is the last output: by then every call has been answered, and everything
/// that comes in later is ignored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    config: Arc<Config>,
    engine: engineio::server::Server,
    is_closed: bool,
    /// When a client that has joined no namespace yet must go.
    join_by: Option<Time>,
    namespaces: SmallMap<Namespace, Membership>,
    calls: Calls,
    assembler: Assembler,
    /// Why the Engine.IO end is being closed from here.
    fault: Option<CloseReason>,
    /// Empty between steps: kept for the memory of one output, which few steps exceed.
    scratch: Vec<engineio::server::Output>,
}
canonical!(struct Server { config, engine, is_closed, join_by, namespaces, calls, assembler, fault; ~ scratch });

#[derive(Clone, Debug, PartialEq, Eq)]
enum Membership {
    /// The embedder has been asked for admission.
    Asked,
    /// The client is in.
    Joined,
    /// The embedder has disconnected the client, which may not know it yet.
    Dismissed,
}
canonical!(
    enum Membership {
        Asked,
        Joined,
        Dismissed,
    }
);

/// The payload of the answer to a CONNECT.
#[derive(Serialize)]
struct Reply {
    #[serde(with = "text")]
    sid: ByteString,
    #[serde(
        with = "secret::recorded::option",
        skip_serializing_if = "Option::is_none"
    )]
    pid: Option<Secret>,
}

impl Server {
    /// A server on a WebSocket that opened at `now`. `sid` names the connection to the client: the
    /// runtime makes it, unguessable. Many servers can share one configuration.
    pub fn new(config: impl Into<Arc<Config>>, sid: ByteString, now: Time) -> Self {
        let config = config.into();
        let engine = engineio::server::Server::new(&config.engine, sid, now);
        Self::over(engine, config, now)
    }

    /// A server for a client that polled without a session at `now`: hand that poll to it first.
    pub fn polling(config: impl Into<Arc<Config>>, sid: ByteString, now: Time) -> Self {
        let config = config.into();
        let engine = engineio::server::Server::polling(&config.engine, sid, now);
        Self::over(engine, config, now)
    }

    fn over(engine: engineio::server::Server, config: Arc<Config>, now: Time) -> Self {
        Self {
            engine,
            is_closed: false,
            join_by: Some(now + config.connect_timeout),
            assembler: Assembler::new(config.attachments),
            config,
            namespaces: SmallMap::default(),
            calls: Calls::default(),
            fault: None,
            scratch: Vec::new(),
        }
    }

    /// Whether the client can be let in with so much that it has missed. One that polls is
    /// disconnected for more than can wait for it.
    pub fn has_room(&self, missed: &[Emission]) -> bool {
        let sizes = missed.iter().flat_map(|emission| emission.sizes(None));
        self.engine.has_room(sizes)
    }

    /// Whether the connection has ended.
    pub fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Whether [`Input::Emit`] leads to the emission's frames on the WebSocket, and to nothing else.
    fn is_direct(&self, namespace: &Namespace) -> bool {
        self.engine.is_direct() && self.namespaces.get(namespace) == Some(&Membership::Joined)
    }

    fn drive(&mut self, now: Time, input: Option<engineio::server::Input>, out: &mut Vec<Output>) {
        let mut scratch = mem::take(&mut self.scratch);
        step(&mut self.engine, now, input, &mut scratch);
        // What a message leads to comes after this step of the connection, and may be its end: the
        // answer to the request that brought the message must not be lost to that.
        let actions = scratch.extract_if(.., |output| match output {
            engineio::server::Output::Transport(_) => true,
            engineio::server::Output::Message(_)
            | engineio::server::Output::Unsent(_)
            | engineio::server::Output::Closed(_) => false,
        });
        for action in actions {
            self.on_engine(now, action, out);
        }
        for output in scratch.drain(..) {
            // A message may have been the end; what was ready after it is void.
            if !self.is_closed() {
                self.on_engine(now, output, out);
            }
        }
        scratch.shrink_to(1);
        self.scratch = scratch;
    }

    fn on_engine(&mut self, now: Time, output: engineio::server::Output, out: &mut Vec<Output>) {
        match output {
            engineio::server::Output::Transport(action) => out.push(Output::Transport(action)),
            engineio::server::Output::Message(message) => self.on_message(now, message, out),
            // No packet holds what cannot be polled: JSON escapes it, and a namespace that was
            // joined by polling has none. One that was joined on a WebSocket stays there.
            engineio::server::Output::Unsent(_) => {}
            engineio::server::Output::Closed(reason) => {
                let reason = self.fault.take().unwrap_or(CloseReason::Engine(reason));
                self.is_closed = true;
                self.join_by = None;
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
            Ok(None) => self.on_header(now, out),
            Err(reason) => self.fail(now, reason, out),
        }
    }

    /// What has no place is refused before its attachments arrive.
    fn on_header(&mut self, now: Time, out: &mut Vec<Output>) {
        if let Some((packet, namespace)) = self.assembler.announced() {
            let namespace = namespace.clone();
            self.joined(now, packet, &namespace, out);
        }
    }

    fn fail(&mut self, now: Time, reason: CloseReason, out: &mut Vec<Output>) {
        self.fault = Some(reason);
        self.drive(now, Some(engineio::server::Input::Close), out);
    }

    fn send(&mut self, now: Time, packet: &Packet, out: &mut Vec<Output>) {
        let frame = ws::Frame::Text(packet::encode(packet));
        self.drive(now, Some(engineio::server::Input::Send(frame)), out);
    }

    /// Sends a header and its attachments, with nothing between them.
    fn send_all(
        &mut self,
        now: Time,
        frames: impl Iterator<Item = ws::Frame>,
        out: &mut Vec<Output>,
    ) {
        for frame in frames {
            self.drive(now, Some(engineio::server::Input::SendEncoded(frame)), out);
        }
    }

    fn withdraw(&mut self, from: Option<&Namespace>, out: &mut Vec<Output>) {
        while let Some(id) = self.calls.withdraw(from) {
            let result = Err(CallError::Disconnected);
            out.push(Output::Answered { id, result });
        }
    }

    fn admit(
        &mut self,
        now: Time,
        namespace: Namespace,
        reply: &Reply,
        missed: &[Emission],
        out: &mut Vec<Output>,
    ) {
        match self.namespaces.get_mut(&namespace) {
            Some(membership @ Membership::Asked) => {
                *membership = Membership::Joined;
                self.join_by = None;
                let missed = missed.iter().filter(|it| *it.namespace() == namespace);
                for emission in missed {
                    self.send_all(now, emission.frames(None), out);
                }
                // Strings under string keys always serialise.
                let payload = serde_json::to_string(reply).ok().map(Into::into);
                self.send(now, &Packet::Connect { namespace, payload }, out);
            }
            None | Some(Membership::Joined | Membership::Dismissed) => {}
        }
    }

    fn refuse(
        &mut self,
        now: Time,
        namespace: Namespace,
        message: ByteString,
        data: Option<ByteString>,
        out: &mut Vec<Output>,
    ) {
        match self.namespaces.get(&namespace) {
            Some(Membership::Asked) => {}
            None | Some(Membership::Joined | Membership::Dismissed) => return,
        }
        self.namespaces.remove(&namespace);
        let is_bad = |data: &ByteString| packet::any(data).is_none();
        if data.as_ref().is_some_and(is_bad) {
            out.push(Output::Dropped {
                namespace: namespace.clone(),
                why: Unsent::BadJson,
            });
        }
        let refusal = Packet::ConnectError {
            namespace,
            message,
            data: data.filter(|data| !is_bad(data)),
        };
        self.send(now, &refusal, out);
    }

    fn disconnect(&mut self, now: Time, namespace: Namespace, out: &mut Vec<Output>) {
        match self.namespaces.get_mut(&namespace) {
            Some(Membership::Asked) => {
                let message = ByteString::from_static("Disconnected");
                self.refuse(now, namespace, message, None, out);
            }
            Some(membership @ Membership::Joined) => {
                *membership = Membership::Dismissed;
                self.withdraw(Some(&namespace), out);
                self.send(now, &Packet::Disconnect { namespace }, out);
            }
            None | Some(Membership::Dismissed) => {}
        }
    }

    fn emit(&mut self, now: Time, emission: &Emission, out: &mut Vec<Output>) {
        match self.namespaces.get(emission.namespace()) {
            Some(Membership::Joined) => {
                self.send_all(now, emission.frames(None), out);
            }
            None | Some(Membership::Asked | Membership::Dismissed) => out.push(Output::Dropped {
                namespace: emission.namespace().clone(),
                why: Unsent::NotConnected,
            }),
        }
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
        match self.namespaces.get(emission.namespace()) {
            Some(Membership::Joined) => {}
            None | Some(Membership::Asked | Membership::Dismissed) => {
                return Err(CallError::NotConnected);
            }
        }
        if self.calls.len() >= self.config.calls_max {
            return Err(CallError::TooMany);
        }
        if !emission.is_event() {
            return Err(CallError::NotAnEvent);
        }
        let namespace = emission.namespace().clone();
        Ok(self.calls.open(now, id, namespace, patience))
    }

    fn on_packet(&mut self, now: Time, packet: Packet, out: &mut Vec<Output>) {
        match packet {
            Packet::Connect { namespace, payload } => {
                self.on_connect(now, &namespace, payload, out);
            }
            Packet::Disconnect { namespace } => self.on_disconnect(now, &namespace, out),
            Packet::Event { namespace, event }
            | Packet::BinaryEvent {
                namespace, event, ..
            } => {
                if let Some(namespace) = self.joined(now, Kind::Event, &namespace, out) {
                    out.push(Output::Event { namespace, event });
                }
            }
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
                if let Some(namespace) = self.joined(now, Kind::Ack, &namespace, out)
                    && let Some(id) = self.calls.answer(namespace, ack)
                {
                    let result = Ok(answer);
                    out.push(Output::Answered { id, result });
                }
            }
            Packet::ConnectError { namespace, .. } => {
                self.refuse_packet(now, Kind::ConnectError, &namespace, out);
            }
        }
    }

    /// The namespace, where the client has joined it.
    fn joined(
        &mut self,
        now: Time,
        packet: Kind,
        namespace: &Namespace,
        out: &mut Vec<Output>,
    ) -> Option<Namespace> {
        match self.namespaces.get_key_value(namespace) {
            Some((namespace, Membership::Joined)) => Some(namespace.clone()),
            Some((_, Membership::Dismissed)) => None,
            None | Some((_, Membership::Asked)) => {
                self.refuse_packet(now, packet, namespace, out);
                None
            }
        }
    }

    fn refuse_packet(
        &mut self,
        now: Time,
        packet: Kind,
        namespace: &Namespace,
        out: &mut Vec<Output>,
    ) {
        let namespace = namespace.detached();
        self.fail(now, CloseReason::OutOfPlace { packet, namespace }, out);
    }

    fn on_connect(
        &mut self,
        now: Time,
        namespace: &Namespace,
        auth: Option<ByteString>,
        out: &mut Vec<Output>,
    ) {
        match self.namespaces.get(namespace) {
            None if self.namespaces.len() >= self.config.namespaces_max => {
                return self.fail(now, CloseReason::TooManyNamespaces, out);
            }
            Some(Membership::Asked | Membership::Joined) => {
                return self.refuse_packet(now, Kind::Connect, namespace, out);
            }
            None | Some(Membership::Dismissed) => {}
        }
        let asked = self
            .namespaces
            .values()
            .filter(|membership| **membership == Membership::Asked)
            .count();
        if asked >= self.config.admissions_max {
            return self.fail(now, CloseReason::TooManyAdmissions, out);
        }
        let namespace = namespace.detached();
        self.namespaces.insert(namespace.clone(), Membership::Asked);
        out.push(Output::Admission {
            namespace,
            resumption: auth.as_deref().and_then(Resumption::of),
            auth,
        });
    }

    fn on_disconnect(&mut self, now: Time, namespace: &Namespace, out: &mut Vec<Output>) {
        match self.namespaces.get(namespace) {
            Some(Membership::Joined) => {
                if let Some((namespace, _)) = self.namespaces.remove_entry(namespace) {
                    self.withdraw(Some(&namespace), out);
                    out.push(Output::Disconnected { namespace });
                }
            }
            Some(Membership::Dismissed) => {
                self.namespaces.remove(namespace);
            }
            None | Some(Membership::Asked) => {
                self.refuse_packet(now, Kind::Disconnect, namespace, out);
            }
        }
    }
}

impl Sessions<Server> {
    /// Sends an emission to a session, if nothing but its frames comes of it, and says whether: else
    /// its machine is to be given [`Input::Emit`], with which this is the same. It spares a thousand
    /// sockets of a room their steps.
    pub(crate) fn emit_directly(
        &self,
        id: SessionId,
        emission: &Emission,
        effects: impl FnMut(Effect),
    ) -> bool {
        match self.on_websocket(id) {
            Some((server, effect)) if server.is_direct(emission.namespace()) => {
                emission.frames(None).map(effect).for_each(effects);
                true
            }
            Some(_) | None => false,
        }
    }
}

impl Machine for Server {
    type Input = Input;
    type Output = Output;

    fn handle(&mut self, now: Time, input: Input, out: &mut Vec<Output>) {
        if self.is_closed() {
            return;
        }
        match input {
            Input::Transport(event) => {
                self.drive(now, Some(engineio::server::Input::Transport(event)), out);
            }
            Input::Admit {
                namespace,
                sid,
                pid,
                missed,
            } => self.admit(now, namespace, &Reply { sid, pid }, &missed, out),
            Input::Refuse {
                namespace,
                message,
                data,
            } => self.refuse(now, namespace, message, data, out),
            Input::Emit(emission) => self.emit(now, &emission, out),
            Input::Call {
                id,
                emission,
                patience,
            } => self.call(now, id, &emission, patience, out),
            Input::Disconnect { namespace } => self.disconnect(now, namespace, out),
            Input::Close => self.drive(now, Some(engineio::server::Input::Close), out),
        }
    }

    fn tick(&mut self, now: Time, out: &mut Vec<Output>) {
        self.drive(now, None, out);
        if self.join_by.is_some_and(|at| at <= now) {
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
            self.join_by.map(|at| Wakeup {
                at,
                why: "socket.io connect timeout",
            }),
            self.assembler.next_wakeup(),
            self.calls.next_wakeup(),
        ])
    }
}
