//! A Center and guild nodes, each a process of its own, whose guilds can all be killed and started
//! again.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    process::{Output, Stdio},
    time::Duration,
};

use futures::future::try_join_all;
use selvedge::http::Client;
use selvedge_core::{Secret, fabric::routes, id::GuildId};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    net::TcpStream,
    process::Child,
    time::{sleep, timeout},
};

use crate::{
    PATIENCE,
    cost::cpu,
    fabric::{Fault, answer, command},
};

/// How often something is looked at again.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The first port that is taken.
const UNPRIVILEGED: u16 = 10_000;

/// The servers. Dropping them kills them.
pub(super) struct Town {
    client: Client,
    center: Node,
    guilds: Vec<Guild>,
}

/// A server with its data folder.
struct Node {
    folder: TempDir,
    port: u16,
    child: Option<Child>,
}

struct Guild {
    id: GuildId,
    key: String,
    node: Node,
}

impl Node {
    fn new(port: u16) -> Result<Self, Fault> {
        Ok(Self {
            folder: tempfile::tempdir()?,
            port,
            child: None,
        })
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

impl Town {
    /// Starts a Center whose tokens live that long, and so many guilds, and waits until they answer.
    pub(super) async fn start(
        client: Client,
        guilds: usize,
        token_life: Duration,
    ) -> Result<Self, Fault> {
        let mut ports = steady_ports(guilds + 1)?.into_iter();
        let mut center = Node::new(ports.next().ok_or("no port")?)?;
        let mut serve = command(&center.folder, ["center"]);
        serve
            .arg("serve")
            .arg("--port")
            .arg(center.port.to_string());
        serve
            .arg("--token-life")
            .arg(token_life.as_secs().to_string());
        center.child = Some(serve.spawn()?);
        let mut town = Self {
            client,
            center,
            guilds: Vec::new(),
        };
        let port = town.center.port;
        timeout(PATIENCE, async {
            while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
                sleep(LOOK_EVERY).await;
            }
        })
        .await?;
        for (number, port) in (1..).zip(ports) {
            let id = format!("guild-{number}");
            let key = town.center_command(&["guild", "add", &id]).await?;
            town.guilds.push(Guild {
                id: GuildId::new(&id).ok_or("no id of a guild")?,
                key,
                node: Node::new(port)?,
            });
        }
        town.open()?;
        town.answer().await?;
        Ok(town)
    }

    /// Runs `selvedge center …`, and gives back the last word that it prints: the key.
    async fn center_command(&self, words: &[&str]) -> Result<String, Fault> {
        let mut command = command(&self.center.folder, ["center"]);
        let Output { status, stdout, .. } =
            command.args(words).stdout(Stdio::piped()).output().await?;
        let said = String::from_utf8(stdout)?;
        let key = said.split_whitespace().last().map(str::to_owned);
        key.filter(|_| status.success())
            .ok_or_else(|| format!("{words:?}: {said}").into())
    }

    pub(super) fn center_url(&self) -> String {
        self.center.url()
    }

    /// The key of Center's administrator.
    pub(super) fn admin_key(&self) -> Result<Secret, Fault> {
        let file = self.center.folder.path().join("data/center-admin-key");
        Ok(Secret::new(fs::read_to_string(file)?.trim()))
    }

    /// The guilds, with their origins.
    pub(super) fn guilds(&self) -> impl Iterator<Item = (&GuildId, String)> {
        self.guilds
            .iter()
            .map(|guild| (&guild.id, guild.node.url()))
    }

    /// The processor time of all that run now: of Center, and of the guilds.
    pub(super) fn cpu(&self) -> Result<(Duration, Duration), Fault> {
        let of = |node: &Node| {
            let process = node.child.as_ref().and_then(Child::id);
            process.map_or(Ok(Duration::ZERO), |process| cpu(&process.to_string()))
        };
        let guilds = self.guilds.iter().map(|guild| of(&guild.node));
        Ok((of(&self.center)?, guilds.sum::<Result<_, _>>()?))
    }

    /// Starts every guild.
    pub(super) fn open(&mut self) -> Result<(), Fault> {
        for guild in &mut self.guilds {
            let mut serve = command(&guild.node.folder, ["guild"]);
            serve
                .env("FABRIC_BACKEND_GUILD_CENTER_BASE_URL", self.center.url())
                .env("FABRIC_BACKEND_GUILD_CENTER_API_KEY", &guild.key)
                .env("FABRIC_BACKEND_GUILD_NODE_ID", guild.id.as_str())
                .env("FABRIC_BACKEND_GUILD_PORT", guild.node.port.to_string());
            guild.node.child = Some(serve.spawn()?);
        }
        Ok(())
    }

    /// Waits until every guild answers.
    pub(super) async fn answer(&self) -> Result<(), Fault> {
        let asked = self.guilds().map(|(_, origin)| async move {
            loop {
                let asked = answer::<Value>(&self.client, &origin, routes::health());
                if asked.await.is_ok() {
                    return;
                }
                sleep(LOOK_EVERY).await;
            }
        });
        timeout(PATIENCE, futures::future::join_all(asked)).await?;
        Ok(())
    }

    /// Kills every guild with SIGKILL, by its own process id.
    pub(super) async fn kill(&mut self) -> Result<(), Fault> {
        let children = self
            .guilds
            .iter_mut()
            .filter_map(|guild| guild.node.child.take());
        try_join_all(children.map(|mut child| async move { child.kill().await })).await?;
        Ok(())
    }
}

/// So many ports of loopback that are free now, and that the system gives to nobody who does not ask
/// for them: while a server is away, those that dial it would otherwise be given its port for their
/// own end.
fn steady_ports(count: usize) -> Result<Vec<u16>, Fault> {
    let given = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")?;
    let end: u16 = given.split_whitespace().next().ok_or("no ports")?.parse()?;
    let begin = UNPRIVILEGED + u16::try_from(std::process::id() % 8_192)?;
    let free = (begin..end).filter_map(|port| TcpListener::bind(("127.0.0.1", port)).ok());
    // Held until all are found, so that none is found twice.
    let held: Vec<_> = free.take(count).collect();
    let ports: Result<Vec<_>, _> = held.iter().map(TcpListener::local_addr).collect();
    let ports: Vec<_> = ports?.iter().map(SocketAddr::port).collect();
    match ports.len() == count {
        true => Ok(ports),
        false => Err("too few ports are free".into()),
    }
}
