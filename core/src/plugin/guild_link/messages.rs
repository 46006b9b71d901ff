//! The way of a message: sequence, self, dedup, gate, queue; and its edits.

use alloc::{format, string::String, vec, vec::Vec};

use super::{EARLY_MAX, GuildLink};
use crate::{
    fabric::types::{Message, XType},
    id::ChannelId,
    plugin::{
        defect::Defect,
        gate::{self, Verdict},
        inbound::InboundMessage,
        io::Output,
        kept::Change,
        note::Note,
        queue::{Cause, Fate},
        replay::Meaning,
        sequence::Released,
        shared::Shared,
        turns::Place,
        wakes::Wake,
    },
    time::Time,
    ws::ConnId,
};

impl GuildLink {
    /// A message was pushed: sequence first.
    pub(super) fn on_pushed(
        &mut self,
        now: Time,
        conn: ConnId,
        message: Message,
        shared: &mut Shared,
        out: &mut Vec<Output>,
    ) {
        let id = message.channel_id.clone();
        let Some(state) = self.channels.get_mut(&id) else {
            if !self.membership.has_listed() {
                self.early.push_back((conn, message));
                if self.early.len() > EARLY_MAX {
                    self.early.pop_front();
                }
            }
            return;
        };
        if let Some(connection) = self.conns.get_mut(&conn) {
            let is_new = message.rewake != Some(true);
            connection.hearing.on_push(&id, message.seq, is_new);
        }
        // A wake with a message that was not heard yet waits for what was said before it.
        let is_heard = state.sequence.heard() >= Some(message.seq);
        let overtakes = shared.planted.is(Defect::RewakesOvertake);
        if message.rewake == Some(true) && (is_heard || overtakes) {
            // The guild may have been restored from a backup, and have given the number anew.
            if !state.sequence.is_settled() {
                state.early_wake = Some((conn, message));
            } else if !shared.planted.is(Defect::IgnoresRewakes) {
                self.filter(now, &id, vec![message], shared, out);
            }
            return;
        }
        let hears_twice = is_heard && shared.planted.is(Defect::HearsTwice);
        if hears_twice || shared.planted.is(Defect::OvertakesHistory) {
            self.filter(now, &id, vec![message], shared, out);
            return;
        }
        // History came first, and may have told less than the push does.
        let is_late = state.sequence.heard() >= Some(message.seq);
        if is_late && message.wakeup == Some(true) && state.context.remove_woken(&message.id) {
            let Some(x_type) = state.x_type else { return };
            let place = self.place(&id);
            self.pass_gate(now, &place, x_type, message, shared, out);
            return;
        }
        let patience = shared.config.gap_patience;
        let released = state.sequence.on_message(now, message, conn, patience);
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
        self.touch(id);
        if released.missing > 0 {
            let (guild, channel, missing) = (self.id.clone(), id.clone(), released.missing);
            out.push(Output::Note(Note::GapAccepted {
                guild,
                channel,
                missing,
            }));
        }
        self.filter(now, id, released.messages, shared, out);
        if let Some(state) = self.channels.get_mut(id)
            && state.sequence.is_settled()
            && let Some((conn, message)) = state.early_wake.take()
        {
            self.on_pushed(now, conn, message, shared, out);
        }
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
            if message.rewake == Some(true) {
                if !state.replay.holds(&message.id) {
                    self.on_rewake(now, &place, x_type, message, shared, out);
                    continue;
                }
                // It is offered again without that, but this push may be all that is read of it.
                state.wake_id.clone_from(&message.wake_id);
                let newest = state.sequence.newest();
                shared.turns.rewake(&place, &message.id, newest);
                if shared.planted.is(Defect::PassesOverRewakes) {
                    continue;
                }
            }
            let before = message.seq.saturating_sub(1);
            self.offer_again(now, id, before, shared, out);
            let Some(state) = self.channels.get_mut(id) else {
                return;
            };
            state.progress.on_message(&message);
            if state.is_before(&message) {
                continue;
            }
            if shared.planted.is(Defect::TrustsTimestamps) && state.progress.is_older(&message) {
                continue;
            }
            if shared.account.user() == Some(&message.author.id) {
                let ours = |nonce: &String| nonce.starts_with(&shared.own);
                if !state.foreign_posts && message.nonce.as_ref().is_some_and(|nonce| !ours(nonce))
                {
                    state.foreign_posts = true;
                    let (guild, channel) = (self.id.clone(), id.clone());
                    out.push(Output::Note(Note::ForeignPost { guild, channel }));
                }
                self.on_own_post(now, &place, &message, shared, out);
                continue;
            }
            match state.replay.on_message(&message) {
                Meaning::Open | Meaning::Finished => {}
                Meaning::Context => self.recall(message, shared),
                Meaning::New => {
                    // What was restored is read once more, and more may have been heard, to wait or be
                    // left out, than ids are remembered.
                    let is_forgotten = state.replay.was_heard(&message)
                        && shared.dedup.is_full()
                        && !shared.dedup.is_known(&self.id, &message.id);
                    let posted_at = Some(message.created_at);
                    let is_new = shared.dedup.insert(&self.id, &message.id, posted_at);
                    let is_new = is_new && !is_forgotten;
                    if is_new && let Some(row) = state.progress.on_new(message.seq) {
                        let change = Change::Channel(self.id.clone(), id.clone(), row.clone());
                        shared.journal.put(now, change);
                    }
                    if is_new || shared.planted.is(Defect::HearsTwice) {
                        self.pass_gate(now, &place, x_type, message, shared, out);
                    }
                }
            }
        }
        if let Some(state) = self.channels.get(id).filter(|state| !state.holds()) {
            let heard = state.sequence.heard().unwrap_or_default();
            self.offer_again(now, id, heard, shared, out);
        }
        self.on_heard(now, id, shared);
        self.settle_cursor(now, id, shared);
    }

    /// The guild wakes the agent once more, with an old message: what was never handed over is now,
    /// and what was and is over is passed on.
    fn on_rewake(
        &mut self,
        now: Time,
        place: &Place,
        x_type: XType,
        message: Message,
        shared: &mut Shared,
        out: &mut Vec<Output>,
    ) {
        let Some(state) = self.channels.get_mut(&place.1) else {
            return;
        };
        if message.wake_id.is_some() && state.wake_id == message.wake_id {
            return;
        }
        state.wake_id.clone_from(&message.wake_id);
        let fate = shared.turns.fate(place, &message.id);
        if fate == Fate::Open {
            if !shared.planted.is(Defect::TrustsOldRefusals) {
                let newest = state.sequence.newest();
                shared.turns.rewake(place, &message.id, newest);
            }
            return;
        }
        let posted_at = Some(message.created_at);
        let is_new = shared.dedup.insert(&self.id, &message.id, posted_at);
        let is_over = fate == Fate::Posted
            || (!is_new && shared.dedup.was_handed_over(&self.id, &message.id))
            || (shared.records.has_ended(place, &message.id)
                && !shared.planted.is(Defect::ForgetsOldTurns))
            || shared.account.user() == Some(&message.author.id);
        if is_over {
            shared.dedup.hand_over(&self.id, &message.id);
            let nonce = wake_nonce(shared, &message);
            shared.pass(now, place, wake_of(&message), nonce);
            return;
        }
        state.context.remove(&message.id);
        self.pass_gate(now, place, x_type, message, shared, out);
    }

    /// The wakeup gate, and the queue behind it.
    fn pass_gate(
        &mut self,
        now: Time,
        place: &Place,
        x_type: XType,
        message: Message,
        shared: &mut Shared,
        out: &mut Vec<Output>,
    ) {
        let Some(state) = self.channels.get_mut(&place.1) else {
            return;
        };
        // The guild's turn engine waits for an answer to it, whatever becomes of it here.
        let is_awaited = x_type.takes_turns() && message.wakeup == Some(true);
        let awaited = is_awaited.then(|| (wake_of(&message), wake_nonce(shared, &message)));
        let cause = match message.rewake {
            Some(true) => Cause::Rewake,
            _ if self.catch_up.covers(&place.1, message.seq) => Cause::Recovered,
            _ => Cause::Posted,
        };
        let taken = match gate::judge(&shared.config, &mut state.guard, now, x_type, &message) {
            Verdict::Record(gate::Reason::Deleted) => false,
            Verdict::Record(reason) => {
                let most = shared.config.context_max;
                match reason {
                    gate::Reason::NotAllowed | gate::Reason::Loop => {
                        self.chronicle.on_held_back();
                        out.push(Output::Note(Note::HeldBack {
                            guild: self.id.clone(),
                            channel: place.1.clone(),
                            author: message.author.id.clone(),
                        }));
                        state.context.hold_back(message.into(), most);
                    }
                    gate::Reason::NotWoken | gate::Reason::Deleted => {
                        state.context.record(message.into(), most);
                    }
                }
                false
            }
            Verdict::Deliver => {
                let user = shared.account.user();
                if user.is_some_and(|user| message.mentions.contains(user)) {
                    self.catch_up.on_urgent(&place.1);
                }
                let Shared { turns, config, .. } = shared;
                let (message, turn_taking) = (message.into(), x_type.takes_turns());
                let taken = turns.push(now, config, place, message, cause, turn_taking);
                if !taken {
                    let (guild, channel) = (self.id.clone(), place.1.clone());
                    out.push(Output::Note(Note::Skipped { guild, channel }));
                }
                taken
            }
        };
        if let Some((wake, nonce)) = awaited.filter(|_| !taken) {
            shared.pass(now, place, wake, nonce);
        }
    }

    /// Moves the cursor up to what is not finished, and forgets the turns that it passes.
    pub(in crate::plugin) fn settle_cursor(
        &mut self,
        now: Time,
        id: &ChannelId,
        shared: &mut Shared,
    ) {
        let place = self.place(id);
        let Some(state) = self.channels.get_mut(id) else {
            shared.leave_turns(now, &place);
            return;
        };
        // Before all has been read again, the cursor stays where the earlier process left it.
        if state.holds() || state.sequence.is_rereading() || !state.replay.is_over() {
            return;
        }
        let heard = state.sequence.heard().unwrap_or_default();
        let waiting = shared.turns.unfinished(&place).into_iter();
        let unfinished = waiting.chain(shared.wakes.unfinished(&place)).min();
        let finished = unfinished.map_or(heard, |seq| seq.saturating_sub(1));
        let context = state.context.first_seq();
        let notice = |seq| shared.turns.notice(&place, seq);
        let finished = finished.min(heard);
        if let Some(row) = state.progress.settle(heard, finished, context, notice) {
            if let Some(cursor) = &row.cursor {
                state.sequence.finish(cursor);
            }
            let change = Change::Channel(self.id.clone(), id.clone(), row.clone());
            shared.journal.put_soon(now, change);
        }
        let cursor = state.progress.cursor();
        let takes_turns = state.x_type.is_none_or(XType::takes_turns);
        shared.end_lost_turns(now, &place);
        shared.pass_turns(now, &place, cursor, takes_turns);
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
        let Shared { turns, config, .. } = shared;
        turns.update(config, &place, &message);
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
        let Shared { turns, config, .. } = &mut *shared;
        let waited = turns.remove(now, config, &place, &message.id);
        if waited && state.x_type.is_some_and(XType::takes_turns) {
            let nonce = wake_nonce(shared, &message);
            shared.pass(now, &place, wake_of(&message), nonce);
        }
        self.settle_cursor(now, &message.channel_id, shared);
    }

    /// A message was edited or deleted that may not have come as far as a queue.
    fn amend(&mut self, newer: &Message) {
        match self.channels.get_mut(&newer.channel_id) {
            Some(state) => state.amend(newer),
            None => self
                .early
                .iter_mut()
                .map(|(_, early)| early)
                .filter(|early| early.channel_id == newer.channel_id && early.id == newer.id)
                .for_each(|early| early.amend(newer)),
        }
    }
}

/// What a message is to the guild's turn engine.
fn wake_of(message: &Message) -> Wake {
    Wake {
        message: message.id.clone(),
        seq: message.seq,
    }
}

/// The nonce of the pass of a wake that led to no turn.
fn wake_nonce(shared: &Shared, message: &Message) -> String {
    let wake = message.wake_id.as_deref().unwrap_or(message.id.as_str());
    format!("{}-{wake}.pass", shared.nonces)
}
