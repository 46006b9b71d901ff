//! The plugin with a host that reads: the far end of its pipe.

use std::{fs, fs::File, process::Stdio};

use selvedge_core::plugin::inbound;
use serde::Deserialize;
use serde_json::json;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

use super::wire::{made_at, nanos};
use crate::{PATIENCE, binary, cost::Cost, fabric::Fault};

/// How much of the pipe is read at a time: as much as it holds.
const PIECE: usize = 64 << 10;

/// How much of a line is looked at for its method.
const HEAD: usize = 100;

/// A running plugin. Dropping it kills it.
pub(super) struct Plugin {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    line: Vec<u8>,
    folder: TempDir,
}

/// Messages that have reached the host.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Arrived {
    pub(super) messages: usize,
    pub(super) seqs: u64,
    /// How long the last of them took from its making, in nanoseconds.
    pub(super) took: u64,
}

/// A line of the plugin, as far as it is read.
#[derive(Deserialize)]
struct Notification<'a> {
    #[serde(borrow)]
    params: Inbound<'a>,
}

#[derive(Deserialize)]
struct Inbound<'a> {
    #[serde(borrow)]
    messages: Vec<Message<'a>>,
    skipped: u64,
}

#[derive(Deserialize)]
struct Message<'a> {
    seq: u64,
    content: &'a str,
}

impl Plugin {
    /// Starts a plugin with so many agents, with the default configuration but for the listing of
    /// channels, which is no part of this: the blaster tells of no message that it does not say.
    pub(super) async fn start(port: u16, agents: usize) -> Result<Self, Fault> {
        let folder = tempfile::tempdir()?;
        let mut config = format!(
            "[center]\nurl = \"http://127.0.0.1:{port}\"\n[store]\npath = \"plugin.sqlite\"\n\
             [plugin]\nlisting_every_ms = 86400000\n"
        );
        for agent in 0..agents {
            config +=
                &format!("[[agent]]\nid = \"agent-{agent}\"\napi_key_env = \"KEY_{agent}\"\n");
        }
        let file = folder.path().join("selvedge.toml");
        fs::write(&file, config)?;
        let mut plugin = Command::new(binary::selvedge());
        plugin.arg("plugin").arg("--config").arg(&file);
        plugin.env("SELVEDGE_LOG", "warn").kill_on_drop(true);
        plugin.envs((0..agents).map(|agent| (format!("KEY_{agent}"), format!("key-{agent}"))));
        let mut child = plugin
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(folder.path().join("log"))?)
            .spawn()?;
        let stdin = child.stdin.take().ok_or("no standard input")?;
        let stdout = child.stdout.take().ok_or("no standard output")?;
        let mut plugin = Self {
            child,
            stdin,
            stdout: BufReader::with_capacity(PIECE, stdout),
            line: Vec::new(),
            folder,
        };
        timeout(PATIENCE, plugin.greet()).await??;
        Ok(plugin)
    }

    /// Does what a host does that says nothing of turns: a turn ends when it is written.
    async fn greet(&mut self) -> Result<(), Fault> {
        let params = json!({
            "protocolVersion": "2025-11-25",
            "capabilities": {},
            "clientInfo": { "name": "receive", "version": "0" },
        });
        let hello = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params});
        self.stdin
            .write_all(format!("{hello}\n").as_bytes())
            .await?;
        let answer = self.line().await?;
        if !String::from_utf8_lossy(answer).contains(r#""id":0"#) {
            return Err("the plugin says something else first".into());
        }
        let ready = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        Ok(self
            .stdin
            .write_all(format!("{ready}\n").as_bytes())
            .await?)
    }

    async fn line(&mut self) -> Result<&[u8], Fault> {
        self.line.clear();
        if self.stdout.read_until(b'\n', &mut self.line).await? == 0 {
            let log = fs::read_to_string(self.folder.path().join("log"))?;
            return Err(format!("the plugin has ended: {log}").into());
        }
        Ok(&self.line)
    }

    /// Waits for the next messages.
    pub(super) async fn next(&mut self) -> Result<Arrived, Fault> {
        loop {
            let line = self.line().await?;
            let head = line.get(..HEAD.min(line.len())).unwrap_or_default();
            let method = inbound::METHOD.as_bytes();
            if !head.windows(method.len()).any(|part| part == method) {
                continue;
            }
            let Notification { params } = serde_json::from_slice(line)?;
            if params.skipped > 0 {
                return Err(format!("{} messages were skipped", params.skipped).into());
            }
            let made = params
                .messages
                .last()
                .and_then(|last| made_at(last.content));
            return Ok(Arrived {
                messages: params.messages.len(),
                seqs: params.messages.iter().map(|message| message.seq).sum(),
                took: nanos().saturating_sub(made.ok_or("a message without its time")?),
            });
        }
    }

    /// Whether more has been read from the pipe already.
    pub(super) fn has_more(&self) -> bool {
        !self.stdout.buffer().is_empty()
    }

    pub(super) fn cost(&self) -> Result<Cost, Fault> {
        Cost::of(self.child.id().ok_or("the plugin has ended")?)
    }
}
