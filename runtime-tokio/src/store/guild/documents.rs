//! What is written over in the guild's store: amended messages, canvases, the catalogue of commands.

use selvedge_core::{
    Wall,
    fabric::types::{Canvas, Message},
    guild::fact::Fact,
    id::{ChannelId, UserId},
};

use super::{Fields, GuildStore, message};
use crate::store::StoreError;

impl GuildStore {
    /// Replaces what an edit or a deletion changes.
    pub(super) async fn amend_message(&mut self, message: &Message) -> Result<(), StoreError> {
        let query = sqlx::query(
            "UPDATE messages SET content = ?2, mentions = ?3, attachments = ?4, edited_at = ?5,
             deleted_at = ?6 WHERE id = ?1",
        )
        .bind(message.id.as_str())
        .bind(&message.content)
        .bind(self.json(&message.mentions)?)
        .bind(self.json(&message.attachments)?)
        .bind(message.edited_at.map(Wall::as_millis))
        .bind(message.deleted_at.map(Wall::as_millis));
        query
            .execute(&mut self.connection)
            .await
            .map_err(StoreError::sqlite(&self.path))?;
        Ok(())
    }

    pub(super) async fn write_canvas(&mut self, canvas: &Canvas) -> Result<(), StoreError> {
        let query = sqlx::query("REPLACE INTO canvases VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")
            .bind(canvas.channel_id.as_str())
            .bind(self.json(&canvas.format)?)
            .bind(&canvas.title)
            .bind(&canvas.content)
            .bind(canvas.shared_by.as_str())
            .bind(canvas.created_at.as_millis())
            .bind(canvas.updated_at.as_millis());
        query
            .execute(&mut self.connection)
            .await
            .map_err(StoreError::sqlite(&self.path))?;
        Ok(())
    }

    pub(super) async fn delete_canvas(&mut self, channel: &ChannelId) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM canvases WHERE channel = ?1")
            .bind(channel.as_str())
            .execute(&mut self.connection)
            .await
            .map_err(StoreError::sqlite(&self.path))?;
        Ok(())
    }

    pub(super) async fn write_commands(&mut self, list: &str) -> Result<(), StoreError> {
        sqlx::query("REPLACE INTO commands VALUES (1, ?1)")
            .bind(list)
            .execute(&mut self.connection)
            .await
            .map_err(StoreError::sqlite(&self.path))?;
        Ok(())
    }

    /// The catalogue of commands as a fact, if there is one.
    pub(super) async fn commands(&mut self) -> Result<Option<Fact>, StoreError> {
        let row = sqlx::query("SELECT list FROM commands")
            .fetch_optional(&mut self.connection)
            .await
            .map_err(StoreError::sqlite(&self.path))?;
        row.map(|row| self.fields(&row).get("list").map(Fact::Commands))
            .transpose()
    }

    pub(super) async fn message(&mut self, id: &str) -> Result<Option<Box<Message>>, StoreError> {
        let row = sqlx::query("SELECT * FROM messages WHERE id = ?1")
            .bind(id)
            .fetch_optional(&mut self.connection)
            .await
            .map_err(StoreError::sqlite(&self.path))?;
        row.map(|row| message(&self.fields(&row)).map(Box::new))
            .transpose()
    }

    pub(super) async fn canvas(
        &mut self,
        channel: &str,
    ) -> Result<Option<Box<Canvas>>, StoreError> {
        let row = sqlx::query("SELECT * FROM canvases WHERE channel = ?1")
            .bind(channel)
            .fetch_optional(&mut self.connection)
            .await
            .map_err(StoreError::sqlite(&self.path))?;
        row.map(|row| canvas(&self.fields(&row)).map(Box::new))
            .transpose()
    }
}

fn canvas(row: &Fields<'_>) -> Result<Canvas, StoreError> {
    Ok(Canvas {
        channel_id: row.id("channel", ChannelId::new)?,
        format: row.json("format")?,
        title: row.get("title")?,
        content: row.get("content")?,
        shared_by: row.id("shared_by", UserId::new)?,
        created_at: row.wall("created_at")?,
        updated_at: row.wall("updated_at")?,
    })
}
