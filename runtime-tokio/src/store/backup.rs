//! Copies of a database: looked at without a change, taken while it is in use, put in its place.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};

use super::{BUSY_PATIENCE, Schema, StoreError, version};

/// How many files that a restore has set aside may lie beside the store.
const ASIDE_MAX: u32 = 1_000;

/// Opens a database that is there to read it, whoever uses it meanwhile, and says its version.
/// Nothing in it changes.
pub(super) async fn open_to_read(
    path: &Path,
    schema: &Schema,
) -> Result<(SqliteConnection, usize), StoreError> {
    // SQLite itself would only say that it is unable to open it.
    File::open(path).map_err(file(path))?;
    let failed = StoreError::sqlite(path);
    // Whoever uses it has a log beside it. Without one nobody does, and none is made.
    let in_use = beside(path, "-wal").exists();
    let mut connection = SqliteConnectOptions::new()
        .filename(path)
        .read_only(true)
        .immutable(!in_use)
        .busy_timeout(BUSY_PATIENCE)
        .disable_statement_logging()
        .connect()
        .await
        .map_err(failed)?;
    let version = version(&mut connection, path, schema).await?;
    Ok((connection, version))
}

/// Whether the pages of an open database fit together.
pub(super) async fn check(
    connection: &mut SqliteConnection,
    path: &Path,
) -> Result<(), StoreError> {
    let checked = sqlx::query_as("PRAGMA integrity_check(1)");
    let (what,): (String,) = checked
        .fetch_one(connection)
        .await
        .map_err(StoreError::sqlite(path))?;
    match what.as_str() {
        "ok" => Ok(()),
        _ => Err(StoreError::Damaged {
            path: path.to_path_buf(),
            what: what.replace('\n', " "),
        }),
    }
}

/// Copies the database at `from`, which may be in use, to a new file. When this returns, the copy is
/// on the disk and has been read again; where it fails there is none.
pub(super) async fn copy(from: &Path, to: &Path, schema: &Schema) -> Result<(), StoreError> {
    let (mut connection, _) = open_to_read(from, schema).await?;
    let copied = copy_open(&mut connection, from, to, schema).await;
    // Only a connection that is closed has left nothing beside the file.
    let _ = connection.close().await;
    copied
}

async fn copy_open(
    connection: &mut SqliteConnection,
    from: &Path,
    to: &Path,
    schema: &Schema,
) -> Result<(), StoreError> {
    let made = OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(to);
    let made = made.map_err(file(to))?;
    let copied = async {
        copy_into(connection, from, to).await?;
        made.sync_all().map_err(file(to))?;
        sync_folder(to)?;
        let (mut copy, _) = open_to_read(to, schema).await?;
        let checked = check(&mut copy, to).await;
        let _ = copy.close().await;
        checked
    };
    let copied = copied.await;
    if copied.is_err() {
        // What is not whole is of no use, and would be in the way of the next attempt.
        let _ = fs::remove_file(to);
    }
    copied
}

/// Copies everything into a file that is empty.
async fn copy_into(
    connection: &mut SqliteConnection,
    from: &Path,
    to: &Path,
) -> Result<(), StoreError> {
    // An absolute path is never taken for a URI.
    let absolute = std::path::absolute(to).map_err(file(to))?;
    let unnamed = || file(to)(io::Error::other("its name is not UTF-8"));
    let name = absolute.to_str().ok_or_else(unnamed)?;
    // Bound, so that no name can end the statement.
    sqlx::query("VACUUM INTO ?1")
        .bind(name)
        .execute(connection)
        .await
        .map(drop)
        .map_err(StoreError::sqlite(from))
}

/// Puts a copy of the database `from` in the place of the one at `path`, which nobody may use
/// meanwhile, and runs `statements` in it before. Gives back where the former one is now, if there was
/// one. Where it fails, the former one is where it was.
pub(super) async fn put(
    from: &Path,
    path: &Path,
    schema: &Schema,
    statements: &'static str,
) -> Result<Option<PathBuf>, StoreError> {
    let (mut connection, _) = open_to_read(from, schema).await?;
    check(&mut connection, from).await?;
    let folder = folder_of(path);
    // Private, and gone where anything fails.
    let new = tempfile::Builder::new()
        .prefix(".restoring-")
        .tempfile_in(folder)
        .map_err(file(folder))?;
    copy_into(&mut connection, from, new.path()).await?;
    drop(connection);
    super::bring_up(new.path(), schema, statements).await?;
    new.as_file().sync_all().map_err(file(path))?;
    let aside = match path.exists() {
        true => Some(set_aside(path).await?),
        false => None,
    };
    // What is left of the former one beside it would be taken for the new one's.
    for suffix in ["-wal", "-shm"] {
        let side = beside(path, suffix);
        match fs::remove_file(&side) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(file(&side)(error));
            }
            Ok(()) | Err(_) => {}
        }
    }
    new.persist(path).map_err(|error| file(path)(error.error))?;
    sync_folder(path)?;
    Ok(aside)
}

/// Gives the database at `path` and its log a second name each.
async fn set_aside(path: &Path) -> Result<PathBuf, StoreError> {
    // With its log written back, the file is all there is. One that is damaged is kept with its log.
    let options = SqliteConnectOptions::new()
        .filename(path)
        .disable_statement_logging();
    if let Ok(mut connection) = options.connect().await {
        let back = sqlx::raw_sql("PRAGMA wal_checkpoint(TRUNCATE)");
        let _ = back.execute(&mut connection).await;
        let _ = connection.close().await;
    }
    for number in 1..=ASIDE_MAX {
        let suffix = match number {
            1 => ".before-restore".to_owned(),
            _ => format!(".before-restore-{number}"),
        };
        let aside = beside(path, &suffix);
        match fs::hard_link(path, &aside) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
            Err(error) => return Err(file(&aside)(error)),
        }
        let (log, log_aside) = (beside(path, "-wal"), beside(&aside, "-wal"));
        if log.exists() {
            fs::hard_link(&log, &log_aside).map_err(file(&log_aside))?;
        }
        sync_folder(path)?;
        return Ok(aside);
    }
    Err(file(path)(io::Error::other(
        "too many files .before-restore lie beside it; remove those that nobody needs",
    )))
}

/// The file of that name with something behind it.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

/// The folder that a file is in.
pub(crate) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        Some(_) | None => Path::new("."),
    }
}

/// A name that was made is there after a loss of power too.
fn sync_folder(path: &Path) -> Result<(), StoreError> {
    let folder = folder_of(path);
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(file(folder))
}

fn file(path: &Path) -> impl Fn(io::Error) -> StoreError {
    move |source| StoreError::File {
        path: path.to_path_buf(),
        source,
    }
}
