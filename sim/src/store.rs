//! A model of the guild's disk.

use std::collections::BTreeMap;

use selvedge_core::{
    fabric::types::{Canvas, Message, Page},
    guild::{
        fact::Fact,
        io::{Loaded, Query},
    },
    id::{ChannelId, UserId},
};

/// Messages in the order in which they were committed, and the canvas of each channel.
#[derive(Debug, Default)]
pub struct Store {
    messages: Vec<(Message, Vec<UserId>)>,
    canvases: BTreeMap<ChannelId, Canvas>,
}

impl Store {
    /// Commits a transaction.
    pub fn commit(&mut self, facts: &[Fact]) {
        for fact in facts {
            match fact {
                Fact::Posted { message, woken } => {
                    self.messages.push(((**message).clone(), woken.clone()));
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
                Fact::Channel(_) | Fact::Member(_) | Fact::NoMember { .. } | Fact::Commands(_) => {}
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
            Query::Canvas(channel) => {
                Loaded::Canvas(self.canvases.get(channel).cloned().map(Box::new))
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
                    .map(|(message, woken)| Message {
                        wakeup: Some(woken.contains(asker)),
                        ..message.clone()
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
