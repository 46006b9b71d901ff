//! The servers, each a process of its own.

use std::{
    path::Path,
    process::{Command as Program, Stdio},
    time::Duration,
};

use selvedge_core::{Secret, fabric::types::XType};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    time::timeout,
};

use super::{ROOM, guild};
use crate::{PATIENCE, cost::cpu, fabric::Fault, npm};

/// What is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `selvedge guild --with-center`, with a channel of this kind.
    Guild(XType),
    /// The same with `--record`.
    Recorded(XType),
    /// The public server of Socket.IO.
    Selvedge,
    /// The one of `socketioxide`.
    Socketioxide,
    /// The official one, from npm.
    Npm,
}

impl Kind {
    /// As it is called in a table, and by the program `fan-out-server`.
    pub fn name(self) -> String {
        match self {
            Self::Guild(x_type) => format!("guild, {}", x_type.as_str()),
            Self::Recorded(x_type) => format!("recorded, {}", x_type.as_str()),
            Self::Selvedge => "selvedge".into(),
            Self::Socketioxide => "socketioxide".into(),
            Self::Npm => "socket.io".into(),
        }
    }
}

/// What a user of a guild is known by.
pub(super) struct Token(pub(super) Secret);

/// A server with a room. Dropping it kills the process.
pub struct Server {
    pub(super) port: u16,
    /// The room that the sockets enter.
    pub(super) room: String,
    /// A channel that nobody enters; a guild's alone.
    pub(super) aside: String,
    /// Of users that are in both channels; a guild's alone.
    pub(super) tokens: Vec<Token>,
    /// Whether it promises that all sockets get what is posted in the same order.
    pub(super) in_order: bool,
    auths: Vec<Value>,
    process: u32,
    _running: Running,
}

/// A process that says where it serves.
pub(super) struct Running {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    /// What it stores.
    _folder: Option<TempDir>,
}

impl Server {
    /// Starts a server for so many sockets; `program` is `fan-out-server`. `None` where it is from npm
    /// and there is no Node.
    ///
    /// # Errors
    ///
    /// Where the server does not start.
    pub async fn start(kind: Kind, program: &Path, sockets: usize) -> Result<Option<Self>, Fault> {
        let mut command = match kind {
            Kind::Guild(x_type) | Kind::Recorded(x_type) => {
                let is_recorded = matches!(kind, Kind::Recorded(_));
                return guild::start(x_type, sockets, is_recorded).await.map(Some);
            }
            Kind::Selvedge | Kind::Socketioxide => {
                let mut command = Program::new(program);
                command.arg(kind.name());
                command
            }
            Kind::Npm => match npm::command("fan-out.mjs") {
                Some(command) => command,
                None => return Ok(None),
            },
        };
        // The npm server is in production where it is measured.
        command.env("NODE_ENV", "production");
        let mut running = Running::start(command.into(), None)?;
        let port = running.says("").await?.parse()?;
        let mut server = Self::new(running, port, [ROOM.into(), String::new()], Vec::new())?;
        // It handles each event in a task of its own.
        server.in_order = kind != Kind::Socketioxide;
        Ok(Some(server))
    }

    pub(super) fn new(
        running: Running,
        port: u16,
        [room, aside]: [String; 2],
        tokens: Vec<Token>,
    ) -> Result<Self, Fault> {
        let mut auths: Vec<_> = tokens
            .iter()
            .map(|token| json!({ "token": token.0.expose() }))
            .collect();
        if auths.is_empty() {
            auths.push(json!({}));
        }
        Ok(Self {
            port,
            room,
            aside,
            tokens,
            in_order: true,
            auths,
            process: running.child.id().ok_or("the server has ended")?,
            _running: running,
        })
    }

    /// What a socket connects with: the users have about as many each.
    pub(super) fn auth(&self, number: usize) -> &Value {
        let auth = self.auths.get(number % self.auths.len());
        auth.unwrap_or(&Value::Null)
    }

    /// How much processor time it has taken so far.
    ///
    /// # Errors
    ///
    /// Where it has ended.
    pub fn cpu(&self) -> Result<Duration, Fault> {
        cpu(&self.process.to_string())
    }
}

impl Running {
    pub(super) fn start(mut command: Command, folder: Option<TempDir>) -> Result<Self, Fault> {
        // A server ends with its standard input, or is killed.
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let stdout = child.stdout.take().ok_or("no output")?;
        Ok(Self {
            child,
            lines: BufReader::new(stdout).lines(),
            _folder: folder,
        })
    }

    /// What follows `words` in the next line that has them.
    pub(super) async fn says(&mut self, words: &str) -> Result<String, Fault> {
        let said = async {
            while let Some(line) = self.lines.next_line().await? {
                if let Some((_, rest)) = line.split_once(words) {
                    return Ok(rest.to_owned());
                }
            }
            Err(format!("the server does not say {words:?}").into())
        };
        timeout(PATIENCE, said).await?
    }
}
