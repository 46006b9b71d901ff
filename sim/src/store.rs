//! A model of the guild's disk.

use std::collections::{BTreeMap, BTreeSet};

use selvedge_core::{
    Wall,
    fabric::{
        turns::Command,
        types::{Canvas, Message, Page},
    },
    guild::{
        fact::Fact,
        io::{Loaded, Query},
    },
    id::{ChannelId, UserId},
};

/// Messages in the order in which they were committed, commands that had a nonce, and the canvas of
/// each channel.
#[derive(Debug, Default)]
pub struct Store {
    messages: Vec<(Message, Recipients)>,
    commands: Vec<Commanded>,
    canvases: BTreeMap<ChannelId, Canvas>,
}

/// Who is woken by a message, and the id of the wake where it came later.
type Recipients = Vec<(UserId, Option<String>)>;

#[derive(Debug)]
struct Commanded {
    author: UserId,
    nonce: String,
    channel: ChannelId,
    command: Command,
    at: Wall,
}

impl Store {
    /// Commits a transaction.
    pub fn commit(&mut self, facts: &[Fact]) {
        for fact in facts {
            match fact {
                Fact::Posted { message, woken } => {
                    let woken = woken.iter().map(|user| (user.clone(), None));
                    self.messages.push(((**message).clone(), woken.collect()));
                }
                Fact::Amended(newer) => {
                    let known = self.messages.iter_mut().find(|(it, _)| it.id == newer.id);
                    if let Some((message, _)) = known {
                        message.clone_from(newer);
                    }
                }
                Fact::Canvas(canvas) => {
                    let channel = canvas.channel_id.clone();
                    self.canvases.insert(channel, (**canvas).clone());
                }
                Fact::NoCanvas(removal) => {
                    self.canvases.remove(&removal.channel_id);
                }
                Fact::Rewoken {
                    message,
                    user,
                    wake_id,
                    ..
                } => {
                    let known = self.messages.iter_mut();
                    for (_, woken) in known.filter(|(known, _)| known.id == *message) {
                        *woken = vec![(user.clone(), Some(wake_id.clone()))];
                    }
                }
                Fact::Commanded {
                    author,
                    nonce,
                    channel,
                    command,
                    at,
                } => self.commands.push(Commanded {
                    author: author.clone(),
                    nonce: nonce.clone(),
                    channel: channel.clone(),
                    command: *command,
                    at: *at,
                }),
                Fact::Channel(_)
                | Fact::Member(_)
                | Fact::NoMember { .. }
                | Fact::Commands(_)
                | Fact::File(_)
                | Fact::NoFile(_)
                | Fact::Turn { .. } => {}
            }
        }
    }

    /// Everything that was ever posted.
    pub fn messages(&self) -> impl Iterator<Item = &Message> {
        self.messages.iter().map(|(message, _)| message)
    }

    /// Answers a read.
    pub fn load(&self, query: &Query) -> Loaded {
        match query {
            Query::Nonce {
                author,
                nonce,
                since,
            } => {
                let command = self.commands.iter().find(|command| {
                    command.author == *author && command.nonce == *nonce && command.at > *since
                });
                if let Some(Commanded {
                    channel, command, ..
                }) = command
                {
                    return Loaded::Command {
                        channel: channel.clone(),
                        command: *command,
                    };
                }
                let found = self.messages().find(|message| {
                    message.author.id == *author
                        && message.nonce.as_ref() == Some(nonce)
                        && message.created_at > *since
                });
                Loaded::Message(found.cloned().map(Box::new))
            }
            Query::Message(id) => {
                let found = self.messages().find(|message| message.id == *id);
                Loaded::Message(found.cloned().map(Box::new))
            }
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
                let newest = self.messages.iter().rev().find(|(message, _)| {
                    message.channel_id == *channel
                        && message.author.id != *not_by
                        && message.deleted_at.is_none()
                });
                Loaded::Message(newest.map(|(message, _)| Box::new(message.clone())))
            }
            Query::History {
                channel,
                asker,
                after,
                before,
                limit,
            } => {
                let inside: Vec<Message> = self
                    .messages
                    .iter()
                    .filter(|(message, _)| message.channel_id == *channel)
                    .filter(|(message, _)| after.is_none_or(|after| message.seq > after))
                    .filter(|(message, _)| before.is_none_or(|before| message.seq < before))
                    .map(|(message, woken)| {
                        let wake = woken.iter().find(|(user, _)| user == asker);
                        let wake_id = wake.and_then(|(_, wake_id)| wake_id.clone());
                        Message {
                            wakeup: Some(wake.is_some()),
                            rewake: wake_id.is_some().then_some(true),
                            wake_id,
                            ..message.clone()
                        }
                    })
                    .collect();
                let limit = usize::try_from(*limit).unwrap_or(usize::MAX);
                let has_more = inside.len() > limit;
                let messages = match after {
                    Some(_) => inside.into_iter().take(limit).collect(),
                    None => inside
                        .split_at(inside.len().saturating_sub(limit))
                        .1
                        .to_vec(),
                };
                Loaded::Page(Page { messages, has_more })
            }
        }
    }
}
