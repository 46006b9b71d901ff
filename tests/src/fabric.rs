//! A Fabric and an agent as child processes: what an operator runs, on free ports of loopback.

use std::{
    error::Error,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Output, Stdio},
    time::Duration,
};

use selvedge::{
    clock::Clock,
    echo::{EchoAgent, EchoEvent},
    http::Client,
    tls,
};
use selvedge_core::{
    Secret, Time,
    fabric::{
        center::Login,
        routes::{self, PostBody},
        types::{Channel, Message, Page},
    },
    http::{Method, Request},
    id::{ChannelId, MessageId},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::AsyncWriteExt as _,
    process::{Child, Command},
    sync::mpsc,
    time::{sleep, timeout},
};

use crate::{PATIENCE, binary, caller::Caller};

/// What goes wrong in a test.
pub type Fault = Box<dyn Error + Send + Sync>;

/// How often something is looked at again.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How long a token of a person is used: well below its life.
const TOKEN_USE: Duration = Duration::from_secs(5 * 60);

/// How an agent's plugin is told to reach its Center and its guild.
#[derive(Clone, Debug, Default)]
pub struct Reach {
    /// The URL of Center.
    pub center: String,
    /// The URL of the guild, where Center's word is not taken.
    pub guild: Option<String>,
    /// What else to trust.
    pub ca_file: Option<PathBuf>,
    /// The URL of the proxy.
    pub proxy: Option<String>,
}

/// A Center and a guild node, each a process of its own, with an agent and a person.
#[derive(Debug)]
pub struct Fabric {
    center: Child,
    guild: Option<Child>,
    center_port: u16,
    guild_port: u16,
    guild_key: String,
    folder: TempDir,
    /// How guild and plugin are recorded, if they are.
    recordings: Option<Recordings>,
    client: Client,
    clock: Clock,
    alice: String,
    /// The user id of the agent.
    agent: String,
    /// The key of the agent, once it has an account.
    agent_key: Option<String>,
    token: Option<(Secret, Time)>,
}

/// How guild and plugin are recorded.
#[derive(Clone, Debug)]
pub struct Recordings {
    /// Where.
    pub dir: PathBuf,
    /// Whether with filler in the place of contents.
    pub filler: bool,
}

/// Lets a process be recorded in short segments, all of which are kept.
fn record(process: &mut Command, recordings: &Recordings) {
    process.arg("--record").arg(&recordings.dir);
    if recordings.filler {
        process.arg("--record-filler");
    }
    process.args([
        "--record-segment-bytes",
        "4000",
        "--record-segments",
        "1000",
    ]);
}

impl Fabric {
    /// Starts Center and guild, and makes the account of alice.
    ///
    /// # Errors
    ///
    /// Where a process does not come up.
    pub async fn start() -> Result<Self, Fault> {
        Self::start_recorded(None).await
    }

    /// The same, with recordings of guild and plugin.
    ///
    /// # Errors
    ///
    /// Where a process does not come up.
    pub async fn start_recorded(recordings: Option<Recordings>) -> Result<Self, Fault> {
        let folder = tempfile::tempdir()?;
        let (center_port, guild_port) = (free_port()?, free_port()?);
        let client = Client::new(&tls::client_config(None)?, None)?;
        let mut serve = command(&folder, ["center"]);
        serve
            .arg("serve")
            .arg("--port")
            .arg(center_port.to_string());
        let center = serve.spawn()?;
        let mut fabric = Self {
            center,
            guild: None,
            center_port,
            guild_port,
            guild_key: String::new(),
            folder,
            recordings,
            client,
            clock: Clock::start(),
            alice: String::new(),
            agent: String::new(),
            agent_key: None,
            token: None,
        };
        timeout(PATIENCE, async {
            while tokio::net::TcpStream::connect(("127.0.0.1", center_port))
                .await
                .is_err()
            {
                sleep(LOOK_EVERY).await;
            }
        })
        .await?;
        fabric.guild_key = fabric.center_command(&["guild", "add", "guild-1"]).await?;
        fabric.alice = fabric.center_command(&["user", "add", "alice"]).await?;
        fabric.start_guild().await?;
        Ok(fabric)
    }

    /// The clock of everything that the test measures.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// Runs `selvedge center …`, and gives back the last word that it prints: the key.
    async fn center_command(&self, words: &[&str]) -> Result<String, Fault> {
        let output = command(&self.folder, ["center"])
            .args(words)
            .stdout(Stdio::piped())
            .output()
            .await?;
        let said = String::from_utf8(output.stdout)?;
        let key = said.split_whitespace().last().map(str::to_owned);
        key.filter(|_| output.status.success())
            .ok_or_else(|| format!("{words:?}: {said}").into())
    }

    /// The key of alice's account.
    pub fn alice_key(&self) -> &str {
        &self.alice
    }

    /// Makes an account with a password for another person.
    ///
    /// # Errors
    ///
    /// Where the name is taken, or the password is too short.
    pub async fn add_person(&self, name: &str, password: &str) -> Result<(), Fault> {
        let mut add = command(&self.folder, ["center", "user", "add"])
            .args([name, "--password-stdin"])
            .stdin(Stdio::piped())
            .spawn()?;
        let mut stdin = add.stdin.take().ok_or("no standard input")?;
        stdin.write_all(password.as_bytes()).await?;
        drop(stdin);
        let status = add.wait().await?;
        match status.success() {
            true => Ok(()),
            false => Err(format!("{name} has no account: {status}").into()),
        }
    }

    /// The user id of the agent; empty before it was started.
    pub fn agent(&self) -> &str {
        &self.agent
    }

    /// The key of the agent, once it has an account.
    pub fn agent_key(&self) -> Option<&str> {
        self.agent_key.as_deref()
    }

    /// Starts the guild node, and waits until it answers.
    ///
    /// # Errors
    ///
    /// Where it does not come up.
    pub async fn start_guild(&mut self) -> Result<(), Fault> {
        let mut guild = command(&self.folder, ["guild"]);
        if let Some(recordings) = &self.recordings {
            record(&mut guild, recordings);
        }
        let guild = guild
            .env("FABRIC_BACKEND_GUILD_CENTER_BASE_URL", self.center_url())
            .env("FABRIC_BACKEND_GUILD_CENTER_API_KEY", &self.guild_key)
            .env("FABRIC_BACKEND_GUILD_NODE_ID", "guild-1")
            .env("FABRIC_BACKEND_GUILD_PORT", self.guild_port.to_string())
            .spawn()?;
        self.guild = Some(guild);
        timeout(PATIENCE, async {
            while self.get::<Value>("/api/health", None).await.is_err() {
                sleep(LOOK_EVERY).await;
            }
        })
        .await?;
        Ok(())
    }

    /// Kills the guild node with SIGKILL, by its own process id.
    ///
    /// # Errors
    ///
    /// Where it is not running.
    pub async fn kill_guild(&mut self) -> Result<(), Fault> {
        let mut guild = self.guild.take().ok_or("the guild is not running")?;
        guild.kill().await?;
        Ok(())
    }

    /// Where Center and guild listen, without TLS, on 127.0.0.1.
    pub fn ports(&self) -> (u16, u16) {
        (self.center_port, self.guild_port)
    }

    /// Starts the plugin of the agent with an echo agent as the host.
    ///
    /// # Errors
    ///
    /// Where it does not start.
    pub async fn start_agent(
        &mut self,
        log: Stdio,
        events: mpsc::Sender<EchoEvent>,
    ) -> Result<EchoAgent, Fault> {
        let reach = Reach {
            center: self.center_url(),
            ..Reach::default()
        };
        self.start_agent_by(&reach, log, events).await
    }

    /// The same, where Center and guild are reached in another way.
    ///
    /// # Errors
    ///
    /// Where it does not start.
    pub async fn start_agent_by(
        &mut self,
        reach: &Reach,
        log: Stdio,
        events: mpsc::Sender<EchoEvent>,
    ) -> Result<EchoAgent, Fault> {
        let mut plugin = self.plugin(reach).await?;
        plugin.stderr(log);
        Ok(EchoAgent::spawn(plugin, self.clock, events).await?)
    }

    /// Starts the plugin of the agent with a host that calls its tools by hand.
    ///
    /// # Errors
    ///
    /// Where it does not start.
    pub async fn start_caller(&mut self) -> Result<Caller, Fault> {
        let reach = Reach {
            center: self.center_url(),
            ..Reach::default()
        };
        Caller::start(self.plugin(&reach).await?).await
    }

    /// The folder that the agent's host exchanges files in; there once the plugin has started.
    pub fn files(&self) -> PathBuf {
        self.folder.path().join("exchange")
    }

    /// The command of the agent's plugin for a host of this profile, which others start.
    ///
    /// # Errors
    ///
    /// Where the agent gets no account.
    pub async fn plugin_for(&mut self, profile: &str) -> Result<std::process::Command, Fault> {
        let reach = Reach {
            center: self.center_url(),
            ..Reach::default()
        };
        let mut plugin = self.plugin(&reach).await?.into_std();
        plugin.env("SELVEDGE_HOST__PROFILE", profile);
        Ok(plugin)
    }

    /// Runs `selvedge store …` for the agent's plugin, to its end: what it prints, or its words where
    /// it fails. The key of the agent is not in its environment.
    ///
    /// # Errors
    ///
    /// Where it does not start, or does not end.
    pub async fn store(&self, words: &[&str]) -> Result<Result<String, String>, Fault> {
        let mut store = Command::new(binary::selvedge());
        let (command, rest) = words.split_first().ok_or("no command")?;
        store.arg("store").arg(command).arg("--config");
        store.arg(self.folder.path().join("selvedge.toml"));
        store
            .args(rest)
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let output = timeout(PATIENCE, store.output()).await??;
        let said = |bytes| String::from_utf8_lossy(bytes).into_owned();
        Ok(match output.status.success() {
            true => Ok(said(&output.stdout)),
            false => Err(said(&output.stderr)),
        })
    }

    /// The file of the agent's store; there once the plugin has started.
    pub fn store_path(&self) -> PathBuf {
        self.folder.path().join("plugin.sqlite")
    }

    /// Asks the guild something as alice.
    ///
    /// # Errors
    ///
    /// Where there is no good answer, in its words.
    pub async fn ask(
        &mut self,
        method: Method,
        target: &str,
        body: Option<Value>,
    ) -> Result<Value, Fault> {
        let request = self.request(method, target, body).await?;
        self.call(request).await
    }

    /// Runs `selvedge plugin --check` for the agent, to its end.
    ///
    /// # Errors
    ///
    /// Where it does not start, or does not end.
    pub async fn check(&mut self, reach: &Reach) -> Result<Output, Fault> {
        let mut plugin = self.plugin(reach).await?;
        plugin
            .arg("--check")
            .stdin(Stdio::null())
            .kill_on_drop(true);
        Ok(timeout(PATIENCE, plugin.output()).await??)
    }

    /// The plugin of the agent, configured.
    async fn plugin(&mut self, reach: &Reach) -> Result<Command, Fault> {
        let key = match &self.agent_key {
            Some(key) => key.clone(),
            None => self.add_agent().await?,
        };
        let mut config = format!("[center]\nurl = {:?}\n", reach.center);
        if let Some(file) = &reach.ca_file {
            config.push_str(&format!("[net]\nca_file = {file:?}\n"));
        }
        if let Some(guild) = &reach.guild {
            config.push_str(&format!("[guild.guild-1]\nurl = {guild:?}\n"));
        }
        config.push_str("[store]\npath = \"plugin.sqlite\"\n");
        config.push_str("[files]\ndir = \"exchange\"\n");
        config.push_str("[[agent]]\nid = \"echo\"\napi_key_env = \"ECHO\"\n");
        let file = self.folder.path().join("selvedge.toml");
        std::fs::write(&file, config)?;
        let mut plugin = Command::new(binary::selvedge());
        plugin.arg("plugin").arg("--config").arg(&file);
        plugin.env("ECHO", key);
        if let Some(recordings) = &self.recordings {
            record(&mut plugin, recordings);
        }
        plugin.env("XDG_STATE_HOME", self.folder.path().join("state"));
        if let Some(proxy) = &reach.proxy {
            plugin.env("SELVEDGE_NET__PROXY", proxy);
        }
        Ok(plugin)
    }

    /// Makes an account for the agent, and gives back its key.
    async fn add_agent(&mut self) -> Result<String, Fault> {
        let key = self.center_command(&["user", "add", "echo"]).await?;
        let login = Login::ApiKey {
            api_key: Secret::new(&key),
        };
        let session = self.client.login(&self.center_url(), &login).await;
        let session = session.map_err(|failure| format!("echo cannot log in: {failure:?}"))?;
        self.agent = session.user.id.to_string();
        self.agent_key = Some(key.clone());
        Ok(key)
    }

    /// Creates a channel as alice, with her and the agent as members, and waits until the agent
    /// hears it.
    ///
    /// # Errors
    ///
    /// Where that does not happen.
    pub async fn create(
        &mut self,
        name: &str,
        x_type: &str,
        agent: &EchoAgent,
    ) -> Result<ChannelId, Fault> {
        let before = agent.live_channels().await?;
        let echo = self.agent.clone();
        let body = json!({ "name": name, "xType": x_type, "memberUserIds": [echo] });
        let request = self
            .request(Method::Post, "/api/channels", Some(body))
            .await?;
        let channel: Channel = self.call(request).await?;
        timeout(PATIENCE, async {
            while agent.live_channels().await? <= before {
                sleep(LOOK_EVERY).await;
            }
            Ok::<_, Fault>(channel.id)
        })
        .await?
    }

    /// Posts as alice.
    ///
    /// # Errors
    ///
    /// Where the guild does not take it.
    pub async fn post(&mut self, channel: &ChannelId, content: &str) -> Result<Message, Fault> {
        let token = self.token().await?;
        let body = PostBody {
            content: content.to_owned(),
            reply_to_id: None,
            attachments: vec![],
            nonce: None,
        };
        self.call(routes::post_message(token, channel, &body)?)
            .await
    }

    /// Waits until the answer to a message stands in its channel; `None` after `patience`.
    ///
    /// # Errors
    ///
    /// Where the guild cannot be asked.
    pub async fn reply(
        &mut self,
        message: &Message,
        patience: Duration,
    ) -> Result<Option<Message>, Fault> {
        let since = self.clock.now();
        loop {
            let replies = self.history(&message.channel_id, message.seq).await?;
            let reply = replies
                .into_iter()
                .find(|reply| answers(reply, &message.id));
            if reply.is_some() || self.clock.now().since(since) >= patience {
                return Ok(reply);
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// Everything in a channel after `seq`.
    ///
    /// # Errors
    ///
    /// Where the guild cannot be asked.
    pub async fn history(&mut self, channel: &ChannelId, seq: u64) -> Result<Vec<Message>, Fault> {
        let (mut after, mut all) = (seq, Vec::new());
        loop {
            let target = format!("/api/channels/{channel}/messages?afterSeq={after}&limit=200");
            let token = self.token().await?;
            let page: Page = self.get(&target, Some(token)).await?;
            after = page.messages.last().map_or(after, |message| message.seq);
            all.extend(page.messages);
            if !page.has_more {
                return Ok(all);
            }
        }
    }

    /// Ends both servers.
    ///
    /// # Errors
    ///
    /// Where they cannot be ended.
    pub async fn stop(mut self) -> Result<(), Fault> {
        if let Some(mut guild) = self.guild.take() {
            guild.kill().await?;
        }
        self.center.kill().await?;
        Ok(())
    }

    fn center_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.center_port)
    }

    async fn token(&mut self) -> Result<Secret, Fault> {
        let now = self.clock.now();
        if let Some((token, _)) = self
            .token
            .as_ref()
            .filter(|(_, since)| now.since(*since) < TOKEN_USE)
        {
            return Ok(token.clone());
        }
        let login = Login::ApiKey {
            api_key: Secret::new(&self.alice),
        };
        let session = self.client.login(&self.center_url(), &login).await;
        let session = session.map_err(|failure| format!("alice cannot log in: {failure:?}"))?;
        let grant = session
            .grants
            .into_iter()
            .next()
            .ok_or("alice has no guild")?;
        self.token = Some((grant.token.clone(), now));
        Ok(grant.token)
    }

    async fn request(
        &mut self,
        method: Method,
        target: &str,
        body: Option<Value>,
    ) -> Result<Request, Fault> {
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        let bearer = Some(self.token().await?);
        Ok(Request {
            method,
            target: target.to_owned(),
            bearer,
            body: body.into(),
        })
    }

    async fn get<T: DeserializeOwned>(
        &self,
        target: &str,
        bearer: Option<Secret>,
    ) -> Result<T, Fault> {
        let body = bytes::Bytes::new();
        self.call(Request {
            method: Method::Get,
            target: target.to_owned(),
            bearer,
            body,
        })
        .await
    }

    async fn call<T: DeserializeOwned>(&self, request: Request) -> Result<T, Fault> {
        let origin = format!("http://127.0.0.1:{}", self.guild_port);
        answer(&self.client, &origin, request).await
    }
}

/// Whether `reply` is the agent's answer to that message.
pub fn answers(reply: &Message, message: &MessageId) -> bool {
    reply.reply_to_id.as_ref() == Some(message) && reply.content.starts_with("echo: ")
}

/// Sends a request, and reads the body of a good answer.
///
/// # Errors
///
/// Where there is no good answer, in its words.
pub async fn answer<T: DeserializeOwned>(
    client: &Client,
    origin: &str,
    request: Request,
) -> Result<T, Fault> {
    let target = request.target.clone();
    let answer = timeout(PATIENCE, client.send(origin, request)).await?;
    let response = answer.map_err(|failure| format!("{target} {failure}"))?;
    if (200..300).contains(&response.status) {
        return Ok(serde_json::from_slice(&response.body)?);
    }
    let body = String::from_utf8_lossy(&response.body);
    Err(format!("{target} was answered {}: {body}", response.status).into())
}

pub(crate) fn command<const N: usize>(folder: &TempDir, words: [&str; N]) -> Command {
    let data: PathBuf = Path::join(folder.path(), "data");
    let mut command = Command::new(binary::selvedge());
    command
        .args(words)
        .arg("--data-dir")
        .arg(data)
        .env("SELVEDGE_LOG", "warn");
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .kill_on_drop(true);
    command
}

/// A port of loopback that is free now.
///
/// # Errors
///
/// Where the system has none.
pub fn free_port() -> Result<u16, Fault> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}
