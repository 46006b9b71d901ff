//! Whom a history wakes where users take turns and it does not say so: the current speaker, who is
//! asked for.

use alloc::vec::Vec;

use super::{GuildLink, channels::read};
use crate::{
    fabric::{
        routes,
        turns::Turn,
        types::{Message, Page, XType},
    },
    http::{Failure, Response},
    id::{ChannelId, UserId},
    plugin::{
        backfill::Read,
        io::Output,
        shared::{Asked, Errand, Sent, Shared},
    },
    time::Time,
};

impl GuildLink {
    /// Whether a page has messages of which only the channel's current speaker tells whom they wake.
    pub(super) fn needs_speaker(&self, id: &ChannelId, page: &Page, shared: &Shared) -> bool {
        let state = self.channels.get(id);
        let x_type = state.and_then(|state| state.x_type);
        x_type.is_some_and(XType::takes_turns)
            && shared.account.user().is_some_and(|me| {
                let mut messages = page.messages.iter();
                messages.any(|message| message.wakeup.is_none() && may_wake(me, message))
            })
    }

    /// A page was read, and waits until the guild has told who is the current speaker.
    pub(super) fn ask_speaker(
        &mut self,
        now: Time,
        id: &ChannelId,
        what: Read,
        page: Page,
        shared: &mut Shared,
        out: &mut Vec<Output>,
    ) {
        let errand = Errand::Speaker {
            guild: self.number,
            channel: id.clone(),
            read: what,
            page,
        };
        let request = |token| Some(routes::read_turn(token, id));
        match shared.ask(now, &self.id, errand, request, out) {
            Asked::Yes(request) => {
                self.histories.insert(id.clone(), request);
            }
            Asked::Blocked => {
                if let Some(state) = self.channels.get_mut(id) {
                    state.sequence.backfill().on_blocked();
                }
            }
            Asked::Impossible(why) => self.history_failed(now, id, &why, None, shared, out),
        }
    }

    /// The guild has told who is the current speaker of a channel, or has not: a guild that cannot
    /// tell wakes by mention alone. Where that may mend itself, the page is read again.
    #[expect(
        clippy::too_many_arguments,
        reason = "an answer comes with what was asked, as whom, and the place for what follows"
    )]
    pub(in crate::plugin) fn on_speaker_answer(
        &mut self,
        now: Time,
        id: &ChannelId,
        what: Read,
        mut page: Page,
        sent: Sent,
        answer: Result<Response, Failure>,
        shared: &mut Shared,
        out: &mut Vec<Output>,
    ) {
        self.histories.remove(id);
        let cannot_tell = match &answer {
            Ok(response) => !matches!(response.status, 401 | 429 | 500..),
            Err(Failure::TooLarge) => true,
            Err(Failure::Unreachable(_) | Failure::Broken(_) | Failure::Local(_)) => false,
        };
        match read::<Turn>(answer) {
            Ok(turn) => {
                if let Some(me) = shared.account.user()
                    && let Some(message) = waking(me, &turn, &mut page)
                {
                    message.wakeup.get_or_insert(true);
                }
            }
            Err(_) if cannot_tell => {}
            Err(unread) => {
                self.history_unread(now, id, unread, sent, shared, out);
                return;
            }
        }
        self.on_read(now, id, what, page, sent, shared, out);
    }
}

/// Whether a message is one that can wake `me`.
fn may_wake(me: &UserId, message: &Message) -> bool {
    message.author.id != *me && message.deleted_at.is_none()
}

/// The message of a page with which `me` is woken as the current speaker.
fn waking<'page>(me: &UserId, turn: &Turn, page: &'page mut Page) -> Option<&'page mut Message> {
    if turn.current_speaker.as_ref() != Some(me) {
        return None;
    }
    let mut newest_first = page.messages.iter_mut().rev();
    newest_first.find(|message| match &turn.wake {
        Some(wake) => message.id == wake.message_id,
        None => may_wake(me, message),
    })
}
