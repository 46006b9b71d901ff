//! What a call is answered that changes something, once that is committed.

use alloc::{boxed::Box, string::String, vec::Vec};

use bytes::Bytes;

use crate::{
    fabric::{
        bodies::Changed,
        turns::{Acked, Command},
        types::{Canvas, Message},
    },
    guild::{Guild, answer, effect::Effect, fact::Fact, io::Output, turns},
    http::{CallId, Response},
    id::{ChannelId, UserId},
    time::Time,
};

/// What the answer shows when the facts are committed.
pub(super) enum Done {
    /// The channel, as this user sees it.
    Channel(u16, ChannelId, UserId),
    /// Whether anything changed.
    Changed(u16),
    /// The file.
    Received,
    /// The message.
    Posted,
    /// The message as it is now: it was this before.
    Amended(Box<Message>),
    /// The canvas as it is now: it was this before.
    Canvas(Option<Box<Canvas>>),
    /// The catalogue of slash commands.
    Commands(String),
    /// The channel's turns, after this user's command.
    Command(ChannelId, UserId, Command),
    /// Whether the wake was the one that was acked.
    Ack(bool),
}

impl Guild {
    /// Applies `facts`, hands them to the store, and answers when it has committed.
    pub(super) fn commit(
        &mut self,
        now: Time,
        call: CallId,
        mut facts: Vec<Fact>,
        done: &Done,
        out: &mut Vec<Output>,
    ) {
        let changed = !facts.is_empty();
        let turns = turns::follow(&self.state, &mut self.rewakes.rng, &mut facts);
        let mut effects = self.apply(now, &facts);
        effects.extend(self.apply(now, &turns));
        let response = match done {
            Done::Channel(status, id, reader) => {
                let found = self.state.channel(id);
                let body = found.map(|found| found.on_wire(&self.config.guild_id, Some(reader)));
                answer::json(*status, &body)
            }
            Done::Changed(status) => answer::json(*status, &Changed { ok: true, changed }),
            Done::Received => {
                let file = facts.iter().find_map(|fact| {
                    let Fact::File(row) = fact else {
                        return None;
                    };
                    Some(row.on_wire())
                });
                answer::json(201, &file)
            }
            Done::Posted => {
                let message = facts.iter().find_map(|fact| {
                    let Fact::Posted { message, .. } = fact else {
                        return None;
                    };
                    Some(message)
                });
                answer::json(201, &message)
            }
            Done::Amended(before) => match facts.as_slice() {
                [Fact::Amended(message)] => answer::json(200, message),
                _ => answer::json(200, before),
            },
            Done::Canvas(before) => match facts.as_slice() {
                [Fact::Canvas(canvas)] => answer::json(200, canvas),
                _ => answer::json(200, before),
            },
            Done::Commands(text) => commands(text),
            Done::Command(channel, user, command) => {
                turns::done(&self.state, channel, user, *command)
            }
            Done::Ack(acked) => {
                let (ok, acked) = (true, *acked);
                answer::json(201, &Acked { ok, acked })
            }
        };
        effects.push(Effect::Respond(call, response));
        facts.extend(turns);
        self.write(now, facts, effects, out);
    }
}

/// The catalogue as it was written: a JSON array, or nothing yet.
pub(super) fn commands(text: &str) -> Response {
    let text = if text.is_empty() { "[]" } else { text };
    Response {
        status: 200,
        retry_after: None,
        body: Bytes::copy_from_slice(text.as_bytes()),
    }
}
