//! Passes: where users take turns, an agent lets none go that its host has not heard of.

use std::collections::{BTreeMap, BTreeSet};

use selvedge_core::{
    canonical,
    fabric::{routes::PostBody, turns::Command},
    http::Method,
    id::{MessageId, TurnId},
    plugin::kept::Change,
};

use super::{Rule, Seen, View, requests::messages_of, tell};

/// What was deleted, parked, left out or held back, or is of an earlier membership, is passed on unheard.
#[derive(Clone, Debug, Default)]
pub(super) struct Passes {
    /// The messages of the turns that a disk knows.
    turns: BTreeMap<(usize, TurnId), Vec<MessageId>>,
    /// Those of the turns that an agent has parked.
    parked: BTreeSet<(usize, MessageId)>,
}
canonical!(unsaved struct Passes { turns, parked });

impl Rule for Passes {
    fn name(&self) -> &'static str {
        "no turn is passed unheard"
    }

    fn copy(&self) -> Box<dyn Rule> {
        Box::new(self.clone())
    }

    fn saw(&mut self, view: View<'_>, seen: &Seen<'_>) -> Result<(), String> {
        if let Seen::Kept { agent, changes } = seen {
            for change in *changes {
                self.on_kept(*agent, change);
            }
        } else if let Seen::Parked { agent, turn } = seen {
            let turn = self.turns.get(&(*agent, (*turn).clone()));
            let messages = turn.into_iter().flatten();
            self.parked.extend(messages.map(|it| (*agent, it.clone())));
        } else if let Seen::Requested {
            agent,
            guild,
            request,
            ..
        } = seen
            && request.method == Method::Post
            && let Some((channel, _)) = messages_of(request)
            && let Ok(body) = serde_json::from_slice::<PostBody>(&request.body)
            && body.content == Command::NoReply.as_str()
            && let Some(id) = body.reply_to_id
            && let Some(known) = view.ledger.message(*guild, &id)
        {
            let place = (*agent, *guild, channel);
            let guarded = view.works.of(&place).is_some_and(|work| work.guarded);
            let heard = view.works.is_handed(*agent, *guild, &id)
                || self.parked.contains(&(*agent, id.clone()));
            let channel = view.ledger.channel(*guild, &place.2);
            let left_out = channel.is_none_or(|channel| view.leaves_out(channel));
            let user = view.setup.agents.get(*agent);
            let stay = user.and_then(|user| channel?.stay(user));
            // Of what a guild has lost, nobody asks when it was handed over.
            let is_owed = stay.is_some_and(|stay| stay.has(known.seq))
                && view.ledger.stands(*guild, &id)
                && known.deleted.is_none()
                && view.setup.allows(&known.author, &place.2);
            if is_owed && !heard && !guarded && !left_out {
                return Err(format!(
                    "agent {agent} passes the turn on that it has for {}, which its host was never \
                     handed",
                    tell(view.ledger, *guild, &id)
                ));
            }
        }
        Ok(())
    }
}

impl Passes {
    fn on_kept(&mut self, agent: usize, change: &Change) {
        match change {
            Change::Turn(turn, record) => {
                let messages = record.messages.iter().map(|(_, id)| id.clone());
                self.turns.insert((agent, turn.clone()), messages.collect());
            }
            Change::NoTurn(turn) => {
                self.turns.remove(&(agent, turn.clone()));
            }
            Change::Channel(..) | Change::Agent(_) | Change::Guild(_) | Change::NoChannel(..) => {}
        }
    }
}
