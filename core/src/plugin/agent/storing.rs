//! What an agent keeps: how an earlier process left it, and what its store says.

use alloc::{collections::BTreeMap, string::String, vec::Vec};
use core::time::Duration;

use super::Agent;
use crate::{
    id::{ChannelId, GuildId, MessageId, TurnId},
    plugin::{
        defect::Defect,
        inbound::Inbound,
        io::{Output, Store},
        journal::Stored,
        kept::{Change, KeptChannel, TurnRecord, TurnState},
        note::Note,
        shared::{Begun, Shared},
        turns::Place,
    },
    request::RequestId,
    time::Time,
};

/// How long a store keeps the row of a channel that was left.
const LEFT_KEPT: Duration = Duration::from_secs(30 * 24 * 60 * 60);

impl Agent {
    /// What an earlier process knew of a guild: its channels, and its turns.
    pub(super) fn take_kept(
        &mut self,
        now: Time,
        number: u32,
        id: &GuildId,
    ) -> Option<BTreeMap<ChannelId, KeptChannel>> {
        let shared = &mut self.shared;
        let turns = core::mem::take(&mut self.kept.turns);
        let channels = self.kept.guilds.get(id);
        let is_behind = |record: &TurnRecord| {
            let row = channels.and_then(|channels| channels.get(&record.channel));
            let cursor = row.and_then(|row| row.cursor.as_ref());
            cursor.is_some_and(|cursor| record.last_seq() <= cursor.seq)
        };
        for (turn, mut record) in turns {
            if record.guild != *id {
                self.kept.turns.insert(turn, record);
                continue;
            }
            if shared.planted.is(Defect::ForgetsOpenTurns) {
                record.state = TurnState::Ended;
            }
            // Nothing behind the cursor is read as new, and there may be many.
            let is_known = record.state == TurnState::Ended && is_behind(&record);
            let ended = record.state != TurnState::Open && !is_known;
            for (_, message) in &record.messages {
                if ended && shared.dedup.insert(id, message, None) {
                    shared.dedup.hand_over(id, message);
                }
            }
            let place = (number, record.channel.clone());
            shared.records.put(&place, turn, record);
        }
        let mut channels = self.kept.guilds.remove(id)?;
        channels.retain(|channel, row| {
            let Some(left_at) = row.left_at else {
                return true;
            };
            if now.since(left_at) > LEFT_KEPT {
                let gone = Change::NoChannel(id.clone(), channel.clone());
                shared.journal.put_along(gone);
                let place = (number, channel.clone());
                for turn in shared.records.withdraw(&place, |_, _| true) {
                    shared.journal.put_along(Change::NoTurn(turn));
                }
            }
            false
        });
        Some(channels)
    }

    /// The store has answered: what it was to know before anything followed can follow now.
    pub(super) fn on_stored(
        &mut self,
        now: Time,
        id: RequestId<Store>,
        result: Result<(), String>,
        out: &mut Vec<Output>,
    ) {
        let changes = match self.shared.journal.on_stored(now, id, result) {
            Stored::Unknown => return,
            Stored::Done { changes, mended } => {
                if mended {
                    out.push(Output::Note(Note::StoreMended));
                }
                changes
            }
            Stored::Failed { why, news } => {
                if news {
                    out.push(Output::Note(Note::StoreFailed { why }));
                }
                Vec::new()
            }
        };
        let Shared {
            turns,
            config,
            journal,
            ..
        } = &mut self.shared;
        turns.halt(now, config, !journal.works());
        for change in changes {
            match change {
                Change::Turn(turn, record) if record.state == TurnState::Open => {
                    if let Some(begun) = self.shared.begun.get_mut(&turn) {
                        begun.is_kept = true;
                    }
                    self.on_kept_turn(now, &turn, &record);
                    self.hand_over(now, &turn, out);
                }
                Change::Turn(..)
                | Change::Agent(_)
                | Change::Guild(_)
                | Change::Channel(..)
                | Change::NoChannel(..)
                | Change::NoTurn(_) => {}
            }
        }
    }

    /// A turn that has begun: the host gets it, if the store knows of it and its text is there.
    pub(super) fn hand_over(&mut self, now: Time, turn: &TurnId, out: &mut Vec<Output>) {
        let patience = self.shared.turn_patience();
        let Shared {
            begun,
            turns,
            refetch,
            config,
            ..
        } = &mut self.shared;
        let ready = begun.get(turn).filter(|begun| begun.is_kept);
        let place = turns.place_of(turn).filter(|place| refetch.is_whole(place));
        let (Some(_), Some(place)) = (ready, place.cloned()) else {
            return;
        };
        let Some(Begun {
            mut inbound, bare, ..
        }) = begun.remove(turn)
        else {
            return;
        };
        let before = inbound.skipped;
        refetch.complete(&place, &bare, &mut inbound);
        let gone = inbound.skipped - before;
        if inbound.messages.is_empty() {
            self.call_off(now, &place, inbound, out);
            return;
        }
        if let Some(place) = turns.hand_over(now, config, turn, patience) {
            if gone > 0 {
                self.shared.count_gone(now, &place, turn, gone);
            }
            self.shared.activity.on_start(now, place.clone());
            self.shared.offer(place, inbound, out);
        }
    }

    /// Nothing is left of a turn that was to be handed over: it has ended, and the next one says what it
    /// would have said besides.
    fn call_off(&mut self, now: Time, place: &Place, inbound: Inbound, out: &mut Vec<Output>) {
        self.shared.turns.skip(place, 0, inbound.skipped);
        if inbound.recovered {
            self.shared.turns.recover(place);
        }
        self.with_guild(place.0, |guild, shared| {
            if let Some(channel) = guild.channels.get_mut(&place.1) {
                for message in inbound.context {
                    channel.context.record(message, shared.config.context_max);
                }
            }
        });
        self.end_turn(now, &inbound.turn_id, out);
    }

    /// A pass was heard: what it held back is finished.
    pub(super) fn on_passed(&mut self, now: Time, place: &Place, message: &MessageId) {
        if let Some((turn, record)) = self.shared.records.on_passed(place, message) {
            let change = Change::Turn(turn, record);
            self.shared.journal.put_soon(now, change);
        }
        self.settle_cursor(now, place);
    }
}
