//! Center's database: users, guilds and the signing keys.

use std::path::{Path, PathBuf};

use selvedge_core::{
    Wall,
    fabric::center::User,
    id::{GuildId, NodeId, UserId},
};
use sqlx::{Connection as _, SqliteConnection};
use tokio::sync::{Mutex, MutexGuard};

use super::keyring::{Kept, Rotation};
use crate::{
    clock::Clock,
    serve::{ServeError, random},
    store::{Schema, StoreError, open},
};

pub(super) const SCHEMA: Schema = Schema {
    kind: "center",
    application_id: 0x5e1f_ce17,
    migrations: &[
        "CREATE TABLE users (
            id TEXT NOT NULL PRIMARY KEY,
            name TEXT NOT NULL UNIQUE,
            api_key BLOB NOT NULL UNIQUE,
            password TEXT,
            created_at INTEGER NOT NULL
        ) STRICT;
        CREATE TABLE guilds (
            id TEXT NOT NULL PRIMARY KEY,
            api_key BLOB NOT NULL UNIQUE,
            node TEXT UNIQUE,
            base_url TEXT,
            created_at INTEGER NOT NULL
        ) STRICT;
        CREATE TABLE signing_key (
            id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
            key BLOB NOT NULL
        ) STRICT;",
        "CREATE TABLE signing_keys (
            id INTEGER NOT NULL PRIMARY KEY,
            key BLOB NOT NULL,
            replaced_at INTEGER
        ) STRICT;
        CREATE UNIQUE INDEX signing_keys_one_signs
            ON signing_keys (replaced_at IS NULL) WHERE replaced_at IS NULL;
        INSERT INTO signing_keys (key) SELECT key FROM signing_key;
        DROP TABLE signing_key;",
    ],
    // Users are also made from the command line while Center is up.
    exclusive: false,
};

/// How long a replaced key is kept, in milliseconds: no token lives for longer.
const FORMER_KEPT_MS: i64 = super::TOKEN_LIFE_MAX.as_millis() as i64;

/// A guild that a token can be made for.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) guild: GuildId,
    pub(super) node: NodeId,
    pub(super) base_url: String,
}

/// The open database.
#[derive(Debug)]
pub(super) struct CenterStore {
    /// `None` once it is closed.
    connection: Mutex<Option<SqliteConnection>>,
    path: PathBuf,
}

/// The connection for one call.
struct Held<'a>(MutexGuard<'a, Option<SqliteConnection>>);

impl Held<'_> {
    fn connection(&mut self) -> Result<&mut SqliteConnection, ServeError> {
        self.0
            .as_mut()
            .ok_or_else(|| ServeError::Bug("Center's database is asked after its end".into()))
    }
}

impl CenterStore {
    pub(super) async fn open(path: &Path) -> Result<Self, ServeError> {
        Ok(Self {
            connection: Mutex::new(Some(open(path, &SCHEMA).await?)),
            path: path.to_path_buf(),
        })
    }

    pub(super) async fn close(&self) {
        if let Some(connection) = self.connection.lock().await.take()
            && let Err(error) = connection.close().await
        {
            tracing::warn!(%error, "Center's database did not close cleanly");
        }
    }

    /// The keys that tokens are signed with, the oldest first; one that signs is made where there is
    /// none.
    pub(super) async fn signing_keys(&self) -> Result<Vec<Kept>, ServeError> {
        let mut held = self.held().await;
        let connection = held.connection()?;
        let keys = || sqlx::query_as("SELECT key, replaced_at FROM signing_keys ORDER BY id");
        let mut rows: Vec<(Vec<u8>, Option<i64>)> = keys()
            .fetch_all(&mut *connection)
            .await
            .map_err(self.failed())?;
        if rows.iter().all(|(_, replaced_at)| replaced_at.is_some()) {
            let fresh = random::bytes::<32>()?;
            sqlx::query("INSERT INTO signing_keys (key) VALUES (?1) ON CONFLICT DO NOTHING")
                .bind(fresh.as_slice())
                .execute(&mut *connection)
                .await
                .map_err(self.failed())?;
            rows = keys().fetch_all(connection).await.map_err(self.failed())?;
        }
        let kept = rows.into_iter().map(|(key, replaced_at)| {
            Ok(Kept {
                key: key
                    .try_into()
                    .map_err(|_| self.damaged("a signing key does not have 32 bytes"))?,
                replaced_at: replaced_at.map(Wall::from_millis),
            })
        });
        kept.collect()
    }

    /// Puts a new key in place of the one that signs, and forgets those that are of no use.
    pub(super) async fn rotate(&self, rotation: Rotation) -> Result<(), ServeError> {
        let fresh = random::bytes::<32>()?;
        let now = Clock::wall();
        let forgotten = match rotation {
            Rotation::Gradual => now.as_millis().saturating_sub(FORMER_KEPT_MS),
            Rotation::Immediate => i64::MAX,
        };
        let mut held = self.held().await;
        let failed = self.failed();
        let mut transaction = held.connection()?.begin().await.map_err(&failed)?;
        sqlx::query("UPDATE signing_keys SET replaced_at = ?1 WHERE replaced_at IS NULL")
            .bind(now.as_millis())
            .execute(&mut *transaction)
            .await
            .map_err(&failed)?;
        sqlx::query("DELETE FROM signing_keys WHERE replaced_at < ?1")
            .bind(forgotten)
            .execute(&mut *transaction)
            .await
            .map_err(&failed)?;
        sqlx::query("INSERT INTO signing_keys (key) VALUES (?1)")
            .bind(fresh.as_slice())
            .execute(&mut *transaction)
            .await
            .map_err(&failed)?;
        transaction.commit().await.map_err(&failed)?;
        Ok(())
    }

    /// Adds a user; false where the name is taken.
    pub(super) async fn add_user(
        &self,
        id: &UserId,
        name: &str,
        api_key: &[u8],
        password: Option<String>,
    ) -> Result<bool, ServeError> {
        let done = sqlx::query(
            "INSERT INTO users VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (name) DO NOTHING",
        )
        .bind(id.as_str())
        .bind(name)
        .bind(api_key)
        .bind(password)
        .bind(Clock::wall().as_millis())
        .execute(self.held().await.connection()?)
        .await
        .map_err(self.failed())?;
        Ok(done.rows_affected() == 1)
    }

    /// Adds a guild, or gives it another key.
    pub(super) async fn add_guild(
        &self,
        guild: &GuildId,
        api_key: &[u8],
    ) -> Result<(), ServeError> {
        sqlx::query(
            "INSERT INTO guilds VALUES (?1, ?2, NULL, NULL, ?3)
             ON CONFLICT (id) DO UPDATE SET api_key = ?2",
        )
        .bind(guild.as_str())
        .bind(api_key)
        .bind(Clock::wall().as_millis())
        .execute(self.held().await.connection()?)
        .await
        .map_err(self.failed())?;
        Ok(())
    }

    /// The guild of an API key.
    pub(super) async fn guild_by_key(&self, api_key: &[u8]) -> Result<Option<GuildId>, ServeError> {
        let row: Option<(String,)> = sqlx::query_as("SELECT id FROM guilds WHERE api_key = ?1")
            .bind(api_key)
            .fetch_optional(self.held().await.connection()?)
            .await
            .map_err(self.failed())?;
        row.map(|(id,)| GuildId::new(&id).ok_or_else(|| self.damaged("a guild's id")))
            .transpose()
    }

    /// A guild's node is up; false where another guild has the node's id.
    pub(super) async fn register(
        &self,
        guild: &GuildId,
        node: &NodeId,
        base_url: &str,
    ) -> Result<bool, ServeError> {
        let done = sqlx::query(
            "UPDATE guilds SET node = ?2, base_url = ?3 WHERE id = ?1
             AND NOT EXISTS (SELECT 1 FROM guilds WHERE node = ?2 AND id <> ?1)",
        )
        .bind(guild.as_str())
        .bind(node.as_str())
        .bind(base_url)
        .execute(self.held().await.connection()?)
        .await
        .map_err(self.failed())?;
        Ok(done.rows_affected() == 1)
    }

    /// The guilds whose nodes have registered.
    pub(super) async fn nodes(&self) -> Result<Vec<Node>, ServeError> {
        let rows: Vec<(String, String, String)> = sqlx::query_as(
            "SELECT id, node, base_url FROM guilds
             WHERE node IS NOT NULL AND base_url IS NOT NULL ORDER BY id",
        )
        .fetch_all(self.held().await.connection()?)
        .await
        .map_err(self.failed())?;
        rows.into_iter()
            .map(|(guild, node, base_url)| {
                let (guild, node) = (GuildId::new(&guild), NodeId::new(&node));
                let (Some(guild), Some(node)) = (guild, node) else {
                    return Err(self.damaged("a guild's id"));
                };
                Ok(Node {
                    guild,
                    node,
                    base_url,
                })
            })
            .collect()
    }

    /// The user of an API key.
    pub(super) async fn user_by_key(&self, api_key: &[u8]) -> Result<Option<User>, ServeError> {
        let row: Option<(String, String)> =
            sqlx::query_as("SELECT id, name FROM users WHERE api_key = ?1")
                .bind(api_key)
                .fetch_optional(self.held().await.connection()?)
                .await
                .map_err(self.failed())?;
        row.map(|row| self.user(row)).transpose()
    }

    /// The user of an id.
    pub(super) async fn user_by_id(&self, id: &UserId) -> Result<Option<User>, ServeError> {
        let row: Option<(String, String)> =
            sqlx::query_as("SELECT id, name FROM users WHERE id = ?1")
                .bind(id.as_str())
                .fetch_optional(self.held().await.connection()?)
                .await
                .map_err(self.failed())?;
        row.map(|row| self.user(row)).transpose()
    }

    /// The user of a name, and the hash of its password where it has one.
    pub(super) async fn user_by_name(
        &self,
        name: &str,
    ) -> Result<Option<(User, Option<String>)>, ServeError> {
        let row: Option<(String, String, Option<String>)> =
            sqlx::query_as("SELECT id, name, password FROM users WHERE name = ?1")
                .bind(name)
                .fetch_optional(self.held().await.connection()?)
                .await
                .map_err(self.failed())?;
        row.map(|(id, name, password)| Ok((self.user((id, name))?, password)))
            .transpose()
    }

    async fn held(&self) -> Held<'_> {
        Held(self.connection.lock().await)
    }

    fn user(&self, (id, name): (String, String)) -> Result<User, ServeError> {
        match UserId::new(&id) {
            Some(id) => Ok(User { id, name }),
            None => Err(self.damaged("a user's id")),
        }
    }

    fn failed(&self) -> impl Fn(sqlx::Error) -> ServeError {
        let failed = StoreError::sqlite(&self.path);
        move |error| failed(error).into()
    }

    fn damaged(&self, what: &str) -> ServeError {
        let what = what.into();
        let path = self.path.clone();
        StoreError::Row { path, what }.into()
    }
}
