//! Waking: guilds wake whom the rules of the channel's kind name, and agents are woken by nothing else.

use std::collections::BTreeSet;

use selvedge_core::{
    canonical, fabric::types::XType, guild::fact::Fact, id::UserId, plugin::inbound::InboundMessage,
};

use super::{Rule, Seen, View, ledger::Channel, tell};

/// A dm wakes every other member, and so does a general channel; a report wakes nobody, triage and
/// custom channels wake their listeners, and where users take turns one of them is woken.
#[derive(Clone, Debug, Default)]
pub(super) struct Waking;
canonical!(
    unsaved struct Waking {}
);

impl Rule for Waking {
    fn name(&self) -> &'static str {
        "woken by the rules"
    }

    fn copy(&self) -> Box<dyn Rule> {
        Box::new(self.clone())
    }

    fn saw(&mut self, view: View<'_>, seen: &Seen<'_>) -> Result<(), String> {
        if let Seen::Committed { guild, facts } = seen {
            for fact in *facts {
                if let Fact::Posted { message, woken } = fact
                    && let Some(channel) = view.ledger.channel(*guild, &message.channel_id)
                {
                    let woken: BTreeSet<&UserId> = woken.iter().collect();
                    if !follows(channel, &message.author.id, &woken) {
                        return Err(format!(
                            "{} woke {woken:?}",
                            tell(view.ledger, *guild, &message.id)
                        ));
                    }
                }
            }
        } else if let Seen::Notified {
            agent,
            guild,
            inbound,
        } = seen
        {
            let Some(user) = view.setup.agents.get(*agent) else {
                return Ok(());
            };
            if inbound.channel.x_type == XType::Dm {
                return Ok(());
            }
            // Where history does not say whom it wakes, whoever is mentioned is woken, and whom the
            // channel wakes by now.
            let derives = view.setup.older.contains(guild);
            for message in &inbound.messages {
                if derives && may_be_meant(view, *guild, user, message) {
                    continue;
                }
                let known = view.ledger.message(*guild, &message.id);
                let wakes = known.is_some_and(|known| {
                    known.woken.contains(user) || known.rewoken.contains(user)
                });
                if !wakes {
                    return Err(format!(
                        "{} was handed over, and the guild never woke {user} with it",
                        tell(view.ledger, *guild, &message.id)
                    ));
                }
            }
        }
        Ok(())
    }
}

/// Whether a message of an older guild, read from its history, may wake a user.
fn may_be_meant(view: View<'_>, guild: usize, user: &UserId, message: &InboundMessage) -> bool {
    let known = view.ledger.message(guild, &message.id);
    let channel = known.and_then(|known| view.ledger.channel(guild, &known.channel));
    let mentions = message.mentions.contains(user);
    channel.is_some_and(|channel| match channel.x_type {
        XType::General | XType::Dm | XType::Report => false,
        XType::Triage | XType::Custom => channel.wakes_anew || mentions,
        XType::Discuss | XType::Work => mentions,
    })
}

/// Whether a guild that has stored this may wake these users.
fn follows(channel: &Channel, author: &UserId, woken: &BTreeSet<&UserId>) -> bool {
    let members: BTreeSet<&UserId> = channel.members().filter(|user| *user != author).collect();
    match channel.x_type {
        XType::General | XType::Dm => *woken == members,
        XType::Report => woken.is_empty(),
        XType::Triage | XType::Custom => {
            let listeners = channel.wakes.iter().filter(|user| members.contains(user));
            *woken == listeners.collect()
        }
        XType::Work | XType::Discuss => woken.len() <= 1 && woken.is_subset(&members),
    }
}
