//! SQLite files: opened for their owner alone, with a schema that knows its version.

mod backup;
pub mod guild;
pub mod plugin;

#[cfg(test)]
mod tests;

pub(crate) use self::backup::folder_of;

use std::{
    fs::{OpenOptions, Permissions},
    io,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteLockingMode, SqliteSynchronous},
};

/// How long an open waits for another process that holds the file, before it gives up.
const BUSY_PATIENCE: Duration = Duration::from_secs(2);

/// What a database file of one kind holds.
#[derive(Clone, Copy, Debug)]
pub struct Schema {
    /// What the file is, for errors: `guild`.
    pub kind: &'static str,
    /// SQLite's `application_id`, by which another kind of file is recognised.
    pub application_id: i32,
    /// The steps from an empty file to the newest version; `user_version` counts them.
    pub migrations: &'static [&'static str],
    /// Whether one process holds the file for itself alone.
    pub exclusive: bool,
}

/// Why a database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file cannot be made or protected.
    #[error("{path}: cannot be opened for reading and writing: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A newer version of the program wrote it.
    #[error(
        "{path}: has version {found} of the {kind} schema, this program knows versions up to \
         {known}; run the newer program, or restore the backup from before its first start"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// What it should be.
        kind: &'static str,
        /// The file's version.
        found: usize,
        /// The newest known one.
        known: usize,
    },
    /// It belongs to something else.
    #[error("{path}: is not a {kind} database of Selvedge; name another file")]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What it should be.
        kind: &'static str,
    },
    /// Another process has it.
    #[error("{path}: is in use by another process; stop that one first")]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// SQLite refused.
    #[error("{path}: {source}")]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: sqlx::Error,
    },
    /// It could not be brought to the newest version.
    #[error(
        "{path}: cannot be brought from version {found} of the {kind} schema to {known}: {source}; \
         nothing in it has changed, and the program before this one still works with it: mend that \
         and start again"
    )]
    Migration {
        /// The file.
        path: PathBuf,
        /// What it is.
        kind: &'static str,
        /// The version that it has.
        found: usize,
        /// The one that it should get.
        known: usize,
        /// What SQLite said.
        source: sqlx::Error,
    },
    /// Its pages do not fit together.
    #[error("{path}: is damaged ({what}); restore a backup of it")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What SQLite found first.
        what: String,
    },
    /// A row is not what this program writes.
    #[error("{path}: {what}: the file was changed by something else, or is damaged")]
    Row {
        /// The file.
        path: PathBuf,
        /// Which value.
        what: String,
    },
    /// A transaction breaks a rule of the store.
    #[error("{path}: {what}; please report this as a bug of Selvedge")]
    Rule {
        /// The file.
        path: PathBuf,
        /// Which rule.
        what: String,
    },
}

impl StoreError {
    /// An error of SQLite about `path`.
    pub(crate) fn sqlite(path: &Path) -> impl Fn(sqlx::Error) -> Self + Copy {
        move |source| {
            // SQLITE_BUSY and its extended codes.
            let busy = source
                .as_database_error()
                .and_then(|error| error.code())
                .and_then(|code| code.parse::<i32>().ok())
                .is_some_and(|code| code & 0xff == 5);
            let path = path.to_path_buf();
            if busy {
                Self::InUse { path }
            } else {
                Self::Sqlite { path, source }
            }
        }
    }
}

/// Opens the database at `path`, made where it is not there, and brings it to the newest version.
///
/// # Errors
///
/// Where the file cannot be used; see [`StoreError`].
pub async fn open(path: &Path, schema: &Schema) -> Result<SqliteConnection, StoreError> {
    make_private(path).map_err(|source| StoreError::File {
        path: path.to_path_buf(),
        source,
    })?;
    let failed = StoreError::sqlite(path);
    let locking = if schema.exclusive {
        SqliteLockingMode::Exclusive
    } else {
        SqliteLockingMode::Normal
    };
    // FULL: a commit that was answered is on the disk, also when the power fails.
    let mut connection = SqliteConnectOptions::new()
        .filename(path)
        .locking_mode(locking)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY_PATIENCE)
        .disable_statement_logging()
        .connect()
        .await
        .map_err(failed)?;
    migrate(&mut connection, path, schema).await?;
    Ok(connection)
}

/// Brings a copy that nobody else knows of to the newest version, and runs `statements` in it. It is
/// one file then, without a log beside it.
async fn bring_up(
    path: &Path,
    schema: &Schema,
    statements: &'static str,
) -> Result<(), StoreError> {
    let failed = StoreError::sqlite(path);
    let mut connection = SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Delete)
        .foreign_keys(true)
        .disable_statement_logging()
        .connect()
        .await
        .map_err(failed)?;
    migrate(&mut connection, path, schema).await?;
    let ran = sqlx::raw_sql(statements).execute(&mut connection).await;
    ran.map_err(failed)?;
    backup::check(&mut connection, path).await?;
    connection.close().await.map_err(failed)
}

/// All steps or none: a file whose migration fails is what it was.
async fn migrate(
    connection: &mut SqliteConnection,
    path: &Path,
    schema: &Schema,
) -> Result<(), StoreError> {
    let failed = StoreError::sqlite(path);
    sqlx::raw_sql("BEGIN IMMEDIATE")
        .execute(&mut *connection)
        .await
        .map_err(failed)?;
    let found = version(connection, path, schema).await?;
    let known = schema.migrations.len();
    if found == known {
        // Nothing is written, for which there may be no room.
        let end = sqlx::raw_sql("ROLLBACK").execute(&mut *connection).await;
        return end.map(drop).map_err(failed);
    }
    // A pragma takes no parameters; these are two numbers of ours.
    let seal = format!(
        "PRAGMA application_id = {}; PRAGMA user_version = {known}; COMMIT",
        schema.application_id
    );
    let steps = schema.migrations.iter().skip(found).copied();
    for step in steps.chain([seal.as_str()]) {
        let step = sqlx::raw_sql(AssertSqlSafe(step.to_owned()));
        step.execute(&mut *connection)
            .await
            .map_err(|source| StoreError::Migration {
                path: path.to_path_buf(),
                kind: schema.kind,
                found,
                known,
                source,
            })?;
    }
    Ok(())
}

/// The version of an open database; 0 where nothing is in it yet.
async fn version(
    connection: &mut SqliteConnection,
    path: &Path,
    schema: &Schema,
) -> Result<usize, StoreError> {
    let failed = StoreError::sqlite(path);
    let (application_id,): (i32,) = sqlx::query_as("PRAGMA application_id")
        .fetch_one(&mut *connection)
        .await
        .map_err(failed)?;
    let (version,): (i64,) = sqlx::query_as("PRAGMA user_version")
        .fetch_one(&mut *connection)
        .await
        .map_err(failed)?;
    let (tables,): (i64,) = sqlx::query_as("SELECT count(*) FROM sqlite_schema")
        .fetch_one(&mut *connection)
        .await
        .map_err(failed)?;
    let empty = application_id == 0 && version == 0 && tables == 0;
    if application_id != schema.application_id && !empty {
        return Err(StoreError::Foreign {
            path: path.to_path_buf(),
            kind: schema.kind,
        });
    }
    let found = usize::try_from(version).unwrap_or(usize::MAX);
    let known = schema.migrations.len();
    if found > known {
        return Err(StoreError::Newer {
            path: path.to_path_buf(),
            kind: schema.kind,
            found,
            known,
        });
    }
    Ok(found)
}

/// Makes the file with mode 0600, or gives it that mode; SQLite gives its side files the same.
fn make_private(path: &Path) -> io::Result<()> {
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .mode(0o600)
        .open(path)?;
    file.set_permissions(Permissions::from_mode(0o600))
}
