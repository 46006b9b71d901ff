//! The way of a message: sequence, self, dedup, gate, queue; and its edits.

use alloc::{string::String, vec::Vec};

use super::{EARLY_MAX, GuildLink};
use crate::{
    fabric::types::Message,
    id::ChannelId,
    plugin::{
        gate::{self, Verdict},
        inbound::InboundMessage,
        io::Output,
        note::Note,
        sequence::Released,
        shared::Shared,
    },
    time::Time,
};

impl GuildLink {
    /// A message was pushed: sequence first.
    pub(super) fn on_message(
        &mut self,
        now: Time,
        message: Message,
        shared: &mut Shared,
        out: &mut Vec<Output>,
    ) {
        let id = message.channel_id.clone();
        let Some(state) = self.channels.get_mut(&id) else {
            if !self.membership.has_listed() {
                self.early.push_back(message);
                if self.early.len() > EARLY_MAX {
                    self.early.pop_front();
                }
            }
            return;
        };
        if message.rewake == Some(true) {
            return;
        }
        let released = state
            .sequence
            .on_message(now, message, shared.config.gap_patience);
        self.pass_on(now, &id, released, shared, out);
    }

    pub(super) fn pass_on(
        &mut self,
        now: Time,
        id: &ChannelId,
        released: Released,
        shared: &mut Shared,
        out: &mut Vec<Output>,
    ) {
        let Some(state) = self.channels.get(id) else {
            return;
        };
        self.gaps.set(id.clone(), state.sequence.patience());
        if released.missing > 0 {
            let (guild, channel, missing) = (self.id.clone(), id.clone(), released.missing);
            out.push(Output::Note(Note::GapAccepted {
                guild,
                channel,
                missing,
            }));
        }
        self.filter(now, id, released.messages, shared, out);
    }

    /// What is in sequence: self, dedup, gate, queue.
    pub(super) fn filter(
        &mut self,
        now: Time,
        id: &ChannelId,
        messages: Vec<Message>,
        shared: &mut Shared,
        out: &mut Vec<Output>,
    ) {
        let place = self.place(id);
        for message in messages {
            let Some(state) = self.channels.get_mut(id) else {
                return;
            };
            let Some(x_type) = state.x_type else {
                state.hold(message);
                continue;
            };
            if shared.account.user() == Some(&message.author.id) {
                let ours = |nonce: &String| nonce.starts_with(&shared.nonces);
                if !state.foreign_posts && message.nonce.as_ref().is_some_and(|nonce| !ours(nonce))
                {
                    state.foreign_posts = true;
                    let (guild, channel) = (self.id.clone(), id.clone());
                    out.push(Output::Note(Note::ForeignPost { guild, channel }));
                }
                continue;
            }
            if !shared.dedup.insert(&self.id, &message.id) {
                continue;
            }
            match gate::judge(&shared.config, &mut state.guard, now, x_type, &message) {
                Verdict::Record(gate::Reason::Deleted) => {}
                Verdict::Record(reason) => {
                    match reason {
                        gate::Reason::NotAllowed | gate::Reason::Loop => {
                            out.push(Output::Note(Note::HeldBack {
                                guild: self.id.clone(),
                                channel: id.clone(),
                                author: message.author.id.clone(),
                            }));
                        }
                        gate::Reason::NotWoken | gate::Reason::Deleted => {}
                    }
                    state
                        .context
                        .record(message.into(), shared.config.context_max);
                }
                Verdict::Deliver => {
                    if !shared
                        .turns
                        .push(now, &shared.config, &place, message.into())
                    {
                        let (guild, channel) = (self.id.clone(), id.clone());
                        out.push(Output::Note(Note::Skipped { guild, channel }));
                    }
                }
            }
        }
        self.settle_cursor(id, shared);
    }

    /// Moves the cursor up to what is not finished.
    pub(in crate::plugin) fn settle_cursor(&mut self, id: &ChannelId, shared: &Shared) {
        let unfinished = shared.turns.unfinished(&self.place(id));
        let Some(state) = self.channels.get_mut(id).filter(|state| !state.holds()) else {
            return;
        };
        let heard = state.sequence.heard().unwrap_or_default();
        let finished = unfinished.map_or(heard, |seq| seq.saturating_sub(1));
        state.sequence.on_finished(finished);
    }

    pub(super) fn on_edited(&mut self, now: Time, message: Message, shared: &mut Shared) {
        if message.deleted_at.is_some() {
            self.on_deleted(now, message, shared);
            return;
        }
        self.amend(&message);
        let place = self.place(&message.channel_id);
        let Some(state) = self.channels.get_mut(&message.channel_id) else {
            return;
        };
        let message = InboundMessage::from(message);
        state.context.update(&message);
        shared.turns.update(&place, &message);
    }

    pub(super) fn on_deleted(&mut self, now: Time, mut message: Message, shared: &mut Shared) {
        // Not every guild tells when.
        message.deleted_at.get_or_insert(message.created_at);
        self.amend(&message);
        let place = self.place(&message.channel_id);
        let Some(state) = self.channels.get_mut(&message.channel_id) else {
            return;
        };
        state.context.remove(&message.id);
        shared
            .turns
            .remove(now, &shared.config, &place, &message.id);
        self.settle_cursor(&message.channel_id, shared);
    }

    /// A message was edited or deleted that may not have come as far as a queue.
    fn amend(&mut self, newer: &Message) {
        match self.channels.get_mut(&newer.channel_id) {
            Some(state) => state.amend(newer),
            None => self
                .early
                .iter_mut()
                .filter(|early| early.channel_id == newer.channel_id && early.id == newer.id)
                .for_each(|early| early.amend(newer)),
        }
    }
}
