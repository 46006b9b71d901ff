//! What was not heard: history is read for it, a few channels at a time.

use alloc::{string::ToString as _, vec, vec::Vec};
use core::time::Duration;

use super::{
    GuildLink,
    channels::{Unread, read},
};
use crate::{
    fabric::{
        routes::{self, Paging},
        types::{Page, XType},
    },
    http::{Failure, Response},
    id::ChannelId,
    plugin::{
        backfill::Read,
        defect::Defect,
        io::{Output, Question},
        kept::Change,
        note::Note,
        retry,
        sequence::Released,
        shared::{Asked, Errand, Sent, Shared},
    },
    time::Time,
};

/// How many channels' histories are read at a time: after an outage thousands of channels must not
/// ask at once.
const HISTORIES_MAX: usize = 16;

/// The longest wait between two repetitions of a read that fails.
const RETRY_MOST: Duration = Duration::from_secs(30);

impl GuildLink {
    /// Whether one more history may be read. Before a listing on a new connection it is not known
    /// whether a membership has ended and another one begun: what was said between is not read.
    pub(super) fn may_read(&self, shared: &Shared) -> bool {
        let knows = match shared.planted.is(Defect::ReadsBeforeItLooks) {
            true => self.membership.has_listed(),
            false => self.membership.is_certain(),
        };
        knows && self.histories.len() < HISTORIES_MAX
    }

    /// Something is missing in a channel: its history is asked for.
    pub(super) fn read_history(
        &mut self,
        now: Time,
        id: &ChannelId,
        shared: &mut Shared,
        out: &mut Vec<Output>,
    ) {
        let place = self.place(id);
        let Some(state) = self.channels.get_mut(id) else {
            return;
        };
        if shared.planted.is(Defect::AcceptsGaps) {
            let released = state.sequence.accept_gap(now);
            self.pass_on(now, id, released, shared, out);
            return;
        }
        let most = match shared.planted.is(Defect::ReadsEverything) {
            true => u64::MAX,
            false => shared.config.backfill_max.into(),
        };
        let Some((read, skipped)) = state.sequence.read(most) else {
            return;
        };
        // What is older than the membership was never missed, and how much of it that is nobody tells.
        if let Read::After { seq, .. } = read
            && skipped > 0
            && !state.has_moment()
        {
            shared.turns.skip(&place, seq, skipped);
            let (guild, channel) = (self.id.clone(), id.clone());
            out.push(Output::Note(Note::BackfillSkipped {
                guild,
                channel,
                skipped,
            }));
        }
        let errand = Errand::History {
            guild: self.number,
            channel: id.clone(),
            read,
        };
        let page = match read {
            Read::Newest => Paging {
                after: None,
                before: None,
                limit: 1,
            },
            Read::After { seq, until, limit } => Paging {
                after: Some(seq),
                before: Some(until.saturating_add(1)),
                limit,
            },
            Read::Anchor { seq } => Paging {
                after: None,
                before: Some(seq.saturating_add(1)),
                limit: 1,
            },
            Read::Back { before, limit } => Paging {
                after: None,
                before,
                limit,
            },
        };
        let request = |token| Some(routes::history(token, id, page));
        match shared.ask(now, &self.id, errand, request, out) {
            Asked::Yes(request) => {
                state.sequence.backfill().on_asked();
                self.histories.insert(id.clone(), request);
            }
            Asked::Blocked => state.sequence.backfill().on_blocked(),
            Asked::Impossible(why) => self.history_failed(now, id, &why, None, shared, out),
        }
    }

    /// The guild answered about the history of a channel, or did not.
    #[expect(
        clippy::too_many_arguments,
        reason = "an answer comes with what was asked, as whom, and the place for what follows"
    )]
    pub(in crate::plugin) fn on_history_answer(
        &mut self,
        now: Time,
        id: &ChannelId,
        what: Read,
        sent: Sent,
        answer: Result<Response, Failure>,
        shared: &mut Shared,
        out: &mut Vec<Output>,
    ) {
        self.histories.remove(id);
        let Some(state) = self.channels.get_mut(id) else {
            return;
        };
        let has_none = answer.as_ref().is_ok_and(|answer| answer.status == 404);
        if matches!(answer, Err(Failure::TooLarge)) && state.sequence.backfill().on_too_large(now) {
            self.touch(id);
            return;
        }
        match read::<Page>(answer) {
            Ok(page) => match what {
                Read::After { .. } | Read::Back { .. } if self.needs_speaker(id, &page, shared) => {
                    self.ask_speaker(now, id, what, page, shared, out);
                }
                Read::Newest | Read::After { .. } | Read::Anchor { .. } | Read::Back { .. } => {
                    self.on_read(now, id, what, page, sent, shared, out);
                }
            },
            Err(Unread::Failed(..)) if has_none => {
                let released = match what {
                    Read::Newest => state.sequence.on_no_history(now),
                    Read::After { .. } => self.on_page(now, id, Page::default(), shared),
                    Read::Anchor { .. } => {
                        state.sequence.trust(now);
                        state.sequence.go_on(now)
                    }
                    Read::Back { .. } => self.on_back(now, id, Page::default(), shared, out),
                };
                self.pass_on(now, id, released, shared, out);
            }
            Err(unread) => self.history_unread(now, id, unread, sent, shared, out),
        }
    }

    /// A page of history, with all that is known of whom it wakes.
    #[expect(
        clippy::too_many_arguments,
        reason = "a page comes with what was asked, as whom, and the place for what follows"
    )]
    pub(super) fn on_read(
        &mut self,
        now: Time,
        id: &ChannelId,
        what: Read,
        page: Page,
        sent: Sent,
        shared: &mut Shared,
        out: &mut Vec<Output>,
    ) {
        let released = match what {
            Read::Newest => {
                let Some(state) = self.channels.get_mut(id) else {
                    return;
                };
                let last = page.messages.last().map_or(0, |message| message.seq);
                let released = state.on_newest(now, last);
                self.on_told(now, id, sent.at, last, shared);
                self.catch_up(now, id, shared);
                released
            }
            Read::After { .. } => self.on_page(now, id, page, shared),
            Read::Anchor { seq } => self.on_looked_up(now, id, seq, page, shared),
            Read::Back { .. } => self.on_back(now, id, page, shared, out),
        };
        self.pass_on(now, id, released, shared, out);
    }

    /// There was no good answer: the page is read again.
    pub(super) fn history_unread(
        &mut self,
        now: Time,
        id: &ChannelId,
        unread: Unread,
        sent: Sent,
        shared: &mut Shared,
        out: &mut Vec<Output>,
    ) {
        let Some(state) = self.channels.get_mut(id) else {
            return;
        };
        match unread {
            Unread::Unauthorized if state.sequence.backfill().on_refused(now) => {
                shared.account.invalidate(sent.token);
                self.touch(id);
            }
            Unread::Unauthorized => {
                let why = "the guild refuses the token, a new one too";
                self.history_failed(now, id, why, None, shared, out);
            }
            Unread::Failed(why, after) => self.history_failed(now, id, &why, after, shared, out),
        }
    }

    fn on_page(&mut self, now: Time, id: &ChannelId, page: Page, shared: &Shared) -> Released {
        let page = self.readable(id, page, shared);
        let Some(state) = self.channels.get_mut(id) else {
            return Released::default();
        };
        state.sequence.on_page(now, page)
    }

    /// A page as its messages would have been pushed, as far as that is known.
    pub(super) fn readable(&self, id: &ChannelId, page: Page, shared: &Shared) -> Page {
        let Some(state) = self.channels.get(id) else {
            return Page::default();
        };
        let Page { messages, has_more } = page;
        let mut messages: Vec<_> = messages
            .into_iter()
            .filter(|message| message.channel_id == *id)
            .collect();
        for message in &mut messages {
            // In history it is a message like any other: the wake itself is pushed.
            message.rewake = None;
            message.wake_id = None;
            if let (None, Some(user)) = (message.wakeup, shared.account.user())
                && !shared.planted.is(Defect::NeverDerives)
            {
                message.wakeup = Some(state.derive_wakeup(user, message));
            }
        }
        Page { messages, has_more }
    }

    pub(super) fn history_failed(
        &mut self,
        now: Time,
        id: &ChannelId,
        why: &str,
        after: Option<Duration>,
        shared: &mut Shared,
        out: &mut Vec<Output>,
    ) {
        let mut released = Released::default();
        if let Some(state) = self.channels.get_mut(id) {
            let backfill = state.sequence.backfill();
            let wait = retry::wait_after(&mut self.rng, backfill.failures(), RETRY_MOST, after);
            backfill.on_failed(now + wait);
            released.messages = state.sequence.passable();
            self.touch(id);
        }
        out.push(Output::Note(Note::HistoryFailed {
            guild: self.id.clone(),
            channel: id.clone(),
            why: why.to_string(),
        }));
        self.pass_on(now, id, released, shared, out);
    }

    /// A channel has been joined: what was missed there during an outage is kept back until all of
    /// it is read.
    pub(super) fn catch_up(&mut self, now: Time, id: &ChannelId, shared: &mut Shared) {
        let behind = self
            .channels
            .get(id)
            .and_then(|state| state.sequence.behind());
        if let Some(seq) = behind
            && !shared.planted.is(Defect::CatchesUpOneByOne)
            && self.catch_up.on_behind(now, id, seq)
        {
            let Shared { turns, config, .. } = &mut *shared;
            turns.hold(now, config, &self.place(id));
            if let Some(state) = self.channels.get_mut(id)
                && let Some(row) = state.progress.on_missed(seq)
            {
                let change = Change::Channel(self.id.clone(), id.clone(), row.clone());
                shared.journal.put_soon(now, change);
            }
        }
    }

    /// More of a channel has been heard: where that is all that was missed there, and the agent is
    /// meant itself, it is kept back no more.
    pub(super) fn on_heard(&mut self, now: Time, id: &ChannelId, shared: &mut Shared) {
        let Some(state) = self.channels.get(id).filter(|state| !state.holds()) else {
            return;
        };
        let heard = state.sequence.heard().unwrap_or_default();
        let is_dm = state.x_type == Some(XType::Dm);
        if self.catch_up.on_heard(now, id, heard, is_dm) {
            self.release(now, vec![id.clone()], shared);
        }
    }

    /// What is kept back no more is handed over, after what went first.
    pub(in crate::plugin) fn release_caught_up(&mut self, now: Time, shared: &mut Shared) {
        let due = self.catch_up.due(now);
        self.release(now, due, shared);
    }

    pub(super) fn release(&self, now: Time, channels: Vec<ChannelId>, shared: &mut Shared) {
        let Shared { turns, config, .. } = shared;
        for channel in channels {
            turns.release(now, config, &self.place(&channel));
        }
    }

    /// Looks when the history of a channel is to be read.
    pub(super) fn touch(&mut self, id: &ChannelId) {
        let state = self.channels.get(id);
        let at = state.and_then(|state| state.sequence.read_at());
        self.unheard.set(id.clone(), at);
    }

    /// The answer to a read of history is not waited for any more.
    pub(super) fn forget_history(
        &mut self,
        id: &ChannelId,
        shared: &mut Shared,
        out: &mut Vec<Output>,
    ) {
        if let Some(request) = self.histories.remove(id)
            && shared.http.answer(request).is_some()
        {
            out.push(Output::Forget(Question::Http(request)));
        }
    }
}
