//! What an idle connection holds: the growth of a process's resident memory over a thousand
//! connections, for the client's process and the server's.
//!
//! This process starts one of each for every kind, and asks them over their standard input. Each
//! says what it holds, in KiB, after some connections that warm it up and after a thousand more.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a bench prints its table, and fails where it cannot run"
)]

use std::{
    env, fs,
    io::{BufRead as _, BufReader, Write as _},
    ops::ControlFlow,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Duration,
};

use futures::StreamExt as _;
use selvedge::{
    clock::Clock,
    driver::{INBOX_MAX, World, drive},
    ws::{self as pump, WsHandle},
};
use selvedge_core::{
    Time,
    engineio::transport::{ClientAction, ServerAction},
    socketio::{Namespace, client, server},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{mpsc, oneshot},
    time::sleep,
};
use tokio_tungstenite::{WebSocketStream, tungstenite::protocol::WebSocketConfig};

/// Opened before the first measurement.
const WARM_UP: usize = 100;

/// Opened between the two.
const CONNECTIONS: usize = 1_000;

/// How many are opened at a time, fewer than a listener lets wait.
const AT_A_TIME: usize = 50;

/// How often the server pings.
const PING_INTERVAL: Duration = Duration::from_secs(1);

/// For how long all is left to itself before it is measured: two pings of a server of ours.
const QUIET: Duration = Duration::from_millis(2_500);

/// The largest message that is taken.
const MESSAGE_MAX: usize = 1_000_000;

type Socket = WebSocketStream<TcpStream>;

/// What a connection is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A machine, its driver and its pump.
    Selvedge,
    /// A WebSocket that is read, with the buffers that Selvedge gives it.
    SmallBuffers,
    /// A WebSocket that is read, with the library's own buffers.
    Tungstenite,
}

const KINDS: [(Kind, &str); 3] = [
    (Kind::Selvedge, "selvedge"),
    (Kind::SmallBuffers, "tungstenite-small-buffers"),
    (Kind::Tungstenite, "tungstenite"),
];

fn main() {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        ["server", kind] => run(serve(kind_of(kind))),
        ["client", kind, port] => run(dial_all(kind_of(kind), port.parse().expect("a port"))),
        _ => report(),
    }
}

fn run(side: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(side);
}

fn kind_of(name: &str) -> Kind {
    let found = KINDS.iter().find(|(_, of)| *of == name);
    found.expect("a kind").0
}

/// Runs all kinds and prints the table.
fn report() {
    println!("{CONNECTIONS} idle connections, KiB for each");
    println!("{:<28} {:>8} {:>8}", "", "client", "server");
    for (_, name) in KINDS {
        let mut server = Side::start(&["server", name]);
        let port = server.answer();
        let mut client = Side::start(&["client", name, &port.to_string()]);
        let mut held = |connections| (client.ask(connections), server.ask(connections));
        let before = held(WARM_UP);
        let after = held(CONNECTIONS);
        let each =
            |before: u64, after: u64| after.saturating_sub(before) as f64 / CONNECTIONS as f64;
        let (client, server) = (each(before.0, after.0), each(before.1, after.1));
        println!("{name:<28} {client:>8.1} {server:>8.1}");
    }
}

/// One of the processes, and its standard input and output.
struct Side {
    child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Side {
    fn start(args: &[&str]) -> Self {
        let mut child = Command::new(env::current_exe().expect("this program"))
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a process");
        Self {
            questions: child.stdin.take().expect("its standard input"),
            answers: BufReader::new(child.stdout.take().expect("its standard output")),
            child,
        }
    }

    /// What it holds when there are so many connections more, in KiB.
    fn ask(&mut self, connections: usize) -> u64 {
        writeln!(self.questions, "{connections}").expect("a process that listens");
        self.answer()
    }

    fn answer(&mut self) -> u64 {
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("an answer");
        line.trim().parse().expect("a number")
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The lines of the standard input, as numbers.
fn questions() -> mpsc::UnboundedReceiver<usize> {
    let (sender, questions) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            let _ = sender.send(line.parse().expect("a number"));
        }
    });
    questions
}

fn resident_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("the kernel's account");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
    kib.expect("VmRSS").trim().parse().expect("a number")
}

fn limits(kind: Kind) -> WebSocketConfig {
    match kind {
        Kind::Selvedge | Kind::SmallBuffers => pump::config(MESSAGE_MAX),
        Kind::Tungstenite => WebSocketConfig::default(),
    }
}

async fn serve(kind: Kind) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    println!("{}", listener.local_addr().expect("an address").port());
    tokio::spawn(async move {
        loop {
            let (tcp, _) = listener.accept().await.expect("a connection");
            tokio::spawn(async move {
                let opened = tokio_tungstenite::accept_async_with_config(tcp, Some(limits(kind)));
                let socket = opened.await.expect("a WebSocket");
                match kind {
                    Kind::Selvedge => host(socket).await,
                    Kind::SmallBuffers | Kind::Tungstenite => read(socket).await,
                }
            });
        }
    });
    let mut questions = questions();
    while questions.recv().await.is_some() {
        // The client has answered by now, so all connections are there.
        println!("{}", resident_kib());
    }
}

async fn dial_all(kind: Kind, port: u16) {
    let mut questions = questions();
    while let Some(connections) = questions.recv().await {
        futures::stream::iter(0..connections)
            .for_each_concurrent(AT_A_TIME, |_| async move {
                let socket = dial(kind, port).await;
                match kind {
                    Kind::Selvedge => join(socket).await,
                    Kind::SmallBuffers | Kind::Tungstenite => {
                        tokio::spawn(read(socket));
                    }
                }
            })
            .await;
        sleep(QUIET).await;
        println!("{}", resident_kib());
    }
}

async fn dial(kind: Kind, port: u16) -> Socket {
    let tcp = TcpStream::connect(("127.0.0.1", port)).await;
    let url = format!("ws://127.0.0.1:{port}/socket.io/?EIO=4&transport=websocket");
    let tcp = tcp.expect("a connection");
    let opened = tokio_tungstenite::client_async_with_config(url, tcp, Some(limits(kind))).await;
    opened.expect("a WebSocket").0
}

/// Reads until the connection ends.
async fn read(mut socket: Socket) {
    while let Some(Ok(_)) = socket.next().await {}
}

/// Runs a client on a connection that is open, in a task of its own; returns when it has joined
/// the main namespace.
async fn join(socket: Socket) {
    let clock = Clock::start();
    let (inbox, mut inputs) = mpsc::channel(INBOX_MAX);
    let connect = client::Input::Connect {
        namespace: Namespace::root(),
        auth: None,
        recover: None,
    };
    inbox.send(connect).await.expect("an open inbox");
    let (joined_in, joined) = oneshot::channel();
    let mut member = Member {
        handle: pump::pump(socket, inbox, |event| {
            client::Input::Transport(event.into())
        }),
        joined: Some(joined_in),
    };
    tokio::spawn(async move {
        let mut machine = client::Client::new(client::Config::default(), clock.now());
        let driven = drive(&mut machine, clock, &mut inputs, &mut member, ());
        driven.await.expect("nothing is written down");
    });
    joined.await.expect("a membership");
}

/// The world of a client.
struct Member {
    handle: WsHandle,
    joined: Option<oneshot::Sender<()>>,
}

impl World<client::Client> for Member {
    fn carry_out(&mut self, _: Time, output: client::Output) -> ControlFlow<()> {
        match output {
            client::Output::Transport(ClientAction::WebSocket(action)) => self.handle.send(action),
            client::Output::Connected { .. } => {
                // Whoever waits for it is there.
                let _ = self.joined.take().map(|joined| joined.send(()));
            }
            client::Output::Opened(_) => {}
            client::Output::Closed(_) => return ControlFlow::Break(()),
            other @ (client::Output::Transport(_)
            | client::Output::Refused { .. }
            | client::Output::Event { .. }
            | client::Output::Answered { .. }
            | client::Output::Disconnected { .. }
            | client::Output::Dropped { .. }) => panic!("an idle client was told {other:?}"),
        }
        ControlFlow::Continue(())
    }
}

/// Runs a server on a connection that is open.
async fn host(socket: Socket) {
    let clock = Clock::start();
    let mut config = server::Config::default();
    config.engine.heartbeat.interval = PING_INTERVAL;
    let (inbox, mut inputs) = mpsc::channel(INBOX_MAX);
    let mut doorman = Doorman {
        handle: pump::pump(socket, inbox.clone(), |event| {
            server::Input::Transport(event.into())
        }),
        inbox,
    };
    let mut machine = server::Server::new(config, "an-engine-io-session".into(), clock.now());
    let driven = drive(&mut machine, clock, &mut inputs, &mut doorman, ());
    driven.await.expect("nothing is written down");
}

/// The world of a server, which lets everybody in.
struct Doorman {
    handle: WsHandle,
    inbox: mpsc::Sender<server::Input>,
}

impl World<server::Server> for Doorman {
    fn carry_out(&mut self, _: Time, output: server::Output) -> ControlFlow<()> {
        match output {
            server::Output::Transport(ServerAction::WebSocket(action)) => self.handle.send(action),
            server::Output::Admission { namespace, .. } => {
                let admit = server::Input::Admit {
                    namespace,
                    sid: "a-socket-io-session".into(),
                    pid: None,
                    missed: Vec::new(),
                };
                self.inbox.try_send(admit).expect("room in the inbox");
            }
            server::Output::Closed(_) => return ControlFlow::Break(()),
            other @ (server::Output::Transport(_)
            | server::Output::Event { .. }
            | server::Output::Answered { .. }
            | server::Output::Disconnected { .. }
            | server::Output::Dropped { .. }) => panic!("an idle server was told {other:?}"),
        }
        ControlFlow::Continue(())
    }
}
