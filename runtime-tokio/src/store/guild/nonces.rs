//! Nonces: by which a repeated post is recognised, be it a message or a command.

use selvedge_core::{
    Wall,
    fabric::turns::Command,
    guild::io::Loaded,
    id::{ChannelId, MessageId},
};

use super::{Fields, GuildStore, StoreError, message};

/// Within this span, in milliseconds, the store itself refuses a second message of one author with
/// the same nonce. The guild's own window is longer; this is the safety net below it, and shorter,
/// so that a wall clock that steps back does not make an honest post look like a second one.
const NONCE_GUARD_MS: i64 = 3_600_000;

/// What a nonce stands for.
pub(super) enum Meaning<'a> {
    /// A message.
    Message(&'a MessageId),
    /// A command in a channel.
    Command(&'a ChannelId, Command),
}

impl GuildStore {
    /// Writes what the nonce of an author stands for.
    pub(super) async fn write_nonce(
        &mut self,
        (author, nonce): (&str, &str),
        meaning: &Meaning<'_>,
        at: Wall,
    ) -> Result<(), StoreError> {
        let (message, channel, command) = match meaning {
            Meaning::Message(id) => (Some(id.as_str()), None, None),
            Meaning::Command(channel, command) => {
                (None, Some(channel.as_str()), Some(command.as_str()))
            }
        };
        let done = sqlx::query(
            "INSERT INTO nonces VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (author, nonce) DO UPDATE
             SET message = ?3, channel = ?4, command = ?5, created_at = ?6
             WHERE created_at < ?6 - ?7",
        )
        .bind(author)
        .bind(nonce)
        .bind(message)
        .bind(channel)
        .bind(command)
        .bind(at.as_millis())
        .bind(NONCE_GUARD_MS)
        .execute(&mut self.connection)
        .await
        .map_err(StoreError::sqlite(&self.path))?;
        if done.rows_affected() == 1 {
            Ok(())
        } else {
            Err(StoreError::Rule {
                path: self.path.clone(),
                what: format!("a post repeats a nonce that `{author}` has just used"),
            })
        }
    }

    /// What the nonce of an author has stood for since then.
    pub(super) async fn by_nonce(
        &mut self,
        author: &str,
        nonce: &str,
        since: Wall,
    ) -> Result<Loaded, StoreError> {
        let row = sqlx::query(
            "SELECT messages.*, nonces.channel AS command_channel, nonces.command AS command
             FROM nonces LEFT JOIN messages ON messages.id = nonces.message
             WHERE nonces.author = ?1 AND nonces.nonce = ?2 AND nonces.created_at > ?3",
        )
        .bind(author)
        .bind(nonce)
        .bind(since.as_millis())
        .fetch_optional(&mut self.connection)
        .await
        .map_err(StoreError::sqlite(&self.path))?;
        let Some(row) = row else {
            return Ok(Loaded::Message(None));
        };
        let fields = self.fields(&row);
        Ok(match command(&fields)? {
            Some((channel, command)) => Loaded::Command { channel, command },
            None => Loaded::Message(Some(Box::new(message(&fields)?))),
        })
    }
}

/// The command of a nonce's row, and the channel that it was given in.
fn command(row: &Fields<'_>) -> Result<Option<(ChannelId, Command)>, StoreError> {
    let Some(channel) = row.id_if_any("command_channel", ChannelId::new)? else {
        return Ok(None);
    };
    let text: &str = row.get("command")?;
    let command = Command::of(text).ok_or_else(|| row.damaged("command", "not a command"))?;
    Ok(Some((channel, command)))
}
