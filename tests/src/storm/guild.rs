//! A guild and its Center in a process of their own, which is killed and started again: ours, or the
//! older one on NestJS.

use std::{
    collections::BTreeMap,
    fs::File,
    path::{Path, PathBuf},
    process::Stdio,
    str::FromStr,
};

use selvedge_core::fabric::types::XType;
use serde_json::json;
use tokio::{
    net::TcpStream,
    process::{Child, Command},
    time::{Duration, sleep, timeout},
};

use crate::{PATIENCE, binary, fabric::Fault, npm, port::Port};

/// How often it is looked whether a server is up.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Which guild.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `selvedge guild --with-center`.
    Own,
    /// The one on NestJS, which has only what every deployment has.
    Nest,
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "own" => Ok(Self::Own),
            "nest" => Ok(Self::Nest),
            other => Err(format!("there is no guild {other}: own or nest")),
        }
    }
}

impl Kind {
    /// The kinds of its channels, over and over.
    pub(super) const fn channels(self) -> &'static [XType] {
        use XType::{Custom, Discuss, Dm, General, Report, Work};
        match self {
            Self::Own => &[
                General, Discuss, Dm, General, Report, Custom, General, Work, Dm, General,
            ],
            Self::Nest => &[General, Dm, General, Report, General, Dm],
        }
    }

    /// Whether the same post is known by its nonce.
    pub(super) const fn knows_nonces(self) -> bool {
        match self {
            Self::Own => true,
            Self::Nest => false,
        }
    }

    /// The id of the guild.
    pub(super) const fn id(self) -> &'static str {
        match self {
            Self::Own => "local",
            Self::Nest => "guild-1",
        }
    }
}

/// The process, with what outlives it.
#[derive(Debug)]
pub(super) struct Guild {
    kind: Kind,
    users: Vec<String>,
    center: Port,
    guild: Port,
    folder: PathBuf,
    record: Option<PathBuf>,
    lives: usize,
    running: Option<Running>,
}

#[derive(Debug)]
enum Running {
    Own(Child),
    Nest(npm::Peer),
}

impl Guild {
    /// Starts it for users of these names. `None` where there is no Node for it.
    pub(super) async fn start(
        kind: Kind,
        users: Vec<String>,
        folder: &Path,
        record: Option<&Path>,
    ) -> Result<Option<Self>, Fault> {
        let mut guild = Self {
            kind,
            users,
            center: Port::keep()?,
            guild: Port::keep()?,
            folder: folder.to_owned(),
            record: record.map(Path::to_owned),
            lives: 0,
            running: None,
        };
        Ok(guild.restart().await?.then_some(guild))
    }

    /// Starts it (again), where it was. `false` where there is no Node for it.
    pub(super) async fn restart(&mut self) -> Result<bool, Fault> {
        let running = match self.kind {
            Kind::Own => Running::Own(self.own()?),
            Kind::Nest => match self.nest() {
                Some(peer) => Running::Nest(peer),
                None => return Ok(false),
            },
        };
        self.running = Some(running);
        self.lives += 1;
        timeout(PATIENCE, async {
            while TcpStream::connect(("127.0.0.1", self.guild.number()))
                .await
                .is_err()
            {
                sleep(LOOK_EVERY).await;
            }
        })
        .await?;
        Ok(true)
    }

    fn own(&self) -> Result<Child, Fault> {
        let log = self.folder.join(format!("guild-{}.log", self.lives));
        let mut guild = Command::new(binary::selvedge());
        guild
            .args(["guild", "--with-center", "--data-dir"])
            .arg(self.data())
            .arg("--center-port")
            .arg(self.center.number().to_string())
            .arg("--port")
            .arg(self.guild.number().to_string());
        if let Some(record) = &self.record {
            guild.arg("--record").arg(self.of_life(record, "guild"));
        }
        guild
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(log)?)
            .kill_on_drop(true);
        Ok(guild.spawn()?)
    }

    fn nest(&self) -> Option<npm::Peer> {
        let mut command = npm::command_in("nest", "guild.mjs")?;
        let options = json!({
            "joinAcks": true, "users": self.users, "port": self.guild.number(),
            "data": self.folder.join("nest.jsonl"),
        });
        command.arg(options.to_string());
        Some(npm::peer(command))
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn of_life(&self, folder: &Path, what: &str) -> PathBuf {
        folder.join(format!("{what}-{}", self.lives))
    }

    /// Kills it with SIGKILL, by its own process id.
    pub(super) async fn kill(&mut self) -> Result<(), Fault> {
        match self.running.take() {
            Some(Running::Own(mut child)) => {
                if let Some(status) = child.try_wait()? {
                    return Err(format!("the guild has ended by itself: {status}").into());
                }
                child.kill().await?;
            }
            Some(Running::Nest(mut peer)) => peer.kill().await,
            None => return Err("the guild does not run".into()),
        }
        Ok(())
    }

    /// The keys of its users, by their names.
    pub(super) async fn keys(&self) -> Result<BTreeMap<String, String>, Fault> {
        let mut keys = BTreeMap::new();
        for name in &self.users {
            let key = match self.kind {
                Kind::Own => self.add(name).await?,
                Kind::Nest => format!("key-of-{name}"),
            };
            keys.insert(name.clone(), key);
        }
        Ok(keys)
    }

    async fn add(&self, name: &str) -> Result<String, Fault> {
        let mut add = Command::new(binary::selvedge());
        add.args(["center", "--data-dir"])
            .arg(self.data())
            .args(["user", "add", name])
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let output = timeout(PATIENCE, add.output()).await??;
        let said = String::from_utf8(output.stdout)?;
        let key = said.split_whitespace().last().map(str::to_owned);
        key.filter(|_| output.status.success())
            .ok_or_else(|| format!("{name} has no account: {said}").into())
    }

    /// Makes a channel by a wish, where that is how the guild does it.
    pub(super) async fn wish_channel(&mut self, name: &str, x_type: XType) -> bool {
        let Some(Running::Nest(peer)) = &mut self.running else {
            return false;
        };
        peer.tell(&json!({"create": name, "xType": x_type})).await;
        peer.saw(&json!({ "created": name })).await;
        true
    }

    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    /// Where people reach Center and the guild.
    pub(super) fn origins(&self) -> (String, String) {
        let guild = self.guild.origin();
        match self.kind {
            Kind::Own => (self.center.origin(), guild),
            Kind::Nest => (guild.clone(), guild),
        }
    }

    /// The ports of Center and of the guild: one where they are one process's.
    pub(super) fn ports(&self) -> (Option<u16>, u16) {
        let guild = self.guild.number();
        match self.kind {
            Kind::Own => (Some(self.center.number()), guild),
            Kind::Nest => (None, guild),
        }
    }
}
