//! Reads what has waited without its text.

use alloc::{string::ToString as _, vec::Vec};
use core::time::Duration;

use super::Agent;
use crate::{
    fabric::{routes, types::Page},
    http::{Failure, Response},
    plugin::{
        guild_link::channels::{Unread, read},
        io::Output,
        note::Note,
        shared::{Asked, Errand},
        token::TokenNumber,
        turns::Place,
    },
    time::Time,
};

impl Agent {
    /// Asks guilds for what is due.
    pub(super) fn read_bare(&mut self, now: Time, out: &mut Vec<Output>) {
        while let Some((place, page)) = self.shared.refetch.next_due(now) {
            let Some(guild) = self.guilds.get(&place.0) else {
                continue;
            };
            let request = |token| Some(routes::history(token, &place.1, page));
            let errand = Errand::Bare(place.clone());
            match self.shared.ask(now, &guild.id, errand, request, out) {
                Asked::Yes(_) => {}
                Asked::Blocked => self.shared.refetch.on_blocked(place),
                Asked::Impossible(why) => self.bare_failed(now, &place, &why, None, out),
            }
        }
    }

    /// A guild has answered, or has not: where all is read, the turn is handed over.
    pub(super) fn on_bare_answer(
        &mut self,
        now: Time,
        place: &Place,
        token: TokenNumber,
        answer: Result<Response, Failure>,
        out: &mut Vec<Output>,
    ) {
        let refetch = &mut self.shared.refetch;
        if matches!(answer, Err(Failure::TooLarge)) {
            refetch.on_too_large(now, place);
        } else {
            match read::<Page>(answer) {
                Ok(page) => refetch.on_page(now, place, page.messages),
                Err(Unread::Unauthorized) if refetch.on_refused(now, place) => {
                    self.shared.account.invalidate(token);
                }
                Err(Unread::Unauthorized) => {
                    let why = "the guild refuses the token, a new one too";
                    self.bare_failed(now, place, why, None, out);
                }
                Err(Unread::Failed(why, after)) => {
                    self.bare_failed(now, place, &why, after, out);
                }
            }
        }
        if let Some(turn) = self.shared.refetch.turn(place).cloned() {
            self.hand_over(now, &turn, out);
        }
    }

    fn bare_failed(
        &mut self,
        now: Time,
        place: &Place,
        why: &str,
        after: Option<Duration>,
        out: &mut Vec<Output>,
    ) {
        self.shared.refetch.on_failed(now, place, after);
        if let Some(guild) = self.guilds.get(&place.0) {
            out.push(Output::Note(Note::HistoryFailed {
                guild: guild.id.clone(),
                channel: place.1.clone(),
                why: why.to_string(),
            }));
        }
    }
}
