//! The plugin's store: what the agents of a process keep, in SQLite, written by one task in order.

mod rows;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use selvedge_core::{
    id::AgentId,
    plugin::kept::{Change, Kept},
};
use sqlx::{Connection as _, SqliteConnection};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

use super::{Schema, StoreError, backup, open};

/// How many batches are taken in at once: what waits for the disk shares one commit.
const JOBS_A_COMMIT: usize = 128;

const SCHEMA: Schema = Schema {
    kind: "plugin",
    application_id: 0x5e1f_a6e7,
    migrations: &[
        "CREATE TABLE agents (
            id INTEGER NOT NULL PRIMARY KEY,
            center TEXT NOT NULL,
            agent TEXT NOT NULL,
            name TEXT,
            user TEXT,
            alive_at INTEGER,
            UNIQUE (center, agent)
        ) STRICT;
        CREATE TABLE guilds (
            agent INTEGER NOT NULL REFERENCES agents (id),
            guild TEXT NOT NULL,
            PRIMARY KEY (agent, guild)
        ) STRICT, WITHOUT ROWID;
        CREATE TABLE channels (
            agent INTEGER NOT NULL REFERENCES agents (id),
            guild TEXT NOT NULL,
            channel TEXT NOT NULL,
            seq INTEGER,
            message TEXT,
            created_at INTEGER,
            context_from INTEGER NOT NULL,
            left_at INTEGER,
            PRIMARY KEY (agent, guild, channel)
        ) STRICT, WITHOUT ROWID;
        CREATE TABLE turns (
            agent INTEGER NOT NULL REFERENCES agents (id),
            turn TEXT NOT NULL,
            guild TEXT NOT NULL,
            channel TEXT NOT NULL,
            messages TEXT NOT NULL,
            attempt INTEGER NOT NULL,
            context_from INTEGER NOT NULL,
            state TEXT NOT NULL,
            owes_pass INTEGER NOT NULL,
            PRIMARY KEY (agent, turn)
        ) STRICT, WITHOUT ROWID;",
        "ALTER TABLE channels ADD COLUMN skipped INTEGER NOT NULL DEFAULT 0;
        ALTER TABLE channels ADD COLUMN recovered INTEGER NOT NULL DEFAULT 0;
        ALTER TABLE turns ADD COLUMN skipped INTEGER NOT NULL DEFAULT 0;
        ALTER TABLE turns ADD COLUMN recovered INTEGER NOT NULL DEFAULT 0;
        ALTER TABLE turns ADD COLUMN rewake INTEGER NOT NULL DEFAULT 0;",
        "ALTER TABLE channels ADD COLUMN missed_to INTEGER NOT NULL DEFAULT 0;",
    ],
    // The plugins of other accounts may use the same file.
    exclusive: false,
};

/// An agent in the file: of that Center, by that name in the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Center's URL.
    pub center: String,
    /// The agent.
    pub agent: AgentId,
}

/// What the agents of a process ask of their store.
#[derive(Debug)]
enum Job {
    /// Everything that is kept of an agent, after every batch before.
    Load(Owner, oneshot::Sender<Result<Kept, String>>),
    /// Keep this, all or none.
    Keep(Keeping),
}

#[derive(Debug)]
struct Keeping {
    owner: Owner,
    batch: Vec<Change>,
    done: oneshot::Sender<Result<(), String>>,
}

/// The way to the store, which is closed when the last of them is gone.
#[derive(Clone, Debug)]
pub struct Store {
    /// Bounded by its users: each agent has one batch under way, and one more at its end.
    jobs: mpsc::UnboundedSender<Job>,
}

impl Store {
    /// Opens the file at `path`, made where it is not there, and starts its task.
    ///
    /// # Errors
    ///
    /// Where the file cannot be used.
    pub async fn open(path: &Path) -> Result<(Self, JoinHandle<()>), StoreError> {
        let store = PluginStore {
            connection: open(path, &SCHEMA).await?,
            path: path.to_path_buf(),
        };
        let (jobs, taken) = mpsc::unbounded_channel();
        Ok((Self { jobs }, tokio::spawn(store.serve(taken))))
    }

    /// What is kept of an agent.
    ///
    /// # Errors
    ///
    /// Where it cannot be read, in words.
    pub async fn load(&self, owner: Owner) -> Result<Kept, String> {
        let (done, loaded) = oneshot::channel();
        let sent = self.jobs.send(Job::Load(owner, done));
        sent.map_err(|_| ENDED.to_owned())?;
        loaded.await.unwrap_or_else(|_| Err(ENDED.to_owned()))
    }

    /// Keeps a batch of an agent, after all that it was given before; at most one change of each row,
    /// as a journal makes it: within a batch there is no order.
    ///
    /// # Errors
    ///
    /// Where it cannot be written, in words; nothing of it is kept then.
    pub fn keep(
        &self,
        owner: Owner,
        batch: Vec<Change>,
    ) -> impl Future<Output = Result<(), String>> + Send + use<> {
        let (done, kept) = oneshot::channel();
        // Where nobody takes it, nobody answers either.
        let _ = self.jobs.send(Job::Keep(Keeping { owner, batch, done }));
        async { kept.await.unwrap_or_else(|_| Err(ENDED.to_owned())) }
    }
}

/// What is in a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// The version of its schema, and the one that this program works with.
    pub version: (usize, usize),
    /// What is kept of each agent; nothing where the version is an older one, which is read only once
    /// it was brought to the newer.
    pub agents: Vec<(Owner, Kept)>,
}

/// Looks at the store at `path`, which a plugin may be using, and changes nothing there.
///
/// # Errors
///
/// Where it cannot be read, is damaged, or is of a version that is not known.
pub async fn look(path: &Path) -> Result<Look, StoreError> {
    let (mut connection, version) = backup::open_to_read(path, &SCHEMA).await?;
    let looked = look_into(&mut connection, version, path).await;
    // Only a connection that is closed has left nothing beside the file.
    let _ = connection.close().await;
    looked
}

async fn look_into(
    connection: &mut SqliteConnection,
    version: usize,
    path: &Path,
) -> Result<Look, StoreError> {
    backup::check(connection, path).await?;
    let known = SCHEMA.migrations.len();
    let mut agents = Vec::new();
    if version == known {
        let owners = rows::owners(connection).await;
        for owner in owners.map_err(unreadable(path))? {
            let kept = rows::load(connection, &owner).await;
            agents.push((owner, kept.map_err(unreadable(path))?));
        }
    }
    Ok(Look {
        version: (version, known),
        agents,
    })
}

/// Copies the store at `path`, which a plugin may be using, to a new file at `to`. When this returns,
/// the copy is on the disk and was read again.
///
/// # Errors
///
/// Where the store cannot be read, or the copy cannot be written or is there already; then there is
/// none.
pub async fn back_up(path: &Path, to: &Path) -> Result<(), StoreError> {
    backup::copy(path, to, &SCHEMA).await
}

/// How a store that was restored goes on: it is older than the channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GoesOn {
    /// Where the backup was: what was posted since then was missed, and is caught up on. What an
    /// agent's own posts show to have been handed over is left out; what came after the last of them, or
    /// stands in a guild that keeps no nonces, may be handed over a second time.
    WhereItWas,
    /// With what is posted from now on. Turns that were open are forgotten.
    FromNow,
}

impl GoesOn {
    const fn statements(self) -> &'static str {
        match self {
            // As long ago as can be: however young the backup is, this is an outage to the agents.
            Self::WhereItWas => "UPDATE agents SET alive_at = 0 WHERE alive_at IS NOT NULL",
            Self::FromNow => {
                "DELETE FROM turns;
                 UPDATE channels SET seq = NULL, message = NULL, created_at = NULL, context_from = 0,
                     skipped = 0, recovered = 0, missed_to = 0
                 WHERE left_at IS NULL"
            }
        }
    }
}

/// Puts a copy of the backup `from` in the place of the store at `path`, which nobody may use
/// meanwhile. Gives back what the former store is called now, if there was one.
///
/// # Errors
///
/// Where the backup cannot be used, or its copy cannot be written; then the store is what it was.
pub async fn restore(
    from: &Path,
    path: &Path,
    goes_on: GoesOn,
) -> Result<Option<PathBuf>, StoreError> {
    backup::put(from, path, &SCHEMA, goes_on.statements()).await
}

/// A row that cannot be read is not SQLite's fault.
fn unreadable(path: &Path) -> impl Fn(sqlx::Error) -> StoreError + Copy {
    move |error| {
        let sqlx::Error::Decode(what) = error else {
            return StoreError::sqlite(path)(error);
        };
        StoreError::Row {
            path: path.to_path_buf(),
            what: what.to_string(),
        }
    }
}

/// Why nothing is answered.
const ENDED: &str = "the store's task has ended";

struct PluginStore {
    connection: SqliteConnection,
    path: PathBuf,
}

impl PluginStore {
    async fn serve(mut self, mut jobs: mpsc::UnboundedReceiver<Job>) {
        let mut taken = Vec::new();
        let mut group = Vec::new();
        while jobs.recv_many(&mut taken, JOBS_A_COMMIT).await > 0 {
            for job in taken.drain(..) {
                match job {
                    Job::Keep(keeping) => group.push(keeping),
                    Job::Load(owner, done) => {
                        self.keep(&mut group).await;
                        let loaded = self.load(&owner).await;
                        // Who does not wait any more needs no answer.
                        let _ = done.send(loaded.map_err(|error| error.to_string()));
                    }
                }
            }
            self.keep(&mut group).await;
        }
        if let Err(error) = self.connection.close().await {
            tracing::warn!(%error, "the plugin's store did not close cleanly");
        }
    }

    /// Commits what has gathered in one go. Where that does not work, each batch is tried by itself,
    /// so that none suffers from another's.
    async fn keep(&mut self, group: &mut Vec<Keeping>) {
        if group.len() > 1 && self.commit(group).await.is_ok() {
            for keeping in group.drain(..) {
                let _ = keeping.done.send(Ok(()));
            }
        }
        for keeping in group.drain(..) {
            let kept = self.commit(std::slice::from_ref(&keeping)).await;
            let _ = keeping.done.send(kept.map_err(|error| error.to_string()));
        }
    }

    async fn commit(&mut self, group: &[Keeping]) -> Result<(), StoreError> {
        // Immediate: a transaction that begins as a reader may find the file taken when it writes.
        self.sql("BEGIN IMMEDIATE").await?;
        let written = self.write(group).await;
        let committed = match written {
            Ok(()) => self.sql("COMMIT").await,
            Err(error) => Err(error),
        };
        if committed.is_err() {
            // Where the disk is full, SQLite has rolled everything back already, and says so here.
            let _ = self.sql("ROLLBACK").await;
        }
        committed
    }

    async fn write(&mut self, group: &[Keeping]) -> Result<(), StoreError> {
        let failed = StoreError::sqlite(&self.path);
        for keeping in group {
            let id = rows::agent(&mut self.connection, &keeping.owner);
            let id = id.await.map_err(failed)?;
            let written = rows::write(&mut self.connection, id, &keeping.batch);
            written.await.map_err(failed)?;
        }
        Ok(())
    }

    async fn load(&mut self, owner: &Owner) -> Result<Kept, StoreError> {
        self.sql("BEGIN").await?;
        let kept = rows::load(&mut self.connection, owner).await;
        // Nothing was written, and reading on would hold back who writes.
        let _ = self.sql("ROLLBACK").await;
        kept.map_err(unreadable(&self.path))
    }

    async fn sql(&mut self, sql: &'static str) -> Result<(), StoreError> {
        // Not by the transactions of the library: it counts one that SQLite has ended by itself as open
        // for good.
        let done = sqlx::raw_sql(sql).execute(&mut self.connection).await;
        done.map(drop).map_err(StoreError::sqlite(&self.path))
    }
}
