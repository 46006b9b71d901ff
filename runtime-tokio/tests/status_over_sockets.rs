//! `selvedge plugin` tells how it does: over real sockets, while its guild goes and comes back.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::{
    fs::{self, File},
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
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
const PATIENCE: Duration = Duration::from_secs(60);

fn client() -> Client {
    Client::new(&tls::client_config(None).unwrap(), None).unwrap()
}

fn free_port() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

/// A Center and a guild, the files of a plugin, and the addresses of all three.
struct Stage {
    folder: TempDir,
    center: RunningCenter,
    guild_key: Secret,
    guild_addr: SocketAddr,
    status: SocketAddr,
    client: Client,
    clock: Clock,
}

impl Stage {
    async fn start() -> (Self, RunningGuild) {
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
    async fn guild(&self) -> RunningGuild {
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
    async fn account(&self, name: &str) {
        let user = self.center.add_user(name, None).await.unwrap();
        fs::write(self.path(name), user.api_key.expose()).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes the configuration of a plugin with these agents.
    fn configure(&self, agents: &[&str]) -> PathBuf {
        let mut config = format!(
            "[center]\nurl = {:?}\n[status]\nlisten = \"{}\"\n[plugin]\nbackoff_most_ms = 500\n\
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
    async fn get(&self, target: &str) -> Option<(u16, String)> {
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
    async fn until_ready(&self, wanted: u16) -> String {
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
    async fn link(&self, agent: &str) -> Value {
        let (_, body) = self.get("/status").await.unwrap();
        let report: Value = serde_json::from_str(&body).unwrap();
        let agents = report["agents"].as_array().unwrap().iter();
        let agent = agents.into_iter().find(|told| told["agent_id"] == agent);
        agent.unwrap()["guilds"][0].clone()
    }
}

fn selvedge(command: &str, config: &Path) -> Command {
    let mut selvedge = Command::new(env!("CARGO_BIN_EXE_selvedge"));
    selvedge.arg(command).arg("--config").arg(config);
    selvedge
}

/// The plugin as a host starts it; it is killed when a test fails.
struct Plugin(Child);

impl Plugin {
    /// Its log goes to a file, in this format.
    fn start(config: &Path, log: &Path, format: &str) -> Self {
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

fn words(output: &Output) -> String {
    let mut words = String::from_utf8(output.stdout.clone()).unwrap();
    words.push_str(&String::from_utf8(output.stderr.clone()).unwrap());
    words
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_is_ready_while_its_guild_is_there() {
    let (stage, guild) = Stage::start().await;
    stage.account("echo").await;
    let config = stage.configure(&["echo"]);
    let output = selvedge("status", &config).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let told = words(&output);
    assert!(told.contains("no plugin answers at "), "{told}");
    assert!(told.contains("`selvedge doctor` says"), "{told}");

    let log = stage.path("log");
    let _plugin = Plugin::start(&config, &log, "human");
    assert_eq!(stage.until_ready(200).await, "ok\n");
    assert_eq!(stage.get("/healthz").await, Some((200, "ok\n".into())));
    let (status, text) = stage.get("/metrics").await.unwrap();
    assert_eq!(status, 200);
    let live = "selvedge_link_live{agent=\"echo\",guild=\"g\"} ";
    assert!(text.contains(&format!("{live}1\n")), "{text}");

    let output = selvedge("status", &config).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", words(&output));
    let told = words(&output);
    assert!(
        told.lines()
            .nth(1)
            .unwrap()
            .starts_with("echo   g      live   "),
        "{told}"
    );
    let output = selvedge("status", &config).arg("--json").output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["agents"][0]["guilds"][0]["state"], "live");

    guild.shutdown().await.unwrap();
    let why = stage.until_ready(503).await;
    assert!(why.starts_with("agent echo, guild g: "), "{why}");
    let (_, text) = stage.get("/metrics").await.unwrap();
    assert!(text.contains(&format!("{live}0\n")), "{text}");
    assert_eq!(
        stage.get("/healthz").await.unwrap().0,
        200,
        "the process is up"
    );
    let output = selvedge("status", &config).output().unwrap();
    let told = words(&output);
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert!(told.contains("agent echo, guild g: "), "{told}");

    let guild = stage.guild().await;
    assert_eq!(stage.until_ready(200).await, "ok\n");
    let link = stage.link("echo").await;
    assert_eq!(
        (&link["lives"], &link["ends"]["live"]),
        (&2.into(), &1.into()),
        "{link}"
    );
    let log = fs::read_to_string(log).unwrap();
    let lost: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("lost guild g"))
        .collect();
    let [line] = lost.as_slice() else {
        panic!("not one line: {log}");
    };
    let (_, words) = line.split_once("lost guild g after ").unwrap();
    let (lived, words) = words.split_once(" s: ").unwrap();
    assert!(lived.parse::<f32>().is_ok(), "{line}");
    let (why, words) = words.split_once("; dialing again in ").unwrap();
    assert!(!why.is_empty(), "{line}");
    assert!(words.ends_with(" s agent=\"echo\" guild=\"g\""), "{line}");
    guild.shutdown().await.unwrap();
    stage.center.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_reads_a_reconnect_in_one_line_of_json() {
    let (stage, guild) = Stage::start().await;
    stage.account("echo").await;
    let (config, log) = (stage.configure(&["echo"]), stage.path("log"));
    let _plugin = Plugin::start(&config, &log, "json");
    stage.until_ready(200).await;
    guild.shutdown().await.unwrap();
    stage.until_ready(503).await;
    let log = fs::read_to_string(log).unwrap();
    let lines = log
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let downs: Vec<Value> = lines
        .map(|line| line["fields"].clone())
        .filter(|fields| fields["note"] == "down" && fields["lived_ms"].is_u64())
        .collect();
    let [down] = downs.as_slice() else {
        panic!("not one line: {log}");
    };
    assert_eq!(
        (&down["agent"], &down["guild"]),
        (&"echo".into(), &"g".into())
    );
    assert!(
        down["why"].is_string() && down["retry_in_ms"].is_u64(),
        "{down}"
    );
    stage.center.shutdown().await;
}

#[test]
fn without_an_address_it_is_said_how_to_give_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("selvedge.toml");
    let config =
        "[center]\nurl = \"http://127.0.0.1:1\"\n[[agent]]\nid = \"a\"\napi_key_env = \"HOME\"\n";
    fs::write(&path, config).unwrap();
    let output = selvedge("status", &path).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let told = words(&output);
    assert!(
        told.contains("add the section [status] with listen = \"127.0.0.1:9102\""),
        "{told}"
    );
}
