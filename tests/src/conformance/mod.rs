//! What the conformance suites are played with: the servers under test, and clients that are under
//! a case's control to the byte.
//!
//! The cases are those of the public test suites of the protocols, Engine.IO v4 and Socket.IO v5.
//! Each is played against two subjects: our server, and the official one from npm, which holds the
//! cases themselves to account: what the official server does not pass is a wrong case.

#![expect(
    clippy::panic,
    clippy::expect_used,
    reason = "a helper of tests fails the test"
)]

mod http;
mod play;
pub mod sessions;
mod websocket;

use std::{
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use serde::Deserialize;

pub use self::{
    http::{Answer, Exchange, Session},
    play::play,
    websocket::WebSocket,
};
use crate::{PATIENCE, npm};

/// How often the servers ping.
pub const PING_INTERVAL: Duration = Duration::from_millis(300);

/// How long the servers wait for a pong in the official suites: a session that nobody answers lives
/// for half a second.
pub const PING_TIMEOUT: Duration = Duration::from_millis(200);

/// How long the Socket.IO servers wait for a first CONNECT in the official suites.
pub const CONNECT_TIMEOUT: Duration = Duration::from_millis(1_000);

/// How long the servers wait for their clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waits {
    /// For a pong.
    pub ping: Duration,
    /// For a first CONNECT.
    pub connect: Duration,
}

impl Waits {
    /// As the official suites want it.
    pub const SUITES: Self = Self {
        ping: PING_TIMEOUT,
        connect: CONNECT_TIMEOUT,
    };

    /// For cases that are about something else, and should not end by a wait on a machine under load.
    pub const LONG: Self = Self {
        ping: PATIENCE,
        connect: Duration::from_secs(3),
    };
}

/// The largest body and the largest packet that the servers take, in bytes.
pub const MAX_PAYLOAD: usize = 1_000_000;

/// How long a request that is written, or a connection that is dropped, is given to come to the
/// server's notice. It is short beside [`PING_INTERVAL`], and long for a loopback.
pub const SETTLE: Duration = Duration::from_millis(60);

/// The same where a ping in between does no harm.
pub const LONG_SETTLE: Duration = Duration::from_secs(1);

/// How much later than due a deadline may be kept on a loaded machine. The machines' own tests hold
/// them to the very instant.
pub const LATE_MAX: Duration = Duration::from_secs(10);

/// How much earlier than due it may be: timers of Node count whole milliseconds.
pub const EARLY_MAX: Duration = Duration::from_millis(10);

/// Whose server is under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// Ours.
    Selvedge,
    /// The official one.
    Official,
}

/// Which of the two protocols a server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Engine.IO v4; every message comes back.
    EngineIo,
    /// Socket.IO v5, with the namespaces `/` and `/custom`.
    SocketIo,
}

/// A server under test.
#[derive(Clone, Copy, Debug)]
pub struct Endpoint {
    /// Whose it is.
    pub subject: Subject,
    /// What it speaks.
    pub protocol: Protocol,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Endpoint {
    /// The target of a request, with a query in it.
    fn target(&self, query: &str) -> String {
        let path = match self.protocol {
            Protocol::EngineIo => "engine.io",
            Protocol::SocketIo => "socket.io",
        };
        format!("/{path}/?{query}")
    }

    /// Shows that the connection works both ways, and changes nothing in it: a message comes back,
    /// or a namespace that is not there is refused.
    ///
    /// # Panics
    ///
    /// If the answer is another, or none.
    pub async fn assert_alive(&self, socket: &mut WebSocket) {
        let (request, answer) = match self.protocol {
            Protocol::EngineIo => ("4hello", "4hello"),
            Protocol::SocketIo => (
                "40/nowhere,",
                r#"44/nowhere,{"message":"Invalid namespace"}"#,
            ),
        };
        socket.send(request).await;
        assert_eq!(socket.text().await, answer);
    }
}

/// The two servers of a subject, in one process. It stops when the test process ends, because its
/// standard input ends then.
#[derive(Debug)]
pub struct Servers {
    /// The Engine.IO server.
    pub engineio: Endpoint,
    /// The Socket.IO server.
    pub socketio: Endpoint,
    /// Holds the standard input open.
    _process: Child,
}

impl Servers {
    /// Our servers: `binary` is the built `conformance-server`.
    ///
    /// # Panics
    ///
    /// If they do not serve within [`PATIENCE`].
    pub fn selvedge(binary: &str, waits: Waits) -> Self {
        Self::start(Subject::Selvedge, Command::new(binary), waits)
    }

    /// The official servers; `None` where there is no Node.
    ///
    /// # Panics
    ///
    /// If they do not serve within [`PATIENCE`].
    pub fn official(waits: Waits) -> Option<Self> {
        let command = npm::command("conformance.mjs")?;
        Some(Self::start(Subject::Official, command, waits))
    }

    fn start(subject: Subject, mut command: Command, waits: Waits) -> Self {
        /// What the process says first.
        #[derive(Deserialize)]
        struct Serving {
            engineio: SocketAddr,
            socketio: SocketAddr,
        }
        let anywhere = "127.0.0.1:0";
        command
            .args(["--engineio", anywhere, "--socketio", anywhere])
            .args(["--ping-timeout", &waits.ping.as_millis().to_string()])
            .args(["--connect-timeout", &waits.connect.as_millis().to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut process = command
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
        let stdout = process.stdout.take().expect("the output of the server");
        let (sender, first) = mpsc::channel();
        thread::spawn(move || {
            let mut line = String::new();
            let read = BufReader::new(stdout).read_line(&mut line);
            let _ = sender.send(read.map(|_| line));
        });
        let line = match first.recv_timeout(PATIENCE) {
            Ok(Ok(line)) => line,
            ended => panic!("{command:?} does not serve: {ended:?}"),
        };
        let serving: Serving = serde_json::from_str(&line)
            .unwrap_or_else(|error| panic!("{command:?} said {line:?}: {error}"));
        let endpoint = |protocol, address| Endpoint {
            subject,
            protocol,
            address,
        };
        Self {
            engineio: endpoint(Protocol::EngineIo, serving.engineio),
            socketio: endpoint(Protocol::SocketIo, serving.socketio),
            _process: process,
        }
    }
}

/// Makes tests of cases: functions from an [`Endpoint`], in modules of the test's file. The servers
/// of a subject are started once in a test process, with the [`Waits`] that are named first.
///
/// ```text
/// conformance! {
///     with SUITES:
///     2 of engineio {
///         handshake { opens_a_session, }
///         closes_a_session,
///     }
/// }
/// ```
///
/// makes `selvedge::handshake::opens_a_session` and `official::handshake::opens_a_session` of
/// `crate::handshake::opens_a_session`, and so on. The number is checked when it is compiled, and a
/// case that is not listed is dead code.
#[macro_export]
#[expect(
    clippy::crate_in_macro_def,
    reason = "the cases are those of the test's own crate"
)]
macro_rules! conformance {
    (@count) => { 0 };
    (@count $module:ident { $($cases:tt)* } $($rest:tt)*) => {
        $crate::conformance!(@count $($cases)*) + $crate::conformance!(@count $($rest)*)
    };
    (@count $case:ident, $($rest:tt)*) => { 1 + $crate::conformance!(@count $($rest)*) };

    (@servers selvedge $waits:ident) => {
        Some($crate::conformance::Servers::selvedge(
            env!("CARGO_BIN_EXE_conformance-server"),
            $crate::conformance::Waits::$waits,
        ))
    };
    (@servers official $waits:ident) => {
        $crate::conformance::Servers::official($crate::conformance::Waits::$waits)
    };

    (@subject $subject:ident $waits:ident $($server:ident { $($cases:tt)* })+) => {
        mod $subject {
            static SERVERS: std::sync::LazyLock<Option<$crate::conformance::Servers>> =
                std::sync::LazyLock::new(|| {
                    $crate::conformance!(@servers $subject $waits)
                });

            $($crate::conformance!(@tests $subject $server [] $($cases)*);)+
        }
    };

    (@tests $subject:ident $server:ident [$($path:ident)*]) => {};
    (@tests $subject:ident $server:ident [$($path:ident)*]
        $module:ident { $($cases:tt)* } $($rest:tt)*) => {
        mod $module {
            $crate::conformance!(@tests $subject $server [$($path)* $module] $($cases)*);
        }
        $crate::conformance!(@tests $subject $server [$($path)*] $($rest)*);
    };
    (@tests $subject:ident $server:ident [$($path:ident)*] $case:ident, $($rest:tt)*) => {
        #[tokio::test]
        async fn $case() {
            if let Some(servers) = &*crate::$subject::SERVERS {
                $crate::conformance::play(|| crate::$($path::)*$case(servers.$server)).await;
            }
        }
        $crate::conformance!(@tests $subject $server [$($path)*] $($rest)*);
    };

    (with $waits:ident: $($count:literal of $server:ident { $($cases:tt)* })+) => {
        $(const _: () = assert!(
            $crate::conformance!(@count $($cases)*) == $count,
            concat!("there are not ", $count, " cases"),
        );)+
        $crate::conformance!(@subject selvedge $waits $($server { $($cases)* })+);
        $crate::conformance!(@subject official $waits $($server { $($cases)* })+);
    };
}
