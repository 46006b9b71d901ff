//! The rows of files, and which messages carry them. What is in a file stands beside the database.

use selvedge_core::{
    fabric::types::Message,
    guild::{fact::Fact, file::FileRow},
    id::{ChannelId, FileId, UserId},
};

use super::{Fields, GuildStore, StoreError, number};

/// The fourth version of the schema.
pub(super) const MIGRATION: &str = "CREATE TABLE files (
        id TEXT NOT NULL PRIMARY KEY,
        owner TEXT NOT NULL,
        name TEXT NOT NULL,
        mime TEXT NOT NULL,
        bytes INTEGER NOT NULL,
        created_at INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE attached (
        file TEXT NOT NULL,
        message TEXT NOT NULL REFERENCES messages (id),
        PRIMARY KEY (file, message)
    ) STRICT, WITHOUT ROWID;";

impl GuildStore {
    pub(super) async fn write_file(&mut self, row: &FileRow) -> Result<(), StoreError> {
        sqlx::query("INSERT INTO files VALUES (?1, ?2, ?3, ?4, ?5, ?6)")
            .bind(row.id.as_str())
            .bind(row.owner.as_str())
            .bind(&row.name)
            .bind(&row.mime)
            .bind(number(row.bytes))
            .bind(row.created_at.as_millis())
            .execute(&mut self.connection)
            .await
            .map_err(StoreError::sqlite(&self.path))?;
        Ok(())
    }

    pub(super) async fn delete_file(&mut self, id: &FileId) -> Result<(), StoreError> {
        for sql in [
            "DELETE FROM attached WHERE file = ?1",
            "DELETE FROM files WHERE id = ?1",
        ] {
            sqlx::query(sql)
                .bind(id.as_str())
                .execute(&mut self.connection)
                .await
                .map_err(StoreError::sqlite(&self.path))?;
        }
        Ok(())
    }

    /// All files, oldest first.
    pub(super) async fn files(&mut self) -> Result<Vec<Fact>, StoreError> {
        let rows = sqlx::query("SELECT * FROM files ORDER BY rowid")
            .fetch_all(&mut self.connection)
            .await
            .map_err(StoreError::sqlite(&self.path))?;
        rows.iter().map(|row| file(&self.fields(row))).collect()
    }

    /// Writes which files a message carries.
    pub(super) async fn attach(&mut self, message: &Message) -> Result<(), StoreError> {
        for file in &message.attachments {
            sqlx::query("INSERT INTO attached VALUES (?1, ?2)")
                .bind(&file.id)
                .bind(message.id.as_str())
                .execute(&mut self.connection)
                .await
                .map_err(StoreError::sqlite(&self.path))?;
        }
        Ok(())
    }

    /// The channels in which a message that is not deleted carries a file.
    pub(super) async fn attached(&mut self, file: &FileId) -> Result<Vec<ChannelId>, StoreError> {
        let rows = sqlx::query(
            "SELECT DISTINCT channel FROM attached JOIN messages ON messages.id = message
             WHERE file = ?1 AND deleted_at IS NULL",
        )
        .bind(file.as_str())
        .fetch_all(&mut self.connection)
        .await
        .map_err(StoreError::sqlite(&self.path))?;
        let channels = rows.iter();
        channels
            .map(|row| self.fields(row).id("channel", ChannelId::new))
            .collect()
    }
}

fn file(row: &Fields<'_>) -> Result<Fact, StoreError> {
    Ok(Fact::File(FileRow {
        id: row.id("id", FileId::new)?,
        owner: row.id("owner", UserId::new)?,
        name: row.get("name")?,
        mime: row.get("mime")?,
        bytes: row.number("bytes")?,
        created_at: row.wall("created_at")?,
    }))
}
