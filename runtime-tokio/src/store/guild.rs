//! The guild's store: channels, members and messages in SQLite, written by one task in order.

mod documents;
mod files;
mod nonces;
mod turns;

use std::path::{Path, PathBuf};

use selvedge_core::{
    RequestId, Wall,
    fabric::types::{Author, Message, Page},
    guild::{
        fact::{ChannelRow, Fact, MemberRow},
        io::{self, Input, Loaded, Query, Unavailable},
    },
    id::{ChannelId, GuildId, MessageId, UserId},
};
use serde::{Serialize, de::DeserializeOwned};
use sqlx::{Connection as _, Row as _, SqliteConnection, sqlite::SqliteRow};
use tokio::sync::mpsc;

use self::nonces::Meaning;
use super::{Schema, StoreError, open};

/// How many jobs are taken in at once: transactions that wait for the disk share one commit.
const JOBS_A_COMMIT: usize = 128;

/// The largest page that is read, whatever is asked for: what one read may hold in memory.
const PAGE_MAX: u64 = 1_000;

const SCHEMA: Schema = Schema {
    kind: "guild",
    application_id: 0x5e1f_6a1d,
    migrations: &[
        "CREATE TABLE channels (
            id TEXT NOT NULL PRIMARY KEY,
            name TEXT NOT NULL,
            x_type TEXT NOT NULL,
            is_public INTEGER NOT NULL,
            closed INTEGER NOT NULL,
            wake_mapping TEXT NOT NULL,
            last_seq INTEGER NOT NULL,
            created_at INTEGER NOT NULL
        ) STRICT;
        CREATE TABLE members (
            channel TEXT NOT NULL REFERENCES channels (id),
            user TEXT NOT NULL,
            name TEXT NOT NULL,
            joined_seq INTEGER NOT NULL,
            joined_at INTEGER NOT NULL,
            PRIMARY KEY (channel, user)
        ) STRICT;
        CREATE TABLE messages (
            id TEXT NOT NULL PRIMARY KEY,
            channel TEXT NOT NULL REFERENCES channels (id),
            seq INTEGER NOT NULL CHECK (seq > 0),
            guild TEXT,
            author TEXT NOT NULL,
            author_name TEXT NOT NULL,
            content TEXT NOT NULL,
            reply_to TEXT,
            mentions TEXT NOT NULL,
            attachments TEXT NOT NULL,
            created_at INTEGER NOT NULL,
            edited_at INTEGER,
            deleted_at INTEGER,
            nonce TEXT,
            UNIQUE (channel, seq)
        ) STRICT;
        CREATE TABLE nonces (
            author TEXT NOT NULL,
            nonce TEXT NOT NULL,
            message TEXT NOT NULL REFERENCES messages (id),
            created_at INTEGER NOT NULL,
            PRIMARY KEY (author, nonce)
        ) STRICT, WITHOUT ROWID;
        CREATE TABLE recipients (
            message TEXT NOT NULL REFERENCES messages (id),
            user TEXT NOT NULL,
            PRIMARY KEY (message, user)
        ) STRICT, WITHOUT ROWID;",
        "CREATE TABLE canvases (
            channel TEXT NOT NULL PRIMARY KEY REFERENCES channels (id),
            format TEXT NOT NULL,
            title TEXT NOT NULL,
            content TEXT NOT NULL,
            shared_by TEXT NOT NULL,
            created_at INTEGER NOT NULL,
            updated_at INTEGER NOT NULL
        ) STRICT;
        CREATE TABLE commands (
            id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
            list TEXT NOT NULL
        ) STRICT;",
        turns::MIGRATION,
        files::MIGRATION,
    ],
    // The machine's state is the only other copy: a second guild on the file would diverge.
    exclusive: true,
};

/// What the guild machine asks of its store.
#[derive(Debug)]
pub enum Job {
    /// Commit these facts in one transaction.
    Store(RequestId<io::Store>, Vec<Fact>),
    /// Read; every job before this one is visible.
    Load(RequestId<io::Load>, Query),
}

/// The open store of one guild.
#[derive(Debug)]
pub struct GuildStore {
    connection: SqliteConnection,
    path: PathBuf,
    /// Why nothing is written any more: what comes after a failed transaction builds on it.
    broken: Option<String>,
}

impl GuildStore {
    /// Opens the file at `path`, made where it is not there.
    ///
    /// # Errors
    ///
    /// Where the file cannot be used.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        Ok(Self {
            connection: open(path, &SCHEMA).await?,
            path: path.to_path_buf(),
            broken: None,
        })
    }

    /// The facts that restore a guild's state: its channels, then the members in the order in
    /// which they joined, then the turns of channels, the files and the catalogue of commands.
    ///
    /// # Errors
    ///
    /// Where the file cannot be read, or holds what was not written by this program.
    pub async fn load_rows(&mut self) -> Result<Vec<Fact>, StoreError> {
        let channels = sqlx::query("SELECT * FROM channels ORDER BY rowid")
            .fetch_all(&mut self.connection)
            .await
            .map_err(StoreError::sqlite(&self.path))?;
        let members = sqlx::query("SELECT * FROM members ORDER BY rowid")
            .fetch_all(&mut self.connection)
            .await
            .map_err(StoreError::sqlite(&self.path))?;
        let turns = self.turns().await?;
        let files = self.files().await?;
        let commands = self.commands().await?.map(Ok);
        let channels = channels.iter().map(|row| channel(&self.fields(row)));
        let members = members.iter().map(|row| member(&self.fields(row)));
        channels
            .chain(members)
            .chain(turns.into_iter().map(Ok))
            .chain(files.into_iter().map(Ok))
            .chain(commands)
            .collect()
    }

    /// Does jobs in their order until nobody can ask any more, then closes the file. Answers go to
    /// `inbox` as long as its machine is there.
    pub async fn run(
        mut self,
        mut jobs: mpsc::UnboundedReceiver<Job>,
        inbox: mpsc::WeakSender<Input>,
    ) {
        let mut taken = Vec::new();
        let mut transactions = Vec::new();
        while jobs.recv_many(&mut taken, JOBS_A_COMMIT).await > 0 {
            for job in taken.drain(..) {
                match job {
                    Job::Store(id, facts) => transactions.push((id, facts)),
                    Job::Load(id, query) => {
                        self.store(&mut transactions, &inbox).await;
                        let loaded = self.load(&query).await.map_err(|error| {
                            tracing::error!(%error, "the guild's store could not be read");
                            Unavailable(error.to_string())
                        });
                        answer(&inbox, Input::Loaded(id, loaded)).await;
                    }
                }
            }
            self.store(&mut transactions, &inbox).await;
        }
        if let Err(error) = self.connection.close().await {
            tracing::warn!(%error, "the guild's store did not close cleanly");
        }
    }

    async fn store(
        &mut self,
        transactions: &mut Vec<(RequestId<io::Store>, Vec<Fact>)>,
        inbox: &mpsc::WeakSender<Input>,
    ) {
        let batch = transactions.iter().map(|(_, facts)| facts.as_slice());
        let committed = self.commit(batch).await;
        for (place, (id, _)) in transactions.drain(..).enumerate() {
            let result = match &self.broken {
                Some(why) if place >= committed => Err(Unavailable(why.clone())),
                Some(_) | None => Ok(()),
            };
            answer(inbox, Input::Stored(id, result)).await;
        }
    }

    /// Commits as many of the transactions as can be, in order and in one go; the first that fails
    /// breaks the store for it and for everything after it. Answers how many were committed.
    async fn commit<'a>(&mut self, batch: impl ExactSizeIterator<Item = &'a [Fact]>) -> usize {
        if batch.len() == 0 || self.broken.is_some() {
            return 0;
        }
        match self.commit_group(batch).await {
            (committed, Ok(())) => committed,
            (committed, Err(error)) => {
                tracing::error!(%error, "the guild's store refuses a transaction");
                self.broken = Some(error.to_string());
                committed
            }
        }
    }

    async fn commit_group<'a>(
        &mut self,
        batch: impl Iterator<Item = &'a [Fact]>,
    ) -> (usize, Result<(), StoreError>) {
        if let Err(error) = self.sql("BEGIN IMMEDIATE").await {
            return (0, Err(error));
        }
        let mut written = 0;
        let mut result = Ok(());
        for facts in batch {
            result = self.write_transaction(facts).await;
            if result.is_err() {
                break;
            }
            written += 1;
        }
        match self.sql("COMMIT").await {
            Ok(()) => (written, result),
            // SQLite has rolled everything back, or does so when the file is closed.
            Err(error) => (0, result.and(Err(error))),
        }
    }

    async fn write_transaction(&mut self, facts: &[Fact]) -> Result<(), StoreError> {
        self.sql("SAVEPOINT one").await?;
        let mut result = Ok(());
        for fact in facts {
            result = self.write(fact).await;
            if result.is_err() {
                break;
            }
        }
        if result.is_err() {
            self.sql("ROLLBACK TO one").await?;
        }
        self.sql("RELEASE one").await?;
        result
    }

    async fn write(&mut self, fact: &Fact) -> Result<(), StoreError> {
        match fact {
            Fact::Channel(row) => self.write_channel(row).await,
            Fact::Member(row) => self.write_member(row).await,
            Fact::NoMember { channel, user } => {
                let query = sqlx::query("DELETE FROM members WHERE channel = ?1 AND user = ?2")
                    .bind(channel.as_str())
                    .bind(user.as_str());
                query
                    .execute(&mut self.connection)
                    .await
                    .map_err(StoreError::sqlite(&self.path))?;
                Ok(())
            }
            Fact::Posted { message, woken } => self.write_message(message, woken).await,
            Fact::Amended(message) => self.amend_message(message).await,
            Fact::Canvas(canvas) => self.write_canvas(canvas).await,
            Fact::NoCanvas(removal) => self.delete_canvas(&removal.channel_id).await,
            Fact::Commands(list) => self.write_commands(list).await,
            Fact::File(row) => self.write_file(row).await,
            Fact::NoFile(id) => self.delete_file(id).await,
            Fact::Turn { channel, turn } => self.write_turn(channel, turn).await,
            Fact::Rewoken {
                message,
                user,
                wake_id,
                ..
            } => self.replace_recipients(message, user, wake_id).await,
            Fact::Commanded {
                author,
                nonce,
                channel,
                command,
                at,
            } => {
                let key = (author.as_str(), nonce.as_str());
                let meaning = Meaning::Command(channel, *command);
                self.write_nonce(key, &meaning, *at).await
            }
        }
    }

    async fn write_channel(&mut self, row: &ChannelRow) -> Result<(), StoreError> {
        let query = sqlx::query(
            "INSERT INTO channels VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
             ON CONFLICT (id) DO UPDATE SET name = ?2, x_type = ?3, is_public = ?4, closed = ?5,
             wake_mapping = ?6, last_seq = ?7, created_at = ?8",
        )
        .bind(row.id.as_str())
        .bind(&row.name)
        .bind(row.x_type.as_str())
        .bind(row.is_public)
        .bind(row.closed)
        .bind(self.json(&row.wake_mapping)?)
        .bind(number(row.last_seq))
        .bind(row.created_at.as_millis());
        query
            .execute(&mut self.connection)
            .await
            .map_err(StoreError::sqlite(&self.path))?;
        Ok(())
    }

    async fn write_member(&mut self, row: &MemberRow) -> Result<(), StoreError> {
        let query = sqlx::query(
            "INSERT INTO members VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (channel, user) DO UPDATE SET name = ?3, joined_seq = ?4, joined_at = ?5",
        )
        .bind(row.channel.as_str())
        .bind(row.user.as_str())
        .bind(&row.name)
        .bind(number(row.joined_seq))
        .bind(row.joined_at.as_millis());
        query
            .execute(&mut self.connection)
            .await
            .map_err(StoreError::sqlite(&self.path))?;
        Ok(())
    }

    async fn write_message(
        &mut self,
        message: &Message,
        woken: &[UserId],
    ) -> Result<(), StoreError> {
        let failed = StoreError::sqlite(&self.path);
        let query = sqlx::query(
            "INSERT INTO messages
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
        )
        .bind(message.id.as_str())
        .bind(message.channel_id.as_str())
        .bind(number(message.seq))
        .bind(message.guild_id.as_ref().map(GuildId::as_str))
        .bind(message.author.id.as_str())
        .bind(&message.author.name)
        .bind(&message.content)
        .bind(message.reply_to_id.as_ref().map(MessageId::as_str))
        .bind(self.json(&message.mentions)?)
        .bind(self.json(&message.attachments)?)
        .bind(message.created_at.as_millis())
        .bind(message.edited_at.map(Wall::as_millis))
        .bind(message.deleted_at.map(Wall::as_millis))
        .bind(&message.nonce);
        query.execute(&mut self.connection).await.map_err(failed)?;
        sqlx::query("UPDATE channels SET last_seq = max(last_seq, ?2) WHERE id = ?1")
            .bind(message.channel_id.as_str())
            .bind(number(message.seq))
            .execute(&mut self.connection)
            .await
            .map_err(failed)?;
        for user in woken {
            sqlx::query("INSERT INTO recipients VALUES (?1, ?2, NULL)")
                .bind(message.id.as_str())
                .bind(user.as_str())
                .execute(&mut self.connection)
                .await
                .map_err(failed)?;
        }
        self.attach(message).await?;
        match &message.nonce {
            Some(nonce) => {
                let key = (message.author.id.as_str(), nonce.as_str());
                let meaning = Meaning::Message(&message.id);
                self.write_nonce(key, &meaning, message.created_at).await
            }
            None => Ok(()),
        }
    }

    async fn load(&mut self, query: &Query) -> Result<Loaded, StoreError> {
        match query {
            Query::History {
                channel,
                asker,
                after,
                before,
                limit,
            } => {
                let (channel, asker) = (channel.as_str(), asker.as_str());
                let before = before.unwrap_or(u64::MAX);
                self.history(channel, asker, *after, before, *limit)
                    .await
                    .map(Loaded::Page)
            }
            Query::Message(id) => self.message(id.as_str()).await.map(Loaded::Message),
            Query::Attached(file) => self.attached(file).await.map(Loaded::Channels),
            Query::Canvas(channel) => self.canvas(channel.as_str()).await.map(Loaded::Canvas),
            Query::Nonce {
                author,
                nonce,
                since,
            } => self.by_nonce(author.as_str(), nonce, *since).await,
            Query::Newest { channel, not_by } => self
                .newest(channel.as_str(), not_by.as_str())
                .await
                .map(Loaded::Message),
        }
    }

    async fn history(
        &mut self,
        channel: &str,
        asker: &str,
        after: Option<u64>,
        before: u64,
        limit: u64,
    ) -> Result<Page, StoreError> {
        let limit = limit.min(PAGE_MAX);
        let sql = match after {
            Some(_) => {
                "SELECT messages.*, user IS NOT NULL AS woken, wake_id FROM messages
                 LEFT JOIN recipients ON message = messages.id AND user = ?2
                 WHERE channel = ?1 AND seq > ?3 AND seq < ?4 ORDER BY seq LIMIT ?5"
            }
            None => {
                "SELECT messages.*, user IS NOT NULL AS woken, wake_id FROM messages
                 LEFT JOIN recipients ON message = messages.id AND user = ?2
                 WHERE channel = ?1 AND seq > ?3 AND seq < ?4 ORDER BY seq DESC LIMIT ?5"
            }
        };
        // One more than asked for tells whether there are more.
        let rows = sqlx::query(sql)
            .bind(channel)
            .bind(asker)
            .bind(number(after.unwrap_or(0)))
            .bind(number(before))
            .bind(number(limit + 1))
            .fetch_all(&mut self.connection)
            .await
            .map_err(StoreError::sqlite(&self.path))?;
        let asked = usize::try_from(limit).unwrap_or(usize::MAX);
        let mut messages = rows
            .iter()
            .take(asked)
            .map(|row| {
                let fields = self.fields(row);
                let mut message = message(&fields)?;
                message.wakeup = Some(fields.get("woken")?);
                message.wake_id = fields.get("wake_id")?;
                message.rewake = message.wake_id.is_some().then_some(true);
                Ok(message)
            })
            .collect::<Result<Vec<_>, StoreError>>()?;
        if after.is_none() {
            messages.reverse();
        }
        Ok(Page {
            messages,
            has_more: rows.len() > asked,
        })
    }

    async fn sql(&mut self, sql: &'static str) -> Result<(), StoreError> {
        sqlx::query(sql)
            .execute(&mut self.connection)
            .await
            .map_err(StoreError::sqlite(&self.path))?;
        Ok(())
    }

    fn json(&self, value: &impl Serialize) -> Result<String, StoreError> {
        serde_json::to_string(value).map_err(|error| StoreError::Rule {
            path: self.path.clone(),
            what: error.to_string(),
        })
    }

    fn fields<'a>(&'a self, row: &'a SqliteRow) -> Fields<'a> {
        Fields {
            row,
            path: &self.path,
        }
    }
}

/// Tells the guild's machine something, as long as it is there.
pub(crate) async fn answer(inbox: &mpsc::WeakSender<Input>, input: Input) {
    if let Some(inbox) = inbox.upgrade() {
        // A machine that has ended does not wait for it.
        let _ = inbox.send(input).await;
    }
}

/// SQLite's integers are signed; no `seq` ever gets near the end of them.
fn number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// One row with what is needed to blame it.
struct Fields<'a> {
    row: &'a SqliteRow,
    path: &'a Path,
}

impl<'a> Fields<'a> {
    fn get<T>(&self, column: &'static str) -> Result<T, StoreError>
    where
        T: sqlx::Decode<'a, sqlx::Sqlite> + sqlx::Type<sqlx::Sqlite>,
    {
        self.row
            .try_get(column)
            .map_err(|error| self.damaged(column, &error.to_string()))
    }

    fn id<T>(&self, column: &'static str, id: fn(&str) -> Option<T>) -> Result<T, StoreError> {
        id(self.get(column)?).ok_or_else(|| self.damaged(column, "not an id"))
    }

    fn id_if_any<T>(
        &self,
        column: &'static str,
        id: fn(&str) -> Option<T>,
    ) -> Result<Option<T>, StoreError> {
        let text: Option<&str> = self.get(column)?;
        text.map(|text| id(text).ok_or_else(|| self.damaged(column, "not an id")))
            .transpose()
    }

    fn number(&self, column: &'static str) -> Result<u64, StoreError> {
        let number: i64 = self.get(column)?;
        u64::try_from(number).map_err(|_| self.damaged(column, "negative"))
    }

    fn wall(&self, column: &'static str) -> Result<Wall, StoreError> {
        self.get(column).map(Wall::from_millis)
    }

    fn wall_if_any(&self, column: &'static str) -> Result<Option<Wall>, StoreError> {
        let millis: Option<i64> = self.get(column)?;
        Ok(millis.map(Wall::from_millis))
    }

    fn json<T: DeserializeOwned>(&self, column: &'static str) -> Result<T, StoreError> {
        serde_json::from_str(self.get(column)?)
            .map_err(|error| self.damaged(column, &error.to_string()))
    }

    fn damaged(&self, column: &str, why: &str) -> StoreError {
        StoreError::Row {
            path: self.path.to_path_buf(),
            what: format!("the column {column} of a row is damaged ({why})"),
        }
    }
}

fn channel(row: &Fields<'_>) -> Result<Fact, StoreError> {
    let x_type: &str = row.get("x_type")?;
    Ok(Fact::Channel(ChannelRow {
        id: row.id("id", ChannelId::new)?,
        name: row.get("name")?,
        x_type: serde_json::from_value(x_type.into())
            .map_err(|error| row.damaged("x_type", &error.to_string()))?,
        is_public: row.get("is_public")?,
        closed: row.get("closed")?,
        wake_mapping: row.json("wake_mapping")?,
        last_seq: row.number("last_seq")?,
        created_at: row.wall("created_at")?,
    }))
}

fn member(row: &Fields<'_>) -> Result<Fact, StoreError> {
    Ok(Fact::Member(MemberRow {
        channel: row.id("channel", ChannelId::new)?,
        user: row.id("user", UserId::new)?,
        name: row.get("name")?,
        joined_seq: row.number("joined_seq")?,
        joined_at: row.wall("joined_at")?,
    }))
}

fn message(row: &Fields<'_>) -> Result<Message, StoreError> {
    Ok(Message {
        id: row.id("id", MessageId::new)?,
        channel_id: row.id("channel", ChannelId::new)?,
        guild_id: row.id_if_any("guild", GuildId::new)?,
        seq: row.number("seq")?,
        author: Author {
            id: row.id("author", UserId::new)?,
            name: row.get("author_name")?,
        },
        content: row.get("content")?,
        reply_to_id: row.id_if_any("reply_to", MessageId::new)?,
        mentions: row.json("mentions")?,
        attachments: row.json("attachments")?,
        created_at: row.wall("created_at")?,
        edited_at: row.wall_if_any("edited_at")?,
        deleted_at: row.wall_if_any("deleted_at")?,
        nonce: row.get("nonce")?,
        wakeup: None,
        rewake: None,
        wake_id: None,
    })
}

#[cfg(test)]
#[path = "guild_tests.rs"]
mod tests;
