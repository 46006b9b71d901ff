//! As it stands: a host gets what was said as it stands by then, and as context what it has not heard.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use selvedge_core::{
    Time, canonical,
    guild::fact::Fact,
    id::MessageId,
    plugin::inbound::{Inbound, InboundMessage},
};

use super::{Rule, Seen, View, ledger::Stored, tell};

/// How long a turn may have been under way to its host already when what it tells is changed.
const SLACK: Duration = Duration::from_secs(2);
/// How often something goes one way for that.
const WAYS: u32 = 4;

/// What was changed while anything was wrong may reach the host as it was, and so may a turn that is
/// offered again. One process tells nothing twice.
#[derive(Clone, Debug, Default)]
pub(super) struct AsItStands {
    told: BTreeMap<(usize, usize), BTreeSet<MessageId>>,
}
canonical!(unsaved struct AsItStands { told });

impl Rule for AsItStands {
    fn name(&self) -> &'static str {
        "told as it stands"
    }

    fn copy(&self) -> Box<dyn Rule> {
        Box::new(self.clone())
    }

    fn saw(&mut self, view: View<'_>, seen: &Seen<'_>) -> Result<(), String> {
        if let Seen::Killed { agent } = seen {
            self.told.retain(|(of, _), _| of != agent);
        } else if let Seen::Committed { guild, facts } = seen {
            // A guild that was restored from a backup may give ids anew.
            for fact in *facts {
                if let Fact::Posted { message, .. } = fact {
                    for ((_, at), told) in &mut self.told {
                        if at == guild {
                            told.remove(&message.id);
                        }
                    }
                }
            }
        } else if let Seen::Notified {
            agent,
            guild,
            inbound,
        } = seen
        {
            return self.on_notified(view, (*agent, *guild), inbound);
        }
        Ok(())
    }
}

impl AsItStands {
    fn on_notified(
        &mut self,
        view: View<'_>,
        way: (usize, usize),
        inbound: &Inbound,
    ) -> Result<(), String> {
        let (agent, guild) = way;
        let told = self.told.entry(way).or_default();
        // Whoever forgets what was handled may be woken with it, and hear then that it is too late.
        if !inbound.redelivered && !view.setup.forgets() {
            for message in &inbound.context {
                let known = view.ledger.message(guild, &message.id);
                let user = view.setup.agents.get(agent);
                // A wake that comes too late makes context of what it was for.
                let rewoken = known
                    .zip(user)
                    .is_some_and(|(it, user)| it.rewoken.contains(user));
                if told.contains(&message.id) && !rewoken {
                    return Err(format!(
                        "{} is the context of turn {}, and was told before",
                        tell(view.ledger, guild, &message.id),
                        inbound.turn_id
                    ));
                }
            }
        }
        let all = inbound.messages.iter().chain(&inbound.context);
        told.extend(all.clone().map(|message| message.id.clone()));
        if inbound.redelivered {
            return Ok(());
        }
        let slack = SLACK + view.setup.latency * WAYS;
        for message in all {
            let Some(known) = view.ledger.message(guild, &message.id) else {
                continue;
            };
            let Some((at, why)) = stale(known, message) else {
                continue;
            };
            let calm = view.troubles.calm_from(agent, guild);
            if calm.is_some_and(|calm| calm <= at) && at + slack < view.now {
                return Err(format!(
                    "{} reached its host in turn {}, though it was {why} {:?} before",
                    tell(view.ledger, guild, &message.id),
                    inbound.turn_id,
                    view.now.since(at)
                ));
            }
        }
        Ok(())
    }
}

/// Since when a message does not stand as it is told, and why.
fn stale(known: &Stored, told: &InboundMessage) -> Option<(Time, &'static str)> {
    if let Some(at) = known.deleted {
        return Some((at, "deleted"));
    }
    let (at, text) = known.edited.as_ref()?;
    (*text != told.content).then_some((*at, "changed"))
}
