//! Socket.IO machines on real WebSockets, with an async interface for tests.

#![expect(
    clippy::panic,
    clippy::expect_used,
    clippy::wildcard_enum_match_arm,
    reason = "a helper of tests fails the test"
)]

use std::{fmt::Debug, time::Duration};

use bytes::Bytes;
use selvedge::{clock::Clock, ws as pump};
use selvedge_core::{
    Machine, RequestId, Secret,
    engineio::{
        Handshake,
        transport::{ClientAction, ServerAction},
    },
    socketio::{
        Call, CallError, CloseReason, Namespace, Unsent, client,
        event::{Answer, Attachment, Emission, Event},
        server,
    },
    step, ws,
};
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinHandle,
    time::{sleep, timeout},
};
use tokio_tungstenite::WebSocketStream;

use crate::PATIENCE;

/// One end of a Socket.IO connection, driven by the runtime's pump and clock in a task of its own.
/// Dropping it hangs up.
#[derive(Debug)]
pub struct Socket<E: End> {
    inbox: mpsc::Sender<E::Input>,
    outputs: mpsc::UnboundedReceiver<E::Output>,
    seen: Vec<E::Output>,
    task: JoinHandle<()>,
}

/// The client end.
pub type Client = Socket<client::Client>;

/// The server end.
pub type Server = Socket<server::Server>;

/// The main namespace.
pub fn root() -> Namespace {
    Namespace::root()
}

/// Another namespace that the official server has.
///
/// # Panics
///
/// Never: this is the name of a namespace.
pub fn realtime() -> Namespace {
    Namespace::new("/realtime").expect("the name of a namespace")
}

/// A free port of this machine, and who listens there.
///
/// # Panics
///
/// If the system has none.
pub async fn listen() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await;
    let listener = listener.expect("a free port");
    let address = listener.local_addr().expect("its own address");
    (listener, address.port())
}

/// A machine on one WebSocket.
pub trait End: Machine<Input: Debug + Send, Output: Clone + Debug + Send> + Send + 'static {
    /// What the machine is to be told of its WebSocket.
    fn input(event: ws::Event) -> Self::Input;
    /// What the machine wants done with its WebSocket, if it is that.
    fn action(output: &Self::Output) -> Option<&ws::Action>;
    /// Sends an event, or an answer.
    fn emit(emission: Emission) -> Self::Input;
    /// Sends an event, and waits for its answer.
    fn call(id: u64, emission: Emission, patience: Duration) -> Self::Input;
}

macro_rules! end {
    ($end:ident, $machine:ty, $action:ident => $websocket:pat) => {
        impl End for $machine {
            fn input(event: ws::Event) -> Self::Input {
                $end::Input::Transport(event.into())
            }

            fn action(output: &Self::Output) -> Option<&ws::Action> {
                if let $websocket = output {
                    Some($action)
                } else {
                    None
                }
            }

            fn emit(emission: Emission) -> Self::Input {
                $end::Input::Emit(emission)
            }

            fn call(id: u64, emission: Emission, patience: Duration) -> Self::Input {
                $end::Input::Call {
                    id: RequestId::<Call>::from_number(id),
                    emission,
                    patience,
                }
            }
        }

        impl Socket<$machine> {
            /// Waits for an event in `wanted`.
            ///
            /// # Panics
            ///
            /// As [`wait_for`](Self::wait_for); so do the methods below.
            pub async fn event(&mut self, wanted: &Namespace) -> Event {
                let what = format!("an event in {wanted}");
                self.wait_for(&what, |output| match output {
                    $end::Output::Event { namespace, event } if namespace == wanted => {
                        Some(event.clone())
                    }
                    _ => None,
                })
                .await
            }

            /// Waits for the end of a call: its id, and the arguments of its answer.
            pub async fn answer(&mut self) -> (u64, Result<Value, CallError>) {
                self.wait_for("the end of a call", |output| match output {
                    $end::Output::Answered { id, result } => {
                        let json = |args: &str| serde_json::from_str(args).unwrap_or_default();
                        let args = result.as_ref().map(|answer| json(answer.raw_args()));
                        Some((id.number(), args.map_err(|error| *error)))
                    }
                    _ => None,
                })
                .await
            }

            /// Waits for an answer: all of it.
            ///
            /// # Panics
            ///
            /// Where the call ends without one, too.
            pub async fn whole_answer(&mut self) -> Answer {
                let ended = self.wait_for("the end of a call", |output| match output {
                    $end::Output::Answered { result, .. } => Some(result.clone()),
                    _ => None,
                });
                ended.await.expect("an answer")
            }

            /// Waits until the peer has ended `wanted`.
            pub async fn disconnected(&mut self, wanted: &Namespace) {
                let what = format!("the end of {wanted}");
                self.wait_for(&what, |output| match output {
                    $end::Output::Disconnected { namespace } if namespace == wanted => Some(()),
                    _ => None,
                })
                .await;
            }

            /// Waits until something is reported as not sent, and why.
            pub async fn dropped(&mut self) -> (Namespace, Unsent) {
                self.wait_for("something unsent", |output| match output {
                    $end::Output::Dropped { namespace, why } => Some((namespace.clone(), *why)),
                    _ => None,
                })
                .await
            }

            /// Waits for the end of the connection.
            pub async fn closed(&mut self) -> CloseReason {
                self.wait_for("the end of the connection", |output| match output {
                    $end::Output::Closed(reason) => Some(reason.clone()),
                    _ => None,
                })
                .await
            }
        }
    };
}
end!(client, client::Client, action => client::Output::Transport(ClientAction::WebSocket(action)));
end!(server, server::Server, action => server::Output::Transport(ServerAction::WebSocket(action)));

impl Client {
    /// Opens a WebSocket to a server on this machine.
    ///
    /// # Panics
    ///
    /// If that fails.
    pub async fn connect(port: u16, config: client::Config) -> Self {
        let tcp = TcpStream::connect(("127.0.0.1", port)).await;
        let tcp = tcp.expect("a connection to the server");
        let url = format!("ws://127.0.0.1:{port}/socket.io/?EIO=4&transport=websocket");
        let limits = Some(pump::config(1_000_000));
        let opened = tokio_tungstenite::client_async_with_config(url, tcp, limits).await;
        let (socket, _) = opened.expect("a WebSocket to the server");
        let clock = Clock::start();
        Self::start(client::Client::new(config, clock.now()), clock, socket)
    }

    /// Asks to join a namespace.
    pub async fn join(&self, namespace: &Namespace, auth: &Value) {
        self.send(client::Input::Connect {
            namespace: namespace.clone(),
            auth: Some(Secret::new(&auth.to_string())),
            recover: None,
        })
        .await;
    }

    /// Waits for the handshake of the server.
    ///
    /// # Panics
    ///
    /// As [`wait_for`](Self::wait_for).
    pub async fn opened(&mut self) -> Handshake {
        self.wait_for("the handshake", |output| match output {
            client::Output::Opened(handshake) => Some(handshake.clone()),
            _ => None,
        })
        .await
    }

    /// Waits until `wanted` is joined: the membership's id.
    ///
    /// # Panics
    ///
    /// As [`wait_for`](Self::wait_for).
    pub async fn connected(&mut self, wanted: &Namespace) -> String {
        let what = format!("the answer to the CONNECT to {wanted}");
        self.wait_for(&what, |output| match output {
            client::Output::Connected { namespace, sid, .. } if namespace == wanted => {
                Some(sid.to_string())
            }
            _ => None,
        })
        .await
    }

    /// Waits until `wanted` is refused: the server's words and data.
    ///
    /// # Panics
    ///
    /// As [`wait_for`](Self::wait_for).
    pub async fn refused(&mut self, wanted: &Namespace) -> (String, Option<String>) {
        let what = format!("the refusal of {wanted}");
        self.wait_for(&what, |output| match output {
            client::Output::Refused {
                namespace,
                message,
                data,
            } if namespace == wanted => {
                Some((message.to_string(), data.as_ref().map(ToString::to_string)))
            }
            _ => None,
        })
        .await
    }
}

impl Server {
    /// Accepts one client.
    ///
    /// # Panics
    ///
    /// If none comes within [`PATIENCE`], or without a WebSocket.
    pub async fn accept(listener: &TcpListener, config: server::Config) -> Self {
        let accepted = timeout(PATIENCE, async {
            let (tcp, _) = listener.accept().await?;
            let limits = Some(pump::config(1_000_000));
            tokio_tungstenite::accept_async_with_config(tcp, limits)
                .await
                .map_err(std::io::Error::other)
        });
        let socket = accepted.await.expect("a client in time");
        let socket = socket.expect("a WebSocket from the client");
        let clock = Clock::start();
        let machine = server::Server::new(config, "engine-sid".into(), clock.now());
        Self::start(machine, clock, socket)
    }

    /// Waits until the client asks for admission to `wanted`: its auth.
    ///
    /// # Panics
    ///
    /// As [`wait_for`](Self::wait_for).
    pub async fn asked(&mut self, wanted: &Namespace) -> Value {
        let what = format!("the question for {wanted}");
        self.wait_for(&what, |output| match output {
            server::Output::Admission {
                namespace, auth, ..
            } if namespace == wanted => {
                let auth = auth.as_deref().unwrap_or_default();
                Some(serde_json::from_str(auth).unwrap_or_default())
            }
            _ => None,
        })
        .await
    }

    /// Lets the client into a namespace that it has asked for.
    pub async fn admit(&self, namespace: &Namespace, sid: &str) {
        self.send(server::Input::Admit {
            namespace: namespace.clone(),
            sid: sid.into(),
            pid: None,
            missed: vec![],
        })
        .await;
    }
}

/// The name and the arguments of an event.
///
/// # Panics
///
/// If the arguments are not JSON.
pub fn parts(event: &Event) -> (String, Value) {
    let args = format!("[{}]", event.raw_args());
    let args = serde_json::from_str(&args).expect("arguments in JSON");
    (event.name().into(), args)
}

/// Arguments with placeholders, and their attachments: several, nested, empty, with the byte that
/// separates packets elsewhere, and beside other JSON. They stand in the order in which the official
/// peers number them.
pub fn binary_arguments() -> Vec<(Value, Vec<Bytes>)> {
    let mark = Bytes::from_static(&[0x1e]);
    let around = Bytes::from_static(b"4\x1e4\x1e\xff\x00");
    let at = Attachment;
    vec![
        (json!([at(0)]), vec![Bytes::new()]),
        (json!([at(0)]), vec![mark.clone()]),
        (
            json!([{ "size": 6, "name": "\u{1e}" }, at(0), at(1)]),
            vec![around.clone(), mark.clone()],
        ),
        (
            json!([{ "a": [[at(0)], { "b": at(1) }], "c": null }, "text", at(2)]),
            vec![around, Bytes::new(), mark],
        ),
        (
            json!([(0..10).map(at).collect::<Vec<_>>()]),
            (0..10).map(|size| vec![7; size * 1_000].into()).collect(),
        ),
    ]
}

impl<E: End> Socket<E> {
    fn start(machine: E, clock: Clock, socket: WebSocketStream<TcpStream>) -> Self {
        let (inbox, inputs) = mpsc::channel(64);
        let (sender, outputs) = mpsc::unbounded_channel();
        let handle = pump::pump(socket, inbox.clone(), E::input);
        Self {
            inbox,
            outputs,
            seen: Vec::new(),
            task: tokio::spawn(drive(machine, clock, inputs, handle, sender)),
        }
    }

    /// Hands an input to the machine.
    pub async fn send(&self, input: E::Input) {
        // A machine that has ended ignores inputs, and so does this.
        let _ = self.inbox.send(input).await;
    }

    /// Emits an event; `args` is an array.
    ///
    /// # Panics
    ///
    /// If this is not an event.
    pub async fn emit(&self, namespace: &Namespace, name: &str, args: &Value) {
        let emission = Emission::event(namespace, name, args).expect("an event");
        self.send(E::emit(emission)).await;
    }

    /// Emits an event that waits for its answer under `id`; `args` is an array.
    ///
    /// # Panics
    ///
    /// If this is not an event.
    pub async fn call(
        &self,
        id: u64,
        (namespace, name, args): (&Namespace, &str, &Value),
        patience: Duration,
    ) {
        let emission = Emission::event(namespace, name, args).expect("an event");
        self.send(E::call(id, emission, patience)).await;
    }

    /// Passes over outputs until `pick` takes one.
    ///
    /// # Panics
    ///
    /// If there is no such output within [`PATIENCE`], or the machine ends before.
    pub async fn wait_for<T>(
        &mut self,
        what: &str,
        mut pick: impl FnMut(&E::Output) -> Option<T>,
    ) -> T {
        let found = timeout(PATIENCE, async {
            while let Some(output) = self.outputs.recv().await {
                let picked = pick(&output);
                self.seen.push(output);
                if picked.is_some() {
                    return picked;
                }
            }
            None
        });
        match found.await {
            Ok(Some(picked)) => picked,
            Ok(None) => panic!("ended without {what}: {:#?}", self.seen),
            Err(_) => panic!("late with {what}: {:#?}", self.seen),
        }
    }

    /// Everything that the machine has put out so far, but for its dealings with the WebSocket.
    pub fn seen(&mut self) -> Vec<E::Output> {
        self.catch_up();
        let quiet = |output: &&E::Output| E::action(output).is_none();
        self.seen.iter().filter(quiet).cloned().collect()
    }

    /// The text frames that the machine has written so far.
    pub fn written(&mut self) -> Vec<String> {
        self.catch_up();
        let text = |output: &E::Output| match E::action(output)? {
            ws::Action::Send(ws::Frame::Text(text)) => Some(text.to_string()),
            ws::Action::Send(ws::Frame::Binary(_)) | ws::Action::Close => None,
        };
        self.seen.iter().filter_map(text).collect()
    }

    fn catch_up(&mut self) {
        while let Ok(output) = self.outputs.try_recv() {
            self.seen.push(output);
        }
    }
}

impl<E: End> Drop for Socket<E> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn drive<E: End>(
    mut machine: E,
    clock: Clock,
    mut inputs: mpsc::Receiver<E::Input>,
    mut handle: pump::WsHandle,
    outputs: mpsc::UnboundedSender<E::Output>,
) {
    let mut out = Vec::new();
    loop {
        let wakeup = machine.next_wakeup().map(|wakeup| wakeup.at);
        let nap = wakeup.map_or(Duration::MAX, |at| at.since(clock.now()));
        let input = tokio::select! {
            biased;
            Some(input) = inputs.recv() => Some(input),
            () = sleep(nap) => None,
        };
        step(&mut machine, clock.now(), input, &mut out);
        for output in out.drain(..) {
            if let Some(action) = E::action(&output) {
                handle.send(action.clone());
            }
            if outputs.send(output).is_err() {
                return;
            }
        }
    }
}
