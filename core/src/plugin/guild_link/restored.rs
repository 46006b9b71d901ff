//! A guild that may have been restored from a backup: it is looked up, and what is new is read back.

use alloc::vec::Vec;

use super::GuildLink;
use crate::{
    fabric::types::Page,
    id::ChannelId,
    plugin::{
        anchor::Found, io::Output, kept::Change, note::Note, sequence::Released, shared::Shared,
    },
    time::Time,
};

impl GuildLink {
    /// The guild has told what stands where a channel's cursor is.
    pub(super) fn on_looked_up(
        &mut self,
        now: Time,
        id: &ChannelId,
        seq: u64,
        page: Page,
        shared: &mut Shared,
    ) -> Released {
        let page = self.readable(id, page, shared);
        if let Some(state) = self.channels.get_mut(id)
            && let Some(mark) = state.sequence.on_looked_up(now, &page)
            && let Some(row) = state.progress.on_anchor(seq, mark)
        {
            let change = Change::Channel(self.id.clone(), id.clone(), row.clone());
            shared.journal.put_soon(now, change);
        }
        let state = self.channels.get_mut(id);
        state.map_or_else(Released::default, |state| state.sequence.go_on(now))
    }

    /// The guild has told what is newest in a channel, or what comes before that.
    pub(super) fn on_back(
        &mut self,
        now: Time,
        id: &ChannelId,
        page: Page,
        shared: &mut Shared,
        out: &mut Vec<Output>,
    ) -> Released {
        let page = self.readable(id, page, shared);
        let most = usize::try_from(shared.config.backfill_max).unwrap_or(usize::MAX);
        let Some(state) = self.channels.get_mut(id) else {
            return Released::default();
        };
        let Some(found) = state.sequence.on_back(now, page, most) else {
            return Released::default();
        };
        if found.restored {
            self.on_restored(now, id, &found, shared, out);
        }
        self.catch_up(now, id, shared);
        let state = self.channels.get_mut(id);
        state.map_or_else(Released::default, |state| state.sequence.go_on(now))
    }

    /// The guild was restored, and this is what it has: the channel goes on from there.
    fn on_restored(
        &mut self,
        now: Time,
        id: &ChannelId,
        found: &Found,
        shared: &mut Shared,
        out: &mut Vec<Output>,
    ) {
        let place = self.place(id);
        let (guild, channel) = (self.id.clone(), id.clone());
        let seq = found.cursor.seq;
        if found.skipped > 0 {
            shared.turns.skip(&place, seq, found.skipped);
        }
        shared.turns.recover(&place);
        if let Some(state) = self.channels.get_mut(id) {
            state.replay.on_restored(found);
            shared.lose_turns(now, &place, seq, state.progress.cursor());
            let notice = shared.turns.notice(&place, seq);
            let row = state.progress.restart(found.cursor.clone(), notice);
            let change = Change::Channel(guild.clone(), channel.clone(), row.clone());
            shared.journal.put_soon(now, change);
        }
        out.push(Output::Note(Note::Restored {
            guild,
            channel,
            found: found.messages.len(),
            skipped: found.skipped,
        }));
    }
}
