//! The stage of the demo: Center, a guild, accounts, channels, and the plugin with its agent.

use std::{
    fs::OpenOptions,
    io::Write as _,
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    time::Duration,
};

use selvedge_core::{
    Secret,
    fabric::types::{Channel, XType},
    guild::Config,
    id::{GuildId, NodeId},
};
use tempfile::TempDir;
use tokio::{process::Command, sync::mpsc, time::timeout};

use super::{
    DemoError,
    person::{PATIENCE, Person},
};
use crate::{
    clock::Clock,
    commands::echo,
    dial::Dialer,
    echo::{EchoAgent, EchoEvent},
    http::Client,
    serve::{CenterOptions, GuildOptions, RunningCenter, RunningGuild, start_center, start_guild},
    tls,
};

/// How often the demo looks whether the plugin is live.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Everything that runs during the demo.
pub(super) struct Stage {
    pub(super) clock: Clock,
    pub(super) alice: Person,
    pub(super) general: Channel,
    pub(super) dm: Channel,
    pub(super) report: Channel,
    pub(super) events: mpsc::Receiver<EchoEvent>,
    pub(super) guild_url: String,
    /// What bob logs in with, whom nobody plays.
    pub(super) bob_key: Secret,
    echo: EchoAgent,
    guild: RunningGuild,
    center: RunningCenter,
    folder: TempDir,
}

impl Stage {
    /// Sets everything up on loopback, in a temporary folder.
    pub(super) async fn build() -> Result<Self, DemoError> {
        let clock = Clock::start();
        let folder = tempfile::tempdir().map_err(|error| set_up(&error))?;
        let tls = tls::client_config(None).map_err(|error| set_up(&error))?;
        let client = Client::new(&tls, None).map_err(|error| set_up(&error))?;
        let dialer = Dialer::new(tls, None);
        let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let center = start_center(CenterOptions::new(loopback, folder.path().join("center")))
            .await
            .map_err(|error| set_up(&error))?;
        let (Some(guild_id), Some(node_id)) = (GuildId::new("demo"), NodeId::new("demo-node"))
        else {
            return Err(DemoError::at("set up", "the demo's ids are no ids"));
        };
        let api_key = center
            .add_guild(&guild_id)
            .await
            .map_err(|error| set_up(&error))?;
        let guild = start_guild(GuildOptions {
            listen: loopback,
            database: folder.path().join("guild.sqlite"),
            files: folder.path().join("files"),
            config: Config::new(node_id, guild_id),
            center_url: center.url(),
            api_key,
            public_url: None,
            center_public_url: None,
            cors_origins: String::new(),
            client: client.clone(),
            record: None,
        })
        .await
        .map_err(|error| set_up(&error))?;
        let add = async |name| {
            center
                .add_user(name, None)
                .await
                .map_err(|error| set_up(&error))
        };
        let (alice, bob, echo) = (add("alice").await?, add("bob").await?, add("echo").await?);
        let mut alice =
            Person::arrive(clock, &client, &dialer, &center.url(), &alice.api_key).await?;
        let general = alice
            .create("general", XType::General, &[&bob.id, &echo.id])
            .await?;
        let dm = alice
            .create("alice and echo", XType::Dm, &[&echo.id])
            .await?;
        let report = alice
            .create("report", XType::Report, &[&bob.id, &echo.id])
            .await?;
        let config = write_config(folder.path(), &center.url(), echo.api_key.expose())
            .map_err(|error| set_up(&error))?;
        let (events_in, events) = mpsc::channel(echo::EVENTS_MAX);
        let echo = EchoAgent::spawn(plugin(&config)?, clock, events_in)
            .await
            .map_err(|error| DemoError::at("plugin", crate::report::chain(&error)))?;
        until_live(&echo, 3).await?;
        let guild_url = guild.base_url().to_owned();
        Ok(Self {
            clock,
            alice,
            general,
            dm,
            report,
            events,
            guild_url,
            bob_key: bob.api_key,
            echo,
            guild,
            center,
            folder,
        })
    }

    /// Ends everything in the order in which it stands on one another.
    pub(super) async fn strike(self) -> Result<(), DemoError> {
        self.echo.shutdown().await;
        self.alice.leave().await;
        let guild = self.guild.shutdown().await;
        self.center.shutdown().await;
        guild.map_err(|error| DemoError::at("shutdown", crate::report::chain(&error)))?;
        self.folder
            .close()
            .map_err(|error| DemoError::at("shutdown", error.to_string()))
    }
}

/// The plugin as a child process of the demo.
fn plugin(config: &Path) -> Result<Command, DemoError> {
    let mut command = echo::plugin(config)
        .map_err(|error| DemoError::at("plugin", format!("this program is not found: {error}")))?;
    // Nothing of it outlives the demo.
    command.env("XDG_STATE_HOME", config.with_file_name("state"));
    if std::env::var_os("SELVEDGE_LOG").is_none() {
        command.env("SELVEDGE_LOG", "warn");
    }
    Ok(command)
}

fn write_config(folder: &Path, center: &str, api_key: &str) -> std::io::Result<std::path::PathBuf> {
    let private = |path: &Path, content: &str| {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)?;
        file.write_all(content.as_bytes())
    };
    private(&folder.join("echo.key"), api_key)?;
    let config = folder.join("selvedge.toml");
    let content = format!(
        "[center]\nurl = \"{center}\"\n\n[store]\npath = \"plugin.sqlite\"\n\n[[agent]]\nid = \"echo\"\napi_key_file = \"echo.key\"\n"
    );
    private(&config, &content)?;
    Ok(config)
}

/// What is posted before the plugin has joined a channel does not reach it.
async fn until_live(echo: &EchoAgent, channels: usize) -> Result<(), DemoError> {
    let live = async {
        loop {
            match echo.live_channels().await {
                Ok(live) if live >= channels => return Ok(()),
                // On a busy machine the host asks before the agent has begun, and is told so.
                Err(why) if !why.contains("try again") => return Err(why),
                Ok(_) | Err(_) => tokio::time::sleep(LOOK_EVERY).await,
            }
        }
    };
    match timeout(PATIENCE, live).await {
        Ok(live) => live.map_err(|why: String| DemoError::at("plugin live", why)),
        Err(_) => Err(DemoError::at(
            "plugin live",
            format!("it is not after {PATIENCE:?}"),
        )),
    }
}

fn set_up(error: &(dyn std::error::Error + 'static)) -> DemoError {
    DemoError::at("set up", crate::report::chain(error))
}
