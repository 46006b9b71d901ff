//! What an idle connection holds: the growth of a process's resident memory over a thousand
//! connections, for the client's process and the server's.
//!
//! This process starts one of each for every kind, and asks them over their standard input. Each
//! says what it holds, in KiB, after some connections that warm it up and after a thousand more.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a bench prints its table, and fails where it cannot run"
)]

use std::{
    env, fs,
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Duration,
};

use futures::StreamExt as _;
use selvedge::{
    socketio::{Client, Signal, server},
    ws as pump,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::sleep,
};
use tokio_tungstenite::{WebSocketStream, tungstenite::protocol::WebSocketConfig};

/// Opened before the first measurement.
const WARM_UP: usize = 100;

/// Opened between the two.
const CONNECTIONS: usize = 1_000;

/// How many are opened at a time, fewer than a listener lets wait.
const AT_A_TIME: usize = 50;

/// How often a server of ours pings.
const PING_INTERVAL: Duration = Duration::from_secs(1);

/// How long a client may take to answer, on a machine that is busy with opening others.
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// For how long all is left to itself before it is measured: two pings of a server of ours.
const QUIET: Duration = Duration::from_millis(2_500);

/// The largest message that is taken.
const MESSAGE_MAX: usize = 1_000_000;

type Socket = WebSocketStream<TcpStream>;

/// What a connection is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// The public client, and the public server behind `axum`, joined to the main namespace.
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
    match kind {
        Kind::Selvedge => tokio::spawn(host(listener)),
        Kind::SmallBuffers | Kind::Tungstenite => tokio::spawn(accept(kind, listener)),
    };
    let mut questions = questions();
    while questions.recv().await.is_some() {
        // The client has answered by now, so all connections are there.
        println!("{}", resident_kib());
    }
}

async fn accept(kind: Kind, listener: TcpListener) {
    loop {
        let (tcp, _) = listener.accept().await.expect("a connection");
        tokio::spawn(async move {
            let opened = tokio_tungstenite::accept_async_with_config(tcp, Some(limits(kind)));
            read(opened.await.expect("a WebSocket")).await;
        });
    }
}

async fn dial_all(kind: Kind, port: u16) {
    let mut questions = questions();
    while let Some(connections) = questions.recv().await {
        futures::stream::iter(0..connections)
            .for_each_concurrent(AT_A_TIME, |_| async move {
                match kind {
                    Kind::Selvedge => join(port).await,
                    Kind::SmallBuffers | Kind::Tungstenite => {
                        tokio::spawn(read(dial(kind, port).await));
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

/// Opens a client, whose events are taken in a task of its own; returns when it has joined the main
/// namespace.
async fn join(port: u16) {
    let url = format!("http://127.0.0.1:{port}");
    let mut socket = Client::connect(&url).open().expect("a client");
    let first = socket.next().await;
    assert!(
        matches!(first, Some(Signal::Connected { .. })),
        "not joined: {first:?}"
    );
    tokio::spawn(async move { while socket.next().await.is_some() {} });
}

/// Serves Socket.IO, with a handler for each socket that takes its events.
async fn host(listener: TcpListener) {
    let listen = |mut socket: server::Socket| async move { while socket.next().await.is_some() {} };
    let server = server::Server::builder()
        .heartbeat(PING_INTERVAL, PING_TIMEOUT)
        .namespace("/", server::Namespace::new().connected(listen))
        .start()
        .expect("a server");
    let app = axum::Router::new().route_service("/socket.io/", server.service());
    axum::serve(listener, app).await.expect("a server");
}
