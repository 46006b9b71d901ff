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
pub mod sessions;
mod websocket;

use std::{
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::{OnceLock, mpsc},
    thread,
    time::Duration,
};

use serde::Deserialize;

pub use self::{
    http::{Answer, Exchange, Session},
    websocket::WebSocket,
};
use crate::{PATIENCE, npm};

/// How often the servers ping.
pub const PING_INTERVAL: Duration = Duration::from_millis(300);

/// How long the servers wait for a pong.
pub const PING_TIMEOUT: Duration = Duration::from_millis(200);

/// How long the Socket.IO servers wait for a first CONNECT.
pub const CONNECT_TIMEOUT: Duration = Duration::from_millis(1_000);

/// The largest body and the largest packet that the servers take, in bytes.
pub const MAX_PAYLOAD: usize = 1_000_000;

/// How long a request that is written, or a connection that is dropped, is given to come to the
/// server's notice. It is short beside [`PING_INTERVAL`], and long for a loopback.
pub const SETTLE: Duration = Duration::from_millis(60);

/// How much later than due a deadline may be kept on a loaded machine.
pub const LATE_MAX: Duration = Duration::from_secs(2);

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

/// The two servers of a subject, in one process. It is started once in a test process, and stops
/// when that ends, because its standard input ends then.
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
    pub fn selvedge(binary: &str) -> &'static Self {
        static SERVERS: OnceLock<Servers> = OnceLock::new();
        SERVERS.get_or_init(|| Self::start(Subject::Selvedge, Command::new(binary)))
    }

    /// The official servers; `None` where there is no Node.
    ///
    /// # Panics
    ///
    /// If they do not serve within [`PATIENCE`].
    pub fn official() -> Option<&'static Self> {
        static SERVERS: OnceLock<Option<Servers>> = OnceLock::new();
        let start = || {
            let command = npm::command("conformance.mjs")?;
            Some(Self::start(Subject::Official, command))
        };
        SERVERS.get_or_init(start).as_ref()
    }

    fn start(subject: Subject, mut command: Command) -> Self {
        /// What the process says first.
        #[derive(Deserialize)]
        struct Serving {
            engineio: SocketAddr,
            socketio: SocketAddr,
        }
        let anywhere = "127.0.0.1:0";
        command
            .args(["--engineio", anywhere, "--socketio", anywhere])
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

/// Makes tests of cases: functions from an [`Endpoint`], in modules of the test's file.
///
/// ```text
/// conformance! {
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

    (@servers selvedge) => {
        Some($crate::conformance::Servers::selvedge(env!("CARGO_BIN_EXE_conformance-server")))
    };
    (@servers official) => { $crate::conformance::Servers::official() };

    (@subject $subject:ident $($server:ident { $($cases:tt)* })+) => {
        mod $subject {
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
            if let Some(servers) = $crate::conformance!(@servers $subject) {
                crate::$($path::)*$case(servers.$server).await;
            }
        }
        $crate::conformance!(@tests $subject $server [$($path)*] $($rest)*);
    };

    ($($count:literal of $server:ident { $($cases:tt)* })+) => {
        $(const _: () = assert!(
            $crate::conformance!(@count $($cases)*) == $count,
            concat!("there are not ", $count, " cases"),
        );)+
        $crate::conformance!(@subject selvedge $($server { $($cases)* })+);
        $crate::conformance!(@subject official $($server { $($cases)* })+);
    };
}
