//! The production plugin: one task for each agent, one login gate for all of them.
//!
//! [`Plugin::start`] starts the agents, [`Plugin::reload`] gives them another configuration, and
//! [`Plugin::shutdown`] ends them; the host side is served
//! beside them, by whoever owns the process.

mod gate;
pub(crate) mod lock;
mod reload;
mod world;

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    fmt,
    fs::{DirBuilder, File},
    io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use futures::{FutureExt as _, future::BoxFuture};
use selvedge_core::{
    Machine, Rng, Snapshot,
    id::{AgentId, UserId},
    plugin::{
        config as core,
        io::{Input, Output},
        kept::Kept,
        status::Reports,
    },
};
use tokio::{
    sync::{mpsc, oneshot},
    task::{AbortHandle, JoinHandle},
};

pub use self::{gate::Gate, reload::Changes};
use self::{lock::Slot, world::AgentWorld};
use crate::{
    clock::Clock,
    config::{Agent, Config},
    dial::Dialer,
    driver::{self, INBOX_MAX},
    files::Files,
    host::HostLink,
    http,
    recorder::{RecordOptions, Recorder},
    status::Desk,
    store::{
        StoreError, folder_of,
        plugin::{Owner, Store},
    },
    tls::{self, TlsError},
};

/// How long the agents may take to say goodbye to their guilds. A host may kill the process half a
/// second after it closed its input.
pub const SHUTDOWN_PATIENCE: Duration = Duration::from_millis(300);

/// How long an agent that panicked waits before it starts again, at first and at most.
const RESTART: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// Why the plugin cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The HTTP client cannot be set up.
    #[error(transparent)]
    Http(#[from] http::SetupError),
    /// There is no place for the store.
    #[error("it is not known where to keep anything: set [store] path, XDG_STATE_HOME or HOME")]
    NoPlace,
    /// The store cannot be used.
    #[error("the plugin's store cannot be used; name another file with [store] path")]
    Store(#[from] StoreError),
    /// The store's folder cannot be made or written.
    #[error(
        "the folder of the plugin's store {} cannot be made, or nothing can be made in it; let the user \
         that the plugin runs as write there, or set [store] path", .0.display()
    )]
    Folder(PathBuf, #[source] io::Error),
    /// A backup is being restored.
    #[error("the plugin's store is being restored from a backup; start again when that has ended")]
    Restoring,
    /// Recordings were asked for and cannot be made.
    #[error("cannot record into {}; make the folder, or leave --record and [record] dir out", .0.display())]
    Record(PathBuf, #[source] io::Error),
    /// The folder of files cannot be used.
    #[error("the folder of files {} cannot be used; make it, or leave [files] dir out", .0.display())]
    Files(PathBuf, #[source] io::Error),
    /// The operating system gives no random numbers.
    #[error("the operating system gives no random numbers: {0}")]
    Random(#[from] getrandom::Error),
}

/// What the agents of a process share.
#[derive(Clone, Debug)]
pub struct Shared {
    /// The clock of every driver.
    pub clock: Clock,
    /// REST and logins.
    pub http: http::Client,
    /// The folder of files.
    pub files: Files,
    /// WebSockets.
    pub dialer: Arc<Dialer>,
    /// At most so many logins at a time.
    pub gate: Gate,
    /// The host side.
    pub host: HostLink,
    /// Center's URL.
    pub center_url: Arc<str>,
    /// Where agents are asked how they do.
    pub desk: Desk,
    /// The store of all agents.
    pub store: Store,
    /// Its file.
    pub place: Arc<Path>,
    /// Says that it is in use.
    _in_use: Arc<File>,
    /// Where the locks of accounts are, besides those beside the store.
    locks: Option<Arc<Path>>,
}

impl Shared {
    /// The files of an account's lock.
    fn locks_of(&self, user: &UserId) -> Vec<PathBuf> {
        lock::paths(self.locks.as_deref(), &self.place, &self.center_url, user)
    }

    /// What is kept of an agent is kept under this.
    fn owner(&self, agent: &Agent) -> Owner {
        Owner {
            center: self.center_url.to_string(),
            agent: agent.config.agent_id.clone(),
        }
    }
}

impl Shared {
    /// For agents of `config`, none of which has begun; and the task of their store.
    async fn new(config: &Config, host: HostLink) -> Result<(Self, JoinHandle<()>), StartError> {
        let (http, dialer) = reach(config)?;
        let clock = Clock::start();
        let folder = config.files.as_deref();
        let files = Files::open(folder, config.files_bytes_max)
            .map_err(|error| StartError::Files(config.files.clone().unwrap_or_default(), error))?;
        let place: Arc<Path> = config.store.as_deref().ok_or(StartError::NoPlace)?.into();
        let (in_use, store, writer) = open_store(&place).await?;
        let shared = Self {
            clock,
            http,
            files,
            dialer,
            gate: Gate::start(clock, config.logins_max),
            host,
            center_url: config.center_url.as_str().into(),
            desk: Desk::new(clock),
            store,
            place,
            _in_use: Arc::new(in_use),
            locks: lock::folder(config.locks.as_deref()),
        };
        Ok((shared, writer))
    }
}

/// The running agents of a process.
pub struct Plugin {
    config: Config,
    /// What was in the file of additional roots, which may be renewed under the same name.
    roots: Option<Vec<u8>>,
    shared: Shared,
    members: BTreeMap<AgentId, Member>,
    keep: Keep,
    /// The store's task, which ends after the last agent.
    store: JoinHandle<()>,
}

/// What runs an agent for as long as it is wanted.
type Keep =
    Box<dyn Fn(Agent, Shared, [u8; 32], Option<RecordOptions>) -> BoxFuture<'static, ()> + Send>;

/// One running agent; dropping it ends the agent at once.
#[derive(Debug)]
struct Member {
    agent: Agent,
    task: JoinHandle<()>,
}

impl Drop for Member {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl fmt::Debug for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut plugin = f.debug_struct("Plugin");
        plugin
            .field("members", &self.members)
            .finish_non_exhaustive()
    }
}

/// A machine of an agent, which can be asked, and recorded in segments.
pub trait AgentMachine:
    Reports + Machine<Input = Input, Output = Output> + Snapshot + Clone + Send + 'static
{
}

impl<M> AgentMachine for M where
    M: Reports + Machine<Input = Input, Output = Output> + Snapshot + Clone + Send + 'static
{
}

impl Plugin {
    /// Starts every agent of `config`; `new` makes an agent's machine, again after a panic.
    ///
    /// # Errors
    ///
    /// Where TLS, HTTP, the store or the recordings cannot be set up.
    pub async fn start<M, F>(config: &Config, host: HostLink, new: F) -> Result<Self, StartError>
    where
        M: AgentMachine,
        F: Fn(core::Config, Kept, Rng) -> M + Send + Sync + 'static,
    {
        let (shared, store) = Shared::new(config, host).await?;
        if let Some(RecordOptions { dir, .. }) = &config.record {
            std::fs::create_dir_all(dir).map_err(|error| StartError::Record(dir.clone(), error))?;
        }
        let new = Arc::new(new);
        let mut plugin = Self {
            config: config.clone(),
            roots: roots(config),
            shared,
            members: BTreeMap::new(),
            store,
            keep: Box::new(move |agent, shared, seed, record| {
                let keeper = Keeper {
                    agent,
                    shared,
                    seed,
                    record,
                    new: Arc::clone(&new),
                    slot: Arc::default(),
                };
                keeper.keep().boxed()
            }),
        };
        plugin.say_who_syncs();
        for agent in &config.agents {
            plugin.hire(agent, seed()?);
        }
        Ok(plugin)
    }

    /// Tells the host side which agent gets the host's slash commands.
    fn say_who_syncs(&self) {
        let mut agents = self.config.agents.iter();
        let syncs = agents.find(|agent| agent.sync_commands);
        let host = &self.shared.host;
        host.sync_commands(syncs.map(|agent| &agent.config.agent_id));
    }

    /// Starts one agent.
    fn hire(&mut self, agent: &Agent, seed: [u8; 32]) {
        let mut record = self.config.record.clone();
        if let Some(how) = &mut record {
            let agents = self.config.agents.iter().chain([agent]);
            how.secrets = agents.map(|agent| agent.login.secret().clone()).collect();
        }
        self.shared.desk.expect(&agent.config.agent_id, None);
        let task = (self.keep)(agent.clone(), self.shared.clone(), seed, record);
        let member = Member {
            agent: agent.clone(),
            task: tokio::spawn(task),
        };
        self.members.insert(agent.config.agent_id.clone(), member);
    }

    /// Where to ask how the agents do.
    pub const fn desk(&self) -> &Desk {
        &self.shared.desk
    }

    /// Tells every agent that the end has come, and waits until they have closed their connections and
    /// what they keep is written, but no longer than [`SHUTDOWN_PATIENCE`].
    pub async fn shutdown(self) {
        let Self {
            shared,
            mut members,
            keep,
            store,
            config: _,
            roots: _,
        } = self;
        let farewell = async {
            for inbox in shared.host.detach_all() {
                // An agent that is gone needs no goodbye.
                let _ = inbox.send(Input::Shutdown).await;
            }
            for member in members.values_mut() {
                let _ = (&mut member.task).await;
            }
            // What they gave the store last is kept by then.
            drop((shared, keep));
            let _ = store.await;
        };
        if tokio::time::timeout(SHUTDOWN_PATIENCE, farewell)
            .await
            .is_err()
        {
            tracing::debug!("not everything was closed in time");
        }
    }
}

/// What Center and guilds are reached with.
fn reach(config: &Config) -> Result<(http::Client, Arc<Dialer>), StartError> {
    let tls = tls::client_config(config.ca_file.as_deref())?;
    let http = http::Client::new(&tls, config.proxy.as_ref())?;
    Ok((http, Arc::new(Dialer::new(tls, config.proxy.clone()))))
}

/// What is in the file of additional roots, if it can be read.
fn roots(config: &Config) -> Option<Vec<u8>> {
    std::fs::read(config.ca_file.as_deref()?).ok()
}

/// A seed that nobody can guess.
fn seed() -> Result<[u8; 32], StartError> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed)?;
    Ok(seed)
}

/// Ends a task with its owner.
struct Ending(AbortHandle);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Keeps one agent running: its machine is driven in a task of its own, so that a panic ends this
/// agent's task alone.
struct Keeper<F> {
    agent: Agent,
    shared: Shared,
    seed: [u8; 32],
    record: Option<RecordOptions>,
    new: Arc<F>,
    /// The lock of its account.
    slot: Arc<Slot>,
}

/// What to do about a panic.
const BUG: &str = "please report this as a bug of Selvedge, with a recording if there is one";
/// What to do where the store cannot be read.
const UNREADABLE: &str = "check the file of [store] path";

/// How the drive of an agent ended.
enum Ended {
    /// It was asked to.
    Done,
    /// It must be started again, since another process has given its account up.
    Anew,
    /// It must be started again: why, and what can be done about it.
    Failed(String, &'static str),
}

impl<M, F> Keeper<F>
where
    M: AgentMachine,
    F: Fn(core::Config, Kept, Rng) -> M + Send + Sync + 'static,
{
    async fn keep(self) {
        let (mut wait, most) = RESTART;
        let rng = Rng::from_seed(self.seed);
        for life in 0_u64.. {
            // Every life draws other numbers: the same ones would lead to the same panic.
            let rng = if life == 0 {
                rng.clone()
            } else {
                rng.fork(&life.to_string())
            };
            let started = self.shared.clock.now();
            match self.live(life, rng).await {
                Ended::Done => return,
                Ended::Anew => {
                    self.shared.host.detach(&self.agent.config.agent_id);
                    tracing::info!(
                        agent = self.agent.config.agent_id.as_str(),
                        "the account is free: the agent starts"
                    );
                }
                Ended::Failed(why, advice) => {
                    let agent_id = &self.agent.config.agent_id;
                    self.shared.host.detach(agent_id);
                    let told = format!("{why}; {advice}");
                    self.shared.desk.expect(agent_id, Some(told));
                    if self.shared.clock.now().since(started) > most {
                        wait = RESTART.0;
                    }
                    tracing::error!(
                        agent = agent_id.as_str(),
                        %why,
                        "the agent does not run and is started again in {} s; {advice}",
                        wait.as_secs()
                    );
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(most);
                }
            }
        }
    }

    async fn live(&self, life: u64, rng: Rng) -> Ended {
        let agent_id = &self.agent.config.agent_id;
        let (inbox_in, mut inbox) = mpsc::channel(INBOX_MAX);
        let (anew, freed) = oneshot::channel();
        let claim = (Arc::clone(&self.slot), anew);
        let shared = self.shared.clone();
        let mut world = AgentWorld::new(&self.agent, shared, inbox_in.downgrade(), claim);
        announce(&self.shared.host, inbox_in.downgrade());
        self.shared.host.attach(agent_id, inbox_in);
        // What earlier processes, and earlier lives in this one, have kept. What the host says
        // meanwhile waits in the inbox.
        let owner = self.shared.owner(&self.agent);
        let kept = match self.shared.store.load(owner).await {
            Ok(kept) => kept,
            Err(why) => return Ended::Failed(why, UNREADABLE),
        };
        let mut machine = (self.new)(self.agent.config.clone(), kept, rng);
        let recorder = match self.recorder(life, &machine) {
            Ok(recorder) => recorder,
            Err(error) => {
                tracing::error!(
                    agent = self.agent.config.agent_id.as_str(),
                    %error,
                    "this agent is not recorded"
                );
                None
            }
        };
        let clock = self.shared.clock;
        let questions = self.shared.desk.enter(agent_id);
        let drive = async move {
            let (inbox, world) = (&mut inbox, &mut world);
            driver::drive_watched(&mut machine, clock, inbox, world, recorder, questions).await;
        };
        let drive = tokio::spawn(drive);
        let _ending = Ending(drive.abort_handle());
        let ended = tokio::select! {
            biased;
            ended = drive => ended,
            Ok(()) = freed => return Ended::Anew,
        };
        match ended {
            Ok(()) => Ended::Done,
            Err(error) if error.is_panic() => Ended::Failed(panic_words(error.into_panic()), BUG),
            Err(_) => Ended::Done,
        }
    }

    fn recorder(&self, life: u64, machine: &M) -> io::Result<Option<Recorder<M>>> {
        let Some(how) = &self.record else {
            return Ok(None);
        };
        let agent_id = self.agent.config.agent_id.as_str();
        let started_ms = self.shared.clock.now().as_micros() / 1_000;
        let name = recording(agent_id, started_ms, life);
        tracing::info!(agent = agent_id, dir = %how.dir.display(), name, "recording");
        Recorder::create(how, &name, "agent", machine).map(Some)
    }
}

/// Opens the store, in a folder that is made for it where that is the default one.
async fn open_store(path: &Path) -> Result<(File, Store, JoinHandle<()>), StartError> {
    if let Some(folder) = path.parent() {
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder
            .create(folder)
            .map_err(|error| StartError::Folder(folder.to_path_buf(), error))?;
    }
    let in_use = lock::share_store(path).map_err(|error| {
        if error.kind() == io::ErrorKind::WouldBlock {
            return StartError::Restoring;
        }
        StartError::Folder(folder_of(path).to_path_buf(), error)
    })?;
    let (store, writer) = Store::open(path).await?;
    Ok((in_use, store, writer))
}

/// Tells an agent what the host does towards its first inbound.
fn announce(host: &HostLink, inbox: mpsc::WeakSender<Input>) {
    let mut beginnings = host.beginnings();
    tokio::spawn(async move {
        while let Some(event) = beginnings.next().await
            && let Some(inbox) = inbox.upgrade()
        {
            // An agent that is gone does not want to know.
            let _ = inbox.send(Input::Host(event)).await;
        }
    });
}

/// The name of the recording of one life of one agent. What of its id cannot stand in a file's name is
/// an underscore.
fn recording(agent: &str, started_ms: u64, life: u64) -> String {
    let agent: String = agent
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || c == '-' {
                c
            } else {
                '_'
            }
        })
        .collect();
    format!("{agent}-{started_ms}-{life}")
}

fn panic_words(panic: Box<dyn std::any::Any + Send>) -> String {
    match panic.downcast::<String>() {
        Ok(words) => *words,
        Err(panic) => panic
            .downcast_ref::<&str>()
            .map_or_else(|| "a panic without words".to_owned(), ToString::to_string),
    }
}
