//! What an earlier process left in the channels of a guild, and what a later one will find.

use alloc::{collections::BTreeSet, vec::Vec};

use super::GuildLink;
use crate::{
    fabric::types::{Channel as Listed, Message},
    id::{ChannelId, TurnId},
    plugin::{
        channel::Channel,
        defect::Defect,
        io::Output,
        kept::{Change, KeptChannel, TurnRecord, TurnState},
        note::Note,
        queue::Redelivery,
        replay::Again,
        shared::Shared,
        turns::Place,
        wakes::{Wake, pass_of, turn_of},
    },
    time::Time,
};

impl GuildLink {
    /// A channel as an earlier process left it, or a new one.
    pub(super) fn resumed(
        &mut self,
        now: Time,
        channel: &ChannelId,
        is_new: bool,
        shared: &mut Shared,
    ) -> Channel {
        let place = self.place(channel);
        let Some(kept) = self.kept.remove(channel) else {
            return Channel::new(is_new);
        };
        if kept.cursor.is_none() {
            return Channel::new(false);
        }
        let parked = shared.records.parked();
        let parked = parked.filter(|(guild, _, record)| {
            *guild == self.number && record.channel == *channel && record.owes_pass
        });
        let parked = parked.map(|(_, turn, record)| (turn, record));
        // Turns begin in the order of their messages, but for those that an older message wakes.
        let turns = shared.records.of(&place);
        let turns = turns.filter(|(_, record)| !record.notice.rewake);
        let passed = turns.map(|(_, record)| record.last_seq()).max();
        let passed = passed.filter(|_| !shared.planted.is(Defect::RereadsSkipped));
        let passed = passed.unwrap_or_default();
        let (mut open, mut owed) = (Vec::new(), Vec::new());
        for (turn, record) in parked.chain(shared.records.of(&place)) {
            match record.state {
                TurnState::Open => open.push((turn.clone(), record.clone())),
                TurnState::Ended | TurnState::Parked if record.owes_pass => {
                    owed.extend(wake_of(record).map(|wake| (pass_of(turn), wake)));
                }
                TurnState::Ended | TurnState::Parked => {}
            }
        }
        for (nonce, wake) in owed {
            shared.pass(now, &place, wake, nonce);
        }
        let (said, cursor) = (kept.notice, kept.cursor.as_ref());
        if said.skipped > 0 {
            let seq = cursor.map_or(0, |cursor| cursor.seq);
            shared.turns.skip(&place, seq, said.skipped);
        }
        if said.recovered {
            shared.turns.recover(&place);
        }
        if kept.missed_to > cursor.map_or(0, |cursor| cursor.seq) {
            self.catch_up.on_missed(now, channel, kept.missed_to);
            shared.turns.hold(now, &shared.config, &place);
        }
        Channel::resume(kept, open, passed)
    }

    /// What the next process must know of a listing: that there was one, which channels it had, and
    /// when that was.
    pub(super) fn keep_listing(
        &mut self,
        now: Time,
        listed: &[Listed],
        unread: &[ChannelId],
        shared: &mut Shared,
    ) {
        // Until everything is heard again, a kill must not hide for how long it was not.
        if !self.catch_up.is_away() {
            shared.kept.alive_at = Some(now);
        }
        shared.keep_agent(now);
        if !self.met {
            shared.journal.put_soon(now, Change::Guild(self.id.clone()));
            // One that was entered before the listing may have begun already. A new one that has not is
            // not kept: it would begin at its newest message, as those of the first listing do.
            let forgets = shared.planted.is(Defect::ForgetsNewChannels);
            let channels = self.channels.iter();
            let kept = channels.filter(|(_, state)| forgets || !state.is_yet_to_begin());
            for (channel, state) in kept {
                let row = state.progress.row().clone();
                let change = Change::Channel(self.id.clone(), channel.clone(), row);
                shared.journal.put_soon(now, change);
            }
        }
        let listed = listed.iter().map(|channel| &channel.id);
        let listed: BTreeSet<&ChannelId> = listed.chain(unread).collect();
        let kept = core::mem::take(&mut self.kept);
        for (channel, row) in kept {
            if listed.contains(&channel) {
                self.kept.insert(channel, row);
            } else {
                self.keep_left(now, &channel, shared);
            }
        }
        let places = shared.records.places(self.number);
        let gone = places.filter(|(_, channel)| !listed.contains(channel));
        let gone: Vec<Place> = gone.cloned().collect();
        for place in gone {
            shared.leave_turns(now, &place);
        }
    }

    /// The channel was left: its turns are over but for one that runs, and its row says so.
    pub(super) fn keep_left(&self, now: Time, channel: &ChannelId, shared: &mut Shared) {
        let place = self.place(channel);
        if let Some(turn) = shared.turns.call_off(now, &shared.config, &place) {
            shared.begun.remove(&turn);
            shared.refetch.stop(&place);
        }
        shared.leave_turns(now, &place);
        let row = KeptChannel {
            left_at: Some(now),
            ..KeptChannel::default()
        };
        let change = Change::Channel(self.id.clone(), channel.clone(), row);
        shared.journal.put_soon(now, change);
    }

    /// A message that an earlier process has finished is read again, and none of its turns had it: it is
    /// context. Some of them would have woken the agent, had its author or the guild's turn engine
    /// not been against it.
    pub(super) fn recall(&mut self, message: Message, shared: &mut Shared) {
        let Some(state) = self.channels.get_mut(&message.channel_id) else {
            return;
        };
        let place = (self.number, message.channel_id.clone());
        let posted_at = Some(message.created_at);
        if message.deleted_at.is_none()
            && !shared.records.has_ended(&place, &message.id)
            && shared.dedup.insert(&self.id, &message.id, posted_at)
        {
            let most = shared.config.context_max;
            state.context.record(message.into(), most);
        }
    }

    /// Everything up to `heard` has been read: what an earlier process left open there is offered
    /// again.
    pub(super) fn offer_again(
        &mut self,
        now: Time,
        id: &ChannelId,
        heard: u64,
        shared: &mut Shared,
        out: &mut Vec<Output>,
    ) {
        let place = self.place(id);
        while let Some(state) = self.channels.get_mut(id)
            && let Some(x_type) = state.x_type
            && let Some(again) = state.replay.next_met(heard)
        {
            let takes_turns = x_type.takes_turns();
            let Again {
                turn,
                record,
                messages,
                ..
            } = again;
            for (_, message) in &record.messages {
                shared.dedup.insert(&self.id, message, None);
            }
            let attempts = record.attempt;
            let is_hopeless =
                attempts >= shared.config.attempts_max && !shared.planted.is(Defect::NeverParks);
            if messages.is_empty() || is_hopeless {
                // Nobody has answered to it yet: what else it says is told with the next turn.
                if record.notice.skipped > 0 {
                    let skipped = record.notice.skipped;
                    shared.turns.skip(&place, 0, skipped);
                }
                if record.notice.recovered {
                    shared.turns.recover(&place);
                }
            }
            if messages.is_empty() {
                self.close(
                    now,
                    &place,
                    turn,
                    record,
                    TurnState::Ended,
                    takes_turns,
                    shared,
                );
            } else if is_hopeless {
                out.push(Output::Note(Note::TurnParked {
                    turn: turn.clone(),
                    channel: id.clone(),
                    attempts,
                }));
                self.close(
                    now,
                    &place,
                    turn,
                    record,
                    TurnState::Parked,
                    takes_turns,
                    shared,
                );
            } else {
                let again = Redelivery {
                    turn,
                    attempt: attempts.saturating_add(1),
                    notice: record.notice,
                };
                let Shared { turns, config, .. } = &mut *shared;
                turns.push_again(now, config, &place, &again, messages, takes_turns);
            }
        }
    }

    /// A post of the account was read. Where an earlier process made it in a turn that the store should
    /// know and does not, the store is older than the channel: it was restored from a backup. That
    /// turn and all before it were handed over, and are not once more.
    pub(super) fn on_own_post(
        &mut self,
        now: Time,
        place: &Place,
        post: &Message,
        shared: &mut Shared,
        out: &mut Vec<Output>,
    ) {
        let Some(state) = self.channels.get_mut(&place.1) else {
            return;
        };
        let nonce = post.nonce.as_deref().unwrap_or_default();
        let Some((turn, last)) = turn_of(&shared.own, nonce) else {
            return;
        };
        if last <= state.progress.cursor()
            || nonce.starts_with(&shared.nonces)
            || shared.records.knows(place, &turn)
            || shared.planted.is(Defect::TrustsOldStores)
        {
            return;
        }
        let Shared { turns, config, .. } = &mut *shared;
        let known = turns.overtake(now, config, place, last);
        for message in &known {
            shared.dedup.hand_over(&self.id, &message.id);
        }
        if !core::mem::replace(&mut state.older_store, true) {
            let (guild, channel) = (self.id.clone(), place.1.clone());
            out.push(Output::Note(Note::StoreIsOlder { guild, channel }));
        }
    }

    /// A turn that an earlier process left open is not offered again.
    #[expect(
        clippy::too_many_arguments,
        reason = "a turn is told with its place and its end"
    )]
    fn close(
        &self,
        now: Time,
        place: &Place,
        turn: TurnId,
        record: TurnRecord,
        state: TurnState,
        owes_pass: bool,
        shared: &mut Shared,
    ) {
        for (_, message) in &record.messages {
            shared.dedup.hand_over(&self.id, message);
        }
        if let Some(wake) = wake_of(&record).filter(|_| owes_pass) {
            shared.pass(now, place, wake, pass_of(&turn));
        }
        let record = TurnRecord {
            state,
            owes_pass,
            ..record
        };
        shared.record(now, place, turn, record);
    }
}

/// What a turn was woken by.
fn wake_of(record: &TurnRecord) -> Option<Wake> {
    let (seq, message) = record.messages.last()?.clone();
    Some(Wake { message, seq })
}
