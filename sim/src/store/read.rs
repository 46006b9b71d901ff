//! How a guild's disk answers its reads.

use std::{collections::BTreeSet, ops::Bound};

use selvedge_core::{
    Wall,
    fabric::types::{Message, Page},
    guild::io::{Loaded, Query},
    id::{ChannelId, UserId},
};

use super::{Commanded, Row, Store};

impl Store {
    /// Answers a read.
    pub fn load(&self, query: &Query) -> Loaded {
        match query {
            Query::Nonce {
                author,
                nonce,
                since,
            } => self.load_nonce(author, nonce, *since),
            Query::Message(id) => Loaded::Message(self.message(id).cloned().map(Box::new)),
            Query::Attached(file) => {
                let carrying = self.messages().filter(|message| {
                    let mut files = message.attachments.iter();
                    files.any(|attached| attached.id == file.as_str())
                });
                let channels: BTreeSet<_> =
                    carrying.map(|message| message.channel_id.clone()).collect();
                Loaded::Channels(channels.into_iter().collect())
            }
            Query::Canvas(channel) => {
                Loaded::Canvas(self.canvases.get(channel).cloned().map(Box::new))
            }
            Query::Newest { channel, not_by } => {
                let rows = self.channels.get(channel).into_iter();
                let mut newest = rows.flat_map(|rows| rows.values().rev());
                let newest = newest.find(|row| {
                    row.message.author.id != *not_by && row.message.deleted_at.is_none()
                });
                Loaded::Message(newest.map(|row| Box::new(row.message.clone())))
            }
            Query::History {
                channel,
                asker,
                after,
                before,
                limit,
            } => Loaded::Page(self.page(channel, asker, *after, *before, *limit)),
        }
    }

    fn load_nonce(&self, author: &UserId, nonce: &str, since: Wall) -> Loaded {
        let by = (author.clone(), nonce.to_string());
        let command = self.commands.get(&by).filter(|command| command.at > since);
        if let Some(Commanded {
            channel, command, ..
        }) = command
        {
            return Loaded::Command {
                channel: channel.clone(),
                command: *command,
            };
        }
        let message = self.nonces.get(&by).and_then(|id| self.message(id));
        let message = message.filter(|message| message.created_at > since);
        Loaded::Message(message.cloned().map(Box::new))
    }

    fn page(
        &self,
        channel: &ChannelId,
        asker: &UserId,
        after: Option<u64>,
        before: Option<u64>,
        limit: u64,
    ) -> Page {
        let Some(rows) = self.channels.get(channel) else {
            return Page {
                messages: Vec::new(),
                has_more: false,
            };
        };
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let low = after.map_or(Bound::Unbounded, Bound::Excluded);
        let high = before.map_or(Bound::Unbounded, Bound::Excluded);
        if let (Some(after), Some(before)) = (after, before)
            && after >= before
        {
            return Page {
                messages: Vec::new(),
                has_more: false,
            };
        }
        let inside = rows.range((low, high)).map(|(_, row)| row);
        let mut messages: Vec<Message> = match after {
            Some(_) => inside
                .take(limit + 1)
                .map(|row| as_read(row, asker))
                .collect(),
            None => {
                let newest = inside.rev().take(limit + 1);
                let mut newest: Vec<_> = newest.map(|row| as_read(row, asker)).collect();
                newest.reverse();
                newest
            }
        };
        let has_more = messages.len() > limit;
        if has_more {
            match after {
                Some(_) => messages.truncate(limit),
                None => drop(messages.drain(..1)),
            }
        }
        Page { messages, has_more }
    }
}

/// A message as history shows it to `asker`.
fn as_read(row: &Row, asker: &UserId) -> Message {
    let wake = row.woken.iter().find(|(user, _)| user == asker);
    let wake_id = wake.and_then(|(_, wake_id)| wake_id.clone());
    Message {
        wakeup: Some(wake.is_some()),
        rewake: wake_id.is_some().then_some(true),
        wake_id,
        ..row.message.clone()
    }
}
