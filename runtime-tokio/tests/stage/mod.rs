//! A Center and a guild in this process, and `selvedge plugin` as a host starts it.

use std::{
    fs::{self, File},
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use selvedge::{
    clock::Clock,
    http::Client,
    serve::{CenterOptions, GuildOptions, RunningCenter, RunningGuild, start_center, start_guild},
    tls,
};
use selvedge_core::{
    Secret,
    guild::Config,
    http::{Method, Request},
    id::{GuildId, NodeId},
};
use serde_json::Value;
use tempfile::TempDir;

/// How long anything may take. It bounds a test that fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

fn client() -> Client {
    Client::new(&tls::client_config(None).unwrap(), None).unwrap()
}

fn free_port() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

/// A Center and a guild, the files of a plugin, and the addresses of all three.
pub(crate) struct Stage {
    folder: TempDir,
    pub(crate) center: RunningCenter,
    guild_key: Secret,
    guild_addr: SocketAddr,
    status: SocketAddr,
    client: Client,
    pub(crate) clock: Clock,
}

impl Stage {
    pub(crate) async fn start() -> (Self, RunningGuild) {
        let folder = tempfile::tempdir().unwrap();
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        let center = start_center(CenterOptions::new(loopback, folder.path().to_path_buf()));
        let center = center.await.unwrap();
        let guild_key = center.add_guild(&GuildId::new("g").unwrap()).await.unwrap();
        let stage = Self {
            folder,
            center,
            guild_key,
            guild_addr: free_port(),
            status: free_port(),
            client: client(),
            clock: Clock::start(),
        };
        let guild = stage.guild().await;
        (stage, guild)
    }

    /// Starts the guild, always at the same address.
    pub(crate) async fn guild(&self) -> RunningGuild {
        let folder = self.folder.path();
        let options = GuildOptions {
            listen: self.guild_addr,
            database: folder.join("guild.sqlite"),
            files: folder.join("files"),
            config: Config::new(NodeId::new("n").unwrap(), GuildId::new("g").unwrap()),
            center_url: self.center.url(),
            api_key: self.guild_key.clone(),
            public_url: None,
            center_public_url: None,
            cors_origins: String::new(),
            client: client(),
            record: None,
        };
        start_guild(options).await.unwrap()
    }

    /// Makes an account, with its key in a file of that name.
    pub(crate) async fn account(&self, name: &str) {
        let user = self.center.add_user(name, None).await.unwrap();
        fs::write(self.path(name), user.api_key.expose()).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes the configuration of a plugin with these agents.
    pub(crate) fn configure(&self, agents: &[&str]) -> PathBuf {
        let mut config = format!(
            "[center]\nurl = {:?}\n[store]\npath = \"store.sqlite\"\n[status]\nlisten = \"{}\"\n[plugin]\nbackoff_most_ms = 500\n\
             backoff_after_live_ms = 500\n",
            self.center.url(),
            self.status
        );
        for agent in agents {
            config.push_str(&format!(
                "[[agent]]\nid = \"{agent}\"\napi_key_file = \"{agent}\"\n"
            ));
        }
        let path = self.path("selvedge.toml");
        fs::write(&path, config).unwrap();
        path
    }

    /// What the plugin answers, once it does: status and body.
    pub(crate) async fn get(&self, target: &str) -> Option<(u16, String)> {
        let request = Request {
            method: Method::Get,
            target: target.into(),
            bearer: None,
            body: Vec::new().into(),
        };
        let origin = format!("http://{}", self.status);
        let answer = self.client.send(&origin, request);
        let answer = answer.await.ok()?;
        Some((
            answer.status,
            String::from_utf8(answer.body.to_vec()).unwrap(),
        ))
    }

    /// Waits until the plugin is ready, or is not: what it says then.
    pub(crate) async fn until_ready(&self, wanted: u16) -> String {
        let since = self.clock.now();
        loop {
            let answer = self.get("/readyz").await;
            match answer {
                Some((status, body)) if status == wanted => return body,
                _ => tokio::time::sleep(Duration::from_millis(20)).await,
            }
            assert!(self.clock.now().since(since) < PATIENCE, "{answer:?}");
        }
    }

    /// How the link of an agent does.
    pub(crate) async fn link(&self, agent: &str) -> Value {
        let (_, body) = self.get("/status").await.unwrap();
        let report: Value = serde_json::from_str(&body).unwrap();
        let agents = report["agents"].as_array().unwrap().iter();
        let agent = agents.into_iter().find(|told| told["agent_id"] == agent);
        agent.unwrap()["guilds"][0].clone()
    }
}

pub(crate) fn selvedge(command: &str, config: &Path) -> Command {
    let mut selvedge = Command::new(env!("CARGO_BIN_EXE_selvedge"));
    selvedge.arg(command).arg("--config").arg(config);
    // Locks are kept there, whatever the store is.
    selvedge.env("XDG_STATE_HOME", config.with_file_name("state"));
    selvedge
}

/// The plugin as a host starts it; it is killed when a test fails.
pub(crate) struct Plugin(pub(crate) Child);

impl Plugin {
    /// Its log goes to a file, in this format.
    pub(crate) fn start(config: &Path, log: &Path, format: &str) -> Self {
        let mut plugin = selvedge("plugin", config);
        plugin
            .env_remove("SELVEDGE_LOG")
            .env("SELVEDGE_LOG_FORMAT", format)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(File::create(log).unwrap());
        Self(plugin.spawn().unwrap())
    }
}

impl Drop for Plugin {
    fn drop(&mut self) {
        // It ends by itself when its input does; nobody waits for that here.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
