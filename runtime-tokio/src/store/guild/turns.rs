//! The rows of channels that take turns: whose turn it is, who was woken later, and commands.

use selvedge_core::{
    fabric::types::Message,
    guild::{fact::Fact, turn::Turn},
    id::{ChannelId, MessageId, UserId},
};

use super::{Fields, GuildStore, StoreError, message};

/// The third version of the schema: turns, wakes that have an id of their own, and nonces of
/// commands beside those of messages.
pub(super) const MIGRATION: &str = "CREATE TABLE turns (
        channel TEXT NOT NULL PRIMARY KEY REFERENCES channels (id),
        turn TEXT NOT NULL
    ) STRICT;
    ALTER TABLE recipients ADD COLUMN wake_id TEXT;
    ALTER TABLE nonces RENAME TO nonces_of_messages;
    CREATE TABLE nonces (
        author TEXT NOT NULL,
        nonce TEXT NOT NULL,
        message TEXT REFERENCES messages (id),
        channel TEXT REFERENCES channels (id),
        command TEXT,
        created_at INTEGER NOT NULL,
        PRIMARY KEY (author, nonce)
    ) STRICT, WITHOUT ROWID;
    INSERT INTO nonces SELECT author, nonce, message, NULL, NULL, created_at
        FROM nonces_of_messages;
    DROP TABLE nonces_of_messages;";

impl GuildStore {
    pub(super) async fn write_turn(
        &mut self,
        channel: &ChannelId,
        turn: &Turn,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO turns VALUES (?1, ?2) ON CONFLICT (channel) DO UPDATE SET turn = ?2",
        )
        .bind(channel.as_str())
        .bind(self.json(turn)?)
        .execute(&mut self.connection)
        .await
        .map_err(StoreError::sqlite(&self.path))?;
        Ok(())
    }

    /// The turns of all channels that have them.
    pub(super) async fn turns(&mut self) -> Result<Vec<Fact>, StoreError> {
        let rows = sqlx::query("SELECT * FROM turns ORDER BY rowid")
            .fetch_all(&mut self.connection)
            .await
            .map_err(StoreError::sqlite(&self.path))?;
        rows.iter().map(|row| turn(&self.fields(row))).collect()
    }

    pub(super) async fn replace_recipients(
        &mut self,
        message: &MessageId,
        user: &UserId,
        wake_id: &str,
    ) -> Result<(), StoreError> {
        let failed = StoreError::sqlite(&self.path);
        sqlx::query("DELETE FROM recipients WHERE message = ?1")
            .bind(message.as_str())
            .execute(&mut self.connection)
            .await
            .map_err(failed)?;
        sqlx::query("INSERT INTO recipients VALUES (?1, ?2, ?3)")
            .bind(message.as_str())
            .bind(user.as_str())
            .bind(wake_id)
            .execute(&mut self.connection)
            .await
            .map_err(failed)?;
        Ok(())
    }

    /// The newest message in `channel` that is not written by `not_by`, and not deleted.
    pub(super) async fn newest(
        &mut self,
        channel: &str,
        not_by: &str,
    ) -> Result<Option<Box<Message>>, StoreError> {
        let row = sqlx::query(
            "SELECT * FROM messages WHERE channel = ?1 AND author <> ?2 AND deleted_at IS NULL
             ORDER BY seq DESC LIMIT 1",
        )
        .bind(channel)
        .bind(not_by)
        .fetch_optional(&mut self.connection)
        .await
        .map_err(StoreError::sqlite(&self.path))?;
        row.map(|row| message(&self.fields(&row)).map(Box::new))
            .transpose()
    }
}

fn turn(row: &Fields<'_>) -> Result<Fact, StoreError> {
    Ok(Fact::Turn {
        channel: row.id("channel", ChannelId::new)?,
        turn: row.json("turn")?,
    })
}
