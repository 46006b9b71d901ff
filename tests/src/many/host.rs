//! One plugin, and its host, which ends each turn as soon as it has it and keeps book of them.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use selvedge_core::{
    id::{AgentId, GuildId, MessageId},
    plugin::inbound::{self, Inbound},
};
use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    process::{Child, ChildStdin, ChildStdout, Command},
    sync::{mpsc, watch},
    task::JoinHandle,
    time::timeout,
};

use super::crowd::{Crowd, Posted};
use crate::{
    PATIENCE, binary,
    fabric::{Fault, free_port},
};

/// A plugin with its host. Dropping it kills the plugin.
pub(super) struct Host {
    plugin: Child,
    log: PathBuf,
    status: String,
    ledger: Arc<Ledger>,
    tasks: Vec<JoinHandle<()>>,
    _folder: TempDir,
}

/// How often each agent was woken by each message.
struct Ledger {
    wakes: Mutex<BTreeMap<(GuildId, MessageId, AgentId), usize>>,
    /// How many wakes there were, or why there are no more.
    count: watch::Sender<Result<usize, String>>,
}

impl Ledger {
    fn wakes(&self) -> MutexGuard<'_, BTreeMap<(GuildId, MessageId, AgentId), usize>> {
        self.wakes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, inbound: &Inbound) {
        for message in &inbound.messages {
            let guild = inbound.channel.guild_id.clone();
            let wake = (guild, message.id.clone(), inbound.agent_id.clone());
            *self.wakes().entry(wake).or_default() += 1;
        }
        let more = inbound.messages.len();
        self.count.send_modify(|count| {
            if let Ok(count) = count {
                *count += more;
            }
        });
    }

    /// Who of them has not been woken.
    fn missing(&self, posted: &[Posted]) -> usize {
        let wakes = self.wakes();
        let of = |it: &Posted| {
            let key = |agent: &AgentId| (it.guild.clone(), it.message.clone(), agent.clone());
            let asleep = it
                .agents
                .iter()
                .filter(|agent| !wakes.contains_key(&key(agent)));
            asleep.count()
        };
        posted.iter().map(of).sum()
    }
}

/// A message of MCP, as far as it is read.
#[derive(Deserialize)]
struct Heard {
    id: Option<u64>,
    method: Option<String>,
    params: Option<Value>,
}

impl Host {
    /// Starts a plugin with every agent of the crowd, which logs in at `center`.
    pub(super) async fn start(crowd: &Crowd, center: &str) -> Result<Self, Fault> {
        let folder = tempfile::tempdir()?;
        let listen = format!("127.0.0.1:{}", free_port()?);
        let (agents, keys) = crowd.config();
        let config = format!(
            "[center]\nurl = {center:?}\n[store]\npath = \"plugin.sqlite\"\n\
             [status]\nlisten = {listen:?}\n{agents}"
        );
        let file = folder.path().join("selvedge.toml");
        fs::write(&file, config)?;
        let log = folder.path().join("log");
        let mut plugin = Command::new(binary::selvedge());
        plugin.arg("plugin").arg("--config").arg(&file).envs(keys);
        let mut plugin = plugin
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(&log)?)
            .kill_on_drop(true)
            .spawn()?;
        let mut stdin = plugin.stdin.take().ok_or("no standard input")?;
        let stdout = plugin.stdout.take().ok_or("no standard output")?;
        let mut stdout = BufReader::new(stdout);
        timeout(PATIENCE, greet(&mut stdin, &mut stdout)).await??;
        let ledger = Arc::new(Ledger {
            wakes: Mutex::default(),
            count: watch::Sender::new(Ok(0)),
        });
        let (done_in, done) = mpsc::unbounded_channel();
        let book = Arc::clone(&ledger);
        let tasks = vec![
            tokio::spawn(async move {
                let ended = listen_to(stdout, &book, done_in).await;
                let why = ended
                    .err()
                    .map_or_else(|| "it ended".into(), |fault| fault.to_string());
                let _ = book.count.send_replace(Err(why));
            }),
            tokio::spawn(async move {
                // A plugin that is gone is noticed by whoever reads what it says.
                let _ = speak(stdin, done).await;
            }),
        ];
        Ok(Self {
            plugin,
            log,
            status: format!("http://{listen}"),
            ledger,
            tasks,
            _folder: folder,
        })
    }

    pub(super) fn process(&self) -> Result<u32, Fault> {
        self.plugin
            .id()
            .ok_or_else(|| "the plugin has ended".into())
    }

    /// Where the plugin tells how it does.
    pub(super) fn status(&self) -> &str {
        &self.status
    }

    /// How many lines the plugin has logged.
    pub(super) fn lines(&self) -> Result<usize, Fault> {
        lines(&self.log)
    }

    /// Waits until everybody has been woken by these posts.
    pub(super) async fn woken(&self, posted: &[Posted]) -> Result<(), Fault> {
        let mut count = self.ledger.count.subscribe();
        let all = async {
            loop {
                if let Err(why) = count.borrow_and_update().clone() {
                    return Err(format!("the plugin says no more: {why}").into());
                }
                if self.ledger.missing(posted) == 0 {
                    return Ok(());
                }
                count.changed().await?;
            }
        };
        let ended = timeout(PATIENCE, all).await;
        ended.unwrap_or_else(|_| {
            let missing = self.ledger.missing(posted);
            Err(format!("{missing} wakes have not come in {PATIENCE:?}").into())
        })
    }

    /// How many wakes came more than once.
    pub(super) fn doubled(&self) -> usize {
        let wakes = self.ledger.wakes();
        wakes.values().filter(|times| **times > 1).count()
    }

    /// Ends the plugin.
    pub(super) async fn stop(mut self) -> Result<(), Fault> {
        for task in &self.tasks {
            task.abort();
        }
        Ok(self.plugin.kill().await?)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

fn lines(file: &Path) -> Result<usize, Fault> {
    let text = fs::read(file)?;
    Ok(text.iter().filter(|byte| **byte == b'\n').count())
}

async fn say(stdin: &mut ChildStdin, message: &Value) -> Result<(), Fault> {
    Ok(stdin.write_all(format!("{message}\n").as_bytes()).await?)
}

async fn greet(stdin: &mut ChildStdin, stdout: &mut BufReader<ChildStdout>) -> Result<(), Fault> {
    let params = json!({
        "protocolVersion": "2025-11-25",
        "capabilities": {"experimental": {"selvedge/turns": {}}},
        "clientInfo": {"name": "many", "version": "0"},
    });
    let hello = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params});
    say(stdin, &hello).await?;
    loop {
        let mut line = String::new();
        if stdout.read_line(&mut line).await? == 0 {
            return Err("the plugin has ended".into());
        }
        if serde_json::from_str::<Heard>(&line)?.id == Some(0) {
            break;
        }
    }
    let ready = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
    say(stdin, &ready).await
}

async fn listen_to(
    stdout: BufReader<ChildStdout>,
    ledger: &Ledger,
    done: mpsc::UnboundedSender<Inbound>,
) -> Result<(), Fault> {
    let mut lines = stdout.lines();
    while let Some(line) = lines.next_line().await? {
        let heard: Heard = serde_json::from_str(&line)?;
        if let (Some(inbound::METHOD), Some(params)) = (heard.method.as_deref(), heard.params) {
            let inbound: Inbound = serde_json::from_value(params)?;
            ledger.enter(&inbound);
            done.send(inbound)?;
        }
    }
    Ok(())
}

/// Ends every turn, in their order.
async fn speak(
    mut stdin: ChildStdin,
    mut turns: mpsc::UnboundedReceiver<Inbound>,
) -> Result<(), Fault> {
    let mut calls = 0_u64;
    while let Some(Inbound {
        turn_id, agent_id, ..
    }) = turns.recv().await
    {
        calls += 1;
        let arguments = json!({"turn_id": turn_id, "agent_id": agent_id});
        let params = json!({"name": "turn_done", "arguments": arguments});
        let call = json!({"jsonrpc": "2.0", "id": calls, "method": "tools/call", "params": params});
        say(&mut stdin, &call).await?;
    }
    Ok(())
}
