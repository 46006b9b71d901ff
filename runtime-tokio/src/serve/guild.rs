//! The embedded guild node: the guild machine with its store, its Center and its front.

use std::{collections::BTreeSet, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use axum::Router;
use selvedge_core::{
    Machine, Rng, Secret, Snapshot,
    guild::{
        Config, Guild,
        fact::Fact,
        io::{Input, Output},
    },
};
use tokio::{
    net::TcpListener,
    sync::mpsc,
    task::{AbortHandle, JoinHandle},
    time::{sleep, timeout},
};

use super::{
    ServeError,
    center_client::{CenterClient, NotRegistered},
    cors::Cors,
    disk::Disk,
    front::Front,
    http::Server,
    listen,
    page::Page,
    random,
    world::GuildWorld,
};
use crate::{
    clock::Clock,
    driver::{self, INBOX_MAX},
    http::Client,
    recorder::{RecordOptions, Recorder},
    store::guild::GuildStore,
};

/// How often the machine is told what the wall clock shows.
const CLOCK_PERIOD: Duration = Duration::from_secs(60);

/// How long after a Center that could not be asked the node tries to register again.
const REGISTER_PAUSE: Duration = Duration::from_secs(5);

/// How long the machine may take for its goodbyes: longer than a WebSocket's.
const STOP_PATIENCE: Duration = Duration::from_secs(10);

/// What a guild node is started with.
#[derive(Clone, Debug)]
pub struct GuildOptions {
    /// Where it listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Its database; made where it is not there, in a folder that is.
    pub database: PathBuf,
    /// The folder of the files that are uploaded; made where it is not there.
    pub files: PathBuf,
    /// What its machine is told: ids and limits.
    pub config: Config,
    /// The origin of its Center.
    pub center_url: String,
    /// Its API key there.
    pub api_key: Secret,
    /// The origin that clients reach it at; `None` where that is the address it listens on.
    pub public_url: Option<String>,
    /// The origin that browsers reach Center at; `None` where that is `center_url`.
    pub center_public_url: Option<String>,
    /// The other origins of browsers that may use it, with commas between them; empty allows all.
    pub cors_origins: String,
    /// What it asks Center with.
    pub client: Client,
    /// Where everything that its machine gets to see is recorded, without the secrets; the folder is
    /// made where it is not there.
    pub record: Option<RecordOptions>,
}

/// A guild node that is up. Ends with [`shutdown`](Self::shutdown).
#[derive(Debug)]
pub struct RunningGuild {
    server: Server,
    base_url: String,
    inbox: mpsc::Sender<Input>,
    /// `None` once it has ended.
    drive: Option<JoinHandle<Result<(), ServeError>>>,
    store: JoinHandle<()>,
    helpers: Vec<AbortHandle>,
}

impl RunningGuild {
    /// Where it listens.
    pub const fn addr(&self) -> SocketAddr {
        self.server.addr()
    }

    /// The origin that clients reach it at.
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// Returns when the node ends by itself; it never does so for a good reason.
    ///
    /// # Errors
    ///
    /// Where it could not go on.
    pub async fn ended(&mut self) -> Result<(), ServeError> {
        let Some(drive) = &mut self.drive else {
            return Ok(());
        };
        let result = drive.await;
        self.drive = None;
        result.unwrap_or_else(|error| Err(ServeError::Bug(error.to_string())))
    }

    /// Accepts nothing more, lets open requests finish, closes every socket and then the database.
    ///
    /// # Errors
    ///
    /// Where the node had ended by itself before.
    pub async fn shutdown(mut self) -> Result<(), ServeError> {
        for helper in &self.helpers {
            helper.abort();
        }
        self.server.stop().await;
        // A machine that has ended needs no goodbye.
        let _ = self.inbox.send(Input::Shutdown).await;
        self.inbox = mpsc::channel(1).0;
        let result = match timeout(STOP_PATIENCE, self.ended()).await {
            Ok(result) => result,
            Err(_) => {
                tracing::warn!("the guild node took too long for its goodbyes");
                if let Some(drive) = self.drive.take() {
                    drive.abort();
                }
                Ok(())
            }
        };
        if let Err(error) = self.store.await {
            tracing::error!(%error, "the guild's store ended badly");
        }
        tracing::info!("the guild node has stopped");
        result
    }
}

/// Starts a guild node and registers it at its Center. Where Center cannot be reached, the node
/// starts all the same and tries again.
///
/// # Errors
///
/// Where the address or the database cannot be used, or Center refuses the node.
pub async fn start_guild(options: GuildOptions) -> Result<RunningGuild, ServeError> {
    let mut store = GuildStore::open(&options.database).await?;
    let rows = store.load_rows().await?;
    let known = rows.iter().filter_map(|fact| {
        let Fact::File(row) = fact else {
            return None;
        };
        Some(row.id.clone())
    });
    let disk = Disk::open(&options.files, &known.collect::<BTreeSet<_>>())?;
    let rng = Rng::from_seed(random::bytes()?);
    let listener = listen(options.listen).await?;
    let machine = Guild::new(options.config.clone(), rng, rows);
    let recorder = options.record.clone().map(|mut how| {
        how.secrets.push(options.api_key.clone());
        record(&how, &machine)
    });
    let recorder = recorder.transpose()?;
    start(machine, (store, disk), listener, recorder, options).await
}

/// Starts a recording.
fn record(how: &RecordOptions, machine: &Guild) -> Result<Recorder<Guild>, ServeError> {
    let failed = |source| {
        let path = how.dir.clone();
        ServeError::Record { path, source }
    };
    std::fs::create_dir_all(&how.dir).map_err(failed)?;
    let name = format!("guild-{}", Clock::wall().as_millis());
    let recorder = Recorder::create(how, &name, "guild", machine).map_err(failed)?;
    tracing::info!(dir = %how.dir.display(), name, "recording");
    Ok(recorder)
}

/// Starts any machine of the guild's shape behind the guild's front.
async fn start<M>(
    mut machine: M,
    (store, disk): (GuildStore, Disk),
    listener: TcpListener,
    recorder: Option<Recorder<M>>,
    options: GuildOptions,
) -> Result<RunningGuild, ServeError>
where
    M: Machine<Input = Input, Output = Output> + Snapshot + Clone + Send + 'static,
{
    let client = CenterClient::new(options.client, &options.center_url, options.api_key);
    let center = Arc::new(client);
    let (inbox, mut inputs) = mpsc::channel(INBOX_MAX);
    let (jobs, queue) = mpsc::unbounded_channel();
    let store = tokio::spawn(store.run(queue, inbox.downgrade()));
    let mut world = GuildWorld::new(Arc::clone(&center), jobs, inbox.downgrade(), disk.clone());
    let front = Arc::new(Front::new(
        inbox.clone(),
        &world,
        disk,
        Cors::new(&options.cors_origins, options.public_url.as_deref()),
        Page::new(
            options
                .center_public_url
                .as_ref()
                .unwrap_or(&options.center_url),
        ),
        &options.config.limits,
    ));
    // The first input of all; the inbox is empty.
    let _ = inbox.try_send(Input::Clock(Clock::wall()));
    let drive = tokio::spawn(async move {
        let clock = Clock::start();
        driver::drive(&mut machine, clock, &mut inputs, &mut world, recorder).await;
        match world.fatal.take() {
            Some(why) => Err(ServeError::Fatal(why)),
            None => Ok(()),
        }
    });
    let router = Router::new().fallback(move |request| {
        let front = Arc::clone(&front);
        async move { front.serve(request).await }
    });
    let server = Server::start(listener, router).map_err(|source| ServeError::Listen {
        addr: options.listen,
        source,
    })?;
    let base_url = options
        .public_url
        .unwrap_or_else(|| format!("http://{}", server.addr()));
    let ticking = tokio::spawn(tell_the_time(inbox.downgrade()));
    let mut running = RunningGuild {
        server,
        base_url,
        inbox,
        drive: Some(drive),
        store,
        helpers: vec![ticking.abort_handle()],
    };
    tracing::info!(addr = %running.addr(), node = %options.config.node_id, "the guild node is up");
    let (node, base_url) = (options.config.node_id, running.base_url.clone());
    match center.register(&node, &base_url).await {
        Ok(()) => {}
        Err(NotRegistered::Refused(why)) => {
            let center_url = center.url().to_owned();
            running.shutdown().await?;
            return Err(ServeError::Refused { center_url, why });
        }
        Err(NotRegistered::Unavailable(why)) => {
            tracing::warn!(why, "Center does not know yet that the guild node is up");
            let registering = tokio::spawn(async move {
                loop {
                    sleep(REGISTER_PAUSE).await;
                    match center.register(&node, &base_url).await {
                        Ok(()) => break tracing::info!("Center knows that the guild node is up"),
                        Err(NotRegistered::Unavailable(why)) => {
                            tracing::debug!(why, "Center is still away");
                        }
                        Err(NotRegistered::Refused(why)) => {
                            tracing::error!(why, "Center refuses the guild node");
                        }
                    }
                }
            });
            running.helpers.push(registering.abort_handle());
        }
    }
    Ok(running)
}

async fn tell_the_time(inbox: mpsc::WeakSender<Input>) {
    loop {
        sleep(CLOCK_PERIOD).await;
        let Some(inbox) = inbox.upgrade() else {
            return;
        };
        // A machine that has ended needs no clock.
        let _ = inbox.send(Input::Clock(Clock::wall())).await;
    }
}

#[cfg(test)]
#[path = "guild_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "recording_tests.rs"]
mod recording_tests;
