//! `conformance-server`: what the official suites of Engine.IO and Socket.IO are played against.
//!
//! It says where it serves in one line of JSON, and stops when its standard input ends, or on
//! SIGTERM.

use std::{
    error::Error, io, net::SocketAddr, ops::ControlFlow, process::ExitCode, sync::Arc,
    time::Duration,
};

use axum::{Router, extract::Request};
use clap::Parser;
use selvedge::{
    clock::Clock,
    driver::{INBOX_MAX, World, drive},
    engineio::{Front, Open, Origins},
    socketio::server::{self, EmitError, Event, Namespace, Socket},
};
use selvedge_core::{
    Machine, Time, Wakeup,
    engineio::{
        Heartbeat,
        server::{Config, Input, Output, Server},
        sessions::{Arrival, Effect, Limits, SessionId, Sessions},
    },
};
use selvedge_tests::conformance::{CONNECT_TIMEOUT, MAX_PAYLOAD, PING_INTERVAL, PING_TIMEOUT};
use serde_json::{Value, json};
use tokio::{
    io::AsyncReadExt as _,
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};

/// Serves what the official suites expect.
#[derive(Debug, Parser)]
struct Cli {
    /// Where Engine.IO is served, at `/engine.io/`.
    #[arg(long)]
    engineio: SocketAddr,
    /// Where Socket.IO is served, at `/socket.io/`.
    #[arg(long)]
    socketio: SocketAddr,
    /// How long a pong is waited for, in milliseconds; the official suites expect the default.
    #[arg(long, value_name = "MS", default_value_t = PING_TIMEOUT.as_millis() as u64)]
    ping_timeout: u64,
    /// How long a first CONNECT is waited for, in milliseconds; as above.
    #[arg(long, value_name = "MS", default_value_t = CONNECT_TIMEOUT.as_millis() as u64)]
    connect_timeout: u64,
}

#[tokio::main]
async fn main() -> ExitCode {
    match serve(&Cli::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("failed: {error}"));
            ExitCode::FAILURE
        }
    }
}

async fn serve(cli: &Cli) -> Result<(), Box<dyn Error>> {
    let heartbeat = Heartbeat {
        interval: PING_INTERVAL,
        timeout: Duration::from_millis(cli.ping_timeout),
    };
    let engineio = listen(cli.engineio, echo(heartbeat)).await?;
    let connect_timeout = Duration::from_millis(cli.connect_timeout);
    let socketio = listen(cli.socketio, messages(heartbeat, connect_timeout)?).await?;
    say(&json!({ "engineio": engineio, "socketio": socketio }).to_string());
    let mut terminated = signal(SignalKind::terminate())?;
    let mut ignored = Vec::new();
    let mut stdin = tokio::io::stdin();
    tokio::select! {
        _ = terminated.recv() => {}
        _ = stdin.read_to_end(&mut ignored) => {}
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "whoever started it reads this")]
fn say(line: &str) {
    println!("{line}");
}

async fn listen(address: SocketAddr, router: Router) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(address)
}

/// Sessions of Engine.IO, with every message handed back.
#[derive(Debug)]
struct Echo {
    sessions: Sessions<Server>,
    said: Vec<(SessionId, Output)>,
}

/// The echo behind its front.
fn echo(heartbeat: Heartbeat) -> Router {
    let config = Config {
        heartbeat,
        max_payload: MAX_PAYLOAD as u64,
        ..Config::default()
    };
    let (inbox, mut arrivals) = mpsc::channel(INBOX_MAX);
    let front = Front::new(inbox, |arrival| arrival, &Origins::Own, config.max_payload);
    let front = Arc::new(front);
    let mut outside = Outside(Arc::clone(front.open()));
    let mut machine = Echo {
        sessions: Sessions::new(config, Limits::default()),
        said: Vec::new(),
    };
    tokio::spawn(async move {
        drive(
            &mut machine,
            Clock::start(),
            &mut arrivals,
            &mut outside,
            (),
        )
        .await
    });
    let serve = move |request: Request| {
        let front = Arc::clone(&front);
        async move { front.serve(request, |_, _| {}).await }
    };
    Router::new().route("/engine.io/", axum::routing::any(serve))
}

impl Echo {
    fn settle(&mut self, now: Time, out: &mut Vec<Effect>) {
        while !self.said.is_empty() {
            for (id, said) in std::mem::take(&mut self.said) {
                if let Output::Message(frame) = said {
                    let send = Input::Send(frame);
                    self.sessions.step(now, id, send, out, &mut self.said);
                }
            }
        }
    }
}

impl Machine for Echo {
    type Input = Arrival;
    type Output = Effect;

    fn handle(&mut self, now: Time, arrival: Arrival, out: &mut Vec<Effect>) {
        self.sessions.arrive(now, arrival, out, &mut self.said);
        self.settle(now, out);
    }

    fn tick(&mut self, now: Time, out: &mut Vec<Effect>) {
        self.sessions.tick(now, out, &mut self.said);
        self.settle(now, out);
    }

    fn next_wakeup(&self) -> Option<Wakeup> {
        self.sessions.next_wakeup()
    }
}

struct Outside(Arc<Open>);

impl World<Echo> for Outside {
    fn carry_out(&mut self, _: Time, effect: Effect) -> ControlFlow<()> {
        self.0.carry_out(effect);
        ControlFlow::Continue(())
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// The namespaces `/` and `/custom`, which hand back what they are sent.
fn messages(heartbeat: Heartbeat, connect_timeout: Duration) -> Result<Router, server::StartError> {
    let server = server::Server::builder()
        .namespace("/", Namespace::new().connected(converse))
        .namespace("/custom", Namespace::new().connected(converse))
        .heartbeat(heartbeat.interval, heartbeat.timeout)
        .max_payload(MAX_PAYLOAD as u64)
        .connect_timeout(connect_timeout)
        .start()?;
    Ok(Router::new().route_service("/socket.io/", server.service()))
}

async fn converse(mut socket: Socket) {
    let Ok(auth) = socket.auth::<Value>() else {
        return;
    };
    let mut sent = socket.emit("auth", &(auth,)).await;
    while sent.is_ok()
        && let Some(event) = socket.next().await
    {
        sent = hand_back(&socket, event).await;
    }
}

async fn hand_back(socket: &Socket, event: Event) -> Result<(), EmitError> {
    let args: Vec<Value> = event.args()?;
    let attachments = event.attachments().to_vec();
    if event.name() == "message" {
        socket.emit_with("message-back", &args, attachments).await
    } else {
        event.answer_with(&args, attachments).await
    }
}
