//! Hanging up: no sound connection is given up before another one has taken its place.

use selvedge_core::canonical;

use super::{Rule, Seen, View};
use crate::net::Held;

/// A connection is closed where another one is joined wherever it is. One that was to replace another
/// may be given up, since the other one goes on, and one that has never stood once its time is up.
#[derive(Clone, Debug)]
pub(super) struct HangingUp;
canonical!(
    unsaved struct HangingUp {}
);

impl Rule for HangingUp {
    fn name(&self) -> &'static str {
        "no sound connection is given up"
    }

    fn copy(&self) -> Box<dyn Rule> {
        Box::new(self.clone())
    }

    fn saw(&mut self, view: View<'_>, seen: &Seen<'_>) -> Result<(), String> {
        let Seen::LetGo {
            agent,
            guild,
            held,
            others,
        } = seen
        else {
            return Ok(());
        };
        let replaces_another = others.iter().any(|other| other.dialed_at <= held.dialed_at);
        let (dialed_at, life) = (held.dialed_at, view.setup.token_life);
        let untroubled = view.troubles.none_since(*agent, *guild, dialed_at);
        // It is replaced in the last quarter of the token's life, which begins when its login is sent.
        let left = held.dies.map(|dies| dies.since(view.now));
        let most = life / 4 + view.setup.config.login_patience;
        let early = left.is_some_and(|left| left > most);
        let stands = held.talk.connected && !held.talk.over;
        if stands && held.sound && untroubled && early && !replaces_another {
            return Err(format!(
                "a connection of agent {agent} to guild {guild} was replaced after {:?}, though nothing \
                 was wrong with it and its token lives for another {:?}",
                view.now.since(dialed_at),
                left.unwrap_or_default()
            ));
        }
        let late = view.now.since(held.dialed_at) >= view.setup.config.step_timeout;
        let is_over = held.talk.over || (!held.talk.connected && late);
        if !held.sound || is_over || replaces_another {
            return Ok(());
        }
        let Some(user) = view.setup.agents.get(*agent) else {
            return Ok(());
        };
        let is_lost = |other: &Held| {
            let mut rooms = held.talk.rooms.difference(&other.talk.rooms);
            rooms
                .find(|id| {
                    let channel = view.ledger.channel(*guild, id);
                    channel.is_some_and(|channel| channel.stay(user).is_some())
                })
                .cloned()
        };
        let mut lost = others
            .iter()
            .filter(|other| other.talk.connected)
            .map(is_lost);
        let why = match lost.next() {
            Some(None) => return Ok(()),
            Some(Some(channel)) => format!("is not joined in {channel} yet"),
            None if others.is_empty() => "is not there".to_string(),
            None => "does not stand yet".to_string(),
        };
        let age = view.now.since(held.dialed_at);
        Err(format!(
            "{user} gave up a sound connection to guild {guild} after {age:?}, and the one that could \
             take its place {why}"
        ))
    }
}
