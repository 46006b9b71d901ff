//! A host that outlives its plugin: it speaks MCP over the pipes of one process after the other, answers
//! every turn, channels side by side, and notes down what it sees.

use std::{
    collections::BTreeMap,
    fs::File,
    path::Path,
    process::Stdio,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use selvedge_core::rng::Rng;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    process::{Child, ChildStdin, ChildStdout, Command},
    sync::oneshot,
    task::{JoinHandle, JoinSet},
    time::{sleep, timeout},
};

use super::{
    judge::answer,
    ledger::{Deed, Handed, Ledger, Told},
};
use crate::{PATIENCE, fabric::Fault};

/// What an inbound is called.
const INBOUND: &str = "notifications/plexum/channel/inbound";
/// How long the agent thinks before it answers, and how long it goes on afterwards.
const THINKS: Duration = Duration::from_millis(500);
const GOES_ON: Duration = Duration::from_millis(100);
/// How long it waits before it tries what did not work again.
const AGAIN: Duration = Duration::from_millis(250);
/// How long the plugin may take to say what is pending.
const ASKED: Duration = Duration::from_secs(10);
/// What `send` says where the agent has to look for itself.
const UNKNOWN: &str = "not known whether it was posted";

/// One life of the plugin. Dropping it ends the process.
#[derive(Debug)]
pub(super) struct Life {
    plugin: Child,
    wire: Arc<Wire>,
    reading: JoinHandle<()>,
}

/// What the tasks of a life share.
#[derive(Debug)]
struct Wire {
    life: usize,
    ledger: Ledger,
    rng: Rng,
    stdin: tokio::sync::Mutex<Option<ChildStdin>>,
    calls: AtomicU64,
    open: Mutex<BTreeMap<u64, oneshot::Sender<Value>>>,
}

impl Life {
    /// Starts the plugin for its life of this number, which logs to `log`.
    ///
    /// # Errors
    ///
    /// Where it does not start.
    pub(super) async fn start(
        mut plugin: Command,
        life: usize,
        ledger: &Ledger,
        rng: &Rng,
        log: &Path,
    ) -> Result<Self, Fault> {
        let mut plugin = plugin
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(log)?)
            .kill_on_drop(true)
            .spawn()?;
        let stdin = plugin.stdin.take().ok_or("no standard input")?;
        let stdout = plugin.stdout.take().ok_or("no standard output")?;
        let wire = Arc::new(Wire {
            life,
            ledger: ledger.clone(),
            rng: rng.fork(&format!("life {life}")),
            stdin: Some(stdin).into(),
            calls: AtomicU64::new(0),
            open: Mutex::default(),
        });
        let reading = tokio::spawn(Arc::clone(&wire).read(stdout));
        let started = Self {
            plugin,
            wire,
            reading,
        };
        let hello = json!({
            "protocolVersion": "2025-11-25",
            "capabilities": {"experimental": {"selvedge/turns": {}}},
            "clientInfo": {"name": "survivor", "version": "0"},
        });
        timeout(PATIENCE, started.wire.ask("initialize", hello)).await??;
        let ready = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        started.wire.say(&ready).await?;
        Ok(started)
    }

    /// In how many channels the plugin hears messages now.
    ///
    /// # Errors
    ///
    /// Where it does not say.
    pub(super) async fn live_channels(&self) -> Result<usize, Fault> {
        let listed = self.wire.call("list_channels", json!({})).await?;
        // Before it has logged in it knows of none, and says so.
        let listed = listed.unwrap_or_default();
        let channels = listed.get("channels").and_then(Value::as_array);
        let live = |channel: &&Value| channel.get("live") == Some(&Value::Bool(true));
        Ok(channels.into_iter().flatten().filter(live).count())
    }

    /// What the plugin says of what is pending, where it says anything.
    pub(super) async fn pending(&self) -> String {
        let pending = self.wire.call("list_pending", json!({}));
        match timeout(ASKED, pending).await {
            Ok(Ok(Ok(pending))) => pending.to_string(),
            other => format!("{other:?}"),
        }
    }

    /// Ends the plugin by the end of its input, as a host does.
    ///
    /// # Errors
    ///
    /// Where it does not end well.
    pub(super) async fn finish(mut self) -> Result<(), Fault> {
        if let Some(status) = self.plugin.try_wait()? {
            return Err(format!("the plugin has ended by itself: {status}").into());
        }
        self.wire.stdin.lock().await.take();
        let status = timeout(PATIENCE, self.plugin.wait()).await??;
        match status.success() {
            true => Ok(()),
            false => Err(format!("the plugin did not end well: {status}").into()),
        }
    }

    /// Kills the plugin with SIGKILL, by its own process id, and reads what it had written.
    ///
    /// # Errors
    ///
    /// Where it has ended by itself before, or cannot be killed.
    pub(super) async fn kill(mut self) -> Result<(), Fault> {
        if let Some(status) = self.plugin.try_wait()? {
            return Err(format!("the plugin has ended by itself: {status}").into());
        }
        self.plugin.kill().await?;
        timeout(PATIENCE, &mut self.reading).await??;
        self.wire.ledger.note(self.wire.life, Deed::Killed);
        Ok(())
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

impl Wire {
    /// Reads everything that the plugin writes, and takes the turns; the agent dies with the plugin.
    async fn read(self: Arc<Self>, stdout: ChildStdout) {
        let mut agent = JoinSet::new();
        let mut lines = BufReader::new(stdout).lines();
        // The last line of a plugin that was killed may be half a line.
        while let Ok(Some(line)) = lines.next_line().await {
            let Ok(message) = serde_json::from_str::<Value>(&line) else {
                continue;
            };
            while agent.try_join_next().is_some() {}
            if let Some(id) = message.get("id").and_then(Value::as_u64) {
                let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(waiting) = open.remove(&id) {
                    // Nobody may be waiting any more.
                    let _ = waiting.send(message);
                }
            } else if message.get("method") == Some(&INBOUND.into())
                && let Some(handed) = message.get("params")
                && let Ok(handed) = serde_json::from_value::<Handed>(handed.clone())
            {
                self.ledger.note(self.life, Deed::Handed(handed.clone()));
                agent.spawn(Arc::clone(&self).take(handed));
            }
        }
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.clear();
    }

    /// The agent takes a turn; without a plugin it cannot go on.
    async fn take(self: Arc<Self>, handed: Handed) {
        let mut rng = self
            .rng
            .fork(&format!("{} {}", handed.turn, handed.attempt));
        for told in &handed.messages {
            sleep(rng.between(Duration::ZERO, THINKS)).await;
            if self.answer(&handed, told).await.is_err() {
                return;
            }
        }
        sleep(rng.between(Duration::ZERO, GOES_ON)).await;
        self.ledger
            .note(self.life, Deed::Ending(handed.turn.clone()));
        let done = json!({"turn_id": handed.turn});
        if let Ok(Ok(_)) = self.call("turn_done", done).await {
            self.ledger.note(self.life, Deed::Ended(handed.turn));
        }
    }

    /// The agent answers a message, and does what `send` says where that does not work.
    async fn answer(&self, handed: &Handed, told: &Told) -> Result<(), Fault> {
        let channel = &handed.channel.id;
        let send = json!({
            "channel_id": channel, "reply_to": told.id, "content": answer(&told.content),
        });
        let mut look = false;
        loop {
            if look {
                let history = json!({"channel_id": channel, "limit": 200});
                let Ok(history) = self.call("get_history", history).await? else {
                    sleep(AGAIN).await;
                    continue;
                };
                let said = history.get("messages").and_then(Value::as_array);
                let reply = |it: &Value| it.get("reply_to") == Some(&told.id.as_str().into());
                if said.into_iter().flatten().any(reply) {
                    return Ok(());
                }
            }
            match self.call("send", send.clone()).await? {
                Ok(sent) => {
                    let already = sent.get("already_posted") == Some(&Value::Bool(true));
                    let message = told.id.clone();
                    self.ledger
                        .note(self.life, Deed::Answered { message, already });
                    return Ok(());
                }
                Err(why) => {
                    look = why.contains(UNKNOWN);
                    let message = told.id.clone();
                    self.ledger.note(self.life, Deed::Refused { message, why });
                    sleep(AGAIN).await;
                }
            }
        }
    }

    /// Calls a tool: what it answers, or its words where it failed.
    async fn call(&self, name: &str, arguments: Value) -> Result<Result<Value, String>, Fault> {
        let params = json!({"name": name, "arguments": arguments});
        let result = self.ask("tools/call", params).await?;
        let words = result.pointer("/content/0/text").and_then(Value::as_str);
        Ok(match result.get("isError") {
            Some(Value::Bool(true)) => Err(words.unwrap_or_default().to_owned()),
            _ => Ok(result.get("structuredContent").cloned().unwrap_or_default()),
        })
    }

    /// Makes a request of MCP, and waits for its answer as long as the plugin lives.
    async fn ask(&self, method: &str, params: Value) -> Result<Value, Fault> {
        let id = self.calls.fetch_add(1, Ordering::Relaxed);
        let (answered, answer) = oneshot::channel();
        self.open
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(id, answered);
        self.say(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}))
            .await?;
        let message = answer.await?;
        let result = message.get("result").cloned();
        result.ok_or_else(|| format!("{method}: {message}").into())
    }

    async fn say(&self, message: &Value) -> Result<(), Fault> {
        let line = format!("{message}\n");
        let mut stdin = self.stdin.lock().await;
        let stdin = stdin.as_mut().ok_or("the plugin is to end")?;
        Ok(stdin.write_all(line.as_bytes()).await?)
    }
}
