//! A host of the plugin that calls its tools by hand, line by line over the plugin's pipes.

use std::{process::Stdio, time::Duration};

use rustix::process::Pid;
use selvedge_core::{
    id::TurnId,
    plugin::inbound::{self, Inbound},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::{sleep, timeout},
};

use crate::{PATIENCE, fabric::Fault};

/// What a tool says before the plugin has connected.
const EARLY: [&str; 3] = [
    "is not running; try again",
    "no guild is known yet",
    "the agent is not in channel",
];
/// How often a tool is called until then.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A plugin, and the host that started it. Dropping it ends the plugin.
#[derive(Debug)]
pub struct Caller {
    plugin: Child,
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    calls: u64,
    /// What has come so far.
    inbounds: Vec<Inbound>,
}

impl Caller {
    /// Starts the plugin and its session.
    ///
    /// # Errors
    ///
    /// Where it does not start.
    pub async fn start(mut plugin: Command) -> Result<Self, Fault> {
        let mut plugin = plugin
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let stdin = plugin.stdin.take().ok_or("no standard input")?;
        let stdout = plugin.stdout.take().ok_or("no standard output")?;
        let mut caller = Self {
            plugin,
            stdin,
            lines: BufReader::new(stdout).lines(),
            calls: 0,
            inbounds: Vec::new(),
        };
        let hello = json!({
            "protocolVersion": "2025-11-25",
            "capabilities": {"experimental": {"selvedge/turns": {}}},
            "clientInfo": {"name": "caller", "version": "0"},
        });
        caller.ask("initialize", hello).await?;
        let ready = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        caller.say(&ready).await?;
        Ok(caller)
    }

    /// Calls a tool: what it answers, or its words where it failed.
    ///
    /// # Errors
    ///
    /// Where the plugin does not answer at all.
    pub async fn call(
        &mut self,
        name: &str,
        arguments: Value,
    ) -> Result<Result<Value, String>, Fault> {
        let params = json!({"name": name, "arguments": arguments});
        let result = self.ask("tools/call", params).await?;
        let words = result.pointer("/content/0/text").and_then(Value::as_str);
        Ok(
            match (result.get("isError"), result.get("structuredContent")) {
                (Some(Value::Bool(true)), _) => Err(words.unwrap_or_default().to_owned()),
                (_, Some(answer)) => Ok(answer.clone()),
                (_, None) => return Err(format!("{name}: {result}").into()),
            },
        )
    }

    /// Calls a tool, again for as long as the plugin is not connected yet: what it answers.
    ///
    /// # Errors
    ///
    /// Where the plugin does not answer at all, or the tool fails for another reason.
    pub async fn call_when_connected(
        &mut self,
        name: &str,
        arguments: &Value,
    ) -> Result<Value, Fault> {
        loop {
            match self.call(name, arguments.clone()).await? {
                Ok(answer) => return Ok(answer),
                Err(why) if EARLY.iter().any(|early| why.contains(early)) => {}
                Err(why) => return Err(format!("{name}: {why}").into()),
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// Makes a request of MCP.
    ///
    /// # Errors
    ///
    /// Where it is not answered, or with an error.
    pub async fn ask(&mut self, method: &str, params: Value) -> Result<Value, Fault> {
        self.calls += 1;
        let id = self.calls;
        let request = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        self.say(&request).await?;
        loop {
            let message = self.hear().await?;
            if message.get("id").and_then(Value::as_u64) == Some(id) {
                let result = message.get("result").cloned();
                return result.ok_or_else(|| format!("{method}: {message}").into());
            }
        }
    }

    /// Makes a notification of MCP.
    ///
    /// # Errors
    ///
    /// Where the plugin does not read it.
    pub async fn tell(&mut self, method: &str, params: Value) -> Result<(), Fault> {
        let notification = json!({"jsonrpc": "2.0", "method": method, "params": params});
        self.say(&notification).await
    }

    /// Waits until the plugin's log has told the host this.
    ///
    /// # Errors
    ///
    /// Where it does not.
    pub async fn logged(&mut self, words: &str) -> Result<(), Fault> {
        loop {
            let message = self.hear().await?;
            let said = message
                .pointer("/params/data/message")
                .and_then(Value::as_str);
            if said.is_some_and(|said| said.contains(words)) {
                return Ok(());
            }
        }
    }

    /// Waits until an inbound has come in a channel, and gives back its turn.
    ///
    /// # Errors
    ///
    /// Where none comes.
    pub async fn woken_in(&mut self, channel: &str) -> Result<TurnId, Fault> {
        self.inbound_in(channel, 0).await.map(|it| it.turn_id)
    }

    /// Waits until one more than `before` inbounds have come in a channel, and gives back the last.
    ///
    /// # Errors
    ///
    /// Where it does not come.
    pub async fn inbound_in(&mut self, channel: &str, before: usize) -> Result<Inbound, Fault> {
        loop {
            let of = |inbound: &&Inbound| inbound.channel.id.as_str() == channel;
            if let Some(inbound) = self.inbounds.iter().filter(of).nth(before) {
                return Ok(inbound.clone());
            }
            self.hear().await?;
        }
    }

    /// The process of the plugin.
    ///
    /// # Panics
    ///
    /// Where it has ended.
    #[expect(clippy::expect_used, reason = "a helper of tests fails the test")]
    pub fn id(&self) -> Pid {
        let id = self.plugin.id().and_then(|id| i32::try_from(id).ok());
        id.and_then(Pid::from_raw).expect("a plugin that runs")
    }

    /// Kills the plugin with SIGKILL, by its own process id, and waits until it is gone.
    ///
    /// # Errors
    ///
    /// Where it cannot be killed.
    pub async fn kill(mut self) -> Result<(), Fault> {
        Ok(self.plugin.kill().await?)
    }

    async fn say(&mut self, message: &Value) -> Result<(), Fault> {
        let line = format!("{message}\n");
        Ok(self.stdin.write_all(line.as_bytes()).await?)
    }

    async fn hear(&mut self) -> Result<Value, Fault> {
        let line = timeout(PATIENCE, self.lines.next_line()).await??;
        let message: Value = serde_json::from_str(&line.ok_or("the plugin has ended")?)?;
        let method = message.get("method").and_then(Value::as_str);
        if let (Some(inbound::METHOD), Some(params)) = (method, message.get("params")) {
            self.inbounds.push(serde_json::from_value(params.clone())?);
        }
        Ok(message)
    }
}
