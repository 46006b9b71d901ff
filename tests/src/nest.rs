//! An older guild on NestJS with its Center, from `tests/nest`, and the plugin of an agent there.

use std::fs;

use selvedge_core::plugin::inbound::Inbound;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

use crate::{binary, caller::Caller, fabric::Fault, npm};

/// The folder of the guild.
const FOLDER: &str = "nest";

/// The guild, where alice and the agent echo are users. Dropping it ends it.
#[derive(Debug)]
pub struct Nest {
    guild: npm::Peer,
    port: u16,
    folder: TempDir,
    /// Whether the guild answers joins, as the plugin is told too.
    join_acks: bool,
}

impl Nest {
    /// Starts a guild that answers joins, or does not. `None` where there is no Node.
    ///
    /// # Errors
    ///
    /// Where there is no folder for the plugin.
    pub async fn start(join_acks: bool) -> Result<Option<Self>, Fault> {
        let Some(mut command) = npm::command_in(FOLDER, "guild.mjs") else {
            return Ok(None);
        };
        command.arg(json!({ "joinAcks": join_acks }).to_string());
        let mut guild = npm::peer(command);
        let port = |line: &Value| u16::try_from(line.get("port")?.as_u64()?).ok();
        let port = guild.wait_for("its port", port).await;
        Ok(Some(Self {
            guild,
            port,
            folder: tempfile::tempdir()?,
            join_acks,
        }))
    }

    /// Starts the plugin of the agent with a host that calls its tools by hand. It goes on with what
    /// an earlier one has stored.
    ///
    /// # Errors
    ///
    /// Where it does not start.
    pub async fn start_caller(&self) -> Result<Caller, Fault> {
        let origin = format!("http://127.0.0.1:{}", self.port);
        let config = format!(
            "[center]\nurl = {origin:?}\n[guild.guild-1]\nurl = {origin:?}\n\
             [store]\npath = \"plugin.sqlite\"\n[plugin]\njoin_acks = {}\n\
             [[agent]]\nid = \"echo\"\napi_key_env = \"ECHO\"\n",
            self.join_acks
        );
        let file = self.folder.path().join("selvedge.toml");
        fs::write(&file, config)?;
        let mut plugin = Command::new(binary::selvedge());
        plugin.arg("plugin").arg("--config").arg(&file);
        plugin.env("ECHO", "key-of-echo");
        plugin.env("XDG_STATE_HOME", self.folder.path().join("state"));
        Caller::start(plugin).await
    }

    /// Makes the guild do what it has a name for.
    pub async fn wish(&mut self, wish: &Value) {
        self.guild.tell(wish).await;
    }

    /// Waits until the guild has told of what has all these members.
    pub async fn saw(&mut self, wanted: &Value) -> Value {
        self.guild.saw(wanted).await
    }

    /// Alice posts, and so many sockets of the channel hear it.
    pub async fn posts(&mut self, channel: &str, content: &str, heard: u64) {
        self.wish(&json!({"post": channel, "content": content}))
            .await;
        let stored = json!({"stored": content, "by": "alice", "heard": heard});
        self.saw(&stored).await;
    }

    /// What the agent has posted in a channel.
    pub async fn posted(&mut self, channel: &str) -> Vec<String> {
        self.wish(&json!({ "read": channel })).await;
        let read = self.saw(&json!({ "read": channel })).await;
        let messages = read.get("messages").and_then(Value::as_array);
        let own = |message: &&Value| message.pointer("/author/name") == Some(&"echo".into());
        let own = messages.into_iter().flatten().filter(own);
        own.filter_map(|message| message.get("content")?.as_str().map(str::to_owned))
            .collect()
    }

    /// Ends the guild.
    pub async fn stop(mut self) {
        self.guild.stop().await;
    }
}

/// The agent answers the last message of a turn; what the tool says.
///
/// # Errors
///
/// Where the tool says that it did not work.
pub async fn answer(caller: &mut Caller, inbound: &Inbound) -> Result<Value, Fault> {
    let last = inbound.messages.last().ok_or("a turn without messages")?;
    let send = json!({
        "channel_id": inbound.channel.id.as_str(), "reply_to": last.id.as_str(),
        "content": format!("echo: {}", last.content),
    });
    Ok(caller.call("send", send).await??)
}

/// The agent ends a turn.
///
/// # Errors
///
/// Where the tool says that it did not work.
pub async fn done(caller: &mut Caller, inbound: &Inbound) -> Result<Value, Fault> {
    let turn = json!({"turn_id": inbound.turn_id.as_str()});
    Ok(caller.call("turn_done", turn).await??)
}
